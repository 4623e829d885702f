"""The Fréchet distance between Gaussians fitted to two samples, on a scale of samples as small as these."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, stats

from audit.audits.gap.placed import Samples
from audit.finding import Estimate
from audit.scale import Scale
from audit.view import NotMeasurable

__all__ = ["frechet", "frechet_distance"]

HALVINGS = 20

Array = NDArray[np.float64]


def frechet(samples: Samples, features: Sequence[Array]) -> Scale:
    """Place the task by the Fréchet distance: a scale to compare with, no finding.

    Parameters
    ----------
    samples : Samples
    features : sequence of ndarray, shapes (n, d)
        Of reference, task and ceiling.

    Raises
    ------
    NotMeasurable
        If half a sample has no more documents than there are features: then its covariance has directions without any
        spread, and the distance mostly counts them. Or if the ceiling is no farther than the reference itself.

    Notes
    -----
    The distance grows as samples shrink, so all three are taken between equally many documents: over random halves of
    the reference, half of it against its other half, against as many of the task, and against as many of the ceiling.
    A statistic of random halves varies around that of the whole as the whole does around its truth, which gives the
    interval (Student-t over ``HALVINGS``).
    """
    rng, size = samples.rng("frechet"), min(one.n_clusters for one in samples.all) // 2
    if size <= features[0].shape[1]:
        raise NotMeasurable(
            "frechet", f"half of a sample is {size} documents, no more than the {features[0].shape[1]} features"
        )
    found = np.empty((3, HALVINGS))
    for halving in range(HALVINGS):
        order = [rng.permutation(one.n_clusters) for one in samples.all]
        parts = [order[0][:size], order[0][size : 2 * size], order[1][:size], order[2][:size]]
        half, *others = (
            features[which][np.isin(samples.all[which].codes, part)]
            for which, part in zip((0, 0, 1, 2), parts, strict=True)
        )
        found[:, halving] = [frechet_distance(half, other) for other in others]
    null, measured, ceiling = (float(one.mean()) for one in found)
    if not null < ceiling:
        raise NotMeasurable("frechet", f"it cannot tell unrelated {samples.what} from the reference: there is no scale")
    reach = float(stats.t.ppf(0.975, HALVINGS - 1) * found[1].std(ddof=1))
    seen = Estimate(value=measured, low=measured - reach, high=measured + reach) if reach else Estimate(value=measured)
    return Scale(
        name="frechet",
        question=f"Fréchet distance of the task's {samples.what} from the reference in the base's space",
        unit="squared distance between Gaussians",
        null=null,
        measured=seen,
        ceiling=ceiling,
        root=True,
        note=f"Between {size} documents a side, {HALVINGS} times.",
    )


def frechet_distance(first: Array, second: Array) -> float:
    """Squared Fréchet (2-Wasserstein) distance between the Gaussians of two samples.

    Parameters
    ----------
    first, second : ndarray, shapes (n, d) and (m, d)
        With more rows than columns.

    Notes
    -----
    |μ₁ - μ₂|² + tr(Σ₁ + Σ₂ - 2·(Σ₁Σ₂)^½), Dowson and Landau, Journal of Multivariate Analysis 12 (1982) 450-455. The
    eigenvalues of Σ₁Σ₂ are those of the symmetric LᵀΣ₂L, where Σ₁ = LLᵀ.

    Examples
    --------
    Standard deviations 1 and 2 on one axis, means 3 apart: 3² + (2 - 1)².

    >>> x = np.array([[-1.0], [0], [1]])
    >>> round(frechet_distance(x, 2 * x + 3), 6)
    10.0
    """
    apart = first.mean(axis=0) - second.mean(axis=0)
    one, other = (np.atleast_2d(np.cov(sample, rowvar=False)) for sample in (first, second))
    trace = float(np.trace(one) + np.trace(other))
    jitter = 1e-12 * max(trace, 1e-300) * np.eye(len(one))  # a feature that never varies
    lower = linalg.cholesky(one + jitter, lower=True)
    values = linalg.eigvalsh(lower.T @ other @ lower)
    return float(apart @ apart + trace - 2 * np.sqrt(np.maximum(values, 0)).sum())
