"""Tokenizers: loading one, how much a model reads, and one hash for all that a tokenizer does to a text."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import torch
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from audit.errors import InputError
from audit.models.source import Source

__all__ = ["context", "continuation", "has_tokenizer", "load_tokenizer", "pad_token", "tokenizer_hash"]

UNSAID = 2048  # tokens that are read where neither model nor tokenizer says how many it can


def has_tokenizer(source: Source) -> bool:
    """Tell whether a folder holds a tokenizer of its own; transformers would make one up from the config."""
    begins = ("tokenizer", "vocab", "spiece", "sentencepiece")
    return any(path.name.startswith(begins) for path in source.folder.iterdir())


def load_tokenizer(source: Source) -> PreTrainedTokenizerBase:
    """Load a tokenizer, without remote code.

    Raises
    ------
    InputError
        If there is none, or it turns text into nothing.
    """
    if not has_tokenizer(source):
        raise InputError(
            f"{source.id}: it has no usable tokenizer (no such file; one would be made up from the config)"
        )
    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(source.folder, trust_remote_code=False)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        lines = str(error).strip().splitlines()
        raise InputError(
            f"{source.id}: it has no usable tokenizer ({lines[0][:200] if lines else type(error).__name__})"
        ) from None
    if len(tokenizer) == 0 or not tokenizer("a")["input_ids"]:
        raise InputError(f"{source.id}: it has no usable tokenizer (it turns text into no tokens)")
    return tokenizer


def tokenizer_hash(tokenizer: PreTrainedTokenizerBase) -> str:
    """Hash what decides how text becomes tokens: vocabulary, rules, special tokens."""
    backend: Any = getattr(tokenizer, "backend_tokenizer", None)
    rules = backend.to_str() if backend is not None else json.dumps(sorted(tokenizer.get_vocab().items()))
    special = json.dumps({name: str(token) for name, token in sorted(tokenizer.special_tokens_map.items())})
    return hashlib.sha256(f"{rules}\n{special}".encode()).hexdigest()


def continuation(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """Return the tokens of a text as the continuation of another.

    A tokenizer may put a space of its own before what it takes for the beginning (Llama 2 does): a continuation is
    tokenised behind a letter, which is then taken away. Where the two grow together, it is tokenised by itself.
    """
    letter, both, alone = (
        list(tokenizer(one, add_special_tokens=False)["input_ids"]) for one in ("a", f"a{text}", text)
    )
    return both[len(letter) :] if both[: len(letter)] == letter else alone


def pad_token(model: Any, tokenizer: PreTrainedTokenizerBase) -> int:
    """Return the token that batches are padded with: the model's own, the tokenizer's, else any.

    Padding is masked, so that any token would do, but for models that find positions (RoBERTa) or the last token
    (decoders with a classification head) by looking for it. Such a model without one is told which.
    """
    config = model.config
    if getattr(config, "pad_token_id", None) is None:
        known = (tokenizer.pad_token_id, tokenizer.eos_token_id, 0)
        config.pad_token_id = next(token for token in known if token is not None)
    return int(config.pad_token_id)


def context(model: Any, tokenizer: PreTrainedTokenizerBase) -> int:
    """Return how many tokens a model reads at once.

    Notes
    -----
    The smallest of: positions in the config, rows of a learned position table (RoBERTa's first rows belong to the
    padding), and the tokenizer's own limit.
    """
    said = [getattr(model.config, "max_position_embeddings", None), tokenizer.model_max_length]
    for name, part in model.named_modules():
        if isinstance(part, torch.nn.Embedding) and "position_embeddings" in name:
            said.append(part.num_embeddings - (0 if part.padding_idx is None else part.padding_idx + 1))
    known = [int(length) for length in said if length is not None and 0 < length < 10**9]
    return min(known, default=UNSAID)
