"""Figures as SVG whose places across are per cent, so that they fit any width and their text keeps its size."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .text import safe

__all__ = ["Axis", "band", "dot", "line", "mark", "over", "svg", "text"]


@dataclass(frozen=True)
class Axis:
    """A linear scale from ``low`` to ``high`` over a part of the width.

    Attributes
    ----------
    low, high : float
    start, width : float
        In per cent of the figure.
    step : float
        Between two ticks.
    """

    low: float
    high: float
    start: float
    width: float
    step: float

    def at(self, value: float) -> float:
        """Return the place of a value, in per cent; what lies beyond an end is drawn there."""
        share = (value - self.low) / (self.high - self.low)
        return self.start + self.width * min(1.0, max(0.0, share))

    def numbers(self) -> list[float]:
        """Return what stands at the ticks."""
        first, last = math.ceil(self.low / self.step - 1e-9), math.floor(self.high / self.step + 1e-9)
        return [n * self.step for n in range(first, last + 1)]

    def label(self, value: float) -> str:
        """Write a tick with the places that its step needs."""
        return f"{value:.{max(0, -math.floor(math.log10(self.step) + 1e-9))}f}"

    def ticks(self) -> list[tuple[float, str]]:
        """Return places and labels."""
        return [(self.at(value), self.label(value)) for value in self.numbers()]


def over(values: Iterable[float | None], start: float = 2.0, width: float = 96.0) -> Axis:
    """Make the axis that shows all of these values, with some air and three to six ticks.

    Examples
    --------
    >>> [label for _, label in over([0.0, 0.31]).ticks()]
    ['0.0', '0.1', '0.2', '0.3']
    >>> [label for _, label in over([-0.16, 0.16]).ticks()]
    ['-0.1', '0.0', '0.1']
    """
    known = [float(value) for value in values if value is not None]
    low, high = min(known, default=0.0), max(known, default=1.0)
    if high - low < 1e-9 * max(1.0, abs(low), abs(high)):
        low, high = low - 0.5, high + 0.5
    air = 0.04 * (high - low)
    low, high = low - air, high + air
    unit = 10.0 ** math.floor(math.log10(high - low))
    for factor in (10, 5, 4, 2, 1, 0.5, 0.4, 0.2):
        axis = Axis(low, high, start, width, unit * factor)
        if len(axis.numbers()) >= 3:
            break
    return axis


def svg(key: str, title: str, description: str, height: float, parts: Sequence[str], extra: str = "") -> str:
    """Put a figure together; title and description are what is read aloud in its place."""
    name = f"{key}-{hashlib.sha256(f'{title}|{description}'.encode('utf-8', 'replace')).hexdigest()[:10]}"
    return (
        f'<svg class="ta-figure{extra}" width="100%" height="{height:g}" role="img" '
        f'aria-labelledby="{name}-t {name}-d"><title id="{name}-t">{safe(title)}</title>'
        f'<desc id="{name}-d">{safe(description)}</desc>{"".join(parts)}</svg>'
    )


def line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    """Draw a line; across in per cent, down in pixels, as all that follows."""
    return f'<line class="{kind}" x1="{x1:.2f}%" y1="{y1:g}" x2="{x2:.2f}%" y2="{y2:g}"/>'


def dot(x: float, y: float, kind: str, size: float = 5) -> str:
    """Draw a dot."""
    return f'<circle class="{kind}" cx="{x:.2f}%" cy="{y:g}" r="{size:g}"/>'


def band(x1: float, y1: float, x2: float, y2: float, kind: str, data: str = "") -> str:
    """Draw a bar or a band between two places, whichever comes first."""
    left, width = min(x1, x2), abs(x2 - x1)
    return f'<rect class="{kind}" x="{left:.2f}%" y="{y1:g}" width="{width:.2f}%" height="{y2 - y1:g}"{data}/>'


def text(x: float, y: float, said: str, kind: str = "ta-t", anchor: str = "middle") -> str:
    """Write a short text; longer ones belong to HTML, which breaks lines."""
    return f'<text class="{kind}" x="{x:.2f}%" y="{y:g}" text-anchor="{anchor}">{safe(said)}</text>'


def mark(axis: Axis, low: float | None, high: float | None, y: float, kind: str) -> str:
    """Draw an interval; nothing where there is none."""
    return "" if low is None or high is None else line(axis.at(low), y, axis.at(high), y, kind)
