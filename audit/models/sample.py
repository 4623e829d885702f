"""What a causal model writes by itself: text of the domain that it knows best."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers import GenerationConfig, PreTrainedTokenizerBase

from audit.models.batch import Progress

__all__ = ["write_texts"]

BATCH = 32
TRIES = 4  # texts that are begun for each that is wanted, at most: a model may write nothing


def write_texts(
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    start: Sequence[int],
    count: int,
    *,
    seed: int = 0,
    tokens: int = 64,
    progress: Progress | None = None,
) -> list[str]:
    """Sample texts from a causal model: each token as likely as the model says, from the start token on.

    Parameters
    ----------
    model
        With a language-model head.
    tokenizer
    start : sequence of int
        What every text begins with, and does not count among its words.
    count : int
        Texts that are wanted.
    seed : int
        The same seed writes the same texts on the same machine; draws from elsewhere stay as they are.
    tokens : int
        Of a text, at most. One that is not over by then ends with its last whole word.
    progress : callable, optional

    Returns
    -------
    list of str
        Not empty any of them; fewer than ``count`` if the model too often writes nothing.
    """
    ends = tokenizer.eos_token_id
    plain = GenerationConfig(  # type: ignore[no-untyped-call]
        do_sample=True,
        temperature=1.0,
        top_k=0,
        top_p=1.0,
        min_p=0.0,
        repetition_penalty=1.0,
        max_new_tokens=tokens,
        eos_token_id=ends,
        pad_token_id=ends if ends is not None else 0,
    )
    texts: list[str] = []
    device = model.device
    with torch.random.fork_rng(), torch.inference_mode():
        torch.manual_seed(seed)
        for _ in range(TRIES * -(-count // BATCH)):
            ids = torch.tensor([list(start)] * BATCH, device=device)
            written = model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), generation_config=plain)
            for row in written[:, len(start) :].tolist():
                text = str(tokenizer.decode(row, skip_special_tokens=True)).rstrip("\ufffd")
                over = ends in row
                text = (text if over else text.rpartition(" ")[0] or text).strip()
                if text:
                    texts.append(text)
            if progress:
                progress(min(len(texts), count), count)
            if len(texts) >= count:
                break
    return texts[:count]
