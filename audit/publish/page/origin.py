"""Where every disparity came from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .read import Shown
from .table import folded, section, table
from .text import isolated, number, safe
from .top import chip
from .waterfall import parts, waterfall

__all__ = ["origins"]

KIND = {"inherited": "unclear", "introduced": "worse", "amplified": "worse", "mitigated": "better", "none": "same"}
MEANS = {
    "inherited": "It came with the base: the same recipe on texts that are silent about the groups shows it, too.",
    "introduced": "The task's data brought it: on texts that are silent about the groups the same recipe does not.",
    "amplified": "It came with the base, and adaptation made it grow.",
    "mitigated": "The base shows it; adaptation moved it towards 0.",
    "none": "There is nothing beyond the margin to attribute.",
    "unclear": "Where it came from is unclear.",
}


def origins(shown: Shown) -> str:
    """Show every disparity as a waterfall of its parts, which sum exactly, with its origin; and as a table."""
    several = shown.report["decompositions"]
    if not several:
        why = "no control arm was trained, so nothing is called inherited"
        return section("Where disparities came from", f"<p>Not measured: {why}.</p>")
    first = several[0]
    told = (
        f"Over {len(first['seeds'])} seeds of every arm. Each bar begins where the one above it ends; the parts sum "
        "exactly to what the adapted model shows, the unrounded numbers without rest. Inherited is what the same "
        "recipe shows on texts that are silent about the groups, noise what random initial weights show there, "
        "introduced what the task's own texts add; the band is the margin around 0."
    )
    figures = "".join(_figure(shown, one) for one in several)
    twin = folded("The same as a table", _twin(shown))
    return section(
        "Where disparities came from", f"<p class='ta-muted'>{told}</p><div class='ta-cards'>{figures}</div>{twin}"
    )


def _figure(shown: Shown, one: Mapping[str, Any]) -> str:
    name = isolated(one["finding"].removeprefix("bias/"))
    outcome = f", {one['outcome']}" if one["outcome"] else ""
    means = safe(MEANS.get(one["origin"], ""))
    rest = "" if _adds_up(one) else " <span class='ta-muted'>Parts are rounded to three places.</span>"
    return (
        f"<figure class='ta-card'><figcaption><strong>{name}</strong> {_origin(one['origin'], outcome)}<br>"
        f"{means}{rest}</figcaption>{waterfall(one, shown.key)}</figure>"
    )


def _origin(origin: str, outcome: str = "") -> str:
    return chip(KIND.get(origin, "unclear"), f"{origin}{outcome}")


def _adds_up(one: Mapping[str, Any]) -> bool:
    """Tell whether the parts add up as they are shown, to three places."""
    shown = [round(end - begin, 3) for _, begin, end in parts(one)]
    return abs(sum(shown) - round(float(one["adapted"]["estimate"]["value"]), 3)) < 5e-4


def _twin(shown: Shown) -> str:
    arms = ("base", "adapted", "silent", "floor", "inherited", "introduced", "change")
    rows = [
        [
            isolated(one["finding"].removeprefix("bias/")),
            *(number(one[arm]["estimate"], signed=True) for arm in arms),
            f"{one['margin']:g}",
            _origin(one["origin"], f", {one['outcome']}" if one["outcome"] else ""),
        ]
        for one in shown.report["decompositions"]
    ]
    names = ("base", "adapted", "group-silent", "noise floor", "inherited", "introduced", "change from the base")
    note = "" if shown.report["decompositions"][0]["capable"] else (
        "<p class='ta-muted'>The noise floor is not subtracted here: random initial weights cannot do the task.</p>"
    )  # fmt: skip
    return table(("disparity", *names, "margin", "origin"), rows, "Disparities by origin", range(1, 9)) + note
