"""A card held against its report; of one that another version wrote, numbers, verdicts and metadata alone."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from importlib import metadata

import numpy as np
from numpy.typing import NDArray

from audit.errors import InputError
from audit.finding import Finding, Verdict
from audit.publish.card import rendered as card
from audit.publish.card.differences import blocks_of, body_of
from audit.publish.card.text import plain
from audit.report import Report
from audit.verify.found import Verification
from audit.verify.same import plain as as_json

__all__ = ["OTHER", "OURS", "check_card", "denied"]

OURS = f"transfer-audit {metadata.version('transfer-audit')}"
OTHER = "the card was written by another version: its wording was not compared"
NUMBER = re.compile(r"(?<![\w.])[+-]?\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?(?!\w|\.\d)")
VERDICTS = tuple(str(one) for one in Verdict)
COUNTED = re.compile(rf"(\d+) ({'|'.join(VERDICTS)})\b")
ALIKE = 0.9  # of the lines without a number, the share that two cards of one template have in common at least
SMALL = 100  # whole numbers up to this one are in any prose


def check_card(found: Verification, report: Report, name: str, text: str) -> None:
    """Hold a card against the report."""
    lines, other = denied(report, text)
    found.differ([f"{name}: {line}" for line in lines], cards=1)
    if other:
        found.leave(f"{name}: {OTHER}")


def denied(report: Report, text: str) -> tuple[list[str], bool]:
    """Say what a card says otherwise than its report.

    Returns
    -------
    lines : list of str
    other : bool
        Whether another version wrote it, so that its wording was not compared.
    """
    blocks = blocks_of(text)
    mine = blocks[0] if blocks else body_of(text)
    try:
        ours = card.card(report, text if blocks else "").text
    except InputError:  # front matter that nobody could patch: then its lines are compared as they are
        return card.denied(report, text), False
    rendered = (blocks_of(ours) or [body_of(ours)])[0]
    if not _other(report, mine, rendered):
        return card.denied(report, text), False
    keys = card.denied(report, text.replace(mine, rendered, 1))  # all but the block
    return [*keys, *_numbers(report, mine, rendered)], True


def _other(report: Report, mine: str, rendered: str) -> bool:
    if report.tool != OURS:
        return True
    sides = [_wordless(text) for text in (mine, rendered)]
    heads = [{one for one in lines if one.startswith("#")} for lines in sides]
    common = sum((sides[0] & sides[1]).values())
    return heads[0] != heads[1] or common < ALIKE * max(sum(one.values()) for one in sides)


def _wordless(text: str) -> Counter[str]:
    """Lines that say no number and no verdict: what a template says of any report."""
    lines = (line.rstrip() for line in text.splitlines())
    return Counter(one for one in lines if one and not re.search(r"\d", one) and not _verdict(one))


def _numbers(report: Report, mine: str, rendered: str) -> Iterator[str]:
    """Name numbers and verdicts of a card that the report has nowhere, or not for that finding."""
    known = _Known([json.dumps(as_json(report)), rendered])
    declared = {plain(one.name): one for one in report.findings if one.group is None}
    yield from (f"{one.id}: the card does not name it" for name, one in declared.items() if name not in mine)
    counts = _counts(report) | set(COUNTED.findall(rendered))
    rows = [_cells(line) for line in rendered.splitlines()]
    for line in mine.splitlines():
        cells = _cells(line)
        same = [row for row in rows if row and cells and row[0] == cells[0]]
        one = declared.get(cells[0]) if cells else None
        if same or one:
            yield from _row(cells, same, one)
            continue
        for number, verdict in COUNTED.findall(line):
            if (number, verdict) not in counts:
                yield f"the card says '{number} {verdict}', the report does not"
        for number in NUMBER.findall(line):
            if not known.has(number) and not (number.isdigit() and int(number) <= SMALL):
                yield f"the card says {number!r} ({line.strip()[:60]}), the report has no such number"


def _row(cells: list[str], same: list[list[str]], one: Finding | None) -> Iterator[str]:
    """Hold a row of a table against the rows of its name, and the finding that it is about."""
    known = _Known([json.dumps(as_json(one)) if one else "", *(" ".join(row) for row in same)])
    for number in [number for cell in cells[1:] for number in NUMBER.findall(cell)]:
        if not known.has(number):
            yield f"{cells[0]}: the card says {number!r}, the report has no such number of it"
    verdicts = {word for row in same for word in _verdict(" | ".join(row))} | ({str(one.verdict)} if one else set())
    for word in _verdict(" | ".join(cells)):
        if word not in verdicts:
            yield f"{cells[0]}: the card says {word!r}, the report says {' or '.join(sorted(verdicts)) or 'nothing'!r}"


def _cells(line: str) -> list[str]:
    return [one.strip() for one in re.split(r"(?<!\\)\|", line)[1:-1]] if line.startswith("|") else []


def _verdict(line: str) -> list[str]:
    """Verdicts that are a cell of their own."""
    cells = (one.strip().strip("*`") for one in re.split(r"(?<!\\)\|", line))
    return [one for one in cells if one in VERDICTS]


def _counts(report: Report) -> set[tuple[str, str]]:
    """How many findings have a verdict, of one audit or several."""
    counts: set[tuple[str, str]] = set()
    for audits in (("bias", "gap", "forgetting", "transfer"), ("bias", "forgetting", "transfer"), *_single()):
        for declared in (True, False):
            some = [one for one in report.findings if one.audit in audits and not (declared and one.group is not None)]
            counts |= {(str(sum(str(one.verdict) == word for one in some)), word) for word in VERDICTS}
    return counts


def _single() -> list[tuple[str]]:
    return [("bias",), ("gap",), ("forgetting",), ("transfer",)]


class _Known:
    """All numbers in some texts: whether one of them, as such or in per cent, is what a card rounds it to."""

    def __init__(self, texts: Iterable[str]) -> None:
        said = {_value(one) for text in texts for one in re.findall(r"\d[\d,]*\.?\d*(?:e[+-]?\d+)?", text)}
        values = np.array(sorted(said), dtype=np.float64)
        self.values: NDArray[np.float64] = np.unique(np.concatenate([values, 100 * values]))

    def has(self, number: str) -> bool:
        mantissa, _, power = number.partition("e")
        decimals = len(mantissa.partition(".")[2])
        value, slack = _value(number), 0.501 * 10.0 ** (int(power or 0) - decimals)
        first, last = np.searchsorted(self.values, [value - slack, value + slack])
        return bool(last > first)


def _value(number: str) -> float:
    return abs(float(number.replace(",", "").rstrip(".") or 0))
