"""The stage that looks up what there is to know about the base before anything is built on it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from audit.diligence import Check, passed
from audit.items.task.known import Known, known
from audit.job import Job
from audit.publish.diligence.lineage import diligence as looked_up
from audit.publish.diligence.lineage import licence_check
from audit.recipe import Gradient
from audit.steps.written import finish

__all__ = ["checked", "diligence", "sentences", "sets_of"]


def diligence(job: Job, folder: Path) -> None:
    """Ask of the base what its own files and, where it came from there, the Hub say; and what the licences say."""
    sets = sets_of(job)
    found = [one.model_dump(mode="json") for one in checked(job, list(sets.values()))]
    finish(folder, [], diligence=found, sets={name: vars(one) for name, one in sets.items()})


def checked(job: Job, sets: Sequence[Known]) -> list[Check]:
    """Look up what there is to know about the base, and whether what is made of it may have the licence chosen for it.

    Parameters
    ----------
    job : Job
        Its recipe chooses the licence; where it does not, an adapted model that exists may say its own, and one that
        is made here is published under that of its base.
    sets : sequence of Known
        What is trained on.
    """
    chosen = job.recipe.publish.license or (job.adapted.license if job.adapted is not None else None)
    taken = chosen is None and job.adapted is None and job.base.license is not None
    ruling = licence_check(job.base.license, [one.license for one in sets], job.base.license if taken else chosen)
    if taken:
        said = f"{ruling.said}; the recipe names no licence, so that of the base is taken over: {job.base.license}"
        ruling = ruling.model_copy(update={"said": said})
    return [*looked_up(job.base.id, job.base.revision), ruling]


def sets_of(job: Job) -> dict[str, Known]:
    """Look up the sets that are trained on: the task's, then those that protections and the domain bring."""
    data, method, domain = job.data, job.recipe.adapt, job.recipe.domain
    found = {data.source: known(data.source, data.revision, here=data.id is None)}
    if job.adapted is not None:  # which was trained elsewhere
        return found
    if job.rehearsed and isinstance(method, Gradient):
        found[f"[adapt.protect] {method.protect.items}"] = known(method.protect.items)
    if domain is not None:
        found[f"[domain] {domain.texts}"] = found[data.source] if domain.texts == "task" else known(domain.texts)
    return found


def sentences(checks: Sequence[Check]) -> list[str]:
    """Say what did not pass, a line each, and whether all of it did.

    Examples
    --------
    >>> sentences([Check(name="gated", outcome="warn", said="its terms must be accepted")])
    ['warn: gated: its terms must be accepted', 'All 1 could be looked up, and nothing failed.']
    """
    said = [
        f"{one.outcome}: {one.name}: {one.said.removeprefix(f'{one.outcome}: ')}"
        for one in checks
        if one.outcome != "pass"
    ]
    counts = {outcome: sum(one.outcome == outcome for one in checks) for outcome in ("fail", "unknown")}
    if passed(checks):
        return [*said, f"All {len(checks)} could be looked up, and nothing failed."]
    return [*said, f"Of {len(checks)}, {counts['fail']} failed and {counts['unknown']} could not be looked up."]
