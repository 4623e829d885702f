"""A linear probe: what a model's features tell, without training the model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from copy import copy
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from audit.view import Item, Kind, View, answer_texts, fingerprint

__all__ = ["ProbedView", "drawn_rows", "linear_probe"]

Array = NDArray[np.float64]


FAINT = 0.01  # of the features' spread: the least that a feature is divided by


class _Standardised(StandardScaler):  # type: ignore[misc]
    """Features about 0 with spread 1, but for those that hardly vary.

    Models have dead features, whose spread is rounding. Divided by it, a shift that nobody could see would be all that
    a probe sees.
    """

    def fit(self, X: Array, y: object = None, sample_weight: object = None) -> _Standardised:
        super().fit(X, y, sample_weight)
        least = FAINT * np.sqrt(self.var_.mean())
        self.scale_ = np.maximum(np.sqrt(self.var_), least) if least > 0 else np.ones_like(self.var_)
        return self


def linear_probe(c: float = 0.01) -> Pipeline:
    """Return an unfitted logistic regression on standardised features; ``c`` is the inverse of its regularisation.

    Examples
    --------
    A feature that is 0 but for rounding has moved by a millionth, and tells nothing:

    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(40, 2)) * [1, 1e-30]
    >>> told = linear_probe().fit(x, x[:, 0] > 0)
    >>> bool((told.predict(x + [0, 1e-6]) == told.predict(x)).all())
    True
    """
    return make_pipeline(_Standardised(), LogisticRegression(C=c, max_iter=2000))


def drawn_rows(strata: ArrayLike, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw rows with replacement, as many as there are in every stratum: no class goes missing.

    Examples
    --------
    >>> rows = drawn_rows(["a", "b", "a", "a"], np.random.default_rng(0))
    >>> rows.tolist().count(1), len(rows)
    (1, 4)
    """
    _, codes = np.unique(np.asarray(strata), return_inverse=True)
    rows = np.arange(len(codes))
    for stratum in range(codes.max() + 1):
        own = np.flatnonzero(codes == stratum)
        rows[own] = own[rng.integers(0, len(own), len(own))]
    return rows


class ProbedView:
    """A view whose classes are read from its features by a linear probe; everything else passes through.

    Parameters
    ----------
    view : View
        Answers ``embedding``.
    items : sequence of Item
        Labelled texts or images that the probe is fitted to.
    labels : sequence of str
        All classes, in the order of the answer.
    several : bool
        Whether an item has any number of them (its label a JSON list): one probe a class.

    Notes
    -----
    This is how a base without a head of its own is asked for a class: fitted to texts in which names and pronouns
    are silenced (a *neutral* probe), what the answer owes to them comes from the features.
    """

    def __init__(self, view: View, items: Sequence[Item], labels: Sequence[str], *, several: bool = False) -> None:
        self._view = view
        self.kind: Kind = view.kind
        self.labels = tuple(labels)
        self.id = f"{view.id}/probe/{fingerprint(items)}"
        self._features = view.ask("embedding", items)
        self._targets = _several(items, self.labels) if several else _one(items, self.labels)
        self._probes = _fitted(self._features, self._targets)

    def refits(self, count: int) -> list[ProbedView]:
        """Fit the probe anew to bootstrap draws of its texts: what might as well have been the base's read-out."""
        rng, copies = np.random.default_rng(0), []
        for number in range(count):
            several = self._targets.ndim == 2  # of which each class has a probe that may do without it
            rows = drawn_rows(np.zeros(len(self._targets)) if several else self._targets, rng)
            other = copy(self)
            other.id = f"{self.id}/refit {number}"
            other._probes = _fitted(self._features[rows], self._targets[rows])
            copies.append(other)
        return copies

    def ask(self, question: str, items: Sequence[Item]) -> Array:
        """Answer one question about each item, in item order."""
        if question != "probabilities":
            return self._view.ask(question, items)
        if items and items[0].image is not None:
            return self._read_out(items)
        return answer_texts(question, items, lambda texts: self._read_out(_as_items(texts)))

    def treatment(self, question: str, items: Sequence[Item]) -> str:
        """Say what is done to items that this model cannot read as they are; empty where nothing is."""
        return self._view.treatment("embedding" if question == "probabilities" else question, items)

    def _read_out(self, items: Sequence[Item]) -> Array:
        features = self._view.ask("embedding", items)
        if self._targets.ndim == 2:
            return np.stack([_chance(probe, features) for probe in self._probes], axis=1)
        answers = np.zeros((len(items), len(self.labels)))
        answers[:, self._probes[0].classes_] = self._probes[0].predict_proba(features)
        return answers


def _as_items(texts: Sequence[str]) -> list[Item]:
    return [Item(id=str(row), cluster=str(row), text=text) for row, text in enumerate(texts)]


def _one(items: Sequence[Item], labels: tuple[str, ...]) -> NDArray[np.int64]:
    """Index of each item's label, shape (n,)."""
    return np.array([labels.index(item.label or "") for item in items])


def _several(items: Sequence[Item], labels: tuple[str, ...]) -> NDArray[np.int64]:
    """1 where an item has a label, shape (n, k)."""
    return np.array([[int(label in json.loads(item.label or "[]")) for label in labels] for item in items])


def _fitted(features: Array, targets: NDArray[np.int64]) -> list[Any]:
    """Fit one probe to classes, or one a class; a class that all items have, or none, needs no features."""
    if targets.ndim == 1:
        probe = linear_probe() if np.ptp(targets) else DummyClassifier()
        return [probe.fit(features, targets)]
    return [
        float(column[0]) if (column == column[0]).all() else linear_probe().fit(features, column)
        for column in targets.T
    ]


def _chance(probe: Any, features: Array) -> Array:
    """Probability of a class by its own probe."""
    if isinstance(probe, float):
        return np.full(len(features), probe)
    answers: Array = probe.predict_proba(features)[:, 1]
    return answers
