"""What a head's outputs mean: one class of several, any number of them, or no class but a number."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from audit.models.ask import softmax
from audit.view import NotMeasurable

__all__ = ["shares"]

Array = NDArray[np.float64]


def shares(logits: Array, config: Any) -> Array:
    """Probabilities of a head's logits, shape (..., k): what its model was trained for decides.

    Raises
    ------
    NotMeasurable
        If it was trained for numbers, which are its logits.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> shares(np.zeros((1, 4)), SimpleNamespace(problem_type=None)).tolist()
    [[0.25, 0.25, 0.25, 0.25]]
    >>> shares(np.zeros((1, 2)), SimpleNamespace(problem_type="multi_label_classification")).tolist()
    [[0.5, 0.5]]
    """
    meant = getattr(config, "problem_type", None)
    if meant == "regression":
        raise NotMeasurable("probabilities", "this model's head says a number, not a class")
    if meant == "multi_label_classification":
        each: Array = np.exp(-np.logaddexp(0.0, -logits))
        return each
    return softmax(logits)
