"""What a verdict is called, and what follows from it, in the words of the card."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["AUDITS", "VERDICTS", "declared", "moved", "sentence", "verdict_line", "words"]

AUDITS = {"bias": "Inherited bias", "gap": "Domain gap", "forgetting": "Forgetting", "transfer": "Negative transfer"}
VERDICTS = ("worse", "same", "better", "unclear")
RETAINED = {"better": "retained", "same": "retained", "worse": "lost", "unclear": "unclear"}
DETECTABLE = "detectable but within the margin"
SCORES = ("tango score", "mover of tango scores")  # valid with few clusters
ENOUGH = 30  # clusters, for a mean

Finding = Mapping[str, Any]


def declared(findings: Sequence[Finding], audit: str | None = None) -> list[Finding]:
    """Return the findings that were declared before the models were asked, of one audit or of all."""
    return [one for one in findings if one["group"] is None and audit in (None, one["audit"])]


def moved(finding: Finding) -> Mapping[str, Any]:
    """Return what the verdict is about: the change, or the position of the gap."""
    change: Mapping[str, Any] = finding["change"] or finding["adapted"]
    return change


def words(findings: Sequence[Finding]) -> dict[str, str]:
    """Say every verdict by the finding's id: of forgetting retained or lost, else the verdict itself.

    Of forgetting, what is the same although it moved by more than null copies of the base do, with a p below alpha
    after Holm's adjustment over the declared findings, is called ``DETECTABLE``.
    """
    called = {one["id"]: one["verdict"] for one in findings}
    mine = [one for one in findings if one["audit"] == "forgetting"]
    called |= {one["id"]: RETAINED[one["verdict"]] for one in mine}
    asked = declared(mine)
    adjusted = _holm([1.0 if one["p"] is None else one["p"] for one in asked])
    for one, p in zip(asked, adjusted, strict=True):
        if one["verdict"] == "same" and abs(moved(one)["value"]) > (one["floor"] or 0.0) and p < one["alpha"]:
            called[one["id"]] = DETECTABLE
    return called


def _holm(ps: Sequence[float]) -> list[float]:
    """Adjust p-values by Holm's step-down procedure (Scandinavian Journal of Statistics 6 (1979) 65-70)."""
    adjusted, largest = [1.0] * len(ps), 0.0
    for rank, place in enumerate(sorted(range(len(ps)), key=lambda place: ps[place])):
        largest = max(largest, min(1.0, (len(ps) - rank) * ps[place]))
        adjusted[place] = largest
    return adjusted


def verdict_line(findings: Sequence[Finding], broken: Sequence[str] = ()) -> str:
    """Count the verdicts on declared changes, the positions outside the domain, and what only the base answers.

    Examples
    --------
    >>> verdict_line([])
    'Nothing was measured.'
    """
    counts = Counter(one["verdict"] for one in declared(findings) if one["audit"] != "gap")
    places = Counter(one["verdict"] for one in declared(findings, "gap"))
    verdicts = ", ".join(f"{counts[verdict]} {verdict}" for verdict in VERDICTS if counts[verdict])
    n = counts.total()
    said = f"{n} declared finding{'' if n == 1 else 's'} of change: {verdicts}"
    if not counts:
        said = "No change was measured" if places else "Nothing was measured"
    if places:
        outside = places["worse"] or "none"
        said += f"; the task lies outside the reference's domain by {outside} of {places.total()} measures"
    if places["unclear"]:
        said += f", unclear by {places['unclear']}"
    if broken:
        probes = "1 probe" if len(broken) == 1 else f"{len(broken)} probes"
        said += f"; {probes} that the base answers the adapted model does not"
    return f"{said}."


def sentence(finding: Finding) -> str:
    """Say in plain words what a verdict means."""
    verdict, margin = finding["verdict"], f"{finding['margin']:g}"
    if verdict == "unclear":
        return f"Unclear: {_undecided(finding)}."
    if finding["change"] is None:
        where = {"same": "lies in", "worse": "lies outside", "better": "lies closer than its own halves to"}[verdict]
        return f"By this measure the task {where} the reference's domain."
    if finding["audit"] == "transfer":
        return {
            "better": f"The base helps: its error is more than {margin} below the control's.",
            "same": f"No measurable benefit: both errors differ by less than {margin}.",
            "worse": f"The base hurts: its error is more than {margin} above the control's.",
        }[verdict]
    if finding["audit"] == "forgetting":
        return {
            "better": f"Retained, and more: the harm shrank by more than {margin}.",
            "same": f"Retained: the harm changed by less than {margin}.",
            "worse": f"Lost: the harm grew by more than {margin}.",
        }[verdict]
    leans = finding["ideal"] is not None
    return {
        "better": f"The adapted model {'leans less' if leans else 'is better'} than its base by more than {margin}.",
        "same": f"Base and adapted differ by less than {margin}.",
        "worse": f"The adapted model leans elsewhere than its base, and not towards 0, by more than {margin}."
        if leans
        else f"The adapted model is worse than its base by more than {margin}.",
    }[verdict]


def _undecided(finding: Finding) -> str:
    """Say why nothing could be decided: the floor where it alone is the reason, else the clusters."""
    margin, floor, value = finding["margin"], finding["floor"], moved(finding)["value"]
    if floor is not None and _floored(finding, margin, floor, value):
        told = "which is more than the margin" if floor > margin else "so a change within that says nothing"
        itself = (
            "null copies of the base differ" if finding["audit"] == "forgetting" else "the base differs from itself"
        )
        return f"{itself} by up to {floor:.3g} (the floor), {told}"
    needed = f"; about {finding['n_needed']} would decide" if finding["n_needed"] else ""
    return f"{finding['n_clusters']} clusters cannot decide at a margin of {margin:g}{needed}"


def _floored(finding: Finding, margin: float, floor: float, value: float) -> bool:
    """Tell of what is unclear whether its intervals would decide, and the floor forbids it."""
    same, beyond = finding["decision"]["same"], finding["decision"]["beyond"]
    if None in same or None in beyond:
        if moved(finding)["low"] is not None or finding["n_clusters"] < ENOUGH:
            return False
        same = beyond = (value, value)
    if finding["n_clusters"] < 5:
        return False
    if -margin < same[0] and same[1] < margin:
        return finding["method"] in SCORES or finding["n_clusters"] >= ENOUGH
    return bool(beyond[0] > margin or beyond[1] < -margin) and abs(value) <= floor
