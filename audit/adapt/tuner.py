"""Small trained parts beside frozen weights, through PEFT."""

from __future__ import annotations

from typing import Any

import torch

from audit.errors import InputError
from audit.recipe import Peft
from audit.view import Kind

__all__ = ["with_tuner"]


def with_tuner(model: Any, kind: Kind, method: Peft, new: set[str]) -> Any:
    """Put a tuner beside the weights; modules that the base did not have are trained and saved whole.

    Raises
    ------
    InputError
        If its targets match no module of this base; names what they could be.
    """
    from peft import LoraConfig, TaskType, get_peft_model

    heads = sorted({_module_of(name, model.base_model_prefix) for name in new})
    settings = {"r": 8, "lora_alpha": 16, "target_modules": "all-linear", **method.config}
    targets = settings["target_modules"]
    config = LoraConfig(
        task_type=TaskType.CAUSAL_LM if kind == "causal" else TaskType.SEQ_CLS,
        modules_to_save=heads or None,
        bias="none",
        **settings,
    )
    try:
        return get_peft_model(model, config)
    except ValueError as error:
        linear = {name.rsplit(".", 1)[-1] for name, part in model.named_modules() if isinstance(part, torch.nn.Linear)}
        raise InputError(
            f"[adapt] targets = {targets!r}: not to be adapted in {type(model).__name__} "
            f"({str(error).splitlines()[0][:120]}); "
            f'choose from {", ".join(sorted(linear))}, or "all-linear"'
        ) from None


def _module_of(tensor: str, prefix: str) -> str:
    """Name the module of a new tensor: ``classifier.weight`` -> classifier, ``bert.pooler.dense.weight`` -> pooler."""
    parts = [part for part in tensor.split(".") if part != prefix]
    return parts[0]
