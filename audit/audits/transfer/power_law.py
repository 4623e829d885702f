"""Beyond the end of a learning curve: what a power law makes of it, which is no measurement."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from audit.finding import Estimate

__all__ = ["beyond", "power_law"]

Array = NDArray[np.float64]

EXPONENTS = np.linspace(0.05, 2.0, 79)
FURTHEST = 10  # times the largest size: beyond that no fit is believed
LEAST = 4  # sizes for three parameters


def power_law(sizes: Array, curves: Array) -> tuple[Array, Array, Array]:
    """Fit error = a·n^-b + c to many curves by least squares, with a, c ≥ 0 and .05 ≤ b ≤ 2.

    Parameters
    ----------
    sizes : ndarray, shape (n_sizes,)
    curves : ndarray, shape (n_sizes, draws)

    Returns
    -------
    a, b, c : ndarray, shape (draws,)
        ``a`` in units of the error at the smallest size: error = a·(n / sizes[0])^-b + c.

    Examples
    --------
    >>> n = np.array([10.0, 20, 40, 80])
    >>> a, b, c = power_law(n, (0.3 * (n / 10) ** -0.5 + 0.1)[:, None])
    >>> print(f"{a[0]:.2f} {b[0]:.2f} {c[0]:.2f}")
    0.30 0.50 0.10
    """
    best = np.full(curves.shape[1], np.inf)
    result = np.zeros((3, curves.shape[1]))
    mean = curves.mean(axis=0)
    for b in EXPONENTS:
        x = (sizes / sizes[0]) ** -b
        slope = np.maximum((x - x.mean()) @ curves / ((x - x.mean()) @ x), 0.0)
        floor = mean - slope * x.mean()
        through_zero = floor < 0
        slope = np.where(through_zero, np.maximum(x @ curves / (x @ x), 0.0), slope)
        floor = np.where(through_zero, 0.0, floor)
        left = ((curves - slope * x[:, None] - floor) ** 2).sum(axis=0)
        better = left < best
        best = np.where(better, left, best)
        result = np.where(better, np.stack([slope, np.full_like(slope, b), floor]), result)
    a, exponent, c = result
    return a, exponent, c


def beyond(sizes: Array, curves: Array, target: Array) -> Estimate | None:
    """Extrapolate the number of texts at which a curve reaches a target, with its 95 % interval.

    Parameters
    ----------
    sizes : ndarray, shape (n_sizes,)
    curves : ndarray, shape (n_sizes, 1 + draws)
        The estimate, then the draws.
    target : ndarray, shape (1 + draws,)

    Returns
    -------
    Estimate or None
        None where the fit does not carry it: fewer than four sizes, an estimate within the curve, or an interval that
        ends past ten times its largest size (or never).
    """
    if len(sizes) < LEAST:
        return None
    a, b, c = power_law(sizes, curves)
    room = target - c
    with np.errstate(divide="ignore", over="ignore"):
        share = np.where(room > 0, room, np.nan) / np.maximum(a, 1e-300)
        texts = np.where(room > 0, sizes[0] * share ** (-1 / b), np.inf)
    low, high = np.quantile(texts[1:], [0.025, 0.975], method="inverted_cdf")
    if not sizes[-1] <= texts[0] or not low < high <= FURTHEST * sizes[-1]:
        return None
    return Estimate(value=float(texts[0]), low=float(low), high=float(high))
