"""The audits: plain functions over views that return findings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from audit.finding import Finding
from audit.stats import Comparison, compare, simultaneous_level
from audit.view import Item, fingerprint

__all__ = ["Keep", "Question", "distinct", "findings"]

Array = NDArray[np.float64]
Keep = Callable[[str, Sequence[Item], Array, Array], None]
"""Takes what both sides scored on each item under a finding's id: the evidence."""


@dataclass(frozen=True)
class Question:
    """One quantity, scored on both sides for every item: a finding before its family is known."""

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
    note: str = ""

    @property
    def id(self) -> str:
        """``audit/name[/group]``."""
        return "/".join(part for part in (self.audit, self.name, self.group) if part)


def findings(
    questions: Sequence[Question], *, family: str, alpha: float = 0.05, keep: Keep | None = None
) -> list[Finding]:
    """Judge a declared family together: intervals that decide ``worse`` or ``better`` hold for all of it at once.

    Parameters
    ----------
    questions : sequence of Question
        The whole family, in the order of the report.
    family : str
        Its name.
    alpha : float
        Error rate on each side of a decision.
    keep : callable, optional
        Takes the scores of every item.

    Returns
    -------
    list of Finding
    """
    compared = [compare(one.base, one.adapted, [item.cluster for item in one.items]) for one in questions]
    level = simultaneous_level(compared, alpha)
    if keep is not None:
        for one in questions:
            keep(one.id, one.items, one.base, one.adapted)
    alone = len(questions) == 1
    adjustment = "none (a family of one)" if alone else f"max-T over {len(questions)} (one-sided level {level:.5f})"
    return [
        _finding(one, sides, family, adjustment, alpha, level) for one, sides in zip(questions, compared, strict=True)
    ]


def _finding(one: Question, compared: Comparison, family: str, adjustment: str, alpha: float, level: float) -> Finding:
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
        decision=compared.decision(alpha, level),
        p=compared.p_value(),
        n_items=compared.n_items,
        n_clusters=compared.n_clusters,
        items=fingerprint(one.items),
        note=one.note,
    )
    if finding.verdict == "unclear":
        return finding.model_copy(update={"n_needed": compared.needed(one.margin, alpha)})
    return finding


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
