"""Metrics of classes: one an item, or any number of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from datasets import List, Value
from numpy.typing import NDArray

from audit.metrics.metric import CountMetric, MeanMetric, both, ratio

__all__ = ["ClassMetric", "accuracy", "balanced_accuracy", "exact_match", "macro_f1", "matthews", "micro_f1"]

Array = NDArray[np.float64]
ONE = both(Value("string"), Value("int64"))
SEVERAL = both(List(Value("string")), List(Value("int64")))


class accuracy(MeanMetric):
    """Share of items whose class is predicted rightly; classes are names, or integers.

    Examples
    --------
    >>> accuracy().compute(predictions=["a", "b", "b"], references=["a", "b", "a"])["accuracy"].__round__(3)
    0.667
    """

    binary = True
    inputs = ONE

    def each(self, predictions: Sequence[Any], references: Sequence[Any]) -> Array:
        """Score 1 for the right class, else 0."""
        return np.array([one == other for one, other in zip(predictions, references, strict=True)], dtype=np.float64)


class exact_match(MeanMetric):
    """Share of items for which all classes and no others are predicted; an item's classes are a list in any order.

    Examples
    --------
    >>> exact_match().compute(predictions=[["a", "b"], ["a"]], references=[["b", "a"], []])
    {'exact_match': 0.5}
    """

    binary = True
    inputs = SEVERAL

    def each(self, predictions: Sequence[Any], references: Sequence[Any]) -> Array:
        """Score 1 for the same set of classes, else 0."""
        pairs = zip(predictions, references, strict=True)
        return np.array([set(one) == set(other) for one, other in pairs], dtype=np.float64)


class ClassMetric(CountMetric):
    """Counts per class of what is right, predicted and true: shape (n, 3, classes).

    Attributes
    ----------
    curved : bool
        Whether it averages over classes what is no mean over their items: with few of these it is biased.
    """

    curved: ClassVar[bool] = False

    def counts(self, predictions: Sequence[Any], references: Sequence[Any]) -> Array:
        """Count right, predicted and true classes of each item."""
        sides = [[set(_several(one)) for one in side] for side in (predictions, references)]
        place = {name: k for k, name in enumerate(sorted(set().union(*sides[0], *sides[1])))}
        counts = np.zeros((len(sides[0]), 3, len(place)))
        for row, (one, other) in enumerate(zip(*sides, strict=True)):
            for axis, names in enumerate((one & other, one, other)):
                counts[row, axis, [place[name] for name in names]] = 1
        return counts


def planted(references: Sequence[Any], side: int) -> tuple[list[Any], list[Any]]:
    """Return predictions and references of four more items of every true class.

    Side 0 gets the first two right and the others wrong, side 1 the other way round.

    Examples
    --------
    >>> planted(["a", "b"], 1)
    (['b', 'b', 'a', 'a', 'a', 'a', 'b', 'b'], ['a', 'a', 'a', 'a', 'b', 'b', 'b', 'b'])
    """
    names = sorted(set().union(*map(_several, references)))
    whole = isinstance(references[0], list)
    said: list[Any] = []
    true: list[Any] = []
    for place, name in enumerate(names):
        right, wrong = ([name], []) if whole else (name, names[(place + 1) % len(names)])
        said += [right, right, wrong, wrong] if side == 0 else [wrong, wrong, right, right]
        true += [right] * 4
    return said, true


def _several(classes: Any) -> list[Any]:
    return classes if isinstance(classes, list) else [classes]


class balanced_accuracy(ClassMetric):
    """Mean over the true classes of the share of their items that is predicted rightly.

    Examples
    --------
    >>> balanced_accuracy().compute(predictions=["a", "a", "a", "b"], references=["a", "a", "b", "b"])
    {'balanced_accuracy': 0.75}
    """

    inputs = ONE
    undefined = "all items are of one class"

    def of(self, sums: Array) -> Array:
        """Return the mean recall."""
        true = sums[..., 2, :]
        return np.where((true > 0).sum(axis=-1) > 1, _mean(ratio(sums[..., 0, :], true)), np.nan)


class macro_f1(ClassMetric):
    """Mean over classes of F1, the classes being those that are true or predicted at least once.

    Examples
    --------
    >>> macro_f1().compute(predictions=["a", "a", "a", "b"], references=["a", "a", "b", "b"])["macro_f1"].__round__(3)
    0.733
    """

    curved = True
    inputs = (*SEVERAL, *ONE)
    undefined = "no class is true or predicted"

    def of(self, sums: Array) -> Array:
        """Return the mean of the classes' F1."""
        return _mean(ratio(2 * sums[..., 0, :], sums[..., 1, :] + sums[..., 2, :]))


class micro_f1(ClassMetric):
    """F1 of all pairs of item and class together.

    Examples
    --------
    >>> micro_f1().compute(predictions=[["a", "b"], ["a"]], references=[["a"], ["a", "b"]])["micro_f1"].__round__(3)
    0.667
    """

    inputs = (*SEVERAL, *ONE)
    undefined = "no class is true or predicted"

    def of(self, sums: Array) -> Array:
        """Return F1 of the classes' sums."""
        right, predicted, true = np.moveaxis(sums.sum(axis=-1), -1, 0)
        return ratio(2 * right, predicted + true)


class matthews(ClassMetric):
    """Correlation of true and predicted classes (Matthews 1975; of several classes Gorodkin 2004).

    Where all items are predicted as one class it is 0, as a guess is (Chicco and Jurman, BMC Genomics 21, 2020).

    Examples
    --------
    >>> matthews().compute(predictions=["a", "a", "a", "b"], references=["a", "a", "b", "b"])["matthews"].__round__(3)
    0.577
    """

    inputs = ONE
    reach = (-1.0, 1.0)
    undefined = "all items are of one class"

    def of(self, sums: Array) -> Array:
        """Return the correlation of the indicators of classes."""
        right, predicted, true = np.moveaxis(sums, -2, 0)
        n = true.sum(axis=-1)
        together = right.sum(axis=-1) * n - (predicted * true).sum(axis=-1)
        said, given = (n**2 - (side**2).sum(axis=-1) for side in (predicted, true))
        return np.where((said == 0) & (given > 0), 0.0, ratio(together, np.sqrt(said * given)))


def _mean(values: Array) -> Array:
    """Mean along the last axis of what is not NaN; NaN where nothing is."""
    known = np.isfinite(values)
    return ratio(np.where(known, values, 0.0).sum(axis=-1), known.sum(axis=-1).astype(np.float64))
