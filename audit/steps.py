"""The stages of a run: each asks, writes its findings and evidence into its own folder, and knows no other stage."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from audit.adapt import adapt
from audit.audits.bias import PairSet, counterfactual, floor_of
from audit.audits.forgetting import of_causal, of_encoder
from audit.audits.gap import domain_gap
from audit.errors import InputError
from audit.finding import Finding
from audit.items import reversed_words
from audit.items.swap import Axis, task_pairs, template_pairs
from audit.job import Job, thinned
from audit.models.source import Source, file_hashes
from audit.probe import ProbedView
from audit.recipe import Forgetting
from audit.report import Arm, Task
from audit.stats import compare
from audit.view import Item, NotMeasurable, View

__all__ = ["adaptation", "bias", "forgetting", "gap", "task"]

Array = NDArray[np.float64]
REFITS = 20  # the largest of so many is about the 95 % point
PRECISE = "the base in float32"


class _Evidence:
    """Scores of single items, as they come out of an audit."""

    def __init__(self, seed: int | None) -> None:
        self.tables: list[pd.DataFrame] = []
        self._seed = seed

    def keep(self, question: str, items: Sequence[Item], base: Array, adapted: Array) -> None:
        for arm, values in (("base", base), ("adapted", adapted)):
            self.tables.append(
                pd.DataFrame(
                    {
                        "item_id": [item.id for item in items],
                        "cluster": [item.cluster for item in items],
                        "arm": arm,
                        "seed": self._seed,
                        "question": question,
                        "value": values,
                        "text": [item.text or json.dumps(item.pair) for item in items],
                    }
                )
            )

    def write(self, folder: Path) -> None:
        if self.tables:
            pd.concat(self.tables, ignore_index=True).to_parquet(folder / "evidence.parquet", index=False)


def _finish(folder: Path, found: Sequence[Finding], limits: Sequence[str] = (), **extra: Any) -> None:
    result = {"findings": [one.model_dump(mode="json") for one in found], "limits": list(limits), **extra}
    (folder / "result.json").write_text(json.dumps(result))


def gap(job: Job, folder: Path) -> None:
    """Place the task's training texts between the reference and unrelated text, in the base's space."""
    asked = job.recipe.audit.gap
    if asked is None:
        return _finish(folder, [], ["The domain gap was not measured: the recipe has no [audit.gap]."])
    view = job.base_alone if job.adapted is None else job.pair.base
    reference = job.general(asked.reference, asked.limit)
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
        return _finish(folder, [], [f"The domain gap was not measured: {reason}."])
    return _finish(folder, found)


def adaptation(job: Job, seed: int) -> Callable[[Path], None]:
    """Return the stage that adapts the base with one seed."""

    def work(folder: Path) -> None:
        assert job.recipe.adapt is not None
        trained = adapt(job.base, job.kind, job.recipe.adapt, job.data.train, job.readout, seed, folder, job.tell)
        (folder / "adaptation.json").write_text(json.dumps({"trainable_parameters": trained, "seed": seed}))

    return work


def task(job: Job, folder: Path, models: Sequence[Path] = ()) -> None:
    """Accuracy of both sides on the test split, of the majority class, and of every further seed."""
    items, labels = job.data.test, job.recipe.task.labels
    evidence = _Evidence(job.seed)
    try:
        sides = [_right(view, items) for view in job.classifiers]
    except NotMeasurable as reason:
        return _finish(folder, [], [f"The task was not measured: {reason}."], task=None, arms=[], preflight=[])
    compared = compare(sides[0], sides[1], [item.cluster for item in items])
    evidence.keep(f"task/{job.recipe.task.metric}", items, sides[0], sides[1])
    evidence.write(folder)
    task = Task(
        name=job.data.source,
        metric=job.recipe.task.metric,
        better="higher",
        base=compared.base,
        adapted=compared.adapted,
        change=compared.change,
    )
    train_labels = [item.label for item in job.data.train]
    majority = max(labels, key=train_labels.count)
    share = float(np.mean([item.label == majority for item in items]))
    arms = [Arm(name="majority_class", seed=None, sha256=None, task=share)]
    for model in models:
        record = json.loads((model / "adaptation.json").read_text())
        source = Source(model.name, None, model, file_hashes(model), None)
        view = job.pair.adapted if model == models[0] else job.beside(source).adapted
        score = float(_right(view, items).mean())
        arms.append(Arm(name="adapted", seed=record["seed"], sha256=source.sha256, task=score))
    read = job.classifiers[1].treatment("probabilities", items)
    return _finish(
        folder,
        [],
        [f"Who answered the task: {job.read_out[:1].lower()}{job.read_out[1:]}", *([f"Task: {read}"] if read else [])],
        task=task.model_dump(mode="json"),
        arms=[arm.model_dump(mode="json") for arm in arms],
        preflight=job.pair.preflight,
    )


def _right(view: View, items: Sequence[Item]) -> Array:
    truth = np.array([view.labels.index(item.label or "") for item in items])
    right: Array = (view.ask("probabilities", items).argmax(axis=1) == truth).astype(np.float64)
    return right


def bias(job: Job, folder: Path) -> None:
    """Swap the person in the task's own test texts and in the shipped templates."""
    asked = job.recipe.audit.bias
    if asked is None:
        return _finish(folder, [], ["Bias was not measured: the recipe has no [audit.bias]."])
    evidence = _Evidence(job.seed)
    limits: list[str] = []
    sets: list[PairSet] = []
    try:
        base, adapted = job.classifiers
        for by in job.axes:
            for source in asked.items:
                pairs, said = _pairs(job, by, source, asked.pairs)
                if pairs:
                    name = f"{by.name}/{source}"
                    note = f"{said} {job.read_out} {adapted.treatment('probabilities', pairs)}".strip()
                    sets.append(PairSet(name, by.groups, pairs, slices=source == "templates", note=note))
                else:
                    limits.append(f"Bias on {by.name} in the task's own texts was not measured: {said}")
        margins = (asked.margins.probability, asked.margins.flips)
        floor = {}
        if isinstance(base, ProbedView) and not isinstance(adapted, ProbedView):
            floor = floor_of(base, base.refits(REFITS), sets, asked.label)
        copies = f"{REFITS} refits of the probe" if floor else ""
        if job.precise_classifier is not None:
            floor = _higher(
                floor, counterfactual(job.precise_classifier, base, sets, label=asked.label, margins=margins)
            )
            copies = " and ".join(part for part in (copies, PRECISE) if part)
        found = counterfactual(base, adapted, sets, label=asked.label, margins=margins, floor=floor, keep=evidence.keep)
    except NotMeasurable as reason:
        return _finish(folder, [], [f"Bias was not measured: {reason}."])
    evidence.write(folder)
    if isinstance(base, ProbedView) and not isinstance(adapted, ProbedView):
        limits.append(
            "The base's side of every bias finding is a probe of its features, the adapted model has a head of its own."
            f" {REFITS} refits of the probe to bootstrap draws of its texts set the floor: a change within what they "
            "differ by is never worse or better."
        )
    return _finish(folder, found, limits, floor=_rows(floor, copies))


def _higher(floor: Mapping[str, float], null: Sequence[Finding]) -> dict[str, float]:
    """Raise a floor to what an audit finds between the base and a null copy of it."""
    raised = dict(floor)
    for one in null:
        if one.change is not None:
            reach = max(
                abs(bound) for bound in (one.change.value, one.change.low, one.change.high) if bound is not None
            )
            raised[one.id] = max(raised.get(one.id, 0.0), reach)
    return raised


def _rows(floor: Mapping[str, float], copies: str) -> list[dict[str, Any]]:
    return [{"finding": name, "floor": value, "copies": copies} for name, value in floor.items()]


def _pairs(job: Job, by: Axis, source: str, limit: int) -> tuple[list[Item], str]:
    if source == "templates":
        pairs = template_pairs(by, limit)
        return (
            pairs,
            f"{len({item.cluster for item in pairs})} shipped templates, {min(limit, len(by.names))} name pairs.",
        )
    pairs, outcomes = task_pairs(job.data.test, by)
    counted = ", ".join(f"{name}: {count}" for name, count in outcomes.items())
    return pairs, f"Test texts ({counted})."


def forgetting(job: Job, folder: Path) -> None:
    """Compare both sides on general items."""
    asked = job.recipe.audit.forgetting
    if asked is None:
        return _finish(folder, [], ["Forgetting was not measured: the recipe has no [audit.forgetting]."])
    evidence = _Evidence(job.seed)
    items = job.general(asked.items, asked.limit)
    base, adapted = job.remembered(job.pair.base), job.remembered(job.pair.adapted)
    compared: Callable[..., list[Finding]]
    if job.kind == "causal":
        compared = partial(of_causal, items=items, margin=_margin(asked, "nats_per_byte"))
    else:
        probe, neighbours = _margin(asked, "probe"), _margin(asked, "neighbours")
        compared = partial(of_encoder, items=items, probe_margin=probe, neighbour_margin=neighbours)
    try:
        floor = {} if job.precise is None else _higher({}, compared(job.precise, base))
        found = compared(base, adapted, floor=floor, keep=evidence.keep)
    except NotMeasurable as reason:
        return _finish(folder, [], [f"Forgetting was not measured: {reason}."])
    evidence.write(folder)
    return _finish(folder, found, floor=_rows(floor, PRECISE))


def _margin(asked: Forgetting, name: str) -> float:
    value: float | None = getattr(asked.margins, name)
    if value is None:
        raise InputError(f"[audit.forgetting] margins.{name} is missing; this kind of base needs it")
    return value
