"""Base and adapted on the same items: the comparison from which every finding is made.

Every comparison first averages the items of a cluster, so repeating an item proves nothing more. Scores that are 0 or 1
by nature are decided by the Tango score interval where each cluster speaks with one voice, else by Student's t over
cluster shares with four more clusters at the ends of the range; all other scores by Student's t over cluster means.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from audit.finding import Bounds, Decision, Estimate, Method
from audit.stats.clusters import cluster_means
from audit.stats.intervals import CONFIDENCE, mcnemar, mean_interval, proportion_interval, tango
from audit.stats.plan import discordant_needed, needed_from

__all__ = ["Compared", "Comparison", "compare", "decide", "over_seeds", "true_flips"]

Array = NDArray[np.float64]
MIN_SEEDS = 3


class Compared(Protocol):
    """What a finding needs of a comparison; `Comparison` and `audit.stats.disparity.Contrast` are of this kind."""

    @property
    def base(self) -> Estimate:
        """The base, with its 95 % interval."""

    @property
    def adapted(self) -> Estimate:
        """The adapted model."""

    @property
    def change(self) -> Estimate:
        """Adapted minus base."""

    @property
    def method(self) -> Method:
        """How its interval is made."""

    @property
    def n_items(self) -> int:
        """Items behind it."""

    @property
    def n_clusters(self) -> int:
        """Clusters that limit it."""

    def interval(self, confidence: float) -> Bounds:
        """Return the interval of the change at a confidence."""

    def influence(self) -> dict[str, float]:
        """Return what each cluster contributes to the change: by it, comparisons of one family are correlated."""

    def p_value(self) -> float | None:
        """Two-sided detection of any change."""

    def needed(self, margin: float, alpha: float = 0.05, level: float | None = None) -> int | None:
        """Clusters that would decide with power 80 %."""


def decide(compared: Compared, alpha: float = 0.05, level: float | None = None) -> Decision:
    """Return the intervals that decide: unadjusted at alpha, and at the level that a family leaves to each of its own.

    Parameters
    ----------
    compared : Compared
    alpha : float
        Error rate on each side.
    level : float, optional
        From `audit.stats.family`; default alpha.
    """
    return Decision(
        same=compared.interval(1 - 2 * alpha), beyond=compared.interval(1 - 2 * (alpha if level is None else level))
    )


@dataclass(frozen=True)
class Comparison:
    """A paired comparison of base and adapted: estimates, and the means per cluster from which any level follows.

    Attributes
    ----------
    base, adapted, change : Estimate
        With 95 % intervals.
    base_means, adapted_means : ndarray, shape (n_clusters,)
    clusters : ndarray of str, shape (n_clusters,)
        Sorted names.
    n_items : int
        Items behind the cluster means.
    method : str
    """

    base: Estimate
    adapted: Estimate
    change: Estimate
    base_means: Array
    adapted_means: Array
    clusters: NDArray[np.str_]
    n_items: int
    method: Method

    @property
    def differences(self) -> Array:
        """Change of each cluster, shape (n_clusters,)."""
        return self.adapted_means - self.base_means

    @property
    def n_clusters(self) -> int:
        """Number of clusters."""
        return len(self.clusters)

    def interval(self, confidence: float) -> Bounds:
        """Return the interval of the change at another confidence, by the method of this comparison."""
        return _interval(self.base_means, self.adapted_means, self.method, confidence)

    def influence(self) -> dict[str, float]:
        """Return what each cluster contributes to the change."""
        shares = (self.differences - self.differences.mean()) / self.n_clusters
        return dict(zip(self.clusters.tolist(), shares.tolist(), strict=True))

    def p_value(self) -> float | None:
        """Two-sided detection of any change: exact McNemar, or Student's t over clusters; null where nothing varies."""
        if self.method == "tango score":
            return max(mcnemar(*_discordant(self.base_means, self.adapted_means)), float(np.finfo(np.float64).tiny))
        if self.change.low is None or float(np.ptp(self.differences)) == 0:
            return None
        t = self.change.value / (float(self.differences.std(ddof=1)) / math.sqrt(self.n_clusters))
        return max(float(2 * stats.t.sf(abs(t), self.n_clusters - 1)), np.finfo(np.float64).tiny)

    def needed(self, margin: float, alpha: float = 0.05, level: float | None = None) -> int | None:
        """Clusters that would decide with power 80 %, if the true change is the observed one.

        ``same`` is decided at alpha, a change at the level that the family leaves to it.

        A spread that was not seen (no discordant pair, no variation) is no proof that there is none: binary outcomes
        count half a discordant pair more than was observed, means without variation need what `same` needs at least.
        """
        if self.n_clusters < 2:
            return None
        change = self.change.value
        if abs(change) > margin and level is not None:
            alpha = level
        if self.method == "tango score":
            share = min((float(np.count_nonzero(self.differences)) + 0.5) / self.n_clusters, 1.0)
            wanted = discordant_needed(share, margin, change, alpha)
            return None if wanted is None else max(wanted, self.n_clusters + 1)
        return needed_from(self.interval(CONFIDENCE), self.n_clusters, margin, change, alpha)


def compare(base: ArrayLike, adapted: ArrayLike, clusters: Sequence[str], *, binary: bool | None = None) -> Comparison:
    """Compare base and adapted on the same items.

    Parameters
    ----------
    base, adapted : array_like, shape (n_items,)
        What each side scored on each item, in the same order; finite.
    clusters : sequence of str, length n_items
    binary : bool, optional
        Whether a score is 0 or 1 by nature (right or wrong, flipped or not); default: whether all of them are.

    Returns
    -------
    Comparison

    Raises
    ------
    ValueError
        If there are no items, lengths differ, or a value is not finite.

    Examples
    --------
    >>> result = compare([0, 0, 1, 0, 0, 0], [1, 0, 1, 0, 1, 0], list("abcdef"))
    >>> print(result.method, round(result.change.value, 3))
    tango score 0.333
    """
    base_means, names = cluster_means(base, clusters)
    adapted_means, _ = cluster_means(adapted, clusters)
    if len(names) == 0:
        raise ValueError("there are no items to compare")
    if binary is None:
        binary = bool(np.isin(np.concatenate([np.ravel(base), np.ravel(adapted)]), (0.0, 1.0)).all())
    method = _method(base_means, adapted_means, binary)
    low, high = _interval(base_means, adapted_means, method, CONFIDENCE)
    return Comparison(
        base=_marginal(base_means, method),
        adapted=_marginal(adapted_means, method),
        change=Estimate(value=float(adapted_means.mean() - base_means.mean()), low=low, high=high),
        base_means=base_means,
        adapted_means=adapted_means,
        clusters=names,
        n_items=len(clusters),
        method=method,
    )


def _method(base: Array, adapted: Array, binary: bool) -> Method:
    if not binary:
        return "student-t over cluster means"
    whole = bool(np.isin(np.concatenate([base, adapted]), (0.0, 1.0)).all())
    return "tango score" if whole else "student-t over cluster shares, plus four"


def _interval(base: Array, adapted: Array, method: Method, confidence: float) -> Bounds:
    if method == "tango score":
        return tango(*_discordant(base, adapted), len(base), confidence)
    if method == "student-t over cluster means":
        return mean_interval(adapted - base, confidence)
    return _plus_four(adapted - base, confidence, (-1.0, 1.0))


def _marginal(means: Array, method: Method) -> Estimate:
    value = float(means.mean())
    if method == "tango score":
        low, high = proportion_interval(round(means.sum()), len(means))
    elif method == "student-t over cluster means":
        low, high = mean_interval(means)
    else:
        low, high = _plus_four(means, CONFIDENCE, (0.0, 1.0))
    return Estimate(value=value, low=low, high=high)


def _plus_four(shares: Array, confidence: float, ends: tuple[float, float]) -> Bounds:
    """Student's t around the mean, its width taken from the sample and two more clusters at either end of the range.

    Most clusters of a rare event show nothing, and now and then one flips as a whole: the spread that was seen says
    little of the spread there is. The four more observations of Agresti and Coull (1998), for clusters.
    """
    low, high = mean_interval(np.concatenate([shares, ends, ends]), confidence)
    if low is None or high is None or len(shares) < 2:
        return None, None
    value, half = float(shares.mean()), (high - low) / 2
    return max(ends[0], value - half), min(ends[1], value + half)


def _discordant(base: Array, adapted: Array) -> tuple[int, int]:
    return int(np.count_nonzero(adapted > base)), int(np.count_nonzero(adapted < base))


def over_seeds(effects: ArrayLike, confidence: float = CONFIDENCE) -> Estimate:
    """Estimate what a recipe does on average, from one effect a seed: Student's t.

    Parameters
    ----------
    effects : array_like, shape (n_seeds,)
        The same change, measured on the checkpoint of each seed; at least three.

    Raises
    ------
    ValueError
        With fewer seeds: one or two checkpoints say nothing about a recipe.

    Notes
    -----
    A percentile bootstrap over 3 seeds covers 67 % where it claims 95 %.

    Examples
    --------
    >>> over_seeds([0.10, 0.12, 0.14]).value
    0.12
    """
    x = np.asarray(effects, dtype=np.float64)
    if x.ndim != 1 or len(x) < MIN_SEEDS or not np.isfinite(x).all():
        raise ValueError(f"a claim about a recipe needs finite effects of at least {MIN_SEEDS} seeds, got {len(x)}")
    low, high = mean_interval(x, confidence)
    return Estimate(value=float(x.mean()), low=low, high=high)


def true_flips(lost: float, gained: float, neither: float, options: int) -> tuple[float, float]:
    """Adjust flips of multiple-choice answers for guessing.

    Parameters
    ----------
    lost, gained, neither : float
        Shares of items right on the base only, on the adapted only, on neither.
    options : int
        Choices of an item.

    Returns
    -------
    lost, gained : float
        Shares of items that were known and no longer are, and the other way; not below 0.

    Notes
    -----
    An item is known or guessed with 1 in ``options``; guesses are independent. Then neither = UU·(1 - 1/k)² and
    lost = KU·(1 - 1/k) + UU·(1 - 1/k)/k, which gives KU = lost·k/(k - 1) - neither·k/(k - 1)². The question is that of
    Harmon et al., arXiv 2510.17776.

    Examples
    --------
    Pure guessing among four loses and gains 3/16 by chance, and nothing is forgotten:

    >>> true_flips(3 / 16, 3 / 16, 9 / 16, 4)
    (0.0, 0.0)
    """
    if options < 2 or min(lost, gained, neither) < 0 or lost + gained + neither > 1 + 1e-9:
        raise ValueError(f"shares {lost}, {gained}, {neither} of items with {options} options")
    k = options
    chance = neither * k / (k - 1) ** 2
    return max(0.0, lost * k / (k - 1) - chance), max(0.0, gained * k / (k - 1) - chance)
