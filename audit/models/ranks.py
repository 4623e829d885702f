"""Asking on several ranks of ``accelerate launch``: each answers a share, all get every answer."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from audit.view import Item

__all__ = ["agreed", "launched", "leads", "over_ranks"]

Array = NDArray[np.float64]
T = TypeVar("T")


def launched() -> Any:
    """Return this process's place among the ranks (an accelerate ``PartialState``), or None if it is alone."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return None
    from accelerate import PartialState

    return PartialState(cpu=not torch.cuda.is_available())


def leads() -> bool:
    """Tell whether this process writes: the first rank, or the only one."""
    state = launched()
    return state is None or bool(state.is_main_process)


def agreed(value: T) -> T:
    """Return what the first rank says, on every rank; none goes on before all have come here."""
    if launched() is None:
        return value
    from accelerate.utils import broadcast_object_list

    said: list[T] = broadcast_object_list([value])
    return said[0]


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
    Exception
        On every rank, what one of them met: none is left waiting.
    """
    state = launched()
    if state is None:
        return answer(items)
    from accelerate.utils import gather_object

    result: Array | Exception
    mine = list(range(state.process_index, len(items), state.num_processes))
    try:
        result = answer([items[i] for i in mine]) if mine else np.empty(0)
    except Exception as reason:  # noqa: BLE001 (whatever it is, the other ranks wait for this one)
        result = reason
    shares = gather_object([(mine, result)])
    for _, share in shares:
        if isinstance(share, Exception):
            raise share
    rows = dict(pair for places, share in shares for pair in zip(places, share, strict=True))
    return np.stack([rows[i] for i in range(len(items))])
