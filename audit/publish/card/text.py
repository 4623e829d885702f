"""Numbers and foreign text, as a card shows them."""

from __future__ import annotations

import re
import unicodedata

from audit.finding import Estimate

__all__ = ["code", "line", "number", "plain"]

TURNING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")  # the direction of what follows


def number(estimate: Estimate | None, signed: bool = False) -> str:
    """Write an estimate with its 95 % interval.

    Examples
    --------
    >>> number(Estimate(value=0.1234, low=0.1, high=0.2), signed=True)
    '+0.123 [+0.100, +0.200]'
    >>> number(Estimate(value=0.0))
    '0.000 (no variation)'
    """
    if estimate is None:
        return "not measured"
    sign = "+" if signed else ""
    value = f"{estimate.value:{sign}.3f}"
    if estimate.low is None or estimate.high is None:
        return f"{value} (no variation)"
    return f"{value} [{estimate.low:{sign}.3f}, {estimate.high:{sign}.3f}]"


def line(text: object) -> str:
    """Write text from elsewhere on one line, without what drives a terminal or turns the direction of what follows."""
    shown = "".join(" " if unicodedata.category(one) in ("Cc", "Cs") or one in TURNING else one for one in str(text))
    return " ".join(shown.split())


def plain(text: object) -> str:
    r"""Keep text from data or from the Hub text: no Markdown, no HTML, no links, no line breaks, no terminal escapes.

    Examples
    --------
    >>> plain("<b>*x*</b>|y"), plain("\x1b[31mred")
    ('&lt;b&gt;\\*x\\*&lt;/b&gt;\\|y', '\\[31mred')
    >>> print(plain("me@x.org, https://x.org"))
    me&#64;x.org, https&#58;//x.org
    """
    escaped = line(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    escaped = re.sub(r"([\\`*_{}\[\]#|!~$])", r"\\\1", escaped)
    # no links, no mentions
    return escaped.replace("://", "&#58;//").replace("www.", "www&#46;").replace("@", "&#64;")


def code(text: object) -> str:
    r"""Show text from elsewhere as code in a line: nothing in it is markup, and nothing ends it.

    Examples
    --------
    >>> print(code("run `x`\n# y"))
    `run 'x' # y`
    """
    shown = line(text).replace("`", "'")
    return f"`{shown or ' '}`"
