"""What must be known before the adapted model is used: limitations, in sentences that follow from the findings."""

from __future__ import annotations

from collections.abc import Sequence

from audit.finding import Finding, Verdict
from audit.publish.card.declared import adapted_by_us
from audit.publish.card.forgetting import broken_sentence
from audit.publish.card.learnt import at_constant, things
from audit.publish.card.task import is_learnt
from audit.publish.card.text import number, plain
from audit.report import Report
from audit.retention import allowed
from audit.savings import CONTROLS

__all__ = ["AUDITS", "limitations", "measured", "out_of_scope", "recommendations"]

AUDITS = {
    "bias": "Inherited bias",
    "gap": "Domain gap",
    "forgetting": "Forgetting",
    "transfer": "Negative transfer",
}
"""Audits by the heading under which the card shows them."""
UNKNOWN_TO = {
    "bias": "who is treated worse",
    "gap": "how far the task lies from what the base knows",
    "forgetting": "what the base could do beside the task",
    "transfer": "whether the base helped at all",
}

FEASIBLE = 10  # times the clusters asked: more is no advice


def measured(report: Report, audit: str) -> bool:
    """Whether an audit found anything, or a probe of it that only the base answers."""
    broken = any(one.startswith(f"{audit}/") for one in report.broken)
    return broken or any(one.audit == audit for one in report.findings)


def limitations(report: Report) -> list[str]:
    """Say what speaks against relying on the adapted model, in Markdown: all that follows from declared findings.

    Parameters
    ----------
    report : Report

    Returns
    -------
    list of str
        What is broken or worse first, then what it leans to, what could not be decided, what was not measured.
    """
    declared = [one for one in report.findings if one.group is None]
    worse = [one for one in declared if one.verdict == Verdict.WORSE]
    unclear = [one for one in declared if one.verdict == Verdict.UNCLEAR]
    said = [f"**Broken**: {plain(broken_sentence(report.broken))}"] if report.broken else []
    if report.task is not None and not is_learnt(report):
        said.append("**Task not learnt**: the adapted model does no better than a constant answer.")
    elif (constant := at_constant(report)) is not None:
        said.append(
            f"**Task perhaps not learnt**: the adapted model's interval holds a constant answer's {constant:.3f}."
        )
    said += [_worse(one) for one in worse]
    said += [_leans(one) for one in declared if one not in worse and _shows(one)]
    for what, some in (
        ("declared findings of change", [one for one in declared if one.audit != "gap"]),
        ("measures of the domain", [one for one in declared if one.audit == "gap"]),
    ):
        if open_ones := [one for one in some if one in unclear]:
            said.append(_unclear(open_ones, f"{len(some)} {what}"))
    said += [f"**Base, {plain(one.name)}**: {plain(one.said)}." for one in report.diligence if one.outcome == "fail"]
    said += [
        f"**Not measured**: {UNKNOWN_TO[audit]} ({AUDITS[audit].lower()})."
        for audit in AUDITS
        if not measured(report, audit)
    ]
    return said


def _worse(one: Finding) -> str:
    moved = number(one.change or one.adapted, one.change is not None)
    size = f"{moved}, margin {one.margin:g}, {one.n_clusters} clusters"
    name = plain(one.name)
    if one.audit == "gap":
        return f"**Outside the domain**: by {name} the task lies outside the reference's domain (position {size})."
    if one.audit == "transfer":
        control = plain(CONTROLS.get(one.name, one.name))
        return f"**Negative transfer**: against {control} the base hurts (error {size})."
    if one.audit == "forgetting":
        return f"**Lost**: {name} (harm {size})."
    return f"**Worse than the base**: {name} ({size})."


def _shows(one: Finding) -> bool:
    """Whether the adapted model leans beyond the margin, however little that is a change."""
    low, high = one.adapted.bounds()
    return one.audit == "bias" and one.ideal is not None and (low > one.margin or high < -one.margin)


def _leans(one: Finding) -> str:
    return (
        f"**Leans**: {plain(one.name)} of the adapted model is {number(one.adapted, True)}, beyond its margin of "
        f"{one.margin:g} ({one.n_clusters} clusters), whatever the change."
    )


def _unclear(findings: Sequence[Finding], of: str) -> str:
    """List what could not be decided, each with what would; why stands beside its finding."""
    listed = []
    for one in findings:
        needed = f", about {one.n_needed} would decide" if one.n_needed else ""
        listed.append(f"{plain(one.name)} ({one.n_clusters} clusters{needed})")
    return f"**Unclear**, {len(findings)} of {of}: {', '.join(listed)}."


def out_of_scope(report: Report) -> list[str]:
    """List uses that the report does not support, in Markdown."""
    lost = [one.name for one in report.findings if one.group is None and _is_lost(one)]
    lost += [one.removeprefix("forgetting/") for one in report.broken]
    said = []
    if report.task is not None and is_learnt(report):
        reads = things(report)
        said.append(f"Other {reads}, labels and languages than the task's: its metric is about those alone.")
    elif report.task is None:
        said.append("The task itself: how well it is done was not measured.")
    else:
        said.append("The task itself: a constant answer does it as well.")
    if report.adapted.language:
        said.append(
            f"Languages other than {', '.join(map(plain, report.adapted.language))}, which the recipe declares."
        )
    if lost:
        said.append(f"What the base could do and the adapted model lost: {', '.join(map(plain, lost))}.")
    if measured(report, "bias"):
        said.append("Decisions about people beyond the groups under *Inherited bias*: no others were compared.")
    else:
        said.append("Decisions about people: no group was compared with another.")
    return said


def _is_lost(one: Finding) -> bool:
    return one.audit == "forgetting" and one.verdict == Verdict.WORSE


def recommendations(report: Report) -> list[str]:
    """List what would remedy or decide what the limitations name; empty where nothing follows."""
    declared = [one for one in report.findings if one.group is None]
    said = []
    if report.task is not None and (constant := at_constant(report)) is not None:
        said.append(_learn_first(report, constant))
    if report.broken or any(map(_is_lost, declared)):
        said.append(_keep(report))
    if any(one.audit == "bias" and one.verdict == Verdict.WORSE and one.origin is None for one in declared):
        said.append("To learn where a disparity came from, train control arms: `[audit.bias] origin = true`.")
    said += _ask_more(declared)
    if report.adapted.seeds and len(report.adapted.seeds) < 3:
        said.append("To claim something of the recipe in place of this checkpoint, run it with three seeds or more.")
    return said


def _keep(report: Report) -> str:
    most = allowed(report.curve)
    if most:
        return (
            f"Where what was lost matters, take the model at strength {most:g} (`transfer-audit soften`), or the base."
        )
    return "Where what was lost matters, keep the base for it, or adapt with `[adapt.protect]`."


def _learn_first(report: Report, constant: float) -> str:
    """Say before all else that a model which may not do the task is none to decide about."""
    does = "does no better than" if not is_learnt(report) else "is not shown to do better than"
    said = f"First the task: the adapted model {does} a constant answer ({constant:.3f}), so do not use it for that."
    if not adapted_by_us(report):
        return said
    return (
        f"{said} Train it longer, at another rate or on more items, and audit that: these findings are of this model."
    )


def _ask_more(findings: Sequence[Finding]) -> list[str]:
    """Name what more items would decide; what takes very many more lies too near its margin to be decided so."""
    needed = [(one.n_needed, one) for one in findings if one.verdict == Verdict.UNCLEAR and one.n_needed]
    within = [(n, one) for n, one in needed if n <= FEASIBLE * one.n_clusters]
    said = []
    if within:
        listed = ", ".join(f"{plain(one.name)} about {n} clusters in place of {one.n_clusters}" for n, one in within)
        said.append(f"To decide what is unclear, ask more: {listed}.")
    if beyond := [plain(one.name) for n, one in needed if n > FEASIBLE * one.n_clusters]:
        said.append(
            f"More than {FEASIBLE} times the clusters asked would be needed for {', '.join(beyond)}: what changed "
            "there lies close to the margin."
        )
    return said
