"""The task's own texts: read, checked, split, as items."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from audit.errors import InputError, Unavailable
from audit.items import SHIPPED, shipped
from audit.items.columns import with_groups
from audit.view import Item, fingerprint

if TYPE_CHECKING:
    from audit.recipe import Task

__all__ = ["TaskData", "read_task"]

READERS = {".csv": ",", ".tsv": "\t", ".jsonl": "", ".json": "", ".parquet": ""}


@dataclass(frozen=True)
class TaskData:
    """Training and test items of a task; every item has a text and a label, ids are unique over both."""

    train: list[Item]
    test: list[Item]
    source: str
    fingerprint: str


def read_task(task: Task, columns: Mapping[str, str | None] | None = None) -> TaskData:
    """Read the labelled texts of a recipe, and the sensitive columns of its test rows.

    ``columns`` names their reference groups (see `audit.items.columns.with_groups`).

    Raises
    ------
    InputError
        One line that names the data, the column or the row, what was found and what would do.
    """
    splits = _load(task)
    items = {}
    for which in (task.train_split, task.test_split):
        if which not in splits:
            raise InputError(f"{task.dataset}: no split {which!r}; it has {', '.join(map(repr, splits))}")
        limit = task.train_limit if which == task.train_split else task.test_limit
        items[which] = _items(splits[which].head(limit) if limit else splits[which], which, task)
    train, test = items[task.train_split], items[task.test_split]
    if columns:
        rows = splits[task.test_split].head(len(test))
        test = with_groups(test, rows, columns, f"{task.dataset} ({task.test_split})")
    present = {item.label for item in train}
    if len(present) < 2:
        raise InputError(
            f"{task.dataset}: every text of split {task.train_split!r} is labelled {next(iter(present))!r}; "
            "a classifier needs at least two labels"
        )
    return TaskData(train, test, task.dataset, fingerprint([*train, *test]))


def _load(task: Task) -> dict[str, pd.DataFrame]:
    if task.dataset.startswith("shipped:"):
        return _by_column(_read_file(shipped(task.dataset.removeprefix("shipped:"))), task)
    path = Path(task.dataset).expanduser()
    if path.is_dir():
        files = {file.stem: file for file in sorted(path.iterdir()) if file.suffix in READERS}
        if not files:
            raise InputError(f"{path}: no csv, tsv, jsonl or parquet file in this folder")
        return {name: _read_file(file) for name, file in files.items()}
    if path.suffix in READERS or path.exists():
        return _by_column(_read_file(path), task)
    return _from_hub(task)


def _read_file(path: Path) -> pd.DataFrame:
    if path.suffix not in READERS:
        raise InputError(
            f"{path}: data is read from {', '.join(READERS)}, not {path.suffix or 'a file without ending'}"
        )
    try:
        if path.suffix == ".parquet":
            return pd.read_parquet(path)
        if path.suffix in (".jsonl", ".json"):
            return pd.read_json(path, lines=path.suffix == ".jsonl", dtype=False)
        plain = path.suffix == ".tsv"  # where a quotation mark is a character like any other
        return pd.read_csv(path, sep=READERS[path.suffix], quoting=3 if plain else 0, keep_default_na=False)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file of data") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as {path.suffix[1:]}: {str(error).splitlines()[0]}") from None


def _by_column(table: pd.DataFrame, task: Task) -> dict[str, pd.DataFrame]:
    if task.split in table:
        return {str(name): rows for name, rows in table.groupby(task.split, sort=False)}
    if task.test_share is None:
        raise InputError(
            f"{task.dataset}: no column {task.split!r} to tell training from test rows; "
            "add it, or set [task] test_share"
        )
    by = task.cluster if task.cluster in table else task.text  # what belongs together stays on one side
    codes = pd.factorize(table[by].astype(str))[0] if by in table else np.arange(len(table))
    sizes, chosen, room = np.bincount(codes), [], round(len(table) * task.test_share)
    for code in np.random.default_rng(0).permutation(len(sizes)):
        if sizes[code] <= room:
            chosen.append(code)
            room -= sizes[code]
    in_test = np.isin(codes, chosen)
    return {task.train_split: table[~in_test], task.test_split: table[in_test]}


def _from_hub(task: Task) -> dict[str, pd.DataFrame]:
    import datasets
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    from audit.models.source import hub_reachable

    datasets.disable_progress_bars()
    reachable = hub_reachable()
    try:
        loaded = {
            split: datasets.load_dataset(task.dataset, task.subset, split=split, revision=task.revision)
            for split in (task.train_split, task.test_split)
        }
    except (ConnectionError, FileNotFoundError, HfHubHTTPError, HFValidationError, OSError, ValueError) as error:
        if not reachable:
            raise Unavailable(
                f"{task.dataset}: the Hub cannot be reached, and the data set is neither in its cache nor a local file"
            ) from None
        reason = str(error).splitlines()[0]
        raise InputError(
            f"{task.dataset}: no such local data, and the Hub did not give it ({reason}); "
            f"[task] dataset is a Hub id, a local file or folder, or shipped:{'|'.join(SHIPPED)}"
        ) from None
    return {split: data.to_pandas() for split, data in loaded.items()}


def _items(rows: pd.DataFrame, split: str, task: Task) -> list[Item]:
    where = f"{task.dataset} ({split})"
    if rows.empty:
        raise InputError(f"{where}: the split is empty")
    for key, column in (("text", task.text), ("label", task.label), ("cluster", task.cluster)):
        if column is not None and column not in rows:
            raise InputError(
                f"{where}: no column {column!r} for [task] {key}; it has {', '.join(map(str, rows.columns))}"
            )
    texts = rows[task.text].tolist()
    for number, text in enumerate(texts):
        if not isinstance(text, str):
            raise InputError(f"{where}: row {number} of column {task.text!r} is {text!r}, not a text")
        if not text.strip():
            raise InputError(f"{where}: row {number} of column {task.text!r} is an empty text")
    labels = [_label(value, number, where, task) for number, value in enumerate(rows[task.label].tolist())]
    ids = rows["id"].astype(str).tolist() if "id" in rows else [f"{split}-{number}" for number in range(len(rows))]
    twice = next((one for one, count in Counter(ids).items() if count > 1), None)
    if twice is not None:
        raise InputError(
            f"{where}: the id {twice!r} stands in it twice; rename the column (if it says what belongs together, "
            "name it in [task] cluster)"
        )
    first: dict[str, str] = {}
    clusters = (
        [first.setdefault(text, one) for text, one in zip(texts, ids, strict=True)]  # the same text is one witness
        if task.cluster is None
        else rows[task.cluster].astype(str).tolist()
    )
    return [
        Item(id=one, cluster=cluster, text=text, label=label, source=task.dataset)
        for one, cluster, text, label in zip(ids, clusters, texts, labels, strict=True)
    ]


def _label(value: object, number: int, where: str, task: Task) -> str:
    column = f"row {number} of column {task.label!r}"
    if value is None or value != value or value == "":
        raise InputError(f"{where}: {column} has no label (missing or NaN)")
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, bool) and str(value) in task.names:
        return str(value)
    numbered = not any(label.isdigit() for label in task.names)  # else a number is a name, or a mistake
    if (
        isinstance(value, int | np.integer)
        and not isinstance(value, bool)
        and numbered
        and 0 <= value < len(task.names)
    ):
        return task.names[int(value)]
    raise InputError(f"{where}: {column} is {value!r}, none of the labels {', '.join(task.names)}")
