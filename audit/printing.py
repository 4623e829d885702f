"""What the command line prints, on a terminal or into a file."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from audit.finding import Verdict
from audit.publish.card import verdict_line
from audit.publish.card.forgetting import broken_sentence
from audit.publish.card.task import task_words
from audit.publish.card.text import number
from audit.report import Report
from audit.retention import words
from audit.signoff import SignOff

if TYPE_CHECKING:
    from audit.choose import Chosen
    from audit.choose.racing import Race
    from audit.compare.frontier import Frontier, Place
    from audit.recipe.compared import Difference

__all__ = [
    "console",
    "print_chosen",
    "print_differences",
    "print_frontier",
    "print_json",
    "print_report",
    "print_ruled",
]

WIDE = 200  # columns where the output is no terminal: nothing is wrapped or cut
COLOURS = {Verdict.WORSE: "red", Verdict.BETTER: "green", Verdict.SAME: "cyan", Verdict.UNCLEAR: "yellow"}


def print_report(report: Report, folder: Path, seconds: dict[str, float]) -> None:
    """Print findings, task, verdicts and times of a run."""
    table = Table(box=None, pad_edge=False)
    attributed = bool(report.decompositions)
    said = words(report.findings)
    for column in ("finding", "base", "adapted", "change", "margin", "verdict", *(["origin"] if attributed else [])):
        table.add_column(column)
    for one in report.findings:
        if one.group is None:
            table.add_row(
                escape(one.id),
                number(one.base) if one.base else "",
                number(one.adapted),
                number(one.change, signed=True) if one.change else "",
                f"{one.margin:g}",
                f"[{COLOURS[one.verdict]}]{said.get(one.id, one.verdict)}[/]",
                *([str(one.origin or "")] if attributed else []),
            )
    out = console()
    out.print(table)
    if report.task is not None:
        out.print(escape(task_words(report, report.task.name)))
    out.print(escape(verdict_line(report.findings, report.broken)))
    if report.broken:
        out.print(escape(broken_sentence(report.broken)))
    times = ", ".join(f"{name.split('/')[-1]} {took:.1f} s" for name, took in seconds.items())
    out.print(f"stages: {times}", highlight=False)
    out.print(f"report: {folder / 'report.json'}   card: {folder / 'card.md'}", highlight=False, soft_wrap=True)


def print_ruled(decision: SignOff) -> None:
    """Print what a policy says of a report: what does not pass first, then one sentence."""
    out, table = console(), Table(box=None, pad_edge=False)
    for column in ("subject", "found", "", "why, and what would do"):
        table.add_column(column)
    colours = {"fail": "red", "waived": "yellow", "pass": "green"}
    for one in sorted(decision.rulings, key=lambda one: list(colours).index(one.outcome)):
        waiver = one.waiver
        said = f"{waiver.by} until {waiver.until}: {waiver.reason}" if waiver else one.said
        table.add_row(escape(one.subject), one.found, f"[{colours[one.outcome]}]{one.outcome}[/]", escape(said))
    out.print(table)
    for pattern in decision.idle:
        out.print(escape(f"a rule that names no finding: {pattern}"), highlight=False)
    for spare in decision.unused:
        out.print(escape(f"a waiver that nothing needs: {spare.finding}"), highlight=False)
    out.print(escape(decision.said), highlight=False)
    if not decision.passed:
        out.print(
            escape("To let one pass as it is, waive it in the policy: [[waiver]] finding, found, reason, by, until.")
        )


def print_chosen(chosen: Chosen, folder: Path) -> None:
    """Print the ranking of bases, and what is advised."""
    out, table = console(), Table(box=None, pad_edge=False)
    for column in (
        "rank",
        "base",
        "accuracy",
        "parameters",
        "by size",
        "MB",
        "license",
        "evidence",
        "H excess",
    ):
        table.add_column(column)
    for one in chosen.bases:
        if one.accuracy is None:
            continue
        table.add_row(
            str(one.place) if one.place == one.place_high else f"{one.place}-{one.place_high}",
            escape(one.name),
            number(one.accuracy),
            f"{one.parameters:,}",
            str(one.place_by_parameters),
            f"{(one.size or 0) / 1e6:.0f}",
            escape(one.license or "not said"),
            f"{one.evidence:.3f}",
            f"{one.h_excess:.3f}",
        )
    out.print(table)
    for one in chosen.bases:
        if one.problem:
            out.print(escape(f"not ranked: {one.problem if one.name in one.problem else f'{one.name}: {one.problem}'}"))
    out.print(escape(chosen.verdict))
    out.print(
        f"{chosen.n_texts} training texts of {chosen.n_clusters} documents; most frequent label {chosen.majority:.3f}",
        highlight=False,
    )
    if chosen.race is not None:
        _print_race(chosen.race, out)
    for advised in chosen.advice:
        for one_thing in advised.advice:
            said = f"{advised.base}: {one_thing.action} ({one_thing.basis}): {one_thing.reason}."
            out.print(escape(said), highlight=False)
    for line in chosen.limits:
        out.print(escape(line), highlight=False)
    out.print(f"choose: {folder / 'choose.json'}", highlight=False, soft_wrap=True)


def _print_race(race: Race, out: Console) -> None:
    table = Table(box=None, pad_edge=False)
    for column in ("texts", "base", "method", "accuracy", "seconds", "outcome"):
        table.add_column(column)
    for one in race.legs:
        accuracy = number(one.accuracy) if one.accuracy else ""
        table.add_row(str(one.n), escape(one.base), one.method, accuracy, f"{one.seconds:.1f}", escape(one.outcome))
    out.print(table)
    out.print(escape(race.verdict))


def print_frontier(found: Frontier, folder: Path) -> None:
    """Print what each run gains and forgets, and which is dominated."""
    out = console()
    out.print(_places(found, [(one.name, one.final) for one in found.runs]))
    for name, over in found.dominated.items():
        said = "on the frontier" if name in found.frontier else f"dominated by {', '.join(over)}"
        out.print(escape(f"{name}: {said}"), highlight=False)
    if found.matched:
        out.print(f"\nat matched task score ({found.metric} {found.target:.3f}):", highlight=False)
        out.print(_places(found, [(f"{one.run} at {one.place.alpha:g}", one.place) for one in found.matched]))
    for one in found.left_out:
        out.print(escape(f"left out: {one.finding}: {one.reason}"), highlight=False)
    for line in (f"{found.adjustment}.", *found.limits):
        out.print(escape(line), highlight=False)
    out.print(f"compare: {folder / 'compare.json'}", highlight=False, soft_wrap=True)


def _places(found: Frontier, places: Sequence[tuple[str, Place]]) -> Table:
    """One column a model, one row an axis."""
    table = Table(box=None, pad_edge=False)
    table.add_column("")
    for name, _ in places:
        table.add_column(escape(name))
    lower = " (lower is better)" if found.better == "lower" else ""
    table.add_row(f"{found.metric}{lower}", *(number(place.task) for _, place in places))
    table.add_row("change", *(number(place.gain, signed=True) for _, place in places))
    for axis in found.axes[1:]:
        table.add_row(escape(axis), *(_kept(place, axis) for _, place in places))
    return table


def _kept(place: Place, axis: str) -> str:
    for one in place.retained:
        if one.finding == axis:
            return f"{number(one.change, True)} [{COLOURS[one.verdict]}]{one.word}[/]"
    return "[red]not answered[/]" if axis in place.broken else "not measured"


def print_differences(differences: Sequence[Difference], first: str, second: str) -> None:
    """Print the keys in which two recipes differ."""
    table = Table(box=None, pad_edge=False)
    for column in ("key", first, second):
        table.add_column(escape(column))
    for one in differences:
        table.add_row(escape(one.key), *(escape("" if value is None else json.dumps(value)) for value in one[1:]))
    console().print(table if differences else "no key differs")


def console() -> Console:
    """Return the standard output: as wide as the terminal, or so wide that nothing is cut."""
    return Console() if sys.stdout.isatty() else Console(width=WIDE)


def print_json(value: dict[str, Any]) -> None:
    """Print one JSON object."""
    sys.stdout.write(json.dumps(value, indent=1, default=str) + "\n")
