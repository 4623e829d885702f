"""A linear probe: what a model's features tell, without training the model."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from audit.view import Item, Kind, View, answer_texts, fingerprint

__all__ = ["ProbedView", "linear_probe"]

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


class ProbedView:
    """A view whose classes are read from its features by a linear probe; everything else passes through.

    Parameters
    ----------
    view : View
        Answers ``embedding``.
    items : sequence of Item
        Labelled texts that the probe is fitted to.
    labels : sequence of str
        All classes, in the order of the answer.

    Notes
    -----
    This is how a base without a head of its own is asked for a class: fitted to texts in which names and pronouns
    are silenced (a *neutral* probe), what the answer owes to them comes from the features.
    """

    def __init__(self, view: View, items: Sequence[Item], labels: Sequence[str]) -> None:
        self._view = view
        self.kind: Kind = view.kind
        self.labels = tuple(labels)
        self.id = f"{view.id}/probe/{fingerprint(items)}"
        self._features = view.ask("embedding", items)
        self._targets = np.array([self.labels.index(item.label or "") for item in items])
        self._probe = linear_probe().fit(self._features, self._targets)

    def refits(self, count: int) -> list[ProbedView]:
        """Fit the probe anew to bootstrap draws of its texts: what might as well have been the base's read-out."""
        rng, copies = np.random.default_rng(0), []
        for number in range(count):
            rows = rng.integers(0, len(self._targets), len(self._targets))
            other = copy(self)
            other.id = f"{self.id}/refit {number}"
            other._probe = linear_probe().fit(self._features[rows], self._targets[rows])
            copies.append(other)
        return copies

    def ask(self, question: str, items: Sequence[Item]) -> Array:
        """Answer one question about each item, in item order."""
        if question != "probabilities":
            return self._view.ask(question, items)
        return answer_texts(question, items, self._read_out)

    def treatment(self, question: str, items: Sequence[Item]) -> str:
        """Say what is done to items that this model cannot read as they are; empty where nothing is."""
        return self._view.treatment("embedding" if question == "probabilities" else question, items)

    def _read_out(self, texts: list[str]) -> Array:
        asked = [Item(id=str(row), cluster=str(row), text=text) for row, text in enumerate(texts)]
        answers = np.zeros((len(texts), len(self.labels)))
        answers[:, self._probe.classes_] = self._probe.predict_proba(self._view.ask("embedding", asked))
        return answers
