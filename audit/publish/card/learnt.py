"""Whether the task was learnt at all, beyond what a constant answer reaches."""

from __future__ import annotations

from audit.publish.card.task import CONSTANT
from audit.report import Report

__all__ = ["at_constant", "things"]


def at_constant(report: Report) -> float | None:
    """Return what a constant answer reaches, where the adapted model is not shown to do better.

    Returns
    -------
    float or None
        The best constant, where the adapted model's 95 % interval holds it or lies on its wrong side; where there is
        no interval, its value decides. None where it does better, or nothing was compared.
    """
    task = report.task
    constants = [arm.task for arm in report.arms if arm.name in CONSTANT and arm.task is not None]
    if task is None or not constants:
        return None
    if task.better == "higher":
        best = max(constants)
        return best if (task.adapted.value if task.adapted.low is None else task.adapted.low) <= best else None
    best = min(constants)
    return best if (task.adapted.value if task.adapted.high is None else task.adapted.high) >= best else None


def things(report: Report) -> str:
    """Name what the task asks about: texts, images, or either."""
    return {"vision": "images", "clip": "texts or images"}.get(report.base.kind, "texts")
