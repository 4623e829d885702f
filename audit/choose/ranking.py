"""Ranks with intervals: who is surely better than whom, on the same texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from audit.stats import Comparison, compare, simultaneous_level

__all__ = ["Rank", "pairwise", "ranked"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Rank:
    """A place among several, 1 the best: what is not told apart shares it.

    Attributes
    ----------
    place : int
        One more than those that are surely better; the lower end of the 95 % interval of the true rank.
    high : int
        The upper end: all but those that are surely worse.
    tied : tuple of int
        Numbers of those that it cannot be told from.
    """

    place: int
    high: int
    tied: tuple[int, ...]


def pairwise(
    scores: Sequence[Array], clusters: Sequence[str], *, binary: bool = False, alpha: float = 0.025
) -> dict[tuple[int, int], tuple[float, float] | None]:
    """Intervals of the difference of every pair, which hold at once with 1 - 2·alpha.

    Parameters
    ----------
    scores : sequence of ndarray, shape (n,)
        Larger is better, on the same texts.
    clusters : sequence of str, length n
    binary : bool
        Whether the scores are shares of outcomes that are right or wrong.
    alpha : float

    Returns
    -------
    dict
        (first, second), first < second: interval of second minus first; None where nothing varies.
    """
    pairs: dict[tuple[int, int], Comparison] = {
        (first, second): compare(scores[first], scores[second], clusters, binary=binary)
        for first, second in combinations(range(len(scores)), 2)
    }
    level = simultaneous_level(list(pairs.values()), alpha)
    found: dict[tuple[int, int], tuple[float, float] | None] = {}
    for pair, one in pairs.items():
        low, high = one.interval(1 - 2 * level)
        found[pair] = None if low is None or high is None else (low, high)
    return found


def ranked(scores: Sequence[Array], clusters: Sequence[str], *, binary: bool = False) -> list[Rank]:
    """Rank by mean score, with an interval of the rank.

    Parameters
    ----------
    scores : sequence of ndarray, shape (n,)
        Larger is better, on the same texts.
    clusters : sequence of str, length n
    binary : bool
        Whether the scores are shares of outcomes that are right or wrong.

    Returns
    -------
    list of Rank
        In the order given.

    Notes
    -----
    The interval of a rank counts those that are surely better and surely worse, by paired differences over clusters
    whose intervals hold at once for all pairs (max-T): Mogstad, Romano, Shaikh and Wilhelm, Review of Economic Studies
    91 (2024) 476-518. A percentile bootstrap of the rank itself is too sure of itself where scores are close.

    Examples
    --------
    >>> texts = [str(number) for number in range(40)]
    >>> good, same, poor = np.arange(40) % 5 / 5, (np.arange(40) + 1) % 5 / 5, np.arange(40) % 5 / 5 - 1.01
    >>> poor = poor + np.arange(40) % 3 / 100
    >>> [(one.place, one.high) for one in ranked([poor, good, same], texts)]
    [(3, 3), (1, 2), (1, 2)]
    """
    better = np.zeros((len(scores), len(scores)), dtype=bool)  # row is surely better than column
    for (first, second), bounds in pairwise(scores, clusters, binary=binary).items():
        if bounds is not None:
            better[second, first], better[first, second] = bounds[0] > 0, bounds[1] < 0
    count = len(scores)
    return [
        Rank(
            place=1 + int(better[:, one].sum()),
            high=count - int(better[one].sum()),
            tied=tuple(
                other for other in range(count) if other != one and not better[one, other] and not better[other, one]
            ),
        )
        for one in range(count)
    ]
