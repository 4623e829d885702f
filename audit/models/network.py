"""One set of weights with the heads that it really has, and heads moved from one set of weights to another."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from accelerate.utils.memory import should_reduce_batch_size
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
)

from audit.models.batch import padded
from audit.models.source import Source
from audit.models.weights import Dtype, load_config, load_weights, refuse_made_up, refuse_two_way
from audit.view import Kind

__all__ = ["Network", "Words", "graft", "load_network", "logsumexp_in_place", "minds_padding", "stretches"]

ROWS = 1024  # positions whose logits are held at once


def graft(model: Any, backbone: Any) -> Any:
    """Return a model's heads on another backbone; nothing is copied, and the model itself stays as it is."""
    grafted = copy.copy(model)
    grafted.__dict__["_modules"] = {**model._modules, model.base_model_prefix: backbone}
    return grafted


class _Given(torch.nn.Module):
    """Stands where a backbone stands, and answers with hidden states that are known already."""

    hidden: torch.Tensor

    def forward(self, *_: Any, **__: Any) -> _Output:
        return _Output(self.hidden)


class _Output:
    """What backbones return: hidden states by name or first of all, and nothing else."""

    def __init__(self, hidden: torch.Tensor) -> None:
        self.last_hidden_state = hidden

    def __getitem__(self, place: Any) -> Any:
        return (self.last_hidden_state,)[place]

    def __getattr__(self, name: str) -> None:
        return None


class Words:
    """A language-model head, masked or causal, that is asked at chosen positions only.

    Parameters
    ----------
    model
        A transformers model with a language-model head, or a PEFT model around one.
    whole : bool
        The model is more than a backbone and a head (its prompt is learnt, say): only its own logits are its answer.

    Notes
    -----
    A model's logits at every position cost more than the rest of a small model. Here the backbone runs alone, and
    the head sees the positions that are scored: the model's own head, with whatever it does to hidden states and
    logits, on a backbone that answers with the hidden states of those positions. That this gives the model's own
    logits is checked on the first batch; a model for which it does not takes the whole way.
    """

    def __init__(self, model: Any, *, whole: bool = False) -> None:
        self.model = model
        self.packed_length = None if whole else 0  # rows up to this length may hold several sequences; None: never
        self._head: Any = None
        self._whole = True if whole else None

    def log_probabilities(
        self, ids: torch.Tensor, mask: torch.Tensor, at: torch.Tensor, tokens: torch.Tensor, depths: Any = None
    ) -> torch.Tensor:
        """Log-probabilities in nats of tokens at positions of a batch.

        Parameters
        ----------
        ids : tensor, shape (n, length)
        mask : tensor, shape (n, length) or (n, 1, length, length)
        at : tensor of int, shape (m,)
            Positions in the flattened batch whose hidden states are asked.
        tokens : tensor of int, shape (m,)
        depths : tensor of int, shape (n, length), optional
            Position ids, where they are not simply counted.

        Returns
        -------
        tensor of float64, shape (m,), on the CPU
        """
        asked, which = torch.unique(at, return_inverse=True)
        parts = []
        for begin, logits in self.logits(ids, mask, asked, depths):
            inside = (which >= begin) & (which < begin + len(logits))
            chosen = logits[which[inside] - begin, tokens[inside]]
            parts.append((inside, chosen - logsumexp_in_place(logits)[which[inside] - begin]))
        answer = torch.empty(len(at), dtype=torch.float64)
        for inside, nats in parts:
            answer[inside.cpu()] = nats.double().cpu()
        return answer

    def logits(
        self, ids: torch.Tensor, mask: torch.Tensor, at: torch.Tensor, depths: Any = None
    ) -> Iterator[tuple[int, torch.Tensor]]:
        """Logits at positions of a batch, as many at once as are held; see `log_probabilities`.

        Yields
        ------
        begin : int
            How many positions came before.
        logits : tensor of float32, shape (at most ROWS, vocabulary)
            The caller's own, to overwrite.
        """
        settings = {"input_ids": ids, "attention_mask": mask} | ({} if depths is None else {"position_ids": depths})
        if self._whole is None:
            self._whole = not self._short_way_holds(ids[:1], mask[:1], None if depths is None else depths[:1])
        if self._whole:
            states = self.model(**settings).logits[:, -ids.shape[1] :]
        else:
            states = self.model.base_model(**settings).last_hidden_state
        states = states.flatten(0, 1)
        for begin in range(0, len(at), ROWS):
            rows = states[at[begin : begin + ROWS]]
            yield begin, (rows if self._whole else self._logits(rows)).float()

    def _logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """Logits of hidden states, shape (m, d) -> (m, vocabulary)."""
        if self._head is None:
            self._head = graft(self.model, _Given())
        self._head.base_model.hidden = hidden[None]
        logits: torch.Tensor = self._head(input_ids=torch.zeros_like(hidden[None, :, 0], dtype=torch.long)).logits[0]
        del self._head.base_model.hidden
        return logits

    def _short_way_holds(self, ids: torch.Tensor, mask: torch.Tensor, depths: torch.Tensor | None) -> bool:
        settings = {"input_ids": ids, "attention_mask": mask} | ({} if depths is None else {"position_ids": depths})
        whole = self.model(**settings).logits[0]
        try:
            short = self._logits(self.model.base_model(**settings).last_hidden_state[0])
        except (AttributeError, TypeError, ValueError, RuntimeError) as error:  # a head that looks into its backbone
            if isinstance(error, RuntimeError) and should_reduce_batch_size(error):
                raise
            return False
        return short.shape == whole.shape and torch.allclose(short, whole, rtol=1e-5, atol=1e-5)


def logsumexp_in_place(logits: torch.Tensor) -> torch.Tensor:
    """Return the logsumexp of each row of logits, which are overwritten: no copy of them is made."""
    top = logits.amax(-1, keepdim=True)
    return logits.sub_(top).exp_().sum(-1).log_() + top[:, 0]


@dataclass(frozen=True)
class Network:
    """One set of weights with the heads that it really has, on one backbone.

    Attributes
    ----------
    backbone
        What turns tokens into hidden states; None where they cannot be had without a head.
    classes
        The model with its trained classification head; None where there is none.
    words : Words or None
        Its language-model head, masked or causal.
    tags
        The model with its trained head for the tags of tokens; None where there is none.
    """

    backbone: Any
    classes: Any = None
    words: Words | None = None
    tags: Any = None

    @property
    def model(self) -> Any:
        """The most that there is: a whole model with a head, else the backbone."""
        if self.classes is not None or self.tags is not None:
            return self.tags if self.classes is None else self.classes
        return self.words.model if self.words is not None else self.backbone


def load_network(source: Source, kind: Kind, dtype: Dtype = "float32") -> Network:
    """Load a text model through the class that its file was saved from, with the heads that the file really holds.

    Raises
    ------
    InputError
        If other tensors than those of a head are missing, or a causal model looks ahead.
    """
    name = next(iter(load_config(source).architectures or []), "")
    if name.endswith("ForSequenceClassification"):
        model, missing = load_weights(AutoModelForSequenceClassification, source, dtype)
        refuse_made_up(source, missing)
        return Network(model.base_model, classes=model)
    if name.endswith("ForTokenClassification"):
        model, missing = load_weights(AutoModelForTokenClassification, source, dtype)
        refuse_made_up(source, missing)
        return Network(model.base_model, tags=model)
    if kind == "causal":
        model, missing = load_weights(AutoModelForCausalLM, source, dtype)
        refuse_made_up(source, missing)
        refuse_two_way(source, model.base_model)
        return Network(model.base_model, words=Words(model))
    if name.endswith(("ForMaskedLM", "ForPreTraining")):
        model, missing = load_weights(AutoModelForMaskedLM, source, dtype)
        refuse_made_up(source, {name for name in missing if name.startswith(f"{model.base_model_prefix}.")})
        return Network(model.base_model, words=None if missing else Words(model))
    model, missing = load_weights(AutoModel, source, dtype)
    refuse_made_up(source, {name for name in missing if not name.startswith("pooler.")})
    return Network(model)


def minds_padding(backbone: Any, ids: Sequence[int], pad: int) -> bool:
    """Tell whether what a model makes of a text changes when masked padding stands behind it; the model is asked."""
    beside, mask = padded([ids, [*ids, pad, pad, pad]], pad, backbone.device)
    alone = backbone(input_ids=beside[:1, : len(ids)], attention_mask=mask[:1, : len(ids)]).last_hidden_state
    among = backbone(input_ids=beside, attention_mask=mask).last_hidden_state[:1, : len(ids)]
    rough = 1e-4 if alone.dtype == torch.float32 else 0.1
    return alone.shape != among.shape or not torch.allclose(alone, among, rtol=rough, atol=rough)


def stretches(backbone: Any) -> bool:
    """Tell whether a model turns its positions by the longest text of a batch, so that company changes an answer."""
    rope = getattr(backbone.config, "rope_parameters", None) or {}
    return rope.get("rope_type") in ("longrope", "dynamic")
