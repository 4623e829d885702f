"""What would be trained, without its weights: the same model under the same head, on a device that holds no numbers."""

from __future__ import annotations

import copy
from itertools import pairwise
from typing import Any

import torch
import transformers
from safetensors import safe_open

from audit.adapt.layers import groups_of
from audit.adapt.trainee import OnEmbedding, last_layer, on_embedding
from audit.adapt.tuner import targets_of, with_tuner
from audit.errors import InputError
from audit.models.source import Source
from audit.models.stored import weight_files
from audit.models.weights import first_line, load_config
from audit.recipe import Adapt, Gradient, Head, LpFt, Peft, Task
from audit.view import Kind

__all__ = ["outline", "trained_of"]

CPU, META = torch.device("cpu"), torch.device("meta")


def trained_of(
    base: Source, kind: Kind, task: Task, method: Adapt, *, merge: bool = False
) -> tuple[Any, int, list[str]]:
    """Count what a method would train, as the training itself chooses it.

    Parameters
    ----------
    base : Source
        Config and tokenizer are enough.
    kind, task, method
        Of the recipe.
    merge : bool
        See `audit.adapt.tuner.with_tuner`.

    Returns
    -------
    model
        On the device ``meta``, without a tuner.
    parameters : int
        How many would be trained.
    targets : list of str
        Modules that a tuner would stand beside.

    Raises
    ------
    InputError
        As training would.
    """
    model, new = outline(base, kind, task)
    if isinstance(method, Head):
        widths = [_embedding(model, kind, task), *method.hidden, len(task.names) or 1]
        return model, sum((before + 1) * after for before, after in pairwise(widths)), []
    if not isinstance(method, Gradient):
        return model, 0, []
    if isinstance(method, LpFt):
        last_layer(model, len(task.names) or 1)
    tuned = _tuned(base, kind, task, method, model, new, merge) if isinstance(method, Peft) else model
    trained = {name for group in groups_of(tuned, method, new) for name in group.names}
    count = sum(one.numel() for name, one in tuned.named_parameters() if name in trained)
    return model, count, targets_of(tuned) if isinstance(method, Peft) else []


def outline(base: Source, kind: Kind, task: Task, device: torch.device = META) -> tuple[Any, set[str]]:
    """Build what `audit.adapt.trainee.trainee` loads, without its weights.

    Returns
    -------
    model
        On a device that holds numbers, they are drawn at random.
    new : set of str
        Names of the tensors that the base does not have: neither the architecture that its config names, nor its file,
        where that is here.

    Raises
    ------
    InputError
        If the architecture has no such head.
    """
    config, outputs = load_config(base), len(task.names) or 1
    own = _own_class(config)
    if kind in ("sentence_encoder", "clip"):
        return on_embedding(_built(own, base, kind, config, device), base, kind, task), {"head.weight", "head.bias"}
    if kind == "causal":
        return _built(transformers.AutoModelForCausalLM, base, kind, config, device), set()
    auto: Any = transformers.AutoModelForSequenceClassification
    if kind == "vision":
        auto = transformers.AutoModelForImageClassification
    if task.type == "tokens":
        auto = transformers.AutoModelForTokenClassification
    headed = copy.deepcopy(config)
    headed.num_labels = outputs
    model = _built(auto, base, kind, headed, device)
    prefix = f"{model.base_model_prefix}."
    had = {
        name.removeprefix(prefix): shape
        for name, shape in [*_shapes(_built(own, base, kind, config, META)).items(), *_stored(base).items()]
    }
    return model, {name for name, shape in _shapes(model).items() if had.get(name.removeprefix(prefix)) != shape}


def _tuned(base: Source, kind: Kind, task: Task, method: Peft, model: Any, new: set[str], merge: bool) -> Any:
    try:
        with META:
            return with_tuner(copy.deepcopy(model), kind, method, new, merge=merge)
    except InputError as error:
        if "meta" not in str(error).lower():
            raise
    return with_tuner(outline(base, kind, task, CPU)[0], kind, method, new, merge=merge)  # it looks at the weights


def _own_class(config: Any) -> Any:
    """The class that a checkpoint was saved from."""
    return getattr(transformers, next(iter(config.architectures or []), ""), transformers.AutoModel)


def _built(cls: Any, base: Source, kind: Kind, config: Any, device: torch.device) -> Any:
    try:
        with device:
            return cls.from_config(config, trust_remote_code=False) if hasattr(cls, "from_config") else cls(config)
    except ValueError as error:
        raise InputError(f"{base.id}: not usable as kind = {kind!r} ({first_line(error)})") from None


def _shapes(model: Any) -> dict[str, tuple[int, ...]]:
    return {name: tuple(one.shape) for name, one in model.named_parameters()}


def _stored(base: Source) -> dict[str, tuple[int, ...]]:
    """Shapes of the tensors of a base's file; none where it is not here."""
    found = {}
    for file in weight_files(base.folder):
        with safe_open(file, framework="pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118 (no mapping)
                found[name] = tuple(tensors.get_slice(name).get_shape())
    return found


def _embedding(model: Any, kind: Kind, task: Task) -> int:
    """Return the width of what a head on remembered features reads."""
    if isinstance(model, OnEmbedding):
        return model.head.in_features
    if kind == "vision":
        return last_layer(model, len(task.names) or 1).in_features
    return int(model.config.get_text_config().hidden_size)
