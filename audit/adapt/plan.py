"""What a training is asked to do, and what it says when it is done."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from audit.models.ask import Readout
from audit.models.source import Source
from audit.recipe import Adapt, Task
from audit.view import Item, Kind, View

__all__ = ["Plan", "Trained"]


@dataclass(frozen=True)
class Plan:
    """One base, one task, one method: what all trainings of a recipe (its seeds, its control arms) share.

    Attributes
    ----------
    base : Source
        What protections are anchored at.
    kind : str
    task : Task
    method : Adapt
        As the recipe declares it.
    general : sequence of Item
        General texts or images, for the protections that read some.
    start : Source, optional
        Where training begins, if not at the base: the base after pretraining on the domain.
    remembered : callable, optional
        Keeps the answers of a view (see `audit.view.remember`), so that a base is asked once for all its heads.
    """

    base: Source
    kind: Kind
    task: Task
    method: Adapt
    general: Sequence[Item] = ()
    start: Source | None = None
    remembered: Callable[[View], View] | None = None

    @property
    def begins(self) -> Source:
        """The weights that training begins with."""
        return self.start or self.base

    def copy_start(self, folder: Path) -> None:
        """Copy the weights that training begins with beside what reads them, where they are not the base's."""
        for name in self.start.files if self.start else ():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self.begins.folder / name, target)

    @property
    def readout(self) -> Readout:
        """How a base without a head for the labels is asked for one."""
        return Readout(self.task.asked(self.kind), self.task.names, self.task.said)


@dataclass(frozen=True)
class Trained:
    """What a training leaves besides its folder.

    Attributes
    ----------
    parameters : int
        How many were trained.
    curve : DataFrame
        Columns ``step``, ``epoch``, ``loss``, ``learning_rate``, and one a penalty; empty where there are no steps.
    notes : dict
        What else must be known: where it stopped, the hash of a Fisher information.
    """

    parameters: int
    curve: pd.DataFrame = field(default_factory=pd.DataFrame)
    notes: dict[str, str] = field(default_factory=dict)
