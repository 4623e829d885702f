"""A block of our own in somebody's card: everything outside it, and every key that is not ours, stays byte for byte.

A card that is read and written by a library loses what the library does not know: confidence intervals and slices in
``model-index``, comments, quoting, line ends. So the text is patched, and what came of it is read back and compared.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml  # type: ignore[import-untyped]

from audit.errors import InputError

__all__ = ["BEGIN", "END", "SOURCE", "Merged", "merged"]

BEGIN = "<!-- transfer-audit:begin -->"
END = "<!-- transfer-audit:end -->"
SOURCE = "transfer-audit"
RULE = re.compile(r"---[ \t]*\r?\n")
KEY = re.compile(r"""(?:"([^"]+)"|'([^']+)'|([^\s#:'"\-\[\]{},][^:#]*?))[ \t]*:(?=\s|$)""")


@dataclass(frozen=True)
class Merged:
    """A card with the block in it, and what it says otherwise than the report and was left as it is."""

    text: str
    disagreements: list[str]


def merged(card: str, block: str, metadata: Mapping[str, Any]) -> Merged:
    r"""Put a block and metadata into a card.

    Parameters
    ----------
    card : str
        As it is, line ends included; may be empty.
    block : str
        Markdown. It replaces what stands between the markers, else it is appended with markers around it. Where the
        markers stand several times, the first place is filled and the others go.
    metadata : mapping
        Keys of the front matter. A key that is not there is added; items that a list lacks are appended to it; what is
        there and says otherwise is left, and reported.

    Raises
    ------
    InputError
        If a marker stands alone, or the front matter cannot be read or patched.

    Examples
    --------
    >>> found = merged("---\nlicense: mit  # ours\n---\n# Card\n", "Audited.", {"license": "mit", "tags": ["audit"]})
    >>> print(found.text)
    ---
    license: mit  # ours
    tags:
    - audit
    ---
    # Card
    <BLANKLINE>
    <!-- transfer-audit:begin -->
    Audited.
    <!-- transfer-audit:end -->
    <BLANKLINE>
    """
    end_of_line = "\r\n" if "\r\n" in card else "\n"
    front, body = _split(card)
    patched, disagreements = _patched(front, metadata, end_of_line)
    lines = [BEGIN, *block.strip("\n").splitlines(), END]
    return Merged(patched + _replaced(body, end_of_line.join(lines), end_of_line), disagreements)


# --- the block --------------------------------------------------------------------------------------------------------


def _replaced(body: str, marked: str, end_of_line: str) -> str:
    places = [(one.start(), one.group(1)) for one in re.finditer(rf"(?m)^({BEGIN}|{END})[ \t]*(?=\r?$)", body)]
    if [name for _, name in places] != [BEGIN, END] * (len(places) // 2):
        raise InputError(f"the card has a marker without its other half; write both {BEGIN} and {END}, or neither")
    if not places:
        gap = "" if not body else end_of_line if body.endswith(("\n", "\r\n")) else 2 * end_of_line
        return f"{body}{gap}{marked}{end_of_line}"
    parts, at = [], 0
    for number, ((begin, _), (end, _)) in enumerate(zip(places[::2], places[1::2], strict=True)):
        parts += [body[at:begin], marked if number == 0 else ""]
        at = end + len(END)
    return "".join([*parts, body[at:]])


# --- the front matter -------------------------------------------------------------------------------------------------


def _split(card: str) -> tuple[str, str]:
    """Divide a card behind its front matter; without one the first part is empty."""
    mark = "\ufeff" if card.startswith("\ufeff") else ""
    opened = RULE.match(card, len(mark))
    if opened is None:
        return "", card
    closed = re.compile(r"(?m)^---[ \t]*(?:\r?\n|\Z)").search(card, opened.end())
    return (card[: closed.end()], card[closed.end() :]) if closed else ("", card)


def _patched(front: str, metadata: Mapping[str, Any], end_of_line: str) -> tuple[str, list[str]]:
    if not front:
        return f"---{end_of_line}{_written(metadata, end_of_line)}---{end_of_line}", []
    opened = RULE.match(front.lstrip("\ufeff"))
    assert opened is not None
    begin = front.index("---") + len(opened.group())
    end = front.rindex("---")
    inside = front[begin:end]
    known = _read(inside)
    disagreements = []
    wanted = dict(known)
    for key, value in metadata.items():
        there = known.get(key)
        if key in known and there not in (None, [], ""):
            if isinstance(value, list):
                listed = list(there) if isinstance(there, list) else [there]
                stale = [number for number, old in enumerate(listed) if _is_ours(old) and old not in value]
                missing = [one for one in value if one not in listed]
                if stale and len(stale) == len(listed):
                    inside = _anew(inside, key, _written({key: missing}, end_of_line))
                    listed, stale, missing = missing, [], []
                for number in reversed(stale):
                    items = missing if number == stale[0] else []
                    inside = _exchanged(inside, key, number, items, end_of_line)
                    listed[number : number + 1] = items
                if missing and not stale:
                    inside = _appended(inside, key, missing, end_of_line)
                    listed += missing
                wanted[key] = listed
            elif there != value:
                disagreements.append(f"{key}: the card says {there!r}, the report {value!r}")
        else:
            written = _written({key: value}, end_of_line)
            inside = _anew(inside, key, written) if key in known else inside + written
            wanted[key] = value
    if _read(inside) != wanted:
        raise InputError("the card's front matter is written in a way that cannot be patched; add the keys by hand")
    return front[:begin] + inside + front[end:], disagreements


def _read(inside: str) -> dict[str, Any]:
    try:
        known = yaml.safe_load(inside) or {}
    except yaml.YAMLError as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"the card's front matter is not valid YAML ({reason}); mend it first") from None
    if not isinstance(known, dict):
        raise InputError("the card's front matter is not a table of keys; mend it first")
    return known


def _written(metadata: Mapping[str, Any], end_of_line: str) -> str:
    if not metadata:
        return ""
    text: str = yaml.safe_dump(dict(metadata), sort_keys=False, allow_unicode=True, width=10**6)
    return text.replace("\n", end_of_line)


def _extent(inside: str, key: str) -> tuple[int, int]:
    """Where a key of the front matter begins, and where what belongs to it ends."""
    begin, at = None, 0
    for line in inside.splitlines(keepends=True):
        found = KEY.match(line)
        if found and begin is not None:
            return begin, at
        if found and key in found.groups():
            begin = at
        at += len(line)
    if begin is None:
        raise InputError(
            f"the card's front matter has {key!r} where it cannot be patched; write it on a line of its own"
        )
    return begin, at


def _is_ours(entry: object) -> bool:
    """Tell whether an entry of ``model-index`` is one that we wrote before: all its results name us as their source."""
    results = entry.get("results") if isinstance(entry, dict) else None
    if not isinstance(results, list) or not results:
        return False
    sources = [one.get("source") if isinstance(one, dict) else None for one in results]
    return all(isinstance(one, dict) and one.get("name") == SOURCE for one in sources)


def _anew(inside: str, key: str, written: str) -> str:
    """Put a key in its own place, written otherwise; remarks behind it stay."""
    begin, _, rest, end = _divided(inside, key)
    return inside[:begin] + written + rest + inside[end:]


def _exchanged(inside: str, key: str, number: int, items: Sequence[Any], end_of_line: str) -> str:
    """Put items in the place of one item of a list that is written as lines; where there are none it goes."""
    begin, end = _extent(inside, key)
    lines = inside[begin:end].splitlines(keepends=True)
    starts = [at for at, line in enumerate(lines) if re.match(r"[ \t]*- ", line)]
    indent = lines[starts[0]].index("-") if starts else 0
    starts = [at for at in starts if lines[at].index("-") == indent]
    if number >= len(starts):
        raise InputError(f"the card's {key!r} is written in a way that cannot be patched; write an item a line")
    at, after = [*starts, len(lines)][number : number + 2]
    until = next(one for one in range(after, at, -1) if _says(lines[one - 1]))
    before, behind = "".join(lines[:at]), "".join(lines[until:])
    return inside[:begin] + before + _block(items, " " * indent, end_of_line) + behind + inside[end:]


def _says(line: str) -> bool:
    """Tell whether a line holds anything but a remark."""
    return line.strip()[:1] not in ("", "#")


def _divided(inside: str, key: str) -> tuple[int, str, str, int]:
    """Divide what belongs to a key into what is said and the remarks behind it; with where both begin and end."""
    begin, end = _extent(inside, key)
    lines = inside[begin:end].splitlines(keepends=True)
    behind = 1 + max(number for number, line in enumerate(lines) if _says(line))
    return begin, "".join(lines[:behind]), "".join(lines[behind:]), end


def _block(items: Sequence[Any], indent: str, end_of_line: str) -> str:
    """Write items of a list as lines."""
    lines = _written({"_": list(items)}, end_of_line).splitlines(keepends=True)[1:] if items else []
    return "".join(f"{indent}{line}" for line in lines)


def _appended(inside: str, key: str, missing: Sequence[Any], end_of_line: str) -> str:
    """Append items to a list, in the way it is written: in brackets, as lines, or as a single value."""
    begin, written, rest, end = _divided(inside, key)
    items = [one for one in written.splitlines()[1:] if re.match(r"[ \t]*- ", one)]
    if items:
        indent = items[0][: items[0].index("-")]
        return inside[:begin] + written + _block(missing, indent, end_of_line) + rest + inside[end:]
    flow = [yaml.safe_dump(one, default_flow_style=True, allow_unicode=True, width=10**6) for one in missing]
    said = ", ".join(one.removesuffix("\n").removesuffix("\n...") for one in flow)
    bracket = written.rfind("]")
    if bracket >= 0:
        head = written[:bracket].rstrip()
        joint = "" if head.endswith("[") else " " if head.endswith(",") else ", "
        return inside[:begin] + written[: len(head)] + joint + said + written[len(head) :] + rest + inside[end:]
    found = KEY.match(written)
    assert found is not None
    value = written[found.end() :].strip()
    return inside[:begin] + f"{written[: found.end()]} [{value}, {said}]{end_of_line}" + rest + inside[end:]
