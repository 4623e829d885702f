"""Curves: what each strength between base and adapted gains and forgets, and what the base saves in data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .lines import Point, Series, curve
from .read import Shown
from .table import folded, section, table
from .text import isolated, number, safe
from .top import METRICS, chip
from .words import declared, words

__all__ = ["curves"]

ARMS = {
    "base": "the base",
    "random_init": "random initial weights",
    "shuffled_weights": "the base's own weights, shuffled within every tensor",
}
HEADS = {"probe": "a probe on frozen features", "fine_tuned": "the recipe's own adaptation"}


def curves(shown: Shown) -> str:
    """Show the strength curve, and error by training texts; each with its table."""
    content = f"{_strengths(shown)}{_learning(shown)}"
    return section("Curves", content or "<p>Neither a strength curve nor learning curves were measured.</p>")


def _strengths(shown: Shown) -> str:
    points = sorted(shown.report["curve"], key=lambda one: float(one["alpha"]))
    if not points:
        return ""
    task = shown.report["task"]
    metric = METRICS.get(task["metric"], task["metric"]) if task else "task"
    figures = [
        _card(
            "Task: gain over the base",
            curve([_series("gain", points)], f"Gain in {metric} by strength", _told(points, "gain"), shown.key),
        )
    ]
    names = {one["id"]: one for point in points for one in declared(point["findings"], "forgetting")}
    for name, finding in names.items():
        mine = [
            (point["alpha"], one["change"])
            for point in points
            for one in point["findings"]
            if one["id"] == name and one["change"]
        ]
        if not mine:
            continue
        series = Series(name, [Point(alpha, change["value"], change["low"], change["high"]) for alpha, change in mine])
        told = "; ".join(f"{alpha:g}: {number(change, True)}" for alpha, change in mine)
        figures.append(
            _card(
                name.removeprefix("forgetting/"),
                curve([series], f"Change of {name} by strength", told, shown.key, finding["margin"]),
            )
        )
    twin = folded("The same as a table", _strength_table(points, names, metric))
    return (
        "<h3>Strength: from the base (0) to the adapted model (1)</h3><p class='ta-muted'>Weights between both are a "
        "mean of both. Up: more gained (task), more harm (probes); bars are 95 % intervals, the band is the margin.</p>"
        f"<div class='ta-cards'>{''.join(figures)}</div>{twin}"
    )


def _series(name: str, points: list[Mapping[str, Any]]) -> Series:
    return Series(
        name, [Point(one["alpha"], one[name]["value"], one[name]["low"], one[name]["high"]) for one in points]
    )


def _told(points: list[Mapping[str, Any]], name: str) -> str:
    return "; ".join(f"{one['alpha']:g}: {number(one[name], True)}" for one in points)


def _card(name: str, figure: str) -> str:
    return f"<figure class='ta-card'><figcaption><strong>{isolated(name)}</strong></figcaption>{figure}</figure>"


def _strength_table(points: list[Mapping[str, Any]], names: Mapping[str, Any], metric: str) -> str:
    rows = []
    for point in points:
        had, called = {one["id"]: one for one in point["findings"]}, words(point["findings"])
        cells = [
            f"{number(had[name]['change'], True)} {chip(had[name]['verdict'], called[name])}"
            if name in had
            else "not answered"
            if name in point["broken"]
            else "not measured"
            for name in names
        ]
        kept = "yes" if point["retained"] else "no"
        rows.append([f"{point['alpha']:g}", number(point["task"]), number(point["gain"], True), *cells, kept])
    head = ("strength", metric, "gain over the base", *(name.removeprefix("forgetting/") for name in names), "retained")
    return table(head, rows, "Strength curve", range(len(head)))


def _learning(shown: Shown) -> str:
    report, figures, rows = shown.report, [], []
    for how in dict.fromkeys(one["how"] for one in report["curves"]):
        mine = [one for one in report["curves"] if one["how"] == how]
        series = [
            Series(
                one["arm"],
                [Point(p["n"], p["error"]["value"], p["error"]["low"], p["error"]["high"]) for p in one["points"]],
            )
            for one in mine
        ]
        told = "; ".join(
            f"{ARMS.get(one['arm'], one['arm'])}: "
            + ", ".join(f"{p['n']} texts {p['error']['value']:.3f}" for p in one["points"])
            for one in mine
        )
        keys = " ".join(
            f"<span class='ta-key ta-c{n % 4}'></span>{isolated(ARMS.get(one['arm'], one['arm']))}"
            for n, one in enumerate(mine)
        )
        figure = curve(series, f"Error by training texts, {HEADS.get(how, how)}", told, shown.key, log=True)
        figures.append(
            "<figure class='ta-card ta-wide'><figcaption><strong>Error by training texts: "
            f"{isolated(HEADS.get(how, how))}</strong><br><span class='ta-legend'>{keys}</span></figcaption>"
            f"{figure}</figure>"
        )
        rows += [
            [
                isolated(HEADS.get(how, how)),
                isolated(ARMS.get(one["arm"], one["arm"])),
                f"{p['n']:,}",
                number(p["error"]),
            ]
            for one in mine
            for p in one["points"]
        ]
    if not figures:
        return ""
    head = ("head", "arm", "training texts", "error")
    twin = folded("The same as a table", table(head, rows, "Error by training texts", (2, 3)))
    cards = f"<div class='ta-cards'>{''.join(figures)}</div>"
    return f"<h3>What the base saves in training texts</h3>{cards}{twin}{_savings(report)}"


def _savings(report: Mapping[str, Any]) -> str:
    """Tabulate what the base is worth in training texts, and how many a target error takes."""
    rows = [
        [
            isolated(HEADS.get(one["how"], one["how"])),
            isolated(ARMS.get(one["control"], one["control"])),
            f"{one['n']:,}",
            _read(one["texts"]),
            f"{_bound(one['texts'])}{one['value']:.1f}x ({_bound(one['texts_low'])}{one['low']:.1f} to "
            f"{_bound(one['texts_high'])}{one['high']:.1f})",
        ]
        for one in report["savings"]
    ]
    head = ("head", "held against", "texts on the base", "texts of the control for that error", "multiplier (95 %)")
    told = folded(f"Data multipliers: {len(rows)}", table(head, rows, "Data multipliers", (2, 3, 4))) if rows else ""
    needed = [
        [
            isolated(HEADS.get(one["how"], one["how"])),
            isolated(ARMS.get(one["arm"], one["arm"])),
            f"{one['target']:g}",
            f"{_read(one['texts'])} ({_read(one['texts_low'])} to {_read(one['texts_high'])})",
        ]
        for one in report["needed"]
    ]
    if not needed:
        return told
    names = ("head", "arm", "error", "training texts (95 %)")
    return told + folded(f"Texts for an error: {len(needed)}", table(names, needed, "Texts for an error", (2, 3)))


def _bound(texts: Mapping[str, Any]) -> str:
    return {"at least": "&gt; ", "at most": "&lt; "}.get(str(texts["only"]), "")


def _read(texts: Mapping[str, Any]) -> str:
    only = f"{safe(texts['only'])} " if texts["only"] else ""
    return f"{only}{texts['n']:,.0f}"
