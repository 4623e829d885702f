"""Where a disparity came from, part by part: each bar begins where the one before it ended, and the last is the sum."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .svg import Axis, band, line, over, svg, text
from .text import rounded

__all__ = ["parts", "waterfall"]

ROW, BAR = 26, 12  # pixels
LEFT, WIDTH = 31.0, 52.0  # of the bars, between names and values, in per cent
Decomposition = Mapping[str, Any]


def parts(one: Decomposition) -> list[tuple[str, float, float]]:
    """Return the name, begin and end of each part of the adapted model's disparity.

    The places are those of the arms, so nothing is lost between two parts: the first begins at 0, the last ends at the
    adapted model's disparity. The noise floor is a part of its own where random initial weights can do the task.

    Parameters
    ----------
    one : mapping
        A decomposition of the report.

    Returns
    -------
    list of (str, float, float)
    """
    silent, adapted = _value(one, "silent"), _value(one, "adapted")
    if not one["capable"]:
        return [("inherited + noise", 0.0, silent), ("introduced", silent, adapted)]
    floor = _value(one, "floor")
    return [
        ("noise", 0.0, floor),
        ("inherited", floor, silent),
        ("introduced", silent, adapted),
    ]


def _value(one: Decomposition, arm: str) -> float:
    return float(one[arm]["estimate"]["value"])


def waterfall(one: Decomposition, key: str) -> str:
    """Draw the parts of one disparity, their sum, what the base shows, and the margin."""
    adapted, base, margin = _value(one, "adapted"), _value(one, "base"), one["margin"]
    rows = [*parts(one), ("adapted: the sum", 0.0, adapted)]
    intervals = [one[arm]["estimate"][end] for arm in ("adapted", "base") for end in ("low", "high")]
    axis = over([0.0, base, margin, -margin, *intervals, *(end for _, *ends in rows for end in ends)], LEFT, WIDTH)
    height = ROW * (len(rows) + 1) + 22
    drawn = [band(axis.at(-margin), 0, axis.at(margin), height - 22, "ta-band")]
    drawn += [line(at, 0, at, height - 22, "ta-grid") for at, _ in axis.ticks()]
    drawn += [line(axis.at(0), 0, axis.at(0), height - 22, "ta-zero")]
    for n, (name, begin, end) in enumerate(rows):
        whole = n == len(rows) - 1
        drawn += _bar(axis, n * ROW, name, begin, end, whole)
        if whole:
            estimate = one["adapted"]["estimate"]
            drawn += [_interval(axis, estimate, n * ROW + 7 + BAR / 2)]
        elif n < len(rows) - 2:
            drawn.append(line(axis.at(end), n * ROW + 7 + BAR, axis.at(end), (n + 1) * ROW + 7, "ta-join"))
    drawn += _bar(axis, len(rows) * ROW, "base", 0.0, base, False, "ta-of-base")
    drawn += [_interval(axis, one["base"]["estimate"], len(rows) * ROW + 7 + BAR / 2)]
    drawn += [text(at, height - 6, label) for at, label in axis.ticks()]
    told = "; ".join(f"{name} {rounded(end - begin, True)}" for name, begin, end in rows)
    title = f"{one['finding']}: {one['origin']}"
    return svg(key, title, f"{told}; base {rounded(base, True)}; margin {margin:g}.", height, drawn)


def _bar(axis: Axis, top: float, name: str, begin: float, end: float, whole: bool, kind: str = "") -> list[str]:
    kind = kind or ("ta-sum" if whole else "ta-part")
    data = f' data-begin="{begin!r}" data-end="{end!r}"'
    return [
        text(0, top + 17, name, "ta-t ta-name", "start"),
        text(100, top + 17, rounded(end - begin, True), "ta-t ta-value", "end"),
        band(axis.at(begin), top + 7, axis.at(end), top + 7 + BAR, kind, data),
        line(axis.at(end), top + 5, axis.at(end), top + 9 + BAR, "ta-end"),
    ]


def _interval(axis: Axis, estimate: Mapping[str, Any], y: float) -> str:
    if estimate["low"] is None or estimate["high"] is None:
        return ""
    return line(axis.at(estimate["low"]), y, axis.at(estimate["high"]), y, "ta-interval ta-over")
