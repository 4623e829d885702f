"""What the Space and the static page show: a report's folder as HTML and SVG.

It needs the standard library and pandas alone (with pyarrow, by which pandas reads parquet) and imports nothing of the
package: this folder is copied beside a Space as it is. Every fragment carries the class ``ta`` and wants `STYLE`.
"""

from __future__ import annotations

from .base import diligence
from .beside import compare
from .distance import gap
from .foot import downloads, files, limits, reproduce
from .found import finding_rows, findings
from .items import OUTCOMES, PAGE, flips, item_rows, questions
from .origin import origins
from .read import Shown, Unreadable, read
from .slices import choices, drill
from .static import page
from .strength import curves
from .style import STYLE
from .top import heading, title

__all__ = [
    "OUTCOMES",
    "PAGE",
    "STYLE",
    "Shown",
    "Unreadable",
    "choices",
    "compare",
    "curves",
    "diligence",
    "downloads",
    "drill",
    "files",
    "finding_rows",
    "findings",
    "flips",
    "gap",
    "heading",
    "item_rows",
    "limits",
    "origins",
    "page",
    "questions",
    "read",
    "reproduce",
    "title",
]
