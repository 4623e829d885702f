"""Control arms: the same recipe on group-silent data, from random initial weights, and from shuffled ones."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModel, AutoModelForCausalLM, set_seed

from audit.items.swap import Axis, neutralise
from audit.models.source import Source, file_hashes
from audit.models.tokens import load_tokenizer
from audit.models.weights import load_config, load_weights
from audit.view import Item, Kind

__all__ = ["drawn", "group_silent", "random_twin", "shuffle_within", "shuffled_twin"]


def group_silent(items: Sequence[Item], axes: Sequence[Axis]) -> tuple[list[Item], int]:
    """Silence who the texts are about.

    Parameters
    ----------
    items : sequence of Item
        Texts.
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
    silent = [item.model_copy(update={"text": neutralise(item.text or "", axes)}) for item in items]
    return silent, sum(one.text != item.text for one, item in zip(silent, items, strict=True))


def drawn(items: Sequence[Item], seed: int) -> list[Item]:
    """Draw as many items with replacement: what stands for a seed where training has none (a logistic head)."""
    rows = np.random.default_rng(seed).integers(0, len(items), len(items))
    return [items[row] for row in rows]


def random_twin(base: Source, kind: Kind, seed: int, folder: Path) -> Source:
    """Write a model of the base's architecture and tokenizer with random initial weights.

    Parameters
    ----------
    base : Source
    kind : {"encoder", "causal"}
    seed : int
    folder : Path
        Exists and is empty.
    """
    set_seed(seed)
    auto: Any = AutoModelForCausalLM if kind == "causal" else AutoModel
    model = auto.from_config(load_config(base), trust_remote_code=False, dtype=torch.float32)
    return _written(model, base, f"random initial weights like {base.id}", folder)


def shuffled_twin(base: Source, kind: Kind, seed: int, folder: Path) -> Source:
    """Write the base with every tensor shuffled within itself: the scale of its weights without what they know.

    Parameters
    ----------
    base : Source
    kind : {"encoder", "causal"}
    seed : int
    folder : Path
        Exists and is empty.

    Notes
    -----
    Mean, variance and histogram of every tensor stay, biases and norms included. Part of what pretraining gains is its
    scale alone, which random initial weights do not have: Raghu et al., Transfusion, NeurIPS 2019, call the control
    that draws from each layer's mean and variance *Mean Var init*; here it is the histogram itself.
    """
    auto: Any = AutoModelForCausalLM if kind == "causal" else AutoModel
    set_seed(seed)  # a tensor that the file lacks (a pooler, which no feature uses) is drawn anew
    model, _ = load_weights(auto, base)
    shuffle_within(model.cpu(), np.random.default_rng(seed))
    return _written(model, base, f"shuffled weights of {base.id}", folder)


def _written(model: Any, base: Source, name: str, folder: Path) -> Source:
    """Write a control beside the base's own tokenizer."""
    model.save_pretrained(folder)
    load_tokenizer(base).save_pretrained(folder)
    return Source(name, None, folder, file_hashes(folder), base.license)


def shuffle_within(model: torch.nn.Module, rng: np.random.Generator) -> None:
    """Shuffle every tensor of weights in place, one that is tied to another once; whole numbers stay as they are."""
    done = set()
    for tensor in model.state_dict().values():
        if tensor.is_floating_point() and tensor.data_ptr() not in done:
            done.add(tensor.data_ptr())
            flat = tensor.contiguous().reshape(-1).numpy()
            rng.shuffle(flat)
            tensor.copy_(torch.from_numpy(flat).reshape(tensor.shape))
