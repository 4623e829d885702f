"""Check a recipe against its base and data without training anything."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

from audit.adapt.tuner import with_tuner
from audit.errors import InputError
from audit.items.bbq import read_bbq
from audit.items.pairs import read_pairs
from audit.items.reference import is_local, read_reference
from audit.items.task import read_task
from audit.job import axes_of
from audit.models.source import resolve
from audit.models.tokens import load_tokenizer
from audit.models.weights import load_config, refuse_wrong_kind
from audit.recipe import Head, Peft, Recipe, runnable
from audit.recipe.adapt import GRADIENT
from audit.steps import fine_tuned_cells

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
    """Resolve config, columns, labels and LoRA targets; count what would be trained.

    Raises
    ------
    InputError, Unavailable
        As a run would, but before any weight is loaded.
    """
    name, kind, method = runnable(recipe)
    data = read_task(recipe.task, recipe.columns)
    base = resolve(name, recipe.revision, recipe.gguf_file, weights=False)
    config = load_config(base)
    refuse_wrong_kind(base, config, kind)
    load_tokenizer(base)
    axes_of(recipe)
    _read_sets(recipe)
    auto = AutoModelForCausalLM if kind == "causal" else AutoModelForSequenceClassification
    config.num_labels = len(recipe.task.names)
    try:
        with torch.device("meta"):
            model: Any = auto.from_config(config, trust_remote_code=False)  # type: ignore[no-untyped-call]
    except ValueError as error:
        raise InputError(f"{base.id}: not usable as kind = {kind!r} ({str(error).splitlines()[0]})") from None
    architecture, parameters = type(model).__name__, sum(p.numel() for p in model.parameters())
    targets: list[str] = []
    steps = 0
    prefix = f"{model.base_model_prefix}."
    head = {name: p.numel() for name, p in model.named_parameters() if not name.startswith(prefix)}
    trainable = parameters
    if isinstance(method, Head):
        trainable = sum(
            size for name, size in head.items() if name.split(".")[-2] in ("classifier", "score", "out_proj")
        )
    if isinstance(method, Peft):
        model = with_tuner(model, kind, method, set(head) if kind == "encoder" else set())
        trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
        targets = sorted(
            {name.split(".lora_A")[0].rsplit(".", 1)[-1] for name, _ in model.named_parameters() if ".lora_A" in name}
        )
    if isinstance(method, GRADIENT):
        steps = math.ceil(len(data.train) / method.batch_size) * method.epochs
    labels = {label: sum(item.label == label for item in data.train) for label in recipe.task.names}
    return Checked(
        recipe=recipe.name,
        base=base.id,
        architecture=architecture,
        parameters=parameters,
        trainable_parameters=trainable,
        targets=targets,
        train=len(data.train),
        test=len(data.test),
        labels=labels,
        steps=steps,
        seeds=len(method.seeds),
        trainings=len(method.seeds) * (1 + _arms(recipe)) + len(fine_tuned_cells(recipe, data.train)),
    )


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
