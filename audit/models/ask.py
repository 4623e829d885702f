"""A loaded model as a view: which question is answered how."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from audit.models.embed import token_means
from audit.models.score import Progress, log_likelihoods, probabilities
from audit.view import Item, Kind, NotMeasurable, answer_texts

__all__ = ["ModelView", "Readout"]

T = TypeVar("T")

MAX_TOKENS = 512


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
