"""Base to adapted model: one file a method."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from audit.adapt.head import fit_head
from audit.adapt.plan import Plan, Trained
from audit.adapt.prompt import fit_prompt
from audit.adapt.train import train
from audit.models.batch import Progress
from audit.recipe import Head, Prompt
from audit.view import Item

__all__ = ["Plan", "Trained", "adapt"]


def adapt(
    plan: Plan,
    items: Sequence[Item],
    seed: int,
    folder: Path,
    *,
    checkpoints: Path | None = None,
    progress: Progress | None = None,
) -> Trained:
    """Adapt a base to labelled items and write the result.

    Parameters
    ----------
    plan : Plan
    items : sequence of Item
        Training items with labels.
    seed : int
    folder : Path
        Exists and is empty; receives a checkpoint, an adapter, a head or a prompt.
    checkpoints : Path, optional
        Where an interrupted training finds what it had done; gone when it is done.
    progress : callable, optional
        Told steps done and steps in all.
    """
    if isinstance(plan.method, Head):
        return fit_head(plan, items, seed, folder, progress)
    if isinstance(plan.method, Prompt):
        return fit_prompt(plan, items, seed, folder, progress)
    return train(plan, items, seed, folder, checkpoints=checkpoints, progress=progress)
