"""Batches: longest first, as many padded tokens at once as memory allows."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from accelerate.utils.memory import clear_device_cache, should_reduce_batch_size

__all__ = ["Progress", "in_batches", "padded", "token_budget"]

Progress = Callable[[int, int], None]  # done, total

# Padded tokens a batch: on a CPU a small batch stays in its cache, and larger ones were slower on every model tried
# (`make bench`); a GPU wants to be filled.
BUDGET = {"cpu": 512, "cuda": 16384, "mps": 4096}


def in_batches(
    sizes: Sequence[int],
    work: Callable[[list[int]], None],
    progress: Progress | None = None,
    *,
    budget: int,
    alike: bool = False,
) -> None:
    """Do some work for every position, in batches of positions of like size.

    Parameters
    ----------
    sizes : sequence of int
        What each position costs, in tokens.
    work : callable
        Takes the positions of one batch, largest first. Where it runs out of memory, the budget is halved and the
        batch is done again in parts.
    progress : callable, optional
        Told how many positions are done.
    budget : int
        Largest cost of a batch, padding included. One position alone may cost more.
    alike : bool
        Only positions of exactly the same size share a batch: no padding.

    Examples
    --------
    >>> seen = []
    >>> in_batches([1, 5, 2, 5], seen.append, budget=10)
    >>> seen
    [[1, 3], [2, 0]]
    """
    order = sorted(range(len(sizes)), key=lambda i: (-sizes[i], i))
    done = 0
    while done < len(order):
        largest = max(1, sizes[order[done]])
        rows = order[done : done + max(1, budget // largest)]
        if alike:
            rows = [row for row in rows if sizes[row] == sizes[rows[0]]]
        try:
            work(rows)
        except RuntimeError as error:
            if len(rows) == 1 or not should_reduce_batch_size(error):
                raise
            budget = largest * (len(rows) // 2)
            clear_device_cache(garbage_collection=True)
            continue
        done += len(rows)
        if progress:
            progress(done, len(order))


def token_budget(device: torch.device) -> int:
    """Return how many padded tokens a batch holds on a device."""
    return BUDGET.get(device.type, BUDGET["cuda"])


def padded(sequences: Sequence[Sequence[int]], pad: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Pad token ids on the right; return ids and attention mask, both (n, longest)."""
    longest = max(len(one) for one in sequences)
    ids = torch.full((len(sequences), longest), pad, dtype=torch.long)
    mask = torch.zeros((len(sequences), longest), dtype=torch.long)
    for row, one in enumerate(sequences):
        ids[row, : len(one)] = torch.tensor(one, dtype=torch.long)
        mask[row, : len(one)] = 1
    return ids.to(device), mask.to(device)
