"""The strength curve recomputed: at each strength what the model gains, and what it forgets."""

from __future__ import annotations

from collections.abc import Mapping

from audit.recipe import Recipe
from audit.report import Report
from audit.retention import Strength
from audit.verify.evidence import Lacking, Table
from audit.verify.findings import check_families
from audit.verify.found import Verification
from audit.verify.same import differences, numbers, plain
from audit.verify.task import answers_of
from audit.view import NotMeasurable

__all__ = ["check_curve"]


def check_curve(
    found: Verification,
    report: Report,
    tables: Mapping[str, Table],
    floor: Mapping[str, float],
    recipe: Recipe | None,
) -> None:
    """Recompute every point of the curve; the base's scores are those of the stages ``forgetting`` and ``task``."""
    for one in report.curve:
        where, arm = f"strength {one.alpha:g}: ", f"strength {one.alpha:g}"
        table = tables.get("strength")
        check_families(found, one.findings, table, floor, where=where, arm=arm, base=tables.get("forgetting"))
        try:
            _check_gain(found, one, report, tables, recipe)
        except (Lacking, NotMeasurable) as reason:
            found.leave(f"{where}task and gain are not recomputable: {reason}")
        except (ValueError, IndexError) as reason:
            found.differ([f"{where}its evidence cannot be computed with: {reason}"])
    if report.curve and "strength" in tables:
        known = {f"strength {one.alpha:g}" for one in report.curve}
        other = sorted(set(tables["strength"].rows["arm"]) - known)
        if other:
            found.differ([f"strength curve: the evidence holds {other[0]!r}, the report does not"])


def _check_gain(
    found: Verification,
    one: Strength,
    report: Report,
    tables: Mapping[str, Table],
    recipe: Recipe | None,
) -> None:
    if "strength" not in tables:
        raise Lacking("there is no evidence of it")
    answers = answers_of(report, tables.get("task"), recipe)
    own = answers.read(tables["strength"], f"strength {one.alpha:g}")
    again = answers.measured(own, answers.read(answers.table, "base"))
    mine = {"task": plain(one.task), "gain": plain(one.gain)}
    given = {"task": plain(again.adapted), "gain": again.change and plain(again.change)}
    found.differ(differences(f"strength {one.alpha:g}", mine, given), numbers=numbers(mine))
