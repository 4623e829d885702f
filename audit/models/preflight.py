"""Before anything is asked: do both sides really run with the same settings?"""

from __future__ import annotations

import json
import re
from typing import Any, TypedDict

import torch
from transformers import PreTrainedTokenizerBase

from audit.errors import InputError
from audit.items import passages
from audit.models.source import Source
from audit.models.tokens import has_tokenizer, load_tokenizer

__all__ = ["Row", "compare_models", "compare_tokenizers"]


class Row(TypedDict):
    """One setting in which base and adapted differ, and what was made of it."""

    field: str
    base: str
    adapted: str
    outcome: str


EXPLAINED = "explained by adaptation"
UNREAD = "not read by the installed version of transformers"

# What an adaptation, or saving by another version, may legitimately change.
EXPECTED = frozenset(
    [
        "architectures",
        "id2label",
        "label2id",
        "num_labels",
        "problem_type",
        "transformers_version",
        "torch_dtype",
        "dtype",
        "use_cache",
        "classifier_activation",
        "classifier_pooling",
        "pad_token_id",
        "bos_token_id",
        "eos_token_id",
        "output_hidden_states",
        "output_attentions",
        "return_dict",
        "chunk_size_feed_forward",
        "quantization_config",
    ]
)
# Settings of training, and of how weights begin: what is asked of a model does not depend on them.
TRAINING = re.compile(
    r"dropout|pdrop|layerdrop|drop_path|drop_rate|initializer|init_std|summary_|gradient_checkpointing|task_specific"
)


def compare_models(base: Any, adapted: Any, base_id: str, adapted_id: str, *, resized: bool = False) -> list[Row]:
    """Compare the effective settings of two loaded models: configs field by field, and what is computed from them.

    Parameters
    ----------
    base, adapted
        Loaded transformers models.
    base_id, adapted_id : str
        For messages.
    resized : bool
        The vocabularies are known to differ, so that their sizes may.

    Returns
    -------
    list of Row
        Differences that an adaptation explains.

    Raises
    ------
    InputError
        At the first difference that it does not explain; names the field and both values.
    """
    ours, theirs, read = _effective(base), _effective(adapted), _read(base)
    rows = []
    for field in sorted(ours.keys() | theirs.keys()):
        left, right = ours.get(field), theirs.get(field)
        if left == right:
            continue
        if not _explained(field, left, right, read, resized):
            raise InputError(
                f"{adapted_id}: its config has {field} = {right!r} where the base {base_id} has {left!r}; an "
                "adaptation does not explain that, so answers would not be comparable"
            )
        outcome = EXPLAINED if field.split(".")[0] in read else UNREAD
        rows.append(Row(field=field, base=str(left), adapted=str(right), outcome=outcome))
    _compare_buffers(base, adapted, base_id, adapted_id)
    return rows


def _explained(field: str, left: Any, right: Any, read: set[str], resized: bool) -> bool:
    """Tell whether an adaptation, training or another version's habits explain a difference."""
    name = field.split(".")[-1]
    if name == "vocab_size":
        return resized or (left or 0) < (right or 0)  # new tokens, or rows that fill the matrix up
    if name == "position_embedding_type":  # that is dropped from a config where it is the usual one
        return (left or "absolute") == (right or "absolute")
    return name in EXPECTED or bool(TRAINING.search(field)) or field.split(".")[0] not in read


def _read(model: Any) -> set[str]:
    """Settings that the installed version knows of a model's config; others are carried along unread."""
    try:
        known = set(type(model.config)().to_dict())
    except Exception:  # noqa: BLE001 (a config that cannot be made of nothing: all of its settings count)
        known = set(model.config.to_dict())
    return known | {"architectures", "transformers_version", "dtype", "backbone", "attention", "running dtype"}


def _effective(model: Any) -> dict[str, Any]:
    """The settings that a loaded model runs with, nested ones by dotted names."""
    settings = _flat({key: value for key, value in model.config.to_dict().items() if key != "_name_or_path"})
    running = {
        "dtype": str(getattr(model.config, "dtype", None)),
        "transformers_version": getattr(model.config, "transformers_version", None),  # that saved it
        "backbone": type(model.base_model).__name__,
        "attention": getattr(model.config, "_attn_implementation", None),
        "running dtype": str(model.dtype),
    }
    return {**settings, **running}


def _flat(table: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in table.items():
        if isinstance(value, dict) and key not in ("id2label", "label2id", "quantization_config"):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _compare_buffers(base: Any, adapted: Any, base_id: str, adapted_id: str) -> None:
    """Compare what a model computes from its config when it is loaded: rotary frequencies, position numbers."""
    theirs = _computed(adapted.base_model)
    for name, ours in _computed(base.base_model).items():
        if name in theirs and not torch.equal(ours.cpu(), theirs[name].cpu()):
            raise InputError(
                f"{adapted_id}: {name} is not what it is in the base {base_id}, though no field of the config says so; "
                "answers would not be comparable"
            )


def _computed(model: Any) -> dict[str, torch.Tensor]:
    places = {
        f"{name} (the place of the padding)": torch.tensor(-1 if part.padding_idx is None else part.padding_idx)
        for name, part in model.named_modules()
        if isinstance(part, torch.nn.Embedding) and "position" in name
    }
    return places | {
        f"{prefix}.{name}": getattr(part, name)
        for prefix, part in model.named_modules()
        for name in part._non_persistent_buffers_set
        if isinstance(getattr(part, name), torch.Tensor)
    }


# --- tokenizers -------------------------------------------------------------------------------------------------------


def compare_tokenizers(
    base: PreTrainedTokenizerBase, source: Source, base_id: str, *, mapped: bool
) -> tuple[PreTrainedTokenizerBase, list[Row]]:
    """Find the tokenizer that the adapted side is asked through.

    Parameters
    ----------
    base
        The base's tokenizer.
    source : Source
        The adapted model's folder.
    base_id : str
    mapped : bool
        Where another vocabulary is no obstacle: likelihoods of the same text are compared per byte of it.

    Returns
    -------
    tokenizer
        The base's, unless both sides read the same text through tokenizers of their own.
    list of Row
        Differences.

    Raises
    ------
    InputError
        If text becomes other tokens on the two sides.
    """
    if not has_tokenizer(source):
        return base, []
    own = load_tokenizer(source)
    rows = _settings(base, own)
    if _rules(base) != _rules(own):
        outcome = "text that is not plain English may be split differently; see vocabulary for whose is used"
        rows.append(Row(field="tokenizer rules", base=_rules(base)[:60], adapted=_rules(own)[:60], outcome=outcome))
    ours, theirs = base.get_vocab(), own.get_vocab()
    added = theirs.keys() - ours.keys()
    if any(theirs.get(token) != index for token, index in ours.items()):
        if not mapped:
            raise InputError(
                f"{source.id}: its vocabulary is not that of the base {base_id}; answers are not comparable"
            )
        how = "each side reads the same text through its own; likelihoods are compared per byte"
        return own, [
            *rows,
            Row(field="vocabulary", base=f"{len(ours)} tokens", adapted=f"{len(theirs)} tokens", outcome=how),
        ]
    if added:
        rows.append(
            Row(
                field="vocabulary",
                base=f"{len(ours)} tokens",
                adapted=f"{len(theirs)} tokens, {len(added)} of them new",
                outcome="both sides are asked through the base's tokenizer",
            )
        )
    for item in passages()[::16]:
        if base(item.text)["input_ids"] != own(item.text)["input_ids"]:
            raise InputError(
                f"{source.id}: its tokenizer splits text differently from the base's {base_id} (same vocabulary, "
                f"item {item.id!r}); answers are not comparable"
            )
    return base, rows


def _settings(base: PreTrainedTokenizerBase, adapted: PreTrainedTokenizerBase) -> list[Row]:
    """Differences in what does not decide how plain text is split."""
    rows = []
    for field in ("pad_token", "bos_token", "eos_token", "mask_token", "model_max_length"):
        left, right = getattr(base, field, None), getattr(adapted, field, None)
        if left != right:
            rows.append(Row(field=field, base=str(left), adapted=str(right), outcome="both sides use the base's"))
    left, right = base.chat_template, adapted.chat_template
    if left != right:
        outcome = "the base's frames the chat turns of both sides; texts are asked without one"
        rows.append(Row(field="chat_template", base=_short(left), adapted=_short(right), outcome=outcome))
    return rows


def _rules(tokenizer: PreTrainedTokenizerBase) -> str:
    """How a tokenizer normalises and cuts text, before its vocabulary comes in."""
    backend: Any = getattr(tokenizer, "backend_tokenizer", None)
    rules = json.loads(backend.to_str()) if backend is not None else {}
    return json.dumps({part: rules.get(part) for part in ("normalizer", "pre_tokenizer", "post_processor")})


def _short(template: Any) -> str:
    text = "" if template is None else str(template)
    return "none" if not text else text if len(text) <= 60 else f"{text[:57]}… ({len(text)} characters)"
