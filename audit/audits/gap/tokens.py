"""The tokenizer gap: other tokens than the reference's, more of them, and such as stand for no character."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, vstack

from audit.audits.gap.placed import DRAWS, Placed, Sample, Samples, drawn_estimate
from audit.finding import Estimate
from audit.scale import Scale
from audit.stats import deal_clusters, permutation_p
from audit.view import Item, NotMeasurable, View

__all__ = ["jensen_shannon", "token_scales", "vocabulary"]

PERMUTATIONS = 999
PIECES = 8  # comparisons of one draw, where one sample has so many times the other's tokens
WORDS = 10_000
PARTS = (0, 0, 1, 2)  # the sample that each half is of
TINY = np.finfo(np.float64).tiny

Array = NDArray[np.float64]


def vocabulary(samples: Samples, base: View) -> Placed:
    """Place the task by the Jensen-Shannon divergence of its tokens from the reference's, with a permutation p.

    Parameters
    ----------
    samples : Samples
    base : View
        Answers ``token_ids``.

    Raises
    ------
    NotMeasurable
        If a sample has no tokens, or unrelated text has the reference's (as characters have no order).

    Notes
    -----
    The divergence of two samples of one source is not 0 and falls with their size: every comparison is of equally many
    tokens. A draw takes half of the documents of every sample without replacement (drawing with replacement would
    repeat tokens, and so add to the divergence), cuts the halves to the tokens of the smallest, and compares the task's
    half, the other half of the reference (the zero) and the unrelated half with the reference's. Where one side holds
    more, the mean over its pieces is taken. The estimate is the mean of the draws; halves drawn without replacement
    vary about it as whole samples do about the truth (Politis, Romano and Wolf, Subsampling, 1999).
    """
    counts = _token_counts(samples, base)
    rng = samples.rng("vocabulary")
    draws = np.concatenate([_divergences(halves) for halves in _halves(counts, DRAWS, rng)])
    null, measured, ceiling = np.concatenate([draws.mean(axis=0)[None], draws]).T
    size = samples.reference.n_clusters
    both = vstack(counts[:2])
    dealt = deal_clusters(np.arange(both.shape[0]), size, PERMUTATIONS, rng)
    as_they_are = (np.arange(len(dealt)) < size).astype(np.float64)
    first = csr_array(np.concatenate([as_they_are[:, None], dealt], axis=1).T) @ both
    divergence = _from_the_rest(first, np.asarray(both.sum(axis=0), dtype=np.float64))
    return Placed.read(
        "tokens",
        "distance of the task's tokens from the reference's (Jensen-Shannon)",
        "bits",
        measured,
        ceiling,
        float(null[0]),
        p=permutation_p(float(divergence[0]), divergence[1:]),
        n_items=len(samples.items),
        n_clusters=min(one.n_clusters for one in samples.all),
        note="Every comparison is of halves of the samples with equally many tokens, the zero and the ceiling too.",
    )


def jensen_shannon(first: Array, second: Array) -> Array:
    """Jensen-Shannon divergence in bits of rows of counts: 0 where they are in proportion, 1 where they share nothing.

    Parameters
    ----------
    first, second : ndarray, shape (..., k)

    Returns
    -------
    ndarray, shape (...)

    Notes
    -----
    Lin, IEEE Transactions on Information Theory 37 (1991) 145-151, with weights of one half.

    Examples
    --------
    >>> jensen_shannon(np.array([[2., 2., 0.], [1., 1., 0.]]), np.array([[0., 0., 9.], [3., 3., 0.]]))
    array([1., 0.])
    """
    p, q = (counts / counts.sum(axis=-1, keepdims=True) for counts in (first, second))
    between = (p + q) / 2
    # x log x is 0 at 0; the smallest normal number in its place costs less than a mask
    entropies = [-np.einsum("...k,...k->...", one, np.log2(np.maximum(one, TINY))) for one in (between, p, q)]
    divergence: Array = entropies[0] - (entropies[1] + entropies[2]) / 2
    return np.maximum(divergence, 0.0)


def token_scales(samples: Samples, base: View) -> tuple[list[Scale], list[str]]:
    """Place what the tokenizer makes of the task's texts: no verdict rests on it, but it explains one.

    Parameters
    ----------
    samples : Samples
    base : View
        Answers ``token_ids`` and ``unknown_tokens``.

    Returns
    -------
    scales : list of Scale
        ``fertility``: tokens per word (what stands between white space). ``tokens_per_byte``. ``unknown_tokens``: the
        share of tokens that stand for no whole character; unrelated text, which is of the reference's characters,
        shows no more of it than the reference, so that its ceiling is 1. ``split_words``: the share of the most
        frequent words (lower-cased, without the punctuation around them) that are more than one token, in samples of
        equally many words, since larger ones know rarer words.
    limits : list of str
        What has no scale, since unrelated text shows no more of it than the reference.

    Raises
    ------
    NotMeasurable
        If the base has no tokens.
    """
    tokens = [(_token_ids(base, one.items) >= 0).sum(axis=1) for one in samples.all]
    unknown = [base.ask("unknown_tokens", one.items) for one in samples.all]
    words = [np.array([len((item.text or "").split()) for item in one.items]) for one in samples.all]
    sizes = [np.array([len((item.text or "").encode()) for item in one.items]) for one in samples.all]
    measures = [
        ("fertility", "tokens of a word", "tokens per word", _ratios(samples, tokens, words)),
        ("tokens_per_byte", "tokens of a byte of text", "tokens per byte", _ratios(samples, tokens, sizes)),
        ("unknown_tokens", "share of tokens for no whole character", "share", _ratios(samples, unknown, tokens)),
        ("split_words", "share of words that are not one token", "share", _split_words(samples, base)),
    ]
    scales, limits = [], []
    for name, question, unit, (null, measured, unrelated) in measures:
        ceiling = 1.0 if name == "unknown_tokens" else unrelated
        if null < ceiling:
            scales.append(Scale(name=name, question=question, unit=unit, null=null, measured=measured, ceiling=ceiling))
        else:
            limits.append(
                f"The {question} has no scale: {measured.value:.3g} in the task's texts, {null:.3g} in the reference "
                f"and {ceiling:.3g} in unrelated text."
            )
    return scales, limits


# --- what is counted --------------------------------------------------------------------------------------------------

Ends = tuple[float, Estimate, float]
"""Of the reference, of the task, of unrelated text."""


def _ratios(samples: Samples, above: Sequence[Array], below: Sequence[Array]) -> Ends:
    """Ratio of sums, with the cluster bootstrap of the task's."""
    if any(not one.sum() for one in below):
        raise NotMeasurable("tokens", "a sample has no words")
    reference, task, ceiling = (
        (up @ weights) / np.maximum(down @ weights, 1)
        for up, down, weights in zip(above, below, samples.weights, strict=True)
    )
    return float(reference[0]), drawn_estimate(task), float(ceiling[0])


def _split_words(samples: Samples, base: View) -> Ends:
    said = [[_words(item.text or "") for item in one.items] for one in samples.all]
    known = sorted({word for texts in said for words in texts for word in words})
    if not known:
        raise NotMeasurable("tokens", "the samples have no words")
    asked = [Item.model_construct(id=word, cluster=word, text=word) for word in known]  # out of texts that were checked
    split = (_token_ids(base, asked) >= 0).sum(axis=1) != 1
    number = {word: place for place, word in enumerate(known)}
    columns = [[[number[word] for word in words] for words in texts] for texts in said]
    counts = [_counted(one, rows, len(known)) for one, rows in zip(samples.all, columns, strict=True)]
    rng = samples.rng("words")
    draws = np.array(
        [
            [_share(part[draw, 0], split) for part in halves[1:]]
            for halves in _halves(counts, DRAWS // 5, rng)
            for draw in range(len(halves[0]))
        ]
    )
    null, measured, ceiling = np.concatenate([draws.mean(axis=0)[None], draws]).T
    return float(null[0]), drawn_estimate(measured), float(ceiling[0])


def _words(text: str) -> list[str]:
    return [word for one in text.lower().split() if (word := re.sub(r"^\W+|\W+$", "", one))]


def _share(counts: Array, split: NDArray[np.bool_]) -> float:
    """Share of the most frequent words that are split."""
    said = np.flatnonzero(counts)
    most = said[np.argsort(-counts[said], kind="stable")[:WORDS]]
    return float(split[most].mean())


def _token_counts(samples: Samples, base: View) -> list[csr_array]:
    """How often each cluster of each sample says each token, over the tokens that any of them says."""
    asked = [_token_ids(base, one.items) for one in samples.all]
    known = np.unique(np.concatenate([ids[ids >= 0] for ids in asked]))
    columns = [[np.searchsorted(known, row[row >= 0]).tolist() for row in ids] for ids in asked]
    return [_counted(one, rows, len(known)) for one, rows in zip(samples.all, columns, strict=True)]


def _token_ids(base: View, items: Sequence[Item]) -> NDArray[np.int64]:
    return base.ask("token_ids", items).reshape(len(items), -1).astype(np.int64)


def _counted(sample: Sample, columns: Sequence[Sequence[int]], width: int) -> csr_array:
    """How often each cluster says what; shape (n_clusters, width)."""
    rows = np.repeat(sample.codes, [len(one) for one in columns])
    if not len(rows):
        raise NotMeasurable("tokens", "a sample has no tokens")
    places = np.concatenate([np.asarray(one, dtype=np.int64) for one in columns])
    return csr_array((np.ones(len(rows)), (rows, places)), shape=(sample.n_clusters, width))


# --- equally many of them ---------------------------------------------------------------------------------------------

BLOCK = 25  # draws at once


def _halves(counts: Sequence[csr_array], draws: int, rng: np.random.Generator) -> Iterator[list[Array]]:
    """Draw halves of the documents, and cut them into pieces of equally many tokens.

    Yields
    ------
    list of ndarray, shapes (draws of a block, pieces, width)
        Of half of the reference, its other half, half of the task, half of the ceiling. A side that holds several times
        the tokens of another is cut into as many pieces; a document at a cut counts by its share.
    """
    sizes = [np.asarray(one.sum(axis=1), dtype=np.float64) for one in counts]
    totals = [float(one.sum()) for one in sizes]
    pieces = [min(PIECES, int(total / max(1.0, min(totals)))) or 1 for total in totals]
    for begin in range(0, draws, BLOCK):
        block = min(BLOCK, draws - begin)
        shares = [np.zeros((block, pieces[side], len(sizes[side]))) for side in PARTS]
        for draw in range(block):
            orders = [rng.permutation(len(one)) for one in sizes]
            middles = [len(order) // 2 for order in orders]
            rows = [order[:middle] for order, middle in zip(orders, middles, strict=True)]
            rows.insert(1, orders[0][middles[0] :])
            least = min(sizes[side][row].sum() / pieces[side] for side, row in zip(PARTS, rows, strict=True))
            if least <= 0:
                raise NotMeasurable("tokens", "half of the documents of a sample have no tokens")
            for share, side, row in zip(shares, PARTS, rows, strict=True):
                share[draw][:, row] = _cut(sizes[side][row], float(least), pieces[side])
        yield [
            (csr_array(share.reshape(-1, share.shape[2])) @ counts[side]).toarray().reshape(*share.shape[:2], -1)
            for share, side in zip(shares, PARTS, strict=True)
        ]


def _cut(sizes: Array, tokens: float, pieces: int) -> Array:
    """Lay documents end to end; return the share of each that lies in each piece, shape (pieces, n)."""
    ends = np.cumsum(sizes)
    cuts = tokens * np.arange(pieces)[:, None]
    inside = np.clip(np.minimum(ends, cuts + tokens) - np.maximum(ends - sizes, cuts), 0, None)
    share: Array = inside / np.maximum(sizes, 1)
    return share


def _divergences(pieces: Sequence[Array]) -> Array:
    """Mean divergence of each part's pieces from those of the first; shape (draws, 3)."""
    first, found = pieces[0], []
    for other in pieces[1:]:
        rows = np.arange(max(first.shape[1], other.shape[1]))
        found.append(jensen_shannon(first[:, rows % first.shape[1]], other[:, rows % other.shape[1]]).mean(axis=1))
    return np.stack(found, axis=1)


def _from_the_rest(first: csr_array, everything: Array) -> Array:
    """Divergence of rows of counts from what they leave of all."""
    parts = [first[begin : begin + BLOCK].toarray() for begin in range(0, first.shape[0], BLOCK)]
    return np.concatenate([jensen_shannon(part, everything - part) for part in parts])
