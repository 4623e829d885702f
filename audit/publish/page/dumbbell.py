"""Base and adapted as two dots on one scale, and beside them the change against its margin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .svg import Axis, band, dot, line, mark, over, svg, text
from .text import number
from .words import moved

__all__ = ["LEGEND", "axes", "dumbbell", "heads"]

Finding = Mapping[str, Any]
HEIGHT = 30
HEADS = {
    "gap": ("position", "position against ± margin"),
    "transfer": ("control → base", "change against ± margin"),
}
"""What both panels show where it is not base and adapted; of transfer, the base is held against a control."""
LEFT, RIGHT = (2.0, 54.0), (60.0, 38.0)  # start and width of both panels, in per cent

LEGEND = (
    "<p class='ta-legend'><span class='ta-key ta-key-base'></span>base <span class='ta-key ta-key-adapted'></span>"
    "adapted; thin lines are 95 % intervals. Right: the change, its 95 % interval (thin), the interval that decides "
    "(thick), and the margin (band around 0).</p>"
)


def axes(findings: Sequence[Finding]) -> tuple[Axis, Axis]:
    """Return the scales of both panels that hold all of these findings."""
    sides = [one[side] for one in findings for side in ("base", "adapted") if one[side]]
    values = [side[name] for side in sides for name in ("value", "low", "high")]
    signed = [0.0] if any(one["ideal"] is not None for one in findings) else []
    changes = [end for one in findings for end in (*_ends(moved(one)), *_deciding(one), one["margin"], -one["margin"])]
    return over([*values, *signed], *LEFT), over([*changes, 0.0], *RIGHT)


def _ends(estimate: Mapping[str, Any]) -> tuple[float | None, ...]:
    return estimate["value"], estimate["low"], estimate["high"]


def _deciding(finding: Finding) -> tuple[float | None, float | None]:
    """Return the interval that decides: adjusted for worse and better, else the plain one."""
    which = "beyond" if finding["verdict"] in ("worse", "better") else "same"
    low, high = finding["decision"][which]
    return low, high


def heads(sides: Axis, changes: Axis, audit: str) -> str:
    """Draw the scales above the rows that share them."""
    parts = [text(at, 26, label) for axis in (sides, changes) for at, label in axis.ticks()]
    left, right = HEADS.get(audit, ("base → adapted", "change against ± margin"))
    parts += [text(LEFT[0], 10, left, "ta-t ta-h", "start"), text(RIGHT[0], 10, right, "ta-t ta-h", "start")]
    return f'<svg class="ta-figure" width="100%" height="30" aria-hidden="true">{"".join(parts)}</svg>'


def dumbbell(finding: Finding, called: str, sides: Axis, changes: Axis, key: str) -> str:
    """Draw one finding: two dots on the scale of the quantity, and the change against ± margin."""
    middle, verdict, change = HEIGHT / 2, finding["verdict"], moved(finding)
    parts = [line(at, 0, at, HEIGHT, "ta-grid") for axis in (sides, changes) for at, _ in axis.ticks()]
    base, adapted = finding["base"], finding["adapted"]
    if finding["ideal"] is not None:
        parts.append(line(sides.at(0), 0, sides.at(0), HEIGHT, "ta-zero"))
    if base is not None:
        parts.append(mark(sides, base["low"], base["high"], middle - 5, "ta-interval"))
        parts.append(
            line(sides.at(base["value"]), middle, sides.at(adapted["value"]), middle, f"ta-link ta-s-{verdict}")
        )
        parts.append(dot(sides.at(base["value"]), middle, "ta-base"))
    parts.append(mark(sides, adapted["low"], adapted["high"], middle + 5, f"ta-interval ta-s-{verdict}"))
    parts.append(dot(sides.at(adapted["value"]), middle, f"ta-adapted ta-f-{verdict}"))
    margin = finding["margin"]
    parts.append(band(changes.at(-margin), 0, changes.at(margin), HEIGHT, "ta-band"))
    parts.append(line(changes.at(0), 0, changes.at(0), HEIGHT, "ta-zero"))
    parts.append(mark(changes, change["low"], change["high"], middle, f"ta-interval ta-s-{verdict}"))
    parts.append(mark(changes, *_deciding(finding), middle, f"ta-decides ta-s-{verdict}"))
    parts.append(dot(changes.at(change["value"]), middle, f"ta-adapted ta-f-{verdict}", 4))
    group = f", {finding['group']}" if finding["group"] else ""
    return svg(key, f"{finding['name']}{group}: {called}", _described(finding), HEIGHT, parts)


def _described(finding: Finding) -> str:
    signed = finding["ideal"] is not None
    if finding["base"] is None:
        return f"{number(finding['adapted'], signed)}, margin {finding['margin']:g}, unit {finding['unit']}."
    before, after = ("Control", "base") if finding["audit"] == "transfer" else ("Base", "adapted")
    return (
        f"{before} {number(finding['base'], signed)}, {after} {number(finding['adapted'], signed)}, change "
        f"{number(finding['change'], True)}, margin {finding['margin']:g}, unit {finding['unit']}."
    )
