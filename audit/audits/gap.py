"""The domain gap, first reading: where a task's texts lie between the reference and text that no base knows."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.spatial.distance import pdist

from audit.audits import distinct
from audit.finding import Decision, Estimate, Finding
from audit.probe import linear_probe
from audit.stats import cluster_weights, clusters_needed, deal_clusters, permutation_p, rng_from
from audit.view import Item, NotMeasurable, View, fingerprint

__all__ = ["domain_gap", "mmd2"]

PERMUTATIONS = 999
DRAWS = 1000
SPLITS = 200
MIN_DOCUMENTS = 10
FAMILY = 2  # representation and separability, declared together

Array = NDArray[np.float64]


def domain_gap(
    base: View,
    task: Sequence[Item],
    reference: Sequence[Item],
    ceiling: Sequence[Item],
    *,
    margin: float,
    alpha: float = 0.05,
    note: str = "",
) -> list[Finding]:
    """Place the task's texts on a scale from the reference (0) to unrelated text (1), in the base's own space.

    Parameters
    ----------
    base : View
        Answers ``embedding``.
    task, reference, ceiling : sequence of Item
        Texts of the task, of the domain that the base is assumed to know, and unrelated ones; cluster = document.
    margin : float
        The position up to which a task counts as the same domain.

    Returns
    -------
    list of Finding
        ``representation``: position by MMD (RBF kernel, median bandwidth, unbiased), with a permutation p.
        ``separability``: position by the held-out accuracy of a linear domain classifier, with an exact binomial p.
        Only ``adapted`` is filled: the base is what measures.

    Raises
    ------
    NotMeasurable
        If the base has no embedding, or a sample has fewer than ``MIN_DOCUMENTS`` documents.

    Notes
    -----
    The population MMD of a mixture (1 - λ)·P + λ·Q from P is λ·MMD(P, Q), so the position reads as the share of
    unrelated text that would move the reference as far. The zero is the median of ``SPLITS`` random halves of the
    reference. Intervals: cluster bootstrap, with pairs of a cluster left out of every within-sample mean.
    """
    samples = [distinct(items) for items in (reference, task, ceiling)]
    codes = [_codes(items) for items in samples]
    clusters = min(len(np.unique(code)) for code in codes)
    if clusters < MIN_DOCUMENTS:
        raise NotMeasurable("embedding", f"{clusters} documents are too few to place; {MIN_DOCUMENTS} are the least")
    features = [base.ask("embedding", items) for items in samples]
    asked = [item for items in samples for item in items]
    rng = rng_from(*features)
    separable, p_separable = _separability(features, codes, rng)
    results = [
        (
            "representation",
            "distance of the task's texts from the reference in the base's space (MMD)",
            *_position_by_mmd(features, codes, rng),
            clusters,
        ),
        (
            "separability",
            "held-out accuracy of a classifier that tells the task's texts from the reference",
            separable,
            p_separable,
            clusters // 2,  # the other half trained the classifier
        ),
    ]
    return [
        _finding(name, question, draws, p, margin, alpha, len(asked), n, fingerprint(asked), note)
        for name, question, draws, p, n in results
    ]


def _finding(
    name: str,
    question: str,
    draws: Array,
    p: float,
    margin: float,
    alpha: float,
    n_items: int,
    n_clusters: int,
    items: str,
    note: str,
) -> Finding:
    """Turn a position (first entry) and its bootstrap draws (the rest) into a finding."""
    value = float(draws[0])
    spread = float(np.std(draws[1:], ddof=1))
    if spread > 1e-12:
        low, high = (float(q) for q in np.quantile(draws[1:], [0.025, 0.975]))
        same, beyond = (
            tuple(float(q) for q in np.quantile(draws[1:], [level, 1 - level])) for level in (alpha, alpha / FAMILY)
        )
        estimate, decision = Estimate(value=value, low=low, high=high), Decision(same=same, beyond=beyond)
    else:
        estimate, decision = Estimate(value=value), Decision()
    finding = Finding(
        id=f"gap/{name}",
        audit="gap",
        name=name,
        question=question,
        unit="position between same domain (0) and unrelated (1)",
        base=None,
        adapted=estimate,
        change=None,
        margin=margin,
        alpha=alpha,
        family="gap",
        adjustment=f"Bonferroni over {FAMILY} (one-sided level {alpha / FAMILY:.5f})",
        method="cluster bootstrap",
        decision=decision,
        p=p,
        n_items=n_items,
        n_clusters=n_clusters,
        items=items,
        note=note,
    )
    if finding.verdict != "unclear":
        return finding
    needed = clusters_needed(spread * math.sqrt(n_clusters), margin, value, alpha)
    return finding.model_copy(update={"n_needed": needed})


def _codes(items: Sequence[Item]) -> NDArray[np.int64]:
    codes: NDArray[np.int64] = np.unique([item.cluster for item in items], return_inverse=True)[1]
    return codes


# --- maximum mean discrepancy ---------------------------------------------------------------------------------------


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


def _position_by_mmd(
    features: Sequence[Array], codes: Sequence[NDArray[np.int64]], rng: np.random.Generator
) -> tuple[Array, float]:
    """Position and its bootstrap draws, and the permutation p of task against reference."""
    reference, task, unrelated = features
    together = np.concatenate([reference, task])
    bandwidth = float(np.median(pdist(together))) or 1.0
    joint = np.concatenate([codes[0], codes[1] + codes[0].max() + 1])
    near = _kernel(together, joint, bandwidth)
    apart = np.concatenate([codes[0], codes[2] + codes[0].max() + 1])
    far = _kernel(np.concatenate([reference, unrelated]), apart, bandwidth)
    n = len(reference)
    halves = _halves(codes[0], SPLITS, rng)
    null = float(np.median(mmd2(near[:, :n, :n], halves, 1 - halves)))

    weights = [_bootstrap_weights(code, DRAWS, rng) for code in codes]
    distance = mmd2(near, *_apart(weights[0], weights[1])) - null
    ceiling = mmd2(far, *_apart(weights[0], weights[2])) - null
    if not np.quantile(ceiling[1:], 0.05) > 0:
        raise NotMeasurable("embedding", "the base cannot tell the unrelated ceiling from the reference: no scale")
    ratio = distance / np.maximum(ceiling, ceiling[0] / 10)
    position = np.sign(ratio) * np.sqrt(np.abs(ratio))

    shuffled = deal_clusters(joint, n, PERMUTATIONS, rng)
    observed = float(distance[0]) + null
    return position, permutation_p(observed, mmd2(near, shuffled, 1 - shuffled))


def _apart(first: Array, second: Array) -> tuple[Array, Array]:
    """Weights over two samples laid end to end, each 0 on the other."""
    return (
        np.concatenate([first, np.zeros_like(second)]),
        np.concatenate([np.zeros_like(first), second]),
    )


def _bootstrap_weights(clusters: NDArray[np.int64], draws: int, rng: np.random.Generator) -> Array:
    """Cluster bootstrap weights, shape (n, 1 + draws); the first column is the sample itself."""
    return np.concatenate([np.ones((len(clusters), 1)), cluster_weights(clusters, draws, rng)], axis=1)


def _halves(clusters: NDArray[np.int64], draws: int, rng: np.random.Generator) -> Array:
    """Random halves of the clusters as indicators of items, shape (n, draws)."""
    n = int(clusters.max()) + 1
    chosen = rng.permuted(np.tile(np.arange(n), (draws, 1)), axis=1) < n // 2
    return chosen.T.astype(np.float64)[clusters]


# --- separability -----------------------------------------------------------------------------------------------------


def _separability(
    features: Sequence[Array], codes: Sequence[NDArray[np.int64]], rng: np.random.Generator
) -> tuple[Array, float]:
    """Position by a held-out classifier and its bootstrap draws, and the exact binomial p against guessing."""
    near, near_clusters = _held_out_hits(features[0], features[1], codes[0], codes[1], rng)
    far, far_clusters = _held_out_hits(features[0], features[2], codes[0], codes[2], rng)
    excess = [
        2 * _weighted_mean(hits, _bootstrap_weights(clusters, DRAWS, rng)) - 1
        for hits, clusters in ((near, near_clusters), (far, far_clusters))
    ]
    hits = sum(bool(near[near_clusters == code].mean() > 0.5) for code in np.unique(near_clusters))
    p = float(stats.binomtest(hits, int(near_clusters.max()) + 1, alternative="greater").pvalue)
    if not np.quantile(excess[1][1:], 0.05) > 0:
        raise NotMeasurable("embedding", "a classifier cannot tell the unrelated ceiling from the reference: no scale")
    return excess[0] / np.maximum(excess[1], excess[1][0] / 10), max(p, np.finfo(np.float64).tiny)


def _weighted_mean(values: Array, weights: Array) -> Array:
    result: Array = values @ weights / np.maximum(weights.sum(axis=0), 1e-12)
    return result


def _held_out_hits(
    first: Array,
    second: Array,
    first_clusters: NDArray[np.int64],
    second_clusters: NDArray[np.int64],
    rng: np.random.Generator,
) -> tuple[Array, NDArray[np.int64]]:
    """Train on one half of equally many clusters a side; 1 where an item of the other half is told apart rightly."""
    size = min(int(first_clusters.max()), int(second_clusters.max())) + 1
    rows, sides, groups, held_out = [], [], [], []
    for side, clusters in enumerate((first_clusters, second_clusters)):
        chosen = rng.permutation(int(clusters.max()) + 1)[:size]
        for half, part in enumerate((chosen[: size // 2], chosen[size // 2 :])):
            found = np.flatnonzero(np.isin(clusters, part))
            rows.append(found)
            sides.append(np.full(len(found), side))
            groups.append(clusters[found] + side * 10**9)
            held_out.append(np.full(len(found), half == 1))
    data = np.concatenate([(first, second)[i // 2][found] for i, found in enumerate(rows)])
    labels, clusters, test = np.concatenate(sides), np.concatenate(groups), np.concatenate(held_out)
    model = linear_probe(0.1).fit(data[~test], labels[~test])
    hits = (model.predict(data[test]) == labels[test]).astype(np.float64)
    return hits, np.unique(clusters[test], return_inverse=True)[1]
