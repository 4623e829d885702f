"""The representation gap: maximum mean discrepancy in the base's own space, between two halves and unrelated text."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import pdist

from audit.audits.gap.placed import Placed, Samples
from audit.stats import deal_clusters, permutation_p

__all__ = ["mmd2", "representation"]

PERMUTATIONS = 999
SPLITS = 200
MEDIAN_OF = 1000  # items, evenly spaced, whose distances set the bandwidth
RESOLUTION = 1e-6  # of sums in single precision, in units of the kernel: what lies closer is a tie

Array = NDArray[np.float64]
Single = NDArray[np.float32]
Codes = NDArray[np.int64]


def representation(samples: Samples, features: Sequence[Array]) -> Placed:
    """Place the task by MMD (RBF kernel, median bandwidth, unbiased), with a permutation p over whole clusters.

    Parameters
    ----------
    samples : Samples
    features : sequence of ndarray, shapes (n, d)
        Of reference, task and ceiling.

    Raises
    ------
    NotMeasurable
        If the base cannot tell the ceiling from the reference.

    Notes
    -----
    The population MMD of a mixture (1 - λ)·P + λ·Q from P is λ·MMD(P, Q), so the position reads as the share of
    unrelated text that would move the reference as far. The zero is the median of ``SPLITS`` random halves of the
    reference; the estimator is unbiased, so it is 0 but for what the halves leave, and adds no noise. Pairs of a
    cluster are left out of every mean within a sample, and of its draws.
    """
    middle = np.concatenate(features).mean(axis=0)  # far from the origin, differences of squares lose their digits
    reference, task, unrelated = (np.asarray(one - middle, dtype=np.float32) for one in features)
    codes = [one.codes for one in samples.all]
    both = samples.documents
    n, together = len(reference), np.concatenate([reference, task])
    bandwidth = float(np.median(pdist(together[:: -(-len(together) // MEDIAN_OF)], "sqeuclidean"))) or 1.0
    near = _without_pairs_of_a_cluster(_rbf(_squares(together, together), bandwidth), both)
    far = _rbf(_squares(reference, unrelated), bandwidth)
    away = _without_pairs_of_a_cluster(_rbf(_squares(unrelated, unrelated), bandwidth), codes[2])

    of_reference, of_task, of_ceiling = (one.astype(np.float32) for one in samples.weights)
    own = _within(near[:n, :n], codes[0], of_reference)
    measured = own + _within(near[n:, n:], codes[1], of_task) - 2 * _between(near[:n, n:], of_reference, of_task)
    ceiling = own + _within(away, codes[2], of_ceiling) - 2 * _between(far, of_reference, of_ceiling)
    halves = deal_clusters(codes[0], n // 2, SPLITS, samples.rng("halves"))
    shuffled = deal_clusters(both, n, PERMUTATIONS, samples.rng("permutations"))
    return Placed.read(
        "representation",
        f"distance of the task's {samples.what} from the reference in the base's space (MMD)",
        "squared maximum mean discrepancy",
        measured,
        ceiling,
        float(np.median(mmd2(near[:n, :n], codes[0], halves))),
        p=permutation_p(float(measured[0]) - RESOLUTION, mmd2(near, both, shuffled)),
        n_items=len(samples.items),
        n_clusters=min(one.n_clusters for one in samples.all),
        root=True,
    )


def mmd2(kernel: Single | Array, clusters: Codes, first: Array) -> Array:
    """Unbiased squared maximum mean discrepancy between some items and all others, for many choices at once.

    Parameters
    ----------
    kernel : ndarray, shape (n, n)
        Kernel values, with 0 for pairs of one cluster (an item and itself among them): they count in no mean.
    clusters : ndarray of int, shape (n,)
        From 0 on, none left out.
    first : ndarray, shape (n, choices)
        1 where an item is in the first sample, 0 where it is in the second.

    Returns
    -------
    ndarray, shape (choices,)

    Notes
    -----
    Gretton et al., Journal of Machine Learning Research 13 (2012) 723-773, equation 3. One matrix product serves all
    choices, in the precision of the kernel: the sums within the second sample and between the two are what it leaves
    of the sums of rows, and how many pairs they hold follows from the sizes of the clusters.

    Examples
    --------
    Two points at 0 and two at 1, k = 1 - |x - y|: mean within 1, mean between 0, so 1 + 1 - 0.

    >>> k = np.array([[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1], [0, 0, 1, 0]], dtype=float)
    >>> mmd2(k, np.arange(4), np.array([[1.0], [1], [0], [0]]))
    array([2.])
    """
    chosen: Single | Array = first.astype(np.float32) if kernel.dtype == np.float32 else first
    rows = kernel.sum(axis=1, dtype=np.float64)
    inside = _dot(chosen, kernel @ chosen)
    crossing = rows @ first - inside
    outside = rows.sum() - inside - 2 * crossing
    sizes, of_first = np.bincount(clusters).astype(np.float64), _by_cluster(clusters, chosen)
    n, m = len(clusters), of_first.sum(axis=0, dtype=np.float64)
    met, squared = sizes @ of_first, _dot(of_first, of_first)  # met: each item with those of its cluster
    result: Array = (
        inside / (m**2 - squared)
        + outside / ((n - m) ** 2 - (sizes @ sizes - 2 * met + squared))
        - 2 * crossing / (m * (n - m) - (met - squared))
    )
    return result


def _within(kernel: Single, clusters: Codes, weights: Single) -> Array:
    """Mean kernel within weighted samples, over pairs of different clusters."""
    sizes = _by_cluster(clusters, weights)
    mean: Array = _dot(weights, kernel @ weights) / (sizes.sum(axis=0, dtype=np.float64) ** 2 - _dot(sizes, sizes))
    return mean


def _between(kernel: Single, first: Single, second: Single) -> Array:
    """Mean kernel between weighted samples; the kernel's rows are of the first, its columns of the second."""
    sizes = first.sum(axis=0, dtype=np.float64) * second.sum(axis=0, dtype=np.float64)
    mean: Array = _dot(first, kernel @ second) / sizes
    return mean


def _dot(one: Single | Array, other: Single | Array) -> Array:
    """Sum of products, a column at a time, in double precision."""
    result: Array = (one * other).sum(axis=0, dtype=np.float64)
    return result


def _by_cluster(clusters: Codes, weights: Single | Array) -> Single | Array:
    """Sum of weights in each cluster, shape (n_clusters, draws)."""
    order = np.argsort(clusters, kind="stable")
    if len(np.unique(clusters)) == len(clusters):
        return weights[order]
    sums: Single | Array = np.add.reduceat(weights[order], np.flatnonzero(np.diff(clusters[order], prepend=-1)), axis=0)
    return sums


def _squares(first: Single, second: Single) -> Single:
    """Squared distances of all rows to all rows."""
    lengths = [np.einsum("ij,ij->i", one, one) for one in (first, second)]
    squares: Single = first @ second.T
    squares *= -2
    squares += lengths[0][:, None]
    squares += lengths[1]
    return np.maximum(squares, 0, out=squares)


def _rbf(squares: Single, bandwidth: float) -> Single:
    """Turn squared distances into kernel values, in place; ``bandwidth`` is squared as well."""
    squares *= np.float32(-0.5 / bandwidth)
    return np.exp(squares, out=squares)


def _without_pairs_of_a_cluster(kernel: Single, clusters: Codes) -> Single:
    """Write 0 for pairs of one cluster, in place."""
    order = np.argsort(clusters, kind="stable")
    for members in np.split(order, np.flatnonzero(np.diff(clusters[order])) + 1):
        kernel[np.ix_(members, members)] = 0
    return kernel
