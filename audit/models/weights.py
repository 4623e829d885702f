"""Weights into memory: safetensors only, no remote code, nothing that a file does not hold."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from transformers import AutoConfig

from audit.errors import InputError
from audit.models.ranks import launched
from audit.models.source import Source
from audit.view import Kind

__all__ = [
    "Dtype",
    "accelerator",
    "best_device",
    "class_names",
    "first_line",
    "labels_of",
    "load_config",
    "load_weights",
    "model_kind",
    "read_json",
    "refuse_made_up",
    "refuse_two_way",
    "refuse_wrong_kind",
]

Dtype = Literal["float32", "bfloat16"]


def accelerator() -> str | None:
    """Name the accelerator that models run on, if there is one."""
    return torch.cuda.get_device_name() if torch.cuda.is_available() else None


def best_device() -> torch.device:
    """Return the accelerator at hand (of several ranks, this one's), else the CPU."""
    state = launched()
    if state is not None:
        return torch.device(state.device)
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps") if torch.backends.mps.is_available() else torch.device("cpu")


def load_config(source: Source) -> Any:
    """Read a model's config, without remote code."""
    try:
        return AutoConfig.from_pretrained(source.folder, trust_remote_code=False)
    except Exception as error:  # noqa: BLE001 (whatever a config makes its class raise, it cannot be used)
        raise InputError(f"{source.id}: its config cannot be used ({first_line(error)})") from None


def load_weights(auto: Any, source: Source, dtype: Dtype = "float32", **settings: Any) -> tuple[Any, set[str]]:
    """Load a model; return it and the names of the tensors that the file did not hold.

    Both sides of a pair are loaded by this function, whatever precision their files have. Matrix products stay in
    that precision: on a GPU, TF32 is switched off.
    """
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    try:
        model, info = auto.from_pretrained(
            source.folder,
            output_loading_info=True,
            dtype=getattr(torch, dtype),
            use_safetensors=True,
            trust_remote_code=False,
            **settings,
        )
    except (OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
        raise InputError(f"{source.id}: its weights cannot be loaded ({first_line(error)})") from None
    if not getattr(model, "is_quantized", False):  # which is where its library put it
        model = model.to(best_device())
    return model.eval(), set(info["missing_keys"]) | {key for key, *_ in info["mismatched_keys"]}


def refuse_made_up(source: Source, missing: set[str]) -> None:
    """Refuse a model with tensors that its file does not hold: they were drawn at random."""
    if missing:
        raise InputError(
            f"{source.id}: the file lacks {len(missing)} tensors that this model needs ({sorted(missing)[0]} …); "
            "a model that is partly made up is not audited"
        )


def read_json(path: Path) -> Any:
    """Read a JSON file of a model's folder."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    except ValueError:
        raise InputError(f"{path}: not valid JSON") from None


def first_line(error: BaseException) -> str:
    """Say an error in one line."""
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__


def labels_of(source: Source) -> list[str]:
    """Class names of a classifier's config, in order; none where the checkpoint is no classifier."""
    config = load_config(source)
    heads = ("ForSequenceClassification", "ForImageClassification")
    if not any(name.endswith(heads) for name in config.architectures or []):
        return []
    return class_names(config)


def class_names(config: Any) -> list[str]:
    """Names of a config's classes, in order; transformers' own where it names none."""
    return [str(config.id2label.get(index, f"LABEL_{index}")) for index in range(config.num_labels)]


# --- kinds ------------------------------------------------------------------------------------------------------------


def model_kind(folder: Path) -> Kind:
    """Tell what sort of model a folder holds, from its own files; an adapter without a config is judged by its task."""
    adapter, config, head = folder / "adapter_config.json", folder / "config.json", folder / "head.json"
    said = read_json(head) if head.is_file() else None
    if isinstance(said, dict) and said.get("kind") in get_args(Kind):
        own: Kind = said["kind"]
        return own
    if (folder / "modules.json").is_file():
        return "sentence_encoder"
    if adapter.is_file():
        return "causal" if read_json(adapter).get("task_type") == "CAUSAL_LM" else "encoder"
    settings = read_json(config) if config.is_file() else {}
    if "vision_config" in settings and "text_config" in settings:
        return "clip"
    if _is_causal(settings.get("architectures")):
        return "causal"
    return "vision" if _is_vision(settings.get("model_type")) else "encoder"


def _is_causal(architectures: list[str] | None) -> bool:
    return any(
        name.endswith(("ForCausalLM", "LMHeadModel")) and not name.endswith("WithLMHeadModel")
        for name in architectures or []
    )


def _is_vision(model_type: str | None) -> bool:
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES

    return model_type in MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES and model_type not in (
        "clip",
        "siglip",
        "siglip2",
    )


def refuse_wrong_kind(source: Source, config: Any, kind: Kind) -> None:
    """Refuse a model that transformers would load through a class it was not made for, with confident numbers.

    Raises
    ------
    InputError
        If the checkpoint's own architecture is of another kind.
    """
    names = config.architectures or []
    what = names[0] if names else type(config).__name__
    if getattr(config, "is_encoder_decoder", False):
        raise InputError(f"{source.id}: {what} is an encoder-decoder; it is not audited")
    clip, vision = hasattr(config, "vision_config") and hasattr(config, "text_config"), _is_vision(config.model_type)
    own = "clip" if clip else "vision" if vision else "causal" if _is_causal(names) else "text"
    wanted = kind if kind in ("clip", "vision", "causal") else "text"
    unsaid = kind == "causal" and not names and own == "text"  # its papers say nothing: the model itself is asked
    if own != wanted and not unsaid and not (kind == "sentence_encoder" and own == "causal"):
        raise InputError(f"{source.id}: its architecture is {what}, which is not of kind {kind!r}")


def refuse_two_way(source: Source, backbone: Any) -> None:
    """Refuse a model that looks ahead, where one that reads forwards only is needed; the model itself is asked.

    Raises
    ------
    InputError
        If what comes later changes the hidden state of what comes first.
    """
    ids = torch.tensor([[5, 6, 7], [5, 8, 9]], device=backbone.device) % backbone.config.get_text_config().vocab_size
    with torch.inference_mode():
        try:
            first = backbone(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state[:, 0]
        except AttributeError:
            raise InputError(f"{source.id}: {type(backbone).__name__} has no hidden states to ask for") from None
    if first.isfinite().all() and not torch.allclose(first[0], first[1], rtol=1e-5, atol=1e-6):
        raise InputError(
            f"{source.id}: {type(backbone).__name__} looks ahead, so it is not of kind 'causal'; use kind = 'encoder'"
        )
