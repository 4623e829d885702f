"""Features of texts: the mean over tokens of the last hidden state, or of every layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from audit.models.score import Progress, batches, padded

__all__ = ["token_means"]


def token_means(
    backbone: Any,
    sequences: Sequence[Sequence[int]],
    pad: int,
    *,
    all_layers: bool = False,
    progress: Progress | None = None,
) -> NDArray[np.float64]:
    """Average hidden states over the tokens of each text.

    Parameters
    ----------
    backbone
        A model without a head.
    sequences : sequence of token ids
    pad : int
    all_layers : bool
        Of every layer, embeddings included, instead of the last.
    progress : callable, optional

    Returns
    -------
    ndarray, shape (n, d), or (n, layers + 1, d)
    """
    result: NDArray[np.float64] | None = None
    done = 0
    for rows in batches([len(one) for one in sequences]):
        ids, mask = padded([sequences[row] for row in rows], pad, backbone.device)
        output = backbone(input_ids=ids, attention_mask=mask, output_hidden_states=all_layers)
        hidden = torch.stack(output.hidden_states, dim=1) if all_layers else output.last_hidden_state[:, None]
        weights = (mask / mask.sum(dim=1, keepdim=True)).to(hidden.dtype)
        means = torch.einsum("blsd,bs->bld", hidden, weights).cpu().double().numpy()
        if result is None:
            result = np.empty((len(sequences), *means.shape[1:]))
        result[rows] = means
        done += len(rows)
        if progress:
            progress(done, len(sequences))
    if result is None:
        raise ValueError("no texts to embed")
    return result if all_layers else result[:, 0]
