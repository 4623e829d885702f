"""Statistics that are no means: one value a cluster, whose mean is the statistic and whose spread is its own."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["pseudo_values"]


def pseudo_values(whole: float, without: ArrayLike) -> NDArray[np.float64]:
    """Turn a statistic into a mean over clusters by the jackknife.

    Parameters
    ----------
    whole : float
        The statistic of all clusters.
    without : array_like, shape (n_clusters,)
        The statistic of all but each one.

    Returns
    -------
    ndarray, shape (n_clusters,)
        whole + (K - 1)(mean(without) - without). Student's interval of their mean is that of the statistic, and the
        differences of two models' values keep them paired.

    Notes
    -----
    Tukey's pseudo-values are K·whole - (K - 1)·without; their mean is the estimate without its bias of order 1/K (Efron
    and Stein, Annals of Statistics 9, 1981). Here they are moved to have the plain statistic as their mean: that is
    the number everybody reports, and the spread, from which the interval comes, stays as it is.

    Examples
    --------
    Of a mean they are the values themselves:

    >>> x = np.array([1.0, 2.0, 6.0])
    >>> pseudo_values(x.mean(), (x.sum() - x) / 2)
    array([1., 2., 6.])
    """
    others = np.asarray(without, dtype=np.float64)
    values: NDArray[np.float64] = whole + (len(others) - 1) * (others.mean() - others)
    return values
