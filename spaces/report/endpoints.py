"""What programs may ask: two endpoints with names; nothing else on the page has one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gradio as gr
from rendering import Reports, page

__all__ = ["endpoints"]


def endpoints(reports: Reports) -> None:
    """Publish what is shown as two named endpoints; nothing else has a name."""
    first = next(iter(reports))

    def findings(report: str = first, audit: str = "", verdict: str = "", search: str = "") -> list[dict[str, Any]]:
        """List the findings of a report: base, adapted and change with intervals, margin and verdict."""
        wanted = {"audit": audit, "verdict": verdict}
        return _matching(page.finding_rows(_known(report)), wanted, search)

    def items(
        report: str = first, finding: str = "", outcome: str = "", search: str = "", number: int = 1
    ) -> list[dict[str, Any]]:
        """List the items that moved between base and adapted, a page of 50."""
        wanted = {"finding": finding, "outcome": outcome}
        rows = _matching(page.item_rows(_known(report)), wanted, search)
        return rows[max(0, number - 1) * page.PAGE :][: page.PAGE]

    def _known(report: str) -> Any:
        if report not in reports:
            raise gr.Error(f"no report {report[:80]!r}; choose from {', '.join(reports)}")
        return reports[report]

    for asked in (findings, items):
        gr.api(asked, api_name=asked.__name__, api_description=asked.__doc__)


def _matching(rows: list[dict[str, Any]], wanted: Mapping[str, str], search: str) -> list[dict[str, Any]]:
    return [
        row
        for row in rows
        if all(not value or str(row.get(key)) == value for key, value in wanted.items())
        and search.casefold() in " ".join(str(one) for one in row.values()).casefold()
    ]
