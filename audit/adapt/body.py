"""What is below a model's head, by the same names whichever head stands on it, and asked as it will be used."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from accelerate.utils import extract_model_from_parallel
from transformers import PreTrainedModel

__all__ = ["backbone_of", "quiet", "unwrapped", "weights_by_name"]


@contextmanager
def quiet(model: Any) -> Iterator[None]:
    """Ask a model as it will be used: without dropout, which would take from the training's random numbers."""
    noisy = [part for part in model.modules() if part.training]
    for part in noisy:
        part.training = False
    try:
        yield
    finally:
        for part in noisy:
            part.training = True


def unwrapped(model: Any) -> Any:
    """The model itself: out of what spreads it over devices, or puts a tuner beside it."""
    model = extract_model_from_parallel(model)
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def backbone_of(model: Any) -> Any:
    """Return what is below a model's head; tuners that are beside its weights stay where they are."""
    inner = unwrapped(model)
    return (inner if isinstance(inner, PreTrainedModel) else inner.backbone).base_model


def weights_by_name(model: Any) -> dict[str, torch.nn.Parameter]:
    """Name parameters as a model without a head does, whichever head stands on it; those of a head by ``head/``."""
    below = {id(one): name for name, one in backbone_of(model).named_parameters()}
    return {below.get(id(one), f"head/{name}"): one for name, one in unwrapped(model).named_parameters()}
