"""Negative transfer and data savings: whether the base helps, by how much, and what that saves in data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from audit.audits.transfer.curve import doublings, probe_errors, subsamples
from audit.audits.transfer.lift import lift, of_clusters
from audit.audits.transfer.multiplier import draw, needed, savings
from audit.finding import Finding
from audit.savings import Curve, How, Needed, Point, Saving
from audit.stats import Crossed
from audit.view import Item

__all__ = ["Transfer", "against_controls", "doublings", "probe_errors", "subsamples"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Transfer:
    """Findings of the control lift, the learning curves behind them, and what these say of data saved and needed."""

    findings: list[Finding]
    curves: list[Curve]
    savings: list[Saving]
    needed: list[Needed]


def against_controls(
    base: Array,
    controls: Mapping[str, Array],
    items: Sequence[Item],
    sizes: Sequence[int],
    *,
    margin: float,
    target: float | None = None,
    how: How = "probe",
    alpha: float = 0.05,
    note: str = "",
) -> Transfer:
    """Hold the base's learning curve against those of controls that know nothing.

    Parameters
    ----------
    base : ndarray, shape (n_seeds, n_sizes, n_items)
        What a head gets wrong on the base (0 or 1, or a loss), by seed, size of the training set and test item.
    controls : mapping of str to ndarray, shape (n_seeds, n_sizes, n_items)
        The same on each control; seed by seed after the same training sets.
    items : sequence of Item, length n_items
        The test.
    sizes : sequence of int
        Training texts, growing; the last is all of them, and carries the findings.
    margin : float
        Of the error, at the last size.
    target : float, optional
        An error whose price in training texts is wanted.
    how : {"probe", "fine_tuned"}
    alpha : float
    note : str

    Returns
    -------
    Transfer

    Raises
    ------
    ValueError
        With fewer than three seeds, or tables of different shapes.

    Examples
    --------
    A base that is wrong as often after n texts as its control after 4·n:

    >>> hard = np.random.default_rng(0).random((5, 1, 400))
    >>> sizes = np.array([25, 50, 100, 200, 400])
    >>> asked = [Item(id=str(n), cluster=str(n), text="x") for n in range(400)]
    >>> wrong = [(hard < 3 / (k * sizes[:, None]) ** 0.5).astype(float) for k in (4, 1)]
    >>> found = against_controls(wrong[0], {"random_init": wrong[1]}, asked, sizes.tolist(), margin=0.02)
    >>> print(found.findings[0].verdict, found.savings[0])
    better 4.0x (3.8 to 4.2)
    """
    found = lift(
        base[:, -1], {name: table[:, -1] for name, table in controls.items()}, items,
        margin=margin, how=how, alpha=alpha, note=note,
    )  # fmt: skip
    clusters = [item.cluster for item in items]
    tables = {arm: of_clusters(table, clusters) for arm, table in {"base": base, **controls}.items()}
    counts = all(bool(np.isin(table, (0.0, 1.0)).all()) for table in (base, *controls.values()))
    curves = [
        Curve(
            arm=arm,
            how=how,
            points=[
                Point(n=n, error=Crossed(table[:, place], counts=counts).estimate) for place, n in enumerate(sizes)
            ],
        )
        for arm, table in tables.items()
    ]
    drawn = draw(tables, sizes, counts=counts)
    prices = [] if target is None else needed(drawn, how, target)
    return Transfer(found, curves, savings(drawn, how), prices)
