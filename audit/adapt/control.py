"""Control arms: the same recipe on group-silent data, from random initial weights, and from shuffled ones."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForImageClassification,
    AutoModelForMaskedLM,
    AutoModelForPreTraining,
    set_seed,
)

from audit.items.swap import Axis, neutralise
from audit.models.source import Source, file_hashes, module_folders
from audit.models.weights import load_config, load_weights
from audit.probe import drawn_rows
from audit.view import Item, Kind

__all__ = ["drawn", "group_silent", "random_twin", "shuffle_within", "shuffled_twin"]

READ = (".json", ".txt", ".model", ".jinja")  # what a folder holds beside weights
Tensors = dict[str, torch.Tensor]


def group_silent(items: Sequence[Item], axes: Sequence[Axis]) -> tuple[list[Item], int]:
    """Silence who the texts are about.

    Parameters
    ----------
    items : sequence of Item
        Texts; images and what else is no text stays as it is.
    axes : sequence of Axis
        The lexicons whose names and words become neutral ones.

    Returns
    -------
    items : list of Item
        As many, in the same order, with their labels.
    changed : int
        Texts that named somebody.

    Notes
    -----
    What still tells the group (a hobby, a school, a way of writing) stays in the texts, and what a model learns from it
    is booked as inherited.

    Examples
    --------
    >>> from audit.items.swap import axis
    >>> said = [Item(id="a", cluster="a", text="Megan was late."), Item(id="b", cluster="b", text="It was late.")]
    >>> silent, changed = group_silent(said, [axis("gender")])
    >>> silent[0].text, changed
    ('Person was late.', 1)
    """
    silent = [
        item if item.text is None else item.model_copy(update={"text": neutralise(item.text, axes)}) for item in items
    ]
    return silent, sum(one.text != item.text for one, item in zip(silent, items, strict=True))


def drawn(items: Sequence[Item], seed: int, *, within_labels: bool = True) -> list[Item]:
    """Draw as many items with replacement: what stands for a seed where training has none (a logistic head).

    ``within_labels``: as many of every label, so that none goes missing; sets of labels are too many for that.
    """
    strata = [item.label or "" if within_labels else "" for item in items]
    return [items[row] for row in drawn_rows(strata, np.random.default_rng(seed))]


def random_twin(base: Source, kind: Kind, seed: int, folder: Path) -> Source:
    """Write a model of the base's architecture, tokenizer and image processor with random initial weights.

    Parameters
    ----------
    base : Source
    kind : {"encoder", "sentence_encoder", "causal", "vision", "clip"}
    seed : int
    folder : Path
        Exists and is empty.

    Notes
    -----
    It has the heads that the base has: a masked one, so that it can be pretrained on a domain as the base is, and the
    classes of an image model. The dense layer that a sentence encoder may have behind its pooling is drawn anew, as
    torch draws one.
    """
    set_seed(seed)
    config = load_config(base)
    model = _class(config, kind).from_config(config, trust_remote_code=False, dtype=torch.float32)
    return _written(model, base, f"random initial weights like {base.id}", folder, _draw)


def shuffled_twin(base: Source, kind: Kind, seed: int, folder: Path) -> Source:
    """Write the base with every tensor shuffled within itself: the scale of its weights without what they know.

    Parameters
    ----------
    base : Source
    kind : {"encoder", "sentence_encoder", "causal", "vision", "clip"}
    seed : int
    folder : Path
        Exists and is empty.

    Notes
    -----
    Mean, variance and histogram of every tensor stay, biases and norms included. Part of what pretraining gains is its
    scale alone, which random initial weights do not have: Raghu et al., Transfusion, NeurIPS 2019, call the control
    that draws from each layer's mean and variance *Mean Var init*; here it is the histogram itself.
    """
    set_seed(seed)  # a tensor that the file lacks (a pooler, which no feature uses) is drawn anew
    model, _ = load_weights(_class(load_config(base), kind), base)
    rng = np.random.default_rng(seed)
    shuffle_within(model.cpu(), rng)
    return _written(model, base, f"shuffled weights of {base.id}", folder, lambda layer: _shuffle(layer, rng))


def _class(config: Any, kind: Kind) -> Any:
    """The class that a base is saved from, with those of its heads that a recipe may train or ask."""
    name = next(iter(config.architectures or []), "")
    if kind == "causal":
        return AutoModelForCausalLM
    if kind == "vision" and name.endswith("ForImageClassification"):
        return AutoModelForImageClassification
    if kind == "encoder" and name.endswith("ForPreTraining"):
        return AutoModelForPreTraining
    return AutoModelForMaskedLM if kind == "encoder" and name.endswith("ForMaskedLM") else AutoModel


def _draw(layer: Tensors) -> None:
    """Draw a linear layer as torch does: uniformly within one over the root of its inputs."""
    bound = next(one.shape[1] for one in layer.values() if one.ndim == 2) ** -0.5
    for tensor in layer.values():
        tensor.uniform_(-bound, bound)


def _written(model: Any, base: Source, name: str, folder: Path, change: Callable[[Tensors], None]) -> Source:
    """Write a control beside all that the base's folder holds but weights; what is behind a pooling is changed, too."""
    model.save_pretrained(folder)
    for place in ("", *module_folders(base.folder)):
        (folder / place).mkdir(exist_ok=True)
        for file in (base.folder / place).iterdir():
            if file.suffix in READ and not file.name.endswith(".index.json") and (place or file.name != "config.json"):
                shutil.copyfile(file, folder / place / file.name)
        dense = base.folder / place / "model.safetensors"
        if place and dense.is_file():
            layer = load_file(dense)
            change(layer)
            save_file(layer, folder / place / dense.name, metadata={"format": "pt"})
    return Source(name, None, folder, file_hashes(folder), base.license)


def shuffle_within(model: torch.nn.Module, rng: np.random.Generator) -> None:
    """Shuffle every tensor of weights in place, one that is tied to another once; whole numbers stay as they are."""
    _shuffle(model.state_dict(), rng)


def _shuffle(tensors: Tensors, rng: np.random.Generator) -> None:
    done = set()
    for tensor in tensors.values():
        if tensor.is_floating_point() and tensor.data_ptr() not in done:
            done.add(tensor.data_ptr())
            flat = tensor.contiguous().reshape(-1).numpy()
            rng.shuffle(flat)
            tensor.copy_(torch.from_numpy(flat).reshape(tensor.shape))
