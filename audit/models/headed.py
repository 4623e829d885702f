"""A head in a file of its own: what reads a task's answer from the features of a backbone that it leaves as it is."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save_file

from audit.errors import InputError
from audit.models.ask import ModelView, softmax
from audit.models.batch import Progress
from audit.models.source import Source
from audit.models.text import TextView
from audit.models.weights import read_json
from audit.view import Item, Kind, NotMeasurable

__all__ = ["NUMBERS", "HeadedView", "Layer", "TaskHead", "cut", "has_backbone", "is_head", "read_head", "write_head"]

Array = NDArray[np.float64]
Layer = tuple[NDArray[Any], NDArray[Any]]
"""Weight, shape (outputs, inputs), and bias, shape (outputs,)."""

VERSION = 1
TYPES = ("single_label", "multi_label", "regression")
SAID, NUMBERS = "head.json", "head.safetensors"


@dataclass(frozen=True)
class TaskHead:
    """Linear layers with ReLU between them, on the question ``embedding``.

    Attributes
    ----------
    kind : str
        Of the backbone.
    task : {"single_label", "multi_label", "regression"}
    labels : tuple of str
        In the order of the outputs; none of a regression, which has one output.
    layers : tuple of (weight, bias)
    max_length : int or None
        Tokens of a text that it reads, where that is less than the backbone can.
    base, revision, sha256
        What it was made for.
    digest : str
        Hash of its two files.
    """

    kind: Kind
    task: str
    labels: tuple[str, ...]
    layers: tuple[Layer, ...]
    max_length: int | None
    base: str
    revision: str | None
    sha256: str
    digest: str

    @property
    def parameters(self) -> int:
        """How many numbers it has."""
        return sum(weight.size + bias.size for weight, bias in self.layers)

    def logits(self, features: Array) -> Array:
        """Outputs of features, shape (..., d) -> (..., k), in float64.

        Examples
        --------
        A hidden layer that knows only what is above 0, and doubles it:

        >>> layers = ((np.array([[1.0]]), np.zeros(1)), (np.array([[2.0]]), np.ones(1)))
        >>> head = TaskHead("encoder", "regression", (), layers, None, "base", None, "", "")
        >>> head.logits(np.array([[-3.0], [3.0]])).tolist()
        [[1.0], [7.0]]
        """
        for number, (weight, bias) in enumerate(self.layers):
            features = np.maximum(features, 0) if number else features
            features = features @ weight.T.astype(np.float64) + bias
        return features


def write_head(
    folder: Path,
    base: Source,
    kind: Kind,
    task: str,
    labels: Sequence[str],
    layers: Sequence[Layer],
    max_length: int | None = None,
) -> None:
    """Write a head beside whatever lies in a folder: ``head.json`` and ``head.safetensors``, in float32.

    Parameters
    ----------
    folder : Path
        Exists. A checkpoint in it is the head's backbone; without one, the base is.
    base : Source
        The base of the recipe.
    kind : {"encoder", "sentence_encoder", "causal", "vision", "clip"}
    task : {"single_label", "multi_label", "regression"}
    labels : sequence of str
        As many as outputs; none of a regression.
    layers : sequence of (weight, bias)
        Shapes (outputs, inputs) and (outputs,), the first on the embedding as the view gives it.
    max_length : int, optional
        Tokens of a text that it reads, where that is less than the backbone can.
    """
    said = {
        "version": VERSION,
        "base": base.id,
        "revision": base.revision,
        "base_sha256": base.sha256,
        "kind": kind,
        "task": task,
        "labels": list(labels),
        "question": "embedding",
        "max_length": max_length,
        "hidden": [len(bias) for _, bias in layers[:-1]],
    }
    tensors = {}
    for number, (weight, bias) in enumerate(layers):
        tensors[f"{number}.weight"] = np.ascontiguousarray(weight, dtype=np.float32)
        tensors[f"{number}.bias"] = np.ascontiguousarray(bias, dtype=np.float32)
    save_file(tensors, folder / NUMBERS)
    (folder / SAID).write_text(json.dumps(said, indent=2, sort_keys=True), encoding="utf-8")


def is_head(source: Source) -> bool:
    """Tell whether a folder holds a head in files of its own."""
    return (source.folder / SAID).is_file()


def has_backbone(source: Source) -> bool:
    """Tell whether a checkpoint lies beside a head; else its base is the backbone."""
    return (source.folder / "config.json").is_file()


def read_head(source: Source) -> TaskHead:
    """Read a head.

    Raises
    ------
    InputError
        If its files are not what `write_head` writes.
    """
    path, file = source.folder / SAID, source.folder / NUMBERS
    said = read_json(path)
    if not isinstance(said, dict) or said.get("version") != VERSION:
        found = said.get("version") if isinstance(said, dict) else None
        raise InputError(f"{path}: a head of version {found!r}; this is transfer-audit's version {VERSION}")
    try:
        raw = file.read_bytes()
        tensors = load(raw)
        count = len(said["hidden"]) + 1
        layers = tuple((tensors[f"{number}.weight"], tensors[f"{number}.bias"]) for number in range(count))
        head = TaskHead(
            kind=said["kind"],
            task=said["task"],
            labels=tuple(map(str, said["labels"])),
            layers=layers,
            max_length=said["max_length"],
            base=str(said["base"]),
            revision=said["revision"],
            sha256=str(said["base_sha256"]),
            digest=hashlib.sha256(path.read_bytes() + raw).hexdigest(),
        )
    except (OSError, SafetensorError, KeyError, TypeError) as error:
        raise InputError(f"{source.id}: its head cannot be read ({type(error).__name__}: {error})") from None
    widths = [weight.shape for weight, _ in layers]
    outputs = [len(bias) for _, bias in layers]
    fits = all(len(one) == 2 for one in widths) and [one[0] for one in widths] == outputs
    fits = fits and [one[1] for one in widths[1:]] == outputs[:-1] and outputs[-1] == (len(head.labels) or 1)
    if not fits or head.task not in TYPES or head.kind not in get_args(Kind):
        raise InputError(f"{path}: layers of shapes {widths} are no head of {len(head.labels)} labels for {head.task}")
    return head


class HeadedView(ModelView):
    """A view whose classes (or number) come from a head on its features; everything else passes through.

    Parameters
    ----------
    view : ModelView
        The backbone.
    head : TaskHead
    reader : ModelView, optional
        The same backbone, reading no more of a text than the head does.

    Notes
    -----
    ``logits`` are computed in float64 from ``embedding``; ``probabilities`` are their softmax or, where an item has
    several labels, the sigmoid of each. A regression answers ``logits``, shape (n, 1).
    """

    def __init__(self, view: ModelView, head: TaskHead, reader: ModelView | None = None) -> None:
        self.view, self.head, self.reader = view, head, reader or view
        super().__init__(id=f"{self.reader.id}/head {head.digest}", kind=view.kind, labels=head.labels)

    @property
    def progress(self) -> Progress | None:
        """Told how much is done; so is the backbone's."""
        return self.view.progress

    @progress.setter
    def progress(self, told: Progress | None) -> None:
        self.view.progress = self.reader.progress = told

    def ask(self, question: str, items: Sequence[Item]) -> Array:
        """Answer one question about each item, in item order (see `audit.view.View`)."""
        if question not in ("probabilities", "logits"):
            return self.view.ask(question, items)
        if question == "probabilities" and not self.labels:
            raise NotMeasurable(question, "a regression has no classes; ask for 'logits', which are its numbers")
        features = self.reader.ask("embedding", items)
        wanted = self.head.layers[0][0].shape[1]
        if features.shape[-1] != wanted:
            raise NotMeasurable(question, f"the head reads {wanted} features, the backbone has {features.shape[-1]}")
        logits = self.head.logits(features)
        if question == "logits":
            return logits
        return softmax(logits) if self.head.task == "single_label" else _sigmoid(logits)

    def treatment(self, question: str, items: Sequence[Item]) -> str:
        """Say what was done to items that could not be asked as they are; empty where nothing was."""
        if question in ("probabilities", "logits"):
            return self.reader.treatment("embedding", items)
        return self.view.treatment(question, items)


def cut(view: ModelView, longest: int | None) -> ModelView:
    """Return the same network as a view that reads the first tokens of a text alone."""
    if longest is None or not isinstance(view, TextView) or longest >= view.context:
        return view
    short = copy.copy(view)
    short.context, short.id = longest, f"{view.id}/the first {longest}"
    return short


def _sigmoid(logits: Array) -> Array:
    shares: Array = 1 / (1 + np.exp(-np.clip(logits, -700, 700)))
    return shares
