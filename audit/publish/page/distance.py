"""How far the task lies from what the base knows, and the words that say so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .position import placed, position, ruler, span
from .read import Shown
from .table import folded, section, table
from .text import isolated, number, rounded, safe, said, written
from .top import chip

__all__ = ["gap"]

Scale = Mapping[str, Any]
FIT = "fit/"


def gap(shown: Shown) -> str:
    """Show every measure of the domain gap on its calibrated scale, and the words that drive it."""
    scales = shown.report["scales"]
    mine = [one for one in scales if not one["name"].startswith(FIT)]
    if not scales:
        return section("Domain gap", f"<p>Not measured.</p>{_drivers(shown)}")
    told = (
        "0 is what two samples of the reference's own domain show, 1 what unrelated texts show; the band is the margin."
    )
    content = (
        f"<p class='ta-muted'>{told}</p>{_panel(shown, mine, ('same domain', 'unrelated'))}"
        if mine
        else "<p>Not measured.</p>"
    )
    fits = [one for one in scales if one["name"].startswith(FIT)]
    if fits:
        ends = ("knows nothing", "the best there can be")
        content += f"<h3>What the base's features tell of the labels</h3>{_panel(shown, fits, ends)}"
    return section("Domain gap", f"{content}{_drivers(shown)}")


def _panel(shown: Shown, scales: list[Scale], ends: tuple[str, str]) -> str:
    found = {one["name"]: one for one in shown.report["findings"] if one["audit"] == "gap" and one["group"] is None}
    places = [placed(one, found.get(one["name"])) for one in scales]
    axis = span(places)
    rows = []
    for scale, place in zip(scales, places, strict=True):
        finding = found.get(scale["name"])
        verdict = chip(finding["verdict"]) if finding else "<span class='ta-muted'>no verdict</span>"
        asked = isolated(said(scale["question"])) + (f"<br>{isolated(scale['note'])}" if scale["note"] else "")
        rows.append(
            "<details class='ta-row'><summary>"
            f"<span class='ta-label'>{isolated(scale['name'].removeprefix(FIT))}</span>"
            f"{position(scale, place, finding, axis, shown.key)}{verdict}</summary><p>{asked}</p></details>"
        )
    scale_of = f"<div class='ta-scale'><span></span>{ruler(axis, ends)}<span></span></div>"
    body = [
        [
            isolated(one["name"].removeprefix(FIT)),
            isolated(one["unit"]),
            f"{one['null']:.4g}",
            number(one["measured"]),
            f"{one['ceiling']:.4g}",
            number(place) if one["name"] in found else f"{place['value']:.3f}",
            chip(found[one["name"]]["verdict"]) if one["name"] in found else "",
        ]
        for one, place in zip(scales, places, strict=True)
    ]
    head = ("measure", "unit", ends[0], "measured", ends[1], "position", "verdict")
    twin = folded("The same as a table", table(head, body, "Measures on their scales", (2, 3, 4, 5)))
    return f"<div class='ta-panel'>{scale_of}{''.join(rows)}</div>{twin}"


def _drivers(shown: Shown) -> str:
    """List the words and texts that tell the two sides apart; they leave the run only with full evidence."""
    if shown.drivers is None:
        return "<p class='ta-muted'>The words that drive it were not published.</p>" if shown.report["scales"] else ""
    lists = []
    for side, name in (("task", "Typical of the task"), ("reference", "Typical of the reference")):
        mine = shown.drivers[shown.drivers["side"] == side]
        words = mine[mine["kind"] == "word"].to_dict("records")
        rows = [[isolated(one["value"]), rounded(float(one["score"]), True), f"{one['n']:,}"] for one in words]
        texts = mine[mine["kind"] == "text"].to_dict("records")
        body = [
            [written(one["value"]), rounded(float(one["score"])), f"<code>{isolated(one['item_id'])}</code>"]
            for one in texts
        ]
        parts = table(("word", "z of its log-odds", "documents"), rows, f"{name}: words", (1, 2)) if rows else (
            "<p class='ta-muted'>No word tells this side apart.</p>"
        )  # fmt: skip
        if body:
            parts += table(("text", "probability", "item"), body, f"{name}: texts", (1,))
        lists.append(f"<div><h4>{safe(name)}</h4>{parts}</div>")
    return f"<h3>Words and texts that drive it</h3><div class='ta-two'>{''.join(lists)}</div>"
