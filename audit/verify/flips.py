"""Flips counted again, and the lists of what flipped and what moved held against the evidence."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from audit.finding import Finding
from audit.retention import Flips
from audit.stats import true_flips
from audit.verify.evidence import OPTIONS, Lacking, Table
from audit.verify.found import Verification
from audit.verify.same import differences, numbers, plain

__all__ = ["check_flips", "check_lists"]

LISTED = 20  # items of a question that are listed as having moved most
KEY = ["question", "item_id"]


def check_flips(found: Verification, written: Sequence[Flips], table: Table | None) -> None:
    """Count lost and gained items again, and take guesses out again."""
    for one in written:
        try:
            if table is None:
                raise Lacking("there is no evidence of it")
            sides = [table.asked(one.finding, arm)["value"].to_numpy() for arm in ("base", "adapted")]
        except Lacking as reason:
            found.leave(f"flips of {one.finding}: not recomputable: {reason}")
            continue
        if len(sides[0]) != len(sides[1]):
            found.differ([f"flips of {one.finding}: {len(sides[0])} rows of the base, {len(sides[1])} of adapted"])
            continue
        was, now = sides[0] == 0, sides[1] == 0
        n, lost, gained, neither = len(was), int((was & ~now).sum()), int((~was & now).sum()), int((~was & ~now).sum())
        again: dict[str, object] = {"n": n, "both": int((was & now).sum()), "lost": lost, "gained": gained}
        again |= {"neither": neither, "known_lost": None, "known_gained": None}
        options = _options(table, one.finding)
        if options:
            least = true_flips(lost / n, gained / n, neither / n, options)
            most = [min(1.0, share / n * options / (options - 1)) for share in (lost, gained)]
            again |= {"known_lost": [least[0], most[0]], "known_gained": [least[1], most[1]]}
        mine = {name: value for name, value in plain(one).items() if name in again}
        found.differ(differences(f"flips of {one.finding}", mine, again), numbers=numbers(mine))


def _options(table: Table, finding: str) -> int:
    """Number of options of every item; 0 where there are none, or they differ."""
    if f"{OPTIONS}{finding}" not in table.questions:
        return 0
    counts = set(table.asked(f"{OPTIONS}{finding}", "both")["value"].tolist())
    return int(counts.pop()) if len(counts) == 1 and min(counts) > 1 else 0


def check_lists(
    found: Verification, folder: Path, flips: Sequence[Flips], findings: Sequence[Finding], tables: dict[str, Table]
) -> None:
    """Hold ``flipped.parquet`` and ``moved.parquet`` against the evidence, if they are there."""
    for name, stage in (("flipped", "forgetting"), ("moved", "bias")):
        path = folder / f"{name}.parquet"
        if not path.is_file():
            continue
        if stage not in tables:
            found.leave(f"{path.name}: not recomputable: there is no evidence of {stage}")
            continue
        try:
            listed = pd.read_parquet(path)
            check = _flipped if name == "flipped" else _moved
            asked = [one.finding for one in flips] if name == "flipped" else [one.id for one in findings]
            found.differ(check(path.name, listed, tables[stage], asked), files=1, listed=len(listed))
        except (OSError, ValueError, KeyError) as reason:
            found.differ([f"{path.name}: cannot be read: {reason}"])


def _sides(table: Table, asked: Sequence[str]) -> pd.DataFrame:
    rows = table.rows[table.rows["question"].isin(asked)]
    both = [rows[rows["arm"] == arm].set_index(KEY)["value"].rename(arm) for arm in ("base", "adapted")]
    return pd.concat(both, axis=1).dropna()


def _flipped(name: str, listed: pd.DataFrame, table: Table, asked: Sequence[str]) -> list[str]:
    sides = _sides(table, asked)
    change = sides["adapted"] - sides["base"]
    change = change[change != 0]
    outcomes = ["lost" if one > 0 else "gained" for one in change]
    given: dict[tuple[str, str], str] = dict(zip(change.index.tolist(), outcomes, strict=True))
    keys = zip(listed["question"].tolist(), listed["item_id"].tolist(), strict=True)
    written: dict[tuple[str, str], str] = dict(zip(keys, listed["outcome"].tolist(), strict=True))
    wrong = [
        f"{name}: {key[0]}: item {key[1]!r} is listed as {written.get(key, 'nothing')}, the evidence gives "
        f"{given.get(key, 'nothing')}"
        for key in sorted({*given, *written})
        if given.get(key) != written.get(key)
    ]
    return [*wrong, *([f"{name}: {len(listed)} rows of {len(written)} items"] if len(listed) > len(written) else [])]


def _moved(name: str, listed: pd.DataFrame, table: Table, asked: Sequence[str]) -> list[str]:
    wrong: list[str] = []
    sides = _sides(table, list(table.questions))
    for question, rows in listed.groupby("question", sort=False):
        if question not in sides.index.get_level_values(0):
            wrong.append(f"{name}: {question!r} is no question of the evidence")
            continue
        mine = sides.loc[question]
        moved = (mine["adapted"] - mine["base"]).abs()
        for row in rows.itertuples():
            if row.item_id not in mine.index:
                wrong.append(f"{name}: {question}: no item {row.item_id!r} in the evidence")
                continue
            base, adapted = mine[mine.index == row.item_id].to_numpy(dtype=np.float64)[0].tolist()
            written = {"base": row.base, "adapted": row.adapted, "change": row.change}
            given = {"base": base, "adapted": adapted, "change": adapted - base}
            wrong += differences(f"{name}: {question}: item {row.item_id!r}", written, given)
        least = np.sort(moved.to_numpy())[::-1][: len(rows)]
        here = np.sort(rows["change"].abs().to_numpy())[::-1]
        if len(rows) != min(LISTED, len(mine)) or not np.allclose(here, least, rtol=1e-9, atol=1e-12):
            wrong.append(f"{name}: {question}: its {len(rows)} items are not those that moved most")
    missing = [one for one in asked if one in table.questions and one not in set(listed["question"])]
    return [*wrong, *(f"{name}: {one}: no item is listed" for one in missing)]
