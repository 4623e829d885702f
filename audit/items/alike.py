"""Texts that say the same, or nearly so: what folds away, and which pairs of two sets are alike."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["SHORT", "alike", "folded"]

ALIKE = 0.8  # Jaccard index from which on two texts are near duplicates
WORDS = 3  # a shingle of a text that is long enough
CHARACTERS = 4  # a shingle of a short one
SHORT = 29  # words: in fewer, one changed word in the middle costs more than a fifth, (n - 5) / (n + 1) < .8
APOSTROPHES = "'\u2019\u02bc"
MINUS = 0x2212
NUMBER = re.compile(  # what punctuation is part of a number: its sign, its points, what stands between digits, percent
    r"((?<![\w-])-(?=\.?\d)|(?<![\w.])\.(?=\d)|(?<=\d)[.,:/*-](?=\d)|(?<=\d)%)"
)
TRIFLE = 1e-9  # what a product of floats may be off

Numbers = NDArray[np.int64]


class _Plain(dict[int, str]):
    """Characters without those that nobody sees (soft hyphens, zero-width spaces), and with one dash for all."""

    def __missing__(self, code: int) -> str:
        category = unicodedata.category(chr(code))
        self[code] = "" if category == "Cf" else "-" if category == "Pd" or code == MINUS else chr(code)
        return self[code]


class _Folds(dict[int, str]):
    """Characters as they are compared: punctuation and spaces part words, an apostrophe does not."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        parts = unicodedata.category(character)[0] in "PZC"
        self[code] = "" if character in APOSTROPHES else " " if parts else character
        return self[code]


_PLAIN, _FOLDS = _Plain(), _Folds()


def folded(text: str) -> str:
    r"""Fold what does not make another text: Unicode forms (NFKC), case, spaces, punctuation but that of numbers.

    Examples
    --------
    >>> folded("  It's  FINE: the first\u2014Straße!")
    'its fine the first strasse'
    >>> folded("Up to -1.5, not 1.5.")
    'up to -1.5 not 1.5'
    >>> folded("?!")
    '?!'
    """
    plain = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold().translate(_PLAIN))
    parts = NUMBER.split(plain)
    bare = "".join(part if place % 2 else part.translate(_FOLDS) for place, part in enumerate(parts))
    return " ".join(bare.split()) or " ".join(plain.split())


def alike(ours: Sequence[str], theirs: Sequence[str]) -> Iterator[tuple[int, Numbers, NDArray[np.float64]]]:
    """Yield what has a Jaccard index of .8 by words or, where one text is short, by characters; equal ones have 1.

    Parameters
    ----------
    ours, theirs : sequence of str
        Folded texts; what begins with a zero character is no text and can only be equal.

    Yields
    ------
    our : int
        Place of one of ours; twice where it is like some by words and like others by characters.
    their : array of int, shape (n,)
        Places of those of theirs that it is like.
    jaccard : array of float, shape (n,)

    Examples
    --------
    >>> list(alike(["the kettle never boils"], ["a sound choice", "the kettle never boiled"]))
    [(0, array([1]), array([0.85714286]))]
    """
    words = [np.array([one.count(" ") + 1 for one in side], dtype=np.int64) for side in (ours, theirs)]
    for shingles, chosen in (
        (_by_words, [np.flatnonzero(count >= SHORT) for count in words]),
        (_by_characters, [np.flatnonzero(count < 2 * SHORT) for count in words]),  # more: another
    ):
        known: dict[str, int] = {}
        members = [
            [_numbered(shingles(side[place]), known) for place in places.tolist()]
            for side, places in zip((ours, theirs), chosen, strict=True)
        ]
        for our, their, jaccard in _joined(members[0], members[1], len(known)):
            place, others = int(chosen[0][our]), chosen[1][their]
            compared = (words[0][place] < SHORT) | (words[1][others] < SHORT) | (shingles is _by_words)
            if compared.any():
                yield place, others[compared], jaccard[compared]


def _by_words(text: str) -> Iterator[str]:
    words = text.split(" ")
    return (" ".join(words[place : place + WORDS]) for place in range(len(words) - WORDS + 1))


def _by_characters(text: str) -> Iterator[str]:
    size = len(text) if text.startswith("\0") else CHARACTERS
    return (text[place : place + size] for place in range(max(1, len(text) - size + 1)))


def _numbered(shingles: Iterable[str], known: dict[str, int]) -> Numbers:
    """Numbers of shingles, each once; a new one gets the next."""
    return np.array([known.setdefault(one, len(known)) for one in dict.fromkeys(shingles)], dtype=np.int64)


def _joined(
    ours: Sequence[Numbers], theirs: Sequence[Numbers], count: int
) -> Iterator[tuple[int, Numbers, NDArray[np.float64]]]:
    """Yield what of two families of sets, whose members are numbers below ``count``, has an index of .8 at least.

    Two sets of which one has n members share at least .8 n of them, so that they share one of its .2 n + 1 rarest. What
    stands behind the first that they share bounds what they can share at all (Xiao et al., 2011, positional filter).
    """
    if not ours or not theirs:
        return
    often = np.bincount(np.concatenate([*ours, *theirs]), minlength=count)
    rank = np.empty(count, dtype=np.int64)
    rank[np.argsort(often, kind="stable")] = np.arange(count)
    held = [np.sort(rank[one]) for one in theirs]  # the rarest first
    flat, sizes = np.concatenate(held), np.array([len(one) for one in held])
    begins = np.cumsum(sizes) - sizes
    firsts = sizes - np.ceil(ALIKE * sizes - TRIFLE).astype(np.int64) + 1
    rare = flat[_spans(begins, firsts)]
    order = np.argsort(rare, kind="stable")
    holder, depth = np.repeat(np.arange(len(sizes)), firsts)[order], _spans(np.zeros_like(firsts), firsts)[order]
    starts = np.searchsorted(rare[order], np.arange(count + 1))
    mine = np.zeros(count, dtype=bool)
    for our, one in enumerate(ours):
        ranks = np.sort(rank[one])
        size = len(ranks)
        rarest = ranks[: size - int(np.ceil(ALIKE * size - TRIFLE)) + 1]
        holders = starts[rarest + 1] - starts[rarest]
        if not holders.any():
            continue
        found = _spans(starts[rarest], holders)
        near, first = np.unique(holder[found], return_index=True)
        behind = np.minimum(size - np.repeat(np.arange(len(rarest)), holders)[first], sizes[near] - depth[found[first]])
        near = near[behind >= ALIKE / (1 + ALIKE) * (size + sizes[near]) - TRIFLE]
        if not len(near):
            continue
        mine[ranks] = True
        shared = mine[flat[_spans(begins[near], sizes[near])]]
        mine[ranks] = False
        common = np.add.reduceat(shared, np.cumsum(sizes[near]) - sizes[near], dtype=np.int64)
        jaccard = common / (size + sizes[near] - common)
        reached = jaccard >= ALIKE - TRIFLE
        if reached.any():
            yield our, near[reached], jaccard[reached]


def _spans(begins: Numbers, sizes: Numbers) -> Numbers:
    """Return all places of spans, one span after another."""
    spans: Numbers = np.repeat(begins - np.cumsum(sizes) + sizes, sizes) + np.arange(sizes.sum())
    return spans
