"""What the features of both sides still tell: linear probes of held-out labels, and who lies next to whom."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from audit.audits import Question, binary, distinct, measured
from audit.audits.fit.folds import deal_two_labels
from audit.audits.forgetting.chance import against_chance
from audit.audits.forgetting.readable import readable
from audit.audits.gap.placed import Sample
from audit.probe import linear_probe
from audit.view import Item, NotMeasurable, View

__all__ = ["FOLDS", "NEIGHBOURS", "embeddings", "lost_neighbours", "neighbours", "once", "probes", "unit"]

FOLDS = 5
NEIGHBOURS = 10
BLOCK = 512  # rows of similarities in memory at a time

Array = NDArray[np.float64]


def probes(base: View, adapted: View, items: Sequence[Item], *, name: str, margin: float) -> list[Question]:
    """Ask linear probes what the features of both sides tell of labels that neither side was adapted to.

    Parameters
    ----------
    base, adapted : View
        Answer ``embedding``.
    items : sequence of Item
        Texts or images; ``label`` is what the probes have to tell, and a cluster is never split between fitting and
        asking. What has no label, or one that stands in a single cluster, is left out and counted in the note.
    name : str
        Of the held-out task.
    margin : float
        Of the error rate (fraction).

    Returns
    -------
    list of Question
        ``name/refit_probe``: error of a probe fitted to each side's own features, which forgives a rotation.
        ``name/frozen_probe``: error of the probe that was fitted to the base's features, standardised as the base's
        are, on either side's: what happens to heads that are already deployed.

    Raises
    ------
    NotMeasurable
        If there are not two labels with two clusters each, or the sides' features differ in width.

    Notes
    -----
    Every item is asked once, by the probe of its fold. The folds depend on what the items say, their labels and who
    stands with whom, so both sides and every later model get the same ones.
    """
    given, unread = readable(base, distinct(items))
    sample = Sample.of(_told_twice(given))
    labels = np.array([item.label or "" for item in sample.items])
    if len(set(labels)) < 2:
        raise NotMeasurable(f"{name}/probe", "a probe needs two labels that stand in two clusters each")
    features = embeddings(base, adapted, sample.items)
    if features[0].shape != features[1].shape:
        widths = " and ".join(str(side.shape[1]) for side in features)
        raise NotMeasurable(f"{name}/frozen_probe", f"the sides have {widths} features; a probe fits one width")
    on_base, refit, frozen = _errors(
        features, labels, deal_two_labels(labels, sample.codes, FOLDS, np.random.default_rng(0))
    )
    guess = 1 - max(float(np.mean(labels == one)) for one in set(labels))
    notes = [base.treatment("embedding", sample.items), unread]
    if left_out := len(given) - len(sample.items):
        notes.append(f"{left_out} items were left out: no label, or one that no second cluster has.")
    probe = f"error of a linear probe of {len(set(labels))} classes ({name}), {FOLDS}-fold"
    return [
        against_chance(
            Question(
                audit="forgetting",
                name=f"{name}/{which}",
                unit="error rate",
                base=on_base,
                adapted=errors,
                items=sample.items,
                margin=margin,
                by=binary,
                question=f"{probe}, {fitted}",
                note=" ".join(filter(None, notes)),
            ),
            guess,
            f"Guessing the commonest class errs in {guess:.0%}.",
        )
        for which, errors, fitted in (
            ("refit_probe", refit, "fitted to each side's own features"),
            ("frozen_probe", frozen, "fitted to the base's features and asked about either side's"),
        )
    ]


def _told_twice(items: Sequence[Item]) -> list[Item]:
    """Keep items whose label stands in two clusters: what stands in one is never both fitted and asked."""
    clusters: dict[str, set[str]] = {}
    for item in items:
        clusters.setdefault(item.label or "", set()).add(item.cluster)
    return [item for item in items if item.label and len(clusters[item.label]) > 1]


def _errors(features: Sequence[Array], labels: NDArray[np.str_], fold: NDArray[np.int64]) -> Array:
    """Out-of-fold errors, shape (3, n): of the base, of a probe refit to the adapted side, of the base's on it."""
    base, adapted = features
    wrong = np.zeros((3, len(labels)))
    for out in (fold == one for one in np.unique(fold)):
        of_base, of_adapted = (linear_probe().fit(side[~out], labels[~out]) for side in features)
        asked = ((of_base, base), (of_adapted, adapted), (of_base, adapted))
        wrong[:, out] = [probe.predict(side[out]) != labels[out] for probe, side in asked]
    return wrong


def neighbours(
    base: View, adapted: View, items: Sequence[Item], *, margin: float, group: str | None = None
) -> list[Question]:
    """Ask which of an item's nearest neighbours in the base's space it still has in the adapted one's.

    Parameters
    ----------
    base, adapted : View
        Answer ``embedding``; the widths may differ.
    items : sequence of Item
        Texts or images; no labels are needed. What is said in several clusters has one place in the space.
    margin : float
        Of the share lost (fraction).
    group : str, optional
        Of the finding.

    Returns
    -------
    list of Question
        ``neighbours``: share of the 10 nearest (cosine) that are lost. The base, against itself, loses none. An item
        carries the jackknife's value: the share that it lost, and what others lost of it, about the mean.

    Raises
    ------
    NotMeasurable
        If chance alone would keep half of them: under 21 distinct items.

    Notes
    -----
    Every item is also a neighbour of others, so that their shares are no independent draws: intervals from the spread
    of shares alone hold the truth in 77 to 95 of 100 samples where they say 95. Leaving an item out of all pairs of
    neighbours it is in (the jackknife of Tukey, for a mean over pairs) makes it 97 or more, and moves no mean. Of items
    of one cluster, or with one text, the effects are added.
    """
    read, unread = readable(base, Sample.of(items).items)
    sample = Sample.of(read)
    distinct_items, codes = once(sample.items)
    others = len(distinct_items) - 1
    if others < 2 * NEIGHBOURS:
        raise NotMeasurable(
            "neighbours", f"{len(distinct_items)} distinct items; {2 * NEIGHBOURS + 1} are the least, chance keeps half"
        )
    weights = 1 / (np.bincount(sample.codes)[sample.codes] * sample.n_clusters)  # every cluster counts the same
    sides = embeddings(base, adapted, distinct_items)
    lost, as_neighbour = lost_neighbours(*sides, NEIGHBOURS, np.bincount(codes, weights).astype(np.float64))
    notes = [
        base.treatment("embedding", distinct_items),
        f"Features that have nothing to do with the base's lose {1 - NEIGHBOURS / others:.1%}.",
        unread,
    ]
    return [
        Question(
            audit="forgetting",
            name="neighbours",
            unit="share lost",
            base=np.zeros(len(codes)),
            adapted=lost[codes] + as_neighbour[codes] / (np.bincount(codes)[codes] * weights),
            items=sample.items,
            margin=margin,
            group=group,
            question=f"share of an item's {NEIGHBOURS} nearest neighbours (cosine) in the base's space, among "
            f"{others} others, that it no longer has",
            by=measured,
            note=" ".join(filter(None, notes)),
            detectable=False,
        )
    ]


def once(items: Sequence[Item]) -> tuple[list[Item], NDArray[np.int64]]:
    """Take one item of each text (or image), and say which one each item is, shape (n,)."""
    place: dict[str, int] = {}
    codes = np.array([place.setdefault(item.text or item.image or item.id, len(place)) for item in items])
    firsts = np.unique(codes, return_index=True)[1]
    return [items[row] for row in firsts], codes


def embeddings(base: View, adapted: View, items: Sequence[Item]) -> tuple[Array, Array]:
    """Ask both sides for one vector an item, shape (n, d) each.

    Raises
    ------
    NotMeasurable
        If a side has no embedding, or gives no table of them.
    """
    sides = base.ask("embedding", items), adapted.ask("embedding", items)
    for side in sides:
        if side.ndim != 2:
            raise NotMeasurable("embedding", f"{len(items)} items got an answer of shape {side.shape}")
    return sides


def lost_neighbours(base: Array, adapted: Array, k: int, weights: Array | None = None) -> tuple[Array, Array]:
    """Share of each row's k nearest other rows (cosine) in the base that the adapted side no longer has.

    Parameters
    ----------
    base, adapted : ndarray, shape (n, d) each
        The widths may differ.
    k : int
        Below n.
    weights : ndarray, shape (n,), optional
        Of the rows in the mean share; they sum to 1, by default 1/n each.

    Returns
    -------
    lost : ndarray, shape (n,)
    as_neighbour : ndarray, shape (n,)
        What each row adds to the mean share as a neighbour of others: above 0 where it was lost more than the mean.

    Notes
    -----
    Of rows that lie equally near, the first ones count. Never more than a block of the n × n similarities is held.

    Examples
    --------
    Four directions in a plane; the third has turned away from the fourth, which is still its nearest:

    >>> def directions(*degrees):
    ...     angles = np.radians(degrees)
    ...     return np.stack([np.cos(angles), np.sin(angles)], axis=1)
    >>> lost_neighbours(directions(0, 10, 80, 90), directions(0, 10, 25, 90), k=1)[0]
    array([0., 0., 1., 0.])
    """
    sides = unit(base), unit(adapted)
    weights = np.full(len(base), 1 / len(base)) if weights is None else weights
    lost, chosen, gone = np.empty(len(base)), np.zeros(len(base)), np.zeros(len(base))
    for start in range(0, len(base), BLOCK):
        block = slice(start, start + BLOCK)
        of_base, of_adapted = (_nearest(side, start, k) for side in sides)
        missing = of_base & ~of_adapted
        lost[block] = missing.sum(axis=1) / k
        chosen += weights[block] @ of_base / k
        gone += weights[block] @ missing / k
    return lost, gone - chosen * (weights @ lost)


def unit(vectors: Array) -> Array:
    """Bring vectors to length 1, shape (..., d); those of no length stay."""
    directions: Array = vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)
    return directions


def _nearest(directions: Array, start: int, k: int) -> NDArray[np.bool_]:
    """Which rows are among the k nearest of each row of a block, shape (block, n)."""
    block = directions[start : start + BLOCK]
    similarity = np.round(block @ directions.T, 12)  # the same vector twice is equally near, wherever it stands
    rows = np.arange(len(block))
    similarity[rows, start + rows] = -np.inf
    least = np.partition(similarity, -k, axis=1)[:, [-k]]
    nearer, as_near = similarity > least, similarity == least
    room = k - nearer.sum(axis=1, keepdims=True)
    chosen: NDArray[np.bool_] = nearer | (as_near & (as_near.cumsum(axis=1) <= room))
    return chosen
