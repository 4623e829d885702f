"""What a plan would write, for a person to read before it happens: every action, every file, every changed line."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterator
from typing import Any

from audit.publish.card.text import TURNING
from audit.publish.hub.actions import Change, Plan, Repository, seen
from audit.publish.hub.remote import Content

__all__ = ["shown", "told"]

LINES = 40  # of a new README, and of the diff of any other file; that of a README is shown whole
WIDTH = 200  # characters of a line
TEXT = 1_000_000  # bytes up to which a file is taken for a text
POLICIES = {
    "none": "none (the report alone)",
    "values": "values (numbers under salted ids, no texts)",
    "full": "full (numbers and the texts they belong to)",
}


def shown(plan: Plan, lines: int | None = LINES) -> str:
    """Write the preview of a plan.

    Parameters
    ----------
    plan : Plan
    lines : int, optional
        Of a new README.md, and of the diff of any other file; None: all of them, and each line whole.
    """
    head = f"{plan.run} -> {plan.to} ({seen(plan.private)}); evidence: {POLICIES[plan.report.provenance.evidence]}"
    said = [head, ""]
    if plan.actions:
        said += [f"{number:>3}. {one.said}" for number, one in enumerate(plan.actions, 1)]
    else:
        said.append("everything is there already")
    said += ["", *(f"note: {one}" for one in plan.warnings)] if plan.warnings else []
    for repository in plan.repositories:
        said += _files(repository)
    for repository in plan.repositories:
        for change in repository.changes:
            said += [line if lines is None else _cut(line) for line in _diff(repository, change, lines)]
    return "\n".join(_visible(line) for line in said) + "\n"


def told(plan: Plan) -> dict[str, Any]:
    """Return the plan as JSON: actions in their order, files with old and new hash, and what is to be known."""
    return {
        "to": plan.to,
        "private": plan.private,
        "evidence": plan.report.provenance.evidence,
        "actions": [vars(one) for one in plan.actions],
        "files": [
            {
                "repository": one.there.name,
                "path": change.path,
                "was": change.was.hash if change.was else None,
                "sha256": change.sha256,
                "bytes": None if change.new is None else _size(change.new),
            }
            for one in plan.repositories
            for change in one.changes
        ],
        "notes": list(plan.warnings),
    }


def _files(repository: Repository) -> Iterator[str]:
    if not repository.changes:
        return
    yield from ("", f"{repository.there.name}:")
    for one in repository.changes:
        if one.new is None:
            yield f"  deleted  {one.path}"
        else:
            size, kind = _size(one.new), "new" if one.was is None else "changed"
            yield f"  {kind:<7}  {one.path}  {size:,} bytes  sha256 {str(one.sha256)[:16]}"


def _diff(repository: Repository, change: Change, limit: int | None) -> Iterator[str]:
    """Compare a text with what stands there, line by line; nothing for what is no text, or a page that is generated."""
    old, new = _lines(change.old), _lines(change.new)
    if new is None or (change.was is not None and old is None) or change.path.endswith(".html"):
        return
    there = repository.there
    name = f"{'' if there.kind == 'model' else there.kind + 's/'}{there.id}/{change.path}"
    readme = change.path == "README.md"
    if readme and not change.old:
        text = new[:-1] if new[-1] == "" else new
        yield from ("", f"{name}: new, {len(text):,} lines")
        found, whole = [f"+{line}" for line in text], False
    else:
        yield ""
        found = list(difflib.unified_diff(old or [], new, name if change.was else "/dev/null", name, lineterm=""))
        whole = readme
    kept = found if limit is None or whole else found[:limit]
    yield from kept
    if len(found) > len(kept):
        yield f"... {len(found) - len(kept):,} more lines (--full shows them)"


def _cut(line: str) -> str:
    return line if len(line) <= WIDTH else f"{line[:WIDTH]} ... ({len(line) - WIDTH:,} more characters)"


def _lines(content: Content | None) -> list[str] | None:
    """Return the lines of a text with their ends told apart, None for what is no text."""
    if content is None or _size(content) > TEXT:
        return None
    raw = content if isinstance(content, bytes) else content.read_bytes()
    try:
        return None if b"\0" in raw else raw.decode().split("\n")
    except UnicodeDecodeError:
        return None


def _size(content: Content) -> int:
    return len(content) if isinstance(content, bytes) else content.stat().st_size


def _visible(line: str) -> str:
    """Spell out what would steer the terminal: other people wrote some of these lines."""
    return "".join(one.encode("unicode_escape").decode() if _steers(one) else one for one in line)


def _steers(one: str) -> bool:
    return one in TURNING or (unicodedata.category(one) == "Cc" and one != "\t")
