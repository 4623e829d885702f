"""Means of skewed scores, such as divergences: Student's t, corrected for the skewness that was seen."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from audit.finding import Bounds, Estimate
from audit.stats.clusters import cluster_means
from audit.stats.intervals import CONFIDENCE, mean_interval
from audit.stats.paired import Comparison
from audit.stats.plan import needed_from

__all__ = ["Skewed", "compare_skewed", "skewed_interval"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Skewed(Comparison):
    """A paired comparison of means whose intervals are those of `skewed_interval`."""

    def interval(self, confidence: float) -> Bounds:
        """Return the interval of the change at another confidence."""
        return skewed_interval(self.differences, confidence)

    def p_value(self) -> float | None:
        """Two-sided detection by the transformed t; null where nothing varies."""
        if self.change.low is None:
            return None
        mean, spread, skewness = _moments(self.differences)
        u, n = mean / spread, self.n_clusters
        t = math.sqrt(n) * (u + skewness * u**2 / 3 + skewness**2 * u**3 / 27 + skewness / (6 * n))
        return max(float(2 * stats.t.sf(abs(t), n - 1)), np.finfo(np.float64).tiny)

    def needed(self, margin: float, alpha: float = 0.05, level: float | None = None) -> int | None:
        """Clusters that would decide with power 80 %, by the half of the interval that faces the margin."""
        change = self.change.value
        if self.n_clusters < 2:
            return None
        low, high = self.interval(CONFIDENCE)
        if low is not None and high is not None:
            half = high - change if (change > 0) == (abs(change) <= margin) else change - low
            low, high = change - half, change + half
        beyond = abs(change) > margin and level is not None
        return needed_from((low, high), self.n_clusters, margin, change, level if beyond and level else alpha)


def compare_skewed(base: ArrayLike, adapted: ArrayLike, clusters: Sequence[str]) -> Skewed:
    """Compare base and adapted on the same items, by scores whose change is skewed.

    Parameters
    ----------
    base, adapted : array_like, shape (n_items,)
        Finite. Of a divergence, the base's are 0.
    clusters : sequence of str, length n_items

    Raises
    ------
    ValueError
        If there are no items, lengths differ, or a value is not finite.

    Examples
    --------
    >>> nats = [0.01, 0.02, 0.02, 0.03, 0.05, 0.20]
    >>> found = compare_skewed([0.0] * 6, nats, list("abcdef"))
    >>> print(f"{found.change.value:.3f} {found.change.low:.3f} {found.change.high:.3f}")  # Student's t: -0.021 0.131
    0.055 0.009 0.261
    """
    before, names = cluster_means(base, clusters)
    after, _ = cluster_means(adapted, clusters)
    if len(names) == 0:
        raise ValueError("there are no items to compare")
    estimates = []
    for means in (before, after, after - before):
        low, high = skewed_interval(means)
        estimates.append(Estimate(value=float(means.mean()), low=low, high=high))
    change = estimates[2].model_copy(update={"value": estimates[1].value - estimates[0].value})
    return Skewed(
        base=estimates[0],
        adapted=estimates[1],
        change=change,
        base_means=before,
        adapted_means=after,
        clusters=names,
        n_items=len(clusters),
        method="student-t over cluster means, corrected for skewness",
    )


def skewed_interval(means: ArrayLike, confidence: float = CONFIDENCE) -> Bounds:
    """Interval of a mean over independent, skewed units; (None, None) where they do not vary.

    Notes
    -----
    Hall, Journal of the Royal Statistical Society B 54 (1992) 221-228: with u = (mean - truth)/s and the skewness g,
    u + g·u²/3 + g²·u³/27 + g/(6n) has no skewness to first order, rises everywhere, and is inverted in closed form.
    With quantiles of Student's t and g of cumulants without bias.

    A mean at the margin is to be called ``same`` in 5 of 100 samples. In 20,000 samples of 60 (of 128) units:
    lognormal of skewness 2: 5.8 % (5.3 %), by Student's t 8.1 % (6.9 %); exponential: 5.6 % (5.0 %), by t 8.5 %
    (6.9 %); lognormal of skewness 6.2: 8.1 % (6.8 %), by t 12.8 % (10.5 %). Johnson's t (1978) is hardly better than
    Student's. Of scores without skewness it is Student's interval.

    Examples
    --------
    >>> low, high = skewed_interval([1.0, 1.0, 1.0, 1.0, 2.0, 6.0])  # Student's t: -0.10 4.10
    >>> print(f"{low:.2f} {high:.2f}")
    0.73 7.72
    """
    x = np.asarray(means, dtype=np.float64)
    if mean_interval(x, confidence)[0] is None:
        return None, None
    mean, spread, skewness = _moments(x)
    at = float(stats.t.ppf((1 + confidence) / 2, len(x) - 1)) / math.sqrt(len(x))
    high, low = (mean - spread * _inverted(end, skewness, len(x)) for end in (-at, at))
    return low, high


def _moments(x: Array) -> tuple[float, float, float]:
    """Mean, standard deviation, and skewness (0 of two)."""
    return float(x.mean()), float(x.std(ddof=1)), float(stats.skew(x, bias=False)) if len(x) > 2 else 0.0


def _inverted(value: float, skewness: float, n: int) -> float:
    """Solve u + g·u²/3 + g²·u³/27 + g/(6n) = value for u."""
    if abs(skewness) < 1e-6:
        return value
    return 3 / skewness * (math.cbrt(1 + skewness * (value - skewness / (6 * n))) - 1)
