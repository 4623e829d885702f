"""Numbers and foreign text in HTML: what comes from data stays text, whatever it says."""

from __future__ import annotations

import html
import json
import math
import re
import unicodedata
from collections.abc import Mapping
from typing import Any

__all__ = ["hub_link", "isolated", "number", "rounded", "safe", "said", "written"]

HIDDEN = frozenset("\u061c\u200b\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\u2066\u2067\u2068\u2069\ufeff")
SHOWN = 400  # characters of a text before the rest is folded away
ON_HUB = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)
COMMIT = re.compile(r"[0-9a-f]{40}")


def number(estimate: Mapping[str, Any] | None, signed: bool = False) -> str:
    """Write an estimate with its 95 % interval, as the card writes it.

    Examples
    --------
    >>> number({"value": 0.1234, "low": 0.1, "high": 0.2}, signed=True)
    '+0.123 [+0.100, +0.200]'
    >>> number({"value": 0.0, "low": None, "high": None}), number(None)
    ('0.000 (no variation)', 'not measured')
    """
    if estimate is None:
        return "not measured"
    value, low, high = (estimate.get(name) for name in ("value", "low", "high"))
    if low is None or high is None:
        return f"{rounded(value, signed)} (no variation)"
    return f"{rounded(value, signed)} [{rounded(low, signed)}, {rounded(high, signed)}]"


def rounded(value: Any, signed: bool = False) -> str:
    """Write a number to three places; a dash where there is none."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    return f"{value:{'+' if signed else ''}.3f}"


def safe(text: object) -> str:
    r"""Escape a text for HTML, SVG and their attributes; characters that cannot be seen are named.

    Joiners stay, for without them emoji fall apart; so do line breaks.

    Examples
    --------
    >>> safe('<b a="x">\u202egpj.exe'), safe("a\x00b")
    ('&lt;b a=&quot;x&quot;&gt;[U+202E]gpj.exe', 'a[U+0000]b')
    """
    return html.escape("".join(_visible(one) for one in str(text)), quote=True)


def _visible(one: str) -> str:
    if one in "\n\t" or (one.isascii() and one.isprintable()):
        return one
    hidden = one in HIDDEN or unicodedata.category(one) in ("Cc", "Cs")
    return f"[U+{ord(one):04X}]" if hidden else one


def isolated(text: object) -> str:
    """Escape a text whose direction must not reach past its end.

    Examples
    --------
    >>> isolated("a & b")
    '<bdi>a &amp; b</bdi>'
    """
    return f"<bdi>{safe(text)}</bdi>"


def written(text: object) -> str:
    """Write what an item says: both texts of a pair below each other, a long text folded after its beginning."""
    whole = str(text)
    parts = _pair(whole) or [whole]
    return "<br>".join(_folded(part) for part in parts)


def _pair(text: str) -> list[str] | None:
    """Return both texts of a minimal pair, which evidence holds as a JSON list."""
    if not text.startswith("["):
        return None
    try:
        read = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return read if isinstance(read, list) and len(read) == 2 and all(isinstance(one, str) for one in read) else None


def _folded(text: str) -> str:
    if len(text) <= SHOWN:
        return isolated(text)
    rest = len(text) - SHOWN
    return (
        f"<details class='ta-fold'><summary>{isolated(text[:SHOWN])}… <span class='ta-muted'>{rest:,} more "
        f"characters</span></summary>{isolated(text[SHOWN:])}</details>"
    )


def said(text: object) -> str:
    """Begin a sentence with a capital letter and end it with a full stop."""
    whole = str(text).strip()
    return f"{whole[:1].upper()}{whole[1:]}{'' if whole.endswith(('.', '!', '?')) else '.'}" if whole else ""


def hub_link(name: object, revision: object) -> str:
    """Show a model's id at its revision; a link where both can only be the Hub's."""
    at = f" <span class='ta-muted'>at</span> <code>{isolated(revision)}</code>" if revision else ""
    if ON_HUB.fullmatch(str(name)) and COMMIT.fullmatch(str(revision)):
        url = f"https://huggingface.co/{name}/tree/{revision}"
        return f'<a href="{safe(url)}" rel="noopener noreferrer">{isolated(name)}</a>{at}'
    return f"<strong>{isolated(name)}</strong>{at}"
