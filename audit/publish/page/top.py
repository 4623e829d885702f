"""The verdict line, and what was compared with what."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from .read import Shown
from .table import table
from .text import hub_link, isolated, number, safe
from .words import AUDITS, VERDICTS, declared, verdict_line

__all__ = ["chip", "heading", "title"]

METRICS = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro F1",
    "micro_f1": "micro F1",
    "matthews": "Matthews correlation",
    "exact_match": "share of items with exactly the right labels",
    "mae": "mean absolute error",
    "mse": "mean squared error",
    "spearman": "Spearman correlation",
    "entity_f1": "entity F1",
    "token_accuracy": "accuracy over tokens",
    "nats_per_byte": "nats per byte of the completion",
}
CONSTANT = {"majority_class": "majority class", "constant": "constant answer"}


def chip(verdict: str, called: str | None = None) -> str:
    """Write a verdict in its colour, and in words."""
    return f"<span class='ta-chip ta-{safe(verdict)}'>{safe(called or verdict)}</span>"


def title(shown: Shown) -> str:
    """Name a report, as text: its recipe."""
    return f"{shown.name}: audited against its own base"


def heading(shown: Shown) -> str:
    """Show the verdict line, what was compared at which revisions, the task, and how many verdicts each audit gave.

    Parameters
    ----------
    shown : Shown

    Returns
    -------
    str
    """
    report = shown.report
    line = verdict_line(report["findings"], report["broken"])
    return (
        f"<header class='ta ta-head'><p class='ta-eyebrow'>{isolated(title(shown))}</p><h2>{safe(line)}</h2>"
        f"{_compared(report)}{_broken(report)}{_counts(report)}{_task(report)}{_unlike(report)}</header>"
    )


def _compared(report: dict[str, Any]) -> str:
    adapted, base = report["adapted"], report["base"]
    how = "adapted by somebody else, in a way that is not known here"
    if adapted["method"] != "not known":
        seeds = ", ".join(map(str, adapted["seeds"]))
        trained = adapted["trainable_parameters"]
        numbers = [f"{trained:,} trained parameters"] if trained is not None else []
        numbers += [f"seed{'s' if len(adapted['seeds']) > 1 else ''} {seeds}"] if seeds else []
        how = f"<code>{isolated(adapted['method'])}</code>{', ' if numbers else ''}{', '.join(numbers)}"
    licence = isolated(base["license"]) if base["license"] else "licence not known"
    revision = "" if base["revision"] else "; no revision: a folder, known by the hashes of its files"
    rows = [
        ("Adapted", f"<strong>{isolated(adapted['id'])}</strong>, {how}"),
        ("Base", f"{hub_link(base['id'], base['revision'])} ({isolated(base['kind'])}, {licence}{revision})"),
        ("Audited", f"{isolated(report['provenance']['created'])} by {isolated(report['tool'])}"),
    ]
    return "<dl class='ta-facts'>" + "".join(f"<dt>{name}</dt><dd>{said}</dd>" for name, said in rows) + "</dl>"


def _broken(report: dict[str, Any]) -> str:
    if not report["broken"]:
        return ""
    named = ", ".join(isolated(one.removeprefix("forgetting/")) for one in report["broken"])
    return f"<p class='ta-note'>The base answers what these probes ask, the adapted model does not: {named}.</p>"


def _counts(report: dict[str, Any]) -> str:
    """One row an audit: what was not measured is said, too."""
    rows = []
    for audit, name in AUDITS.items():
        counts = Counter(one["verdict"] for one in declared(report["findings"], audit))
        slices = sum(one["audit"] == audit and one["group"] is not None for one in report["findings"])
        cells = [str(counts[verdict]) if counts[verdict] else "<span class='ta-muted'>0</span>" for verdict in VERDICTS]
        if not counts:
            cells = ["<span class='ta-muted'>–</span>" for _ in VERDICTS]
        state = "" if counts else "not measured"
        named = f"{name} (worse: outside the domain)" if audit == "gap" else name
        rows.append([safe(named), *cells, f"{slices}" if slices else state])
    head = ("audit", *VERDICTS, "slices")
    return table(head, rows, "Verdicts of the declared findings", (1, 2, 3, 4, 5))


def _task(report: dict[str, Any]) -> str:
    task = report["task"]
    if task is None:
        return "<p><strong>Task:</strong> not measured.</p>"
    lower = ", lower is better" if task["better"] == "lower" else ""
    parts = [f"adapted <strong>{number(task['adapted'])}</strong>", f"base {number(task['base'])}"]
    if task["change"] is not None:
        parts.append(f"change {number(task['change'], signed=True)}")
    constants = [arm for arm in report["arms"] if arm["name"] in CONSTANT and arm["task"] is not None]
    parts += [f"{CONSTANT[arm['name']]} {arm['task']:.3f}" for arm in constants]
    warning = _not_learnt(task, [arm["task"] for arm in constants])
    over = task.get("over_seeds")
    seeds = f" Over {task.get('n_seeds')} seeds the recipe reaches {number(over)}." if over else ""
    metric = safe(METRICS.get(task["metric"], task["metric"]))
    asked = f"{metric} on {isolated(task['name'])}{lower}"
    return f"<p><strong>Task:</strong> {asked}: {'; '.join(parts)}.{warning}{seeds}</p>"


def _not_learnt(task: dict[str, Any], constants: Sequence[float]) -> str:
    """Warn where the adapted model is not shown to do better than a constant answer."""
    adapted, higher = task["adapted"], task["better"] == "higher"
    sign, end = (1, adapted["low"]) if higher else (-1, adapted["high"])
    if any(sign * (adapted["value"] - one) <= 0 for one in constants):
        return " The adapted model does no better than that constant: it has not learnt the task."
    if end is not None and any(sign * (end - one) <= 0 for one in constants):
        return " Its interval holds that constant: it may not have learnt the task."
    return ""


def _unlike(report: dict[str, Any]) -> str:
    rows = [
        [isolated(one.get(name, "")) for name in ("field", "base", "adapted", "outcome")] for one in report["preflight"]
    ]
    if not rows:
        return ""
    shown = table(("setting", "base", "adapted", "outcome"), rows, "Settings in which both sides differ")
    return (
        f"<details class='ta-twin'><summary>Settings in which both sides differ: {len(rows)}</summary>{shown}</details>"
    )
