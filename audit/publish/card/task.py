"""The task in a sentence: what both sides reach, what a constant answer does, and of what that is a claim."""

from __future__ import annotations

from audit.publish.card.text import number, plain
from audit.report import Report

__all__ = ["NAMES", "is_learnt", "task_sentence", "task_words"]

NAMES = {
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "macro_f1": "Macro F1",
    "micro_f1": "Micro F1",
    "matthews": "Matthews correlation",
    "exact_match": "Share of items with exactly the right labels",
    "mae": "Mean absolute error",
    "mse": "Mean squared error",
    "spearman": "Spearman correlation",
    "entity_f1": "Entity F1",
    "token_accuracy": "Accuracy over tokens",
    "nats_per_byte": "Nats per byte of the completion",
}
CONSTANT = {"majority_class": "majority class", "constant": "a constant answer"}


def is_learnt(report: Report) -> bool:
    """Tell whether the adapted model does better than every constant answer; true where none was asked."""
    task = report.task
    if task is None:
        return False
    sign = 1 if task.better == "higher" else -1
    constants = [arm.task for arm in report.arms if arm.name in CONSTANT and arm.task is not None]
    return all(sign * (task.adapted.value - one) > 0 for one in constants)


def task_sentence(report: Report) -> str:
    """Say how well both sides do the task, in Markdown."""
    if report.task is None:
        return "Not measured."
    said = task_words(report, plain(report.task.name))
    adapted = number(report.task.adapted)
    return said.replace(f": {adapted}", f": **{adapted}**", 1)


def task_words(report: Report, name: str) -> str:
    """Say how well both sides do the task, which is called by ``name``; nothing where it was not measured."""
    task = report.task
    if task is None:
        return ""
    lower = " (lower is better)" if task.better == "lower" else ""
    parts = [
        f"{NAMES.get(task.metric, plain(task.metric))}{lower} on {name}: {number(task.adapted)}",
        f"base {number(task.base)}",
    ]
    if task.change is not None:
        parts.append(f"change {number(task.change, signed=True)}")
    constants = [arm for arm in report.arms if arm.name in CONSTANT and arm.task is not None]
    parts += [f"{CONSTANT[arm.name]} {arm.task:.3f}" for arm in constants]
    said = f"{'; '.join(parts)}."
    if not is_learnt(report):
        said += " The adapted model does no better than that constant: it has not learnt the task."
    if task.over_seeds is None:
        return said
    return (
        f"{said} Over {task.n_seeds} seeds the recipe reaches {number(task.over_seeds)} on these test items: a "
        "claim about the recipe, where all else is about the checkpoint of the first seed."
    )
