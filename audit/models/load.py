"""Base and adapted as one pair of views: the same tokenizer, dtype and attention on both sides, or none at all."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedTokenizerBase,
)

from audit.errors import InputError
from audit.models.ask import ModelView, Readout
from audit.models.preflight import compare_configs, compare_tokenizers
from audit.models.source import Source
from audit.view import Kind

__all__ = [
    "Pair",
    "context",
    "load_base",
    "load_config",
    "load_pair",
    "load_tokenizer",
    "model_kind",
    "refuse_wrong_kind",
]

LOADING = {"dtype": torch.float32, "use_safetensors": True, "trust_remote_code": False}


@dataclass(frozen=True)
class Pair:
    """Base and adapted, ready to be asked the same; ``preflight`` lists every setting in which they differ."""

    base: ModelView
    adapted: ModelView
    preflight: list[dict[str, str]]


def load_config(source: Source) -> Any:
    """Read a model's config, without remote code."""
    try:
        return AutoConfig.from_pretrained(source.folder, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{source.id}: its config cannot be used ({_first_line(error)})") from None


def load_tokenizer(source: Source) -> PreTrainedTokenizerBase:
    """Load a tokenizer, without remote code."""
    names = [path.name for path in source.folder.iterdir()]
    if not any(name.startswith(("tokenizer", "vocab", "spiece", "sentencepiece")) for name in names):
        raise InputError(
            f"{source.id}: it has no usable tokenizer (no such file; one would be made up from the config)"
        )
    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(source.folder, trust_remote_code=False)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{source.id}: it has no usable tokenizer ({_first_line(error)})") from None
    if len(tokenizer) == 0 or not tokenizer("a")["input_ids"]:
        raise InputError(f"{source.id}: it has no usable tokenizer (it turns text into no tokens)")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def context(model: Any, tokenizer: PreTrainedTokenizerBase, wanted: int) -> int:
    """Return the longest text in tokens that is wanted and that the model has positions for."""
    positions = getattr(model.config, "max_position_embeddings", None) or wanted
    return int(min(wanted, positions, tokenizer.model_max_length))


def _json(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError):
        raise InputError(f"{path}: not valid JSON") from None
    return content


def model_kind(folder: Path) -> Kind:
    """Tell what a checkpoint or an adapter is for, from its own files."""
    adapter = folder / "adapter_config.json"
    if adapter.is_file():
        return "causal" if _json(adapter).get("task_type") == "CAUSAL_LM" else "encoder"
    config = folder / "config.json"
    architectures = (_json(config).get("architectures") or [""]) if config.is_file() else [""]
    return "causal" if architectures[0].endswith(("ForCausalLM", "LMHeadModel")) else "encoder"


def refuse_wrong_kind(source: Source, config: Any, kind: Kind) -> None:
    """Refuse a model that transformers would load through a class it was not made for, with confident numbers.

    Raises
    ------
    InputError
        If the checkpoint's own architecture is of another kind.
    """
    names = config.architectures or []
    causal = any(name.endswith(("ForCausalLM", "LMHeadModel")) for name in names)
    if getattr(config, "is_encoder_decoder", False):
        raise InputError(f"{source.id}: {names[0] if names else 'it'} is an encoder-decoder; it is not audited")
    if names and causal != (kind == "causal"):
        raise InputError(f"{source.id}: its architecture is {names[0]}, which is not of kind {kind!r}")


def load_weights(auto: Any, source: Source, **settings: Any) -> tuple[Any, set[str]]:
    """Load a model in float32 from safetensors; return it and the names of the tensors that the file did not hold."""
    try:
        model, info = auto.from_pretrained(source.folder, output_loading_info=True, **LOADING, **settings)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise InputError(f"{source.id}: its weights cannot be loaded ({_first_line(error)})") from None
    return model.to(best_device()), set(info["missing_keys"]) | {key for key, *_ in info["mismatched_keys"]}


def best_device() -> torch.device:
    """Return the accelerator at hand, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps") if torch.backends.mps.is_available() else torch.device("cpu")


def load_base(source: Source, kind: Kind, readout: Readout | None = None) -> ModelView:
    """Load a base by itself.

    Raises
    ------
    InputError
        If weights are missing: a model that was partly made up is not a base.
    """
    refuse_wrong_kind(source, load_config(source), kind)
    if kind == "causal":
        model, missing = load_weights(AutoModelForCausalLM, source)
        _refuse_made_up(source, missing)
        return ModelView(model, load_tokenizer(source), id=source.sha256, kind=kind, readout=readout)
    return _load_encoder(source, load_tokenizer(source))


def load_pair(base: Source, adapted: Source, kind: Kind, readout: Readout | None = None) -> Pair:
    """Load a base and what was made of it.

    Parameters
    ----------
    base, adapted : Source
        ``adapted`` is a full checkpoint or a PEFT adapter. An adapter shares the base's weights: one copy in memory.
    kind : {"encoder", "causal"}
    readout : Readout, optional
        How a causal model is asked for a class.

    Raises
    ------
    InputError
        If configs or tokenizers differ in what an adaptation cannot explain, or weights are missing.
    """
    tokenizer = load_tokenizer(base)
    refuse_wrong_kind(base, load_config(base), kind)
    if (adapted.folder / "adapter_config.json").is_file():
        return _load_adapter(base, adapted, tokenizer, kind, readout)
    configs = load_config(base), load_config(adapted)
    preflight = compare_configs(*configs, base.id, adapted.id)
    if any((adapted.folder / name).is_file() for name in ("tokenizer.json", "tokenizer_config.json", "vocab.txt")):
        preflight += compare_tokenizers(tokenizer, load_tokenizer(adapted), base.id, adapted.id)
    if kind == "causal":
        return Pair(load_base(base, kind, readout), load_base(adapted, kind, readout), preflight)
    return Pair(_load_encoder(base, tokenizer), _load_encoder(adapted, tokenizer), preflight)


def _load_encoder(source: Source, tokenizer: PreTrainedTokenizerBase) -> ModelView:
    config = load_config(source)
    if any(name.endswith("ForSequenceClassification") for name in config.architectures or []):
        model, missing = load_weights(AutoModelForSequenceClassification, source)
        _refuse_made_up(source, missing)
        labels = [config.id2label[index] for index in range(config.num_labels)]
        return ModelView(model, tokenizer, id=source.sha256, kind="encoder", labels=labels)
    model, missing = load_weights(AutoModel, source)
    _refuse_made_up(source, {name for name in missing if not name.startswith("pooler.")})
    return ModelView(model, tokenizer, id=source.sha256, kind="encoder")


def _load_adapter(
    base: Source, adapted: Source, tokenizer: PreTrainedTokenizerBase, kind: Kind, readout: Readout | None
) -> Pair:
    from peft import PeftModel

    settings = _json(adapted.folder / "adapter_config.json")
    if settings.get("bias", "none") != "none":
        raise InputError(
            f"{adapted.id}: an adapter with bias = {settings['bias']!r} changes the base's own weights; "
            "audit the merged checkpoint instead"
        )
    if kind == "causal":
        model, missing = load_weights(AutoModelForCausalLM, base)
        labels: list[str] = []
    else:
        labels = _adapter_labels(adapted)
        model, missing = load_weights(AutoModelForSequenceClassification, base, num_labels=len(labels))
        carried = set(settings.get("modules_to_save") or [])  # the adapter brings these itself
        missing = {name for name in missing if not carried & set(name.split("."))}
    _refuse_made_up(base, missing)
    try:
        model = PeftModel.from_pretrained(model, str(adapted.folder))
    except (OSError, ValueError, RuntimeError, KeyError, TypeError) as error:
        raise InputError(f"{adapted.id}: the adapter does not fit the base {base.id} ({_first_line(error)})") from None
    both = f"{base.sha256}+{adapted.sha256}"
    # a base has no head of its own behind a classification adapter: it is asked for features only
    return Pair(
        ModelView(model, tokenizer, id=base.sha256, kind=kind, readout=readout, adapter=False),
        ModelView(model, tokenizer, id=both, kind=kind, labels=labels, readout=readout),
        [],
    )


def _adapter_labels(adapted: Source) -> list[str]:
    if (adapted.folder / "config.json").is_file():
        config = load_config(adapted)
        return [config.id2label[index] for index in range(config.num_labels)]
    from safetensors import safe_open

    with safe_open(adapted.folder / "adapter_model.safetensors", framework="pt") as tensors:
        heads = [
            tensors.get_slice(name).get_shape()
            for name in tensors.keys()  # noqa: SIM118 (not a dict)
            if "lora_" not in name and name.endswith(".weight")
        ]
    if not heads:
        raise InputError(f"{adapted.id}: a classification adapter without a head in it; its labels are not known")
    return [f"LABEL_{index}" for index in range(min(shape[0] for shape in heads if len(shape) == 2))]


def _refuse_made_up(source: Source, missing: set[str]) -> None:
    if missing:
        raise InputError(
            f"{source.id}: the file lacks {len(missing)} tensors that this model needs ({sorted(missing)[0]} …); "
            "a model that is partly made up is not audited"
        )


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
