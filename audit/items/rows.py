"""Rows of a pack of items: shipped, in a file, or on the Hub."""

from __future__ import annotations

import csv
import json
from importlib import resources
from itertools import islice
from pathlib import Path
from typing import Any

from audit.errors import InputError
from audit.items import SHIPPED
from audit.items.reference import hub_rows, is_local

__all__ = ["PACKS", "Row", "on_hub", "quoted", "read_rows"]

PACKS = ("choices", "question_kinds", "similarity", "tenses", "turns")
ENDINGS = (".jsonl", ".json", ".csv", ".tsv", ".parquet")
MOST = 50_000  # rows of a Hub data set that are looked at, where fewer are asked for: it may be sorted by its labels

QUOTED = 80  # characters of a value that an error repeats

Row = dict[str, Any]


def on_hub(name: str) -> bool:
    """Tell whether a pack is a Hub data set: neither shipped, nor a file, nor called like one.

    Examples
    --------
    >>> on_hub("owner/pack:en"), on_hub("owner/pack.json"), on_hub("shipped:tenses")
    (True, False, False)
    """
    return Path(name).suffix not in ENDINGS and not is_local(name)


def read_rows(name: str, limit: int | None = None) -> list[Row]:
    """Read rows as they stand, whatever their columns.

    Parameters
    ----------
    name : str
        ``shipped:NAME``; a file (.jsonl, .json, .csv, .tsv, .parquet), of which a .json holds one list; or a Hub data
        set (``owner/name``, or ``owner/name:configuration``), of which the first split of validation, train and test
        is read that it has.
    limit : int, optional
        Rows that will be wanted: where there is one, no more than 50,000 are fetched from the Hub.

    Raises
    ------
    InputError
        If there is no such pack, it cannot be read, or it has no rows.
    Unavailable
        If the Hub cannot be reached.
    """
    if on_hub(name):
        rows = list(islice(hub_rows(name), None if limit is None else max(limit, MOST)))
    else:
        rows = _read(_shipped(name) if name.startswith("shipped:") else Path(name).expanduser())
    if not rows:
        raise InputError(f"{name}: no rows in it")
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict):
            raise InputError(f"{name}: row {number} is not an object with columns")
        if None in row:
            raise InputError(f"{name}: row {number} has more fields than the header; quote a text with a comma")
    return rows


def quoted(value: object) -> str:
    """Write a value for an error, of a long one the beginning.

    Examples
    --------
    >>> quoted("short"), len(quoted("long" * 1000))
    ("'short'", 80)
    """
    said = repr(value)
    return said if len(said) <= QUOTED else f"{said[: QUOTED - 2]}…{said[-1]}"


def _shipped(name: str) -> Path:
    known = sorted((*SHIPPED, *PACKS))
    if name.removeprefix("shipped:") not in known:
        raise InputError(f"{name}: no such shipped pack; choose from {', '.join(known)}")
    return Path(str(resources.files("audit.items") / f"{name.removeprefix('shipped:')}.jsonl"))


def _read(path: Path) -> list[Row]:
    if path.suffix not in ENDINGS:
        raise InputError(
            f"{path}: no such pack; it is a file ({', '.join(ENDINGS)}), a Hub data set (owner/name), or one of "
            f"{', '.join(f'shipped:{one}' for one in PACKS)}"
        )
    try:
        if path.suffix == ".parquet":
            import pyarrow.parquet as parquet

            rows: list[Row] = parquet.read_table(path).to_pylist()
            return rows
        if path.suffix in (".csv", ".tsv"):
            return _table(path)
        text = path.read_text(encoding="utf-8-sig")
        if path.suffix == ".jsonl":  # by "\n" alone: a text may hold another character that splitlines() breaks at
            return [json.loads(line) for line in text.split("\n") if line.strip()]
        table = json.loads(text)
        return table if isinstance(table, list) else [table]
    except FileNotFoundError:
        raise InputError(f"{path}: no such file of items") from None
    except (OSError, ValueError, RecursionError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read as {path.suffix[1:]} ({str(error).splitlines()[0]})") from None


def _table(path: Path) -> list[Row]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        if path.suffix == ".csv":
            return list(csv.DictReader(file, restval="", strict=True))
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE, restval=""))
