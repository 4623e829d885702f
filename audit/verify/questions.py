"""From evidence back to what was asked: the scores of a finding, and by which statistic they were compared."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from audit.audits import By, Question, binary, measured
from audit.finding import Estimate, Finding
from audit.stats import Comparison, compare, compare_ratios, compare_skewed, contrast, contrast_scores
from audit.verify.evidence import MEMBERS, Lacking, Table
from audit.view import Item

__all__ = ["items_of", "question"]

Array = NDArray[np.float64]
SHARES = ("error rate", "share missed")  # of items that are right or wrong; of next tokens an item has many
ONE_SIDED = ("divergence", "neighbours")  # 0 on the base by construction
RATES = ("selection_rate", "true_positive_rate", "false_positive_rate", "accuracy", "calibration")


def question(finding: Finding, table: Table, arm: str = "adapted", base: Table | None = None) -> Question:
    """Put together what was asked for a finding, as the audit had it.

    Parameters
    ----------
    finding : Finding
        For its names; its numbers are not read.
    table : Table
    arm : str
        What stands for the adapted side.
    base : Table, optional
        Where the base's scores lie, if elsewhere.

    Raises
    ------
    Lacking
        If the evidence does not hold the scores.
    ValueError
        If what it holds cannot have been asked.
    """
    named, others = finding.id, base or table
    if named in others.questions:
        rows = others.asked(named, "base"), table.asked(named, arm)
        scores = [one["value"].to_numpy(dtype=np.float64) for one in rows]
        items, clusters = rows[0]["item_id"].tolist(), rows[0]["cluster"].tolist()
        asked = [list(zip(one["item_id"].tolist(), one["named"].tolist(), strict=True)) for one in rows]
        if asked[0] != asked[1]:
            raise ValueError(f"{named}: the base and {arm} were asked other items, or of other clusters")
    else:
        rows = (table.asked(f"{MEMBERS}{named}", "both"),) * 2
        items, clusters = rows[0]["item_id"].tolist(), rows[0]["cluster"].tolist()
        scores = [_looked_up(finding, table, side, items) for side in ("base", arm)]
    members = None
    if f"{MEMBERS}{named}" in table.questions:
        members = _members(finding, table, items)
    by = _by(finding, scores, members)
    return Question(
        audit=finding.audit,
        name=finding.name,
        unit=finding.unit,
        base=scores[0],
        adapted=scores[1],
        items=items_of(items, clusters),
        margin=finding.margin,
        question=finding.question,
        group=finding.group,
        signed=finding.ideal == 0,
        by=by,
        by_cluster=Question.by_cluster if members is None or not _rated(finding) else _contrasted(members),
        detectable=not (finding.audit == "forgetting" and finding.name in ONE_SIDED),
    )


def _members(finding: Finding, table: Table, items: Sequence[str]) -> NDArray[np.bool_]:
    """Return which items are of the group that is contrasted; of any other finding, all are."""
    rows = table.asked(f"{MEMBERS}{finding.id}", "both")
    if rows["item_id"].tolist() != list(items):
        raise ValueError(f"{MEMBERS}{finding.id} names other items than {finding.id}")
    values = set(rows["value"].tolist())
    if values != ({0.0, 1.0} if _rated(finding) else {1.0}):
        raise ValueError(f"{MEMBERS}{finding.id} holds {', '.join(map(repr, sorted(values)))}")
    members: NDArray[np.bool_] = rows["value"].to_numpy() == 1
    return members


def items_of(ids: Sequence[str], clusters: Sequence[str]) -> list[Item]:
    """Return items of which no more is known than what they are called."""
    return [Item.model_construct(id=one, cluster=cluster, text="-") for one, cluster in zip(ids, clusters, strict=True)]


def _looked_up(finding: Finding, table: Table, arm: str, items: Sequence[str]) -> Array:
    """Scores of a slice: those that its items have in the question, or the measure, that it is a slice of."""
    parts = set(finding.name.split("/"))
    whole = f"{finding.audit}/{finding.name}"
    known: dict[str, float] = {}
    for name, rows in table.questions.items():
        same = name == whole or (bool(parts & set(RATES)) and parts & set(RATES) == set(name.split("/")) & set(RATES))
        if same and not name.startswith(MEMBERS):
            of = rows[rows["arm"] == arm]
            known |= dict(zip(of["item_id"].tolist(), of["value"].tolist(), strict=True))
    lacking = next((one for one in items if one not in known), None)
    if lacking is not None:
        raise Lacking(f"{table.name} has no score of item {lacking!r} for {finding.id!r}")
    return np.array([known[one] for one in items], dtype=np.float64)


def _rated(finding: Finding) -> bool:
    return finding.audit == "bias" and bool(set(finding.name.split("/")) & set(RATES)) and finding.ideal == 0


def _contrasted(members: NDArray[np.bool_]) -> Callable[[Array, Sequence[str]], Array]:
    return partial(contrast_scores, first=members)


def _by(finding: Finding, scores: Sequence[Array], members: NDArray[np.bool_] | None) -> By:
    """Choose the statistic by what is measured, never by what the finding says of its method."""
    last = finding.name.rsplit("/", 1)[-1]
    if finding.audit == "forgetting":
        if finding.name == "divergence":
            return compare_skewed
        return binary if finding.unit in SHARES and finding.name != "next_token" else measured
    if _rated(finding):
        if members is None:
            raise Lacking(f"the evidence does not say which items of {finding.id!r} are of which group")
        return partial(contrast, first=members, counts="calibration" not in finding.name.split("/"))
    if last == "share":
        return _shares
    if last in ("flips", "error"):
        return binary
    if last == "ambiguous":
        return partial(compare_ratios, weights=(np.ones_like(scores[0]), np.ones_like(scores[1])))
    if last == "disambiguated":
        return partial(compare_ratios, weights=(np.abs(scores[0]), np.abs(scores[1])))
    return measured if finding.unit.startswith("nats") else compare


def _shares(base: Array, adapted: Array, clusters: Sequence[str]) -> Comparison:
    """Compare shares, which the evidence counts from one half: 1/2, 0 for a tie, -1/2."""
    found = compare(base + 0.5, adapted + 0.5, clusters, binary=True)
    sides = [
        Estimate(
            value=one.value - 0.5,
            low=None if one.low is None else one.low - 0.5,
            high=None if one.high is None else one.high - 0.5,
        )
        for one in (found.base, found.adapted)
    ]
    return replace(found, base=sides[0], adapted=sides[1])
