"""Texts without labels as rows that a language model learns from: blocks for a causal one, pieces for a masked one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

from audit.adapt.rows import SILENT
from audit.errors import InputError
from audit.models.batch import padded

__all__ = ["Masked", "Row", "blocks", "collated", "pieces"]


Row = dict[str, list[int]]
Collate = Callable[[Sequence[Row]], dict[str, torch.Tensor]]


def blocks(texts: Sequence[str], tokenizer: PreTrainedTokenizerBase, end: int, size: int) -> list[list[int]]:
    """Join texts, an end behind each, and cut the whole into blocks of like length, at most ``size``; no token is lost.

    Of 129 tokens in blocks of up to 128, both have about half: a block of one token would teach nothing.
    """
    ids = [one for one in tokenizer(list(texts), verbose=False)["input_ids"] if one] if texts else []
    stream = list(chain.from_iterable(one if one[-1] == end else [*one, end] for one in ids))
    count = -(-len(stream) // size)
    return [part.tolist() for part in np.array_split(stream, count)] if stream else []


def pieces(texts: Sequence[str], tokenizer: PreTrainedTokenizerBase, size: int) -> list[list[int]]:
    """Cut each text into pieces of like length, each between the tokens that begin and end a text, at most ``size``."""
    whole, inner = (tokenizer("a", add_special_tokens=special)["input_ids"] for special in (True, False))
    head = next(place for place in range(len(whole)) if whole[place : place + len(inner)] == inner)
    before, behind = whole[:head], whole[head + len(inner) :]
    room = max(1, size - len(before) - len(behind))
    tokens = tokenizer(list(texts), add_special_tokens=False, verbose=False)["input_ids"] if texts else []
    return [
        [*before, *part.tolist(), *behind]
        for ids in tokens
        if ids
        for part in np.array_split(ids, -(-len(ids) // room))
    ]


class Masked(Sequence[Row]):
    """Rows of a masked model, masked anew in every epoch.

    Parameters
    ----------
    sequences : sequence of token ids
        Those without a token that could be masked are left out.
    tokenizer
    share : float
        Of the tokens, at least one a row.
    seed : int
    """

    def __init__(
        self, sequences: Sequence[Sequence[int]], tokenizer: PreTrainedTokenizerBase, share: float, seed: int
    ) -> None:
        special, mask = set(tokenizer.all_special_ids), tokenizer.mask_token_id
        if mask is None:
            raise InputError("[domain] the base's tokenizer has no mask token (mask_token); leave [domain] out")
        open_places = [[place for place, token in enumerate(ids) if token not in special] for ids in sequences]
        self._rows = [(list(ids), own) for ids, own in zip(sequences, open_places, strict=True) if own]
        self._mask, self._words, self._share, self._seed, self._epoch = int(mask), len(tokenizer), share, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch begins; the data loader of a training does."""
        self._epoch = epoch

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, row: Any) -> Any:
        ids, own = self._rows[row]
        rng = np.random.default_rng([self._seed, self._epoch, row])
        count = max(1, int(self._share * len(own) + rng.random()))  # on average the share, whatever the length
        masked, labels = list(ids), [SILENT] * len(ids)
        for place, how in zip(rng.choice(own, min(count, len(own)), replace=False), rng.random(count), strict=False):
            labels[place] = ids[place]
            if how < 0.9:
                masked[place] = self._mask if how < 0.8 else int(rng.integers(self._words))
        return {"input_ids": masked, "labels": labels}


def collated(pad: int) -> Collate:
    """Return what pads a batch on the right; padding carries no loss."""

    def collate(rows: Sequence[Row]) -> dict[str, torch.Tensor]:
        cpu = torch.device("cpu")
        ids, mask = padded([row["input_ids"] for row in rows], pad, cpu)
        labels, _ = padded([row["labels"] for row in rows], SILENT, cpu)
        return {"input_ids": ids, "attention_mask": mask, "labels": labels}

    return collate
