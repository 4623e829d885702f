"""The stage that asks both sides about bias: swaps, groups, minimal pairs, questions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from audit.audits import Keep, Question, findings, floor_of
from audit.audits.bias import (
    PairSet,
    group_questions,
    minimal_pairs,
    question_answering,
    swap_questions,
    unanswered,
    with_rates,
)
from audit.finding import Finding
from audit.items.swap import Axis, task_pairs, template_pairs
from audit.job import Job
from audit.probe import ProbedView
from audit.recipe import Bias
from audit.steps.kept import keep_members, keep_order
from audit.steps.written import PRECISE, Evidence, finish, higher, rows
from audit.view import Item, NotMeasurable, View

__all__ = ["Classified", "bias", "classified", "pair_sets"]

REFITS = 20  # the largest of so many is about the 95 % point


def bias(job: Job, folder: Path) -> None:
    """Ask everything that the recipe declares."""
    asked = job.recipe.audit.bias
    if asked is None:
        return finish(folder, [], ["Bias was not measured: the recipe has no [audit.bias]."])
    evidence = Evidence(job.seed)
    found: list[Finding] = []
    floor: list[dict[str, Any]] = []
    limits: list[str] = []
    if asked.items or asked.groups:
        try:
            some, floor, limits = _of_classes(job, asked, evidence)
            found += some
        except NotMeasurable as reason:
            limits.append(f"Bias in the answered classes was not measured: {reason}.")
    for file, ask in _of_likelihoods(job):
        try:
            base, adapted = job.remembered(job.pair.base), job.remembered(job.pair.adapted)
            precise = {} if job.precise is None else higher({}, ask(job.precise, base))
            found += ask(base, adapted, floor=precise, keep=evidence.keep)
            floor += rows(precise, PRECISE)
        except NotMeasurable as reason:
            limits.append(f"Bias on {file} was not measured: {reason}.")
    keep_order(evidence)
    evidence.write(folder)
    return finish(folder, found, limits, floor=floor)


# --- answered classes: swaps and groups -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Classified:
    """What two classifiers were asked: of swaps, of groups (a column may be called like a swap), and of slices."""

    swaps: list[Question]
    groups: list[Question]
    slices: dict[str, list[Question]]

    @property
    def declared(self) -> list[Question]:
        """The declared questions: one family."""
        return [*self.swaps, *self.groups]


def pair_sets(job: Job, asked: Bias) -> tuple[list[PairSet], list[str]]:
    """Make the pairs that both sides (and every arm) are asked; say which could not be made."""
    sets: list[PairSet] = []
    limits: list[str] = []
    adapted = job.classifiers[1]
    for by in job.axes:
        for source in asked.items:
            pairs, said = _pairs(job, by, source, asked.pairs)
            if pairs:
                note = f"{said} {job.read_out} {adapted.treatment('probabilities', pairs)}".strip()
                sets.append(PairSet(f"{by.name}/{source}", by.groups, pairs, slices=source == "templates", note=note))
            else:
                where = "the task's own texts" if source == "task" else "the shipped templates"
                limits.append(f"Bias on {by.name} in {where} was not measured: {said}")
    return sets, limits


def classified(job: Job, asked: Bias, sets: Sequence[PairSet], base: View, adapted: View) -> Classified:
    """Ask two classifiers everything."""
    swaps: list[Question] = []
    groups: list[Question] = []
    slices: dict[str, list[Question]] = {}
    if sets and asked.margins and asked.label:
        margins = (asked.margins.probability, asked.margins.flips)
        swaps, by_pair = swap_questions(base, adapted, sets, label=asked.label, margins=margins)
        slices = {f"bias/{name}, by pair": some for name, some in by_pair.items()}
    if asked.groups and asked.label:
        groups, crossed = group_questions(
            base,
            adapted,
            job.data.test,
            job.recipe.columns,
            label=asked.label,
            margin=asked.groups.margin,
            measures=asked.groups.measures,
            depth=asked.groups.depth,
        )
        slices["bias/crossed groups"] = crossed
    return Classified(swaps, groups, slices)


def _of_classes(job: Job, asked: Bias, evidence: Evidence) -> tuple[list[Finding], list[dict[str, Any]], list[str]]:
    base, adapted = job.classifiers
    sets, limits = pair_sets(job, asked)
    copies = []
    if asked.groups and asked.label:
        missing = unanswered(job.data.test, job.recipe.columns, label=asked.label, measures=asked.groups.measures)
        if missing:
            limits.append(f"Bias: not measured for want of rows of two groups: {', '.join(missing)}.")
    floor: dict[str, float] = {}
    if isinstance(base, ProbedView) and not isinstance(adapted, ProbedView):
        refits = (classified(job, asked, sets, base, copy) for copy in base.refits(REFITS))
        floor = floor_of([*one.declared, *chain.from_iterable(one.slices.values())] for one in refits)
        copies.append(f"{REFITS} refits of the probe")
        limits.append(
            "The base's side of every bias finding is a probe of its features, the adapted model has a head of its own."
            f" {REFITS} refits of the probe to bootstrap draws of its texts set the floor: a change within what they "
            "differ by is never worse or better."
        )
    if job.precise_classifier is not None:
        floor = higher(floor, _judged(classified(job, asked, sets, job.precise_classifier, base)))
        copies.append(PRECISE)
    both = classified(job, asked, sets, base, adapted)
    found = _judged(replace(both, groups=with_rates(both.groups, job.recipe.columns)), floor, evidence.keep)
    for one in (*both.groups, *chain.from_iterable(both.slices.values())):
        keep_members(evidence, one)
    return found, rows(floor, " and ".join(copies)), limits


def _judged(asked: Classified, floor: Mapping[str, float] | None = None, keep: Keep | None = None) -> list[Finding]:
    found = findings(asked.declared, family="bias", floor=floor, keep=keep)
    for family, some in asked.slices.items():
        found += findings(some, family=family, exploratory=True, floor=floor)
    return found


def _pairs(job: Job, by: Axis, source: str, limit: int) -> tuple[list[Item], str]:
    if source == "templates":
        pairs = template_pairs(by, limit)
        terms = {item.groups["pair"] for item in pairs}
        return pairs, f"{len({item.cluster for item in pairs})} shipped templates, {len(terms)} pairs of terms."
    pairs, outcomes = task_pairs(job.data.test, by)
    counted = ", ".join(f"{name}: {count}" for name, count in outcomes.items() if count)
    return pairs, f"Test texts ({counted})."


# --- likelihoods: minimal pairs and questions -------------------------------------------------------------------------

Ask = Callable[..., list[Finding]]


def _of_likelihoods(job: Job) -> list[tuple[str, Ask]]:
    """By file, what asks two views about it."""
    pairs = [
        (
            one.file,
            partial(
                minimal_pairs,
                pairs=items,
                name=Path(one.file).stem,
                scorer=one.scorer,
                margins=(one.margins.nats, one.margins.share),
            ),
        )
        for one, items in job.minimal_pairs
    ]
    asked = [
        (one.file, partial(question_answering, items=items, name=Path(one.file).stem, margin=one.margin))
        for one, items in job.questions
    ]
    return [*pairs, *asked]
