"""What a report says of its model beside its findings: the recipe's tables, names on the Hub, what loads it."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from audit.report import Report

__all__ = [
    "FIELD",
    "adapted_by_us",
    "base_on_hub",
    "hub_datasets",
    "library",
    "pipeline_tag",
    "recipe_tables",
    "repository",
    "task_table",
    "task_type",
]

ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+", re.ASCII)
OURS = ("head.json", "prompt.json")
"""Files of a head or a prompt beside its base: nothing that other libraries know."""
FIELD = {
    "accuracy": "single_label",
    "balanced_accuracy": "single_label",
    "matthews": "single_label",
    "micro_f1": "multi_label",
    "exact_match": "multi_label",
    "mae": "regression",
    "mse": "regression",
    "spearman": "regression",
    "entity_f1": "tokens",
    "token_accuracy": "tokens",
    "nats_per_byte": "completion",
}
"""Which type of task a metric belongs to, where it belongs to one only."""


TAGS = {
    "tokens": "token-classification",
    "completion": "text-generation",
    "single_label": "text-classification",
    "multi_label": "text-classification",
    "regression": "text-classification",
}


def recipe_tables(report: Report) -> dict[str, Any]:
    """Read the recipe as it was run: the text of its file, and what the command overrode; empty if it cannot be read.

    Every value is somebody's text: escape it where it is shown.
    """
    try:
        tables = tomllib.loads(report.recipe.text)
        words = shlex.split(report.provenance.command)
    except ValueError:
        return {}
    for flag, override in pairwise(words):
        key, equals, value = override.partition("=")
        if flag == "-o" and equals:
            _set(tables, key.strip().split("."), value)
    return tables


def _set(tables: dict[str, Any], path: list[str], value: str) -> None:
    *outer, last = path
    for name in outer:
        inner = tables.setdefault(name, {})
        if not isinstance(inner, dict):
            return
        tables = inner
    try:
        tables[last] = tomllib.loads(f"v = {value}")["v"]
    except tomllib.TOMLDecodeError:
        tables[last] = value


def task_table(report: Report) -> Mapping[str, Any]:
    """Return the recipe's ``[task]``; empty where it is about other data than the report."""
    table = recipe_tables(report).get("task")
    names = [one.get("name") for one in report.provenance.data[:1]]
    return table if isinstance(table, dict) and [table.get("dataset")] == names else {}


def task_type(report: Report) -> str | None:
    """Return the type of the task: what the metric is one of, else what the recipe says; None where nobody does."""
    said = task_table(report).get("type")
    known = FIELD.get(report.task.metric) if report.task else None
    return known or (str(said) if said is not None else "single_label" if task_table(report) or report.task else None)


def adapted_by_us(report: Report) -> bool:
    """Whether a recipe made the adapted model, and not somebody else."""
    return report.adapted.method != "not known"


def repository(report: Report) -> str | None:
    """Return where the adapted model lies on the Hub; None where it was not published."""
    name = report.adapted.id
    return name if ID.fullmatch(name) and not name.startswith("models/seed-") else None


def base_on_hub(report: Report) -> str | None:
    """Return the base's id on the Hub; None where it came from a folder, a file or a package."""
    base = report.base
    return base.id if base.revision is not None and ID.fullmatch(base.id) else None


def hub_datasets(report: Report) -> list[str]:
    """List the data sets of the Hub that the model was trained on, as far as that is known."""
    if not adapted_by_us(report):
        return []
    ids = [str(one["id"]) for one in report.provenance.data if one.get("id")]
    return [one for one in dict.fromkeys(ids) if re.fullmatch(r"[\w.-]+(/[\w.-]+)?", one, re.ASCII)]


def library(report: Report) -> str:
    """Name what loads the adapted model."""
    files = report.adapted.files
    if any(name in files for name in OURS):
        return "transfer-audit"
    if "adapter_config.json" in files:
        return "peft"
    return "sentence-transformers" if "modules.json" in files else "transformers"


def pipeline_tag(report: Report) -> str | None:
    """Name what the adapted model does, as the Hub calls it; None where that is not known."""
    kind, files, task = report.base.kind, report.adapted.files, task_type(report)
    ours = library(report) == "transfer-audit"
    if not ours and not adapted_by_us(report):
        return None
    if kind == "clip" and "head.json" not in files:
        return "zero-shot-image-classification"
    if kind in ("vision", "clip"):
        return "image-classification"
    if kind == "causal" and not ours:
        return "text-generation"
    return TAGS.get(task or "")
