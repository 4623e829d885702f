"""Small trained parts beside frozen weights: any tuner of the installed PEFT, by its own name and settings."""

from __future__ import annotations

import dataclasses
import difflib
import warnings
from collections.abc import Sequence
from typing import Any

import torch
from transformers.pytorch_utils import Conv1D

from audit.errors import InputError
from audit.models.weights import first_line
from audit.recipe import Peft
from audit.view import Kind

__all__ = ["merged", "targets_of", "with_tuner"]

OURS = ("base_model_name_or_path", "revision", "peft_type", "task_type", "inference_mode", "auto_mapping",
        "modules_to_save", "peft_version")  # fmt: skip
OWN_TARGETS = ("IA3", "ADAPTION_PROMPT", "TRAINABLE_TOKENS")  # for which PEFT knows where they belong
DEFAULTS: dict[str, dict[str, Any]] = {"LORA": {"r": 8, "lora_alpha": 16}}
VIRTUAL = 20  # tokens of a learnt prompt
REFUSED = {
    "ADALORA": "its ranks are pruned while it trains, which this training does not do",
    "CPT": "it learns from rows of a form of its own",
    "MULTITASK_PROMPT_TUNING": "it wants to know the task of every row",
    "POLY": "it wants to know the task of every row",
    "SHADOW": "the installed PEFT does not train it",
    "XLORA": "it mixes adapters that are there already",
}
UNMERGED = ("ADAPTION_PROMPT", "BEFT", "LILY")  # beside the learnt prompts
FAITHFUL = (True, False, "gaussian", "orthogonal")  # initial values that leave the base's own weights alone
CONVOLVED = ("LORA", "LOHA", "LOKR", "IA3")  # whose updates of a convolution can be merged as they were trained
PLAIN = "choose LORA, say"


def with_tuner(model: Any, kind: Kind, method: Peft, new: set[str], *, merge: bool = False) -> Any:
    """Put a tuner beside the weights; modules that the base did not have are trained and saved whole.

    Parameters
    ----------
    model
        Under its head; also on the device ``meta``.
    kind : {"encoder", "causal", "vision"}
        Of the base.
    method : Peft
        ``tuner`` is a name of `peft.PeftType`, ``config`` holds fields of its config class. Without ``target_modules``
        the tuner is put beside every linear layer below the head (every convolution of a network that has none), or
        where it belongs by nature (IA3, LN_TUNING).
    new : set of str
        Names of the tensors that the base did not have.
    merge : bool
        The adapter is going to be merged, since the base it hangs on is one that nobody else has.

    Returns
    -------
    PeftModel
        Its initial values are drawn from torch's own generator: seeded before, they are the same again.

    Raises
    ------
    InputError
        If there is no such tuner, it has no such setting, it cannot be trained or audited here, or does not fit.
    """
    from peft import get_peft_model

    name, build = _tuner(method.tuner)
    known = {field.name: field for field in dataclasses.fields(build) if field.init}
    _refuse_settings(name, method.config, known)
    _refuse_misfit(name, build, kind, merge)
    heads = sorted({_module_of(tensor, model.base_model_prefix) for tensor in new})
    settings = DEFAULTS.get(name, {}) | method.config
    if "num_virtual_tokens" in known:
        settings = {"num_virtual_tokens": VIRTUAL} | settings
    if "target_modules" in known and settings.get("target_modules") in (None, "all-linear"):
        settings |= _targets(name, model, heads)
    if heads and "modules_to_save" not in known:
        raise InputError(f"[adapt] tuner = {name!r}: it keeps no new head beside it; {PLAIN}")
    if heads:
        settings["modules_to_save"] = heads
    linear = ""
    if method.config.get("target_modules") is not None:
        leaves = sorted({path.rsplit(".", 1)[-1] for path in _parts("LORA", model, heads)})
        linear = f'; [adapt.config] target_modules: choose from {", ".join(leaves)}, or "all-linear"'
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of layers and devices that a tuner is not at home on; what fails, raises
            tuned = get_peft_model(model, build(task_type=_task_type(model, kind), **settings))
    except Exception as error:  # noqa: BLE001 (whatever a tuner raises at what it is told, it cannot be used)
        raise InputError(
            f"[adapt] tuner = {name!r}: not for {type(model).__name__} ({first_line(error)})" + linear
        ) from None
    beside = [one for path, one in tuned.named_parameters() if one.requires_grad and ".modules_to_save." not in path]
    if not sum(one.numel() for one in beside):
        raise InputError(f"[adapt] tuner = {name!r}: as [adapt.config] says it, nothing beside the head is trained")
    return tuned


def merged(model: Any) -> Any:
    """Return the base with its tuner merged into the weights, as a plain model; the tuner is gone.

    Raises
    ------
    InputError
        If the tuner cannot be merged.
    """
    from peft.tuners.tuners_utils import BaseTunerLayer
    from peft.utils import ModulesToSaveWrapper

    _refuse_merging(model.active_peft_config.peft_type.value, model.active_peft_config.is_prompt_learning)
    base = model.get_base_model()
    for path, part in list(base.named_modules()):
        if isinstance(part, ModulesToSaveWrapper):
            whole = part.modules_to_save[part.active_adapters[0]]
        elif isinstance(part, BaseTunerLayer):
            part.merge()
            whole = part.get_base_layer()
        else:
            continue
        above, _, last = path.rpartition(".")
        setattr(base.get_submodule(above), last, whole)
    return base


def targets_of(model: Any) -> list[str]:
    """Name the modules that a tuner stands beside, by the last part of their names; none under a learnt prompt."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    return sorted({name.split(".")[-1] for name, part in model.named_modules() if isinstance(part, BaseTunerLayer)})


def _tuner(called: str) -> tuple[str, Any]:
    """Find a tuner and its config class."""
    from peft import PEFT_TYPE_TO_CONFIG_MAPPING

    builds = {kind.value: build for kind, build in PEFT_TYPE_TO_CONFIG_MAPPING.items()}
    name = called.upper()
    if name == "DORA":
        raise InputError(f"[adapt] tuner = {called!r}: it is LORA with config = {{ use_dora = true }}")
    if name not in builds:
        close = difflib.get_close_matches(name, builds, 3)
        raise InputError(
            f"[adapt] tuner = {called!r}: the installed PEFT has no such tuner; "
            + (f"did you mean {', '.join(close)}?" if close else f"choose from {', '.join(sorted(builds))}")
        )
    return name, builds[name]


def _refuse_settings(name: str, config: dict[str, Any], known: dict[str, Any]) -> None:
    """Refuse keys that the tuner has not, and those that this package answers for."""
    for key, value in config.items():
        if key in OURS:
            raise InputError(f"[adapt.config] {key}: it follows from base, task and tuner; leave the key out")
        if key not in known:
            close = difflib.get_close_matches(key, set(known) - set(OURS), 1)
            hint = (
                f"did you mean {close[0]!r}?" if close else f"choose from {', '.join(sorted(set(known) - set(OURS)))}"
            )
            raise InputError(f"[adapt.config] no such key {key!r} for the tuner {name}; {hint}")
        if key == "layer_replication" or (key == "init_lora_weights" and value not in FAITHFUL):
            raise InputError(
                f"[adapt.config] {key} = {value!r}: it changes the base's own weights, so that switching the adapter "
                "off is not the base; leave the key out"
            )
        if key == "bias" and value not in ("none", False):
            raise InputError(
                f"[adapt.config] bias = {value!r}: it trains the base's own weights, so that switching the adapter off "
                "is not the base; leave the key out"
            )


def _refuse_misfit(name: str, build: Any, kind: Kind, merge: bool) -> None:
    """Refuse a tuner that cannot be trained here, or not be audited afterwards."""
    from peft import PromptLearningConfig

    prompt = issubclass(build, PromptLearningConfig)
    if name in REFUSED:
        raise InputError(f"[adapt] tuner = {name!r}: {REFUSED[name]}; {PLAIN}")
    if prompt and kind != "causal":
        raise InputError(
            f"[adapt] tuner = {name!r}: it learns a prompt, which is audited for completions of causal bases only; "
            f"{PLAIN}"
        )
    if merge:
        _refuse_merging(name, prompt)


def _refuse_merging(name: str, prompt: bool) -> None:
    if prompt or name in UNMERGED:
        raise InputError(
            f"[adapt] tuner = {name!r}: after [domain] an adapter is merged into the base, and this one cannot be; "
            f"{PLAIN}"
        )


def _targets(name: str, model: Any, heads: Sequence[str]) -> dict[str, Any]:
    """Find the modules that a tuner stands beside where the recipe names none."""
    from peft.utils.constants import TRANSFORMERS_MODELS_TO_IA3_TARGET_MODULES_MAPPING

    if name == "LN_TUNING":
        return {"target_modules": [path for path, part in model.named_modules() if "Norm" in type(part).__name__]}
    if name == "IA3" and model.config.model_type not in TRANSFORMERS_MODELS_TO_IA3_TARGET_MODULES_MAPPING:
        return {"target_modules": _parts(name, model, heads), "feedforward_modules": []}
    return {} if name in OWN_TARGETS else {"target_modules": _parts(name, model, heads)}


def _task_type(model: Any, kind: Kind) -> Any:
    """Say what the adapter is for, in PEFT's terms; it has none for images."""
    from peft import TaskType

    if kind == "causal":
        return TaskType.CAUSAL_LM
    if kind == "vision":
        return None
    return TaskType.TOKEN_CLS if type(model).__name__.endswith("ForTokenClassification") else TaskType.SEQ_CLS


def _parts(name: str, model: Any, heads: Sequence[str]) -> list[str]:
    """Name the linear layers below the head; of a network that has none, its convolutions."""
    output = model.get_output_embeddings()
    inside = [
        (path, part)
        for path, part in model.named_modules()
        if part is not output and not set(path.split(".")) & {*heads, "classifier", "score"}
    ]
    linear = [path for path, part in inside if isinstance(part, torch.nn.Linear | Conv1D)]
    if linear:
        return linear
    if name not in CONVOLVED:
        raise InputError(
            f"[adapt] tuner = {name!r}: it stands beside linear layers, and {type(model).__name__} has none below its "
            f"head; choose from {', '.join(CONVOLVED)}"
        )
    return [path for path, part in inside if isinstance(part, torch.nn.Conv2d) and part.groups == 1]


def _module_of(tensor: str, prefix: str) -> str:
    """Name the module of a new tensor: ``classifier.weight`` -> classifier, ``bert.pooler.dense.weight`` -> pooler."""
    return next(part for part in tensor.split(".") if part != prefix)
