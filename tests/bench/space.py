"""The Space with 5,000 items and 200 findings in a real browser: how long it takes to open, to filter, to search."""

from __future__ import annotations

import importlib.util
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from audit.publish.space import space_files
from tests import displays, tiny
from tests.bench.table import Absent, Row
from tests.browser import chromium, served, space, watched

__all__ = ["rows"]

ROUNDS = 5
ROWS = "document.querySelectorAll('.ta-row').length"


def rows(limit: int | None = None) -> list[Row]:
    """Open and filter; ``limit`` is of the items."""
    if shutil.which("chromium") is None or not all(map(importlib.util.find_spec, ("gradio", "playwright"))):
        raise Absent("Chromium, gradio and playwright (apt-get install chromium; pip install 'transfer-audit[test]')")
    items = limit or 5_000
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        (scratch / "base").mkdir()
        run = displays.ran(tiny.encoder(scratch / "base"), scratch / "run")
        (scratch / "many").mkdir()
        many = displays.many(run, scratch / "many", items=items)
        folder = space(space_files([many], sdk="gradio", title="Many"), scratch / "space")
        started = time.perf_counter()
        with served([sys.executable, "app.py"], folder) as address:
            taken = {"started": [time.perf_counter() - started], **_measured(address)}
    what = f"a Space with {items:,} items and 200 findings"
    return [
        _row(f"{what}: its server starts", taken["started"], 5.0),
        _row(f"{what}: opens in a browser", taken["open"], 3.0),
        _row(f"{what}: findings are filtered", taken["filter"], 0.3),
        _row(f"{what}: items are searched", taken["search"], 0.3),
    ]


def _measured(address: str) -> dict[str, list[float]]:
    taken: dict[str, list[float]] = {"open": [], "filter": [], "search": []}
    with chromium() as browser, watched(browser) as (page, watch):

        def until(script: str, act: Callable[[], object]) -> float:
            begun = time.perf_counter()
            act()
            page.wait_for_function(script, polling="raf")
            return time.perf_counter() - begun

        for turn in range(ROUNDS):
            taken["open"].append(until(f"{ROWS} === 200", lambda: page.goto(address)))
            verdicts = page.locator("fieldset").filter(has_text="Verdict")
            chosen = verdicts.get_by_label("better", exact=True)
            taken["filter"].append(until(f"{ROWS} < 200", chosen.check))
            page.get_by_role("tab", name="Items", exact=True).click()
            search = page.get_by_label("Search items")
            wanted = f"item-{turn + 1000}"
            one = f"document.body.innerText.includes({wanted!r}) && !document.body.innerText.includes('1 to 50 of')"
            taken["search"].append(until(one, lambda search=search, wanted=wanted: search.fill(wanted)))  # type: ignore[misc]
        watch.clean()
    return taken


def _row(what: str, seconds: list[float], goal: float) -> Row:
    middle = statistics.median(seconds)
    said = f"< {goal:g} s: {'met' if middle < goal else 'missed'}"
    spread = f" ({min(seconds):.2f}–{max(seconds):.2f})" if len(seconds) > 1 else " (1 round)"
    return Row(f"**{middle:.2f} s**{spread}", said, what, "gradio, pandas, no torch", "")
