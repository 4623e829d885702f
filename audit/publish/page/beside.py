"""Several reports side by side: ranked only where their intervals do not touch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .dumbbell import LEGEND, axes, dumbbell, heads
from .lines import Point, Series, frontier
from .read import Shown
from .table import folded, section, table
from .text import hub_link, isolated, number, safe
from .top import METRICS, chip
from .words import declared, verdict_line

__all__ = ["compare", "separated"]

CHARTS = 40  # findings that are drawn; the table has all
Ends = tuple[float, float] | None


def compare(several: Sequence[Shown]) -> str:
    """Show reports side by side: several adaptations of one base, or one recipe on several bases.

    Nothing is ranked but what was asked of the same items, and there only where 95 % intervals do not touch.

    Parameters
    ----------
    several : sequence of Shown
        Numbered from 1 in this order.
    """
    if len(several) < 2:
        return section("Side by side", "<p>One report alone: nothing to compare it with.</p>")
    one_base = len({_base(one) for one in several}) == 1
    what = "One base, several adaptations" if one_base else "Several bases"
    if not one_base and len({one.name for one in several}) == 1:
        what = "One recipe on several bases"
    told = (
        f"<p class='ta-muted'>{what}. Numbers are ranked only where both were asked of the same items and their 95 % "
        "intervals do not touch; no adjustment is made for how many are compared. One checkpoint each: a difference is "
        "one of two models, not of what their recipes do on average.</p>"
    )
    return section(
        f"Side by side: {len(several)} audits",
        f"{told}{_legend(several)}{_ranking(several, one_base)}{_frontiers(several, one_base)}{_charts(several)}",
    )


def _base(one: Shown) -> str:
    base = one.report["base"]
    return f"{base['id']}@{base['revision']}" if base["revision"] else str(sorted(base["files"].items()))


def separated(ends: Sequence[Ends]) -> list[tuple[int, int]]:
    """Return (better, worse) for every two intervals of a harm that do not touch.

    Examples
    --------
    >>> separated([(0.1, 0.2), (0.15, 0.4), (0.3, 0.5), None])
    [(0, 2)]
    """
    known = [(n, pair) for n, pair in enumerate(ends) if pair is not None]
    return [(n, m) for n, first in known for m, second in known if first[1] < second[0]]


def _legend(several: Sequence[Shown]) -> str:
    rows = []
    for n, one in enumerate(several):
        report = one.report
        rows.append(
            [
                f"<span class='ta-key ta-c{n % 4}'></span>{n + 1}",
                isolated(one.name),
                f"{isolated(report['adapted']['id'])} ({isolated(report['adapted']['method'])})",
                hub_link(report["base"]["id"], report["base"]["revision"]),
                safe(verdict_line(report["findings"], report["broken"])),
            ]
        )
    return table(("no.", "recipe", "adapted", "base", "verdicts"), rows, "What is compared")


def _ranking(several: Sequence[Shown], one_base: bool) -> str:
    rows = [_task_row(several), *(_row(several, name, one_base) for name in _shared(several))]
    body = [row for row in rows if row]
    if not body:
        return "<p>They have neither a task nor a declared finding in common.</p>"
    head = ("quantity", *(f"{n + 1}: {one.name}" for n, one in enumerate(several)), "ranked")
    return table(head, body, "Side by side, with 95 % intervals")


def _shared(several: Sequence[Shown]) -> list[str]:
    """Return ids of declared findings that two reports have at least, in order."""
    ids = [finding["id"] for one in several for finding in declared(one.report["findings"])]
    return [name for name in dict.fromkeys(ids) if ids.count(name) > 1]


def _found(one: Shown, name: str) -> Mapping[str, Any] | None:
    return next((finding for finding in declared(one.report["findings"]) if finding["id"] == name), None)


def _task_row(several: Sequence[Shown]) -> list[str]:
    tasks = [one.report["task"] for one in several]
    known = [task for task in tasks if task is not None]
    if len(known) < 2:
        return []
    asked = {(task["name"], task["metric"], _data(one)) for one, task in zip(several, tasks, strict=True) if task}
    cells = [number(task["adapted"]) if task else "not measured" for task in tasks]
    metric = safe(METRICS.get(known[0]["metric"], known[0]["metric"]))
    if len(asked) > 1:
        return [f"<strong>Task</strong>: {metric}", *cells, "other tasks: not ranked"]
    sign = 1 if known[0]["better"] == "lower" else -1
    ends = [_turned(task["adapted"], sign) if task else None for task in tasks]
    better = "higher" if sign < 0 else "lower"
    return [f"<strong>Task</strong>: {metric}, {better} is better", *cells, _ranked(ends)]


def _data(one: Shown) -> str:
    data = one.report["provenance"]["data"]
    return str(data[0].get("fingerprint")) if data else ""


def _row(several: Sequence[Shown], name: str, one_base: bool) -> list[str]:
    found = [_found(one, name) for one in several]
    known = [finding for finding in found if finding is not None]
    first = known[0]
    cells = []
    for one, finding in zip(several, found, strict=True):
        if finding is None:
            cells.append("not answered" if name in one.report["broken"] else "not measured")
            continue
        shown = _compared(finding, one_base)
        signed = finding["ideal"] is not None or shown is finding["change"]
        cells.append(f"{number(shown, signed)} {chip(finding['verdict'], one.words[name])}")
    what = "change" if _compared(first, one_base) is first["change"] else "adapted"
    label = f"{isolated(name)} <span class='ta-muted'>{what}</span>"
    if len({(finding["items"], finding["unit"], finding["question"]) for finding in known}) > 1:
        return [label, *cells, "asked of other items: not ranked"]
    return [label, *cells, _ranked([_harm(finding, one_base) for finding in found])]


def _compared(finding: Mapping[str, Any], one_base: bool) -> Mapping[str, Any]:
    """Choose what is compared: of one base the change of a harm, else what the adapted model shows.

    A signed quantity is compared by what is left of it; of transfer, the base is held against its own control.
    """
    use_change = finding["change"] and (finding["audit"] == "transfer" or (one_base and finding["ideal"] is None))
    chosen: Mapping[str, Any] = finding["change"] if use_change else finding["adapted"]
    return chosen


def _harm(finding: Mapping[str, Any] | None, one_base: bool) -> Ends:
    """Return the interval of what is compared as a harm: of a signed quantity, that of its size."""
    if finding is None:
        return None
    shown = _compared(finding, one_base)
    if shown["low"] is None or shown["high"] is None:
        return None
    low, high = float(shown["low"]), float(shown["high"])
    if finding["ideal"] is None:
        return low, high
    sizes = abs(low), abs(high)
    return (0.0 if low <= 0 <= high else min(sizes)), max(sizes)


def _turned(estimate: Mapping[str, Any], sign: int) -> Ends:
    if estimate["low"] is None or estimate["high"] is None:
        return None
    low, high = sorted((sign * float(estimate["low"]), sign * float(estimate["high"])))
    return low, high


def _ranked(ends: Sequence[Ends]) -> str:
    pairs = separated(ends)
    said = []
    for n in dict.fromkeys(better for better, _ in pairs):
        behind = ", ".join(str(m + 1) for better, m in pairs if better == n)
        said.append(f"<strong>{n + 1}</strong> ahead of {behind}")
    return "; ".join(said) or "<span class='ta-muted'>not separated</span>"


def _frontiers(several: Sequence[Shown], one_base: bool) -> str:
    """Draw what each run gains on the task against what it forgets, probe by probe."""
    if not one_base or not _task_row(several) or any(one.report["task"] is None for one in several):
        return ""
    if _task_row(several)[-1].startswith("other tasks"):
        return ""
    figures = []
    for name in _shared(several):
        found = [_found(one, name) for one in several]
        known = [finding for finding in found if finding is not None]
        if len(known) < len(several) or known[0]["audit"] != "forgetting" or len({one["items"] for one in known}) > 1:
            continue
        series = [Series(one.name, _places(one, name, finding)) for one, finding in zip(several, known, strict=True)]
        told = "; ".join(
            f"{n + 1} {one.name}: task {number(one.report['task']['adapted'])}, "
            f"change {number(finding['change'], True)}"
            for n, (one, finding) in enumerate(zip(several, known, strict=True))
        )
        figure = frontier(series, f"Task against {name}", told, several[0].key, known[0]["margin"])
        caption = f"<figcaption><strong>{isolated(name.removeprefix('forgetting/'))}</strong></figcaption>"
        figures.append(f"<figure class='ta-card'>{caption}{figure}</figure>")
    if not figures:
        return ""
    return (
        "<h3>What is gained, and what is forgotten</h3><p class='ta-muted'>Across: the task score. Up: the change of "
        "the harm; the band is its margin. Small dots are strengths between base and adapted. The table above says the "
        "same in numbers.</p>"
        f"<div class='ta-cards'>{''.join(figures)}</div>"
    )


def _places(one: Shown, name: str, finding: Mapping[str, Any]) -> list[Point]:
    """Return the strengths below 1 that asked this, then the adapted model."""
    points = []
    for at in sorted(one.report["curve"], key=lambda at: float(at["alpha"])):
        asked = next((other for other in at["findings"] if other["id"] == name and other["change"]), None)
        if asked is not None and at["alpha"] < 1:
            points.append(Point(at["task"]["value"], asked["change"]["value"]))
    task, change = one.report["task"]["adapted"], finding["change"]
    return [*points, Point(task["value"], change["value"], change["low"], change["high"], task["low"], task["high"])]


def _charts(several: Sequence[Shown]) -> str:
    names = _shared(several)
    panels = "".join(_panel(several, name) for name in names[:CHARTS])
    if not panels:
        return ""
    more = f" The first {CHARTS} of {len(names)} are drawn." if len(names) > CHARTS else ""
    return folded("Every finding, base and adapted", f"{LEGEND}<p class='ta-muted'>{more}</p>{panels}")


def _panel(several: Sequence[Shown], name: str) -> str:
    found = [(n, one, finding) for n, one in enumerate(several) if (finding := _found(one, name)) is not None]
    sides, changes = axes([finding for *_, finding in found])
    rows = "".join(
        f"<div class='ta-row ta-flat'><span class='ta-label'>{n + 1} {isolated(one.name)}</span>"
        f"{dumbbell(finding, one.words[name], sides, changes, f'{one.key}-{n}')}"
        f"{chip(finding['verdict'], one.words[name])}</div>"
        for n, one, finding in found
    )
    scale = f"<div class='ta-scale'><span></span>{heads(sides, changes, found[0][2]['audit'])}<span></span></div>"
    unit = isolated(found[0][2]["unit"])
    return f"<div class='ta-panel'><h3>{isolated(name)} <span class='ta-muted'>{unit}</span></h3>{scale}{rows}</div>"
