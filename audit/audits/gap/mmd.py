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

Array = NDArray[np.float64]


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
    reference. Draws leave pairs of a cluster out of every within-sample mean.
    """
    reference, task, unrelated = features
    together = np.concatenate([reference, task])
    bandwidth = float(np.median(pdist(together))) or 1.0
    joint = np.concatenate([samples.reference.codes, samples.task.codes + samples.reference.n_clusters])
    apart = np.concatenate([samples.reference.codes, samples.ceiling.codes + samples.reference.n_clusters])
    near = _kernel(together, joint, bandwidth)
    far = _kernel(np.concatenate([reference, unrelated]), apart, bandwidth)
    n, weights = len(reference), samples.weights
    halves = _halves(samples.reference.codes, SPLITS, samples.rng("halves"))
    null = float(np.median(mmd2(near[:, :n, :n], halves, 1 - halves)))
    measured = mmd2(near, *_apart(weights[0], weights[1]))
    ceiling = mmd2(far, *_apart(weights[0], weights[2]))
    shuffled = deal_clusters(joint, n, PERMUTATIONS, samples.rng("permutations"))
    return Placed.read(
        "representation",
        "distance of the task's texts from the reference in the base's space (MMD)",
        "squared maximum mean discrepancy",
        measured,
        ceiling,
        null,
        p=permutation_p(float(measured[0]), mmd2(near, shuffled, 1 - shuffled)),
        n_items=len(samples.items),
        n_clusters=min(one.n_clusters for one in samples.all),
        root=True,
    )


def mmd2(kernel: Array, first: Array, second: Array) -> Array:
    """Unbiased squared maximum mean discrepancy of two weighted samples, many weightings at once.

    Parameters
    ----------
    kernel : ndarray, shape (n, n)
        Kernel values, with 0 for pairs that must not count within a sample (an item with itself, or its own cluster).
    first, second : ndarray, shape (n, draws)
        Weight of each item in either sample; an item has weight in one of them only.

    Returns
    -------
    ndarray, shape (draws,)

    Notes
    -----
    Gretton et al., Journal of Machine Learning Research 13 (2012) 723-773, equation 3, with weights. One matrix
    product serves all draws. The number of pairs within a sample is counted from the non-zero kernel entries.

    Examples
    --------
    Two points at 0 and two at 1, k = 1 - |x - y|: mean within 1, mean between 0, so 1 + 1 - 0.

    >>> k = np.array([[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1], [0, 0, 1, 0]], dtype=float)
    >>> counts = 1 - np.eye(4)
    >>> a, b = np.array([[1.], [1], [0], [0]]), np.array([[0.], [0], [1], [1]])
    >>> mmd2(np.stack([k, counts]), a, b)
    array([2.])
    """
    values, counts = kernel
    of_first, of_second = values @ first, values @ second
    pairs_first, pairs_second = counts @ first, counts @ second

    def mean(weights: Array, sums: Array, pairs: Array) -> Array:
        result: Array = np.einsum("id,id->d", weights, sums) / np.einsum("id,id->d", weights, pairs)
        return result

    return (
        mean(first, of_first, pairs_first)
        + mean(second, of_second, pairs_second)
        - 2 * mean(first, of_second, pairs_second)
    )


def _kernel(features: Array, clusters: NDArray[np.int64], bandwidth: float) -> Array:
    """RBF kernel and pair counts, both 0 for pairs of one cluster; shape (2, n, n)."""
    squares = np.einsum("ij,ij->i", features, features)
    distances = np.maximum(squares[:, None] + squares[None, :] - 2 * features @ features.T, 0.0)
    counts = (clusters[:, None] != clusters[None, :]).astype(np.float64)
    return np.stack([np.exp(-distances / (2 * bandwidth**2)) * counts, counts])


def _apart(first: Array, second: Array) -> tuple[Array, Array]:
    """Weights over two samples laid end to end, each 0 on the other."""
    return (
        np.concatenate([first, np.zeros_like(second)]),
        np.concatenate([np.zeros_like(first), second]),
    )


def _halves(clusters: NDArray[np.int64], draws: int, rng: np.random.Generator) -> Array:
    """Random halves of the clusters as indicators of items, shape (n, draws)."""
    n = int(clusters.max()) + 1
    chosen = rng.permuted(np.tile(np.arange(n), (draws, 1)), axis=1) < n // 2
    return chosen.T.astype(np.float64)[clusters]
