"""A head on the remembered features of a frozen base: logistic, ridge, or a small network, in a file of its own."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier, MLPRegressor

from audit.adapt.linear import fit_linear, folded, spread, standard, truth_of
from audit.adapt.plan import Plan, Trained
from audit.models.batch import Progress
from audit.models.headed import Layer, cut, write_head
from audit.models.load import load_base
from audit.recipe import Head, Task
from audit.view import Item, View

__all__ = ["fit_head"]

Array = NDArray[np.float64]
STEPS = 2000  # of L-BFGS, at most


def fit_head(plan: Plan, items: Sequence[Item], seed: int, folder: Path, progress: Progress | None = None) -> Trained:
    """Ask the frozen base for the features of the training items, fit a head to them, and write the head alone.

    Parameters
    ----------
    plan : Plan
        Of method ``head``. ``remembered`` keeps the features: all heads on one base ask for them once.
    items : sequence of Item
        Labelled texts or images.
    seed : int
        Of the initial weights, where there are hidden layers; else nothing is drawn.
    folder : Path
        Receives ``head.json`` and ``head.safetensors``, and the backbone where it is not the base: what was pretrained
        on a domain before is copied beside the head that reads it.
    progress : callable, optional

    Notes
    -----
    A linear head minimises the mean loss plus ``regularisation`` times half its squared coefficients, on features of
    unit variance. Under hidden layers the penalty is weighed against the *summed* loss, so that it is as many times
    weaker as there are items: penalised as a linear head is, a network of several layers would be zero.
    """
    method = plan.method
    assert isinstance(method, Head)
    view = load_base(plan.begins, plan.kind)
    view.progress = progress
    reader: View = cut(view, method.max_length)
    features = (plan.remembered(reader) if plan.remembered else reader).ask("embedding", items)
    truth = truth_of(items, plan.task)
    notes: dict[str, str] = {}
    if method.hidden:
        layers, notes = _network(features, truth, plan.task, method, seed)
    else:
        layers = [fit_linear(features, truth, plan.task, method.regularisation)]
    plan.copy_start(folder)
    longest = None if items[0].image is not None else method.max_length
    write_head(folder, plan.base, plan.kind, plan.task.type, plan.task.names, layers, longest)
    return Trained(sum(weight.size + bias.size for weight, bias in layers), notes=notes)


def _network(features: Array, truth: Array, task: Task, method: Head, seed: int) -> tuple[list[Layer], dict[str, str]]:
    """Fit hidden layers with ReLU, and one output a label; a number is learnt in units of its spread."""
    mean, scale = standard(features)
    scaled = (features - mean) / scale
    settings: dict[str, Any] = {
        "hidden_layer_sizes": method.hidden,
        "alpha": method.regularisation,
        "solver": "lbfgs",
        "max_iter": STEPS,
        "max_fun": 2 * STEPS,
        "random_state": seed,
    }
    number = task.type == "regression"
    middle, unit = (truth.mean(), truth.std() or 1.0) if number else (0.0, 1.0)
    fitted = MLPRegressor(**settings) if number else MLPClassifier(**settings)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # it is noted instead
        fitted.fit(scaled, (truth - middle) / unit if number else truth.astype(int))
    layers = [(weight.T, bias) for weight, bias in zip(fitted.coefs_, fitted.intercepts_, strict=True)]
    layers[0] = folded(*layers[0], mean, scale)
    if number:
        layers[-1] = (layers[-1][0] * unit, layers[-1][1] * unit + middle)
    if task.type == "single_label":
        layers[-1] = spread(*layers[-1], fitted.classes_.astype(int), len(task.names))
    stopped = fitted.n_iter_ >= STEPS
    return layers, {"head": f"its hidden layers were still learning after {STEPS} steps"} if stopped else {}
