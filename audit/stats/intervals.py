"""Intervals of means and of single, paired and independent proportions; exact tests of paired ones."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize, stats

from audit.finding import Bounds

__all__ = ["CONFIDENCE", "mcnemar", "mean_interval", "newcombe", "proportion_interval", "tango"]

CONFIDENCE = 0.95  # of every interval that is shown; decisions use 1 - 2·alpha


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


@lru_cache(maxsize=100_000)
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


@lru_cache(maxsize=100_000)
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
