"""Where a disparity came from, in plain words."""

from __future__ import annotations

from audit.finding import Finding, Origin
from audit.origin import Decomposition, Part, presence

__all__ = ["checkpoints", "origin_sentences"]

PRESENCE = {
    "present in base": "The base shows it already.",
    "new": "The base does not show it.",
    "grew": "The base shows it already, and it grew.",
    "shrank": "The base shows it already, and it shrank.",
    "reversed": "The base shows the opposite.",
    "absent": "Neither shows it beyond the margin.",
    "unclear": "",
}


def checkpoints(finding: Finding) -> str:
    """Say of a signed disparity what two checkpoints can say; empty where that is nothing, or its origin is known."""
    if finding.audit != "bias" or finding.ideal is None or finding.origin is not None:
        return ""
    return PRESENCE[presence(finding)]


def origin_sentences(one: Decomposition) -> str:
    """Say in two sentences where a disparity came from, and what follows.

    Every number is a field of the decomposition.
    """
    adapted, base, moved = _value(one.adapted), _value(one.base), _value(one.change)
    silent = f"the same recipe on group-silent texts shows {_value(one.silent)}"
    if one.origin == Origin.MITIGATED:
        left = {
            "removed": "which leaves nothing beyond the margin",
            "residual": f"which leaves {adapted}",
            "reversed": f"past 0 to {adapted}",
            None: f"and whether anything is left ({adapted}) is open",
        }[one.outcome]
        return f"The base shows {base}; adaptation moved it by {moved}, {left}."
    said = {
        Origin.INHERITED: f"It came with the base: {silent}.",
        Origin.AMPLIFIED: f"It came with the base, which shows {base}, and grew by {moved}: {silent}.",
        Origin.INTRODUCED: f"The task's data brought it: {silent}.",
        Origin.NONE: f"There is nothing beyond the margin to attribute: {silent}, the adapted model {adapted}.",
        Origin.UNCLEAR: f"Where it came from is unclear: {silent}, the adapted model {adapted}.",
    }[one.origin]
    return f"{said} {_more(one)}".strip()


def _more(one: Decomposition) -> str:
    if not one.learnt:
        return "These models do the task hardly better than a constant answer."
    if one.origin in (Origin.NONE, Origin.UNCLEAR):
        if one.detectable is None:
            return ""
        size = f"{len(one.seeds)} seeds and {one.n_clusters} clusters"
        return f"{size} show a disparity of {one.detectable:.3g} to be beyond the margin in four of five runs."
    if one.shares is None:
        return ""
    names = {"floor": "noise", "inherited": "inherited", "introduced": "introduced"}
    return "Of it: " + ", ".join(f"{names[part]} {share:.0%}" for part, share in one.shares.items()) + "."


def _value(part: Part) -> str:
    return f"{part.estimate.value:+.3f}"
