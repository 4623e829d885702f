"""A PEFT adapter and its base from one copy of the weights: the base is the adapted model with its adapter off."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from transformers import (
    AutoModelForImageClassification,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
)

from audit.errors import InputError
from audit.models.network import Network, Words, graft, load_network
from audit.models.source import Source
from audit.models.vision import load_vision
from audit.models.weights import (
    Dtype,
    class_names,
    first_line,
    labels_of,
    load_config,
    load_weights,
    read_json,
    refuse_made_up,
)
from audit.view import Kind

__all__ = ["Adapted", "is_adapter", "load_adapter"]

HEADS: dict[str, Any] = {"SEQ_CLS": AutoModelForSequenceClassification, "TOKEN_CLS": AutoModelForTokenClassification}


def is_adapter(source: Source) -> bool:
    """Tell whether a folder holds a PEFT adapter."""
    return (source.folder / "adapter_config.json").is_file()


@dataclass(frozen=True)
class Adapted:
    """A base under an adapter.

    Attributes
    ----------
    peft
        The model; ``peft.disable_adapter()`` is the context in which it is the base.
    base, adapted : Network
        What each side can be asked. The base has a classification head only if its own file holds one for the same
        classes: behind the adapter's head it would be a random one.
    base_labels, labels : list of str
        Of the heads.
    grafted : bool
        Whether both sides are asked through the base's language-model head because the adapter's task has none.
    virtual : int
        Tokens of a learnt prompt, which take places of the context.
    """

    peft: Any
    base: Network
    adapted: Network
    base_labels: list[str]
    labels: list[str]
    grafted: bool = False
    virtual: int = 0


def load_adapter(base: Source, adapted: Source, kind: Kind, dtype: Dtype = "float32") -> Adapted:
    """Load a base with an adapter on it.

    Raises
    ------
    InputError
        If the adapter changes the base's own weights, does not fit the base, or brings no head for its classes.
    """
    settings = _settings(adapted)
    carried = set(settings.get("modules_to_save") or ())
    labels: list[str] = []
    base_labels: list[str] = []
    words: Words | None = None
    model: Any
    task = str(settings.get("task_type"))
    if task in HEADS or (kind == "vision" and carried):
        labels = _labels(adapted, carried)
        auto = AutoModelForImageClassification if kind == "vision" else HEADS[task]
        model, missing = load_weights(auto, base, dtype, num_labels=len(labels), ignore_mismatched_sizes=True)
        refuse_made_up(base, {name for name in missing if not carried & set(name.split("."))})
        if (adapted.folder / "config.json").is_file():
            model.config.problem_type = load_config(adapted).problem_type
        base_labels = labels if not missing and labels_of(base) == labels else []
        words = load_network(base, kind, dtype).words if kind != "vision" else None
    else:
        whole = load_vision(base, dtype) if kind == "vision" else load_network(base, kind, dtype)
        model, words = whole.model, whole.words
        labels = base_labels = labels_of(base) if whole.classes is not None else []
    peft = _wrapped(model, base, adapted, settings)
    backbone: Any = model.base_model
    grafted = words is not None and bool(labels)
    if words is not None and grafted:
        words = Words(graft(words.model, backbone))
    off = Network(backbone, classes=model if base_labels else None, words=words)
    if not peft.active_peft_config.is_prompt_learning:
        tags, classes = (peft, None) if task == "TOKEN_CLS" else (None, peft if labels else None)
        on = Network(backbone, classes=classes, words=words, tags=tags)
        return Adapted(peft, off, on, base_labels, labels, grafted)
    if kind != "causal" or labels:
        raise InputError(
            f"{adapted.id}: an adapter of type {settings['peft_type']} lives in the prompt; that is audited for "
            "completions of causal bases only"
        )
    virtual = int(peft.active_peft_config.num_virtual_tokens)
    return Adapted(peft, off, Network(None, words=Words(peft, whole=True)), [], [], virtual=virtual)


def _settings(adapted: Source) -> dict[str, Any]:
    settings: dict[str, Any] = read_json(adapted.folder / "adapter_config.json")
    if settings.get("bias", "none") != "none":
        raise InputError(
            f"{adapted.id}: an adapter with bias = {settings['bias']!r} changes the base's own weights; "
            "audit the merged checkpoint instead"
        )
    return settings


def _wrapped(model: Any, base: Source, adapted: Source, settings: dict[str, Any]) -> Any:
    """Put the adapter on the base; every tensor of its file must find a place, and none may be the base's own.

    Where PEFT finds no place for a tensor it warns, or says nothing, and the adapted model is quietly the base. And
    where a file holds embeddings beside the adapter (it does after the vocabulary grew), they replace the base's, so
    that the adapter switched off is not the base.
    """
    from peft import PeftModel, get_peft_model_state_dict

    file = adapted.folder / "adapter_model.safetensors"
    if not file.is_file():
        raise InputError(f"{adapted.id}: there is no {file.name} in it; other formats are not loaded")
    before = _answer(model)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", message=".*missing adapter keys")
            peft = PeftModel.from_pretrained(model, str(adapted.folder)).eval()
        placed = get_peft_model_state_dict(peft, save_embedding_layers=False)
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError, UserWarning) as error:
        raise InputError(f"{adapted.id}: the adapter does not fit the base {base.id} ({first_line(error)})") from None
    own = peft.state_dict()
    with safe_open(file, framework="pt") as tensors:
        for name in sorted(set(tensors.keys()) - placed.keys()):
            if ".base_layer." not in name or not torch.equal(tensors.get_tensor(name).to(own[name]), own[name]):
                raise InputError(
                    f"{adapted.id}: its file holds {name!r}, which is no part of the adapter on the base {base.id}; "
                    "audit the merged checkpoint instead"
                )
    with peft.disable_adapter():
        after = _answer(model)
    if before.shape != after.shape or not torch.equal(before.nan_to_num(), after.nan_to_num()):
        raise InputError(
            f"{adapted.id}: the adapter changes the base's own weights (init_lora_weights = "
            f"{settings.get('init_lora_weights')!r}, say), so that switching it off is not the base; "
            "audit the merged checkpoint instead"
        )
    return peft


def _answer(model: Any) -> torch.Tensor:
    """What a model says to something, whatever it is."""
    config = model.config
    with torch.inference_mode():
        if hasattr(config, "vocab_size"):
            ids = torch.tensor([[5, 6, 7, 8, 9, 10]], device=model.device) % config.vocab_size
            output = model(input_ids=ids, attention_mask=torch.ones_like(ids))
        else:
            side = getattr(config, "image_size", None) or 64
            height, width = side if isinstance(side, (list, tuple)) else (side, side)
            shape = (1, getattr(config, "num_channels", 3), height, width)
            output = model(
                pixel_values=torch.linspace(-1, 1, math.prod(shape)).reshape(shape).to(model.device, model.dtype)
            )
    said: torch.Tensor = output[0]
    return said.clone()


def _labels(adapted: Source, carried: set[str]) -> list[str]:
    """Class names of an adapter's head: by its config, else as many as its head has rows."""
    if (adapted.folder / "config.json").is_file():
        return class_names(load_config(adapted))
    path: Path = adapted.folder / "adapter_model.safetensors"
    with safe_open(path, framework="pt") as tensors:
        names = [name for name in tensors.keys() if set(name.split(".")) & (carried or {"classifier", "score"})]  # noqa: SIM118
        shapes = [tensors.get_slice(name).get_shape() for name in names if name.endswith(".weight")]
    if not shapes:
        raise InputError(f"{adapted.id}: a classification adapter without a head in it; its labels are not known")
    return [f"LABEL_{index}" for index in range(min(shape[0] for shape in shapes if len(shape) > 1))]
