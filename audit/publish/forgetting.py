"""What the adaptation overwrote, in plain words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from audit.finding import MIN_CLUSTERS_FOR_SAME, SCORES, Finding, Verdict
from audit.publish.text import number
from audit.retention import WORDS, Flips, Strength, WeightDrift, allowed, word

__all__ = [
    "flips_sentence",
    "floor_rows",
    "forgetting_sentence",
    "strength_said",
    "strength_sentence",
    "weights_sentence",
]


def forgetting_sentence(finding: Finding) -> str:
    """Say what a verdict means for what the base could do."""
    assert finding.change is not None
    said = f"**{word(finding).capitalize()}**"
    low, high = finding.decision.same
    if finding.floor and abs(finding.change.value) <= finding.floor and finding.verdict == Verdict.UNCLEAR:
        return f"{said}: null copies of the base differ by up to {finding.floor:.3g}, so the change says nothing."
    if finding.verdict == Verdict.WORSE:
        return f"{said}: the harm grew by more than {finding.margin:g}."
    if finding.verdict == Verdict.BETTER:
        return f"{said}, and more: the harm shrank by more than {finding.margin:g}."
    if finding.verdict == Verdict.SAME:
        return f"{said}: the harm grew by less than {finding.margin:g}."
    enough = finding.method in SCORES or finding.n_clusters >= MIN_CLUSTERS_FOR_SAME
    known = enough and low is not None and high is not None
    supported = f" (they support one of {max(-(low or 0), high or 0):.3g})" if known else ""
    needed = f"; about {finding.n_needed} would decide" if finding.n_needed else ""
    return f"{said}: {finding.n_clusters} clusters cannot decide at a margin of {finding.margin:g}{supported}{needed}."


def flips_sentence(flips: Flips) -> str:
    """Say how many items were lost and gained.

    Examples
    --------
    >>> print(flips_sentence(Flips(finding="forgetting/x", n=100, both=60, lost=12, gained=8, neither=20)))
    12 of 100 items lost, 8 gained; of what the base gets right, 83.3 % stays right.
    """
    said = f"{flips.lost} of {flips.n} items lost, {flips.gained} gained"
    if flips.compatibility is not None:
        said += f"; of what the base gets right, {100 * flips.compatibility:.1f} % stays right"
    if flips.known_lost is not None and flips.known_gained is not None:
        said += (
            f"; with guesses taken out, {100 * flips.known_lost:.1f} % of all items were known and no longer are, "
            f"{100 * flips.known_gained:.1f} % the other way"
        )
    return f"{said}."


def weights_sentence(weights: Sequence[WeightDrift]) -> str:
    """Say which layers are the base's own, bit for bit."""
    same = [one.layer for one in weights if one.frozen]
    if len(same) == len(weights):
        return "Every tensor that both sides have is unchanged, number for number: the base was frozen."
    most = max(weights, key=lambda one: one.relative)
    moved = f"most moved {most.layer}, by {most.relative:.2g} of its size"
    kept = f"unchanged, number for number: {', '.join(same)}" if same else "no layer is unchanged"
    return f"{moved[:1].upper()}{moved[1:]}; {kept}."


def floor_rows(floor: Sequence[Mapping[str, Any]], findings: Sequence[Finding]) -> list[tuple[str, str, float]]:
    """Return (finding, what null copies show, change) of every declared finding of forgetting that has a floor."""
    rows = []
    for finding in findings:
        if finding.audit != "forgetting" or finding.group is not None or finding.change is None:
            continue
        shown = [f"{row['copies']} {row['floor']:.2g}" for row in floor if row["finding"] == finding.id]
        if shown:
            rows.append((finding.name, ", ".join(shown), finding.change.value))
    return rows


def strength_sentence(curve: Sequence[Strength]) -> str:
    """Say which strength the declared margins allow."""
    most = allowed(curve)
    if most is None:
        return "Not even the base under the adapted head carries the word retained by every probe: too few items."
    if most == 1:
        return "Everything declared is retained at full strength."
    if most == 0:
        return "None of the strengths asked between base and adapted is retained by every probe."
    gain = next(one for one in curve if one.alpha == most).gain
    return (
        f"Up to strength {most:g} everything declared is retained; there the task gains {gain.value:+.3f} over the "
        "base (transfer-audit soften writes that model)."
    )


def strength_said(curve: Sequence[Strength], alpha: float) -> str:
    """Say what the strength curve of a report says of one strength; nothing is read between its points.

    Examples
    --------
    >>> strength_said([], 0.5)
    'The report has no strength curve: how much a strength of 0.5 retains was not measured.'
    """
    if not curve:
        return f"The report has no strength curve: how much a strength of {alpha:g} retains was not measured."
    point = next((one for one in curve if abs(one.alpha - alpha) < 1e-9), None)
    if point is None:
        asked = ", ".join(f"{one.alpha:g}" for one in sorted(curve, key=lambda one: one.alpha))
        return f"The report's curve was asked at {asked}, not at {alpha:g}: how much that retains was not measured."
    gain = f"At strength {alpha:g} the task changes by {number(point.gain, signed=True)} over the base"
    words = {one.id: WORDS[one.verdict] for one in point.findings if one.group is None}
    if point.retained:
        return f"{gain}, and everything declared is retained."
    if not words:
        return f"{gain}; no probe of forgetting was asked there."
    others = ", ".join(f"{name} is {said}" for name, said in words.items() if said != "retained")
    return f"{gain}; {others}."
