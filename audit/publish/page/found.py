"""The declared findings: base and adapted as dots, and the same as a table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from .dumbbell import LEGEND, axes, dumbbell, heads
from .read import Shown
from .table import folded, section, table
from .text import isolated, number, rounded, safe, said
from .top import chip
from .words import AUDITS, declared, moved, sentence

__all__ = ["chart", "finding_rows", "findings", "matching", "twin"]

Finding = Mapping[str, Any]


def findings(shown: Shown, audit: str | None = None, verdict: str | None = None, search: str = "") -> str:
    """Show the declared findings as dumbbells with intervals and margins, and as a table.

    Parameters
    ----------
    shown : Shown
    audit : {"bias", "gap", "forgetting", "transfer"}, optional
    verdict : {"worse", "same", "better", "unclear"}, optional
    search : str
        Kept are findings whose name, question or unit contains it, whatever its case.
    """
    asked = declared(shown.report["findings"])
    if not asked:
        return section("Findings", "<p>Nothing was measured.</p>")
    some = matching(asked, audit, verdict, search)
    if not some:
        return section("Findings", f"<p>None of {len(asked)} declared findings is of that kind.</p>")
    count = (
        f"{len(some)} of {len(asked)} declared findings"
        if len(some) < len(asked)
        else f"{len(asked)} declared findings"
    )
    told = f"<p class='ta-muted'>{count}. Open a row for its question, its intervals and what its verdict means.</p>"
    return section("Findings", f"{told}{LEGEND}{chart(shown, some)}{folded('The same as a table', twin(shown, some))}")


def matching(findings: Sequence[Finding], audit: str | None, verdict: str | None, search: str) -> list[Finding]:
    """Keep findings of an audit, with a verdict, that say what is searched for."""
    wanted = search.casefold().strip()
    return [
        one
        for one in findings
        if audit in (None, "", one["audit"])
        and verdict in (None, "", one["verdict"])
        and (not wanted or any(wanted in str(one[name]).casefold() for name in ("id", "question", "unit")))
    ]


def chart(shown: Shown, findings: Sequence[Finding], by: str = "name") -> str:
    """Draw findings, those of one audit and unit on one scale; each row is called by its name, or by its group."""
    return "".join(_panel(shown, audit, unit, some, by) for audit, unit, some in _units(findings))


def _units(findings: Sequence[Finding]) -> Iterator[tuple[str, str, list[Finding]]]:
    order = {audit: place for place, audit in enumerate(AUDITS)}

    def kind(one: Finding) -> tuple[int, str, str, bool]:
        return order.get(one["audit"], 9), one["audit"], one["unit"], one["ideal"] is None

    for (_, audit, unit, _), some in groupby(sorted(findings, key=kind), key=kind):
        yield audit, unit, list(some)


def _panel(shown: Shown, audit: str, unit: str, findings: Sequence[Finding], by: str) -> str:
    sides, changes = axes(findings)
    rows = "".join(
        _row(shown, one, by, dumbbell(one, shown.words[one["id"]], sides, changes, shown.key)) for one in findings
    )
    name = f"{safe(AUDITS.get(audit, audit))} " if by == "name" else ""
    harm = "signed, ideal 0" if findings[0]["ideal"] is not None else "larger is worse"
    return (
        f"<div class='ta-panel'><h3>{name}<span class='ta-muted'>{isolated(unit)}; {harm}</span></h3>"
        f"<div class='ta-scale'><span></span>{heads(sides, changes, audit)}<span></span></div>{rows}</div>"
    )


def _row(shown: Shown, finding: Finding, by: str, figure: str) -> str:
    called = shown.words[finding["id"]]
    return (
        f"<details class='ta-row' data-audit='{safe(finding['audit'])}' data-verdict='{safe(finding['verdict'])}'>"
        f"<summary><span class='ta-label'>{isolated(finding[by])}</span>{figure}"
        f"{chip(finding['verdict'], called)}</summary>{_facts(shown, finding)}</details>"
    )


def _facts(shown: Shown, finding: Finding) -> str:
    signed = finding["ideal"] is not None
    low, high = finding["decision"]["beyond" if finding["verdict"] in ("worse", "better") else "same"]
    how = f"{safe(finding['method'])}; {isolated(finding['adjustment'])}"
    facts = [
        ("Asked", isolated(said(finding["question"]))),
        ("Means", safe(sentence(finding))),
        (
            " and ".join(_sides(finding["audit"])),
            f"{number(finding['base'], signed)}; {number(finding['adapted'], signed)}",
        ),
        ("Change", number(finding["change"], True) if finding["change"] else "none: a position, not a change"),
        ("Decided by", f"{_interval(low, high)} against ± {finding['margin']:g} ({how})"),
        ("Asked of", f"{finding['n_items']:,} items in {finding['n_clusters']:,} clusters"),
    ]
    facts += [
        ("Of them", f"{one['lost']:,} of {one['n']:,} lost, {one['gained']:,} gained")
        for one in shown.report["flips"]
        if one["finding"] == finding["id"]
    ]
    if finding["floor"] is not None:
        facts.append(("Null copies", f"of the base differ by up to {finding['floor']:.3g}"))
    if finding["p"] is not None:
        facts.append(("Detection", f"p = {finding['p']:.3g}; never decides"))
    if finding["note"]:
        facts.append(("Note", isolated(finding["note"])))
    return "<dl class='ta-facts'>" + "".join(f"<dt>{name}</dt><dd>{told}</dd>" for name, told in facts) + "</dl>"


def _sides(audit: str) -> tuple[str, str]:
    """Name what is compared: of transfer, the base is held against a control."""
    return ("Control", "base") if audit == "transfer" else ("Base", "adapted")


def _interval(low: float | None, high: float | None) -> str:
    return "no variation" if low is None else f"[{rounded(low, True)}, {rounded(high, True)}]"


def twin(shown: Shown, findings: Sequence[Finding]) -> str:
    """Tabulate findings."""
    rows = []
    for one in findings:
        signed = one["ideal"] is not None
        name = isolated(one["name"]) + (f": {isolated(one['group'])}" if one["group"] else "")
        name += " <span class='ta-muted'>(the control, then the base)</span>" if one["audit"] == "transfer" else ""
        rows.append(
            [
                f"{safe(one['audit'])}: {name}",
                number(one["base"], signed) if one["base"] else "",
                number(one["adapted"], signed),
                number(one["change"], True) if one["change"] else "",
                f"{one['margin']:g}",
                f"{one['n_clusters']:,}",
                chip(one["verdict"], shown.words[one["id"]]),
            ]
        )
    marks = [{"data-audit": one["audit"], "data-verdict": one["verdict"]} for one in findings]
    head = ("finding", "base", "adapted", "change", "margin", "clusters", "verdict")
    return table(head, rows, "Findings, with 95 % intervals", (1, 2, 3, 4, 5), marks)


def finding_rows(shown: Shown) -> list[dict[str, Any]]:
    """List all findings as flat records, exploratory slices too.

    Returns
    -------
    list of dict
        ``id, audit, name, group, declared, question, unit, base, adapted, change`` and their ends ``..._low`` and
        ``..._high``, ``margin, verdict, word`` (what the verdict is called), ``origin, items, clusters, needed, p``.
    """
    return [_record(one, shown.words[one["id"]]) for one in shown.report["findings"]]


def _record(finding: Finding, word: str) -> dict[str, Any]:
    record = {name: finding[name] for name in ("id", "audit", "name", "group", "question", "unit")}
    record["declared"] = finding["group"] is None
    for side in ("base", "adapted", "change"):
        estimate = finding[side] or {"value": None, "low": None, "high": None}
        record |= {side: estimate["value"], f"{side}_low": estimate["low"], f"{side}_high": estimate["high"]}
    record |= {"margin": finding["margin"], "verdict": finding["verdict"], "word": word, "origin": finding["origin"]}
    record |= {"items": finding["n_items"], "clusters": finding["n_clusters"], "needed": finding["n_needed"]}
    return record | {"p": finding["p"], "floor": finding["floor"], "moved": moved(finding)["value"]}
