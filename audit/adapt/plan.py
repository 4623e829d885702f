"""What a training is asked to do, and what it says when it is done."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from audit.models.ask import Readout
from audit.models.source import Source
from audit.recipe import Adapt, Task
from audit.view import Item, Kind, View, fingerprint

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
    code : str
        Hash of the code that trains, where a checkpoint may outlive it.
    """

    base: Source
    kind: Kind
    task: Task
    method: Adapt
    general: Sequence[Item] = ()
    start: Source | None = None
    remembered: Callable[[View], View] | None = None
    code: str = ""

    @property
    def begins(self) -> Source:
        """The weights that training begins with."""
        return self.start or self.base

    def fingerprint(self, items: Sequence[Item], seed: int) -> str:
        """Hash everything that a training on some items depends on: what another began, none goes on with."""
        parts = [self.code, self.base.sha256, self.begins.sha256, self.kind, str(seed)]
        parts += [self.task.model_dump_json(), self.method.model_dump_json()]
        for some in (items, self.general):  # their order counts: batches are drawn by it
            parts += [fingerprint(some), *(item.id for item in some)]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

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
        What else must be known: where it stopped, what was cut, the hash of a Fisher information.
    """

    parameters: int
    curve: pd.DataFrame = field(default_factory=pd.DataFrame)
    notes: dict[str, str] = field(default_factory=dict)
