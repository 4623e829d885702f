"""Evaluation metadata: what the Hub can read of a report."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from audit.finding import Estimate, Finding
from audit.publish.card.declared import pipeline_tag, task_table
from audit.publish.card.merge import SOURCE
from audit.publish.card.task import NAMES
from audit.publish.card.text import line
from audit.report import Report

__all__ = ["METRICS", "eval_results", "model_index"]

METRICS = {
    "accuracy": "accuracy",
    "macro_f1": "f1",
    "micro_f1": "f1",
    "matthews": "matthews_correlation",
    "mae": "mae",
    "mse": "mse",
    "spearman": "spearmanr",
}
"""Metrics of a task by the Hub's names for them, where it has one."""
LOCAL = "a local file"
"""A data set that nobody else can find; what it is called may tell whose it is."""


def model_index(report: Report, name: str) -> list[dict[str, Any]]:
    """Return the card's ``model-index``: the task's metric, and every declared finding.

    Parameters
    ----------
    report : Report
    name : str
        Of the model's repository, ``owner/name``.

    Returns
    -------
    list of dict
        One entry, or none where nothing was measured. Its results name us as their source, by which a later merge finds
        them. ``value`` of a finding is what its verdict is about: the change, or a position of the gap. ``low``,
        ``high`` (95 %), ``margin``, ``verdict`` and ``clusters`` are keys of our own, which the Hub keeps and its
        client's parser passes over. Nothing is ever called verified.
    """
    source = {"name": SOURCE, "url": f"https://huggingface.co/{name}"}
    results = [{**result, "source": dict(source)} for result in (_task_result(report), _audit_result(report)) if result]
    return [{"name": name.rpartition("/")[2], "results": results}] if results else []


def _task_result(report: Report) -> dict[str, Any] | None:
    task = report.task
    if task is None:
        return None
    data, table = next(iter(report.provenance.data), {}), task_table(report)
    local = not data.get("id") and not task.name.startswith("shipped:")
    about = {
        "name": LOCAL if local else line(task.name),
        "type": LOCAL if local else line(data.get("id") or task.name),
        "config": line(table.get("subset") or ""),
        "split": line(table.get("test_split", "test")) if table else "",
        "revision": line(data.get("revision") or ""),
    }
    metric = {
        "type": METRICS.get(task.metric, line(task.metric)),
        "name": NAMES.get(task.metric, line(task.metric)),
        **_numbers(task.adapted),
    }
    if task.base is not None and task.change is not None:
        base, change = _numbers(task.base), _numbers(task.change)
        metric |= {f"base_{key}": value for key, value in base.items()}
        metric |= {f"change_{key}": value for key, value in change.items()}
    if "test" in data:
        metric["items"] = data["test"]
    return {
        "task": {"type": _task_kind(report), "name": "The recipe's task"},
        "dataset": {key: value for key, value in about.items() if value},
        "metrics": [metric],
    }


def _audit_result(report: Report) -> dict[str, Any] | None:
    declared = [one for one in report.findings if one.group is None]
    if not declared:
        return None
    return {
        "task": {"type": _task_kind(report), "name": "Audit against its own base"},
        "dataset": {"name": "Items of the audit", "type": SOURCE},
        "metrics": [_finding(one) for one in declared],
    }


def _finding(one: Finding) -> dict[str, Any]:
    what = "position between same domain and unrelated" if one.change is None else "change against the base"
    return {
        "type": line(one.id),
        "name": f"{line(one.name)}: {what} ({line(one.unit)})",
        **_numbers(one.change or one.adapted),
        "margin": _rounded(one.margin),
        "verdict": str(one.verdict),
        "clusters": one.n_clusters,
    }


def _task_kind(report: Report) -> str:
    return pipeline_tag(report) or "other"


def _numbers(estimate: Estimate) -> dict[str, float]:
    found = {"value": estimate.value, "low": estimate.low, "high": estimate.high}
    return {key: _rounded(value) for key, value in found.items() if value is not None}


def _rounded(value: float) -> float:
    return float(f"{value:.6g}")


def eval_results(report: Report, benchmarks: Mapping[str, object]) -> dict[str, str]:
    """Return the files of ``.eval_results``: the task's metric, where its data set is a benchmark of the Hub.

    The format holds one number for a task of a registered benchmark, and no interval, slice or base: so nothing else of
    a report has a place there, and neither has a part of the benchmark's split, another split or another metric.

    Parameters
    ----------
    report : Report
    benchmarks : mapping of str to object
        By id of data sets that the Hub registered, those tagged ``benchmark:official``: what their ``eval.yaml`` says.

    Returns
    -------
    dict of str to str
        YAML by the name of its file; none where the ``eval.yaml`` does not name the configuration, the split and the
        metric that were measured (https://huggingface.co/docs/hub/eval-results).

    See Also
    --------
    huggingface_hub.EvalResultEntry
    """
    from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml

    task, data, table = report.task, next(iter(report.provenance.data), {}), task_table(report)
    name = data.get("id")
    named = _benchmark_task(benchmarks.get(str(name)), table, task.metric) if task is not None and table else None
    if task is None or named is None:
        return {}
    low, high = task.adapted.bounds()
    entry = EvalResultEntry(
        dataset_id=str(name),
        task_id=named,
        value=_rounded(task.adapted.value),
        dataset_revision=data.get("revision"),
        date=report.provenance.created,
        notes=f"{task.metric}, {SOURCE}, 95 % interval {low:.6g} to {high:.6g}, {data['test']} items",
    )
    import yaml  # type: ignore[import-untyped]

    text: str = yaml.safe_dump(eval_result_entries_to_yaml([entry]), sort_keys=False, allow_unicode=True, width=10**6)
    return {f"{re.sub(r'[^A-Za-z0-9._-]+', '-', str(name))}.yaml": text}


def _benchmark_task(told: object, table: Mapping[str, Any], metric: str) -> str | None:
    """Return the id of the one task of an ``eval.yaml`` that was measured; None where that cannot be told."""
    split = table.get("test_split", "test")
    if table.get("test_limit") or table.get("test_share") or split == table.get("train_split", "train"):
        return None
    measured = (table.get("subset") or "default", split)
    listed = told.get("tasks") if isinstance(told, Mapping) else None
    tasks = [one for one in listed if isinstance(one, Mapping)] if isinstance(listed, list) else []
    found = [one for one in tasks if (one.get("config") or "default", one.get("split") or "test") == measured]
    if len(found) != 1 or not isinstance(found[0].get("id"), str) or _measures(found[0]) not in _called(metric):
        return None
    return str(found[0]["id"])


def _measures(task: Mapping[str, Any]) -> str | None:
    """Return the metric that a task of a benchmark names, or the scorer where it names none; None if it is not one."""
    listed = task.get("metrics") or task.get("scorers")
    named = [one.get("name") if isinstance(one, Mapping) else one for one in listed] if isinstance(listed, list) else []
    return str(named[0]).lower().replace("-", "_") if len(named) == 1 else None


def _called(metric: str) -> set[str]:
    """Return the names of a metric; a name that is that of others too says of none which it is."""
    hub = METRICS.get(metric)
    return {metric} | ({hub} if hub is not None and list(METRICS.values()).count(hub) == 1 else set())
