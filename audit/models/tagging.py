"""Tags of tokens: texts that come as tokens are read piece by piece, and each token is tagged at its first piece."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from audit.errors import InputError
from audit.models.batch import Progress, in_batches, padded, token_budget

__all__ = ["UNREAD", "first_pieces", "tag_probabilities"]

Array = NDArray[np.float64]
UNREAD = -1.0  # in place of the probabilities of a token that there is not, or that is beyond what the model reads


def first_pieces(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], longest: int
) -> list[tuple[list[int], list[int | None]]]:
    """Find where each token of a text (what stands between two spaces) begins among the pieces that a model reads.

    Parameters
    ----------
    tokenizer
        A fast one.
    texts : sequence of str
    longest : int
        Pieces that are read, special ones included.

    Returns
    -------
    list of (ids, first)
        The pieces of a text as running text is read, and for each of its tokens the place of its first one; None where
        it has none, or is cut off.

    Raises
    ------
    InputError
        If the tokenizer cannot say which piece belongs to which token.
    """
    if not tokenizer.is_fast:
        raise InputError(
            f"{type(tokenizer).__name__} does not tell which piece belongs to which token; tokens are tagged with a "
            "fast tokenizer (tokenizer.json) only"
        )
    cut = tokenizer(list(texts), truncation=True, max_length=longest, return_offsets_mapping=True, verbose=False)
    read = []
    for text, ids, spans in zip(texts, cut["input_ids"], cut["offset_mapping"], strict=True):
        owner = [number for number, token in enumerate(text.split(" ")) for _ in f"{token} "]  # of each character
        first: list[int | None] = [None] * (text.count(" ") + 1)
        for place, (begin, end) in enumerate(spans):
            if begin < end and text[end - 1] != " " and first[owner[end - 1]] is None:  # a piece may begin by a space
                first[owner[end - 1]] = place
        read.append((list(ids), first))
    return read


def tag_probabilities(
    model: Any,
    read: Sequence[tuple[Sequence[int], Sequence[int | None]]],
    width: int,
    pad: int,
    progress: Progress | None = None,
    *,
    alike: bool = False,
) -> Array:
    """Probabilities of the tags of every token.

    Parameters
    ----------
    model
        A token classifier.
    read : sequence of (ids, first)
        From `first_pieces`.
    width : int
        Tokens of the longest text.
    pad : int
    progress : callable, optional
    alike : bool
        The model minds padding: only texts of one length share a batch.

    Returns
    -------
    ndarray, shape (n, width, tags)
        Rows of tokens that were not read, and all behind a text's last, are -1.
    """
    answers: Array = np.full((len(read), width, int(model.config.num_labels)), UNREAD)

    def work(rows: list[int]) -> None:
        logits = model(**_batch([read[row][0] for row in rows], pad, model.device)).logits
        shares = torch.softmax(logits.double(), dim=-1).cpu().numpy()
        for row, share in zip(rows, shares, strict=True):
            for token, place in enumerate(read[row][1]):
                if place is not None:
                    answers[row, token] = share[place]

    budget = token_budget(model.device)
    in_batches([len(ids) for ids, _ in read], work, progress, budget=budget, alike=alike)
    return answers


def _batch(sequences: Sequence[Sequence[int]], pad: int, device: torch.device) -> dict[str, torch.Tensor]:
    ids, mask = padded(sequences, pad, device)
    return {"input_ids": ids, "attention_mask": mask}
