"""Answers that are kept, so that a model is asked once."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from audit.view.item import Item
from audit.view.question import View

__all__ = ["remember"]

Array = NDArray[np.float64]


class _Remembered:
    """A view whose answers are kept in a folder."""

    def __init__(self, view: View, folder: Path) -> None:
        self._view, self._folder = view, folder
        self.id, self.kind, self.labels = view.id, view.kind, view.labels

    def ask(self, question: str, items: Sequence[Item]) -> Array:
        contents = "\n".join(item.model_dump_json() for item in items)
        key = hashlib.sha256(f"{self.id}\n{question}\n{contents}".encode()).hexdigest()
        path = self._folder / f"{key}.npy"
        known = _load_answer(path, len(items))
        if known is not None:
            return known
        answer = self._view.ask(question, items)
        self._folder.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=self._folder, suffix=".tmp")
        try:
            with os.fdopen(handle, "wb") as file:
                np.save(file, answer, allow_pickle=False)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        return answer


def _load_answer(path: Path, n_items: int) -> Array | None:
    try:
        answer: Array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None  # absent or torn: asked again
    return answer if answer.dtype == np.float64 and answer.shape[:1] == (n_items,) else None


def remember(view: View, folder: Path) -> View:
    """Keep a view's answers in a folder, by (view, question, items): asked once, read ever after.

    A torn or foreign file counts as absent. The same view, so the same id.
    """
    return _Remembered(view, folder)
