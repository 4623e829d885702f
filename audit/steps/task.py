"""The stages that adapt the base, and evaluate both sides on the task."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from audit.adapt import adapt
from audit.job import Job
from audit.models.source import Source, file_hashes
from audit.report import Arm, Task
from audit.stats import compare
from audit.steps.written import Evidence, finish
from audit.view import Item, NotMeasurable, View

__all__ = ["adaptation", "right", "task"]

Array = NDArray[np.float64]


def adaptation(job: Job, seed: int) -> Callable[[Path], None]:
    """Return the stage that adapts the base with one seed."""

    def work(folder: Path) -> None:
        trained = adapt(job.plan, job.data.train, seed, folder, checkpoints=job.checkpoints(seed), progress=job.tell)
        said = {"trainable_parameters": trained.parameters, "seed": seed, **trained.notes}
        (folder / "adaptation.json").write_text(json.dumps(said))

    return work


def task(job: Job, folder: Path, models: Sequence[Path] = ()) -> None:
    """Accuracy of both sides on the test split, of the majority class, and of every further seed."""
    items = job.data.test
    evidence = Evidence(job.seed)
    try:
        sides = [right(view, items) for view in job.classifiers]
    except NotMeasurable as reason:
        return finish(folder, [], [f"The task was not measured: {reason}."], task=None, arms=[], preflight=[])
    compared = compare(sides[0], sides[1], [item.cluster for item in items])
    evidence.keep(f"task/{job.recipe.task.measure}", items, sides[0], sides[1])
    evidence.write(folder)
    task = Task(
        name=job.data.source,
        metric=job.recipe.task.measure,
        better="higher",
        base=compared.base,
        adapted=compared.adapted,
        change=compared.change,
    )
    arms = [Arm(name="majority_class", seed=None, sha256=None, task=_majority(job))]
    for model in models:
        record = json.loads((model / "adaptation.json").read_text())
        source = Source(model.name, None, model, file_hashes(model), None)
        view = job.pair.adapted if model == models[0] else job.beside(source).adapted
        score = float(right(view, items).mean())
        arms.append(Arm(name="adapted", seed=record["seed"], sha256=source.sha256, task=score))
    read = job.classifiers[1].treatment("probabilities", items)
    return finish(
        folder,
        [],
        [f"Who answered the task: {job.read_out[:1].lower()}{job.read_out[1:]}", *([f"Task: {read}"] if read else [])],
        task=task.model_dump(mode="json"),
        arms=[arm.model_dump(mode="json") for arm in arms],
        preflight=job.pair.preflight,
    )


def right(view: View, items: Sequence[Item]) -> Array:
    """Return 1 for every item that a view labels rightly, else 0."""
    truth = np.array([view.labels.index(item.label or "") for item in items])
    right: Array = (view.ask("probabilities", items).argmax(axis=1) == truth).astype(np.float64)
    return right


def _majority(job: Job) -> float:
    """Return the share of test items with the most frequent label of training: right without knowing anything."""
    labels = [item.label for item in job.data.train]
    most = max(job.recipe.task.names, key=labels.count)
    return float(np.mean([item.label == most for item in job.data.test]))
