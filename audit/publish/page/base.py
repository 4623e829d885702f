"""What is known of the base: every question with its answer and the raw evidence."""

from __future__ import annotations

import json
from typing import Any

from .read import Shown
from .table import section, table
from .text import isolated, written
from .top import chip

__all__ = ["diligence"]

KIND = {"pass": "better", "warn": "unclear", "fail": "worse", "unknown": "same"}


def diligence(shown: Shown) -> str:
    """Show what was looked up of the base; unknown is no pass."""
    checks = shown.report["diligence"]
    if not checks:
        return section("What is known of the base", "<p>Not looked up.</p>")
    counts = ", ".join(
        f"{n} {name}"
        for name in ("fail", "warn", "unknown", "pass")
        if (n := sum(one["outcome"] == name for one in checks))
    )
    rows = [
        [
            isolated(one["name"]),
            chip(KIND[one["outcome"]], one["outcome"]),
            isolated(one["said"]),
            _evidence(one.get("evidence")),
        ]
        for one in checks
    ]
    told = "<em>Unknown</em> is no pass: nobody could look. What is said of licences is no legal advice."
    shown_as = table(("question", "outcome", "answer", "evidence"), rows, "What is known of the base")
    return section("What is known of the base", f"<p class='ta-muted'>{counts}. {told}</p>{shown_as}")


def _evidence(evidence: Any) -> str:
    if not evidence:
        return "<span class='ta-muted'>none</span>"
    raw = written(json.dumps(evidence, ensure_ascii=False, indent=1))
    return f"<details class='ta-fold'><summary>read</summary><pre>{raw}</pre></details>"
