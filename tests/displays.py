"""Folders of reports to be looked at, made out of the folder of a real one."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from audit import relay
from audit.recipe import parse_recipe
from tests import tiny

__all__ = ["HOSTILE", "display", "hostile", "many", "ran", "silent", "unclear"]

HOSTILE = (
    "<script>window.struck = 1</script>",
    '<img src="http://192.0.2.1/x.png" onerror="window.struck = 1">',
    "![picture](http://192.0.2.1/x.png) [link](javascript:window.struck=1)",
    "${window.struck = 1} {{#with this}}{{/with}} {{value}}",
    "\u202egnp.exe \u2067right to left\u2069 \u05e9\u05dc\u05d5\u05dd",
    "w" * 10_000,
    "\N{FAMILY}\N{ZERO WIDTH JOINER}\N{GIRL} \N{WAVING BLACK FLAG}",
    "\" onmouseover='window.struck=1' x='",
)
"""What a text may hold that is not to be believed: markup, links, templates, marks of direction, endless words."""

BESIDE = ("*.parquet", "evidence/*.parquet", "card.md")


def ran(base: Path, folder: Path) -> Path:
    """Run a tiny recipe whose evidence is published with its texts."""
    recipe = tiny.recipe(base, publish={"evidence": "full"})
    text = tiny.toml(recipe)
    relay.run(parse_recipe(recipe, "tiny"), text, folder, command=["transfer-audit", "run", "tiny.toml"])
    return folder


def display(run: Path, folder: Path, change: Callable[[dict[str, Any]], None] = lambda report: None) -> Path:
    """Copy the report of a run and the tables beside it, changed."""
    report = json.loads((run / "report.json").read_text(encoding="utf-8"))
    change(report)
    for pattern in BESIDE:
        for path in run.glob(pattern):
            target = folder / path.relative_to(run)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
    (folder / "report.json").write_text(json.dumps(report), encoding="utf-8")
    return folder


def hostile(run: Path, folder: Path) -> Path:
    """Say hostile things wherever a report takes text from data or from the Hub."""

    def change(report: dict[str, Any]) -> None:
        report["recipe"]["name"], report["recipe"]["text"] = "hostile " + HOSTILE[0], "\n".join(HOSTILE)
        report["limits"] = list(HOSTILE)
        report["base"]["id"], report["base"]["license"] = HOSTILE[2], HOSTILE[1]
        for one, said in zip(report["findings"], HOSTILE, strict=False):
            one["question"] = one["note"] = said
        for one, said in zip(report["diligence"], HOSTILE, strict=False):
            one["said"] = said

    display(run, folder, change)
    for name in ("moved", "flipped"):
        table = pd.read_parquet(folder / f"{name}.parquet")
        table["text"] = [HOSTILE[n % len(HOSTILE)] for n in range(len(table))]
        table.to_parquet(folder / f"{name}.parquet", index=False)
    return folder


def many(run: Path, folder: Path, findings: int = 200, items: int = 5_000) -> Path:
    """Multiply findings and items."""

    def change(report: dict[str, Any]) -> None:
        asked = [one for one in report["findings"] if one["audit"] == "bias" and one["group"] is None]
        report["findings"] = [
            {**asked[n % len(asked)], "id": f"bias/probe-{n}", "name": f"probe-{n}", "origin": None}
            for n in range(findings)
        ]
        report |= {"decompositions": [], "scales": [], "flips": [], "broken": []}

    display(run, folder, change)
    rows = {
        "question": [f"bias/probe-{n % findings}" for n in range(items)],
        "item_id": [f"item-{n}" for n in range(items)],
        "cluster": [f"cluster-{n // 10}" for n in range(items)],
        "outcome": [("lost", "gained")[n % 2] for n in range(items)],
        "text": [f"The text of item {n}, which says what such a text says." for n in range(items)],
    }
    pd.DataFrame(rows).to_parquet(folder / "flipped.parquet", index=False)
    return folder


def silent(run: Path, folder: Path, audits: Sequence[str] = ()) -> Path:
    """Measure nothing, or some audits only."""

    def change(report: dict[str, Any]) -> None:
        report["findings"] = [one for one in report["findings"] if one["audit"] in audits]
        kept = {one["id"] for one in report["findings"]}
        report["flips"] = [one for one in report["flips"] if one["finding"] in kept]
        report["decompositions"] = [one for one in report["decompositions"] if one["finding"] in kept]
        emptied = (
            "arms",
            "floor",
            "weights",
            "features",
            "curve",
            "curves",
            "savings",
            "needed",
            "broken",
            "diligence",
        )
        report |= {name: [] for name in emptied}
        if "gap" not in audits:
            report["scales"] = []
        if not audits:
            report |= {"task": None, "limits": [], "preflight": []}

    folder = display(run, folder, change)
    if not audits:
        for path in [*folder.glob("*.parquet"), *folder.glob("evidence/*")]:
            path.unlink()
    return folder


def unclear(run: Path, folder: Path) -> Path:
    """Let four clusters decide nothing."""

    def change(report: dict[str, Any]) -> None:
        report["flips"] = []
        for one in report["findings"]:
            one |= {"n_clusters": 4, "n_items": 4, "verdict": "unclear", "origin": None}
        report["decompositions"] = []

    return display(run, folder, change)
