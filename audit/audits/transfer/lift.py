"""Control lift: whether the base helps at all, against the same head on models that know nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from audit.finding import MIN_CLUSTERS, MIN_CLUSTERS_FOR_SAME, Decision, Finding, Verdict
from audit.savings import CONTROLS, How
from audit.stats import Crossed
from audit.view import Item, fingerprint

__all__ = ["lift", "of_clusters"]

Array = NDArray[np.float64]

HEADS: dict[How, str] = {"probe": "a linear probe", "fine_tuned": "the recipe's own adaptation"}


def lift(
    base: Array,
    controls: Mapping[str, Array],
    items: Sequence[Item],
    *,
    margin: float,
    how: How = "probe",
    alpha: float = 0.05,
    note: str = "",
) -> list[Finding]:
    """Compare the error on the base with the error on every control, over paired seeds and test clusters.

    Parameters
    ----------
    base : ndarray, shape (n_seeds, n_items)
        What the head gets wrong on the base: 0 or 1, or a loss.
    controls : mapping of str to ndarray, shape (n_seeds, n_items)
        The same on each control, after the same training texts seed by seed.
    items : sequence of Item, length n_items
        The test.
    margin : float
    how : {"probe", "fine_tuned"}
    alpha : float
    note : str

    Returns
    -------
    list of Finding
        ``base`` is the control's error, ``adapted`` the base's: ``better`` is a base that helps, ``worse`` one that
        hurts (`audit.savings.WORDS`).

    Raises
    ------
    ValueError
        With fewer than three seeds, or tables of different shapes.

    Notes
    -----
    Negative transfer as Wang et al. define it (CVPR 2019): the risk of an algorithm with its source minus the risk of
    the same algorithm without.

    Examples
    --------
    >>> asked = [Item(id=str(n), cluster=str(n), text="x") for n in range(60)]
    >>> wrong = np.random.default_rng(0).random((5, 60))
    >>> [one] = lift((wrong < 0.1) * 1.0, {"random_init": (wrong < 0.6) * 1.0}, asked, margin=0.02)
    >>> print(one.verdict, round(one.change.value, 2))
    better -0.44
    """
    level = alpha / len(controls)
    several = f"Bonferroni over {len(controls)} (one-sided level {level:.5f})"
    adjustment = several if len(controls) > 1 else "none (a family of one)"
    counts = bool(np.isin(np.concatenate([base, *controls.values()]), (0.0, 1.0)).all())
    clusters = [item.cluster for item in items]

    def table(scores: Array) -> Crossed:
        return Crossed(of_clusters(scores, clusters), counts=counts)

    found = []
    for control, scores in controls.items():
        if scores.shape != base.shape:
            raise ValueError(f"{control}: scores of shape {scores.shape}, those of the base are {base.shape}")
        change = table(base - scores)
        name = control if how == "probe" else f"{control}/{how}"
        finding = Finding(
            id=f"transfer/{name}",
            audit="transfer",
            name=name,
            question=f"error of {HEADS[how]} on the base, against the same on {CONTROLS.get(control, control)}",
            unit="error rate" if counts else "loss",
            base=table(scores).estimate,
            adapted=table(base).estimate,
            change=change.estimate,
            margin=margin,
            alpha=alpha,
            family="transfer" if how == "probe" else f"transfer/{how}",
            adjustment=adjustment,
            method="student-t over seeds and clusters",
            decision=Decision(same=change.interval(1 - 2 * alpha), beyond=change.interval(1 - 2 * level)),
            n_items=len(items),
            n_clusters=change.scores.shape[1],
            items=fingerprint(items),
            note=note,
        )
        if finding.verdict == Verdict.UNCLEAR:
            finding = finding.model_copy(update={"n_needed": _needed(change, margin, alpha, level)})
        found.append(finding)
    return found


def of_clusters(scores: Array, clusters: Sequence[str]) -> Array:
    """Average over the items of each cluster, the last axis: (..., n_items) -> (..., n_clusters), sorted by name."""
    names, codes = np.unique(np.asarray(clusters, dtype=np.str_), return_inverse=True)
    members = np.zeros((len(clusters), len(names)))
    members[np.arange(len(clusters)), codes] = 1
    means: Array = scores @ (members / members.sum(axis=0))
    return means


def _needed(change: Crossed, margin: float, alpha: float, level: float) -> int | None:
    """Test clusters at which these seeds would decide; None where no number of clusters would: seeds are too few."""
    seeds, clusters = change.scores.shape
    value = abs(float(change.scores.mean()))
    beyond = value > margin
    error = level if beyond else alpha
    low, high = change.interval(1 - 2 * error)
    if low is None or high is None:
        return MIN_CLUSTERS_FOR_SAME if clusters >= 2 else None
    spread = float(change.scores.mean(axis=1).std(ddof=1)) / math.sqrt(seeds)
    of_seeds = float(stats.t.ppf(1 - error, seeds - 1)) * spread
    of_clusters = ((high - low) / 2) ** 2 - of_seeds**2
    power = float(stats.norm.ppf(0.8 if beyond else 0.9) / stats.norm.ppf(1 - error))
    room = ((value - margin if beyond else margin) / (1 + power)) ** 2 - of_seeds**2
    if room <= 0:
        return None
    least = MIN_CLUSTERS if beyond else MIN_CLUSTERS_FOR_SAME
    return max(int(np.ceil(clusters * of_clusters / room)), least, int(clusters) + 1)
