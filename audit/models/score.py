"""The hot path: probabilities and likelihoods in length-sorted batches of bounded size."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

__all__ = ["Progress", "batches", "log_likelihoods", "padded", "probabilities"]

Array = NDArray[np.float64]
Progress = Callable[[int, int], None]  # done, total

TOKENS = 4096  # padded tokens a batch


def batches(lengths: Sequence[int], budget: int = TOKENS) -> Iterator[list[int]]:
    """Group positions, longest first, so that a padded batch stays within a budget of tokens.

    Examples
    --------
    >>> list(batches([1, 5, 2, 5], budget=10))
    [[1, 3], [2, 0]]
    """
    order = sorted(range(len(lengths)), key=lambda i: (-lengths[i], i))
    batch: list[int] = []
    for position in order:
        if batch and lengths[batch[0]] * (len(batch) + 1) > budget:
            yield batch
            batch = []
        batch.append(position)
    if batch:
        yield batch


def padded(sequences: Sequence[Sequence[int]], pad: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Pad token ids on the right; return ids and attention mask, both (n, longest)."""
    longest = max(len(one) for one in sequences)
    ids = torch.full((len(sequences), longest), pad, dtype=torch.long)
    mask = torch.zeros((len(sequences), longest), dtype=torch.long)
    for row, one in enumerate(sequences):
        ids[row, : len(one)] = torch.tensor(one, dtype=torch.long)
        mask[row, : len(one)] = 1
    return ids.to(device), mask.to(device)


def probabilities(model: Any, sequences: Sequence[Sequence[int]], pad: int, progress: Progress | None = None) -> Array:
    """Class probabilities of a sequence classifier, shape (n, labels)."""
    result = np.empty((len(sequences), model.config.num_labels))
    done = 0
    for rows in batches([len(one) for one in sequences]):
        ids, mask = padded([sequences[row] for row in rows], pad, model.device)
        logits = model(input_ids=ids, attention_mask=mask).logits
        result[rows] = torch.softmax(logits.double(), dim=-1).cpu().numpy()
        done += len(rows)
        if progress:
            progress(done, len(sequences))
    return result


def log_likelihoods(
    model: Any,
    sequences: Sequence[Sequence[int]],
    starts: Sequence[int],
    pad: int,
    progress: Progress | None = None,
) -> Array:
    """Log-likelihood in nats of each sequence from a position on, given what precedes it.

    Parameters
    ----------
    model
        A causal language model.
    sequences : sequence of token ids
    starts : sequence of int
        First scored position of each sequence, at least 1.
    pad : int
    progress : callable, optional

    Returns
    -------
    ndarray, shape (n,)

    Notes
    -----
    The output matrix is applied to the scored positions only. That this reproduces the model's own logits is checked
    on the first batch; a model that does more between its last hidden state and its logits takes the whole way.
    """
    result = np.empty(len(sequences))
    short_way: bool | None = None
    done = 0
    for rows in batches([len(one) for one in sequences]):
        ids, mask = padded([sequences[row] for row in rows], pad, model.device)
        scored = torch.zeros_like(mask, dtype=torch.bool)
        for i, row in enumerate(rows):
            scored[i, starts[row] : len(sequences[row])] = True
        targets = ids[scored]
        before = torch.roll(scored, -1, dims=1)  # the position that predicts each scored token
        if short_way is None:
            short_way = _short_way_holds(model, ids[:1], mask[:1])
        if short_way:
            hidden = model.base_model(input_ids=ids, attention_mask=mask).last_hidden_state
            logits = model.get_output_embeddings()(hidden[before])
        else:
            logits = model(input_ids=ids, attention_mask=mask).logits[before]
        logits = logits.float()
        nats = logits.gather(1, targets[:, None])[:, 0] - torch.logsumexp(logits, dim=-1)
        which = torch.arange(len(rows), device=ids.device)[:, None].expand_as(ids)[scored]
        sums = torch.zeros(len(rows), dtype=torch.float64, device=ids.device).index_add_(0, which, nats.double())
        result[rows] = sums.cpu().numpy()
        done += len(rows)
        if progress:
            progress(done, len(sequences))
    return result


def _short_way_holds(model: Any, ids: torch.Tensor, mask: torch.Tensor) -> bool:
    backbone, output = model.base_model, model.get_output_embeddings()
    if backbone is model or output is None:
        return False
    hidden = backbone(input_ids=ids, attention_mask=mask).last_hidden_state
    return torch.allclose(output(hidden), model(input_ids=ids, attention_mask=mask).logits, rtol=1e-5, atol=1e-5)
