"""Tokens that lose the characters they stand for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from audit.view import Item, NotMeasurable, View

__all__ = ["unknown_tokens"]

Array = NDArray[np.float64]


def unknown_tokens(base: View, items: Sequence[Item]) -> tuple[Array, Array]:
    """Count the unknown token in each text, and all tokens, shape (n,) each; none of a view that does not say.

    What stands for no whole character may be bytes, too, and these lose nothing. The first of a character's bytes is
    no token of its others: if one token is all that stands for no whole character, it is the unknown one.
    """
    none = np.zeros(len(items)), np.ones(len(items))
    try:
        unknown = base.ask("unknown_tokens", items) if items else none[0]
        if not unknown.any():
            return none
        ids = base.ask("token_ids", items).reshape(len(items), -1)
    except NotMeasurable:
        return none
    most = ids[int(unknown.argmax())]
    tokens, times = np.unique(most[most >= 0], return_counts=True)
    alone = any(np.array_equal((ids == token).sum(axis=1), unknown) for token in tokens[times == unknown.max()])
    return (unknown, (ids >= 0).sum(axis=1).astype(np.float64)) if alone else none
