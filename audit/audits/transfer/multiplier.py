"""The horizontal gap between learning curves: how many texts a control needs for what the base does with fewer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import interpolate

from audit.audits.transfer.power_law import beyond
from audit.finding import MIN_CLUSTERS
from audit.savings import How, Needed, Saving, Texts
from audit.stats import rng_from

__all__ = ["Drawn", "draw", "monotone", "needed", "reached", "savings"]

Array = NDArray[np.float64]

DRAWS = 1000
FINE = 64  # steps between two sizes
LOW, HIGH = 0.025, 0.975


@dataclass(frozen=True)
class Drawn:
    """Learning curves with what they might as well have been.

    Attributes
    ----------
    sizes : ndarray, shape (n_sizes,)
        Training texts, growing.
    curves : dict of str to ndarray, shape (n_sizes, 1 + DRAWS)
        By arm, the mean error; the first column is the estimate. Column by column, all arms are of one draw.
    n_clusters : int
        Of the test.
    """

    sizes: Array
    curves: dict[str, Array]
    n_clusters: int


def draw(tables: dict[str, Array], sizes: Sequence[int], *, counts: bool = False) -> Drawn:
    """Draw learning curves, seeds and test clusters jointly, the same for all arms and sizes.

    Parameters
    ----------
    tables : dict of str to ndarray, shape (n_seeds, n_sizes, n_clusters)
        Errors, or losses.
    sizes : sequence of int
    counts : bool
        Whether they come from errors that are 0 or 1 by nature.

    Returns
    -------
    Drawn

    Notes
    -----
    The multi-bootstrap of Sellam et al. (ICLR 2022) resamples both ways; with five seeds its percentiles cover too
    little. Here every seed's and every cluster's departure from the mean gets a normal weight, and each way is scaled
    by a χ² of its own degrees of freedom: along any one quantity, Student's interval. Errors that are 0 or 1 get four
    more clusters an arm, two always wrong and two never, which shift its whole curve: no error seen does not prove that
    there is none.
    """
    rng = rng_from(*tables.values())
    seeds, _, clusters = next(iter(tables.values())).shape
    of_seeds = _student(rng, seeds)
    of_clusters = _student(rng, clusters)
    curves = {}
    for arm in sorted(tables):
        table = tables[arm]
        mean = table.mean(axis=(0, 2))[:, None]
        drawn = mean + (table.mean(axis=2).T - mean) @ of_seeds + (table.mean(axis=0) - mean) @ of_clusters
        if counts:
            drawn += rng.standard_normal(DRAWS) / clusters
        curves[arm] = np.concatenate([mean, drawn], axis=1)
    return Drawn(np.asarray(sizes, dtype=np.float64), curves, clusters)


def _student(rng: np.random.Generator, units: int) -> Array:
    """Weights of units, shape (units, DRAWS): times their departures from the mean, draws of Student's t."""
    if units < 2:
        return np.zeros((units, DRAWS))
    scale = np.sqrt((units - 1) / rng.chisquare(units - 1, DRAWS))
    weights: Array = rng.standard_normal((units, DRAWS)) * scale / math.sqrt(units * (units - 1))
    return weights


def monotone(curves: Array) -> Array:
    """Isotonic regression of curves that should fall, along the first axis.

    Notes
    -----
    The min-max formula: at each size, the least over beginnings of the largest mean over ends (Robertson, Wright and
    Dykstra, Order Restricted Statistical Inference, 1988, theorem 1.4.4).

    Examples
    --------
    >>> monotone(np.array([[0.5], [0.1], [0.3], [0.0]]))[:, 0]
    array([0.5, 0.2, 0.2, 0. ])
    """
    sums = np.concatenate([np.zeros((1, *curves.shape[1:])), np.cumsum(curves, axis=0)])
    result = np.empty_like(curves)
    for at in range(len(curves)):
        means = [
            np.max([(sums[end] - sums[begin]) / (end - begin) for end in range(at + 1, len(sums))], axis=0)
            for begin in range(at + 1)
        ]
        result[at] = np.min(means, axis=0)
    return np.minimum.accumulate(result, axis=0)  # rounding


def reached(sizes: Array, curves: Array, target: Array, near: float) -> Array:
    """Read off at which number of texts each curve reaches a target.

    Parameters
    ----------
    sizes : ndarray, shape (n_sizes,)
    curves : ndarray, shape (n_sizes, draws)
        Never rising.
    target : ndarray, shape (draws,)
    near : float
        Where a curve rests on the target, the number nearest to this one is taken: no gap where none need be.

    Returns
    -------
    ndarray, shape (draws,)
        ∞ where a curve does not reach its target, 0 where it begins below.

    Notes
    -----
    Between the sizes runs a monotone cubic in log n (Fritsch and Carlson, SIAM Journal on Numerical Analysis 17 (1980)
    238-246), which follows a power law closer than chords do.

    Examples
    --------
    >>> reached(np.array([10.0, 100.0]), np.array([[0.5], [0.3]]), np.array([0.4]), near=20).round()
    array([32.])
    """
    steps = np.linspace(np.log(sizes[:-1]), np.log(sizes[1:]), FINE, endpoint=False, axis=1).ravel()
    steps = np.append(steps, math.log(sizes[-1]))
    fine = interpolate.PchipInterpolator(np.log(sizes), curves, axis=0)(steps)
    fine[::FINE] = curves
    fine = np.minimum.accumulate(fine, axis=0)
    slack = 1e-12 * max(1.0, float(np.abs(curves).max()))
    above = (fine > target + slack).sum(axis=0)  # steps before the target is reached
    not_below = (fine >= target - slack).sum(axis=0)  # steps before it is passed
    column = np.arange(curves.shape[1])
    right = np.clip(above, 1, len(steps) - 1)
    upper, lower = fine[right - 1, column], fine[right, column]
    share = np.clip((upper - target) / np.where(upper > lower, upper - lower, 1.0), 0.0, 1.0)
    first = np.where(above == 0, steps[0], steps[right - 1] + share * (steps[right] - steps[right - 1]))
    last = np.where(not_below > above, steps[np.clip(not_below - 1, 0, len(steps) - 1)], first)
    texts = np.exp(np.clip(math.log(near), first, last))
    inside = np.where(np.isclose(texts, near, rtol=1e-9), near, np.clip(texts, sizes[0], sizes[-1]))
    result: Array = np.where(above == len(steps), np.inf, np.where(not_below == 0, 0.0, inside))
    return result


def savings(drawn: Drawn, how: How) -> list[Saving]:
    """Read the multiplier of the base over every control at every size of its curve; the last one is the main one."""
    base, sizes = monotone(drawn.curves["base"]), drawn.sizes
    found = []
    for control in drawn.curves:
        if control == "base":
            continue
        curve = monotone(drawn.curves[control])
        for place, n in enumerate(sizes):
            texts = reached(sizes, curve, base[place], near=float(n))
            value, low, high = _read(texts, drawn)
            law = beyond(sizes, drawn.curves[control], base[place]) if value.only == "at least" else None
            found.append(
                Saving(
                    control=control,
                    how=how,
                    n=int(n),
                    smallest=int(sizes[0]),
                    largest=int(sizes[-1]),
                    texts=value,
                    texts_low=low,
                    texts_high=high,
                    extrapolated=law and law.model_copy(
                        update={key: getattr(law, key) / n for key in ("value", "low", "high")}
                    ),
                )
            )  # fmt: skip
    return found


def needed(drawn: Drawn, how: How, target: float) -> list[Needed]:
    """Read with how many training texts every arm reaches a target error."""
    found = []
    for arm in drawn.curves:
        aims = np.full(1 + DRAWS, target)
        texts = reached(drawn.sizes, monotone(drawn.curves[arm]), aims, near=1.0)
        value, low, high = _read(texts, drawn)
        found.append(
            Needed(
                arm=arm,
                how=how,
                target=target,
                smallest=int(drawn.sizes[0]),
                largest=int(drawn.sizes[-1]),
                texts=value,
                texts_low=low,
                texts_high=high,
                extrapolated=beyond(drawn.sizes, drawn.curves[arm], aims) if value.only == "at least" else None,
            )
        )
    return found


def _read(texts: Array, drawn: Drawn) -> tuple[Texts, Texts, Texts]:
    """The estimate and its percentiles; where too few clusters were asked, nothing is known between the ends."""
    low, high = np.quantile(texts[1:], [LOW, HIGH], method="inverted_cdf")
    if drawn.n_clusters < MIN_CLUSTERS:
        low, high = 0.0, np.inf

    def said(n: float) -> Texts:
        if 0 < n < np.inf:
            return Texts(n=float(n))
        return Texts(n=float(drawn.sizes[-1 if n else 0]), only="at least" if n else "at most")

    return said(float(texts[0])), said(float(low)), said(float(high))
