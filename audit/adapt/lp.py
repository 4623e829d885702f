"""The first step of ``lp_ft``: the classification layer is fitted to the frozen base, before everything trains."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from audit.adapt.body import quiet
from audit.adapt.linear import fit_linear
from audit.adapt.plan import Plan
from audit.adapt.trainee import last_layer
from audit.models.batch import Progress
from audit.recipe import LpFt

__all__ = ["fit_first"]

Array = NDArray[np.float64]


def fit_first(
    model: Any,
    plan: Plan,
    rows: Sequence[Any],
    collate: Callable[[Sequence[Any]], dict[str, torch.Tensor]],
    progress: Progress | None = None,
) -> None:
    """Fit the classification layer of a model to what the frozen rest feeds it, in place.

    Fine-tuning under a random head bends features before the head has learnt to read them; under a fitted one they
    have less to change for (Kumar et al., ICLR 2022).

    Parameters
    ----------
    model
        Under a fresh head; only its last linear layer changes. What else of the head is new (RoBERTa's dense layer,
        say) stays a random projection until everything trains.
    plan : Plan
        Of method ``lp_ft``; `audit.adapt.linear.fit_linear` says what is fitted for which task.
    rows, collate
        As `audit.adapt.rows.training_rows` makes them, with numbers in the units in which they are learnt.
    progress : callable, optional
        Told rows done and rows in all.

    Raises
    ------
    InputError
        If the model has no linear classification layer with a bias.
    """
    assert isinstance(plan.method, LpFt)
    layer = last_layer(model, len(plan.task.names) or 1)
    features, truth = _fed(layer, model, rows, collate, plan.method.batch_size, progress)
    weight, bias = fit_linear(features, truth, plan.task, plan.method.regularisation)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(weight))
        layer.bias.copy_(torch.from_numpy(bias))


def _fed(
    layer: torch.nn.Linear,
    model: Any,
    rows: Sequence[Any],
    collate: Callable[[Sequence[Any]], dict[str, torch.Tensor]],
    size: int,
    progress: Progress | None,
) -> tuple[Array, Array]:
    """What the model feeds a layer, shape (n, d), and the labels as the loss takes them."""
    seen: list[torch.Tensor] = []
    labels: list[torch.Tensor] = []
    hook = layer.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].double().cpu()))
    try:
        with torch.inference_mode(), quiet(model):
            for begin in range(0, len(rows), size):
                end = min(begin + size, len(rows))
                batch = collate([rows[row] for row in range(begin, end)])
                labels.append(batch.pop("labels"))
                model(**{name: values.to(layer.weight.device) for name, values in batch.items()})
                if progress:
                    progress(end, len(rows))
    finally:
        hook.remove()
    return torch.cat(seen).numpy(), torch.cat(labels).double().numpy()
