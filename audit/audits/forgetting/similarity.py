"""What a sentence encoder is used for: ranking pairs by how alike they are, and finding the text that belongs."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata

from audit.audits import MIN_DOCUMENTS, Question, binary, distinct, measured
from audit.audits.forgetting.chance import against_chance
from audit.audits.forgetting.features import unit
from audit.audits.forgetting.readable import readable
from audit.errors import InputError
from audit.stats import pseudo_values as jackknifed
from audit.view import Item, NotMeasurable, View

__all__ = ["pseudo_values", "retrieval", "similarity", "spearman"]

BLOCK = 512  # rows of similarities in memory at a time
SENTENCE = re.compile("(.+?[.!?][\"'\u2019”»)\\]]*)\\s+(\\S.*)", re.DOTALL)

Array = NDArray[np.float64]


def similarity(base: View, adapted: View, pairs: Sequence[Item], scores: ArrayLike, *, margin: float) -> list[Question]:
    """Ask whether both sides rank pairs of texts as people grade them.

    Parameters
    ----------
    base, adapted : View
        Answer ``embedding`` of pairs.
    pairs : sequence of Item
        Pairs of texts.
    scores : array_like, shape (n_pairs,)
        How alike each pair is; only the order counts.
    margin : float
        Of Spearman's coefficient.

    Returns
    -------
    list of Question
        ``similarity``: 1 - Spearman of cosine and score; 0 is perfect, 1 is unrelated. An item carries the jackknife
        pseudo-value of its cluster, and its grade as label.

    Raises
    ------
    InputError
        If a score is not finite.
    NotMeasurable
        If there are fewer than three clusters, or all scores are alike.

    Notes
    -----
    A rank correlation is no mean over items. `pseudo_values` turns it into one over clusters, so that base and adapted
    stay paired: the interval of the change is Student's t over the clusters' paired differences.
    """
    graded = []
    for pair, score in zip(pairs, np.asarray(scores, dtype=np.float64).tolist(), strict=True):
        if not math.isfinite(score):
            raise InputError(f"pair {pair.id!r} has the score {score}; scores are finite numbers")
        graded.append(pair.model_copy(update={"label": repr(score)}))
    items, unread = readable(base, distinct(graded))
    grades = np.array([float(item.label or "") for item in items])
    clusters = [item.cluster for item in items]
    if len(set(clusters)) < 3 or np.ptp(grades) == 0:
        raise NotMeasurable(
            "similarity", f"{len(set(clusters))} clusters with {len(set(grades))} different scores: nothing to rank"
        )
    harms = []
    for view in (base, adapted):
        vectors = view.ask("embedding", items)
        if vectors.ndim != 3:
            raise NotMeasurable("similarity", f"{len(items)} pairs got an answer of shape {vectors.shape}")
        sides = unit(vectors)
        harms.append(1 - pseudo_values(np.einsum("nd,nd->n", sides[:, 0], sides[:, 1]), grades, clusters))
    notes = (base.treatment("embedding", items), "Interval by the jackknife over clusters.", unread)
    question = Question(
        audit="forgetting",
        name="similarity",
        unit="1 - Spearman's rho",
        base=harms[0],
        adapted=harms[1],
        items=items,
        margin=margin,
        by=measured,
        question="1 - rank correlation of the cosine of two texts and the score that people gave them",
        note=" ".join(filter(None, notes)),
    )
    return [against_chance(question, 1.0, "Cosines that have nothing to do with the scores make 1.")]


def spearman(x: ArrayLike, y: ArrayLike) -> float:
    """Spearman's rank correlation; 0 where one side is all alike and so orders nothing.

    Examples
    --------
    >>> spearman([1.0, 2.0, 3.0], [1.0, 4.0, 9.0]), spearman([1.0, 1.0], [1.0, 2.0])
    (1.0, 0.0)
    """
    first, second = (rankdata(np.asarray(one)) - (np.size(one) + 1) / 2 for one in (x, y))
    size = math.sqrt(float(first @ first) * float(second @ second))
    return float(first @ second) / size if size > 0 else 0.0


def pseudo_values(x: ArrayLike, y: ArrayLike, clusters: Sequence[str]) -> Array:
    """Jackknife values of Spearman's coefficient, one a cluster, whose mean over clusters is the coefficient itself.

    Parameters
    ----------
    x, y : array_like, shape (n,)
    clusters : sequence of str, length n
        At least two.

    Returns
    -------
    ndarray, shape (n,)
        For each item that of its cluster (see `audit.stats.pseudo_values`).

    Examples
    --------
    >>> values = pseudo_values([1.0, 2.0, 3.0, 4.0], [1.0, 3.0, 2.0, 4.0], list("abcd"))
    >>> round(float(values.mean()), 12), spearman([1.0, 2.0, 3.0, 4.0], [1.0, 3.0, 2.0, 4.0])
    (0.8, 0.8)
    """
    first, second = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    names, codes = np.unique(np.asarray(clusters, dtype=np.str_), return_inverse=True)
    without = [spearman(first[codes != k], second[codes != k]) for k in range(len(names))]
    return jackknifed(spearman(first, second), without)[codes]


def retrieval(base: View, adapted: View, items: Sequence[Item], *, margin: float) -> list[Question]:
    """Ask both sides for the passage that goes on from a first sentence.

    Parameters
    ----------
    base, adapted : View
        Answer ``embedding`` of pairs.
    items : sequence of Item
        Passages. The first sentence of each is a query, and what follows it a document; a passage that does not split
        at the first of ``.!?`` before a space is left out, and counted in the note.
    margin : float
        Of the share missed (fraction).

    Returns
    -------
    list of Question
        ``retrieval``: 1 - recall@1; an item is found if no other document is as near (cosine) as its own.

    Raises
    ------
    NotMeasurable
        If fewer than 10 different documents are left.
    """
    given = distinct(items)
    split = [(item, SENTENCE.fullmatch((item.text or "").strip())) for item in given]
    asked = [
        item.model_copy(update={"id": f"{item.id}/parts", "text": None, "pair": (found[1], found[2])})
        for item, found in split
        if found is not None
    ]
    split_up = len(asked)
    asked, unread = readable(base, asked)
    place: dict[str, int] = {}
    own = np.array([place.setdefault(item.pair[1], len(place)) for item in asked if item.pair], dtype=np.int64)
    if len(place) < MIN_DOCUMENTS:
        raise NotMeasurable(
            "retrieval", f"{len(place)} passages have a first sentence and more; {MIN_DOCUMENTS} are the least"
        )
    missed = [_missed(view, asked, own) for view in (base, adapted)]
    chance = 1 - 1 / len(place)
    notes = [base.treatment("embedding", asked), unread]
    if left_out := len(given) - split_up:
        notes.append(f"{left_out} passages of one sentence were left out.")
    question = Question(
        audit="forgetting",
        name="retrieval",
        unit="share missed",
        base=missed[0],
        adapted=missed[1],
        items=asked,
        margin=margin,
        by=binary,
        question=f"the rest of a passage is not the nearest (cosine) of {len(place)} to its first sentence",
        note=" ".join(filter(None, notes)),
    )
    return [against_chance(question, chance, f"Chance misses {chance:.1%}.")]


def _missed(view: View, pairs: Sequence[Item], own: NDArray[np.int64]) -> Array:
    """1 where another document is as near to the first text of a pair as its own second, shape (n,)."""
    vectors = view.ask("embedding", pairs)
    if vectors.ndim != 3:
        raise NotMeasurable("retrieval", f"{len(pairs)} pairs got an answer of shape {vectors.shape}")
    queries, rests = unit(vectors[:, 0]), unit(vectors[:, 1])
    documents = rests[np.unique(own, return_index=True)[1]]
    missed = np.empty(len(own))
    for start in range(0, len(own), BLOCK):
        block = slice(start, start + BLOCK)
        near = np.round(queries[block] @ documents.T, 12)  # the same vector twice is equally near
        rows = np.arange(len(near))
        mine = near[rows, own[block]]
        near[rows, own[block]] = -np.inf
        missed[block] = near.max(axis=1) >= mine
    return missed
