"""The stage that places the task's texts, before anything is adapted."""

from __future__ import annotations

from pathlib import Path

from audit.audits.gap import domain_gap
from audit.items import reversed_words
from audit.job import Job, thinned
from audit.steps.written import finish
from audit.view import NotMeasurable

__all__ = ["gap"]


def gap(job: Job, folder: Path) -> None:
    """Place the task's training texts between the reference and unrelated text, in the base's space."""
    asked = job.recipe.audit.gap
    if asked is None:
        return finish(folder, [], ["The domain gap was not measured: the recipe has no [audit.gap]."])
    view = job.base_alone if job.adapted is None else job.pair.base
    reference = job.general(asked.reference or "shipped:passages", asked.limit)
    task = thinned(job.data.train, asked.limit)
    note = (
        f"Reference: {asked.reference} ({len(reference)} texts); ceiling: the reference with the letters of every word "
        "reversed. The position says how far the texts lie from this reference, which is not the base's training data."
    )
    note = " ".join(part for part in (note, view.treatment("embedding", [*task, *reference])) if part)
    try:
        found = domain_gap(
            job.remembered(view), task, reference, reversed_words(reference), margin=asked.margin, note=note
        )
    except NotMeasurable as reason:
        return finish(folder, [], [f"The domain gap was not measured: {reason}."])
    return finish(folder, found.findings, scales=[one.model_dump(mode="json") for one in found.scales])
