"""The task metric recomputed from what every arm answered to every item."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from audit.finding import Estimate
from audit.metrics import METRICS, Measured, TaskMetric, measured
from audit.recipe import Recipe
from audit.report import Arm, Report
from audit.stats import over_seeds
from audit.verify.evidence import Lacking, Table
from audit.verify.found import Verification
from audit.verify.same import differences, numbers, plain
from audit.view import NotMeasurable

__all__ = ["TaskAnswers", "check_task"]

ANSWERS = "task/answers"
UNTAGGED = "O"
SEEDS = 3  # the fewest that say something about a recipe
ALIKE = "reference"  # the arm of what is true


class TaskAnswers:
    """What was answered to the task's items, read back into what its metric takes.

    Parameters
    ----------
    table : Table
        Of the stage ``task``.
    metric : str
    labels : sequence of str
        Of the recipe: classes are kept as their places in the order of names.
    kind : str
        Type of the task.
    """

    def __init__(self, table: Table, metric: str, labels: Sequence[str], kind: str) -> None:
        self.table, self.name, self.kind = table, metric, kind
        self.names = sorted({*labels, UNTAGGED})
        rows = table.asked(ANSWERS, ALIKE)
        self.clusters = rows.drop_duplicates("item_id")["cluster"].tolist()
        self.items = rows.drop_duplicates("item_id")["item_id"].tolist()
        self.references = self.read(table, ALIKE)

    @property
    def metric(self) -> TaskMetric:
        """The metric."""
        return METRICS[self.name]()

    def read(self, table: Table, arm: str, seed: int | None = None) -> list[Any]:
        """Return the answers of an arm, or the references.

        Raises
        ------
        Lacking
        """
        rows = table.asked(ANSWERS, arm, seed)
        if rows["item_id"].drop_duplicates().tolist() != self.items:
            raise ValueError(f"{ANSWERS} of {arm} are of other items than the references")
        if self.kind == "tokens":
            return [[self.names[int(tag)] for tag in some] for _, some in rows.groupby("item_id", sort=False)["value"]]
        values = rows["value"].tolist()
        if self.kind == "multi_label":
            return [[k for k in range(len(self.names)) if int(value) >> k & 1] for value in values]
        if self.kind == "completion" and arm == ALIKE:
            return ["." * int(value) for value in values]  # as many bytes
        return values if self.kind in ("regression", "completion") else [int(value) for value in values]

    def measured(self, said: Sequence[Any], base: Sequence[Any] | None = None) -> Measured:
        """Measure answers, paired with those of the base if there are any.

        Raises
        ------
        ValueError
            If they do not fit the references.
        NotMeasurable
        """
        if any(side is not None and len(side) != len(self.references) for side in (said, base)):
            raise ValueError(f"{ANSWERS} has other answers than references")
        return measured(self.metric, said, self.references, self.clusters, base)

    def value(self, arm: Arm) -> float | None:
        """Measure what the evidence has of one arm; None where the metric is not defined.

        Raises
        ------
        Lacking
        """
        try:
            return self.measured(self.read(self.table, arm.name, arm.seed)).adapted.value
        except NotMeasurable:
            return None


def check_task(found: Verification, report: Report, table: Table | None, recipe: Recipe | None) -> None:
    """Recompute the metric of both sides, its change, that of every seed, and what is claimed over seeds."""
    if report.task is None and not report.arms:
        return
    try:
        if table is None:
            raise Lacking("there is no evidence of it")
        answers = answers_of(report, table, recipe)
        if report.task is not None:
            _check_metric(found, report, answers)
        _check_arms(found, report, answers)
    except (Lacking, NotMeasurable) as reason:
        found.leave(f"task: not recomputable: {reason}")
    except (ValueError, IndexError) as reason:
        found.differ([f"task: its evidence cannot be computed with: {reason}"])


def answers_of(report: Report, table: Table | None, recipe: Recipe | None) -> TaskAnswers:
    """Read the answers to the task.

    Raises
    ------
    Lacking
    """
    if table is None:
        raise Lacking("there is no evidence of it")
    if recipe is None or report.task is None:
        raise Lacking("the recipe's [task] cannot be read, or nothing was measured")
    if report.task.metric not in METRICS:
        raise ValueError(f"no metric is called {report.task.metric!r}; there are {', '.join(METRICS)}")
    return TaskAnswers(table, report.task.metric, recipe.task.names, recipe.task.type)


def _check_metric(found: Verification, report: Report, answers: TaskAnswers) -> None:
    task, table = report.task, answers.table
    assert task is not None
    base = None if task.base is None else answers.read(table, "base")
    again = answers.measured(answers.read(table, "adapted"), base)
    given: dict[str, Any] = {name: _plain(getattr(again, name)) for name in ("base", "adapted", "change")}
    given["better"] = answers.metric.better
    trained = [arm for arm in report.arms if arm.name == "adapted"]
    given["n_seeds"] = max(1, len(trained))
    known = [arm.task for arm in trained if arm.task is not None]
    differ = len({arm.sha256 for arm in trained}) > 1
    claimed = over_seeds(known) if len(known) == len(trained) >= SEEDS and differ else None
    given |= {"over_seeds": _plain(claimed), "claim": "recipe" if claimed else "checkpoint"}
    mine = {name: value for name, value in plain(task).items() if name in given}
    found.differ(differences("task", mine, given), numbers=numbers(mine))
    for arm, scores in zip(("base", "adapted")[-len(again.scores) :], again.scores, strict=True):
        rows = table.asked(f"task/{task.metric}", arm)["value"].to_numpy()
        if len(rows) != len(scores) or not np.allclose(rows, scores, rtol=1e-9, atol=1e-12):
            found.differ([f"{table.name}: task/{task.metric}: the scores of {arm} are not those of its answers"])


def _check_arms(found: Verification, report: Report, answers: TaskAnswers) -> None:
    left: dict[str, None] = {}
    for arm in report.arms:
        where = f"arm {arm.name}" + ("" if arm.seed is None else f" (seed {arm.seed})")
        if arm.seed is None or arm.seed in answers.table.seeds(ANSWERS, arm.name):
            found.differ(differences(where, {"task": arm.task}, {"task": answers.value(arm)}), numbers=1)
        else:
            left[arm.name] = None
    found.leave(*(f"arm {name}: its task is not recomputable: the evidence does not hold its answers" for name in left))


def _plain(one: Estimate | None) -> dict[str, Any] | None:
    return None if one is None else plain(one)
