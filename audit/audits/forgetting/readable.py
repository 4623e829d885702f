"""Texts that the base's tokenizer cannot read: what it makes one unknown token of is no text to either side."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from audit.view import Item, NotMeasurable, View

__all__ = ["UNREAD", "readable"]

UNREAD = 0.1  # of the tokens of a text, that may stand for characters they lose

Array = NDArray[np.float64]


def readable(base: View, items: Sequence[Item]) -> tuple[list[Item], str]:
    """Leave out items of which a text is lost on the base's tokenizer.

    Parameters
    ----------
    base : View
        Answers ``unknown_tokens`` and ``token_ids``; of one that does not, every item is left.
    items : sequence of Item
        Of a pair, or a prompt and its options, each text has to be read. Images are.

    Returns
    -------
    items : list of Item
        Those of which no text has more than a tenth of unknown tokens, in their order.
    note : str
        How many were left out; empty if none were.

    Raises
    ------
    NotMeasurable
        If fewer than half are left.

    Notes
    -----
    Words of another script are one and the same unknown token each: no change of the model shows in them, so they
    would count as retained whatever was overwritten. Bytes that a character falls into lose nothing.
    """
    asked = [Item(id=_named(item, k), cluster="-", text=text) for item in items for k, text in enumerate(_texts(item))]
    of = np.array([row for row, item in enumerate(items) for _ in _texts(item)], dtype=np.int64)
    lost = np.zeros(len(items), dtype=bool)
    lost[of[_unknown(base, asked) > UNREAD]] = True
    left = [item for item, gone in zip(items, lost, strict=True) if not gone]
    said = f"{int(lost.sum())} of {len(items)} items"
    if 2 * len(left) < len(items):
        raise NotMeasurable("unknown_tokens", f"the base's tokenizer cannot read {said}, whatever the model knows")
    return left, f"{said} were left out: the base's tokenizer cannot read them." if lost.any() else ""


def _texts(item: Item) -> list[str]:
    if item.prompt is not None:
        return [item.prompt, *(item.options or ())]
    return [text for text in (item.text, *(item.pair or ())) if text is not None]


def _named(item: Item, k: int) -> str:
    return item.id if item.text is not None else f"{item.id}/{k}"


def _unknown(base: View, texts: Sequence[Item]) -> Array:
    """Share of each text's tokens that are the unknown one, shape (n,); 0 of a view that does not say.

    As in `audit.audits.gap.surprise`: if one token is all that stands for no whole character, it is the unknown one.
    """
    try:
        unknown = base.ask("unknown_tokens", texts) if texts else np.zeros(0)
        if not unknown.any():
            return np.zeros(len(texts))
        ids = base.ask("token_ids", texts).reshape(len(texts), -1)
    except NotMeasurable:
        return np.zeros(len(texts))
    most = ids[int(unknown.argmax())]
    tokens, times = np.unique(most[most >= 0], return_counts=True)
    alone = any(np.array_equal((ids == token).sum(axis=1), unknown) for token in tokens[times == unknown.max()])
    shares: Array = unknown / np.maximum((ids >= 0).sum(axis=1), 1) * alone
    return shares
