"""Features of labelled texts, decomposed once for every measure of how well they tell the labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.covariance import ledoit_wolf_shrinkage

from audit.view import NotMeasurable

__all__ = ["Array", "Labels", "Spectrum", "indicators"]

Array = NDArray[np.float64]
Labels = Sequence[str] | NDArray[np.generic]


@dataclass(frozen=True)
class Spectrum:
    """Features about their mean, decomposed: directions (n, k), squared singular values (k,), and Ledoit-Wolf's weight.

    Attributes
    ----------
    directions : ndarray, shape (n, k)
        Orthonormal columns; k is the rank.
    power : ndarray, shape (k,)
        Squared singular values.
    shrinkage : float
        Of the covariance towards a multiple of the identity.
    width : int
        Number of features.
    """

    directions: Array
    power: Array
    shrinkage: float
    width: int

    @classmethod
    def of(cls, features: ArrayLike) -> Spectrum:
        """Decompose features, shape (n, d).

        Raises
        ------
        NotMeasurable
            If they are not finite, or all rows are alike.
        """
        x = np.asarray(features, dtype=np.float64)
        if x.ndim != 2 or not np.isfinite(x).all():
            raise NotMeasurable("label fit", f"features of shape {x.shape} are no finite table")
        centred = x - x.mean(axis=0)
        directions, values, _ = np.linalg.svd(centred, full_matrices=False)
        kept = values > max(x.shape) * np.finfo(np.float64).eps * max(float(np.abs(x).max()) * len(x) ** 0.5, 1e-300)
        if not kept.any():
            raise NotMeasurable("label fit", "all texts are alike to this base: their features do not vary")
        scaled = centred / np.sqrt((centred**2).mean())  # so that nothing depends on the features' unit
        shrinkage = float(ledoit_wolf_shrinkage(scaled, assume_centered=True))
        return cls(directions[:, kept], values[kept] ** 2, shrinkage, x.shape[1])

    @property
    def n(self) -> int:
        """Number of texts."""
        return len(self.directions)


def indicators(labels: Labels) -> Array:
    """One column a class, shape (n, classes): 1 where the text is of the class."""
    codes = np.unique(np.asarray(labels), return_inverse=True)[1]
    columns: Array = np.eye(int(codes.max()) + 1)[codes]
    return columns
