"""A measure on its calibrated scale: 0 is the same domain, 1 an unrelated one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from .svg import Axis, band, dot, line, mark, over, svg, text
from .text import number

__all__ = ["placed", "position", "ruler", "span"]

HEIGHT = 30
Scale = Mapping[str, Any]


def placed(scale: Scale, finding: Mapping[str, Any] | None) -> dict[str, float | None]:
    """Return a position with its interval: the finding's own, else the measure's, read on the same scale."""
    if finding is not None:
        return {name: finding["adapted"][name] for name in ("value", "low", "high")}
    at = {
        name: None if scale["measured"][name] is None else _position(scale, scale["measured"][name])
        for name in ("low", "high")
    }
    return {"value": scale["position"], **at}


def _position(scale: Scale, value: float) -> float:
    share = (value - scale["null"]) / (scale["ceiling"] - scale["null"])
    return math.copysign(math.sqrt(abs(share)), share) if scale["root"] else share


def span(places: Sequence[Mapping[str, float | None]]) -> Axis:
    """Return the axis from the null to the ceiling, or further where a measure lies beyond."""
    return over([0.0, 1.0, *(place[name] for place in places for name in ("value", "low", "high"))])


def ruler(axis: Axis, ends: tuple[str, str]) -> str:
    """Draw the scale above the rows, with the names of its two ends."""
    parts = [text(at, 26, label) for at, label in axis.ticks()]
    parts += [text(axis.at(0), 10, ends[0], "ta-t ta-h", "start"), text(axis.at(1), 10, ends[1], "ta-t ta-h", "end")]
    return f'<svg class="ta-figure" width="100%" height="30" aria-hidden="true">{"".join(parts)}</svg>'


def position(
    scale: Scale, place: Mapping[str, float | None], finding: Mapping[str, Any] | None, axis: Axis, key: str
) -> str:
    """Draw one measure between its null and its ceiling; the band is what the margin allows."""
    middle, kind = HEIGHT / 2, finding["verdict"] if finding else "none"
    parts = [line(at, 0, at, HEIGHT, "ta-grid") for at, _ in axis.ticks()]
    if finding is not None:
        parts.append(band(axis.at(-finding["margin"]), 0, axis.at(finding["margin"]), HEIGHT, "ta-band"))
    parts += [line(axis.at(end), 2, axis.at(end), HEIGHT - 2, "ta-zero") for end in (0.0, 1.0)]
    parts.append(mark(axis, place["low"], place["high"], middle, f"ta-interval ta-s-{kind}"))
    parts.append(dot(axis.at(place["value"] or 0.0), middle, f"ta-adapted ta-f-{kind}"))
    judged = f", margin {finding['margin']:g}: {finding['verdict']}" if finding else ""
    ends = f"null {scale['null']:.4g}, ceiling {scale['ceiling']:.4g}"
    told = f"Measured {number(scale['measured'])} {scale['unit']}; {ends}."
    return svg(key, f"{scale['name']}: position {number(place)}{judged}", told, HEIGHT, parts)
