"""What a classification head says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audit.models.batch import Progress, in_batches, padded, token_budget

__all__ = ["class_logits"]

Array = NDArray[np.float64]


def class_logits(model: Any, sequences: Sequence[Sequence[int]], pad: int, progress: Progress | None = None) -> Array:
    """Logits of a sequence classifier, shape (n, labels)."""
    result = np.empty((len(sequences), model.config.num_labels))

    def work(rows: list[int]) -> None:
        ids, mask = padded([sequences[row] for row in rows], pad, model.device)
        result[rows] = model(input_ids=ids, attention_mask=mask).logits.double().cpu().numpy()

    in_batches([len(one) for one in sequences], work, progress, budget=token_budget(model.device))
    return result
