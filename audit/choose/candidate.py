"""One candidate: a base that is found, weighed, and asked once about the training texts."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open

from audit.errors import InputError
from audit.models.batch import Progress
from audit.models.load import load_base
from audit.models.ranks import agreed
from audit.models.source import Source, cache_folder, resolve
from audit.models.weights import load_config, model_kind, refuse_wrong_kind
from audit.recipe import Recipe
from audit.stages import code_hash
from audit.view import Item, Kind, remember

__all__ = ["Candidate", "features_of", "find"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Candidate:
    """A base on disk.

    Attributes
    ----------
    name : str
        As it was given.
    source : Source
    kind : {"encoder", "sentence_encoder", "causal"}
    parameters, size : int
        Numbers in its weight files, and bytes of these.
    """

    name: str
    source: Source
    kind: Kind
    parameters: int
    size: int

    @property
    def adapted_as(self) -> Literal["encoder", "causal"]:
        """What sort of model an adaptation makes of it."""
        return "causal" if self.kind == "causal" else "encoder"


def find(name: str, recipe: Recipe) -> Candidate:
    """Find a base, and say what it is and how large, before its weights are loaded.

    Parameters
    ----------
    name : str
        As for a recipe's ``base``; a Hub id may be followed by ``@REVISION``.
    recipe : Recipe
        Its revision and GGUF file belong to its own base.

    Raises
    ------
    InputError, Unavailable
        If it is not there, cannot be read, or is no model of text.
    """
    if name == recipe.base:
        source = resolve(name, recipe.revision, recipe.gguf_file)
    elif "@" in name and not Path(name).exists() and not name.startswith("package:"):
        source = resolve(*name.rsplit("@", 1))
    else:
        source = resolve(name)
    kind = model_kind(source.folder)
    if kind in ("vision", "clip"):
        raise InputError(f"{name}: is of kind {kind!r}; bases of text are chosen from")
    refuse_wrong_kind(source, load_config(source), kind)
    files = sorted(source.folder.glob("*.safetensors"))
    return Candidate(
        name=name,
        source=source,
        kind=kind,
        parameters=sum(_parameters(file) for file in files),
        size=sum(os.path.getsize(file) for file in files),
    )


def _parameters(file: Path) -> int:
    with safe_open(file, framework="numpy") as tensors:
        slices = [tensors.get_slice(name) for name in tensors.keys()]  # noqa: SIM118 (no mapping)
        return sum(prod(one.get_shape()) for one in slices if str(one.get_dtype()).startswith(("F", "BF")))


def features_of(
    candidate: Candidate, items: Sequence[Item], question: str, recipe: Recipe, progress: Progress | None = None
) -> Array:
    """Ask a base for the features of texts, once: the answer is kept.

    Raises
    ------
    InputError, NotMeasurable
        If it cannot be loaded or has no features.
    """
    view = load_base(candidate.source, candidate.kind, dtype=recipe.audit.dtype)
    view.progress = progress
    return remember(view, cache_folder() / "answers" / code_hash()[:16], agreed).ask(question, items)
