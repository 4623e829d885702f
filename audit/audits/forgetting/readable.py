"""Texts that the base's tokenizer cannot read: what it makes one unknown token of is no text to either side."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from audit.audits.unknown import unknown_tokens
from audit.view import Item, NotMeasurable, View

__all__ = ["UNREAD", "readable"]

UNREAD = 0.1  # of the tokens of a text, that may stand for characters they lose


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
    unknown, tokens = unknown_tokens(base, asked)
    lost[of[unknown / np.maximum(tokens, 1) > UNREAD]] = True
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
