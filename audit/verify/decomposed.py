"""Origins recomputed: every disparity in every arm, over seeds and clusters."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from audit.audits import Question
from audit.audits.bias import Arms, attribute
from audit.finding import Finding
from audit.origin import ARMS, Arm, Decomposition
from audit.report import Report
from audit.verify.evidence import Lacking, Table
from audit.verify.found import Verification
from audit.verify.questions import question
from audit.verify.same import differences, numbers, plain
from audit.verify.task import ANSWERS

__all__ = ["check_origins"]

Array = NDArray[np.float64]
NAMES: dict[str, Arm] = {
    "adapted": "adapted",
    "adapted_drawn": "adapted",
    "group_silent": "silent",
    "random_init_group_silent": "floor",
    "random_init": "random",
    "base": "base",
}


def check_origins(found: Verification, report: Report, tables: dict[str, Table]) -> None:
    """Decompose every disparity again."""
    written = report.decompositions
    if not written:
        return
    for one in written:
        said, given = {"seeds": one.seeds}, {"seeds": report.adapted.seeds}
        found.differ(differences(f"decomposition of {one.finding}", said, given, "the report has"))
    try:
        if "origin" not in tables or "bias" not in tables:
            raise Lacking("there is no evidence of it")
        refits = any(row["finding"].startswith("bias/") and "refits" in row["copies"] for row in report.floor)
        findings = {one.id: one for one in report.findings}
        read = [
            _arms(findings[one.finding], tables["bias"], tables["origin"], len(one.seeds), refits=refits)
            for one in written
        ]
        accuracy, majority = written[0].accuracy, written[0].majority
        again = attribute([one for one, _ in read], seeds=written[0].seeds, accuracy=accuracy, majority=majority)
    except Lacking as reason:
        found.leave(*(f"decomposition of {one.finding}: not recomputable: {reason}" for one in written))
        return
    except ValueError as reason:
        found.differ([f"decompositions: their evidence cannot be computed with: {reason}"])
        return
    for one, other, (_, whole) in zip(written, again, read, strict=True):
        left = ("accuracy", "majority") if whole else ("accuracy", "majority", "base", "change")
        mine, theirs = (_numbers(side, left) for side in (one, other))
        found.differ(differences(f"decomposition of {one.finding}", mine, theirs), numbers=numbers(mine))
        if not whole:
            found.leave(
                f"decomposition of {one.finding}: base and change are not recomputable: the evidence does not hold "
                "what the refits of the base's probe answered"
            )
    _check_capable(found, report, tables)


def _numbers(one: Decomposition, without: tuple[str, ...]) -> dict[str, Any]:
    return {name: value for name, value in plain(one).items() if name not in without}


def _arms(finding: Finding, bias: Table, origin: Table, seeds: int, *, refits: bool) -> tuple[Arms, bool]:
    """Read the scores of every arm by cluster; say whether those of the base are among them."""
    asked = question(finding, bias)
    rows: dict[Arm, list[Array]] = {}
    for called in origin.questions[finding.id]["arm"].unique() if finding.id in origin.questions else ():
        if called not in NAMES:
            raise ValueError(f"{origin.name} has an arm {called!r}, which no run has")
        rows[NAMES[called]] = [
            _answers(origin, finding.id, called, seed, asked) for seed in origin.seeds(finding.id, called)
        ]
    lacking = next((arm for arm in ARMS if arm != "base" and len(rows.get(arm, [])) != seeds), None)
    if lacking is not None:
        raise Lacking(f"{origin.name} does not hold {seeds} trainings of the arm {lacking!r}")
    scores = {arm: _by_cluster(asked, some) for arm, some in rows.items()}
    drawn = "adapted_drawn" in set(origin.questions[finding.id]["arm"])
    if "base" not in rows and not refits:  # it has a head of its own, which every seed asks alike
        scores["base"] = _by_cluster(asked, [asked.base] * seeds)
    elif "base" not in rows and drawn:  # the recipe is a head: its group-silent arms read the base out
        scores["base"] = scores["silent"]
    whole = "base" in scores
    scores.setdefault("base", scores["silent"])
    counted = np.concatenate([asked.base, *rows["adapted"]])
    made = Arms(
        finding.id,
        finding.margin,
        sorted(set(asked.clusters)),
        scores,
        limiting=asked.compared().n_clusters,
        counts=bool(np.isin(counted, (0.0, 1.0)).all()),
    )
    return made, whole


def _answers(table: Table, name: str, arm: str, seed: int, asked: Question) -> Array:
    """What an arm scored on the items of a question, in their order."""
    mine = table.asked(name, arm, seed).set_index("item_id")["value"]
    wanted = [item.id for item in asked.items]
    if sorted(mine.index) != sorted(wanted):
        raise ValueError(f"{table.name}: {name}: {arm} (seed {seed}) was asked other items than the finding")
    answers: Array = mine.loc[wanted].to_numpy(dtype=np.float64)
    return answers


def _by_cluster(asked: Question, rows: list[Array]) -> Array:
    return np.stack([asked.by_cluster(row, asked.clusters) for row in rows])


def _check_capable(found: Verification, report: Report, tables: dict[str, Table]) -> None:
    """Hold the share of the commonest label, and accuracies, against what the evidence has of the task."""
    first = report.decompositions[0]
    task = tables.get("task")
    for one in report.decompositions[1:]:
        same = {"accuracy": one.accuracy, "majority": one.majority}
        its = {"accuracy": first.accuracy, "majority": first.majority}
        found.differ(differences(f"decomposition of {one.finding}", same, its, f"that of {first.finding} says"))
    where = f"decomposition of {first.finding}"
    if task is not None and ANSWERS in task.questions:
        labels = task.asked(ANSWERS, "reference")["value"]
        given = {"majority": float(labels.value_counts().max()) / len(labels)}
        found.differ(differences(where, {"majority": first.majority}, given), numbers=1)
    else:
        found.leave(f"{where}: majority is not recomputable: there is no evidence of the task's labels")
    if report.task is None or report.task.metric not in ("accuracy", "exact_match"):
        found.leave(
            f"{where}: accuracy is not recomputable: the evidence does not hold what the arms answered to the task"
        )
        return
    trained = {NAMES[one.name]: one.name for one in report.arms if one.name in NAMES and one.seed is not None}
    for arm, called in trained.items():  # of a head, the last ones: those that were drawn
        known = [one.task for one in report.arms if one.name == called and one.task is not None]
        if known and arm in first.accuracy:
            mean = {f"accuracy.{arm}": float(np.mean(known))}
            said = {f"accuracy.{arm}": first.accuracy[arm]}
            found.differ(differences(where, said, mean, "the report's arms give"), held=1)
