"""A regularised logistic head on the features of a frozen base, written as an ordinary classifier checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from transformers import AutoModelForSequenceClassification, set_seed

from audit.adapt.plan import Plan, Trained
from audit.errors import InputError
from audit.models.batch import Progress
from audit.models.embed import text_rows
from audit.models.source import Source
from audit.models.tokens import context, load_tokenizer, pad_token
from audit.models.weights import load_weights
from audit.recipe import Head
from audit.view import Item

__all__ = ["classifier_layer", "fit_head", "new_classifier"]


def fit_head(plan: Plan, items: Sequence[Item], seed: int, folder: Path, progress: Progress | None = None) -> Trained:
    """Compute features once, fit a logistic regression on them, write it into the model's last linear layer.

    Every other tensor of the base stays bit for bit. Layers between base and head that the base does not have
    (RoBERTa's dense layer, say) keep their seeded initial values: a fixed random projection.
    """
    method, base, labels = plan.method, plan.begins, plan.task.names
    assert isinstance(method, Head)
    model, _ = new_classifier(base, labels, seed)
    tokenizer = load_tokenizer(base)
    longest = min(method.max_length, context(model, tokenizer))
    sequences = tokenizer([item.text for item in items], truncation=True, max_length=longest)["input_ids"]
    layer = classifier_layer(model, len(labels))
    features = _inputs_of(layer, model, sequences, pad_token(model, tokenizer), progress)
    scaler = StandardScaler().fit(features)
    targets = [labels.index(item.label or "") for item in items]
    fitted = LogisticRegression(C=1 / (method.regularisation * len(items)), max_iter=5000)
    fitted.fit(scaler.transform(features), targets)
    weight, bias = _as_layer(fitted, scaler, len(labels))
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(weight))
        layer.bias.copy_(torch.from_numpy(bias))
    model.cpu().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return Trained(int(weight.size + bias.size))


def new_classifier(base: Source, labels: Sequence[str], seed: int) -> tuple[Any, set[str]]:
    """Load a base under a fresh classification head; return it and the names of the tensors that are new."""
    set_seed(seed)
    names = dict(enumerate(labels))
    model, new = load_weights(
        AutoModelForSequenceClassification,
        base,
        num_labels=len(labels),
        id2label=names,
        label2id={label: index for index, label in names.items()},
        ignore_mismatched_sizes=True,
    )
    return model, new


def classifier_layer(model: Any, n_labels: int) -> torch.nn.Linear:
    """Find the last linear layer with one output a label.

    Raises
    ------
    InputError
        If the architecture has none.
    """
    layers = [part for part in model.modules() if isinstance(part, torch.nn.Linear) and part.out_features == n_labels]
    if not layers or layers[-1].bias is None:
        raise InputError(
            f"[adapt] method = 'head': {type(model).__name__} has no linear classification layer with a bias"
        )
    return layers[-1]


def _inputs_of(
    layer: torch.nn.Linear, model: Any, sequences: Sequence[Sequence[int]], pad: int, progress: Progress | None
) -> NDArray[np.float64]:
    """What the model feeds its classification layer, shape (n, d)."""
    seen: list[torch.Tensor] = []
    hook = layer.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    model.eval()

    def answer(ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        seen.clear()  # of a batch that did not fit
        model(input_ids=ids, attention_mask=mask)
        return seen.pop()

    try:
        with torch.inference_mode():
            return text_rows(answer, sequences, pad, model.device, progress)
    finally:
        hook.remove()


def _as_layer(
    fitted: LogisticRegression, scaler: StandardScaler, n_labels: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Fold the scaling into the weights; two classes get half of the log-odds each, absent classes a low bias."""
    coefficients, intercept = fitted.coef_, fitted.intercept_
    if len(fitted.classes_) == 2:
        coefficients = np.concatenate([-coefficients, coefficients]) / 2
        intercept = np.concatenate([-intercept, intercept]) / 2
    coefficients = coefficients / scaler.scale_
    weight = np.zeros((n_labels, coefficients.shape[1]), dtype=np.float32)
    bias = np.full(n_labels, -30.0, dtype=np.float32)
    weight[fitted.classes_] = coefficients
    bias[fitted.classes_] = intercept - coefficients @ scaler.mean_
    return weight, bias
