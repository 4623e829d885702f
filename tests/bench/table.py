"""Rows of the table, and the page that is made of all that were measured, today or before."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

__all__ = ["Absent", "Row", "faster", "load", "middle", "page", "save", "share", "table"]

FILE = Path(__file__).with_name("results.json")


class Absent(Exception):
    """What a benchmark needs is not on this machine; says what, and what would do."""


class Row(NamedTuple):
    """One comparison, as it is printed."""

    ratio: str
    goal: str
    what: str
    ours: str
    other: str


def middle(rounds: Sequence[Sequence[float]], column: int) -> float:
    """Median of one column of the rounds.

    Examples
    --------
    >>> middle([(1.0, 5.0), (2.0, 7.0), (9.0, 6.0)], 0)
    2.0
    """
    return statistics.median(one[column] for one in rounds)


def faster(what: str, rounds: Sequence[tuple[float, float]], ours: str, other: str, goal: float | None = None) -> Row:
    """How many times faster: the median over paired rounds (own seconds, other's), and the range.

    Examples
    --------
    >>> faster("adding", [(1, 3), (1, 4), (1, 2)], "by hand", "by heart", goal=2).goal
    '≥ 2: met'
    """
    ratios = [other / own for own, other in rounds]
    ratio = statistics.median(ratios)
    said = "" if goal is None else f"≥ {goal:g}: {'met' if ratio >= goal else 'missed'}"
    return Row(f"**{_short(ratio)} × faster**{_range(ratios)}", said, what, ours, other)


def share(what: str, rounds: Sequence[tuple[float, float]], of: str, ours: str, other: str, goal: float) -> Row:
    """Which share of the other's time or memory: the median over paired rounds (own, other's), and the range.

    Examples
    --------
    >>> share("adding", [(1, 2), (1, 4), (1, 2)], "the time", "by hand", "by heart", goal=0.4)[:2]
    ('**0.50 × the time** (0.25–0.50)', '≤ 0.4: missed')
    """
    ratios = [own / other for own, other in rounds]
    ratio = statistics.median(ratios)
    said = f"≤ {goal:g}: {'met' if ratio <= goal else 'missed'}"
    return Row(f"**{_short(ratio)} × {of}**{_range(ratios)}", said, what, ours, other)


def _short(ratio: float) -> str:
    return f"{ratio:.0f}" if ratio >= 20 else f"{ratio:.2f}"


def _range(ratios: Sequence[float]) -> str:
    return f" ({_short(min(ratios))}–{_short(max(ratios))})" if len(ratios) > 1 else " (1 round)"


def load() -> dict[str, Any]:
    """Read what was measured before: {benchmark: {date, command, versions, rows}}."""
    results: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8")) if FILE.is_file() else {}
    return results


def save(results: Mapping[str, Any], sections: Mapping[str, Sequence[str]]) -> None:
    """Write what was measured, and the page."""
    kept = {name: results[name] for names in sections.values() for name in names if name in results}
    FILE.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    FILE.with_name("README.md").write_text(page(kept, sections), encoding="utf-8")


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a Markdown table."""
    return [
        "| ratio | goal | what | ours | other |",
        "|---|---|---|---|---|",
        *(f"| {' | '.join(row)} |" for row in rows),
    ]


def page(results: Mapping[str, Any], sections: Mapping[str, Sequence[str]]) -> str:
    """Render the page: a table a section, then when and with what each benchmark was run."""
    lines = ["# Benchmarks", ""]
    lines += ["Medians of paired rounds on a shared machine, with the range over the rounds: trust the ratios. "]
    lines[-1] += "`make bench` runs all, `python -m tests.bench NAME ...` some; the others keep their last line."
    for section, names in sections.items():
        rows = [row for name in names for row in results.get(name, {}).get("rows", [])]
        lines += ["", f"## {section}", "", *table(rows)] if rows else []
    lines += ["", "## When, and with what", ""]
    for name in (name for names in sections.values() for name in names if "date" in results.get(name, {})):
        ran = results[name]
        lines.append(f"- `{name}`: {ran['date']}, `{ran['command']}`, {ran['versions']}")
    return "\n".join([*lines, ""])
