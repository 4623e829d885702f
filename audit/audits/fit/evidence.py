"""Exact log evidence: what is called LogME, right for fewer texts than features too."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from audit.audits.fit.spectrum import Array, Labels, Spectrum, indicators

__all__ = ["best_evidence", "log_evidence", "log_evidence_at"]


def log_evidence_at(features: ArrayLike, targets: ArrayLike, alpha: float, beta: float) -> float:
    """Log marginal likelihood of a Bayesian linear regression with an intercept.

    Parameters
    ----------
    features : array_like, shape (n, d)
    targets : array_like, shape (n,)
    alpha, beta : float
        Precision of the weights and of the noise.

    Returns
    -------
    float
        In nats, of all n targets together; the intercept has a flat prior, so this is the density of their n - 1
        contrasts.

    Notes
    -----
    The covariance of the contrasts has the eigenvalues s²/alpha + 1/beta for each singular value s of the centred
    features, and 1/beta for what is left of n - 1: no term depends on whether n or d is larger.

    Examples
    --------
    Two targets have one contrast, (1 - 0)/√2, here of variance 2 + 1:

    >>> round(log_evidence_at([[1.0], [3.0]], [0.0, 1.0], alpha=1.0, beta=1.0), 6)
    -1.551578
    """
    spectrum = Spectrum.of(features)
    signal, rest = _rotated(spectrum, np.asarray(targets, dtype=np.float64)[:, None])
    left = spectrum.n - 1 - len(spectrum.power)
    variances = spectrum.power / alpha + 1 / beta
    logs = np.log(variances).sum() - left * np.log(beta) + (spectrum.n - 1) * np.log(2 * np.pi)
    return float(-0.5 * (logs + (signal[:, 0] / variances).sum() + beta * rest[0]))


def log_evidence(features: ArrayLike | Spectrum, targets: Labels) -> float:
    """Maximum log marginal likelihood a text of Bayesian linear regressions on labels: one class against the rest.

    Parameters
    ----------
    features : array_like, shape (n, d), or Spectrum
    targets : sequence of labels, length n

    Returns
    -------
    float
        Nats a text (of n - 1, for the intercept), mean over classes. The best precisions of weights and noise are
        found for each class.

    Notes
    -----
    The quantity of LogME (You et al., ICML 2021), exactly, and with an intercept: the two sides of a binary task agree,
    and the unit of the features does not matter. The published code sums over min(n, d) directions what belongs to
    all d, which overstates the evidence by as much as 18 nats a text where n < d.

    The signal-to-noise ratio is searched from 1e-10 to 1e10; labels that are an exact linear function of the features
    have an evidence without bound, and get that of the upper end.
    """
    spectrum = features if isinstance(features, Spectrum) else Spectrum.of(features)
    return float(best_evidence(spectrum, indicators(targets)).mean())


def _rotated(spectrum: Spectrum, targets: Array) -> tuple[Array, Array]:
    """Squared targets along each direction, shape (k, m), and what no direction holds, shape (m,)."""
    centred = targets - targets.mean(axis=0)
    along = (spectrum.directions.T @ centred) ** 2
    total = (centred**2).sum(axis=0)
    rest = total - along.sum(axis=0)
    if len(spectrum.power) == spectrum.n - 1:
        rest = np.zeros_like(rest)  # the directions hold everything there is
    return along, np.where(rest > 1e-13 * total, rest, 0.0)


def best_evidence(spectrum: Spectrum, targets: Array) -> Array:
    """Largest evidence of every column of targets, in nats a text, shape (m,).

    With t the ratio of both precisions, the best noise given t is known in closed form: one variable remains. A grid
    finds the highest hill, a golden section its top.
    """
    along, rest = _rotated(spectrum, targets)
    power, dof = spectrum.power / spectrum.power.mean(), spectrum.n - 1

    def profile(log_t: Array) -> Array:  # (m,) -> (m,), each target at a ratio of its own
        gains = 1 + np.exp(log_t)[None, :] * power[:, None]
        noise = (along / gains).sum(axis=0) + rest
        height: Array = np.log(2 * np.pi * np.maximum(noise, 1e-300) / dof) + 1 + np.log(gains).sum(axis=0) / dof
        return np.multiply(-0.5, height)

    grid = np.linspace(-10, 10, 161) * np.log(10)
    gains = 1 + np.exp(grid)[:, None] * power[None, :]  # (grid, k)
    noise = np.maximum((1 / gains) @ along + rest, 1e-300)  # (grid, m)
    heights = -0.5 * (np.log(2 * np.pi * noise / dof) + 1 + np.log(gains).sum(axis=1)[:, None] / dof)
    top = heights.argmax(axis=0)
    low, high = grid[np.maximum(top - 1, 0)], grid[np.minimum(top + 1, len(grid) - 1)]
    shrink = (5**0.5 - 1) / 2
    left, right = high - shrink * (high - low), low + shrink * (high - low)
    at_left, at_right = profile(left), profile(right)
    for _ in range(45):
        falls = at_left > at_right  # the top lies in [low, right]
        low, high = np.where(falls, low, left), np.where(falls, right, high)
        left, right = high - shrink * (high - low), low + shrink * (high - low)
        at_left, at_right = profile(left), profile(right)
    best: Array = np.maximum(profile((low + high) / 2), heights.max(axis=0))
    return best
