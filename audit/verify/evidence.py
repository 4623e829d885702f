"""The evidence of a run: numbers by item, arm and question, and what is wrong with a table as such."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

__all__ = ["CLUSTERS", "MEMBERS", "OPTIONS", "Lacking", "Table", "read_tables"]

Array = NDArray[np.float64]
COLUMNS = ["item_id", "cluster", "arm", "seed", "question", "value"]
CLUSTERS = "clusters"  # rows that say in which order the clusters stand by name
MEMBERS = "members/"  # before an id: which items a finding is about, and of which group
OPTIONS = "options/"  # before an id: how many options an item has
SEVERAL = "task/answers"  # of which an item may have several rows: one a token


class Lacking(Exception):
    """Evidence that a number rests on is not there; says which."""


@dataclass(frozen=True)
class Table:
    """One file of evidence.

    Attributes
    ----------
    name : str
        Of the file.
    rows : DataFrame
        ``cluster`` is replaced by names that sort as those that were salted; ``named`` is what stands in the file.
    """

    name: str
    rows: pd.DataFrame

    @classmethod
    def of(cls, name: str, read: pd.DataFrame) -> Table:
        """Take a table as it is published."""
        order = read.loc[read["question"] == CLUSTERS, "cluster"].tolist()
        if not order:
            return cls(name, read.assign(named=read["cluster"]))
        named = {cluster: f"{place:09d}" for place, cluster in enumerate(order)}
        clusters = read["cluster"].map(lambda one: named.get(one, f"unknown {one}"))
        return cls(name, read.assign(cluster=clusters, named=read["cluster"]))

    @cached_property
    def questions(self) -> dict[str, pd.DataFrame]:
        """Rows by question, in their order."""
        return {str(name): rows for name, rows in self.rows.groupby("question", sort=False)}

    def asked(self, question: str, arm: str, seed: int | None = None) -> pd.DataFrame:
        """Return the rows of one arm, of the first seed that has any unless one is named.

        Raises
        ------
        Lacking
        """
        rows = self.questions.get(question)
        if rows is not None:
            rows = rows[rows["arm"] == arm]
            if len(rows):
                wanted = rows["seed"].iloc[0] if seed is None else seed
                rows = rows[(rows["seed"] == wanted) | (rows["seed"].isna() & pd.isna(wanted))]
        if rows is None or not len(rows):
            raise Lacking(f"{self.name} has no rows of {question!r} for the arm {arm!r}")
        return rows

    def seeds(self, question: str, arm: str) -> list[int]:
        """Return the seeds of an arm, in their order."""
        rows = self.questions.get(question)
        return [] if rows is None else [int(one) for one in rows.loc[rows["arm"] == arm, "seed"].unique()]


def read_tables(folder: Path) -> tuple[dict[str, Table], list[str]]:
    """Read the evidence in a folder, by stage; say what no table can be.

    Returns
    -------
    tables : dict of str to Table
        Without those that cannot be read at all.
    wrong : list of str
    """
    tables: dict[str, Table] = {}
    wrong: list[str] = []
    for path in sorted(folder.glob("*.parquet")):
        name = f"evidence/{path.name}"
        try:
            read = pd.read_parquet(path)
        except Exception as error:  # noqa: BLE001 (whatever the reader says of a broken file, it is one)
            wrong.append(f"{name}: cannot be read ({type(error).__name__})")
            continue
        lacking = [column for column in COLUMNS if column not in read]
        if lacking:
            wrong.append(f"{name}: has no column {lacking[0]!r}")
            continue
        wrong += _wrong(name, read)
        tables[path.stem] = Table.of(name, read)
    return tables, wrong


def _wrong(name: str, read: pd.DataFrame) -> list[str]:
    """Name what no run writes: a value that is no number, arms that were asked other items, order that is none."""
    found = [
        f"{name}: {row.question}: the value of item {row.item_id!r} is {row.value}"
        for row in read[~np.isfinite(read["value"].astype(float))].itertuples()
    ]
    order = read[read["question"] == CLUSTERS]
    if len(order):
        known = set(order["cluster"])
        if order["value"].tolist() != list(range(len(order))) or len(known) < len(order):
            found.append(f"{name}: clusters: their order is not 0, 1, 2, ... of {len(order)} names")
        asked = read.loc[read["question"] != CLUSTERS]
        own = asked[~asked["question"].str.endswith("/seeds")]
        for question, clusters in own.groupby("question", sort=False)["cluster"]:
            other = sorted(set(clusters) - known)
            if other:
                found.append(f"{name}: {question}: the cluster {other[0]!r} is none of the file's clusters")
        unused = sorted(known - set(own["cluster"]))
        if unused:
            found.append(f"{name}: clusters: no row is of the cluster {unused[0]!r}")
    for question, rows in read.groupby("question", sort=False):
        if not str(question).startswith("training/"):
            found += _unlike(f"{name}: {question}", rows, many=question == SEVERAL)
    return found


def _unlike(where: str, rows: pd.DataFrame, *, many: bool) -> list[str]:
    """Name the first row in which an arm was asked another item than the first arm, and items asked twice."""
    found: list[str] = []
    first: pd.DataFrame | None = None
    for (arm, seed), one in rows.groupby(["arm", "seed"], sort=False, dropna=False):
        first = one if first is None else first
        called, leading = f"{arm} (seed {seed})", first["arm"].iloc[0]
        twice = one.loc[one["item_id"].duplicated(), "item_id"]
        if len(twice) and not many:
            found.append(f"{where}: the item {twice.iloc[0]!r} stands twice for {called}")
        for column in ("item_id", "cluster"):
            pairs = list(zip(one[column].tolist(), first[column].tolist(), strict=False))
            place = next((k for k, (mine, its) in enumerate(pairs) if mine != its), None)
            if place is not None:
                mine, its = pairs[place]
                found.append(f"{where}: row {place} of {called} is of {column} {mine!r}, that of {leading} of {its!r}")
                break
        if len(one) != len(first):
            found.append(f"{where}: {len(one)} rows of {called}, {len(first)} of {leading}")
    return found
