"""Base and adapted as one pair of views: the same tokenizer, dtype and attention on both sides, or none at all."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

from transformers import PreTrainedTokenizerBase

from audit.errors import InputError
from audit.models.adapters import is_adapter, load_adapter
from audit.models.ask import ModelView, Readout
from audit.models.clip import ClipView, load_clip
from audit.models.headed import HeadedView, TaskHead, cut, is_head, read_head
from audit.models.network import Network, Words, graft, load_network
from audit.models.pooling import longest_text, pooling_of, read_pooling
from audit.models.preflight import Row, compare_models, compare_tokenizers
from audit.models.prompt import is_prompt, read_prompt, weightless
from audit.models.prompted import PromptedView
from audit.models.source import Source
from audit.models.text import TextView
from audit.models.tokens import load_tokenizer
from audit.models.vision import ImageView, load_vision
from audit.models.weights import Dtype, labels_of, load_config, refuse_wrong_kind
from audit.view import Kind

__all__ = ["Pair", "load_base", "load_pair"]

GRAFTED = Row(
    field="language-model head",
    base="its own",
    adapted="none in its file",
    outcome="the base's head is asked on the adapted backbone",
)


SHARED = Row(
    field="weights",
    base="its own",
    adapted="none in its files",
    outcome="the base's network, bit for bit, answers for both sides",
)


@dataclass(frozen=True)
class Pair:
    """Base and adapted, ready to be asked the same; ``preflight`` lists every setting in which they differ."""

    base: ModelView
    adapted: ModelView
    preflight: list[Row]


def load_base(source: Source, kind: Kind, readout: Readout | None = None, dtype: Dtype = "float32") -> ModelView:
    """Load a base by itself.

    Parameters
    ----------
    source : Source
    kind : {"encoder", "sentence_encoder", "causal", "vision", "clip"}
    readout : Readout, optional
        How a model without a head is asked for a class.
    dtype : {"float32", "bfloat16"}

    Raises
    ------
    InputError
        If weights are missing, the model is of another kind, or there is only what is asked of one.
    """
    if is_prompt(source) or weightless(source):
        raise InputError(f"{source.id}: a head or a prompt is no base by itself; name the base that it was made of")
    if is_head(source):
        return _headed(_backbone(source, kind, None, dtype), _head_of(source, kind))
    return _backbone(source, kind, readout, dtype)


def _backbone(source: Source, kind: Kind, readout: Readout | None, dtype: Dtype) -> ModelView:
    refuse_wrong_kind(source, load_config(source), kind)
    if kind == "vision":
        return ImageView(load_vision(source, dtype), source)
    if kind == "clip":
        return ClipView(load_clip(source, dtype), source, readout)
    network = load_network(source, kind, dtype)
    return _text_view(network, load_tokenizer(source), source, source.sha256, kind, readout, labels_of(source))


def load_pair(
    base: Source, adapted: Source, kind: Kind, readout: Readout | None = None, dtype: Dtype = "float32"
) -> Pair:
    """Load a base and what was made of it.

    Parameters
    ----------
    base, adapted : Source
        ``adapted`` is a full checkpoint, a PEFT adapter, or a head or prompt in files of its own (with or without a
        backbone). An adapter shares the base's weights, as does a head or prompt alone: one copy in memory.
    kind : {"encoder", "sentence_encoder", "causal", "vision", "clip"}
        Of the base. What was made of a causal base may be a classifier.
    readout : Readout, optional
        How a model without a head is asked for a class.
    dtype : {"float32", "bfloat16"}
        Of both sides.

    Raises
    ------
    InputError
        If configs or tokenizers differ in what an adaptation cannot explain, weights are missing, the adapter
        changes the base's own weights, or head or prompt was made for another base.
    """
    refuse_wrong_kind(base, load_config(base), kind)
    if is_prompt(adapted):
        return _prompted_pair(base, adapted, kind, dtype)
    if is_head(adapted):
        return _headed_pair(base, adapted, kind, readout, dtype)
    if is_adapter(adapted):
        return _adapter_pair(base, adapted, kind, readout, dtype)
    return _checkpoint_pair(base, adapted, kind, readout, dtype)


def _checkpoint_pair(base: Source, adapted: Source, kind: Kind, readout: Readout | None, dtype: Dtype) -> Pair:
    config = load_config(adapted)
    classifier = any(name.endswith("ForSequenceClassification") for name in config.architectures or [])
    if not (kind == "causal" and classifier):
        refuse_wrong_kind(adapted, config, kind)
    if kind == "vision":
        images = ImageView(load_vision(base, dtype), base), ImageView(load_vision(adapted, dtype), adapted)
        rows = compare_models(images[0].model, images[1].model, base.id, adapted.id)
        images[0].refuse_other_pixels(images[1], adapted.id)
        return Pair(*images, rows)
    if kind == "clip":
        clips = ClipView(load_clip(base, dtype), base, readout), ClipView(load_clip(adapted, dtype), adapted, readout)
        rows = compare_models(clips[0].model, clips[1].model, base.id, adapted.id)
        clips[0].refuse_other_input(clips[1], adapted.id)
        return Pair(*clips, rows)
    tokenizer = load_tokenizer(base)
    theirs, rows = compare_tokenizers(tokenizer, adapted, base.id, mapped=kind == "causal")
    ours, network = load_network(base, kind, dtype), load_network(adapted, kind, dtype)
    rows += compare_models(ours.model, network.model, base.id, adapted.id, resized=theirs is not tokenizer)
    if classifier or kind != "causal":
        network, said = _with_words(network, ours)
        rows += said
    return Pair(
        _text_view(ours, tokenizer, base, base.sha256, kind, None if classifier else readout, labels_of(base)),
        _text_view(network, theirs, adapted, _beside(base, adapted), kind, readout, labels_of(adapted), base=base),
        rows,
    )


def _beside(base: Source, adapted: Source) -> str:
    """Name an adapted side: what it borrows from its base (tokenizer, head, pooling) is part of its answers."""
    return adapted.sha256 if adapted.sha256 == base.sha256 else f"{adapted.sha256}@{base.sha256}"


def _headed_pair(base: Source, adapted: Source, kind: Kind, readout: Readout | None, dtype: Dtype) -> Pair:
    """Put a head on its own backbone or on the base's; a causal base is then no judge of labels by what it writes."""
    head, asked = _head_of(adapted, kind), None if kind == "causal" else readout
    pair = _under(base, adapted, kind, asked, dtype, head.base, head.sha256)
    return replace(pair, adapted=_headed(pair.adapted, head))


def _prompted_pair(base: Source, adapted: Source, kind: Kind, dtype: Dtype) -> Pair:
    """Ask both sides the same prompt, the base without examples and calibration."""
    prompt = read_prompt(adapted)
    if prompt.kind != kind:
        raise InputError(f"{adapted.id}: a prompt for a base of kind {prompt.kind!r}, not {kind!r}")
    asked = prompt.readout if kind == "clip" else None
    pair = _under(base, adapted, kind, asked, dtype, prompt.base, prompt.base_sha256)
    said = f"{len(prompt.examples)} examples, {'calibrated' if prompt.prior else 'not calibrated'}"
    how = "the same prompt on both sides, as the recipe says"
    row = Row(field="prompt", base="no examples, not calibrated", adapted=said, outcome=how)
    return Pair(PromptedView(pair.base, prompt.bare), PromptedView(pair.adapted, prompt), [*pair.preflight, row])


def _under(
    base: Source, adapted: Source, kind: Kind, readout: Readout | None, dtype: Dtype, named: str, sha256: str
) -> Pair:
    """Load what is under a head or a prompt: a checkpoint beside it, or the base, once for both sides."""
    if not weightless(adapted):
        return _checkpoint_pair(base, adapted, kind, readout, dtype)
    if sha256 != base.sha256:
        raise InputError(
            f"{adapted.id}: it was made for the base {named} (its files hash to {sha256[:12]}…), not for {base.id} "
            f"({base.sha256[:12]}…); name that base, or make it again"
        )
    view = _backbone(base, kind, readout, dtype)
    return Pair(view, view, [SHARED])


def _head_of(source: Source, kind: Kind) -> TaskHead:
    head = read_head(source)
    if head.kind != kind:
        raise InputError(f"{source.id}: a head for a base of kind {head.kind!r}, not {kind!r}")
    return head


def _headed(view: ModelView, head: TaskHead) -> HeadedView:
    return HeadedView(view, head, cut(view, head.max_length))


def _adapter_pair(base: Source, adapted: Source, kind: Kind, readout: Readout | None, dtype: Dtype) -> Pair:
    if kind == "clip":
        raise InputError(f"{adapted.id}: an adapter on a model of images and texts is audited as a merged checkpoint")
    both = f"{base.sha256}+{adapted.sha256}"
    if kind == "vision":
        loaded = load_adapter(base, adapted, kind, dtype)
        return Pair(
            ImageView(loaded.base, base, loaded.base_labels, loaded.peft.disable_adapter),
            ImageView(loaded.adapted, base, loaded.labels, id=both),
            [],
        )
    tokenizer = load_tokenizer(base)
    own, rows = compare_tokenizers(tokenizer, adapted, base.id, mapped=False)
    loaded = load_adapter(base, adapted, kind, dtype)
    prompt, off, less = None if loaded.labels else readout, loaded.peft.disable_adapter, loaded.virtual
    return Pair(
        _text_view(loaded.base, tokenizer, base, base.sha256, kind, prompt, loaded.base_labels, off, reserved=less),
        _text_view(loaded.adapted, own, base, both, kind, prompt, loaded.labels, reserved=less),
        [*rows, GRAFTED] if loaded.grafted else rows,
    )


def _text_view(
    network: Network,
    tokenizer: PreTrainedTokenizerBase,
    source: Source,
    id: str,
    kind: Kind,
    readout: Readout | None,
    labels: list[str],
    switched: Callable[[], AbstractContextManager[Any]] = nullcontext,
    base: Source | None = None,
    reserved: int = 0,
) -> TextView:
    """Make a view; an adapted side reads as much of a text as its base, and pools as it does."""
    settings: dict[str, Any] = {"reserved": reserved}
    if kind == "sentence_encoder":
        base = base or source
        pool = read_pooling(pooling_of(base, source), network.backbone.device)
        settings |= {"pool": pool, "longest": longest_text(base)}
    return TextView(network, tokenizer, id=id, kind=kind, labels=labels, readout=readout, switched=switched, **settings)


def _with_words(network: Network, base: Network) -> tuple[Network, list[Row]]:
    """Give a network without a language-model head the base's, and say so."""
    if network.words is not None or base.words is None or type(network.backbone) is not type(base.backbone):
        return network, []
    return replace(network, words=Words(graft(base.words.model, network.backbone))), [GRAFTED]
