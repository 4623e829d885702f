"""Answers that are kept, so that a model is asked once, by however many audits of however many adapted models."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from audit.view.item import Item, content_hash
from audit.view.question import View

__all__ = ["remember"]

Array = NDArray[np.float64]


class _Remembered:
    """A view whose answers are kept in a folder."""

    def __init__(self, view: View, folder: Path, agreed: Callable[[bool], bool]) -> None:
        self._view, self._folder, self._agreed = view, folder, agreed
        self.id, self.kind, self.labels = view.id, view.kind, view.labels

    def ask(self, question: str, items: Sequence[Item]) -> Array:
        names = [content_hash(item) for item in items]
        asked = {"view": self.id, "question": question, "items": _hash("\n".join(sorted(set(names))))}
        path = self._folder / f"{_hash(json.dumps(asked))}.parquet"
        known = _read(path, asked)
        missing = known is None or known.keys() != set(names)
        if not self._agreed(missing) and known is not None:
            return np.stack([known[name] for name in names])
        known = dict(zip(names, self._view.ask(question, items), strict=True))
        _write(path, asked, list(known), np.stack(list(known.values())))
        return np.stack([known[name] for name in names])

    def treatment(self, question: str, items: Sequence[Item]) -> str:
        return self._view.treatment(question, items)


def _hash(content: str | bytes) -> str:
    return hashlib.sha256(content.encode() if isinstance(content, str) else content).hexdigest()


def _read(path: Path, asked: dict[str, str]) -> dict[str, Array] | None:
    """Read what was kept: a row an item; None if it is absent, torn, or the answer to something else."""
    try:
        table = pq.read_table(path)
        said = json.loads(table.schema.metadata[b"transfer-audit"])
        values = table["value"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
        names = table["item"].to_pylist()
        if {key: said[key] for key in asked} != asked or said["sha256"] != _hash(values.tobytes()):
            return None
        rows = values.reshape(len(names), *said["shape"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, pa.ArrowException):
        return None
    return dict(zip(names, rows, strict=True))


def _write(path: Path, asked: dict[str, str], names: Sequence[str], answer: Array) -> None:
    """Keep an answer; where that cannot be done (a full disk, a folder that is read-only), it is asked again."""
    flat = np.ascontiguousarray(answer, dtype=np.float64).reshape(len(names), -1)
    said = {**asked, "shape": answer.shape[1:], "sha256": _hash(flat.tobytes())}
    table = pa.table(
        {"item": names, "value": pa.FixedSizeListArray.from_arrays(flat.ravel(), flat.shape[1])}
    ).replace_schema_metadata({"transfer-audit": json.dumps(said)})
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
        os.close(handle)
        pq.write_table(table, temporary, compression="zstd")
        os.replace(temporary, path)
    except OSError:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)


def remember(view: View, folder: Path, agreed: Callable[[bool], bool] = bool) -> View:
    """Keep a view's answers in a folder, by what decides them: asked once, read ever after, in any order.

    Parameters
    ----------
    view : View
        Its id stands for weights, tokenizer and precision.
    folder : Path
        One parquet file a question and set of items: a hash of what each item says, and the answer. No text.
    agreed : callable
        On several ranks, what the first one says of whether to ask: all ask, or none.

    Returns
    -------
    View
        The same view, so the same id. A file that is torn, or is the answer to something else, counts as absent.
    """
    return _Remembered(view, folder, agreed)
