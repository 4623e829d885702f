"""What a batch of texts answers: pooled hidden states, every layer, the logits of a classification head."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from audit.models.batch import Progress, in_batches, padded, token_budget

__all__ = ["Pool", "class_logits", "layer_means", "pooled", "text_rows", "token_means"]

Array = NDArray[np.float64]
Pool = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]  # hidden states (n, s, d), mask (n, s) -> (n, d')


def token_means(hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Average hidden states over the tokens of each text: (n, s, d) -> (n, d)."""
    weights = mask / mask.sum(dim=1, keepdim=True)
    return torch.einsum("bsd,bs->bd", hidden.float(), weights)


def pooled(
    backbone: Any,
    sequences: Sequence[Sequence[int]],
    pad: int,
    pool: Pool,
    progress: Progress | None = None,
    *,
    alike: bool = False,
) -> Array:
    """One vector a text.

    Parameters
    ----------
    backbone
        A model without a head.
    sequences : sequence of token ids
    pad : int
    pool : callable
        From hidden states and mask to vectors.
    progress : callable, optional
    alike : bool
        The model minds padding: only texts of one length share a batch.

    Returns
    -------
    ndarray, shape (n, d)
    """

    def answer(ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return pool(backbone(input_ids=ids, attention_mask=mask).last_hidden_state, mask)

    return text_rows(answer, sequences, pad, backbone.device, progress, alike=alike)


def layer_means(
    backbone: Any,
    sequences: Sequence[Sequence[int]],
    pad: int,
    progress: Progress | None = None,
    *,
    alike: bool = False,
) -> Array:
    """Token means of every layer, embeddings first, shape (n, layers + 1, d)."""

    def answer(ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        layers = backbone(input_ids=ids, attention_mask=mask, output_hidden_states=True).hidden_states
        return torch.stack([token_means(layer, mask) for layer in layers], dim=1)

    return text_rows(answer, sequences, pad, backbone.device, progress, alike=alike)


def class_logits(
    model: Any,
    sequences: Sequence[Sequence[int]],
    pad: int,
    progress: Progress | None = None,
    *,
    alike: bool = False,
) -> Array:
    """Logits of a sequence classifier, shape (n, labels)."""

    def answer(ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = model(input_ids=ids, attention_mask=mask).logits
        return logits

    return text_rows(answer, sequences, pad, model.device, progress, alike=alike)


def text_rows(
    answer: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    sequences: Sequence[Sequence[int]],
    pad: int,
    device: torch.device,
    progress: Progress | None = None,
    *,
    alike: bool = False,
) -> Array:
    """Answer texts in batches: from token ids and mask (n, s) to (n, ...), in the order of the texts."""
    result: list[Array] = [np.empty(0)] * len(sequences)

    def work(rows: list[int]) -> None:
        values = answer(*padded([sequences[row] for row in rows], pad, device)).double().cpu().numpy()
        for row, value in zip(rows, values, strict=True):
            result[row] = value

    in_batches([len(one) for one in sequences], work, progress, budget=token_budget(device), alike=alike)
    return np.stack(result)
