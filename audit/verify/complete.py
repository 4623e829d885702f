"""What a report leaves out: evidence of which it says nothing, and audits that its recipe declares."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from audit.recipe import Recipe
from audit.report import Report
from audit.verify.evidence import MEMBERS, OPTIONS, Table
from audit.verify.found import Verification
from audit.verify.same import differences
from audit.verify.task import ANSWERS

__all__ = ["check_adapted", "check_complete"]

ASKED = ("bias/", "gap/", "forgetting/", "transfer/")
HELPERS = re.compile(r"gap/surprise/(reference|ceiling|seeds|bytes).*")  # what a finding is placed between
SAID = {  # how a limit begins, or goes on, that says why there is no finding
    "bias": r"Bias\b.* not measured",
    "gap": r".*\bdomain gap\b.* not measured",
    "forgetting": r"Forgetting\b.* not measured",
    "transfer": r".*\btransfer\b.* not measured",
}


def check_complete(found: Verification, report: Report, recipe: Recipe | None, tables: Mapping[str, Table]) -> None:
    """Name what the evidence, or the recipe, has and the report has not.

    Parameters
    ----------
    found : Verification
        Takes what comes of it.
    report : Report
    recipe : Recipe or None
        None where it cannot be read.
    tables : mapping of str to Table
        By stage.
    """
    ids, decomposed = (
        {*(one.id for one in report.findings), *report.broken},
        {one.finding for one in report.decompositions},
    )
    for table in tables.values():
        for name in _questions(table):
            if name not in ids:
                found.differ([f"{table.name}: {name}: it is evidence of a finding that the report does not have"])
            elif table.name.endswith("/origin.parquet") and name not in decomposed:
                found.differ([f"{table.name}: {name}: it is evidence of a decomposition that the report does not have"])
    if report.task is None and "task" in tables and ANSWERS in tables["task"].questions:
        found.differ(["evidence/task.parquet: it is evidence of a task that the report does not have"])
    if not report.curve and "strength" in tables:
        found.differ(["evidence/strength.parquet: it is evidence of a strength curve that the report does not have"])
    if recipe is None or report.base.kind in ("vision", "clip"):  # which may read images, and be asked less
        return
    for audit, said in SAID.items():
        measured = any(one.startswith(f"{audit}/") for one in ids)
        why = any(re.match(said, limit, re.IGNORECASE) for limit in report.limits)
        if getattr(recipe.audit, audit) is not None and not measured and not why:
            found.differ(
                [f"[audit.{audit}]: the recipe declares it; the report has no finding of it, nor says why not"]
            )


def _questions(table: Table) -> Iterator[str]:
    names = (name.removeprefix(MEMBERS).removeprefix(OPTIONS) for name in table.questions)
    yield from dict.fromkeys(one for one in names if one.startswith(ASKED) and not HELPERS.fullmatch(one))


def check_adapted(found: Verification, report: Report, recipe: Recipe | None) -> None:
    """Hold how the base was adapted, and the terms, against the recipe."""
    if recipe is None:
        return
    adapted, publish = report.adapted, recipe.publish
    said: dict[str, Any] = {"license": adapted.license, "language": adapted.language}
    given: dict[str, Any] = {"license": publish.license, "language": list(publish.language)}
    if adapted.seeds and recipe.adapt is not None:
        settings = recipe.adapt.model_dump(mode="json", exclude_defaults=True, exclude={"method", "seeds"})
        if recipe.domain is not None:
            settings["domain"] = recipe.domain.model_dump(mode="json", exclude_defaults=True)
        said |= {"method": adapted.method, "seeds": adapted.seeds, "settings": adapted.settings}
        given |= {"method": recipe.adapt.method, "seeds": list(recipe.adapt.seeds), "settings": settings}
    found.differ(differences("adapted", said, given, "the recipe declares"))
