"""Separability: how well a classifier tells the task's items from the reference, on documents it has not seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from audit.audits import MIN_DOCUMENTS
from audit.audits.gap.placed import DRAWS, Placed, Sample, Samples
from audit.probe import linear_probe
from audit.stats import cluster_weights
from audit.view import NotMeasurable

__all__ = ["Told", "length_matched", "separability", "told_apart"]

SPLITS = 5  # into documents that train and documents that are judged
LENGTH_STEP = 1.1  # documents whose mean lengths differ by less count as equally long

Array = NDArray[np.float64]
Codes = NDArray[np.int64]
Featured = tuple[Sample, Array]
Pair = tuple[Featured, Featured]


def separability(samples: Samples, features: Sequence[Array]) -> list[Placed]:
    """Place the task by the held-out accuracy of a linear domain classifier, as it is and at equal lengths.

    Parameters
    ----------
    samples : Samples
    features : sequence of ndarray, shapes (n, d)
        Of reference, task and ceiling.

    Returns
    -------
    list of Placed
        ``separability``, then ``separability_length_matched``: of texts alone, and of documents of the same lengths on
        both sides. Where the lengths do not meet, the first one's note says so, and there is no second.

    Raises
    ------
    NotMeasurable
        If a classifier cannot tell the ceiling from the reference.

    Notes
    -----
    The classifier two-sample test (Lopez-Paz and Oquab, ICLR 2017): half the documents train it, the others are judged,
    as many a side, and as many for the ceiling as for the task. Every document counts once, whatever it holds.

    Which half a document falls into is chance. The accuracy is the mean over ``SPLITS`` splits (and choices of equally
    long documents); the interval is as wide as that of one, since splits of the same documents hang together. p is
    twice the median of the exact binomial ones, valid however they do (Meinshausen, Meier and Bühlmann, Journal of the
    American Statistical Association 104 (2009) 1671-1681).

    The proxy A-distance is 2·(1 - 2·error) (Ben-David et al., NIPS 2006). A classifier that learns from more may find
    more: a position here is a lower bound.
    """
    reference, task, ceiling = zip(samples.all, features, strict=True)
    plain = _placed("separability", "", samples, [((reference, task), (reference, ceiling))] * SPLITS)
    if samples.what != "texts":
        return [plain]
    rng = samples.rng("lengths")
    try:
        nears = [length_matched(reference, task, rng) for _ in range(SPLITS)]
        pairs = [(near, length_matched(near[0], ceiling, rng)) for near in nears]
        return [plain, _placed("separability_length_matched", " of the same length", samples, pairs)]
    except NotMeasurable as reason:
        note = f"{plain.scale.note} Not repeated at equal lengths: {reason.reason}."
        return [plain.noted(note)]


def _placed(name: str, which: str, samples: Samples, pairs: Sequence[tuple[Pair, Pair]]) -> Placed:
    """Place the mean accuracy over splits, each of a pair with the task and one with the ceiling."""
    sides = [side for pair in pairs[0] for side in pair]
    size = min(one.n_clusters for one, _ in sides)  # a classifier of more documents tells more apart
    rng = samples.rng(name)
    told = [told_apart(*near, size, rng) for near, _ in pairs]
    ceiling = [told_apart(*far, size, rng) for _, far in pairs]
    accuracy, judged = _mean_accuracy(told, rng), size - size // 2  # the others trained the classifier
    return Placed.read(
        name,
        f"held-out accuracy of a classifier that tells the task's {samples.what} from those of the reference{which}",
        "accuracy",
        accuracy,
        _mean_accuracy(ceiling, rng),
        0.5,
        p=min(1.0, 2 * float(np.median([one.p() for one in told]))),
        n_items=sum(len(one.items) for one in {id(one): one for one, _ in sides}.values()),
        n_clusters=judged,
        note=f"Proxy A-distance {2 * (2 * float(accuracy[0]) - 1):.2f} of 2, from {judged} held-out documents a side, "
        f"the mean of {len(pairs)} splits; a classifier that learns from more may tell more apart.",
    )


def _mean_accuracy(told: Sequence[Told], rng: np.random.Generator) -> Array:
    """Mean accuracy of the splits, and draws that vary about it as those of single splits do about theirs."""
    each = np.array([one.accuracy(rng) for one in told])
    mean, draw = float(each[:, 0].mean()), np.arange(DRAWS)
    moved = mean + (each[:, 1:] - each[:, :1])[draw % len(told), draw]
    return np.concatenate([[mean], np.clip(moved, 0, 1)])


@dataclass(frozen=True)
class Told:
    """What a classifier says of items that it has not seen.

    Attributes
    ----------
    side, row, cluster : ndarray of int, shape (n_items,)
        Of each item: 0 or 1 for the first or second sample, its place there, and its document.
    second : ndarray, shape (n_items,)
        Probability that it comes from the second sample.
    """

    side: Codes
    row: Codes
    cluster: Codes
    second: Array

    def by_document(self) -> tuple[Array, Codes]:
        """Share of items told apart rightly in each document, and the side of the document."""
        right = ((self.second > 0.5) == (self.side == 1)).astype(np.float64)
        _, first, codes = np.unique(self.cluster, return_index=True, return_inverse=True)
        return np.bincount(codes, right) / np.bincount(codes), self.side[first]

    def accuracy(self, rng: np.random.Generator) -> Array:
        """Accuracy over documents and its bootstrap within either side, shape (1 + DRAWS,).

        The draws are of the documents and one more of each kind a side, told apart rightly and wrongly: a bootstrap of
        few answers, which nearly all agree, is too narrow (Agresti and Caffo, American Statistician 54 (2000) 280-288).
        """
        right, side = self.by_document()
        more, sides = np.concatenate([right, [1, 0, 1, 0]]), np.concatenate([side, [0, 0, 1, 1]])
        weights = cluster_weights(np.arange(len(more)), DRAWS, rng, strata=sides)
        return np.concatenate([[right.mean()], more @ weights / len(more)])

    def p(self) -> float:
        """Probability that at least so many documents are told apart rightly by coin."""
        right, _ = self.by_document()
        found = stats.binomtest(int((right > 0.5).sum()), len(right), alternative="greater")
        return max(float(found.pvalue), float(np.finfo(np.float64).tiny))


def told_apart(first: Featured, second: Featured, size: int, rng: np.random.Generator) -> Told:
    """Train a classifier on half of ``size`` documents of either sample; judge the other half.

    Parameters
    ----------
    first, second : (Sample, ndarray of shape (n, d))
    size : int
        At most the documents of the smaller sample.
    rng : numpy Generator
        Chooses the documents.
    """
    sides, rows, clusters, seen = [], [], [], []
    for number, (sample, _) in enumerate((first, second)):
        chosen = rng.permutation(sample.n_clusters)[:size]
        found = np.flatnonzero(np.isin(sample.codes, chosen))
        sides.append(np.full(len(found), number))
        rows.append(found)
        clusters.append(sample.codes[found] + number * first[0].n_clusters)
        seen.append(np.isin(sample.codes[found], chosen[: size // 2]))
    data = np.concatenate([features[found] for (_, features), found in zip((first, second), rows, strict=True)])
    side, row, cluster, trains = (np.concatenate(parts) for parts in (sides, rows, clusters, seen))
    once = 1 / np.bincount(cluster)[cluster]  # so that a long document does not outvote the others
    model = linear_probe(0.1).fit(data[trains], side[trains], logisticregression__sample_weight=once[trains])
    probability: Array = model.predict_proba(data[~trains])[:, 1]
    return Told(side[~trains], row[~trains], cluster[~trains], probability)


def length_matched(first: Featured, second: Featured, rng: np.random.Generator) -> tuple[Featured, Featured]:
    """Leave out documents until both samples have as many of every length.

    Parameters
    ----------
    first, second : (Sample, ndarray of shape (n, d))
        Of texts. The length of a document is the mean number of characters of its texts, in steps of 10 %.
    rng : numpy Generator
        Chooses whom to keep.

    Raises
    ------
    NotMeasurable
        If fewer than ``MIN_DOCUMENTS`` documents a side are as long as one of the other side.
    """
    steps = [_length_steps(sample) for sample, _ in (first, second)]
    kept: tuple[list[Codes], list[Codes]] = ([], [])
    for step in np.intersect1d(steps[0], steps[1]):
        alike = [np.flatnonzero(one == step) for one in steps]
        least = min(len(one) for one in alike)
        for chosen, members in zip(kept, alike, strict=True):
            chosen.append(rng.permutation(members)[:least])
    met = sum(len(one) for one in kept[0])
    if met < MIN_DOCUMENTS:
        raise NotMeasurable("separability", f"{met} documents a side are as long as one of the other side")
    one, other = (_restricted(side, np.concatenate(chosen)) for side, chosen in zip((first, second), kept, strict=True))
    return one, other


def _length_steps(sample: Sample) -> Codes:
    """Mean number of characters of each document, as a whole number of steps."""
    lengths = np.bincount(sample.codes, [len(item.text or "") for item in sample.items]) / np.bincount(sample.codes)
    steps: Codes = np.floor(np.log(np.maximum(lengths, 1)) / np.log(LENGTH_STEP)).astype(np.int64)
    return steps


def _restricted(side: Featured, clusters: Codes) -> Featured:
    sample, features = side
    rows = np.flatnonzero(np.isin(sample.codes, clusters))
    return Sample([sample.items[row] for row in rows.tolist()]), features[rows]
