"""Items as rows that a model is trained on, and batches of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase

from audit.adapt.plan import Plan
from audit.models.ask import Readout
from audit.models.batch import padded
from audit.models.tokens import context, continuation, load_tokenizer, pad_token
from audit.recipe import Gradient
from audit.view import Item

__all__ = ["training_rows"]

Collate = Callable[[Sequence[Any]], dict[str, torch.Tensor]]


def training_rows(plan: Plan, model: Any, items: Sequence[Item]) -> tuple[list[dict[str, Any]], Collate]:
    """Turn labelled items into rows for the loss of this kind of base and this type of task.

    Returns
    -------
    rows : list of dict
    collate : callable
        From rows to a batch of tensors that the model takes as it is.
    """
    assert isinstance(plan.method, Gradient)
    tokenizer = load_tokenizer(plan.base)
    longest = min(plan.method.max_length, context(model, tokenizer))
    if plan.kind == "causal":
        rows = [_completion(item, plan.readout, tokenizer, longest) for item in items]
    else:
        texts = [item.text for item in items]
        encoded = tokenizer(texts, truncation=True, max_length=longest)["input_ids"]
        truth = [plan.task.names.index(item.label or "") for item in items]
        rows = [{"input_ids": ids, "labels": label} for ids, label in zip(encoded, truth, strict=True)]
    return rows, _Collator(pad_token(model, tokenizer))


def _completion(item: Item, readout: Readout, tokenizer: PreTrainedTokenizerBase, max_length: int) -> dict[str, Any]:
    """Prompt and label name as one sequence; only the label name carries loss."""
    before, after = readout.prompt.split("{text}")
    prompt = tokenizer(before + (item.text or "") + after)["input_ids"]
    answer = continuation(tokenizer, readout.completion(item.label or ""))
    prompt = prompt[-(max_length - len(answer)) :]
    return {"input_ids": [*prompt, *answer], "labels": [-100] * len(prompt) + answer}


class _Collator:
    """Pad a batch on the right; labels of sequences are padded with -100."""

    def __init__(self, pad: int) -> None:
        self.pad = pad

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        ids, mask = padded([row["input_ids"] for row in rows], self.pad, torch.device("cpu"))
        labels = [row["labels"] for row in rows]
        if isinstance(labels[0], int):
            return {"input_ids": ids, "attention_mask": mask, "labels": torch.tensor(labels)}
        targets, _ = padded(labels, -100, torch.device("cpu"))
        return {"input_ids": ids, "attention_mask": mask, "labels": targets}
