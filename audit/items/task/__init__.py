"""The task's own items, of every type: read, checked, split."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from audit.errors import InputError
from audit.items.columns import with_groups
from audit.items.task.images import image_paths
from audit.items.task.labels import content, labels, refuse_alike
from audit.items.task.tables import load_splits
from audit.view import Item, Kind, fingerprint
from audit.view.item import content_hash

if TYPE_CHECKING:
    from audit.recipe import Task

__all__ = ["TaskData", "read_task", "refuse_unread"]


@dataclass(frozen=True)
class TaskData:
    """Training and test items of a task; every item has a text or an image, and a label; ids are unique over both.

    ``id`` and ``revision`` are those of a Hub data set: its name and the commit that was read.
    """

    train: list[Item]
    test: list[Item]
    source: str
    fingerprint: str
    id: str | None = None
    revision: str | None = None


def read_task(task: Task, columns: Mapping[str, str | None] | None = None) -> TaskData:
    """Read the labelled texts or images of a recipe, and the sensitive columns of its test rows.

    ``columns`` names their reference groups (see `audit.items.columns.with_groups`).

    Raises
    ------
    InputError
        One line that names the data, the column or the row, what was found and what would do.
    """
    splits, beside, image, commit = load_splits(task)
    items = {}
    for which in (task.train_split, task.test_split):
        if which not in splits:
            raise InputError(f"{task.dataset}: no split {which!r}; it has {', '.join(map(repr, splits))}")
        limit = task.train_limit if which == task.train_split else task.test_limit
        items[which] = _items(splits[which].head(limit) if limit else splits[which], which, task, beside, image)
    train, test = items[task.train_split], items[task.test_split]
    if columns:
        rows = splits[task.test_split].head(len(test))
        test = with_groups(test, rows, columns, f"{task.dataset} ({task.test_split})")
    refuse_alike(train, task)
    id = task.dataset if commit is not None else None
    return TaskData(train, test, task.dataset, fingerprint([*train, *test]), id, commit)


def refuse_unread(data: TaskData, kind: Kind) -> None:
    """Refuse images for a base that reads texts, and texts for one that reads images.

    Raises
    ------
    InputError
    """
    images, reads = data.train[0].image is not None, kind in ("vision", "clip")
    if images and not reads:
        raise InputError(f"[task] dataset = {data.source!r}: it holds images; a base of kind {kind!r} reads texts")
    if reads and not images:
        raise InputError(
            f"[task] dataset = {data.source!r}: it holds texts; a base of kind {kind!r} is adapted to images"
        )


def _items(rows: pd.DataFrame, split: str, task: Task, beside: Path, image: str | None) -> list[Item]:
    where = f"{task.dataset} ({split})"
    if rows.empty:
        raise InputError(f"{where}: the split is empty")
    said = ("text", task.text) if image is None else ("image", image)
    for key, column in (said, ("label", task.label), ("cluster", task.cluster)):
        if column is not None and column not in rows:
            raise InputError(
                f"{where}: no column {column!r} for [task] {key}; it has {', '.join(map(str, rows.columns))}"
            )
    shown = content(rows, task, where) if image is None else image_paths(rows[image].tolist(), image, where, beside)
    truth = labels(rows, task, where)
    ids = rows["id"].astype(str).tolist() if "id" in rows else [f"{split}-{number}" for number in range(len(rows))]
    twice = next((one for one, count in Counter(ids).items() if count > 1), None)
    if twice is not None:
        raise InputError(
            f"{where}: the id {twice!r} stands in it twice; rename the column (if it says what belongs together, "
            "name it in [task] cluster)"
        )
    key = "text" if image is None else "image"
    items = [
        Item.model_validate({"id": one, "cluster": one, key: value, "label": label, "source": task.dataset})
        for one, value, label in zip(ids, shown, truth, strict=True)
    ]
    clusters = _witnesses(items) if task.cluster is None else rows[task.cluster].astype(str).tolist()
    return [item.model_copy(update={"cluster": one}) for item, one in zip(items, clusters, strict=True)]


def _witnesses(items: Sequence[Item]) -> list[str]:
    """Name the first item that says the same: the same content is one witness."""
    first: dict[str, str] = {}
    return [first.setdefault(item.text or content_hash(item), item.id) for item in items]
