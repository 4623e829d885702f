"""Check a recipe against its base and data without training anything."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from audit.adapt.control import group_silent
from audit.adapt.domain import held_out
from audit.adapt.outline import trained_of
from audit.items.task import read_task
from audit.job import Job
from audit.models.images import load_processor
from audit.models.source import resolve
from audit.recipe import Head, Recipe, Task, runnable
from audit.recipe.adapt import GRADIENT
from audit.steps import fine_tuned_cells, set_apart
from audit.steps.diligence import checked, sentences, sets_of
from audit.steps.overlap import without_asked
from audit.view import Item

__all__ = ["Checked", "check"]


@dataclass(frozen=True)
class Checked:
    """What a recipe resolves to.

    ``train`` and ``labels`` count the rows that are left once those that are also asked were dropped. ``steps`` are
    optimiser steps of one training (0 for a head, which is fitted at once), ``trainings`` all of them: every seed,
    every seed of every control arm, every pretraining on a domain before one, and every point of a fine-tuned learning
    curve. ``diligence`` says what of the base, and of the licences, did not pass.
    """

    recipe: str
    base: str
    architecture: str
    parameters: int
    trainable_parameters: int
    targets: list[str]
    train: int
    test: int
    labels: dict[str, int]
    steps: int
    seeds: int
    trainings: int
    diligence: list[str]


def check(recipe: Recipe) -> Checked:
    """Resolve config, columns, labels and targets of a tuner; count what would be trained.

    Raises
    ------
    InputError, Unavailable
        As a run would, but before any weight is loaded.
    """
    name, kind, method = runnable(recipe)
    data = read_task(recipe.task, recipe.columns)
    base = resolve(name, recipe.revision, recipe.gguf_file, weights=False)
    job = Job(recipe, base, kind, data, Path())  # nothing is written
    job.check()
    if kind in ("vision", "clip"):
        load_processor(base)
    set_apart(job)
    train = job.data.train
    model, trainable, targets = trained_of(base, kind, recipe.task, method, merge=recipe.domain is not None)
    body = getattr(model, "backbone", model)
    steps = math.ceil(len(train) / method.batch_size) * method.epochs if isinstance(method, GRADIENT) else 0
    cells = fine_tuned_cells(recipe, train)
    return Checked(
        recipe=recipe.name,
        base=base.id,
        architecture=type(body).__name__,
        parameters=sum(one.numel() for one in model.parameters()),
        trainable_parameters=trainable,
        targets=targets,
        train=len(train),
        test=len(data.test),
        labels=_labels(recipe.task, train),
        steps=steps,
        seeds=len(method.seeds),
        trainings=len(method.seeds) * (1 + _arms(recipe) + _pretrainings(job)) + len(cells),
        diligence=sentences(checked(job, list(sets_of(job).values()))),
    )


def _labels(task: Task, items: Sequence[Item]) -> dict[str, int]:
    """Count the training items that have each label, or the tokens."""
    if task.type == "single_label":
        said = [item.label for item in items]
    else:
        said = [label for item in items if task.names for label in json.loads(item.label or "[]")]
    return {label: said.count(label) for label in task.names}


def _arms(recipe: Recipe) -> int:
    """Count the arms trained beside the models of the recipe; those of a head are fitted to draws of its texts."""
    if recipe.audit.bias is None or not recipe.audit.bias.origin:
        return 0
    return 4 if isinstance(recipe.adapt, Head) else 3


def _pretrainings(job: Job) -> int:
    """Count what is pretrained on the domain: the base, random weights in two arms, and silent texts that differ."""
    domain = job.recipe.domain
    if domain is None:
        return 0
    texts = without_asked(job, job.domain_texts, f"[domain] texts = {domain.texts!r}")[0]
    learnt = held_out(texts)[0]
    return 1 + (2 + bool(group_silent(learnt, job.axes)[1]) if _arms(job.recipe) else 0)
