"""A report and its tables, read from a folder that anybody may have written."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn

import pandas as pd

from .items import listed
from .shape import OPTIONAL, REPORT, misfit
from .words import words

__all__ = ["SCHEMA", "Shown", "Unreadable", "read"]

SCHEMA = 1
LISTS = (
    *("arms", "preflight", "floor", "findings", "decompositions", "scales", "curves", "savings", "needed", "broken"),
    *("flips", "weights", "features", "curve", "diligence", "limits"),
)
TABLES = {
    "flipped": {"question", "item_id", "cluster", "outcome"},
    "moved": {"question", "item_id", "cluster", "base", "adapted", "change"},
    "drivers": {"kind", "side", "value", "item_id", "score", "n"},
}


class Unreadable(Exception):
    """A folder that cannot be shown; one line says why."""


@dataclass(frozen=True)
class Shown:
    """A report as it is shown.

    Attributes
    ----------
    folder : Path
    report : dict
        What ``report.json`` holds; lists that an older one lacks are empty.
    key : str
        Tells the figures of this report from those of others on one page.
    flipped, moved, drivers, task : DataFrame or None
        The tables beside it, and the evidence on the task.
    """

    folder: Path
    report: dict[str, Any]
    key: str
    flipped: pd.DataFrame | None = None
    moved: pd.DataFrame | None = None
    drivers: pd.DataFrame | None = None
    task: pd.DataFrame | None = None

    @property
    def name(self) -> str:
        """The recipe's."""
        return str(self.report["recipe"]["name"])

    @cached_property
    def words(self) -> dict[str, str]:
        """What every finding's verdict is called, by id."""
        return words(self.report["findings"])

    @cached_property
    def items(self) -> list[dict[str, Any]]:
        """Single items that moved."""
        return listed(self.flipped, self.moved, self.task)

    @property
    def texts(self) -> bool:
        """Whether the texts of items were published."""
        return any(table is not None and "text" in table for table in (self.flipped, self.moved, self.task))


def read(folder: str | Path) -> Shown:
    """Read what a run left behind.

    Parameters
    ----------
    folder : path
        Holds ``report.json``, and the tables beside it where they were published.

    Raises
    ------
    Unreadable
        If there is no report, it is none, its schema is not known, or a table beside it is broken; names the file.
    """
    place = Path(folder)
    path = place / "report.json"
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise Unreadable(f"{path}: no report: {error.strerror or type(error).__name__}") from None
    try:
        report = json.loads(raw, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        told = "nested too deeply" if isinstance(error, RecursionError) else " ".join(str(error).split())[:200]
        raise Unreadable(f"{path}: not a report: {told}") from None
    schema = report.get("schema") if isinstance(report, dict) else None
    if schema != SCHEMA or isinstance(schema, bool):
        newer = isinstance(schema, int) and schema > SCHEMA
        remedy = "; a newer transfer-audit wrote it" if newer else ""
        raise Unreadable(f"{path}: schema {repr(schema)[:40]} is not known here, only {SCHEMA}{remedy}")
    report = _whole(report)
    wrong = misfit(report, REPORT)
    if wrong:
        raise Unreadable(f"{path}: {wrong}")
    key = f"r{hashlib.sha256(raw).hexdigest()[:8]}"
    tables = {name: _table(place / f"{name}.parquet", columns) for name, columns in TABLES.items()}
    task = _table(place / "evidence" / "task.parquet", {"question", "item_id", "cluster", "arm", "seed", "value"})
    return Shown(place, report, key, tables["flipped"], tables["moved"], tables["drivers"], task)


def _whole(report: dict[str, Any]) -> dict[str, Any]:
    """Add what may be left out: lists that are empty, and what a finding does not know."""
    report = {**{name: [] for name in LISTS}, **report}
    strengths = report["curve"] if isinstance(report["curve"], list) else []
    for place in (report, *(one for one in strengths if isinstance(one, dict))):
        place.setdefault("broken", [])
        found = place.get("findings")
        if isinstance(found, list):
            place["findings"] = [{**OPTIONAL, **one} if isinstance(one, dict) else one for one in found]
    return report


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


def _table(path: Path, columns: set[str]) -> pd.DataFrame | None:
    if not path.is_file():
        return None
    try:
        table = pd.read_parquet(path)
    except Exception as error:  # noqa: BLE001  a broken file raises whatever its reader thinks of
        raise Unreadable(f"{path}: not a table: {type(error).__name__}") from None
    missing = columns - set(table.columns)
    if missing:
        raise Unreadable(f"{path}: no column {sorted(missing)[0]!r}")
    return table
