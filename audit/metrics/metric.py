"""What all task metrics have in common: the interface of evaluate, and scores from which an interval comes."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import datasets
import evaluate
import numpy as np
from numpy.typing import NDArray

from audit.stats import pseudo_values
from audit.view import NotMeasurable

__all__ = ["CountMetric", "MeanMetric", "RatioMetric", "TaskMetric", "both", "ratio"]

Array = NDArray[np.float64]


def both(*kinds: Any) -> tuple[datasets.Features, ...]:
    """Say of what sort predictions and references are: alike, and of any of these."""
    return tuple(datasets.Features({"predictions": kind, "references": kind}) for kind in kinds)


class TaskMetric(evaluate.Metric):  # type: ignore[misc]
    """A metric of evaluate that loads nothing from the Hub and leaves nothing on the disk.

    Attributes
    ----------
    better : {"higher", "lower"}
    binary : bool
        Whether an item scores 0 or 1 by nature.
    reach : tuple of float
        The least and the most that it can be.
    inputs : tuple of Features
        What predictions and references may be.
    """

    better: ClassVar[str] = "higher"
    binary: ClassVar[bool] = False
    reach: ClassVar[tuple[float, float]] = (0.0, 1.0)
    inputs: ClassVar[tuple[datasets.Features, ...]]

    def __init__(self) -> None:
        super().__init__(keep_in_memory=True)

    def _build_data_dir(self) -> str:
        return ""  # evaluate makes a folder here even for what stays in memory

    def _info(self) -> evaluate.MetricInfo:
        said = self.__doc__ or ""
        return evaluate.MetricInfo(description=said, citation="", inputs_description=said, features=list(self.inputs))

    def _compute(self, predictions: Sequence[Any], references: Sequence[Any]) -> dict[str, float]:
        return {type(self).__name__: self.value(predictions, references)}

    @abstractmethod
    def value(self, predictions: Sequence[Any], references: Sequence[Any]) -> float:
        """Return the metric.

        Raises
        ------
        NotMeasurable
            If it is not defined for these.
        """

    @abstractmethod
    def scores(self, predictions: Sequence[Any], references: Sequence[Any], clusters: Sequence[str]) -> Array:
        """Return one number an item, shape (n,), of which the mean over cluster means is the metric.

        NaN where the metric is defined, but not without each of the clusters.
        """


class MeanMetric(TaskMetric):
    """A metric that is the mean of what each item scores."""

    @abstractmethod
    def each(self, predictions: Sequence[Any], references: Sequence[Any]) -> Array:
        """Score each item, shape (n,)."""

    def value(self, predictions: Sequence[Any], references: Sequence[Any]) -> float:
        """Return the mean over items."""
        return float(self.each(predictions, references).mean())

    def scores(self, predictions: Sequence[Any], references: Sequence[Any], clusters: Sequence[str]) -> Array:
        """Return what each item scores; of clusters that differ in size, their jackknife values.

        The mean over items is a ratio of sums over clusters, and where these differ in size it is not the mean of their
        means.
        """
        each = self.each(predictions, references)
        _, codes, sizes = np.unique(np.asarray(clusters, dtype=np.str_), return_inverse=True, return_counts=True)
        if np.ptp(sizes) == 0:
            return each
        sums = np.bincount(codes, each)
        return pseudo_values(float(each.mean()), (each.sum() - sums) / (len(each) - sizes))[codes]


class CountMetric(TaskMetric):
    """A metric of sums over items: to leave a cluster out is a subtraction, so the jackknife costs one pass.

    Attributes
    ----------
    undefined : str
        When there is no such number.
    """

    undefined: ClassVar[str]

    @abstractmethod
    def counts(self, predictions: Sequence[Any], references: Sequence[Any]) -> Array:
        """Count what is summed over items, shape (n, ...)."""

    @abstractmethod
    def of(self, sums: Array) -> Array:
        """Return the metric of sums of shape (..., ...); NaN where it is not defined."""

    def value(self, predictions: Sequence[Any], references: Sequence[Any]) -> float:
        """Return the metric of all items."""
        return self._whole(self.counts(predictions, references).sum(axis=0))

    def scores(self, predictions: Sequence[Any], references: Sequence[Any], clusters: Sequence[str]) -> Array:
        """Return jackknife values of each item's cluster (see `audit.stats.pseudo_values`)."""
        counts = self.counts(predictions, references)
        names, codes = np.unique(np.asarray(clusters, dtype=np.str_), return_inverse=True)
        parts = np.zeros((len(names), *counts.shape[1:]))
        np.add.at(parts, codes, counts)
        sums = counts.sum(axis=0)
        return pseudo_values(self._whole(sums), self.of(sums - parts))[codes]

    def _whole(self, sums: Array) -> float:
        value = float(self.of(sums))
        if np.isnan(value):
            raise NotMeasurable(type(self).__name__, self.undefined)
        return value


class RatioMetric(CountMetric):
    """A sum over items divided by another: counts have the shape (n, 2)."""

    def of(self, sums: Array) -> Array:
        """Return the ratio."""
        return ratio(sums[..., 0], sums[..., 1])


def ratio(above: Array, below: Array) -> Array:
    """Divide; NaN where there is nothing to divide by."""
    divided: Array = np.divide(above, below, out=np.full(np.shape(below), np.nan), where=below > 0)
    return divided
