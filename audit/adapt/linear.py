"""Linear heads on features: one softmax, a logistic regression a label, or a ridge regression."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression, Ridge

from audit.probe import linear_probe
from audit.recipe import Task
from audit.view import Item

__all__ = ["NEVER", "fit_linear", "folded", "spread", "standard", "truth_of"]

Array = NDArray[np.float64]
NEVER = -30.0  # the logit of a class that no training item has


def truth_of(items: Sequence[Item], task: Task) -> Array:
    """Labels as numbers: an index, 1 where an item has a label, or the number itself.

    Returns
    -------
    ndarray, shape (n,), or (n, labels) where an item has several
    """
    if task.type == "regression":
        return np.array([float(item.label or "nan") for item in items])
    if task.type == "multi_label":
        return np.array([[float(name in json.loads(item.label or "[]")) for name in task.names] for item in items])
    return np.array([float(task.names.index(item.label or "")) for item in items])


def standard(features: Array) -> tuple[Array, Array]:
    """Mean and scale of features, as `audit.probe.linear_probe` has them: what hardly varies is not blown up."""
    scaler = linear_probe()[0].fit(features)
    return scaler.mean_, scaler.scale_


def folded(weight: Array, bias: Array, mean: Array, scale: Array) -> tuple[Array, Array]:
    """Move standardisation into the layer that follows it.

    Examples
    --------
    (5 - 1) / 2 * 3 + 1 = 7:

    >>> weight, bias = folded(np.array([[3.0]]), np.array([1.0]), np.array([1.0]), np.array([2.0]))
    >>> (weight @ [5] + bias).tolist()
    [7.0]
    """
    weight = weight / scale
    return weight, bias - weight @ mean


def fit_linear(features: Array, truth: Array, task: Task, regularisation: float) -> tuple[Array, Array]:
    """Fit a linear layer on features.

    Parameters
    ----------
    features : ndarray, shape (n, d)
    truth : ndarray
        See `truth_of`.
    task : Task
    regularisation : float
        Weight of half the squared coefficients, on features of unit variance, beside the mean loss.

    Returns
    -------
    weight : ndarray, shape (outputs, d)
    bias : ndarray, shape (outputs,)
        On the features as they are.
    """
    mean, scale = standard(features)
    scaled = (features - mean) / scale
    if task.type == "regression":
        fitted = Ridge(alpha=regularisation * len(truth)).fit(scaled, truth)
        return folded(fitted.coef_[None], np.array([fitted.intercept_]), mean, scale)
    c = 1 / (regularisation * len(truth))
    if task.type == "multi_label":
        layers = [_one(scaled, column, c) for column in truth.T]
        weight, bias = (np.array(part) for part in zip(*layers, strict=True))
    else:
        weight, bias = _softmax(scaled, truth, c, len(task.names))
    return folded(weight, bias, mean, scale)


def _one(scaled: Array, truth: Array, c: float) -> tuple[Array, float]:
    """Fit a label by itself; of one that all items have, or none, the logit is -NEVER or NEVER."""
    if truth.min() == truth.max():
        return np.zeros(scaled.shape[1]), -NEVER if truth[0] else NEVER
    fitted = LogisticRegression(C=c, max_iter=5000).fit(scaled, truth)
    return fitted.coef_[0], float(fitted.intercept_[0])


def _softmax(scaled: Array, truth: Array, c: float, outputs: int) -> tuple[Array, Array]:
    """Fit all labels at once; where all items have one, it is always said."""
    if np.ptp(truth) == 0:
        return spread(np.zeros((1, scaled.shape[1])), np.zeros(1), truth[:1].astype(int), outputs)
    fitted = LogisticRegression(C=c, max_iter=5000).fit(scaled, truth)
    return spread(fitted.coef_, fitted.intercept_, fitted.classes_.astype(int), outputs)


def spread(weight: Array, bias: Array, classes: NDArray[np.int64], outputs: int) -> tuple[Array, Array]:
    """One output a label: two classes get half of the log-odds each, a class that is never seen a low bias."""
    if len(classes) == 2:
        weight, bias = np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
    wide, low = np.zeros((outputs, weight.shape[1])), np.full(outputs, NEVER)
    wide[classes], low[classes] = weight, bias
    return wide, low
