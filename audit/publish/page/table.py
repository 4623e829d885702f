"""A table that scrolls inside its own frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .text import safe

__all__ = ["folded", "section", "table"]


def table(
    head: Sequence[str],
    rows: Sequence[Sequence[str]],
    caption: str,
    numbers: Sequence[int] = (),
    marks: Sequence[Mapping[str, str]] = (),
) -> str:
    """Write a table.

    Parameters
    ----------
    head : sequence of str
        Names of columns, escaped here.
    rows : sequence of sequences of str
        Cells, as HTML: the first of each row names it.
    caption : str
        What it shows; read aloud, and the name of the frame that scrolls.
    numbers : sequence of int
        Columns that are aligned as numbers.
    marks : sequence of mappings
        Attributes of each row.
    """

    def cell(at: int) -> str:
        return " class='ta-n'" if at in numbers else ""

    heads = "".join(f"<th scope='col'{cell(at)}>{safe(name)}</th>" for at, name in enumerate(head))
    body = []
    for n, row in enumerate(rows):
        mark = "".join(f' {name}="{safe(value)}"' for name, value in marks[n].items()) if marks else ""
        cells = "".join(f"<td{cell(at)}>{content}</td>" for at, content in enumerate(row))
        body.append(f"<tr{mark}>{cells}</tr>")
    return (
        f'<div class="ta-scroll" role="group" aria-label="{safe(caption)}" tabindex="0"><table>'
        f"<caption>{safe(caption)}</caption><thead><tr>{heads}</tr></thead><tbody>{''.join(body)}</tbody></table></div>"
    )


def folded(title: str, content: str) -> str:
    """Fold something away under a title."""
    return f"<details class='ta-twin'><summary>{safe(title)}</summary>{content}</details>"


def section(title: str, content: str) -> str:
    """Put a section together; every one carries the class under which `STYLE` holds."""
    return f"<section class='ta'><h2>{safe(title)}</h2>{content}</section>"
