"""The stage that places the task's texts, before anything is adapted."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from audit.audits import distinct
from audit.audits.fit import label_fit
from audit.audits.gap import domain_gap
from audit.audits.gap.placed import Samples
from audit.errors import InputError, Unavailable
from audit.items import passages, reversed_words, thinned
from audit.items.reference import hub_texts, read_reference
from audit.job import Job
from audit.models.ranks import agreed
from audit.models.text import TextView
from audit.scale import Scale
from audit.steps.kept import BOTH, keep_numbers
from audit.steps.written import Evidence, finish
from audit.view import Item, NotMeasurable, View

__all__ = ["gap"]

DRAWN = ("bootstrap 0", "bootstrap 1", "bootstrap 2", "surprise")  # what the surprise gap draws for
SEED_WORDS = 4
WRITTEN = 128  # texts that a base writes: on a CPU each costs as much as reading sixty


def gap(job: Job, folder: Path) -> None:
    """Place the task's training texts between the reference and unrelated text, by everything that the base tells."""
    asked = job.recipe.audit.gap
    if asked is None:
        return finish(folder, [], ["The domain gap was not measured: the recipe has no [audit.gap]."])
    view = job.base_alone if job.adapted is None else job.pair.base
    task = thinned(distinct(job.data.train), asked.limit)
    try:
        reference, name, why = _reference(job, view, asked.reference, asked.limit)
        (folder / "reference.jsonl").write_text("".join(f"{item.model_dump_json()}\n" for item in reference))
        note = (
            f"Reference: {name} ({len(reference)} texts; {why}); ceiling: the reference with the letters of every word "
            "reversed. The position says how far the texts lie from this reference, which is not all that the base was "
            "trained on."
        )
        note = " ".join(part for part in (note, view.treatment("embedding", [*task, *reference])) if part)
        evidence, ceiling = Evidence(job.seed), reversed_words(reference)
        found = domain_gap(
            job.remembered(view),
            task,
            reference,
            ceiling,
            margin=asked.margin,
            note=note,
            keep=partial(_keep, evidence),
        )
        if evidence.tables:
            _keep_seeds(evidence, Samples.of(reference, task, ceiling))
    except NotMeasurable as reason:
        return finish(folder, [], [f"The domain gap was not measured: {reason}."])
    evidence.write(folder)
    if found.drivers is not None:
        found.drivers.to_parquet(folder / "drivers.parquet", index=False)
    labelled = job.recipe.task.type == "single_label"
    fits, without = _label_fit(job.remembered(view), task) if labelled else ([], [])
    scales = [one.model_dump(mode="json") for one in (*found.scales, *fits)]
    return finish(folder, found.findings, [*found.limits, *without], scales=scales)


def _keep(evidence: Evidence, question: str, items: Sequence[Item], values: NDArray[np.float64]) -> None:
    """Keep what each text scored, and its bytes: a score is of all bits over all bytes of a sample."""
    evidence.keep_arm("base", question, items, values)
    sizes = np.array([len((item.text or "").encode()) for item in items], dtype=np.float64)
    evidence.keep_arm(BOTH, f"{question}/bytes", items, sizes)


def _keep_seeds(evidence: Evidence, samples: Samples) -> None:
    """Keep the seeds of all draws, 32 bits a row, low ones first: they come from texts that may not be published."""
    names, words = [], []
    for purpose in DRAWN:
        seed = samples.rng(purpose).bit_generator.seed_seq.entropy  # type: ignore[attr-defined]
        assert isinstance(seed, int)
        for place in range(SEED_WORDS):
            names.append(f"{purpose}, {place}")
            words.append(float(seed >> 32 * place & 0xFFFFFFFF))
    keep_numbers(evidence, "gap/surprise/seeds", names, words)


def _label_fit(base: View, task: Sequence[Item]) -> tuple[list[Scale], list[str]]:
    """What the base's features tell of the labels, or why that is not known."""
    try:
        return label_fit(base.ask("embedding", task), task), []
    except NotMeasurable as reason:
        return [], [f"How far the base's features tell the labels was not measured: {reason}."]


def _reference(job: Job, view: View, named: str | None, limit: int) -> tuple[list[Item], str, str]:
    """Texts that the base is assumed to know, which they are, and why these."""
    if job.general_items is not None:
        return thinned(job.general_items, limit), "the items that were given", "for this run"
    if named is not None:
        items = _written(view, limit) if named == "base" else thinned(read_reference(named, limit), limit)
        return items, "what the base writes by itself" if named == "base" else named, "as the recipe says"
    why = ["the recipe names none"]
    if job.base.revision is None:
        why.append("the base is not from the Hub, so that no card is asked")
    elif not job.card_datasets:
        why.append("the base's card names no data set")
    for name in job.card_datasets:
        try:
            return hub_texts(name, limit), name, ", ".join((*why, "the base's card names it"))
        except (InputError, Unavailable) as reason:
            why.append(f"the base's card names {reason}")
    if job.kind != "causal":
        why.append("an encoder does not write")
    else:
        try:
            return _written(view, limit), "what the base writes by itself", ", ".join(why)
        except NotMeasurable as reason:
            why.append(reason.reason)
    return thinned(passages(), limit), "shipped:passages", ", ".join(why)


def _written(view: View, limit: int) -> list[Item]:
    if not isinstance(view, TextView):
        raise NotMeasurable("write", f"a model of kind {view.kind!r} does not write")
    return agreed(view.write(min(limit, WRITTEN)))
