"""Metrics of texts that complete a prompt."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from datasets import Features, Value
from numpy.typing import NDArray

from audit.metrics.metric import RatioMetric

__all__ = ["nats_per_byte"]


class nats_per_byte(RatioMetric):
    """Surprise at the true texts, per byte (UTF-8) of them: the same scale for every tokenizer.

    Predictions are minus the log-likelihoods in nats of the texts that are the references.

    Examples
    --------
    >>> nats_per_byte().compute(predictions=[6.0, 2.0], references=["four", "cafés"])
    {'nats_per_byte': 0.8}
    """

    better = "lower"
    reach = (0.0, math.inf)
    inputs = (Features({"predictions": Value("float64"), "references": Value("string")}),)
    undefined = "the texts have no bytes"

    def counts(self, predictions: Sequence[Any], references: Sequence[Any]) -> NDArray[np.float64]:
        """Return nats and bytes."""
        pairs = zip(predictions, references, strict=True)
        return np.array([[nats, len(text.encode())] for nats, text in pairs], dtype=np.float64)
