"""Metrics of tagged tokens: single tags, and the entities that they mark."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from datasets import List, Value
from numpy.typing import NDArray

from audit.errors import InputError
from audit.metrics.metric import RatioMetric, both

__all__ = ["entities", "entity_f1", "token_accuracy"]

Array = NDArray[np.float64]
TAGS = both(List(Value("string")))


def entities(tags: Sequence[str]) -> set[tuple[str, int, int]]:
    """Read entities from tags: B-TYPE begins one, I-TYPE goes on with it, O is outside.

    An I- after O, or of another type than the tag before, begins one too: as the script of the CoNLL shared tasks
    reads tags.

    Returns
    -------
    set of (type, first token, token behind the last)

    Raises
    ------
    InputError
        If a tag is none of these.

    Examples
    --------
    >>> sorted(entities(["B-PER", "I-PER", "B-PER", "O", "I-LOC"]))
    [('LOC', 4, 5), ('PER', 0, 2), ('PER', 2, 3)]
    """
    found, begin, kind = set(), 0, ""
    for place, tag in enumerate([*tags, "O"]):
        marked = re.fullmatch("([BI])-(.+)", tag)
        if marked is None and tag != "O":
            raise InputError(
                f"entity_f1: the tag {tag!r} is none of O, B-TYPE, I-TYPE; tags that mark no entities are measured by "
                "token_accuracy"
            )
        mark, now = marked.groups() if marked else ("O", "")
        if kind and (mark != "I" or now != kind):
            found.add((kind, begin, place))
        if mark == "B" or now != kind:
            begin = place
        kind = now
    return found


class entity_f1(RatioMetric):
    """F1 of entities: one counts if its type and both its ends are right (Tjong Kim Sang and Buchholz, CoNLL 2000).

    Examples
    --------
    >>> said, true = [["B-PER", "I-PER", "O", "B-LOC"]], [["B-PER", "O", "O", "B-LOC"]]
    >>> entity_f1().compute(predictions=said, references=true)
    {'entity_f1': 0.5}
    """

    inputs = TAGS
    undefined = "there is no entity, and none is predicted"

    def counts(self, predictions: Sequence[Any], references: Sequence[Any]) -> Array:
        """Count twice the right entities, and predicted and true ones together."""
        pairs = [(entities(said), entities(true)) for said, true in _checked(predictions, references)]
        return np.array([[2 * len(said & true), len(said) + len(true)] for said, true in pairs], dtype=np.float64)


class token_accuracy(RatioMetric):
    """Share of all tokens whose tag is right.

    Examples
    --------
    >>> token_accuracy().compute(predictions=[["A", "B"], ["A"]], references=[["A", "A"], ["A"]])["token_accuracy"] * 3
    2.0
    """

    inputs = TAGS
    undefined = "there is no token"

    def counts(self, predictions: Sequence[Any], references: Sequence[Any]) -> Array:
        """Count right tokens, and all."""
        pairs = _checked(predictions, references)
        right = [[sum(map(str.__eq__, said, true)), len(true)] for said, true in pairs]
        return np.array(right, dtype=np.float64)


def _checked(predictions: Sequence[Any], references: Sequence[Any]) -> list[tuple[Any, Any]]:
    pairs = list(zip(predictions, references, strict=True))
    for row, (said, true) in enumerate(pairs):
        if len(said) != len(true):
            raise InputError(f"item {row} has {len(said)} predicted tags and {len(true)} true ones")
    return pairs
