"""What drives a gap: the words that tell the two sides apart, and the texts that are most typical of either."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from audit.audits.gap.placed import Sample, Samples
from audit.audits.gap.separability import told_apart
from audit.view import NotMeasurable

__all__ = ["drivers", "log_odds"]

WORDS, TEXTS = 20, 5  # a side, at most
FALSE = 0.05  # of the words listed, the share that tells nothing, in expectation
PRIOR = 0.1  # of the counts of both sides together: how much the prior weighs against either side's own
COLUMNS = ["kind", "side", "value", "item_id", "score", "n"]

Array = NDArray[np.float64]


def drivers(samples: Samples, features: Sequence[Array]) -> pd.DataFrame:
    """List the words that tell the task's texts from the reference, and the texts most typical of either.

    Parameters
    ----------
    samples : Samples
        Of texts.
    features : sequence of ndarray, shapes (n, d)
        Of reference, task and ceiling.

    Returns
    -------
    DataFrame
        ``kind`` ("word" or "text"), ``side`` ("task" or "reference"), ``value`` (the word or the text), ``item_id``
        (of a text, else empty), ``score``, ``n``. A word's score is the z of its log-odds, its n the documents that
        hold it; only those of a false discovery rate of ``FALSE`` over all words are listed (Benjamini and Hochberg
        1995). A text's score is the probability of its side by a classifier that has not seen it, its n the documents
        judged.

    Raises
    ------
    NotMeasurable
        If the samples are not texts.
    """
    if samples.what != "texts":
        raise NotMeasurable("drivers", "images have no words")
    rows = [*_words(samples), *_texts(samples, features)]
    return pd.DataFrame(rows, columns=COLUMNS)


def log_odds(first: Mapping[str, int], second: Mapping[str, int]) -> dict[str, float]:
    """z-score of each word's log-odds of being in the first rather than the second sample.

    Parameters
    ----------
    first, second : mapping of str to int
        Counts of words.

    Notes
    -----
    Monroe, Colaresi and Quinn, Political Analysis 16 (2008) 372-403: log-odds ratios with an informative Dirichlet
    prior, here ``PRIOR`` of the counts of both samples together, over the square root of their variance.

    Examples
    --------
    With the prior, 33 against 3 and 60 against 60: log(33/60) - log(3/60) = 2.398, and 1/33 + 1/3 + 2/60 = .397.

    >>> {word: round(z, 2) for word, z in log_odds({"film": 30, "the": 50}, {"the": 50}).items()}
    {'film': 3.81, 'the': -3.81}
    """
    words = sorted({*first, *second})
    if len(words) < 2:
        return dict.fromkeys(words, 0.0)
    counts = np.array([[sample.get(word, 0) for word in words] for sample in (first, second)], dtype=np.float64)
    seen = counts + PRIOR * counts.sum(axis=0)
    rest = seen.sum(axis=1, keepdims=True) - seen
    odds = np.log(seen / rest)
    z = (odds[0] - odds[1]) / np.sqrt((1 / seen + 1 / rest).sum(axis=0))
    return dict(zip(words, z.tolist(), strict=True))


def _words(samples: Samples) -> list[tuple[str, str, str, str, float, int]]:
    """Words counted once a document (one that repeats itself says nothing more), in documents cut to one length."""
    sides = [_documents(samples.task), _documents(samples.reference)]
    longest = (np.quantile([len(words) for words in side], 0.8) for side in sides)
    length = max(1, int(min(longest)))  # uncut, long documents hold more of all words
    task, reference = (Counter(word for words in side for word in set(words[:length])) for side in sides)
    z = log_odds(task, reference)
    if not z:
        return []
    words, scores = list(z), np.array(list(z.values()))
    adjusted = stats.false_discovery_control(2 * stats.norm.sf(np.abs(scores)))
    found = {word for word, p in zip(words, adjusted, strict=True) if p < FALSE}
    rows = []
    for side, sign in (("task", 1), ("reference", -1)):
        telling = sorted((word for word in found if sign * z[word] > 0), key=lambda word: (-sign * z[word], word))
        rows += [("word", side, word, "", sign * z[word], task[word] + reference[word]) for word in telling[:WORDS]]
    return rows


def _documents(sample: Sample) -> list[list[str]]:
    """Return the words of each document, in order."""
    words: dict[int, list[str]] = {}
    for code, item in zip(sample.codes.tolist(), sample.items, strict=True):
        found = re.findall(r"[^\W\d_]+(?:['\u2019][^\W\d_]+)*", (item.text or "").casefold())
        words.setdefault(code, []).extend(found)
    return list(words.values())


def _texts(samples: Samples, features: Sequence[Array]) -> list[tuple[str, str, str, str, float, int]]:
    reference, task, _ = zip(samples.all, features, strict=True)
    size = min(samples.reference.n_clusters, samples.task.n_clusters)
    told = told_apart(reference, task, size, samples.rng("typical"))
    rows = []
    for number, (side, sample) in enumerate((("reference", samples.reference), ("task", samples.task))):
        probability = told.second if number else 1 - told.second
        mine = np.flatnonzero(told.side == number)
        n = len(np.unique(told.cluster[mine]))
        for place in mine[np.argsort(-probability[mine], kind="stable")][:TEXTS]:
            item = sample.items[told.row[place]]
            rows.append(("text", side, item.text or "", item.id, float(probability[place]), n))
    return rows
