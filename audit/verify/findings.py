"""Findings recomputed: estimates, intervals, families, p-values and verdicts, by the functions that made them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from audit.audits import findings
from audit.finding import Finding
from audit.verify.evidence import Lacking, Table
from audit.verify.found import Verification
from audit.verify.questions import question
from audit.verify.same import differences, numbers, plain

__all__ = ["TOLD", "check_families", "check_floor", "highest"]

TOLD = ("items", "note", "origin", "question", "unit")  # words, and what is held against decompositions instead


def check_families(
    found: Verification,
    written: Sequence[Finding],
    table: Table | None,
    floor: Mapping[str, float],
    *,
    where: str = "",
    arm: str = "adapted",
    base: Table | None = None,
) -> None:
    """Recompute findings of bias or forgetting family by family, since what decides one depends on the others.

    Parameters
    ----------
    found : Verification
        Takes what comes of it.
    written : sequence of Finding
        Of one audit, in the order of the report.
    table : Table or None
        Its evidence, if there is any.
    floor : mapping of str to float
        By id.
    where : str
        Before every line.
    arm, base
        As for `audit.verify.questions.question`.
    """
    for family, members in _families(written).items():
        try:
            if table is None:
                raise Lacking("there is no evidence of it")
            asked = [question(one, table, arm, base) for one in members]
            exploratory = members[0].group is not None
            again = findings(asked, family=family, exploratory=exploratory, floor=floor)
        except Lacking as reason:
            found.leave(*(f"{where}{one.id}: not recomputable: {reason}" for one in members))
            continue
        except ValueError as reason:  # numbers that no statistic takes, or that deny each other
            found.differ([f"{where}{family}: its evidence cannot be computed with: {reason}"])
            continue
        for one, other in zip(members, again, strict=True):
            mine, theirs = _numbers(one), _numbers(other)
            found.differ(differences(f"{where}{one.id}", mine, theirs), findings=1, numbers=numbers(mine))


def _families(written: Sequence[Finding]) -> dict[str, list[Finding]]:
    families: dict[str, list[Finding]] = {}
    for one in written:
        families.setdefault(one.family, []).append(one)
    return families


def _numbers(one: Finding) -> dict[str, Any]:
    return {name: value for name, value in plain(one).items() if name not in (*TOLD, "floor")}


def highest(rows: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """Return the floor of every finding: the most that any null copy of the base shows."""
    floor: dict[str, float] = {}
    for row in rows:
        floor[row["finding"]] = max(floor.get(row["finding"], 0.0), row["floor"])
    return floor


def check_floor(found: Verification, written: Sequence[Finding], floor: Mapping[str, float]) -> None:
    """Hold the floor of every finding against the rows that the report lists; what made those is in no evidence."""
    for one in written:
        given = floor.get(one.id)
        if one.audit in ("bias", "forgetting"):
            found.differ(differences(one.id, {"floor": one.floor}, {"floor": given}, "its null copies give"), held=1)
    if floor:
        found.leave("floor: not recomputable: the evidence does not hold what null copies of the base answered")
