"""Verdicts in words: counted, and what each means for its finding."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from audit.finding import Finding, Verdict
from audit.publish.card.undecided import undecided

__all__ = ["sentence", "verdict_line"]


def verdict_line(findings: Sequence[Finding], broken: Sequence[str] = ()) -> str:
    """Count the verdicts on declared changes, then the measures by which the task lies outside the reference's domain.

    A position of the domain gap is no change, so no harm that the adaptation did: it is counted apart. The probes that
    only the base answers come last.

    Examples
    --------
    >>> verdict_line([])
    'Nothing was measured.'
    >>> verdict_line([], ["forgetting/next_token"])
    'Nothing was measured; 1 probe that the base answers the adapted model does not.'
    """
    declared = [one for one in findings if one.group is None]
    counts = Counter(one.verdict for one in declared if one.audit != "gap")
    places = Counter(one.verdict for one in declared if one.audit == "gap")
    verdicts = ", ".join(f"{counts[verdict]} {verdict}" for verdict in Verdict if counts[verdict])
    n = counts.total()
    said = f"{n} declared finding{'' if n == 1 else 's'} of change: {verdicts}"
    if not counts:
        said = "No change was measured" if places else "Nothing was measured"
    if places:
        outside = places[Verdict.WORSE] or "none"
        said += f"; the task lies outside the reference's domain by {outside} of {places.total()} measures"
    if places[Verdict.UNCLEAR]:
        said += f", unclear by {places[Verdict.UNCLEAR]}"
    if broken:
        probes = "1 probe" if len(broken) == 1 else f"{len(broken)} probes"
        said += f"; {probes} that the base answers the adapted model does not"
    return f"{said}."


def sentence(finding: Finding, shown_by: str = "") -> str:
    """Say in plain words what a verdict means for one finding; ``shown_by`` names what set its floor."""
    margin = f"{finding.margin:g}"
    if finding.change is None:
        position = f"position {finding.adapted.value:.2f}, margin {margin}"
        needed = f"; about {finding.n_needed} documents in place of {finding.n_clusters} would decide"
        documents = needed if finding.n_needed else ""
        return {
            Verdict.SAME: f"By this measure the task lies in the reference's domain ({position}).",
            Verdict.WORSE: f"By this measure the task lies outside the reference's domain ({position}).",
            Verdict.BETTER: f"By this measure the task lies closer to it than the reference's own halves ({position}).",
            Verdict.UNCLEAR: f"By this measure it is unclear whether it lies in that domain ({position}){documents}.",
        }[finding.verdict]
    if finding.verdict == Verdict.UNCLEAR:
        why = undecided(finding, shown_by)
        return f"{why[:1].upper()}{why[1:]}."
    if finding.ideal is not None:
        worse = f"The adapted model leans elsewhere than its base, and not towards 0, by more than {margin}."
        better = f"The adapted model leans less than its base, by more than {margin}."
    else:
        worse = f"The adapted model is worse than its base by more than {margin}."
        better = f"The adapted model is better than its base by more than {margin}."
    return {
        Verdict.SAME: f"Base and adapted differ by less than {margin}.",
        Verdict.WORSE: worse,
        Verdict.BETTER: better,
    }[finding.verdict]
