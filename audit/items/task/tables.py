"""The tables that a task's rows are read from: files, folders of them, what is shipped, and the Hub."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from audit.errors import InputError, Unavailable
from audit.items import SHIPPED, shipped
from audit.items.task.images import image_folder, kept_image
from audit.items.task.known import commit_in_cache

if TYPE_CHECKING:
    from audit.recipe import Task

__all__ = ["load_splits"]

READERS = {".csv": ",", ".tsv": "\t", ".jsonl": "", ".json": "", ".parquet": ""}
WRITTEN = ("multi_label", "tokens", "completion")  # whose labels are no numbers, even where they look like it


def load_splits(task: Task) -> tuple[dict[str, pd.DataFrame], Path, str | None, str | None]:
    """Read the rows of a task.

    Returns
    -------
    splits : dict of DataFrame
        By name.
    beside : Path
        Where the paths of images begin.
    image : str or None
        Column of the images, if it is about any.
    commit : str or None
        Of a Hub data set.

    Raises
    ------
    InputError
        If there is no such data, or it cannot be read.
    Unavailable
        If the Hub cannot be reached.
    """
    if task.dataset.startswith("shipped:"):
        path = shipped(task.dataset.removeprefix("shipped:"))
        return _by_column(_read_file(path, task), task), path.parent, task.image, None
    path = Path(task.dataset).expanduser()
    if path.is_dir():
        files = {file.stem: file for file in sorted(path.iterdir()) if file.suffix in READERS}
        if files:
            return {name: _read_file(file, task) for name, file in files.items()}, path, task.image, None
        return _of_images(path, task), Path(), task.image or "image", None
    if path.suffix in READERS or path.exists():
        return _by_column(_read_file(path, task), task), path.parent, task.image, None
    splits, commit = _from_hub(task)
    return splits, Path(), task.image, commit


def _of_images(path: Path, task: Task) -> dict[str, pd.DataFrame]:
    inside = [one.name for one in sorted(path.iterdir()) if one.is_dir() and not one.name.startswith(".")]
    if not inside:
        raise InputError(
            f"{path}: no csv, tsv, jsonl or parquet file in this folder, and no folders of images "
            f"({task.train_split}/LABEL/1.png)"
        )
    if task.type != "single_label":
        raise InputError(
            f"{path}: a folder of images says one label an image, and the task is of type {task.type!r}; give a table "
            "with a column of paths, and name it in [task] image"
        )
    if task.train_split not in inside and task.test_share is not None:
        return _by_column(image_folder(path, task, ""), task)
    return {split: image_folder(path / split, task, split) for split in inside}


def _read_file(path: Path, task: Task) -> pd.DataFrame:
    if path.suffix not in READERS:
        raise InputError(
            f"{path}: data is read from {', '.join(READERS)}, not {path.suffix or 'a file without ending'}"
        )
    as_written: dict[Any, Any] = {task.label: str, task.text: str} if task.type in WRITTEN else {}
    try:
        if path.suffix == ".parquet":
            return pd.read_parquet(path)
        if path.suffix in (".jsonl", ".json"):
            return pd.read_json(path, lines=path.suffix == ".jsonl", dtype=False)
        plain = path.suffix == ".tsv"  # where a quotation mark is a character like any other
        return pd.read_csv(
            path, sep=READERS[path.suffix], quoting=3 if plain else 0, keep_default_na=False, dtype=as_written
        )
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
    shown = task.text if task.image is None else task.image
    by = task.cluster if task.cluster in table else shown  # what belongs together stays on one side
    codes = pd.factorize(table[by].astype(str))[0] if by in table else np.arange(len(table))
    sizes, chosen, room = np.bincount(codes), [], round(len(table) * task.test_share)
    for code in np.random.default_rng(0).permutation(len(sizes)):
        if sizes[code] <= room:
            chosen.append(code)
            room -= sizes[code]
    in_test = np.isin(codes, chosen)
    return {task.train_split: table[~in_test], task.test_split: table[in_test]}


def _from_hub(task: Task) -> tuple[dict[str, pd.DataFrame], str | None]:
    """Read both splits at one commit, and say which."""
    import datasets
    from huggingface_hub.errors import HfHubHTTPError

    from audit.models.refused import refused
    from audit.models.source import hub_reachable

    datasets.disable_progress_bars()
    reachable = hub_reachable()
    commit = _commit(task) if reachable else task.revision
    try:
        loaded = {
            split: datasets.load_dataset(task.dataset, task.subset, split=split, revision=commit)
            for split in (task.train_split, task.test_split)
        }
    except (HfHubHTTPError, OSError, ValueError) as error:
        if not reachable:
            raise Unavailable(
                f"{task.dataset}: the Hub cannot be reached, and the data set is neither in its cache nor a local file"
            ) from None
        why = error if isinstance(error, HfHubHTTPError | ConnectionError) else _gate(task)
        if why is not None:
            raise refused(why, task.dataset, "dataset", task.revision) from None
        raise InputError(_absent(task, f"the Hub did not give it ({str(error).splitlines()[0]})")) from None
    if not reachable:
        commit = _cached(task, list(loaded.values()))
    limits = {task.test_split: task.test_limit, task.train_split: task.train_limit}
    return {split: _as_table(data, split, task, limits[split]) for split, data in loaded.items()}, commit


def _commit(task: Task) -> str:
    """Ask the Hub once what the revision means."""
    from huggingface_hub import resolve_revision
    from huggingface_hub.errors import GatedRepoError, HFValidationError, RepositoryNotFoundError

    from audit.models.refused import refused

    try:
        return resolve_revision(task.dataset, repo_type="dataset", revision=task.revision).resolved
    except Exception as error:  # noqa: BLE001 (each transport has errors of its own)
        if isinstance(error, HFValidationError | RepositoryNotFoundError) and not isinstance(error, GatedRepoError):
            raise InputError(_absent(task, "no such data set on the Hub (or it is private)")) from None
        raise refused(error, task.dataset, "dataset", task.revision) from None


def _gate(task: Task) -> Exception | None:
    """Return why this account may not read the files, if it may not: `datasets` would call them missing."""
    from huggingface_hub import HfApi

    try:
        HfApi().auth_check(task.dataset, repo_type="dataset")
    except Exception as error:  # noqa: BLE001
        return error
    return None


def _absent(task: Task, why: str) -> str:
    return (
        f"{task.dataset}: no such local data, and {why}; [task] dataset is a Hub id, a local file or folder, or "
        f"shipped:{'|'.join(SHIPPED)}"
    )


def _cached(task: Task, loaded: Sequence[Any]) -> str | None:
    """Return the commit of what the cache gave, which without a network is the newest it has, whatever was asked for.

    Raises
    ------
    Unavailable
        If the recipe asks for another.
    """
    from huggingface_hub import resolve_revision
    from huggingface_hub.errors import RevisionResolutionError

    found = {commit_in_cache(one) for one in loaded}
    commit = found.pop() if len(found) == 1 else None
    if task.revision is None:
        return commit
    try:
        asked = resolve_revision(task.dataset, repo_type="dataset", revision=task.revision).resolved
    except RevisionResolutionError:
        asked = task.revision
    if commit != asked:
        held = f"what its cache holds is of {commit or 'no known commit'}, not of the revision {task.revision!r}"
        raise Unavailable(f"{task.dataset}: the Hub cannot be reached, and {held}")
    return commit


def _as_table(data: Any, split: str, task: Task, limit: int | None) -> pd.DataFrame:
    """Turn a split into a table; of images only the bytes of one are in memory at a time, and nothing is decoded."""
    import datasets

    if task.image is None or not isinstance(data.features.get(task.image), datasets.Image):
        whole: pd.DataFrame = data.to_pandas()
        return whole
    data = data.select(range(min(limit or len(data), len(data))))
    images = data.select_columns([task.image]).cast_column(task.image, datasets.Image(decode=False))
    where = f"{task.dataset} ({split})"
    paths = [kept_image(row[task.image], f"{where}: row {number}") for number, row in enumerate(images)]
    table: pd.DataFrame = data.remove_columns([task.image]).to_pandas()
    return table.assign(**{task.image: paths})
