"""What is trained on held against what is asked, as a run does it for all that it trains on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from audit.items import thinned
from audit.items.overlap import asked_sets, cleaned, overlap
from audit.job import Job
from audit.recipe import Gradient
from audit.view import Item

__all__ = ["asked_items", "set_apart", "without_asked"]


def asked_items(job: Job) -> dict[str, Sequence[Item]]:
    """Name all items that the recipe asks: the test split, by what forgetting is found, minimal pairs, questions."""
    others = {f"[audit.bias] minimal pairs {one.file}": items for one, items in job.minimal_pairs}
    others |= {f"[audit.bias] questions {one.file}": items for one, items in job.questions}
    return dict(asked_sets(job.data.test, job.packs if job.recipe.audit.forgetting else None, others))


def without_asked(job: Job, items: Sequence[Item], where: str) -> tuple[list[Item], list[dict[str, Any]]]:
    """Do with items that are trained on and also asked what the recipe says (see `audit.items.overlap.cleaned`).

    Parameters
    ----------
    job : Job
    items : sequence of Item
        To be trained on.
    where : str
        Table and key of the recipe that brings them.
    """
    asked = asked_items(job)
    return cleaned(
        items,
        overlap(items, asked, completion=job.recipe.task.type == "completion"),
        job.recipe.task.overlap,
        asked=list(asked),
        where=where,
    )


def set_apart(job: Job) -> None:
    """Set what the recipe trains on apart from what it asks: the task's training rows, and what protections read.

    Of a checkpoint that is given, only probes are trained here, on the same rows.

    Raises
    ------
    InputError
        If the recipe refuses rows that are also asked, or nothing is left.
    """
    rows = "[task] dataset" if job.adapted is None else "[task] dataset (to which probes are fitted)"
    train, record = without_asked(job, job.data.train, rows)
    job.data, job.overlap = replace(job.data, train=train), record
    method = job.recipe.adapt
    if job.rehearsal and isinstance(method, Gradient):
        asked = method.protect
        general, record = without_asked(job, job.rehearsal, f"[adapt.protect] items = {asked.items!r}")
        job.rehearsed, job.overlap = thinned(general, asked.limit), [*job.overlap, *record]
