"""Permutation tests: whole clusters are permuted, and no p-value is 0."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["deal_clusters", "permutation_p", "sign_flip_p"]

Array = NDArray[np.float64]


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


def deal_clusters(clusters: ArrayLike, size: int, draws: int, rng: np.random.Generator) -> Array:
    """Deal whole clusters anew to a first sample of about ``size`` items.

    Parameters
    ----------
    clusters : array_like, shape (n_items,)
    size, draws : int
    rng : numpy Generator

    Returns
    -------
    ndarray, shape (n_items, draws)
        1 where an item is in the first sample of a draw, else 0; all items of a cluster alike. Either sample has two
        clusters at least, where there are four, however large one of them is: what compares clusters needs a pair.
    """
    codes = np.unique(np.asarray(clusters), return_inverse=True)[1]
    sizes = np.bincount(codes)
    least = max(1, min(2, len(sizes) // 2))
    most = max(least, len(sizes) - least)
    result = np.empty((len(codes), draws))
    for draw in range(draws):
        order = rng.permutation(len(sizes))
        taken = min(max(int(np.searchsorted(np.cumsum(sizes[order]), size, side="right")), least), most)
        first = np.zeros(len(sizes))
        first[order[:taken]] = 1
        result[:, draw] = first[codes]
    return result


def sign_flip_p(differences: ArrayLike, rng: np.random.Generator, draws: int = 9999) -> float:
    """Two-sided sign-flip test that differences of independent clusters are symmetric around 0.

    Parameters
    ----------
    differences : array_like, shape (n_clusters,)
    rng : numpy Generator
    draws : int
        Random flips; with up to 12 clusters all of them are enumerated instead, and the test is exact.

    Examples
    --------
    Three differences of one sign: 2 of the 8 flips are as extreme, the observed one among them.

    >>> sign_flip_p([1.0, 2.0, 3.0], np.random.default_rng(0))
    0.25
    """
    d = np.asarray(differences, dtype=np.float64)
    if d.ndim != 1 or len(d) == 0 or not np.isfinite(d).all():
        raise ValueError("a sign-flip test needs finite differences of at least one cluster")
    observed = abs(float(d.sum()))
    if len(d) <= 12:
        bits = (np.arange(2 ** len(d))[:, None] >> np.arange(len(d))) & 1
        sums = np.abs((1 - 2 * bits) @ d)
        return float(np.mean(sums >= observed - 1e-12 * max(1.0, observed)))
    signs = rng.choice([-1.0, 1.0], size=(draws, len(d)))
    return permutation_p(observed, np.abs(signs @ d))
