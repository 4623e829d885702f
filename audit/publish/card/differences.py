"""What a published card says otherwise than its report: line by line, cell by cell, key by key."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from itertools import zip_longest
from typing import Any

import yaml  # type: ignore[import-untyped]

from audit.publish.card.merge import BEGIN, END, SOURCE

__all__ = ["blocks_of", "body_of", "differing", "differing_metadata", "front_of"]

FRONT = re.compile(r"\ufeff?---[ \t]*\r?\n(.*?)^---[ \t]*(?:\r?\n|\Z)", re.DOTALL | re.MULTILINE)
BLOCK = re.compile(rf"^{BEGIN}[ \t]*\r?\n(.*?)^{END}[ \t]*\r?$", re.DOTALL | re.MULTILINE)
NAMED = re.compile(r"[->] \*\*(.+?)\*\*|- ([^:|`]{1,60}):")
NOTHING = "nothing"
LONGEST = 160  # characters that are quoted of a line


def body_of(text: str) -> str:
    """Return a card without its front matter."""
    front = FRONT.match(text)
    return text[front.end() :] if front else text


def blocks_of(text: str) -> list[str]:
    """Return what stands between markers."""
    return BLOCK.findall(body_of(text))


def front_of(text: str) -> dict[str, Any]:
    """Return the front matter of a card; empty where there is none that can be read."""
    front = FRONT.match(text)
    try:
        known = yaml.safe_load(front[1]) if front else {}
    except yaml.YAMLError:
        return {}
    return known if isinstance(known, dict) else {}


# --- the block --------------------------------------------------------------------------------------------------------


def differing(card: str, report: str) -> list[str]:
    r"""Compare a card's block with what the report renders.

    Returns
    -------
    list of str
        A line a difference, which names the section, the row and the column.

    Examples
    --------
    >>> table = "## Bias\n\n| finding | change |\n|---|---|\n| gender | {} |\n"
    >>> differing(table.format("+0.10"), table.format("+0.12"))
    ["Bias, gender, change: the card says '+0.10', the report says '+0.12'"]
    """
    said, wanted = ([line.rstrip() for line in text.strip().splitlines()] for text in (card, report))
    found: list[str] = []
    matched = SequenceMatcher(None, said, wanted, autojunk=False)
    for kind, a, b, c, d in matched.get_opcodes():
        if kind == "equal":
            continue
        for k, (here, there) in enumerate(zip_longest(said[a:b], wanted[c:d])):
            lines, at = (wanted, c + k) if there is not None else (said, a + k)
            if here or there:
                found += _line(lines, at, here, there)
    return found


def _line(lines: Sequence[str], at: int, here: str | None, there: str | None) -> Iterator[str]:
    """Say how one line differs; in a table, cell by cell."""
    cells = [_cells(one) for one in (here or "", there or "")]
    place = _place(lines, at)
    if here and there and cells[0] and len(cells[0]) == len(cells[1]):
        header = _header(lines, at)
        for column, pair in enumerate(zip(*cells, strict=True)):
            if pair[0] != pair[1]:
                name = header[column] if column < len(header) and header[column] else f"column {column + 1}"
                yield _difference(f"{place}, {name}", *pair)
    else:
        yield _difference(place, *_apart(here or "", there or ""))


def _cells(line: str) -> list[str]:
    return [one.strip() for one in re.split(r"(?<!\\)\|", line)[1:-1]] if line.startswith("|") else []


def _header(lines: Sequence[str], at: int) -> list[str]:
    """Return the cells of the first row of the table that a line is in."""
    while at > 0 and lines[at - 1].startswith("|"):
        at -= 1
    return _cells(lines[at])


def _place(lines: Sequence[str], at: int) -> str:
    """Name the section that a line is in, and its row or item."""
    heading = next((one.lstrip("# ") for one in reversed(lines[: at + 1]) if re.match(r"#+ ", one)), "the card")
    cells, named = _cells(lines[at]), NAMED.match(lines[at])
    row = cells[0] if cells else (named[1] or named[2]) if named else ""
    return f"{heading}, {row}" if row else heading


def _apart(here: str, there: str) -> tuple[str, str]:
    """Cut two lines down to the words in which they differ."""
    ours, theirs = here.split(" "), there.split(" ")
    begin = 0
    while begin < min(len(ours), len(theirs)) and ours[begin] == theirs[begin]:
        begin += 1
    end = 0
    while end < min(len(ours), len(theirs)) - begin and ours[-1 - end] == theirs[-1 - end]:
        end += 1
    return " ".join(ours[begin : len(ours) - end]), " ".join(theirs[begin : len(theirs) - end])


def _difference(place: str, here: object, there: object) -> str:
    return f"{_shown(place)}: the card says {_quoted(here)}, the report says {_quoted(there)}"


def _quoted(value: object) -> str:
    return NOTHING if value in (None, "") else f"'{_shown(value)}'"


def _shown(value: object) -> str:
    """Return a card's text as a line that a terminal can print: the card may be anybody's."""
    line = "".join(" " if unicodedata.category(one).startswith("C") else one for one in str(value))
    return line if len(line) <= LONGEST else f"{line[:LONGEST]}..."


# --- the front matter -------------------------------------------------------------------------------------------------


def differing_metadata(text: str, wanted: Mapping[str, Any]) -> list[str]:
    """Compare a card's front matter with the keys that the report gives.

    Of a list, what is missing is named, and more is its owner's; so is a single value that stands in a list.

    Returns
    -------
    list of str
        A line a difference, which names the key.
    """
    known = front_of(text)
    found: list[str] = []
    for key, value in wanted.items():
        here = known.get(key)
        if key == "model-index":
            found += _differing_results(here, value)
        elif isinstance(value, list):
            listed = here if isinstance(here, list) else [here]
            found += [_difference(key, here, one) for one in value if one not in listed]
        elif here != value and not (isinstance(here, list) and value in here):
            found.append(_difference(key, here, value))
    if "model-index" not in wanted:
        found += _differing_results(known.get("model-index"), [])
    return found


def _differing_results(here: object, wanted: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Compare the results of which we are the source, number by number."""
    entries = here if isinstance(here, list) else []
    ours = [one for one in entries if isinstance(one, dict) and any(map(_is_ours, _listed(one.get("results"))))]
    said, right = (dict(_leaves(one)) for one in (ours, list(wanted)))
    for place in dict.fromkeys([*right, *said]):
        if said.get(place) != right.get(place) or type(said.get(place)) is not type(right.get(place)):
            yield _difference(f"model-index, {place}", said.get(place), right.get(place))


def _listed(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _is_ours(result: object) -> bool:
    source = result.get("source") if isinstance(result, dict) else None
    return isinstance(source, dict) and source.get("name") == SOURCE


def _leaves(value: object, place: str = "") -> Iterator[tuple[str, object]]:
    """Return every value with its way there; a metric or a task is called by its own name, all else by its number."""
    if isinstance(value, dict):
        for key, one in value.items():
            yield from _leaves(one, f"{place}, {key}" if place else str(key))
    elif isinstance(value, list):
        for number, one in enumerate(value):
            named = one.get("type", one.get("name")) if isinstance(one, dict) else None
            yield from _leaves(one, f"{place}, {number + 1}{f' ({named})' if named else ''}".removeprefix(", "))
    else:
        yield place, value
