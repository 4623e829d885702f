"""What the stages of a run left, held against what was made of it: the report's lists, and the published evidence."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from audit.report import Report
from audit.verify.found import Verification
from audit.verify.same import differences, numbers, plain

__all__ = ["KEYS", "check_published", "check_records"]

STAGES = ("diligence", "gap", "transfer", "fine_tuned", "task", "bias", "origin", "forgetting", "strength")
LISTS = (
    *("floor", "decompositions", "scales", "curves", "savings", "needed", "broken", "flips", "weights", "features"),
    *("diligence", "curve"),
)
KEYS = {  # by which a line names what differs
    **{"findings": ("id",), "decompositions": ("finding",), "flips": ("finding",), "scales": ("name",)},
    **{"curves": ("arm", "how"), "savings": ("control", "how", "n"), "needed": ("arm", "how"), "curve": ("alpha",)},
    **{"weights": ("layer",), "features": ("where", "layer"), "floor": ("finding", "copies"), "diligence": ("name",)},
}
DERIVED = ("origin",)  # of a finding: read from decompositions when the report is put together


def check_records(found: Verification, report: Report, stages: Path) -> None:
    """Hold the lists of a report against what its stages wrote, where these still lie beside it."""
    results = []
    for name in STAGES:
        path = stages / name / "result.json"
        if path.is_file():
            try:
                results.append(json.loads(path.read_text(encoding="utf-8")))
            except (OSError, ValueError) as reason:
                found.differ([f"stages/{name}/result.json: cannot be read: {reason}"])
    if not results:
        found.leave("stages: what they left is not here")
        return
    said = plain(report)
    mine = [{key: value for key, value in one.items() if key not in DERIVED} for one in said["findings"]]
    theirs = [
        {key: value for key, value in one.items() if key not in DERIVED}
        for result in results
        for one in result["findings"]
    ]
    _hold(
        found,
        "findings",
        mine,
        sorted(theirs, key=lambda one: [row["id"] for row in mine].index(one["id"]))
        if _same_ids(mine, theirs)
        else theirs,
    )
    for name in LISTS:
        _hold(found, name, said[name], [one for result in results for one in result.get(name, [])])
    task = next((result["task"] for result in results if "task" in result), None)
    found.differ(differences("task", said["task"], task, "its stage says"), held=numbers(said["task"]))
    arms = [one for result in results for one in (*result.get("arms", []), *result.get("controls", []))]
    _hold(found, "arms", said["arms"], arms)


def _same_ids(mine: Sequence[dict[str, Any]], theirs: Sequence[dict[str, Any]]) -> bool:
    return sorted(one["id"] for one in mine) == sorted(one["id"] for one in theirs)


def _hold(found: Verification, name: str, written: Sequence[Any], given: Sequence[Any]) -> None:
    if len(written) != len(given):
        found.differ([f"{name}: {len(written)} in the report, its stages left {len(given)}"])
    for place, (one, other) in enumerate(zip(written, given, strict=False)):
        keys = [str(one[key]) for key in KEYS.get(name, ()) if isinstance(one, dict) and key in one]
        where = " ".join(keys) if name == "findings" else f"{name} {', '.join(keys) or place}"
        found.differ(differences(where, one, other, "its stage says"), held=numbers(one))


def check_published(found: Verification, folder: Path, stages: Path, policy: str) -> None:
    """Hold every table of evidence against the one that its stage left, under the salt of the run."""
    salt = stages / "salt"
    for name in STAGES:
        source, target = stages / name / "evidence.parquet", folder / f"{name}.parquet"
        if not source.is_file() or policy == "none":
            continue
        if not target.is_file():
            found.differ([f"evidence/{target.name}: there is none, though its stage left one"])
            continue
        try:
            kept, here = pd.read_parquet(source), pd.read_parquet(target)
            if policy == "values":
                kept = _salted(kept, salt.read_text())
            found.differ(_unlike(f"evidence/{target.name}", here, kept), files=1)
        except (OSError, ValueError, KeyError) as reason:
            found.differ([f"evidence/{target.name}: cannot be held against what its stage left: {reason}"])


def _salted(table: pd.DataFrame, salt: str) -> pd.DataFrame:
    """Name items and clusters as evidence does that is published without texts."""
    names = {
        column: table[column].map(lambda one: hashlib.sha256(f"{salt}{one}".encode()).hexdigest()[:16])
        for column in ("item_id", "cluster")
    }
    return table.assign(**names).drop(columns="text")


def _unlike(where: str, here: pd.DataFrame, kept: pd.DataFrame) -> list[str]:
    """Name the questions of which rows differ, with the first of them."""
    columns = [column for column in kept.columns if column in here]
    if len(here) != len(kept) or len(columns) < len(kept.columns):
        counts = [one["question"].value_counts() for one in (here, kept)]
        names = sorted({*counts[0].index, *counts[1].index})
        other = [name for name in names if counts[0].get(name, 0) != counts[1].get(name, 0)]
        return [
            f"{where}: {name}: {counts[0].get(name, 0)} rows, its stage left {counts[1].get(name, 0)}" for name in other
        ] or [f"{where}: has other columns than its stage left"]
    wrong: dict[str, str] = {}
    for column in columns:
        mine, its = here[column].to_numpy(), kept[column].to_numpy()
        same = np.array(
            [one == other or (pd.isna(one) and pd.isna(other)) for one, other in zip(mine, its, strict=True)]
        )
        for row in np.flatnonzero(~same):
            name = str(kept["question"].iloc[row])
            wrong.setdefault(
                name, f"{where}: {name}: {column} of row {row} is {mine[row]!r}, its stage left {its[row]!r}"
            )
    return list(wrong.values())
