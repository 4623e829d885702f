"""Clusters: what varies by itself. Means over them, draws of them, and generators seeded from the data."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["cluster_means", "cluster_weights", "rng_from"]

Array = NDArray[np.float64]


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


def cluster_weights(
    clusters: ArrayLike, draws: int, rng: np.random.Generator, strata: ArrayLike | None = None
) -> Array:
    """Draw clusters with replacement; return how often each item is in each draw.

    Parameters
    ----------
    clusters : array_like, shape (n_items,)
    draws : int
    rng : numpy Generator
    strata : array_like, shape (n_items,), optional
        Clusters are drawn within the stratum of their first item, so that every stratum keeps its size.

    Returns
    -------
    ndarray, shape (n_items, draws)
        Whole numbers; one matrix product with scores gives the sums of all draws.

    Examples
    --------
    >>> weights = cluster_weights(["a", "a", "b"], 4, np.random.default_rng(0))
    >>> bool((weights[0] == weights[1]).all())
    True
    """
    _, first, codes = np.unique(np.asarray(clusters), return_index=True, return_inverse=True)
    of_cluster = np.zeros(len(first), dtype=np.int64)
    if strata is not None:
        of_cluster = np.unique(np.asarray(strata)[first], return_inverse=True)[1]
    counts = np.empty((len(first), draws))
    for stratum in np.unique(of_cluster):
        rows = np.flatnonzero(of_cluster == stratum)
        counts[rows] = rng.multinomial(len(rows), np.full(len(rows), 1 / len(rows)), size=draws).T
    return counts[codes]
