"""H-score, above what shuffled labels show."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from audit.audits.fit.spectrum import Array, Labels, Spectrum, indicators
from audit.stats import permutation_p, rng_from

__all__ = ["PERMUTATIONS", "HScore", "h_score", "h_score_excess", "permuted_labels"]

PERMUTATIONS = 199


@dataclass(frozen=True)
class HScore:
    """An H-score, where it lies between shuffled labels (0) and its largest value (1), and a permutation p."""

    score: float
    null: float
    excess: float
    p: float


def h_score(features: ArrayLike | Spectrum, labels: Labels) -> float:
    """How far the means of the classes lie apart, in units of the features' own spread.

    Parameters
    ----------
    features : array_like, shape (n, d), or Spectrum
    labels : sequence of labels, length n

    Returns
    -------
    float
        Between 0 and the number of classes less one.

    Notes
    -----
    tr(cov(F)⁻¹ cov(E[F | y])), Bao et al. (2019), with the covariance of Ledoit and Wolf, as Ibrahim et al.
    (arXiv 2110.06893) advise: without it, n ≤ d gives every labelling the largest score. Even so the score of labels
    that mean nothing is far above 0 and grows with d/n: it says something only beside `h_score_excess`.
    """
    spectrum = features if isinstance(features, Spectrum) else Spectrum.of(features)
    return float(_h_scores(spectrum, indicators(labels)[:, :, None])[0])


def h_score_excess(
    features: ArrayLike | Spectrum, labels: Labels, clusters: Labels | None = None, permutations: int = PERMUTATIONS
) -> HScore:
    """H-score above what the same labels show when they are shuffled: (H - H0) / (classes - 1 - H0).

    Parameters
    ----------
    features : array_like, shape (n, d), or Spectrum
    labels : sequence of labels, length n
    clusters : sequence, length n, optional
        Labels are shuffled between whole clusters (see `permuted_labels`).
    permutations : int

    Returns
    -------
    HScore
    """
    spectrum = features if isinstance(features, Spectrum) else Spectrum.of(features)
    shuffled = permuted_labels(labels, clusters, permutations)
    classes = indicators(labels)
    scores = _h_scores(spectrum, np.concatenate([classes[:, :, None], shuffled], axis=2))
    null, room = float(scores[1:].mean()), classes.shape[1] - 1
    excess = (float(scores[0]) - null) / max(room - null, 1e-12)
    return HScore(float(scores[0]), null, excess, permutation_p(float(scores[0]), scores[1:]))


def _h_scores(spectrum: Spectrum, classes: Array) -> Array:
    """H-score of many labellings at once: indicators of shape (n, classes, m) -> (m,)."""
    own = (1 - spectrum.shrinkage) * spectrum.power / spectrum.n
    spread = spectrum.power.sum() / spectrum.n / spectrum.width
    weights = own / (own + spectrum.shrinkage * spread)
    n, count, many = classes.shape
    sums = (spectrum.directions * np.sqrt(weights)).T @ classes.reshape(n, count * many)
    per_class = (sums**2).sum(axis=0).reshape(count, many) / np.maximum(classes.sum(axis=0), 1)
    scores: Array = per_class.sum(axis=0)
    return scores


def permuted_labels(labels: Labels, clusters: Labels | None, permutations: int) -> Array:
    """Shuffle labels between whole clusters: every cluster gets those of another one, in any order.

    Parameters
    ----------
    labels : sequence of labels, length n
    clusters : sequence, length n, or None
        Without, every text is its own cluster.
    permutations : int

    Returns
    -------
    ndarray, shape (n, classes, permutations)
        Indicators. Where the two clusters differ in size, the labels are cut short or said again: a cluster keeps the
        mixture of the one that it got them from, and a class may lose its last text.

    Examples
    --------
    Two clusters of two texts can only keep their labels or swap them:

    >>> shuffled = permuted_labels(list("aabb"), list("1122"), 9)[:, 0]
    >>> bool((shuffled[0] == shuffled[1]).all() and (shuffled[0] != shuffled[2]).all())
    True
    """
    classes = indicators(labels)
    codes = np.arange(len(classes)) if clusters is None else np.unique(np.asarray(clusters), return_inverse=True)[1]
    sizes = np.bincount(codes)
    starts = np.cumsum(sizes) - sizes
    place = np.empty_like(codes)  # of each text in its cluster
    place[np.argsort(codes, kind="stable")] = np.arange(len(codes)) - np.repeat(starts, sizes)
    rng = rng_from(codes, classes)
    shuffled = np.empty((*classes.shape, permutations))
    for draw in range(permutations):
        giver = rng.permutation(len(sizes))[codes]
        members = np.lexsort((rng.random(len(codes)), codes))  # by cluster, in any order within
        shuffled[:, :, draw] = classes[members[starts[giver] + place % sizes[giver]]]
    return shuffled
