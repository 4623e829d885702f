"""A loaded model as a view: what all kinds have in common."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from accelerate.utils.memory import should_reduce_batch_size
from numpy.typing import NDArray

from audit.errors import InputError
from audit.models.batch import Progress
from audit.models.ranks import over_ranks
from audit.view import Item, Kind, NotMeasurable

__all__ = ["ModelView", "Readout", "softmax"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Readout:
    """How a model without a head is asked for a class: a prompt, the label names, and how each is said."""

    prompt: str
    labels: tuple[str, ...]
    words: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.prompt.count("{text}") + self.prompt.count("{label}") != 1:
            raise InputError(f"the prompt {self.prompt!r} does not hold {{text}} (or {{label}}) exactly once")

    @property
    def id(self) -> str:
        """Prompt, labels and words in one string that no others have."""
        return json.dumps([self.prompt, *self.labels, *(["", *self.words] if self.words else [])])

    def said(self, label: str) -> str:
        """How a label is said."""
        return self.words[self.labels.index(label)] if self.words else label

    def named(self, label: str) -> str:
        """Return the prompt that names a label."""
        return self.prompt.replace("{label}", self.said(label)).replace("{text}", self.said(label))

    def completion(self, label: str) -> str:
        """Return what the model would have to write for a label."""
        return f" {self.said(label)}"


class ModelView:
    """A loaded model as a view: what all kinds have in common.

    Parameters
    ----------
    id : str
        Hash of the weights and of all else that an answer depends on.
    kind : str
    labels : sequence of str
        Of a trained classification head; empty where there is none.
    switched : callable, optional
        Returns the context in which the model is asked; switches an adapter off for a base that shares its weights.
    """

    def __init__(
        self,
        *,
        id: str,
        kind: Kind,
        labels: Sequence[str] = (),
        switched: Callable[[], AbstractContextManager[Any]] = nullcontext,
    ) -> None:
        self.id, self.kind, self.labels = id, kind, tuple(labels)
        self.progress: Progress | None = None
        self._switched = switched

    def ask(self, question: str, items: Sequence[Item]) -> Array:
        """Answer one question about each item, in item order (see `audit.view.View`)."""
        if len({_shape(item) for item in items}) != 1:
            raise NotMeasurable(question, "it is asked of items of one sort: texts, images, pairs or as many options")
        with torch.inference_mode(), self._switched():
            answer = over_ranks(items, lambda share: self._within_memory(question, share))
        if not np.isfinite(answer).all():
            bad = items[int(np.flatnonzero(~np.isfinite(answer).reshape(len(items), -1).all(axis=1))[0])]
            raise NotMeasurable(question, f"the model's answer for item {bad.id!r} is not finite")
        return answer

    def _within_memory(self, question: str, items: Sequence[Item]) -> Array:
        try:
            return self._answer(question, items)
        except RuntimeError as error:
            if not should_reduce_batch_size(error):
                raise
            raise NotMeasurable(question, "not enough memory, even for one item at a time") from None

    def treatment(self, question: str, items: Sequence[Item]) -> str:
        """Say what was done to items that could not be asked as they are; empty where nothing was."""
        return ""

    def _answer(self, question: str, items: Sequence[Item]) -> Array:
        raise NotImplementedError


def _shape(item: Item) -> tuple[str, int]:
    if item.options is not None:
        return "options", len(item.options)
    return "pair" if item.pair is not None else "image" if item.image is not None else "text", 1


def softmax(logits: Array) -> Array:
    """Probabilities of logits along the last axis."""
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    shares: Array = weights / weights.sum(axis=-1, keepdims=True)
    return shares
