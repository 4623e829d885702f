"""Linear probes, asked about texts that they were not fitted to."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from audit.audits.fit.spectrum import Array, Labels, indicators
from audit.probe import linear_probe
from audit.view import NotMeasurable

__all__ = ["deal_folds", "deal_two_labels", "out_of_fold", "probe_hits"]

DEALS = 100  # tried before it is given up


def deal_folds(labels: Labels, clusters: Labels, folds: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Deal whole clusters to folds so that each has its share of every label.

    Parameters
    ----------
    labels, clusters : sequences, length n
        A cluster with several labels counts as the one in the fewest clusters: that one has to be spread.
    folds : int
    rng : numpy Generator

    Returns
    -------
    ndarray of int, shape (n,)
        The fold of each text.

    Examples
    --------
    >>> deal_folds(list("aabb"), list("1234"), 2, np.random.default_rng(0)).reshape(2, 2).sum(axis=1).tolist()
    [1, 1]
    """
    codes = np.unique(np.asarray(clusters), return_inverse=True)[1]
    counts = np.zeros((int(codes.max()) + 1, indicators(labels).shape[1]))
    np.add.at(counts, codes, indicators(labels))
    rarest = np.where(counts > 0, (counts > 0).sum(axis=0), np.inf).argmin(axis=1)
    load = np.zeros((folds, counts.shape[1]))
    fold_of = np.empty(len(counts), dtype=np.int64)
    order = rng.permutation(len(counts))
    for cluster in order[np.argsort(-counts[order].sum(axis=1), kind="stable")]:  # the large ones first
        label = rarest[cluster]
        fold_of[cluster] = min(range(folds), key=lambda one: (load[one, label], load[one].sum()))
        load[fold_of[cluster]] += counts[cluster]
    return fold_of[codes]


def out_of_fold(
    features: ArrayLike, labels: Labels, clusters: Labels, *, folds: int = 5, repeats: int = 5, seed: int = 0
) -> tuple[Array, Array]:
    """Ask linear probes about texts that they were not fitted to.

    Parameters
    ----------
    features : array_like, shape (n, d)
    labels, clusters : sequences, length n
        A cluster is never split between fitting and asking.
    folds, repeats : int
    seed : int
        The folds depend on it, the labels and the clusters alone: two bases get the same ones.

    Returns
    -------
    hits : ndarray, shape (repeats, n)
        1 where the label is told rightly, else 0.
    nats : ndarray, shape (repeats, n)
        Minus the log of the probability given to the right label.

    Raises
    ------
    NotMeasurable
        If fewer than two labels stand in two clusters each, or no deal leaves two labels to every probe.
    """
    x, codes = np.asarray(features, dtype=np.float64), np.unique(np.asarray(labels), return_inverse=True)[1]
    named = np.asarray(clusters)
    spread = [len(np.unique(named[codes == label])) for label in range(int(codes.max()) + 1)]
    if sum(count >= 2 for count in spread) < 2:
        raise NotMeasurable("label fit", "fewer than two labels stand in two documents each: no classifier to be tried")
    rng = np.random.default_rng(seed)
    hits, nats = np.zeros((2, repeats, len(codes)))
    for repeat in range(repeats):
        fold = deal_two_labels(codes, named, folds, rng)
        for held_out in (fold == one for one in np.unique(fold)):
            probe = linear_probe().fit(x[~held_out], codes[~held_out])
            given = np.full((int(held_out.sum()), len(spread)), 1e-12)
            given[:, probe.classes_] = np.maximum(probe.predict_proba(x[held_out]), 1e-12)
            truth = codes[held_out]
            hits[repeat, held_out] = given.argmax(axis=1) == truth
            nats[repeat, held_out] = -np.log(given[np.arange(len(truth)), truth])
    return hits, nats


def deal_two_labels(labels: Labels, clusters: Labels, folds: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Deal until every fold leaves two labels to be fitted; parameters and result are those of `deal_folds`.

    Raises
    ------
    NotMeasurable
        If no deal does.
    """
    named = np.asarray(labels)
    for _ in range(DEALS):
        fold = deal_folds(named, clusters, folds, rng)
        if all(len(np.unique(named[fold != one])) > 1 for one in np.unique(fold)):
            return fold
    raise NotMeasurable("label fit", f"in {DEALS} deals of the documents some classifier saw one label only")


def probe_hits(
    features: ArrayLike, labels: Labels, clusters: Labels, *, folds: int = 5, repeats: int = 5, seed: int = 0
) -> Array:
    """Tell 1 for every text whose label probes fitted to other clusters tell rightly, shape (repeats, n).

    Parameters and errors are those of `out_of_fold`.
    """
    return out_of_fold(features, labels, clusters, folds=folds, repeats=repeats, seed=seed)[0]
