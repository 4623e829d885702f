"""What the adaptation overwrote, in plain words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from audit.finding import Finding, Verdict
from audit.publish.card.text import number
from audit.publish.card.undecided import undecided
from audit.retention import WORDS, Flips, Strength, WeightDrift, allowed, words

__all__ = [
    "broken_sentence",
    "flips_sentence",
    "floor_rows",
    "forgetting_sentence",
    "strength_said",
    "strength_sentence",
    "strength_table",
    "weights_sentence",
]


def forgetting_sentence(finding: Finding, said: str, shown_by: str = "") -> str:
    """Say what a verdict means for what the base could do.

    ``said`` is its word (`audit.retention.words`), ``shown_by`` what set its floor.
    """
    return {
        Verdict.WORSE: f"**{said.capitalize()}**: the harm grew by more than {finding.margin:g}.",
        Verdict.BETTER: f"**{said.capitalize()}**, and more: the harm shrank by more than {finding.margin:g}.",
        Verdict.SAME: f"**{said.capitalize()}**: the harm changed by less than {finding.margin:g}.",
        Verdict.UNCLEAR: f"**{said.capitalize()}**: {undecided(finding, shown_by)}.",
    }[finding.verdict]


def broken_sentence(broken: Sequence[str]) -> str:
    """Name the probes that only the base answers; empty where there are none.

    Examples
    --------
    >>> print(broken_sentence(["forgetting/next_token"]))
    The base answers what these probes ask, the adapted model does not: next_token.
    """
    if not broken:
        return ""
    return f"The base answers what these probes ask, the adapted model does not: {', '.join(map(_name, broken))}."


def _name(finding: str) -> str:
    return finding.removeprefix("forgetting/")


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
            f"; with guesses taken out, {_between(flips.known_lost)} of all items were known and no longer are, "
            f"{_between(flips.known_gained)} the other way (the first if the adapted model guesses anew, the second if "
            "it guesses as its base does)"
        )
    return f"{said}."


def _between(shares: tuple[float, float]) -> str:
    low, high = (f"{100 * share:.1f}" for share in shares)
    return f"{low} %" if low == high else f"between {low} and {high} %"


def weights_sentence(weights: Sequence[WeightDrift]) -> str:
    """Say which layers are the base's own, bit for bit."""
    same = [one.layer for one in weights if one.frozen]
    if len(same) == len(weights):
        return "Every tensor that both sides have is unchanged, number for number."
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


def strength_table(curve: Sequence[Strength]) -> tuple[list[str], list[tuple[Strength, list[str]]]]:
    """Return the names of all declared probes of a curve, and of every strength what each of them shows there."""
    found = [{one.id: one for one in point.findings if one.group is None} for point in curve]
    ids = list(dict.fromkeys(name for point, had in zip(curve, found, strict=True) for name in (*had, *point.broken)))
    rows = []
    for point, had in zip(curve, found, strict=True):
        said = words(point.findings)
        absent = {name: "not answered" if name in point.broken else "not measured" for name in ids}
        shown = {name: f"{number(one.change, signed=True)} {said[name]}" for name, one in had.items()}
        rows.append((point, [(absent | shown)[name] for name in ids]))
    return [_name(one) for one in ids], rows


def strength_sentence(curve: Sequence[Strength]) -> str:
    """Say which strength the declared margins allow, and what keeps it from being a larger one."""
    points = sorted(curve, key=lambda one: one.alpha)
    most = allowed(points)
    first = next((one for one in points if not one.retained), None)
    if first is None:
        return (
            "Everything declared is retained at full strength."
            if most == 1
            else f"Everything declared is retained at every strength that was asked, up to {points[-1].alpha:g}."
        )
    said = f"At strength {first.alpha:g} not everything is: {_lacking(first)}."
    if most is None:
        said = f"Not even the smallest strength asked, {first.alpha:g}, retains everything declared: {_lacking(first)}."
    elif most == 0:
        said = f"Everything declared is retained at 0, the base's own features. {said}"
    else:
        gain = next(one for one in points if one.alpha == most).gain
        said = (
            f"Up to strength {most:g} everything declared is retained; there the task gains {gain.value:+.3f} over the "
            f"base (transfer-audit soften writes that model). {said}"
        )
    again = [f"{one.alpha:g}" for one in points if one.retained and one.alpha > first.alpha]
    return f"{said} At {', '.join(again)} everything is retained again." if again else said


def _lacking(point: Strength) -> str:
    """Say what is not retained at a strength, and why."""
    reasons = [f"{_name(one)} is not answered" for one in point.broken]
    for one in point.findings:
        if one.group is None and WORDS[one.verdict] != "retained":
            why = f" ({undecided(one)})" if one.verdict == Verdict.UNCLEAR else ""
            reasons.append(f"{_name(one.id)} is {WORDS[one.verdict]}{why}")
    return "; ".join(reasons) or "no probe of forgetting was asked"


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
    return f"{gain}, and everything declared is retained." if point.retained else f"{gain}; {_lacking(point)}."
