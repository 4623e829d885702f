"""Pretraining on texts of the domain before the adaptation: masked or next words, nothing labelled."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM, PreTrainedTokenizerBase, set_seed

from audit.adapt.fit import Group, fit
from audit.adapt.plan import Trained
from audit.adapt.unlabelled import Masked, Row, blocks, collated, pieces
from audit.errors import InputError
from audit.items import thinned
from audit.items.reference import hub_rows, numbered, read_reference
from audit.items.rows import on_hub, quoted, read_rows
from audit.models.batch import Progress
from audit.models.source import Source
from audit.models.stored import read_tensor, stored_pair
from audit.models.tokens import context, load_tokenizer, pad_token
from audit.models.weights import load_config, load_weights, refuse_made_up
from audit.recipe import Domain
from audit.view import Item, Kind, fingerprint

__all__ = ["domain_texts", "held_out", "pretrain", "refuse_headless"]

HELD_OUT = 0.1  # of the clusters of its texts


def pretrain(
    base: Source,
    kind: Kind,
    domain: Domain,
    texts: Sequence[Item],
    seed: int,
    folder: Path,
    *,
    checkpoints: Path | None = None,
    progress: Progress | None = None,
) -> Trained:
    """Go on pretraining a base on texts, and write a checkpoint that loads as the base does.

    Parameters
    ----------
    base : Source
        With a language-model head of its own.
    kind : {"encoder", "causal"}
    domain : Domain
    texts : sequence of Item
        What is trained on; labels are not looked at.
    seed : int
    folder : Path
        Exists and is empty.
    checkpoints : Path, optional
        Where an interrupted training finds what it had done.
    progress : callable, optional

    Raises
    ------
    InputError
        If the base has no such head, or no text has a token to learn.

    Notes
    -----
    A masked model sees each text by itself, a long one in pieces, with ``mask_share`` of its tokens drawn anew every
    epoch: of these 80 % are masked, 10 % replaced by any token, 10 % kept (Devlin et al., NAACL 2019). What is drawn
    depends on seed, row and epoch alone. A causal model sees all texts, an end-of-text token behind each, cut into
    blocks. What stays as it was of the base (a pooler) is written, too.
    """
    set_seed(seed)
    model, tokenizer = _with_head(base, kind), load_tokenizer(base)
    size = min(domain.max_length, context(model, tokenizer))
    said = [item.text or "" for item in texts]
    rows: Sequence[Row]
    if kind == "causal":
        rows = [
            {"input_ids": one, "labels": one} for one in blocks(said, tokenizer, _end(base, model, tokenizer), size)
        ]
    else:
        rows = Masked(pieces(said, tokenizer, size), tokenizer, domain.mask_share, seed)
    if not rows:
        raise InputError(f"[domain] texts = {domain.texts!r}: no text in it has a token to learn from")
    names = tuple(name for name, _ in model.named_parameters())
    curve = fit(
        model, rows, collated(pad_token(model, tokenizer)), domain, [Group(names, domain.learning_rate)],
        seed=seed, fingerprint=_asked(base, kind, domain, texts), checkpoints=checkpoints, progress=progress,
    )  # fmt: skip
    model.save_pretrained(folder, state_dict={**model.state_dict(), **_beside(base, model)})
    tokenizer.save_pretrained(folder)
    return Trained(sum(one.numel() for one in model.parameters()), curve)


def _asked(base: Source, kind: Kind, domain: Domain, texts: Sequence[Item]) -> str:
    """Hash what is trained, and on what, in order: a checkpoint of another is not gone on with."""
    parts = [base.sha256, kind, domain.model_dump_json(), fingerprint(texts), *(one.id for one in texts)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def refuse_headless(base: Source, kind: Kind) -> None:
    """Refuse a masked model without its masked-word head, before anything is loaded.

    Raises
    ------
    InputError
        Names what it was saved as and what would do.
    """
    name = next(iter(load_config(base).architectures or []), "a model without a name")
    if kind != "causal" and not name.endswith(("ForMaskedLM", "ForPreTraining")):
        raise InputError(
            f"[domain] {base.id} was saved as {name}, without the masked-word head that it was pretrained with; choose "
            "a base that has one (saved as ...ForMaskedLM), or leave [domain] out"
        )


def _with_head(base: Source, kind: Kind) -> Any:
    refuse_headless(base, kind)
    auto: Any = AutoModelForCausalLM if kind == "causal" else AutoModelForMaskedLM
    model, missing = load_weights(auto, base)
    refuse_made_up(base, missing)
    return model


def _end(base: Source, model: Any, tokenizer: PreTrainedTokenizerBase) -> int:
    """The token that ends a text."""
    known = model.config.eos_token_id
    for token in (tokenizer.eos_token_id, known[0] if isinstance(known, list) and known else known):
        if token is not None:
            return int(token)
    raise InputError(f"[domain] {base.id}: neither tokenizer nor config names an end-of-text token (eos_token)")


def _beside(base: Source, model: Any) -> dict[str, torch.Tensor]:
    """Tensors below the head that the base has and a model with a masked head has no place for: a pooler."""
    prefix = model.base_model_prefix
    ours = stored_pair(base, base, ())[0]
    known = {name.removeprefix(f"{prefix}.") for name in model.state_dict()}
    return {
        f"{prefix}.{name}": read_tensor(one).float()
        for name, one in ours.items()
        if name.startswith("pooler.") and name not in known
    }


# --- texts ------------------------------------------------------------------------------------------------------------


def domain_texts(domain: Domain, train: Sequence[Item]) -> list[Item]:
    """Read the texts of a domain.

    Parameters
    ----------
    domain : Domain
        Its ``texts``: ``task`` for the training texts; a .txt with a text a line, or paragraphs that blank lines
        separate; a .csv, .tsv, .jsonl, .json or .parquet with a ``column``; or a Hub data set, of whose training split
        at most ``limit`` rows are read. Empty ones are passed over; of more than ``limit``, evenly spaced ones stay.
    train : sequence of Item
        The training items of the task; those of its test are nobody's business here.

    Returns
    -------
    list of Item
        Without labels. The same text is one cluster.

    Raises
    ------
    InputError
        One line: the table, the name, the row, what was found and what would do.
    Unavailable
        If the Hub cannot be reached.
    """
    where = f"[domain] texts = {domain.texts!r}"
    if domain.texts == "task":
        items = [Item(id=one.id, cluster=one.cluster, text=one.text) for one in train if (one.text or "").strip()]
    elif Path(domain.texts).suffix == ".txt":
        items = read_reference(domain.texts)
    else:
        items = numbered(_column(domain, where), Path(domain.texts).name)
    kept = thinned(items, domain.limit)
    if len({item.cluster for item in kept}) < 2:
        raise InputError(f"{where}: it takes two different texts at least, one to learn and one to see what was learnt")
    return kept


def _column(domain: Domain, where: str) -> list[str]:
    hub = on_hub(domain.texts)
    rows = list(islice(hub_rows(domain.texts, "train"), domain.limit)) if hub else read_rows(domain.texts)
    texts = []
    for number, row in enumerate(rows, start=1):
        if domain.column not in row:
            raise InputError(
                f"{where}: row {number} has no {domain.column!r} for [domain] column; it has {', '.join(row)}"
            )
        text = row[domain.column]
        if text is not None and not isinstance(text, str):
            raise InputError(f"{where}: row {number} of column {domain.column!r} is {quoted(text)}, not a text")
        texts.append(text or "")
    return [text for text in texts if text.strip()]


def held_out(texts: Sequence[Item]) -> tuple[list[Item], list[Item]]:
    """Part the texts into what is learnt and a tenth of the clusters, at least one, that shows what was learnt.

    The clusters' names decide which, so that every seed holds out the same.
    """
    clusters = sorted({item.cluster for item in texts}, key=lambda one: hashlib.sha256(one.encode()).digest())
    out = set(clusters[: max(1, round(HELD_OUT * len(clusters)))])
    return [item for item in texts if item.cluster not in out], [item for item in texts if item.cluster in out]
