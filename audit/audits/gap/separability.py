"""Separability: how well a classifier tells the task's texts from the reference, on texts it has not seen."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from audit.audits.gap.placed import DRAWS, Placed, Samples
from audit.probe import linear_probe
from audit.stats import cluster_weights

__all__ = ["separability"]

Array = NDArray[np.float64]


def separability(samples: Samples, features: Sequence[Array]) -> Placed:
    """Place the task by the held-out accuracy of a linear domain classifier, with an exact binomial p.

    Parameters
    ----------
    samples : Samples
    features : sequence of ndarray, shapes (n, d)
        Of reference, task and ceiling.

    Raises
    ------
    NotMeasurable
        If a classifier cannot tell the ceiling from the reference.
    """
    rng = samples.rng("separability")
    codes = [one.codes for one in samples.all]
    near, near_clusters = _held_out_hits(features[0], features[1], codes[0], codes[1], rng)
    far, far_clusters = _held_out_hits(features[0], features[2], codes[0], codes[2], rng)
    accuracy = []
    for hits, clusters in ((near, near_clusters), (far, far_clusters)):
        weights = np.concatenate([np.ones((len(clusters), 1)), cluster_weights(clusters, DRAWS, rng)], axis=1)
        accuracy.append(hits @ weights / np.maximum(weights.sum(axis=0), 1e-12))
    right = sum(bool(near[near_clusters == code].mean() > 0.5) for code in np.unique(near_clusters))
    p = float(stats.binomtest(right, int(near_clusters.max()) + 1, alternative="greater").pvalue)
    return Placed.read(
        "separability",
        "held-out accuracy of a classifier that tells the task's texts from the reference",
        "accuracy",
        accuracy[0],
        accuracy[1],
        0.5,
        p=max(p, np.finfo(np.float64).tiny),
        n_items=len(samples.items),
        n_clusters=min(one.n_clusters for one in samples.all) // 2,  # the other half trained the classifier
    )


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
