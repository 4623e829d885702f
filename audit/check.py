"""Check a recipe against its base and data without training anything."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from audit.adapt.domain import refuse_headless
from audit.adapt.outline import trained_of
from audit.items.bbq import read_bbq
from audit.items.pairs import read_pairs
from audit.items.reference import is_local, read_reference
from audit.items.task import read_task
from audit.job import axes_of
from audit.models.images import load_processor
from audit.models.source import resolve
from audit.models.tokens import load_tokenizer
from audit.models.weights import load_config, refuse_wrong_kind
from audit.recipe import Head, Recipe, Task, runnable
from audit.recipe.adapt import GRADIENT
from audit.steps import fine_tuned_cells
from audit.view import Item

__all__ = ["Checked", "check"]


@dataclass(frozen=True)
class Checked:
    """What a recipe resolves to.

    ``steps`` are optimiser steps of one training (0 for a head, which is fitted at once), ``trainings`` all of them:
    every seed, every seed of every control arm, and every point of a fine-tuned learning curve.
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
    refuse_wrong_kind(base, load_config(base), kind)
    if kind != "vision":
        load_tokenizer(base)
    if kind in ("vision", "clip"):
        load_processor(base)
    if recipe.domain is not None:
        refuse_headless(base, kind)
    axes_of(recipe)
    _read_sets(recipe)
    model, trainable, targets = trained_of(base, kind, recipe.task, method, merge=recipe.domain is not None)
    body = getattr(model, "backbone", model)
    steps = math.ceil(len(data.train) / method.batch_size) * method.epochs if isinstance(method, GRADIENT) else 0
    return Checked(
        recipe=recipe.name,
        base=base.id,
        architecture=type(body).__name__,
        parameters=sum(one.numel() for one in model.parameters()),
        trainable_parameters=trainable,
        targets=targets,
        train=len(data.train),
        test=len(data.test),
        labels=_labels(recipe.task, data.train),
        steps=steps,
        seeds=len(method.seeds),
        trainings=len(method.seeds) * (1 + _arms(recipe)) + len(fine_tuned_cells(recipe, data.train)),
    )


def _labels(task: Task, items: Sequence[Item]) -> dict[str, int]:
    """Count the training items that have each label, or the tokens."""
    if task.type == "single_label":
        said = [item.label for item in items]
    else:
        said = [label for item in items if task.names for label in json.loads(item.label or "[]")]
    return {label: said.count(label) for label in task.names}


def _read_sets(recipe: Recipe) -> None:
    """Refuse a reference that lies here, minimal pairs and questions that cannot be read."""
    named = recipe.audit.gap.reference if recipe.audit.gap is not None else None
    if named is not None and named != "base" and is_local(named):
        read_reference(named)
    if recipe.audit.bias is not None:
        for pairs in recipe.audit.bias.minimal_pairs:
            read_pairs(Path(pairs.file), pairs.form)
        for questions in recipe.audit.bias.questions:
            read_bbq(Path(questions.file))


def _arms(recipe: Recipe) -> int:
    """Count the arms trained beside the models of the recipe; those of a head are fitted to draws of its texts."""
    if recipe.audit.bias is None or not recipe.audit.bias.origin:
        return 0
    return 4 if isinstance(recipe.adapt, Head) else 3
