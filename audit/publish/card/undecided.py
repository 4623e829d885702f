"""Why a change could not be judged: the floor, or too few clusters."""

from __future__ import annotations

from audit.finding import MIN_CLUSTERS_FOR_SAME, SCORES, Finding

__all__ = ["undecided"]


def undecided(finding: Finding) -> str:
    """Say why the change of a finding is unclear, without a full stop.

    The floor is named only where it alone is the reason: with it gone, the finding would be decided.
    """
    assert finding.change is not None
    if finding.floored:
        assert finding.floor is not None
        return (
            f"null copies of the base differ by up to {finding.floor:.3g}, which is more than the margin of "
            f"{finding.margin:g}, so a change of {finding.change.value:+.3g} says nothing"
        )
    low, high = finding.decision.same
    enough = finding.method in SCORES or finding.n_clusters >= MIN_CLUSTERS_FOR_SAME
    known = enough and low is not None and high is not None
    supported = f" (they support one of {max(-(low or 0), high or 0):.3g})" if known else ""
    needed = f"; about {finding.n_needed} would decide" if finding.n_needed else ""
    return f"{finding.n_clusters} clusters cannot decide at a margin of {finding.margin:g}{supported}{needed}"
