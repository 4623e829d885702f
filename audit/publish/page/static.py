"""The static twin: one file that needs nobody, with what the Space shows."""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .base import diligence
from .beside import compare
from .distance import gap
from .foot import downloads, limits, reproduce
from .found import findings
from .items import flips, item_table
from .origin import origins
from .read import Shown, read
from .script import SCRIPT
from .slices import drill
from .strength import curves
from .style import STYLE
from .table import section
from .text import isolated, safe
from .top import heading, title
from .words import AUDITS, VERDICTS

__all__ = ["ITEMS", "page"]

ITEMS = 300  # embedded at most; the rest is in the files beside
SEARCH = (
    "<label>Search<input type='search' data-by='text' autocomplete='off'></label><output aria-live='polite'></output>"
)
PAGE = (
    ".ta-page{margin:0;background:var(--paper);color:var(--ink)}"
    ".ta-page main{max-width:74rem;margin:0 auto;padding:2rem 1.25rem 4rem}"
    ".ta-page h1{font:650 1.05rem/1.4 system-ui,sans-serif;margin:0 0 1.5rem;padding-bottom:.75rem;"
    "border-bottom:1px solid var(--rule);overflow-wrap:anywhere}"
    ".ta-page nav{font:.93rem/1.6 system-ui,sans-serif;margin:0 0 1.5rem}.ta-page nav a{color:var(--accent)}"
    ".ta-page article+article{border-top:2px solid var(--ink);padding-top:2rem;margin-top:2rem}"
    ".ta-page h1+article .ta-eyebrow{display:none}"
    "@media (max-width:720px){.ta-page main{padding:1rem .9rem 3rem}}"
)


def page(folders: Sequence[str | Path], at: Sequence[str] | None = None) -> str:
    """Write a page that shows one report, or several beside each other; it asks nobody for anything.

    Parameters
    ----------
    folders : sequence of path
        Of runs (see `read`).
    at : sequence of str, optional
        Where the page finds each of these folders. Without: beside itself if there is one, else in folders of their
        names.

    Returns
    -------
    str
        HTML. Without script everything can be read; with it, findings are filtered and items searched.

    Raises
    ------
    Unreadable
        If a folder holds no report that can be shown.
    """
    several = [read(folder) for folder in folders]
    places = list(at) if at is not None else [""] if len(several) == 1 else [one.folder.name for one in several]
    name = title(several[0]) if len(several) == 1 else f"{len(several)} transfer audits"
    style = STYLE + PAGE
    policy = (
        f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(SCRIPT)}; base-uri 'none'; form-action 'none'"
    )
    body = "".join(_article(one, place, n) for n, (one, place) in enumerate(zip(several, places, strict=True)))
    beside = f"{_contents(several)}{compare(several)}" if len(several) > 1 else ""
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="referrer" content="no-referrer">'
        f"<title>{safe(name)}</title><style>{style}</style></head>"
        f'<body class="ta-page"><main><h1>{isolated(name)}</h1>{beside}{body}</main><script>{SCRIPT}</script></body>'
        "</html>\n"
    )


def _hash(inline: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode()}'"


def _contents(several: Sequence[Shown]) -> str:
    links = " · ".join(f'<a href="#audit-{n + 1}">{n + 1} {isolated(one.name)}</a>' for n, one in enumerate(several))
    return f'<nav aria-label="Audits">{links}</nav>'


def _article(shown: Shown, at: str, n: int) -> str:
    parts = (
        heading(shown),
        f"<div class='ta-filtered'>{_bar(shown)}{findings(shown)}</div>",
        origins(shown),
        drill(shown),
        _items(shown),
        gap(shown),
        curves(shown),
        diligence(shown),
        downloads(shown, at),
        reproduce(shown),
        limits(shown),
    )
    return f'<article id="audit-{n + 1}" aria-label="{safe(title(shown))}">{"".join(parts)}</article>'


def _bar(shown: Shown) -> str:
    """Controls that appear with the script that they need."""
    found = {one["audit"] for one in shown.report["findings"] if one["group"] is None}
    if not found:
        return ""
    audits = [(audit, name) for audit, name in AUDITS.items() if audit in found]
    return (
        f"<div class='ta ta-bar' hidden>{_select('audit', 'Audit', audits)}"
        f"{_select('verdict', 'Verdict', [(one, one) for one in VERDICTS])}"
        f"{SEARCH}</div>"
    )


def _select(by: str, name: str, choices: Sequence[tuple[str, str]]) -> str:
    options = "".join(f"<option value='{safe(value)}'>{safe(shown)}</option>" for value, shown in choices)
    return f"<label>{name}<select data-by='{by}'><option value=''>all</option>{options}</select></label>"


def _items(shown: Shown) -> str:
    rows = shown.items
    if not rows:
        return flips(shown)[0]
    some = _spread(rows)
    told = f"All {len(rows):,} items are shown." if len(some) == len(rows) else (
        f"{len(some):,} of {len(rows):,} items are embedded here, evenly over findings; Downloads has the files of all."
    )  # fmt: skip
    told += "" if shown.texts else " Texts were not published: items are known by salted ids."
    outcomes = [(one, one) for one in dict.fromkeys(row["outcome"] for row in some)]
    asked = [(one, one) for one in dict.fromkeys(row["finding"] for row in some)]
    bar = (
        f"<div class='ta ta-bar' hidden>{_select('outcome', 'Outcome', outcomes)}{_select('finding', 'Finding', asked)}"
        f"{SEARCH}</div>"
    )
    shown_as = item_table(some).replace('class="ta-scroll"', 'class="ta-scroll ta-tall"', 1)
    content = section("Items that flipped", f"<p class='ta-muted'>{told}</p>{bar}{shown_as}")
    return f"<div class='ta-filtered'>{content}</div>"


def _spread(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Choose at most ``ITEMS``, evenly over findings and outcomes, in the order in which they stand."""
    seen: Counter[tuple[str, str]] = Counter()
    ranks = []
    for place, row in enumerate(rows):
        kind = (row["finding"], row["outcome"])
        ranks.append((seen[kind], place))
        seen[kind] += 1
    return [rows[place] for place in sorted(place for _, place in sorted(ranks)[:ITEMS])]
