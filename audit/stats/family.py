"""Many findings at once: the level that a family leaves to each of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from audit.stats.clusters import rng_from
from audit.stats.paired import Compared

__all__ = ["false_discovery_level", "holm", "simultaneous_level"]

Array = NDArray[np.float64]


class Correlated(Protocol):
    """What has parts by which it is correlated with others."""

    def influence(self) -> dict[str, float]:
        """Return what each cluster (or seed) contributes."""


def simultaneous_level(family: Sequence[Correlated], alpha: float = 0.05, draws: int = 20_000) -> float:
    """Return the per-comparison alpha at which all intervals of a family hold at once with 1 - 2·alpha (max-T).

    Each comparison's change is asymptotically normal; their correlation is estimated from the clusters they share.
    The critical value is the quantile of the largest |Z| of that joint distribution (Hothorn, Bretz and Westfall,
    Biometrical Journal 50 (2008) 346-363); what is returned is the one-sided level that belongs to it, so that every
    comparison keeps its own interval method. Between alpha / m (independent, Bonferroni) and alpha (all the same).

    Examples
    --------
    >>> from audit.stats import compare
    >>> one = compare([0, 0.5, 1.0], [0.1, 0.7, 1.3], ["a", "b", "c"])
    >>> simultaneous_level([one])
    0.05
    >>> simultaneous_level([one, one])  # the same quantity twice is one quantity
    0.05
    """
    if len(family) <= 1:
        return alpha
    correlation = _correlation(family)
    if not (np.abs(correlation) < 1 - 1e-9).any():
        return alpha
    values, vectors = np.linalg.eigh(correlation)
    root = (vectors * np.sqrt(np.clip(values, 0.0, None))) @ vectors.T  # the same whatever signs the vectors have
    rng = rng_from(np.round(correlation, 6) + 0.0)  # which has no -0, whose bytes are others
    largest = np.abs(rng.standard_normal((draws, len(family))) @ root).max(axis=1)
    critical = float(np.quantile(largest, 1 - 2 * alpha, method="higher"))
    return float(np.clip(stats.norm.sf(critical), alpha / len(family), alpha))


def _correlation(family: Sequence[Correlated]) -> Array:
    """Correlation of the changes; one without variation is correlated with none."""
    influences = [one.influence() for one in family]
    position = {name: i for i, name in enumerate(sorted({name for one in influences for name in one}))}
    matrix = np.zeros((len(family), len(position)))
    for row, influence in zip(matrix, influences, strict=True):
        for name, share in influence.items():
            row[position[name]] = share
    covariance = matrix @ matrix.T
    scale = np.sqrt(np.diag(covariance))
    scale[scale < 1e-15] = np.inf
    correlation: Array = covariance / np.outer(scale, scale)
    np.fill_diagonal(correlation, 1.0)
    return correlation


def holm(p: ArrayLike) -> Array:
    """Holm's adjusted p-values, in the order given: the fallback where no correlation can be estimated.

    Examples
    --------
    Holm (1979); R's ``p.adjust(c(.01, .02, .03), "holm")``:

    >>> holm([0.01, 0.02, 0.03]).tolist()
    [0.03, 0.04, 0.04]
    """
    values = np.asarray(p, dtype=np.float64)
    if values.ndim != 1 or not ((values > 0) & (values <= 1)).all():
        raise ValueError("p-values lie in (0, 1]")
    order = np.argsort(values, kind="stable")
    stepped = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1))
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted


def false_discovery_level(
    slices: Sequence[Compared], margins: Sequence[float], alpha: float = 0.05, *, dependent: bool = False
) -> float:
    """Return the level at which exploratory slices are judged so that few of the discoveries are false.

    Parameters
    ----------
    slices : sequence of Compared
    margins : sequence of float
    alpha : float
        The share of false ones among slices declared ``worse`` or ``better``, in expectation.
    dependent : bool
        False is Benjamini-Hochberg (independent or positively dependent); True is Benjamini-Yekutieli (any).

    Returns
    -------
    float
        R·alpha / m, where R is the largest number of slices whose intervals at that level lie beyond their margins.

    Notes
    -----
    The step-up rule of Benjamini and Hochberg (1995), said in intervals; those of the slices found are the
    false-coverage-rate intervals of Benjamini and Yekutieli, JASA 100 (2005) 71-81.
    """
    m = len(slices)
    penalty = sum(1 / i for i in range(1, m + 1)) if dependent else 1.0
    for found in range(m, 0, -1):
        level = found * alpha / (m * penalty)
        beyond = 0
        for one, margin in zip(slices, margins, strict=True):
            low, high = one.interval(1 - 2 * level)
            beyond += low is not None and high is not None and (low > margin or high < -margin)
        if beyond >= found:
            return level
    return alpha / (m * penalty) if m else alpha
