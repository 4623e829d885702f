"""Base and adapted as one pair of views: the same tokenizer, dtype and attention on both sides, or none at all."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedTokenizerBase,
)

from audit.errors import InputError
from audit.models.embed import token_means
from audit.models.preflight import compare_configs, compare_tokenizers
from audit.models.score import Progress, log_likelihoods, probabilities
from audit.models.source import Source
from audit.view import Item, Kind, NotMeasurable, answer_texts

__all__ = [
    "ModelView",
    "Pair",
    "Readout",
    "load_base",
    "load_config",
    "load_pair",
    "load_tokenizer",
    "model_kind",
    "refuse_wrong_kind",
]

T = TypeVar("T")

MAX_TOKENS = 512
LOADING = {"dtype": torch.float32, "use_safetensors": True, "trust_remote_code": False}


@dataclass(frozen=True)
class Readout:
    """How a causal model is asked for a class: a prompt with ``{text}``, and the label names as completions."""

    prompt: str
    labels: tuple[str, ...]

    def completion(self, label: str) -> str:
        """Return what the model would have to write for a label."""
        return f" {label}"


class ModelView:
    """A loaded model as a view.

    Parameters
    ----------
    model
        A transformers or PEFT model in float32.
    tokenizer
        The base's, for both sides.
    id : str
        Hash of the weights.
    kind : {"encoder", "causal"}
    labels : sequence of str
        Of a trained classification head; empty where there is none.
    readout : Readout, optional
        How a causal model is asked for a class.
    adapter : bool
        False asks a PEFT model with its adapter switched off: the base, from the same weights.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: PreTrainedTokenizerBase,
        *,
        id: str,
        kind: Kind,
        labels: Sequence[str] = (),
        readout: Readout | None = None,
        adapter: bool = True,
    ) -> None:
        self.kind: Kind = kind
        self.labels = tuple(readout.labels if readout is not None else labels)
        self.id = id if readout is None else f"{id}/{readout.prompt}/{','.join(readout.labels)}"
        self.progress: Progress | None = None
        self._model, self._tokenizer, self._readout = model.eval(), tokenizer, readout
        self._adapter = adapter
        longest = getattr(model.config, "max_position_embeddings", None) or MAX_TOKENS
        self._longest = min(longest, tokenizer.model_max_length, MAX_TOKENS)
        self._pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else 0

    def ask(self, question: str, items: Sequence[Item]) -> NDArray[np.float64]:
        """Answer one question about each item, in item order (see `audit.view.View`)."""
        with torch.inference_mode(), nullcontext() if self._adapter else self._model.disable_adapter():
            answer = self._answer(question, items)
        if not np.isfinite(answer).all():
            bad = items[int(np.flatnonzero(~np.isfinite(answer).reshape(len(items), -1).all(axis=1))[0])]
            raise NotMeasurable(question, f"the model's answer for item {bad.id!r} is not finite")
        return answer

    def _answer(self, question: str, items: Sequence[Item]) -> NDArray[np.float64]:
        if question == "probabilities":
            return self._probabilities(items)
        if question == "option_log_likelihood":
            return self._options(
                [_need(item.prompt, item, question) for item in items],
                [_need(item.options, item, question) for item in items],
            )
        texts = [_need(item.text, item, question) for item in items]
        if question in ("embedding", "layer_means"):
            layers = question == "layer_means"
            return token_means(
                self._plain.base_model, self._encode(texts), self._pad, all_layers=layers, progress=self.progress
            )
        if question in ("log_likelihood", "token_count") and self.kind == "causal":
            sequences = self._whole(texts, items)
            if question == "token_count":
                return np.array([len(one) - 1.0 for one in sequences])
            return log_likelihoods(self._plain, sequences, [1] * len(sequences), self._pad, self.progress)
        raise NotMeasurable(question, f"a model of kind {self.kind!r} does not answer it")

    @property
    def _plain(self) -> Any:
        """The transformers model, adapter layers inside it."""
        return self._model.get_base_model() if hasattr(self._model, "disable_adapter") else self._model

    def _encode(self, texts: Sequence[str]) -> list[list[int]]:
        encoded: list[list[int]] = self._tokenizer(list(texts), truncation=True, max_length=self._longest)["input_ids"]
        return encoded

    def _whole(self, texts: Sequence[str], items: Sequence[Item]) -> list[list[int]]:
        """Token ids of whole texts after a start token, so that every token of the text is scored."""
        ids: list[list[int]] = self._tokenizer(list(texts), add_special_tokens=False)["input_ids"]
        start = self._tokenizer.bos_token_id
        start = start if start is not None else self._tokenizer.eos_token_id
        if start is None:
            raise NotMeasurable("log_likelihood", "the tokenizer has neither a start nor an end token")
        limit = getattr(self._plain.config, "max_position_embeddings", None) or 10**9
        for one, item in zip(ids, items, strict=True):
            if not one or len(one) + 1 > limit:
                raise NotMeasurable(
                    "log_likelihood", f"item {item.id!r} has {len(one)} tokens; 1 to {limit - 1} can be scored"
                )
        return [[start, *one] for one in ids]

    def _probabilities(self, items: Sequence[Item]) -> NDArray[np.float64]:
        if not self.labels:
            raise NotMeasurable("probabilities", "this model has no trained classification head")
        return answer_texts("probabilities", items, self._classify)

    def _classify(self, texts: list[str]) -> NDArray[np.float64]:
        if self._readout is None:
            return probabilities(self._model, self._encode(texts), self._pad, self.progress)
        before, after = self._readout.prompt.split("{text}")
        completions = tuple(self._readout.completion(label) for label in self.labels)
        nats = self._options([before + text + after for text in texts], [completions] * len(texts))
        weights = np.exp(nats - nats.max(axis=1, keepdims=True))
        shares: NDArray[np.float64] = weights / weights.sum(axis=1, keepdims=True)
        return shares

    def _options(self, prompts: Sequence[str], options: Sequence[Sequence[str]]) -> NDArray[np.float64]:
        if self.kind != "causal":
            raise NotMeasurable("option_log_likelihood", f"a model of kind {self.kind!r} does not answer it")
        contexts: list[list[int]] = self._tokenizer(list(prompts))["input_ids"]
        sequences, starts = [], []
        for context, choices in zip(contexts, options, strict=True):
            for choice in choices:
                ids = self._tokenizer(choice, add_special_tokens=False)["input_ids"]
                context = context[-(self._longest - len(ids)) :]
                sequences.append([*context, *ids])
                starts.append(len(context))
        return log_likelihoods(self._plain, sequences, starts, self._pad, self.progress).reshape(len(prompts), -1)


def _need(value: T | None, item: Item, question: str) -> T:
    if value is None:
        raise NotMeasurable(question, f"item {item.id!r} has not the content that this question needs")
    return value


# --- loading ----------------------------------------------------------------------------------------------------------


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


def model_kind(folder: Path) -> Kind:
    """Tell what a checkpoint or an adapter is for, from its own files."""
    adapter = folder / "adapter_config.json"
    if adapter.is_file():
        return "causal" if json.loads(adapter.read_text()).get("task_type") == "CAUSAL_LM" else "encoder"
    config = folder / "config.json"
    architectures = (json.loads(config.read_text()).get("architectures") or [""]) if config.is_file() else [""]
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

    settings = json.loads((adapted.folder / "adapter_config.json").read_text())
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
