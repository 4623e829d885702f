"""Why a change could not be judged: the floor, or too few clusters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from audit.finding import MIN_CLUSTERS_FOR_SAME, SCORES, Finding
from audit.publish.card.text import plain

__all__ = ["floors_shown_by", "undecided"]

PRECISE = "the base in float32"


def undecided(finding: Finding, shown_by: str = "") -> str:
    """Say why the change of a finding is unclear, without a full stop; ``shown_by`` is what set its floor, if known.

    The floor is named only where it alone is the reason: with it gone, the finding would be decided.
    """
    assert finding.change is not None
    if finding.floored:
        assert finding.floor is not None
        told = (
            f"more than the margin of {finding.margin:g}"
            if finding.floor > finding.margin
            else "no less than the change"
        )
        differs = f"{shown_by or _itself(finding.audit)} by up to {finding.floor:.3g} (the floor)"
        return f"{differs}, which is {told}, so a change of {finding.change.value:+.3g} says nothing"
    low, high = finding.decision.same
    enough = finding.method in SCORES or finding.n_clusters >= MIN_CLUSTERS_FOR_SAME
    known = enough and low is not None and high is not None
    supported = f" (they support one of {max(-(low or 0), high or 0):.3g})" if known else ""
    needed = f"; about {finding.n_needed} would decide" if finding.n_needed else ""
    return f"{finding.n_clusters} clusters cannot decide at a margin of {finding.margin:g}{supported}{needed}"


def floors_shown_by(floor: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Say by the id of a finding what set its floor, in Markdown: null copies, refits of a probe, or the base itself.

    Examples
    --------
    >>> floors_shown_by([{"finding": "bias/flips", "copies": "20 refits of the probe", "floor": 0.1}])
    {'bias/flips': '20 refits of the probe differ'}
    """
    most: dict[str, Mapping[str, Any]] = {}
    for row in floor:
        if row["finding"] not in most or row["floor"] > most[row["finding"]]["floor"]:
            most[row["finding"]] = row
    return {name: _differs(row) for name, row in most.items()}


def _differs(row: Mapping[str, Any]) -> str:
    if row["copies"] == PRECISE:
        return f"{PRECISE} differs"
    return f"{plain(row['copies'])} differ" if row["finding"].startswith("bias/") else _itself("forgetting")


def _itself(audit: str) -> str:
    return "null copies of the base differ" if audit == "forgetting" else "the base differs from itself"
