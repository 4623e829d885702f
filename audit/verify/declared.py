"""What was declared before the models were asked: the recipe's fingerprint, and every margin."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from audit.finding import Finding
from audit.recipe import Bias, Forgetting, Recipe, overrides_of, read_recipe
from audit.report import Report
from audit.verify.found import Verification
from audit.verify.same import differences

__all__ = ["check_recipe", "declared"]

CUT = ("[path]", "[token]", "[e-mail]", "[user]", "[host]")  # what is put in the place of what must not be published
PROBES = {  # by the last part of a finding's name, the margin that the recipe calls otherwise
    "general_text": "nats_per_byte",
    "masked_text": "nats_per_byte",
    "multiple_choice": "choices",
    "refit_probe": "probe",
    "frozen_probe": "probe",
}


def declared(report: Report) -> tuple[Recipe | None, str]:
    """Read the recipe of a report, with what its command overrode; else None, and why.

    What was redacted for publication may still be read: its paths name nothing.
    """
    try:
        overrides = overrides_of(report.provenance.command)
    except ValueError as reason:
        return None, f"its command cannot be read: {reason}"
    try:
        return read_recipe(report.recipe.text, overrides, "recipe.toml"), ""
    except ValueError as reason:
        return None, str(reason).removeprefix("recipe.toml: ")


def check_recipe(found: Verification, report: Report, recipe: Recipe | None, why: str) -> None:
    """Hold fingerprint and margins against the recipe's text."""
    if recipe is None:
        found.leave(f"recipe: its fingerprint and the margins are not checked: {why}")
        return
    cut = next((mark for mark in CUT if mark in report.recipe.text + report.provenance.command), None)
    if cut is not None:
        found.leave(f"recipe: its fingerprint is not checked: its text or command was redacted ({cut})")
    else:
        written = {"fingerprint": report.recipe.fingerprint, "name": report.recipe.name}
        given = {"fingerprint": recipe.fingerprint, "name": recipe.name}
        found.differ(differences("recipe", written, given, "its text gives"), recipes=1)
    found.differ(differences("task", _task(report, report=True), _task(report, recipe), "the recipe declares"))
    for where, one in [("", one) for one in report.findings] + _of_curve(report):
        margin = _margin(one, recipe)
        if margin is None:
            found.leave(f"{where}{one.id}: its margin is not checked: the recipe declares none by that name")
        else:
            said = {"margin": one.margin}
            found.differ(differences(f"{where}{one.id}", said, {"margin": margin}, "the recipe declares"), declared=1)
    transfer = recipe.audit.transfer
    for needed in report.needed:
        target = transfer.target if transfer else None
        where = f"texts needed by {needed.arm} ({needed.how})"
        found.differ(
            differences(where, {"target": needed.target}, {"target": target}, "the recipe declares"), declared=1
        )


def _of_curve(report: Report) -> list[tuple[str, Finding]]:
    return [(f"strength {point.alpha:g}: ", one) for point in report.curve for one in point.findings]


def _task(from_report: Report, recipe: Recipe | None = None, *, report: bool = False) -> dict[str, object]:
    if from_report.task is None:
        return {}
    if report or recipe is None:
        return {"metric": from_report.task.metric, "better": from_report.task.better}
    return {"metric": recipe.task.measure, "better": "higher" if recipe.task.higher_is_better else "lower"}


def _margin(one: Finding, recipe: Recipe) -> float | None:
    """Return the margin that a recipe declares for a finding; None where it has none by that name."""
    asked = recipe.audit
    if one.audit == "gap":
        return asked.gap.margin if asked.gap else None
    if one.audit == "transfer":
        return asked.transfer.margin if asked.transfer else None
    if one.audit == "forgetting":
        return _of_probe(one, asked.forgetting) if asked.forgetting else None
    return _of_bias(one, asked.bias, recipe.columns) if asked.bias else None


def _of_probe(one: Finding, asked: Forgetting) -> float | None:
    last = one.name.rsplit("/", 1)[-1]
    return getattr(asked.margins, PROBES.get(last, last), None)


def _of_bias(one: Finding, asked: Bias, columns: Collection[str]) -> float | None:
    last, first = one.name.rsplit("/", 1)[-1], one.name.split("/")[0]
    for pairs in asked.minimal_pairs:
        if one.name.startswith(f"{Path(pairs.file).stem}/") and last in ("preference", "share"):
            return pairs.margins.nats if last == "preference" else pairs.margins.share
    for questions in asked.questions:
        if one.name.startswith(f"{Path(questions.file).stem}/") and "ambig" in one.name:
            return questions.margin
    if asked.groups and any(column in columns for column in first.split(" x ")):
        return asked.groups.margin
    if asked.margins and last in ("preference", "flips"):
        return asked.margins.probability if last == "preference" else asked.margins.flips
    return None
