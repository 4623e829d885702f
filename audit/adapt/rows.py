"""Items as rows that a model is trained on, and batches of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

from audit.adapt.plan import Plan
from audit.errors import InputError
from audit.models.batch import padded
from audit.models.images import load_processor, read_pixels
from audit.models.pooling import longest_text
from audit.models.tagging import first_pieces
from audit.models.tokens import context, continuation, load_tokenizer, pad_token
from audit.recipe import Gradient
from audit.view import Item

__all__ = ["SILENT", "Units", "training_rows", "units_of"]

Row = dict[str, Any]
Collate = Callable[[Sequence[Any]], dict[str, torch.Tensor]]
SILENT = -100  # the label of a token that carries no loss


class Units(NamedTuple):
    """In which units numbers are learnt: their mean is 0, and their scale 1."""

    mean: float
    scale: float


def units_of(items: Sequence[Item]) -> Units:
    """Return mean and standard deviation of the numbers that items are labelled with; where all are one, scale 1.

    A head begins with answers of size 1, and moves little: years, or prices, would never be reached.

    Examples
    --------
    >>> units_of([Item(id=label, cluster="a", text="x", label=label) for label in ("1990.0", "2010.0")])
    Units(mean=2000.0, scale=10.0)
    """
    numbers = np.array([float(item.label or "nan") for item in items])
    return Units(float(numbers.mean()), float(numbers.std()) or 1.0)


def training_rows(plan: Plan, model: Any, items: Sequence[Item]) -> tuple[list[Row], Collate]:
    """Turn labelled items into rows for the loss of this kind of base and this type of task.

    Parameters
    ----------
    plan : Plan
    model
        What is trained; says how much it reads.
    items : sequence of Item
        With labels, coded as `audit.items.task` does.

    Returns
    -------
    rows : list of dict
        Of an image only the path: it is read when its batch is.
    collate : callable
        From rows to a batch of tensors that the model takes as it is.

    Raises
    ------
    InputError
        If nothing is left of a row to learn from, or (later) an image cannot be read.
    """
    assert isinstance(plan.method, Gradient)
    if plan.kind in ("vision", "clip"):
        targets = _targets(plan, items)
        rows = [{"item": item, "labels": target} for item, target in zip(items, targets, strict=True)]
        return rows, _Images(load_processor(plan.base))
    tokenizer = load_tokenizer(plan.base)
    longest = min(plan.method.max_length, context(model, tokenizer))
    if plan.kind == "sentence_encoder":
        longest = min(longest, longest_text(plan.base) or longest)
    pad = pad_token(model, tokenizer)
    if plan.kind == "causal":
        return [_completion(plan, item, tokenizer, longest) for item in items], _Texts(pad, every_token=True)
    if plan.task.type == "tokens":
        return _tagged(plan, items, tokenizer, longest), _Texts(pad, every_token=True)
    encoded = tokenizer([item.text for item in items], truncation=True, max_length=longest)["input_ids"]
    targets = _targets(plan, items)
    return [{"input_ids": ids, "labels": one} for ids, one in zip(encoded, targets, strict=True)], _Texts(pad)


def _targets(plan: Plan, items: Sequence[Item]) -> list[int] | list[float] | list[list[float]]:
    """What the loss compares with: an index, 0 or 1 for every label, or a number in units of its own."""
    names = plan.task.names
    if plan.task.type == "multi_label":
        chosen = [set(json.loads(item.label or "[]")) for item in items]
        return [[float(name in some) for name in names] for some in chosen]
    if plan.task.type == "regression":
        mean, scale = units_of(items)
        return [(float(item.label or "nan") - mean) / scale for item in items]
    return [names.index(item.label or "") for item in items]


# --- completions ------------------------------------------------------------------------------------------------------


def _completion(plan: Plan, item: Item, tokenizer: PreTrainedTokenizerBase, longest: int) -> Row:
    """Prompt and what completes it as one sequence; only the latter carries loss. A long prompt loses its beginning.

    A label is written as it is asked for. The text of another task ends with the token that ends texts, unless it was
    cut: no text ends behind a word that goes on.
    """
    if plan.task.type == "completion":
        prompt, label = item.text or "", item.label or ""
        end = [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]
        whole = [*continuation(tokenizer, label), *end]
        answer = whole[: max(1, longest - 1)]
        cut = len(answer) < len(whole)
    else:
        before, after = plan.readout.prompt.split("{text}")
        prompt = before + (item.text or "") + after
        answer, cut = continuation(tokenizer, plan.readout.completion(item.label or "")), False
    if len(answer) >= longest:
        raise InputError(
            f"[adapt] max_length = {longest}: the label {item.label!r:.80} alone has {len(answer)} tokens; raise it"
        )
    asked = _unclosed(tokenizer, tokenizer(prompt)["input_ids"])[len(answer) - longest :]
    return {"input_ids": [*asked, *answer], "labels": [SILENT] * len(asked) + answer, "cut": cut}


def _unclosed(tokenizer: PreTrainedTokenizerBase, ids: list[int]) -> list[int]:
    """Take away what closes a text, which does not stand between a prompt and what follows."""
    special, closing = set(tokenizer.all_special_ids), 0
    for token in reversed(tokenizer("a")["input_ids"]):
        if token not in special:
            break
        closing += 1
    return ids[: len(ids) - closing]


# --- tags -------------------------------------------------------------------------------------------------------------


def _tagged(plan: Plan, items: Sequence[Item], tokenizer: PreTrainedTokenizerBase, longest: int) -> list[Row]:
    """Texts whose tokens have a tag each: it is on the first piece of a token; what is cut off is not learnt from."""
    rows: list[Row] = []
    pieces = first_pieces(tokenizer, [item.text or "" for item in items], longest)
    for item, (ids, firsts) in zip(items, pieces, strict=True):
        labels = [SILENT] * len(ids)
        for tag, place in zip(json.loads(item.label or "[]"), firsts, strict=True):
            if place is not None:
                labels[place] = plan.task.names.index(tag)
        if set(labels) == {SILENT}:
            raise InputError(
                f"[adapt] max_length = {longest}: of item {item.id!r} ({item.text!r:.80}) no token is read; raise it, "
                "or leave the row out"
            )
        rows.append({"input_ids": ids, "labels": labels})
    return rows


# --- batches ----------------------------------------------------------------------------------------------------------


def _numbers(labels: Sequence[Any]) -> torch.Tensor:
    return torch.tensor(labels, dtype=torch.long if isinstance(labels[0], int) else torch.float32)


class _Texts:
    """Pad a batch on the right; where every token has a label, those of the padding carry no loss."""

    def __init__(self, pad: int, *, every_token: bool = False) -> None:
        self.pad, self.every_token = pad, every_token

    def __call__(self, rows: Sequence[Row]) -> dict[str, torch.Tensor]:
        ids, mask = padded([row["input_ids"] for row in rows], self.pad, torch.device("cpu"))
        labels = [row["labels"] for row in rows]
        target = padded(labels, SILENT, torch.device("cpu"))[0] if self.every_token else _numbers(labels)
        return {"input_ids": ids, "attention_mask": mask, "labels": target}


class _Images:
    """Read the images of a batch through a model's processor."""

    def __init__(self, processor: Any) -> None:
        self.processor = processor

    def __call__(self, rows: Sequence[Row]) -> dict[str, torch.Tensor]:
        items: list[Item] = [row["item"] for row in rows]
        pixels = [read_pixels(item.image or "", item, self.processor) for item in items]
        for one, item in zip(pixels, items, strict=True):
            if one.shape != pixels[0].shape:
                raise InputError(
                    f"item {item.id!r}: its image comes out of the processor as {tuple(one.shape[1:])}, others as "
                    f"{tuple(pixels[0].shape[1:])}; set batch_size = 1, or bring the images to one shape"
                )
        return {"pixel_values": torch.cat(pixels), "labels": _numbers([row["labels"] for row in rows])}
