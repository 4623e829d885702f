"""Curves, and runs as points on two scales: both with their intervals."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from .svg import Axis, band, dot, line, over, svg, text

__all__ = ["Point", "Series", "curve", "frontier"]

HEIGHT, TOP, BOTTOM = 190, 12, 28
LEFT, WIDTH = 9.0, 88.0


@dataclass(frozen=True)
class Point:
    """One point with its interval up, and across where there is one."""

    x: float
    y: float
    low: float | None = None
    high: float | None = None
    left: float | None = None
    right: float | None = None


@dataclass(frozen=True)
class Series:
    """Points of one arm or run, in the order in which they are joined."""

    name: str
    points: Sequence[Point]


def _down(values: Sequence[float | None]) -> tuple[Axis, Callable[[float], float]]:
    axis = over(values, 0.0, 100.0)
    return axis, lambda value: TOP + (HEIGHT - TOP - BOTTOM) * (1 - axis.at(value) / 100)


def _frame(across: Axis, down: Axis, y: Callable[[float], float], labels: Sequence[tuple[float, str]]) -> list[str]:
    bottom = HEIGHT - BOTTOM
    drawn = []
    for value in down.numbers():
        drawn.append(line(LEFT, y(value), LEFT + WIDTH, y(value), "ta-grid"))
        drawn.append(text(LEFT - 1, y(value) + 4, down.label(value), "ta-t", "end"))
    drawn += [line(at, bottom, at, bottom + 4, "ta-end") for at, _ in labels]
    return drawn + [text(at, bottom + 18, label) for at, label in labels]


def curve(
    series: Sequence[Series], title: str, told: str, key: str, margin: float | None = None, log: bool = False
) -> str:
    """Draw curves over one axis, with their intervals; ``margin`` is a band around 0 up and down."""
    place: Callable[[float], float] = math.log if log else float
    points = [point for one in series for point in one.points]
    extra = [] if margin is None else [margin, -margin, 0.0]
    across = over([place(point.x) for point in points], LEFT, WIDTH)
    down, y = _down([*extra, *(end for point in points for end in (point.y, point.low, point.high))])
    labels = [(across.at(place(x)), f"{x:g}") for x in sorted({point.x for point in points})]
    drawn = _frame(across, down, y, labels)
    if margin is not None:
        drawn.insert(0, band(LEFT, y(margin), LEFT + WIDTH, y(-margin), "ta-band"))
        drawn.append(line(LEFT, y(0), LEFT + WIDTH, y(0), "ta-zero"))
    for n, one in enumerate(series):
        places = [(across.at(place(point.x)) + 0.6 * n, point) for point in one.points]
        for (x1, first), (x2, second) in pairwise(places):
            drawn.append(line(x1, y(first.y), x2, y(second.y), f"ta-line ta-c{n % 4}"))
        for x, point in places:
            if point.low is not None and point.high is not None:
                drawn.append(line(x, y(point.low), x, y(point.high), f"ta-interval ta-c{n % 4}"))
            drawn.append(dot(x, y(point.y), f"ta-point ta-c{n % 4}", 4))
    return svg(key, title, told, HEIGHT, drawn)


def frontier(series: Sequence[Series], title: str, told: str, key: str, margin: float) -> str:
    """Draw runs as numbered points with intervals both ways, and the strengths between base and each of them."""
    points = [point for one in series for point in one.points]
    across = over([end for point in points for end in (point.x, point.left, point.right)], LEFT, WIDTH)
    down, y = _down([margin, -margin, 0.0, *(end for point in points for end in (point.y, point.low, point.high))])
    drawn = [band(LEFT, y(margin), LEFT + WIDTH, y(-margin), "ta-band"), *_frame(across, down, y, across.ticks())]
    drawn.append(line(LEFT, y(0), LEFT + WIDTH, y(0), "ta-zero"))
    for n, one in enumerate(series):
        kind = f"ta-c{n % 4}"
        for first, second in pairwise(one.points):
            drawn.append(line(across.at(first.x), y(first.y), across.at(second.x), y(second.y), f"ta-line {kind}"))
        drawn += [dot(across.at(point.x), y(point.y), f"ta-point {kind}", 2.5) for point in one.points[:-1]]
        last = one.points[-1]
        x = across.at(last.x)
        if last.low is not None and last.high is not None:
            drawn.append(line(x, y(last.low), x, y(last.high), f"ta-interval {kind}"))
        if last.left is not None and last.right is not None:
            drawn.append(line(across.at(last.left), y(last.y), across.at(last.right), y(last.y), f"ta-interval {kind}"))
        drawn += [dot(x, y(last.y), f"ta-point {kind}", 8), text(x, y(last.y) + 4, f"{n + 1}", "ta-number")]
    return svg(key, title, told, HEIGHT, drawn)
