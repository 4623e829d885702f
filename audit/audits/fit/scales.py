"""Label fit on a scale: between what shuffled labels show and the best there can be."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from audit.audits import MIN_DOCUMENTS
from audit.audits.fit.folds import probe_hits
from audit.audits.fit.h_score import h_score_excess
from audit.audits.fit.spectrum import Array, Spectrum
from audit.audits.gap.placed import Sample
from audit.finding import Estimate
from audit.scale import Scale
from audit.stats import cluster_weights, rng_from
from audit.view import Item, NotMeasurable

__all__ = ["NEVER_WRONG", "label_fit"]

DRAWS = 1000
GROUPS = 20  # of clusters, left out one after the other
NEVER_WRONG = "A classifier is never wrong: do labels stand in the text?"


def label_fit(features: ArrayLike, items: Sequence[Item], *, seed: int = 0) -> list[Scale]:
    """Place what a base's features tell of the labels between shuffled labels and the best there can be.

    Parameters
    ----------
    features : array_like, shape (n, d)
        Of the training texts; texts that say the same in the same cluster count once.
    items : sequence of Item, length n
        With labels; cluster = document.
    seed : int
        Of the folds.

    Returns
    -------
    list of Scale
        ``fit/probe``: accuracy of linear probes on texts that they were not fitted to; null is the most frequent label.
        ``fit/h_score``: H-score excess. (The log evidence has no largest value, so that it ranks bases, but no scale.)

    Raises
    ------
    NotMeasurable
        If there is one label only, there are too few documents, or the features do not vary.
    """
    position = {item.id: row for row, item in enumerate(items)}
    kept = Sample.of(items)
    x = np.asarray(features, dtype=np.float64)[[position[item.id] for item in kept.items]]
    labels = np.array([item.label or "" for item in kept.items])
    found = np.unique(labels)
    if len(found) < 2:
        raise NotMeasurable("label fit", f"every text is labelled {''.join(found)!r}; two labels are the least")
    if kept.n_clusters < MIN_DOCUMENTS:
        raise NotMeasurable(
            "label fit", f"{kept.n_clusters} distinct documents are too few to tell; {MIN_DOCUMENTS} are the least"
        )
    spectrum = Spectrum.of(x)  # first: it says what is wrong with features
    return [_probe_scale(x, labels, kept.codes, seed), _h_score_scale(spectrum, x, labels, kept.codes)]


def _probe_scale(x: Array, labels: NDArray[np.str_], clusters: NDArray[np.int64], seed: int) -> Scale:
    repeats = max(1, min(5, 2000 // len(labels)))  # which folds are dealt matters less, the more texts there are
    hits = probe_hits(x, labels, clusters, repeats=repeats, seed=seed).mean(axis=0)
    majority = float(np.unique(labels, return_counts=True)[1].max() / len(labels))
    weights = cluster_weights(clusters, DRAWS, rng_from(clusters, hits))
    draws = hits @ weights / weights.sum(axis=0)
    value = float(hits.mean())
    low, high = (float(q) for q in np.quantile(draws, [0.025, 0.975]))
    return Scale(
        name="fit/probe",
        question="accuracy of a linear probe on texts that it was not fitted to",
        unit="accuracy",
        null=majority,
        measured=Estimate(value=value, low=low, high=high) if low < high else Estimate(value=value),
        ceiling=1.0,
        note=NEVER_WRONG if value == 1 else "",
    )


def _h_score_scale(spectrum: Spectrum, x: Array, labels: NDArray[np.str_], clusters: NDArray[np.int64]) -> Scale:
    """Place the H-score, with an interval from leaving groups of clusters out."""
    score = h_score_excess(spectrum, labels, clusters)
    groups = np.random.default_rng(0).permutation(int(clusters.max()) + 1)[clusters] % min(GROUPS, clusters.max() + 1)
    left = []
    for rest in (groups != group for group in np.unique(groups)):
        if len(np.unique(labels[rest])) == len(np.unique(labels)):
            left.append(h_score_excess(Spectrum.of(x[rest]), labels[rest], clusters[rest], 49).excess)
    return Scale(
        name="fit/h_score",
        question="H-score above that of shuffled labels",
        unit="share of what is left above shuffled labels",
        null=0.0,
        measured=_jackknifed(score.excess, np.array(left)),
        ceiling=1.0,
        note=f"Permutation p = {score.p:.3g}.",
    )


def _jackknifed(value: float, left_out: Array) -> Estimate:
    """Student's interval from the values with one group of clusters left out each."""
    count = len(left_out)
    if count < 3 or not float(np.ptp(left_out)) > 1e-12:
        return Estimate(value=value)
    error = float(np.sqrt((count - 1) / count * ((left_out - left_out.mean()) ** 2).sum()))
    half = float(stats.t.ppf(0.975, count - 1)) * error
    return Estimate(value=value, low=value - half, high=value + half)
