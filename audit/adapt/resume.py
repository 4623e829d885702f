"""Checkpoints of a training that may be killed at any moment: whole or not there."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from audit.models.ranks import agreed, leads

__all__ = ["Checkpoints", "put_back", "weights_of"]

KEY = "training.sha256"


class Checkpoints:
    """The checkpoints of one training, of which the newest is kept; the first rank writes.

    A checkpoint is written under another name, synced, and renamed: what has its name is whole.

    Parameters
    ----------
    folder : Path
        Theirs alone; made when the first is written.
    said : sequence
        What the training is asked to do. A checkpoint of another is not read.
    """

    def __init__(self, folder: Path, said: Sequence[Any]) -> None:
        self.folder = folder
        self._key = hashlib.sha256(repr(said).encode()).hexdigest()

    def latest(self) -> Path | None:
        """Return the newest checkpoint of this training; what was cut off in writing goes."""
        found = None
        if leads():
            shutil.rmtree(self._unfinished, ignore_errors=True)
            for one in sorted(self.folder.glob("step-*"), key=_step):
                found = one if (one / KEY).is_file() and (one / KEY).read_text() == self._key else None
        return agreed(found)

    @contextmanager
    def writing(self, step: int) -> Iterator[Path]:
        """Give a folder to write a checkpoint into, and make it the newest when all ranks have written."""
        self._unfinished.mkdir(parents=True, exist_ok=True)
        yield self._unfinished
        agreed(None)  # every rank has written its part
        if leads():
            written = next(self._unfinished.iterdir())
            (written / KEY).write_text(self._key)
            for file in written.iterdir():
                _sync(file)
            _sync(written)
            older, name = list(self.folder.glob("step-*")), self.folder / f"step-{step}"
            shutil.rmtree(name, ignore_errors=True)  # of another training
            written.rename(name)
            self._unfinished.rmdir()
            _sync(self.folder)
            for one in older:
                if one != name:
                    shutil.rmtree(one)
        agreed(None)

    def remove(self) -> None:
        """Remove them all: the training is done."""
        agreed(None)
        if leads():
            shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def _unfinished(self) -> Path:
        return self.folder / "unfinished"


def weights_of(model: torch.nn.Module, names: Collection[str]) -> dict[str, torch.Tensor]:
    """Copy what training changes of a model: the named parameters, and every buffer."""
    inside = set(names)
    tensors = {name: one for name, one in model.named_parameters() if name in inside} | dict(model.named_buffers())
    return {name: one.detach().cpu().clone(memory_format=torch.contiguous_format) for name, one in tensors.items()}


@torch.no_grad()
def put_back(model: torch.nn.Module, weights: Mapping[str, torch.Tensor]) -> None:
    """Write copied weights back into their model."""
    tensors = dict(model.named_parameters()) | dict(model.named_buffers())
    for name, value in weights.items():
        if not torch.equal(tensors[name].cpu(), value):  # a buffer may be a view that cannot be written to
            tensors[name].copy_(value)


def _step(checkpoint: Path) -> int:
    return int(checkpoint.name.removeprefix("step-"))


def _sync(path: Path) -> None:
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
