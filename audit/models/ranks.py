"""Asking on several ranks of ``accelerate launch``: each answers a share, all get every answer."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from audit.view import Item, NotMeasurable

__all__ = ["over_ranks"]

Array = NDArray[np.float64]


def over_ranks(items: Sequence[Item], answer: Callable[[Sequence[Item]], Array]) -> Array:
    """Answer items on as many ranks as were launched, in item order.

    Parameters
    ----------
    items : sequence of Item
        The same on every rank.
    answer : callable
        From items to one row an item.

    Raises
    ------
    NotMeasurable
        On every rank, if one cannot answer: none is left waiting.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return answer(items)
    from accelerate import PartialState
    from accelerate.utils import gather_object

    state = PartialState()
    result: Array | NotMeasurable
    mine = list(range(state.process_index, len(items), state.num_processes))
    try:
        result = answer([items[i] for i in mine]) if mine else np.empty(0)
    except NotMeasurable as reason:
        result = reason
    shares = gather_object([(mine, result)])
    for _, share in shares:
        if isinstance(share, NotMeasurable):
            raise share
    rows = dict(pair for places, share in shares for pair in zip(places, share, strict=True))
    return np.stack([rows[i] for i in range(len(items))])
