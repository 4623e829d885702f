"""Metrics of numbers: how far predictions are off, and whether they rank items rightly."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from datasets import Value
from numpy.typing import NDArray
from scipy import stats

from audit.metrics.metric import MeanMetric, TaskMetric, both
from audit.stats import pseudo_values
from audit.view import NotMeasurable

__all__ = ["mae", "mse", "spearman"]

Array = NDArray[np.float64]
NUMBERS = both(Value("float64"))


class mae(MeanMetric):
    """Mean distance of prediction and truth.

    Examples
    --------
    >>> mae().compute(predictions=[1.0, 2.0], references=[1.0, 5.0])
    {'mae': 1.5}
    """

    better = "lower"
    reach = (0.0, math.inf)
    inputs = NUMBERS

    def each(self, predictions: Sequence[Any], references: Sequence[Any]) -> Array:
        """Return the distance."""
        return np.abs(_off(predictions, references))


class mse(MeanMetric):
    """Mean squared distance of prediction and truth.

    Examples
    --------
    >>> mse().compute(predictions=[1.0, 2.0], references=[1.0, 5.0])
    {'mse': 4.5}
    """

    better = "lower"
    reach = (0.0, math.inf)
    inputs = NUMBERS

    def each(self, predictions: Sequence[Any], references: Sequence[Any]) -> Array:
        """Return the squared distance."""
        return _off(predictions, references) ** 2


def _off(predictions: Sequence[Any], references: Sequence[Any]) -> Array:
    return np.asarray(predictions, dtype=np.float64) - np.asarray(references, dtype=np.float64)


class spearman(TaskMetric):
    """Rank correlation of prediction and truth.

    Examples
    --------
    >>> spearman().compute(predictions=[1.0, 2.0, 9.0], references=[1.0, 4.0, 5.0])["spearman"].__round__(12)
    1.0
    """

    reach = (-1.0, 1.0)
    inputs = NUMBERS

    def value(self, predictions: Sequence[Any], references: Sequence[Any]) -> float:
        """Return Spearman's coefficient."""
        said, true = np.asarray(predictions, dtype=np.float64), np.asarray(references, dtype=np.float64)
        for what, values in (("prediction", said), ("truth", true)):
            if len(values) < 2 or np.ptp(values) == 0:
                raise NotMeasurable("spearman", f"every {what} is the same: nothing is ranked")
        return float(stats.spearmanr(said, true).statistic)

    def scores(self, predictions: Sequence[Any], references: Sequence[Any], clusters: Sequence[str]) -> Array:
        """Return jackknife values of each item's cluster (see `audit.stats.pseudo_values`)."""
        said, true = np.asarray(predictions, dtype=np.float64), np.asarray(references, dtype=np.float64)
        names, codes = np.unique(np.asarray(clusters, dtype=np.str_), return_inverse=True)
        without = []
        for k in range(len(names)):
            try:
                without.append(self.value(said[codes != k], true[codes != k]))
            except NotMeasurable:
                without.append(np.nan)
        return pseudo_values(self.value(predictions, references), without)[codes]
