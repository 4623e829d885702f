"""Texts that say the same, or nearly so: what folds away, and which pairs of two sets are alike."""

from __future__ import annotations

import math
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

__all__ = ["alike", "folded"]

ALIKE = 0.8  # Jaccard index from which on two texts are near duplicates
WORDS = 3  # a shingle of a text that is long enough
CHARACTERS = 4  # a shingle of a short one
SHORT = 29  # words: in fewer, one changed word in the middle costs more than a fifth, (n - 5) / (n + 1) < .8
APOSTROPHES = "'\u2019\u02bc"
TRIFLE = 1e-9  # what a product of floats may be off

Shingles = frozenset[str]


class _Folds(dict[int, str]):
    """Characters as they are compared: punctuation and spaces part words, an apostrophe does not."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        parts = unicodedata.category(character)[0] in "PZC"
        self[code] = "" if character in APOSTROPHES else " " if parts else character
        return self[code]


_FOLDS = _Folds()


def folded(text: str) -> str:
    r"""Fold what does not make another text: Unicode forms (NFKC), case, spaces, punctuation.

    Examples
    --------
    >>> folded("  It's  FINE: the first\u2014Straße!")
    'its fine the first strasse'
    >>> folded("?!")
    '?!'
    """
    plain = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return " ".join(plain.translate(_FOLDS).split()) or " ".join(plain.split())


def alike(ours: Sequence[str], theirs: Sequence[str]) -> Iterator[tuple[str, str, float]]:
    """Yield what is equal, and what has a Jaccard index of .8 by words or, where one text is short, by characters.

    Parameters
    ----------
    ours, theirs : sequence of str
        Folded texts, each once; what begins with a zero character is no text and can only be equal.

    Yields
    ------
    our, their : str
    jaccard : float

    Examples
    --------
    >>> list(alike(["the kettle never boils"], ["the kettle never boiled", "a sound choice"]))
    [('the kettle never boils', 'the kettle never boiled', 0.8571428571428571)]
    """
    both = set(theirs)
    yield from ((one, one, 1.0) for one in ours if one in both)
    texts = [[(one, one.count(" ") + 1) for one in side if not one.startswith("\0")] for side in (ours, theirs)]
    long = [{one: _by_words(one) for one, words in side if words >= SHORT} for side in texts]
    yield from _joined(long[0], long[1])
    brief = [{one: _by_characters(one) for one, words in side if words < 2 * SHORT} for side in texts]  # more: another
    for one, other, jaccard in _joined(brief[0], brief[1]):
        if one not in long[0] or other not in long[1]:
            yield one, other, jaccard


def _by_words(text: str) -> Shingles:
    words = text.split(" ")
    return frozenset(" ".join(words[place : place + WORDS]) for place in range(len(words) - WORDS + 1))


def _by_characters(text: str) -> Shingles:
    return frozenset(text[place : place + CHARACTERS] for place in range(max(1, len(text) - CHARACTERS + 1)))


def _joined(ours: Mapping[str, Shingles], theirs: Mapping[str, Shingles]) -> Iterator[tuple[str, str, float]]:
    """Yield all pairs whose Jaccard index is at least .8, but equal texts.

    Two sets of which one has n members share at least .8 n of them, so that they share one of its .2 n + 1 rarest.
    """
    often = Counter(one for side in (ours, theirs) for shingles in side.values() for one in shingles)
    holders: dict[str, list[str]] = {}
    for text, shingles in ours.items():
        for one in _rarest(shingles, often):
            holders.setdefault(one, []).append(text)
    for other, shingles in theirs.items():
        near = {text for one in _rarest(shingles, often) for text in holders.get(one, ())}
        least, most = ALIKE * len(shingles) - TRIFLE, len(shingles) / ALIKE + TRIFLE
        for text in sorted(near):
            if text != other and least <= len(ours[text]) <= most:
                common = len(ours[text] & shingles)
                jaccard = common / (len(ours[text]) + len(shingles) - common)
                if jaccard >= ALIKE - TRIFLE:
                    yield text, other, jaccard


def _rarest(shingles: Shingles, often: Mapping[str, int]) -> list[str]:
    count = len(shingles) - math.ceil(ALIKE * len(shingles) - TRIFLE) + 1
    return sorted(shingles, key=lambda one: (often[one], one))[:count]
