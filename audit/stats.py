"""Paired and clustered intervals, equivalence, simultaneous levels, permutation: numpy and scipy only.

The unit is the cluster (a document, a template, a writer). Every comparison first averages the items of a cluster, so
repeating an item proves nothing more. If every cluster then holds a plain 0 or 1 on both sides, the outcome is binary
and the Tango score interval decides; otherwise Student's t over the cluster means does.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, stats

from audit.finding import MIN_CLUSTERS_FOR_SAME, Bounds, Decision, Estimate, Method

__all__ = [
    "Comparison",
    "cluster_means",
    "clusters_needed",
    "compare",
    "mcnemar",
    "mean_interval",
    "newcombe",
    "permutation_p",
    "proportion_interval",
    "rng_from",
    "simultaneous_level",
    "tango",
]

Array = NDArray[np.float64]
CONFIDENCE = 0.95  # of every interval that is shown; decisions use 1 - 2·alpha


def rng_from(*arrays: ArrayLike) -> np.random.Generator:
    """Return a generator seeded from the content of its inputs: the same data, the same draws.

    Examples
    --------
    >>> bool(rng_from([1.0, 2.0]).random() == rng_from([1.0, 2.0]).random())
    True
    """
    digest = hashlib.sha256()
    for array in arrays:
        values = np.ascontiguousarray(array)
        digest.update(f"{values.dtype.str}{values.shape}".encode())
        digest.update(values.tobytes())
    return np.random.default_rng(int.from_bytes(digest.digest()[:16], "little"))


def cluster_means(values: ArrayLike, clusters: Sequence[str]) -> tuple[Array, NDArray[np.str_]]:
    """Average values within clusters.

    Parameters
    ----------
    values : array_like, shape (n_items,)
        One finite number an item.
    clusters : sequence of str, length n_items
        The cluster of each item.

    Returns
    -------
    means : ndarray, shape (n_clusters,)
    names : ndarray of str, shape (n_clusters,)
        Sorted, so the result does not depend on the order of the items.

    Raises
    ------
    ValueError
        If lengths differ or a value is not finite.

    Examples
    --------
    >>> cluster_means([1.0, 3.0, 5.0], ["b", "b", "a"])[0]
    array([5., 2.])
    """
    x = np.asarray(values, dtype=np.float64)
    if x.ndim != 1 or len(x) != len(clusters):
        raise ValueError(f"{len(clusters)} clusters for values of shape {x.shape}")
    if not np.isfinite(x).all():
        bad = int(np.flatnonzero(~np.isfinite(x))[0])
        raise ValueError(f"value {x[bad]} of item {bad} (cluster {clusters[bad]!r}) is not finite")
    if len(x) == 0:
        return x, np.array([], dtype=np.str_)
    names, index = np.unique(np.asarray(clusters, dtype=np.str_), return_inverse=True)
    sums = np.zeros(len(names))
    order = np.lexsort((x, index))  # summation order fixed by content: shuffled items give the same bits
    np.add.at(sums, index[order], x[order])
    return sums / np.bincount(index), names


def mean_interval(means: ArrayLike, confidence: float = CONFIDENCE) -> Bounds:
    """Student-t interval of a mean over independent units; (None, None) where they do not vary.

    Examples
    --------
    Student's sleep data (Student 1908; R's ``t.test(extra ~ group, paired = TRUE)`` prints 0.70 2.46):

    >>> extra = [1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4]
    >>> low, high = mean_interval(extra)
    >>> print(f"{low:.2f} {high:.2f}")
    0.70 2.46
    """
    x = np.asarray(means, dtype=np.float64)
    if len(x) < 2:
        return None, None
    mean, spread = float(x.mean()), float(x.std(ddof=1))
    half = float(stats.t.ppf((1 + confidence) / 2, len(x) - 1)) * spread / math.sqrt(len(x))
    if half <= 1e-12 * max(1.0, abs(mean)):
        return None, None
    return mean - half, mean + half


def proportion_interval(successes: int, n: int, confidence: float = CONFIDENCE) -> Bounds:
    """Wilson's score interval of one proportion; (None, None) for n = 0.

    Examples
    --------
    >>> low, high = proportion_interval(0, 10)
    >>> print(f"{low:.3f} {high:.3f}")
    0.000 0.278
    """
    if not 0 <= successes <= n:
        raise ValueError(f"{successes} of {n} is not a proportion")
    if n == 0:
        return None, None
    interval = stats.binomtest(successes, n).proportion_ci(confidence, method="wilson")
    return float(interval.low), float(interval.high)


def tango(b: int, c: int, n: int, confidence: float = CONFIDENCE) -> Bounds:
    """Score interval of a difference of paired proportions, (b - c) / n.

    Parameters
    ----------
    b, c : int
        Discordant pairs of either kind.
    n : int
        All pairs.
    confidence : float

    Returns
    -------
    low, high : float
        (None, None) for n = 0. Never of zero width: 0 of 10 discordant gives ±.28 at 95 %.

    Notes
    -----
    Tango, Statistics in Medicine 17 (1998) 891-908: the set of differences that the score test does not reject.

    Examples
    --------
    The airway data of Fagerland, Lydersen and Laake, Statistics in Medicine 33 (2014) 2850-2875 (b=1, c=7, n=21):

    >>> low, high = tango(1, 7, 21)
    >>> print(f"{low:.3f} {high:.3f}")
    -0.517 -0.026
    """
    _check_counts(b, c, n)
    if n == 0:
        return None, None
    z = float(stats.norm.ppf((1 + confidence) / 2))
    point = (b - c) / n

    def excess(delta: float) -> float:
        return _tango_score(b, c, n, delta) ** 2 - z**2

    low = -1.0 if excess(-1 + 1e-12) < 0 else float(optimize.brentq(excess, -1 + 1e-12, point, xtol=1e-13))
    high = 1.0 if excess(1 - 1e-12) < 0 else float(optimize.brentq(excess, point, 1 - 1e-12, xtol=1e-13))
    return low, high


def _tango_score(b: int, c: int, n: int, delta: float) -> float:
    numerator = b - c - n * delta
    if numerator == 0:
        return 0.0
    a2 = 2 * n
    a1 = -b - c + (2 * n - b + c) * delta
    a0 = -c * delta * (1 - delta)
    q21 = (math.sqrt(max(a1 * a1 - 4 * a2 * a0, 0.0)) - a1) / (2 * a2)
    variance = n * (2 * q21 + delta * (1 - delta))
    return numerator / math.sqrt(variance) if variance > 0 else math.copysign(math.inf, numerator)


def newcombe(both: int, b: int, c: int, neither: int, confidence: float = CONFIDENCE) -> Bounds:
    """Newcombe's paired interval (method 10) of (b - c) / n from the whole 2 × 2 table: the cross-check of `tango`.

    Notes
    -----
    Newcombe, Statistics in Medicine 17 (1998) 2635-2650: Wilson limits of both margins, joined with their correlation.

    Examples
    --------
    The airway data again (Fagerland et al. 2014):

    >>> low, high = newcombe(1, 1, 7, 12)
    >>> print(f"{low:.3f} {high:.3f}")
    -0.507 -0.026
    """
    n = both + b + c + neither
    _check_counts(b, c, n)
    if n == 0:
        return None, None
    p1, p2 = (both + b) / n, (both + c) / n
    low1, high1 = proportion_interval(both + b, n, confidence)
    low2, high2 = proportion_interval(both + c, n, confidence)
    assert low1 is not None
    assert high1 is not None
    assert low2 is not None
    assert high2 is not None
    margins = (both + b) * (c + neither) * (both + c) * (b + neither)
    cross = both * neither - b * c
    phi = 0.0 if margins == 0 else (max(cross - n / 2, 0.0) if cross > 0 else float(cross)) / math.sqrt(margins)
    below = (p1 - low1) ** 2 - 2 * phi * (p1 - low1) * (high2 - p2) + (high2 - p2) ** 2
    above = (high1 - p1) ** 2 - 2 * phi * (high1 - p1) * (p2 - low2) + (p2 - low2) ** 2
    return p1 - p2 - math.sqrt(max(below, 0.0)), p1 - p2 + math.sqrt(max(above, 0.0))


def mcnemar(b: int, c: int, alternative: Literal["two-sided", "greater", "less"] = "two-sided") -> float:
    """Exact McNemar p-value: b of b + c discordant pairs against a fair coin.

    Parameters
    ----------
    b, c : int
        Discordant pairs of either kind.
    alternative : {"two-sided", "greater", "less"}
        "greater" asks whether b is too large.

    Examples
    --------
    >>> print(f"{mcnemar(12, 4, 'greater'):.5f}")  # binomial tail P(X >= 12 | 16, 1/2) = 2517/65536
    0.03841
    """
    if b + c == 0:
        return 1.0
    return float(stats.binomtest(b, b + c, alternative=alternative).pvalue)


def _check_counts(b: int, c: int, n: int) -> None:
    if min(b, c) < 0 or b + c > n:
        raise ValueError(f"{b} + {c} discordant pairs of {n}")


def permutation_p(observed: float, permuted: ArrayLike) -> float:
    """Upper-tail permutation p-value (1 + k) / (1 + B): never 0 (Phipson and Smyth 2010).

    Examples
    --------
    >>> permutation_p(3.0, [1.0, 2.0, 0.5])
    0.25
    """
    draws = np.asarray(permuted, dtype=np.float64)
    if draws.size == 0 or not np.isfinite(draws).all() or not math.isfinite(observed):
        raise ValueError("a permutation test needs a finite statistic and at least one finite permuted one")
    return float((1 + np.count_nonzero(draws >= observed - 1e-12 * max(1.0, abs(observed)))) / (1 + draws.size))


def clusters_needed(
    spread: float, margin: float, change: float = 0.0, alpha: float = 0.05, power: float = 0.8
) -> int | None:
    """Clusters at which a true change would be decided against a margin.

    Parameters
    ----------
    spread : float
        Standard deviation of a cluster's change; for binary outcomes the root of the discordant share.
    margin, change : float
        The margin and the true change. Inside the margin the decision is ``same`` (two one-sided tests), beyond it
        ``worse`` or ``better``.
    alpha, power : float

    Returns
    -------
    int or None
        None where the change sits on the margin: no n decides that.

    Notes
    -----
    Normal approximation, n = (z[1-alpha] + z[power'])² spread² / distance², where power' = (1 + power) / 2 for a
    change of exactly 0 (both tests must reject) and power otherwise (one of them binds).

    Examples
    --------
    >>> clusters_needed(math.sqrt(0.05), 0.05)  # 5 % of pairs discordant, 5-point margin
    172
    """
    if margin <= 0 or spread < 0:
        raise ValueError(f"margin {margin} and spread {spread}: the first is above 0, the second not below it")
    distance = abs(margin - abs(change))
    if distance < 1e-12:
        return None
    wanted = (1 + power) / 2 if change == 0 else power
    z = float(stats.norm.ppf(1 - alpha) + stats.norm.ppf(wanted))
    n = math.ceil((z * spread / distance) ** 2)
    return n if n < 10**9 else None


@dataclass(frozen=True)
class Comparison:
    """A paired comparison of base and adapted: estimates, and the means per cluster from which any level follows.

    Attributes
    ----------
    base, adapted, change : Estimate
        With 95 % intervals.
    base_means, adapted_means : ndarray, shape (n_clusters,)
    clusters : ndarray of str, shape (n_clusters,)
        Sorted names, by which comparisons of one family are aligned.
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
        if self.method == "tango score":
            return tango(*_discordant(self.base_means, self.adapted_means), self.n_clusters, confidence)
        return mean_interval(self.differences, confidence)

    def p_value(self) -> float | None:
        """Two-sided detection of any change: exact McNemar, or Student's t over clusters; null where nothing varies."""
        if self.method == "tango score":
            return mcnemar(*_discordant(self.base_means, self.adapted_means))
        if self.change.low is None:
            return None
        t = self.change.value / (float(self.differences.std(ddof=1)) / math.sqrt(self.n_clusters))
        return max(float(2 * stats.t.sf(abs(t), self.n_clusters - 1)), np.finfo(np.float64).tiny)

    def decision(self, alpha: float = 0.05, level: float | None = None) -> Decision:
        """Return the intervals that decide: unadjusted at alpha, and simultaneous at the family's own level."""
        return Decision(
            same=self.interval(1 - 2 * alpha), beyond=self.interval(1 - 2 * (alpha if level is None else level))
        )

    def needed(self, margin: float, alpha: float = 0.05) -> int | None:
        """Clusters that would decide with power 80 %: that 0 is ``same``, or that a change beyond the margin is.

        A spread that was not seen (no discordant pair, no variation) is no proof that there is none: binary outcomes
        count half a discordant pair more than was observed, means without variation give no answer.
        """
        change = self.change.value if abs(self.change.value) > margin else 0.0
        if self.n_clusters < 2:
            return None
        if self.method != "tango score":
            if self.change.low is None:
                return MIN_CLUSTERS_FOR_SAME
            spread = float(self.differences.std(ddof=1))
            wanted = clusters_needed(spread, margin, change, alpha)
            return None if wanted is None else max(wanted, MIN_CLUSTERS_FOR_SAME)
        discordant = float(np.count_nonzero(self.differences)) + 0.5
        share = min(discordant / self.n_clusters, 1.0)
        wanted = clusters_needed(math.sqrt(max(share - change**2, 1e-12)), margin, change, alpha)
        z = float(stats.norm.ppf(1 - alpha))
        least = math.ceil(z**2 * (1 - margin) / margin) if margin < 1 else 1  # Tango's bound with no discordant pair
        return None if wanted is None else max(wanted, least)


def compare(base: ArrayLike, adapted: ArrayLike, clusters: Sequence[str]) -> Comparison:
    """Compare base and adapted on the same items.

    Parameters
    ----------
    base, adapted : array_like, shape (n_items,)
        What each side scored on each item, in the same order; finite.
    clusters : sequence of str, length n_items

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
    both = np.concatenate([base_means, adapted_means])
    binary = bool(np.isin(both, (0.0, 1.0)).all())
    if binary:
        low, high = tango(*_discordant(base_means, adapted_means), len(names))
    else:
        low, high = mean_interval(adapted_means - base_means)
    change = Estimate(value=float(adapted_means.mean() - base_means.mean()), low=low, high=high)
    return Comparison(
        base=_marginal(base_means, binary),
        adapted=_marginal(adapted_means, binary),
        change=change,
        base_means=base_means,
        adapted_means=adapted_means,
        clusters=names,
        n_items=len(clusters),
        method="tango score" if binary else "student-t over cluster means",
    )


def _marginal(means: Array, binary: bool) -> Estimate:
    low, high = proportion_interval(round(means.sum()), len(means)) if binary else mean_interval(means)
    return Estimate(value=float(means.mean()), low=low, high=high)


def _discordant(base: Array, adapted: Array) -> tuple[int, int]:
    return int(np.count_nonzero(adapted > base)), int(np.count_nonzero(adapted < base))


def simultaneous_level(family: Sequence[Comparison], alpha: float = 0.05, draws: int = 20_000) -> float:
    """Return the per-comparison alpha at which all intervals of a family hold at once with 1 - 2·alpha (max-T).

    Each comparison's change is asymptotically normal; their correlation is estimated from the clusters they share.
    The critical value is the quantile of the largest |Z| of that joint distribution (Hothorn, Bretz and Westfall,
    Biometrical Journal 50 (2008) 346-363); what is returned is the one-sided level that belongs to it, so that every
    comparison keeps its own interval method. Between alpha / m (independent, Bonferroni) and alpha (all the same).

    Examples
    --------
    >>> one = compare([0, 0.5, 1.0], [0.1, 0.7, 1.3], ["a", "b", "c"])
    >>> simultaneous_level([one])
    0.05
    >>> simultaneous_level([one, one])  # the same quantity twice is one quantity
    0.05
    """
    varying = [one for one in family if one.n_clusters > 1 and float(np.ptp(one.differences)) > 0]
    still = len(family) - len(varying)
    if len(family) <= 1:
        return alpha
    correlation = np.eye(len(family))
    correlation[still:, still:] = _correlation(varying)
    values, vectors = np.linalg.eigh(correlation)
    root = vectors * np.sqrt(np.clip(values, 0.0, None))
    rng = rng_from(np.round(correlation, 6))
    largest = np.abs(rng.standard_normal((draws, len(family))) @ root.T).max(axis=1)
    critical = float(np.quantile(largest, 1 - 2 * alpha, method="higher"))
    return float(np.clip(stats.norm.sf(critical), alpha / len(family), alpha)) if _distinct(correlation) else alpha


def _distinct(correlation: Array) -> bool:
    return bool((np.abs(correlation) < 1 - 1e-9).any())


def _correlation(family: Sequence[Comparison]) -> Array:
    """Correlation of the changes, from the influence of each cluster on each of them."""
    names = np.unique(np.concatenate([one.clusters for one in family])) if family else np.array([], dtype=np.str_)
    influence = np.zeros((len(family), len(names)))
    for row, one in zip(influence, family, strict=True):
        row[np.searchsorted(names, one.clusters)] = (one.differences - one.differences.mean()) / one.n_clusters
    covariance = influence @ influence.T
    scale = np.sqrt(np.diag(covariance))
    result: Array = covariance / np.outer(scale, scale)
    return result
