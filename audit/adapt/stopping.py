"""When to stop: before general items have lost more than a recipe allows."""

from __future__ import annotations

from typing import Any

import torch

from audit.adapt.body import quiet
from audit.adapt.general import TOGETHER, General, base_network
from audit.adapt.plan import Plan
from audit.errors import InputError
from audit.recipe import Gradient

__all__ = ["Stop", "lost_neighbours", "stopper"]

NEIGHBOURS = 10


class Stop:
    """Says after an epoch whether it went too far: then the epoch before it is kept, and training ends.

    Parameters
    ----------
    general : General
        With the base, which is asked once.
    most : float
        What may be lost: nats a byte under a causal base, else the share of nearest neighbours.

    Attributes
    ----------
    lost : dict of int to float
        By epoch, what was lost when it was over.
    at : int or None
        The epoch that went too far.
    """

    def __init__(self, general: General, most: float) -> None:
        self._general, self._most = general, most
        self.lost: dict[int, float] = {}
        self.at: int | None = None
        few = 2 * NEIGHBOURS + 1
        if general.kind != "causal" and len(general.items) < few:
            raise InputError(
                f"[adapt.protect] stop: of {len(general.items)} items, {NEIGHBOURS} neighbours each say little; "
                f"it takes {few} items"
            )
        self._base = self._asked(general.base)

    def __call__(self, model: Any, epoch: int) -> bool:
        """Tell whether an epoch, which is over, went too far."""
        now = self._asked(model)
        lost = lost_neighbours(self._base, now) if self._general.kind != "causal" else float(now - self._base)
        self.lost[epoch] = lost
        if lost <= self._most:
            return False
        self.at = epoch  # also where it is no number
        return True

    def _asked(self, model: Any) -> torch.Tensor:
        """Nats a byte of all items, or their vectors (n, d)."""
        general, rows = self._general, range(len(self._general.items))
        parts, nats = [], torch.zeros((), dtype=torch.float64)
        with quiet(model), torch.no_grad():
            for begin in rows[::TOGETHER]:
                some = rows[begin : begin + TOGETHER]
                if general.kind == "causal":
                    asked = general.questions(some, ())
                    logits = general.words(model, asked.ids, asked.mask, asked.at)
                    nats += torch.nn.functional.cross_entropy(logits, asked.answers, reduction="sum").double().cpu()
                else:
                    parts.append(general.vectors(model, some))
        return nats / sum(general.bytes) if general.kind == "causal" else torch.cat(parts)


def lost_neighbours(base: torch.Tensor, model: torch.Tensor, k: int = NEIGHBOURS) -> float:
    """Share of the k nearest neighbours of each item, by cosine, that are no longer among them.

    Parameters
    ----------
    base, model : tensor, shape (n, d)
        Vectors of the same items.
    k : int
        Less than n.

    Examples
    --------
    >>> line = torch.tensor([[1.0, 0.0], [1.0, 0.1], [1.0, 1.0], [1.0, 1.1]])
    >>> lost_neighbours(line, line, k=1), lost_neighbours(line, line[[0, 2, 1, 3]], k=1)
    (0.0, 1.0)
    """
    ours, theirs = (_nearest(vectors, k) for vectors in (base, model))
    return 1 - float((ours & theirs).sum()) / float(ours.sum())


def _nearest(vectors: torch.Tensor, k: int) -> torch.Tensor:
    directions = torch.nn.functional.normalize(vectors.double(), dim=-1)
    cosines = (directions @ directions.T).fill_diagonal_(-2)
    return torch.zeros_like(cosines, dtype=torch.bool).scatter_(1, cosines.topk(k).indices, True)


def stopper(plan: Plan, model: Any) -> Stop | None:
    """Make what stops a training by the method's ``protect``; None where nothing does.

    Raises
    ------
    InputError
        If there are no items, too few, or none that this kind of base reads.
    """
    method = plan.method
    assert isinstance(method, Gradient)
    if method.protect.stop is None:
        return None
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices):
        general = General(plan, base_network(plan))
        stop = Stop(general, method.protect.stop)
    general.let_go()
    return stop
