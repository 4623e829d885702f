"""What a report says of training: on what, and where it did not go as the recipe asked."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from audit.job import Job
from audit.recipe import Gradient, Recipe
from audit.view import fingerprint

__all__ = ["UNKNOWN", "as_audited", "known_sets", "trained_on", "trainings", "unlike_asked"]

SAID = ("stopped", "head", "cut")  # notes of a training that a reader must know
KNOWN = ("id", "revision", "license")  # of a set of the Hub
UNKNOWN = "What the adapted model was trained on is not known, nor whether items that were asked here are among it."


def trained_on(
    job: Job, domains: Sequence[Mapping[str, Any]], known: Mapping[str, Mapping[str, str | None]]
) -> list[dict[str, Any]]:
    """List the task's items, as they were read and as they were trained on, then all else that was trained on.

    Parameters
    ----------
    job : Job
        With what overlaps set apart.
    domains : sequence of mapping
        What the stage that pretrains on a domain says of itself.
    known : mapping
        By name what diligence found of a set: id and revision on the Hub, licence.
    """
    read = {"fingerprint": job.data.fingerprint, "trained": fingerprint(job.data.train)}
    sets: list[dict[str, Any]] = [
        {"name": job.data.source, "train": len(job.data.train), "test": len(job.data.test), **read}
    ]
    method, domain = job.recipe.adapt, job.recipe.domain
    if job.rehearsed and isinstance(method, Gradient):
        name = f"[adapt.protect] {method.protect.items}"
        sets.append(_training_set(name, len(job.rehearsed), fingerprint(job.rehearsed)))
    if domain is not None:
        sets += [_training_set(f"[domain] {domain.texts}", one["texts"], one["fingerprint"]) for one in domains]
    return [one | {key: known.get(one["name"], {}).get(key) for key in KNOWN} for one in sets]


def _training_set(name: str, count: int, trained: str) -> dict[str, Any]:
    return {"name": name, "train": count, "test": 0, "fingerprint": trained, "trained": trained}


def known_sets(results: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, str | None]]:
    """Return what the stage of diligence found of the sets that are trained on, by name."""
    return next((dict(result["sets"]) for result in results if "sets" in result), {})


def as_audited(recipe: Recipe) -> Recipe:
    """Leave out what an audit without training does not use of a recipe."""
    return recipe.model_copy(update={"base": None, "domain": None, "adapt": None})


def trainings(job: Job, seeds: Sequence[int]) -> list[dict[str, Any]]:
    """Read what the training of every seed left to be said."""
    return [json.loads((job.folder / "models" / f"seed-{seed}" / "adaptation.json").read_text()) for seed in seeds]


def unlike_asked(training: Sequence[Mapping[str, Any]]) -> list[str]:
    """Say in sentences where a training did not go as the recipe asked.

    Examples
    --------
    >>> unlike_asked([{"seed": 0}, {"seed": 1, "stopped": "epoch 2 went too far"}])
    ['Training (seed 1): epoch 2 went too far.']
    """
    return [f"Training (seed {one['seed']}): {one[name]}." for one in training for name in SAID if name in one]
