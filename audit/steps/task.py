"""The stages that adapt the base, and evaluate both sides on the task."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from audit.adapt import adapt
from audit.finding import Estimate
from audit.items.task.labels import unseen
from audit.job import Job
from audit.models.source import Source, file_hashes
from audit.report import Arm, Task
from audit.stats import over_seeds
from audit.steps.answers import (
    QUESTIONS,
    answers,
    as_asked,
    asked_how,
    base_answers,
    constant,
    keep_answers,
    truth,
)
from audit.steps.domain import domain_folder, pretrained
from audit.steps.kept import keep_order
from audit.steps.written import Evidence, finish
from audit.view import Item, NotMeasurable, View

if TYPE_CHECKING:
    from audit.metrics import Measured

__all__ = ["adaptation", "performance", "reached", "right", "task"]

Array = NDArray[np.float64]
SEEDS = 3  # the fewest that say something about a recipe
ONE_AND_THE_SAME = (
    "Task: no seed is drawn: the models of all {count} seeds are one and the same, file by file, so that nothing is "
    "claimed about the recipe."
)


def adaptation(job: Job, seed: int) -> Callable[[Path], None]:
    """Return the stage that adapts the base with one seed."""

    def work(folder: Path) -> None:
        start = pretrained(job, domain_folder(job, seed), seed) if job.recipe.domain else None
        plan = replace(job.plan, start=start)
        trained = adapt(plan, job.data.train, seed, folder, checkpoints=job.checkpoints(seed), progress=job.tell)
        if len(trained.curve):
            trained.curve.to_parquet(folder / "curve.parquet", index=False)
        said = {"trainable_parameters": trained.parameters, "seed": seed, **trained.notes}
        (folder / "adaptation.json").write_text(json.dumps(said))

    return work


def task(job: Job, folder: Path, models: Sequence[Path] = ()) -> None:
    """The recipe's metric of both sides on the test split, of a constant answer, and of every further seed."""
    asked, items, evidence = job.recipe.task, job.data.test, Evidence(job.seed)
    own = job.classifiers[1] if asked.type in ("single_label", "multi_label") else job.pair.adapted
    try:
        found, limits = performance(job, own, evidence)
    except NotMeasurable as reason:
        said = [arm.model_dump(mode="json") for arm in _arms(job, models, None, Evidence(None))]
        return finish(folder, [], [f"The task was not measured: {reason}."], task=None, arms=said, preflight=[])
    for arm, scores in zip(("base", "adapted")[-len(found.scores) :], found.scores, strict=True):
        evidence.keep_arm(arm, f"task/{asked.measure}", items, scores)
    arms = _arms(job, models, found.adapted.value, evidence)
    keep_order(evidence)
    evidence.write(folder)
    trained = arms[len(arms) - len(models) :]
    seeds = _over_seeds(trained)
    measured = Task(
        name=job.data.source,
        metric=asked.measure,
        better="higher" if asked.higher_is_better else "lower",
        base=found.base,
        adapted=found.adapted,
        change=found.change,
        claim="checkpoint" if seeds is None else "recipe",
        over_seeds=seeds,
        n_seeds=max(1, len(models)),
    )
    how, read = asked_how(job), own.treatment(QUESTIONS[asked.type], as_asked(items, asked))
    limits = [
        f"Who answered the task: {how[:1].lower()}{how[1:]}",
        *([f"Task: {read}"] if read else []),
        *limits,
        *([ONE_AND_THE_SAME.format(count=len(trained))] if len(trained) > 1 and not _differ(trained) else []),
        *_unseen(job),
    ]
    return finish(
        folder,
        [],
        limits,
        task=measured.model_dump(mode="json"),
        arms=[arm.model_dump(mode="json") for arm in arms],
        preflight=job.pair.preflight,
    )


def performance(job: Job, view: View, evidence: Evidence) -> tuple[Measured, list[str]]:
    """Measure the task on a model, and on the base where it can be asked; say in a line what was not measured.

    What both sides answered, and the references, are kept.

    Raises
    ------
    NotMeasurable
        If the model itself cannot answer, or the metric is not defined for its answers.
    """
    from audit.metrics import METRICS, measured, thin

    asked, items = job.recipe.task, job.data.test
    metric, references, clusters = METRICS[asked.measure](), truth(items, asked), [item.cluster for item in items]
    own = answers(view, items, asked)
    keep_answers(evidence, "reference", references, job, true=True)
    keep_answers(evidence, "adapted", own, job)
    found = measured(metric, own, references, clusters)
    limits = []
    try:
        said = base_answers(job)
        found = measured(metric, own, references, clusters, said)
        keep_answers(evidence, "base", said, job)
    except NotMeasurable as reason:
        limits.append(f"Task: the base was not measured ({reason}), so that nothing is said of a change.")
    if found.note:
        limits.append(f"Task: no interval of {asked.measure}: {found.note}.")
    if few := thin(metric, references):
        limits.append(f"Task: {few}.")
    return found, limits


def _scored(job: Job, said: Sequence[Any]) -> float | None:
    """The metric of some answers, as the report has it; None where it is not defined."""
    from audit.metrics import METRICS, measured

    items, metric = job.data.test, METRICS[job.recipe.task.measure]()
    try:
        return measured(metric, said, truth(items, job.recipe.task), [item.cluster for item in items]).adapted.value
    except NotMeasurable:
        return None


def reached(job: Job, view: View) -> float | None:
    """Return the recipe's metric of a model on the test split; None where it cannot be measured."""
    try:
        return _scored(job, answers(view, job.data.test, job.recipe.task))
    except NotMeasurable:
        return None


def _arms(job: Job, models: Sequence[Path], first: float | None, evidence: Evidence) -> list[Arm]:
    """A constant answer, where there is one, then the model of every seed; of the first the metric may be known."""
    constants = [_constant(job, evidence)] if job.recipe.task.type != "completion" else []
    return [*constants, *(_seed(job, model, first if model == models[0] else None, evidence) for model in models)]


def _constant(job: Job, evidence: Evidence) -> Arm:
    name, said = "majority_class" if job.recipe.task.type == "single_label" else "constant", constant(job) or []
    keep_answers(evidence, name, said, job)
    return Arm(name=name, seed=None, sha256=None, task=_scored(job, said))


def _seed(job: Job, model: Path, known: float | None, evidence: Evidence) -> Arm:
    """The model of one seed, whose metric may be known."""
    record = json.loads((model / "adaptation.json").read_text())
    source = Source(model.name, None, model, file_hashes(model), None)
    if known is None:
        of_seed = Evidence(record["seed"])
        with suppress(NotMeasurable):
            said = answers(job.beside(source).adapted, job.data.test, job.recipe.task)
            keep_answers(of_seed, "adapted", said, job)
            known = _scored(job, said)
        evidence.tables += of_seed.tables
    return Arm(name="adapted", seed=record["seed"], sha256=source.sha256, task=known)


def _over_seeds(arms: Sequence[Arm]) -> Estimate | None:
    """What the recipe reaches on average, where there are seeds enough to say so, and a seed draws anything."""
    known = [arm.task for arm in arms if arm.task is not None]
    return over_seeds(known) if len(known) == len(arms) >= SEEDS and _differ(arms) else None


def _differ(arms: Sequence[Arm]) -> bool:
    return len({arm.sha256 for arm in arms}) > 1


def _unseen(job: Job) -> list[str]:
    names = unseen(job.data.train, job.recipe.task)
    return [f"Task: no training item is labelled {', '.join(map(repr, names))}: it cannot be learnt."] if names else []


def right(view: View, items: Sequence[Item]) -> Array:
    """Return 1 for every item that a view labels rightly, else 0; of several labels, all and no others are right."""
    said = view.ask("probabilities", items)
    if all(item.label in view.labels for item in items):
        truth = np.array([view.labels.index(item.label or "") for item in items])
        hits: Array = (said.argmax(axis=1) == truth).astype(np.float64)
        return hits
    sets = np.array([[name in json.loads(item.label or "[]") for name in view.labels] for item in items])
    whole: Array = ((said >= 0.5) == sets).all(axis=1).astype(np.float64)
    return whole
