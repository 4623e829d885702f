"""The audits: plain functions over views that return findings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from audit.finding import Finding, Verdict
from audit.stats import Compared, cluster_means, compare, decide, false_discovery_level, simultaneous_level
from audit.view import Item, fingerprint

__all__ = ["MIN_DOCUMENTS", "Keep", "Question", "binary", "distinct", "findings", "floor_of", "max_t", "measured"]

MIN_DOCUMENTS = 10  # of which a sample is placed, or a choice made

Array = NDArray[np.float64]
Keep = Callable[[str, Sequence[Item], Array, Array], None]
"""Takes what both sides scored on each item under a finding's id: the evidence."""

By = Callable[[Array, Array, Sequence[str]], Compared]
"""Compares what both sides scored, given the cluster of each item."""

binary: By = partial(compare, binary=True)
"""For scores that are 0 or 1 by nature."""

measured: By = partial(compare, binary=False)
"""For scores that are measured; that all of a sample are 0 or 1 makes them no outcomes."""


def _means(scores: Array, clusters: Sequence[str]) -> Array:
    return cluster_means(scores, clusters)[0]


@dataclass(frozen=True)
class Question:
    """One quantity, scored on both sides for every item: a finding before its family is known.

    ``by`` compares the sides; ``by_cluster`` turns the scores of one side into one a cluster (sorted by name), whose
    mean is the quantity. ``detectable`` is False where the base is 0 by construction and nothing is below: that the
    adapted side is above needs no test.
    """

    audit: str
    name: str
    unit: str
    base: Array
    adapted: Array
    items: Sequence[Item]
    margin: float
    question: str
    group: str | None = None
    signed: bool = False
    by: By = compare
    by_cluster: Callable[[Array, Sequence[str]], Array] = _means
    note: str = ""
    detectable: bool = True

    @property
    def id(self) -> str:
        """``audit/name[/group]``."""
        return "/".join(part for part in (self.audit, self.name, self.group) if part)

    def compared(self) -> Compared:
        """Compare both sides over clusters."""
        return self.by(self.base, self.adapted, self.clusters)

    @property
    def clusters(self) -> list[str]:
        """The cluster of each item."""
        return [item.cluster for item in self.items]


def findings(
    questions: Sequence[Question],
    *,
    family: str,
    alpha: float = 0.05,
    exploratory: bool = False,
    floor: Mapping[str, float] | None = None,
    keep: Keep | None = None,
) -> list[Finding]:
    """Judge a family together.

    Parameters
    ----------
    questions : sequence of Question
        The whole family, in the order of the report.
    family : str
        Its name.
    alpha : float
        Error rate on each side of a decision.
    exploratory : bool
        False: declared beforehand; the intervals that decide ``worse`` or ``better`` hold for all of the family at
        once (max-T). True: looked at afterwards; the false-discovery rate is controlled (Benjamini-Hochberg).
    floor : mapping of str to float, optional
        By the id of a finding, the largest change that null copies of the base show: a change inside it is never
        ``worse`` or ``better``.
    keep : callable, optional
        Takes the scores of every item.

    Returns
    -------
    list of Finding
    """
    compared = [one.compared() for one in questions]
    if keep is not None:
        for one in questions:
            keep(one.id, one.items, one.base, one.adapted)
    m = len(questions)
    if exploratory:
        level = false_discovery_level(compared, [one.margin for one in questions], alpha)
        adjustment = f"exploratory: false discovery rate (Benjamini-Hochberg) over {m} (one-sided level {level:.5f})"
    else:
        level = simultaneous_level(compared, alpha)
        adjustment = max_t(m, level)
    return [
        _finding(one, sides, family, adjustment, alpha, level, (floor or {}).get(one.id))
        for one, sides in zip(questions, compared, strict=True)
    ]


def max_t(m: int, level: float) -> str:
    """Say how a declared family of m was adjusted."""
    return f"max-T over {m} (one-sided level {level:.5f})" if m > 1 else "none (a family of one)"


def _finding(
    one: Question,
    compared: Compared,
    family: str,
    adjustment: str,
    alpha: float,
    level: float,
    floor: float | None,
) -> Finding:
    decision = decide(compared, alpha, level)
    finding = Finding(
        id=one.id,
        audit=one.audit,
        name=one.name,
        group=one.group,
        question=one.question,
        unit=one.unit,
        ideal=0 if one.signed else None,
        base=compared.base,
        adapted=compared.adapted,
        change=compared.change,
        margin=one.margin,
        alpha=alpha,
        family=family,
        adjustment=adjustment,
        method=compared.method,
        decision=decision,
        floor=floor,
        p=compared.p_value() if one.detectable else None,
        n_items=compared.n_items,
        n_clusters=compared.n_clusters,
        items=fingerprint(one.items),
        note=one.note,
    )
    if finding.verdict != Verdict.UNCLEAR or (floor is not None and floor > one.margin):  # no number of items decides
        return finding
    return finding.model_copy(update={"n_needed": compared.needed(one.margin, alpha, level)})


def floor_of(copies: Iterable[Sequence[Question]]) -> dict[str, float]:
    """Measure by how much null copies of the base differ from it: the change that says nothing.

    Parameters
    ----------
    copies : iterable of sequences of Question
        Of each copy (a refit of its probe, say), the questions with that copy as the adapted side.

    Returns
    -------
    dict of str to float
        By the id of a finding, the largest change that any copy shows.
    """
    floor: dict[str, float] = {}
    for questions in copies:
        for one in questions:
            floor[one.id] = max(floor.get(one.id, 0.0), abs(one.compared().change.value))
    return floor


def distinct(items: Sequence[Item]) -> list[Item]:
    """Drop items that say the same in the same cluster, and sort: neither repetition nor order says anything.

    Examples
    --------
    >>> once = Item(id="a", cluster="c", text="x")
    >>> len(distinct([once, once.model_copy(update={"id": "b"})]))
    1
    """
    seen: dict[str, Item] = {}
    for item in items:
        seen.setdefault(item.model_copy(update={"id": "-"}).model_dump_json(), item)
    return [seen[content] for content in sorted(seen)]
