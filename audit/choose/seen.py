"""What is known of a base and a task before anything is adapted: what advice rests on."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from audit.adapt.control import random_twin
from audit.audits.fit import out_of_fold
from audit.audits.gap.mmd import representation
from audit.audits.gap.placed import Samples
from audit.audits.gap.tokens import token_scales
from audit.choose.advice import Situation
from audit.choose.candidate import Candidate, features_of
from audit.finding import Estimate
from audit.items import reversed_words, thinned
from audit.items.reference import is_local, read_reference
from audit.models.ask import Readout
from audit.models.load import load_base
from audit.models.weights import load_config
from audit.recipe import Recipe
from audit.stats import compare
from audit.view import Item, NotMeasurable

__all__ = ["REPEATS", "general_texts", "situation"]

Array = NDArray[np.float64]
REPEATS = 5  # of the folds that a probe is asked in


def general_texts(recipe: Recipe) -> tuple[str, list[Item]]:
    """Name and read the reference that every candidate is placed by: the recipe's, where it lies here, else ours.

    Raises
    ------
    InputError
        If the recipe's cannot be read.
    """
    asked = recipe.audit.gap
    named = asked.reference if asked else None
    name = named if named and named != "base" and is_local(named) else "shipped:passages"
    return name, thinned(read_reference(name), asked.limit if asked else None)


def situation(
    candidate: Candidate,
    items: Sequence[Item],
    hits: Array,
    recipe: Recipe,
    n_training: int,
    general: tuple[str, list[Item]],
) -> Situation:
    """Measure a base against its own architecture with random weights, without training, and against the reference.

    Parameters
    ----------
    candidate : Candidate
    items : sequence of Item
        Training texts with labels.
    hits : ndarray, shape (n_items,)
        Share of the repeats in which a probe of its features was right.
    recipe : Recipe
    n_training : int
        Texts of the training split, of which these are some.
    general : tuple of str and list of Item
        The reference and its name, from `general_texts`.

    Raises
    ------
    InputError, NotMeasurable
        If the base cannot be loaded or asked so.
    """
    clusters, labels = [item.cluster for item in items], [item.label or "" for item in items]
    with tempfile.TemporaryDirectory() as folder:
        weights = random_twin(candidate.source, candidate.adapted_as, 0, Path(folder))
        twin = Candidate(weights.id, weights, candidate.adapted_as, candidate.parameters, candidate.size)
        layers = features_of(twin, items, "layer_means", recipe)
    by_chance = out_of_fold(layers.mean(axis=1), labels, clusters, repeats=REPEATS)[0].mean(axis=0)
    position, split = _distance(candidate, items, recipe, general[1])
    counts = np.unique(labels, return_counts=True)[1]
    return Situation(
        kind=candidate.adapted_as,
        parameters=candidate.parameters,
        n_texts=n_training,
        layers=getattr(load_config(candidate.source), "num_hidden_layers", None),
        majority=float(counts.max() / counts.sum()),
        accuracy=compare(hits, hits, clusters, binary=True).base,
        lift=compare(by_chance, hits, clusters, binary=True).change,
        prompted=_prompted(candidate, items, hits, recipe),
        reference=general[0],
        position=position,
        split=split,
    )


def _prompted(candidate: Candidate, items: Sequence[Item], hits: Array, recipe: Recipe) -> Estimate | None:
    """Accuracy of a causal base through the recipe's prompt, minus that of the probe."""
    if candidate.adapted_as != "causal":
        return None
    labels = recipe.task.names
    view = load_base(
        candidate.source, "causal", Readout(recipe.task.asked("causal"), labels, recipe.task.said), recipe.audit.dtype
    )
    answers = view.ask("probabilities", items).argmax(axis=1)
    right = np.array([labels[row] == item.label for row, item in zip(answers, items, strict=True)], dtype=np.float64)
    return compare(hits, right, [item.cluster for item in items], binary=True).change


def _distance(
    candidate: Candidate, items: Sequence[Item], recipe: Recipe, general: list[Item]
) -> tuple[Estimate | None, float | None]:
    """Position in the base's space, with the interval of its scale, and tokens per word against the reference's."""
    view = load_base(candidate.source, candidate.kind, dtype=recipe.audit.dtype)
    try:
        samples = Samples.of(general, items, reversed_words(general))
        placed = representation(samples, [view.ask("embedding", one.items) for one in samples.all])
        scales = {scale.name: scale for scale in token_scales(samples, view)[0]}
    except NotMeasurable:
        return None, None
    words = scales.get("fertility")
    return placed.position, words.measured.value / words.null if words and words.null > 0 else None
