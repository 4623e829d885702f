"""The Space and the static page in a real browser: every tab, filter and file, by mouse and by keyboard.

Where AUDIT_RUN names a run folder and AUDIT_SCREENSHOTS a folder, the last test writes the README's pictures of it.
"""

from __future__ import annotations

import json
import os
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from audit.publish.space import space_files
from tests import displays
from tests.browser import asked, chromium, serious, served, space, watched

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

pytestmark = [
    pytest.mark.browser,
    pytest.mark.filterwarnings("ignore::DeprecationWarning:websockets"),
]
APP = (sys.executable, "app.py")
STATIC = (sys.executable, "-m", "http.server", "PORT", "--bind", "127.0.0.1")
TABS = ("Findings", "Origin", "Drill-down", "Items", "Domain gap", "Strength", "Compare", "Diligence", "Evidence")
CORNERS = ((375, "light"), (375, "dark"), (1440, "light"))  # where axe is asked, which takes its time
VERDICTS = ("worse", "same", "better", "unclear")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as one:
        yield one


@pytest.fixture(scope="module")
def run(browser: Browser, tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return displays.ran(tiny_encoder, tmp_path_factory.mktemp("browser") / "plain")


@pytest.fixture(scope="module")
def several(run: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A plain report, and a hostile one."""
    return [run, displays.hostile(run, tmp_path_factory.mktemp("reports") / "hostile")]


@pytest.fixture(scope="module")
def app(several: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of the Gradio Space, as it would be pushed."""
    folder = space(space_files(several, sdk="gradio", title="Audits"), tmp_path_factory.mktemp("gradio"))
    with served(APP, folder) as address:
        yield address


@pytest.fixture(scope="module")
def static(several: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of the static Space, as it would be pushed."""
    folder = space(space_files(several, sdk="static", title="Audits"), tmp_path_factory.mktemp("static"))
    with served(STATIC, folder) as address:
        yield address


def shown(page: Page) -> Locator:
    return page.get_by_role("tabpanel").filter(visible=True)


def opened(page: Page, address: str, theme: str = "light") -> None:
    page.goto(f"{address}/?__theme={theme}")
    page.get_by_role("tab", name="Findings").wait_for()


def to(page: Page, tab: str) -> None:
    """Open a tab; those that find no room are in a menu."""
    one = page.get_by_role("tab", name=tab, exact=True)
    if one.is_visible():
        one.click()
        page.get_by_role("tab", name=tab, exact=True, selected=True).wait_for()
    else:
        page.get_by_role("button", name="More tabs").click()
        page.locator(".overflow-dropdown").get_by_role("button", name=tab, exact=True).click()
    shown(page).wait_for()


def choice(page: Page, of: str, name: str) -> Locator:
    """Return one radio button of those with a title."""
    return shown(page).locator("fieldset").filter(has_text=of).get_by_label(name, exact=True)


def report_of(run: Path) -> dict[str, list[dict[str, str]]]:
    told: dict[str, list[dict[str, str]]] = json.loads((run / "report.json").read_text(encoding="utf-8"))
    return told


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [375, 1440])
def test_every_tab_opens_at_any_width_in_any_light(browser: Browser, app: str, theme: str, width: int) -> None:
    """No error, nobody else asked, nothing wider than the screen, and nothing that axe calls serious or critical."""
    with watched(browser, width) as (page, watch):
        opened(page, app, theme)
        paper = {"light": "rgb(255, 255, 255)", "dark": "rgb(18, 22, 27)"}[theme]
        page.wait_for_function(f"getComputedStyle(document.querySelector('.ta')).backgroundColor === '{paper}'")
        for tab in TABS:
            to(page, tab)
            shown(page).wait_for()
            assert page.evaluate("document.documentElement.scrollWidth") <= width, tab
            if (width, theme) in CORNERS:
                assert serious(page) == [], tab
        watch.clean()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [375, 1440])
def test_the_static_page_is_whole_at_any_width_in_any_light(
    browser: Browser, static: str, theme: str, width: int
) -> None:
    with watched(browser, width, color_scheme=theme) as (page, watch):
        page.goto(f"{static}/index.html")
        dark = page.evaluate("getComputedStyle(document.body).backgroundColor") != "rgb(255, 255, 255)"
        assert dark == (theme == "dark")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        watch.clean()
        page.context.close()
    if (width, theme) in CORNERS:
        with watched(browser, width, color_scheme=theme, bypass_csp=True) as (page, _):  # or axe could not be asked
            page.goto(f"{static}/index.html")
            assert serious(page) == []


def test_findings_are_filtered_and_searched(browser: Browser, app: str, run: Path) -> None:
    declared = [one for one in report_of(run)["findings"] if one["group"] is None]
    with watched(browser) as (page, watch):
        opened(page, app)
        rows = shown(page).locator(".ta-row")
        for verdict in VERDICTS:
            choice(page, "Verdict", verdict).check()
            count = sum(one["verdict"] == verdict for one in declared)
            page.wait_for_function("n => [...document.querySelectorAll('.ta-row')].filter(e => e.checkVisibility())"
                                   ".length === n", arg=count)  # fmt: skip
        choice(page, "Verdict", "all").check()
        choice(page, "Audit", "forgetting").check()
        page.get_by_label("Search findings").fill("FROZEN")
        wanted = [one["name"] for one in declared if one["audit"] == "forgetting" and "frozen" in one["id"]]
        page.wait_for_function("n => document.querySelectorAll('.ta-row').length === n", arg=len(wanted))
        assert all("frozen" in text for text in rows.locator(".ta-label").all_inner_texts())
        page.get_by_label("Search findings").fill("<nothing of the kind>")
        shown(page).get_by_text("None of").wait_for()
        watch.clean()


def test_items_are_searched_and_turned_page_by_page(browser: Browser, app: str) -> None:
    kind, every = asked(app, "items", "tiny", "", "", "", 1)
    assert kind == "complete"
    first = every[0][0]
    with watched(browser) as (page, watch):
        opened(page, app)
        to(page, "Items")
        shown(page).get_by_text("Items shown: 1 to 50 of").wait_for()
        shown(page).get_by_role("button", name="Next items").click()
        shown(page).get_by_text("Items shown: 51 to").wait_for()
        shown(page).get_by_role("button", name="Previous items").click()
        shown(page).get_by_text("Items shown: 1 to 50 of").wait_for()
        page.get_by_label("Search items").fill(first["item"])
        page.wait_for_function("document.querySelectorAll('.ta tbody tr[data-outcome]').length < 50")
        found = shown(page).locator("tr[data-outcome]").all_inner_texts()
        assert found
        assert all(first["item"] in one for one in found)
        assert "right" in found[0]
        assert "wrong" in found[0]
        watch.clean()


@pytest.mark.parametrize("which", ["app", "static"])
def test_a_download_is_the_file_byte_for_byte(
    browser: Browser, which: str, run: Path, request: pytest.FixtureRequest
) -> None:
    address = request.getfixturevalue(which)
    with watched(browser, accept_downloads=True) as (page, watch):
        if which == "app":
            opened(page, address)
            to(page, "Evidence")
        else:
            page.goto(f"{address}/index.html")
        there = page.locator("a[download]").filter(visible=True)
        names = [one for one in there.all_inner_texts() if one != "report.json"]
        assert {"moved.parquet", "flipped.parquet", "evidence/bias.parquet", "evidence/forgetting.parquet"} <= set(
            names
        )
        for name in ("flipped.parquet", "evidence/bias.parquet"):
            with page.expect_download() as coming:
                there.filter(has_text=name).first.click()
            assert coming.value.path().read_bytes() == (run / name).read_bytes(), name
        with page.expect_download() as coming:
            there.filter(has_text="report.json").first.click()
        assert json.loads(coming.value.path().read_bytes())["findings"] == report_of(run)["findings"]
        watch.clean()


def test_the_keyboard_is_enough(browser: Browser, app: str) -> None:
    """Tab, Space and Enter reach a tab, a filter and a folded row; what has the focus can be seen."""
    with watched(browser) as (page, watch):
        opened(page, app)

        def reached(script: str) -> None:
            for _ in range(80):
                page.keyboard.press("Tab")
                if page.evaluate(f"(() => {{ const on = document.activeElement; return {script} }})()"):
                    return
            pytest.fail(f"80 presses of Tab do not reach {script}")

        reached("on.getAttribute('role') === 'tab'")
        reached("on.type === 'radio' && on.value === 'unclear'")
        page.keyboard.press("Space")
        page.wait_for_function("document.activeElement.checked")
        reached("on.tagName === 'SUMMARY' && on.closest('.ta-row') !== null")
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.parentElement.open")
        page.get_by_role("tab", name="Findings").focus()
        for _ in range(20):
            if page.evaluate("document.activeElement.innerText.trim()") == "Items":
                break
            page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        page.get_by_role("tab", name="Items", selected=True).wait_for()
        watch.clean()


@pytest.mark.parametrize("which", ["app", "static"])
def test_hostile_texts_are_texts(browser: Browser, which: str, request: pytest.FixtureRequest) -> None:
    address = request.getfixturevalue(which)
    with watched(browser) as (page, watch):
        if which == "app":
            opened(page, address)
            page.get_by_label("Report", exact=True).click()
            page.get_by_role("option", name="hostile").click()
            page.get_by_text("<script>window.struck = 1</script>").first.wait_for()
            said = []
            for tab in TABS:
                to(page, tab)
                said.append(shown(page).inner_text())
            text = "\n".join(said)
        else:
            page.goto(f"{address}/index.html")
            page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
            text = page.inner_text("body")
        assert "<script>window.struck = 1</script>" in text
        assert "![picture](http://192.0.2.1/x.png)" in text
        assert "${window.struck = 1} {{#with this}}{{/with}} {{value}}" in text
        assert "[U+202E]gnp.exe" in text
        assert page.evaluate("window.struck") is None
        assert page.locator("img[src*='192.0.2.1'], a[href^='javascript']").count() == 0
        assert page.evaluate("document.documentElement.scrollWidth") <= 1440
        watch.clean()


def test_programs_ask_two_endpoints_and_no_other(app: str, run: Path) -> None:
    from urllib.request import urlopen

    with urlopen(f"{app}/gradio_api/info", timeout=10) as answer:
        named = json.load(answer)["named_endpoints"]
    assert named.keys() == {"/findings", "/items"}
    assert all(one["description"] for one in named.values())
    declared = report_of(run)["findings"]
    kind, [worse] = asked(app, "findings", "tiny", "bias", "worse", "")
    assert kind == "complete"
    assert {one["id"] for one in worse} == {
        one["id"] for one in declared if (one["audit"], one["verdict"]) == ("bias", "worse")
    }
    assert asked(app, "findings", "no such report", "", "", "")[0] == "error"


def test_a_report_that_says_little_is_an_honest_page(browser: Browser, run: Path, tmp_path: Path) -> None:
    """Nothing measured, one audit only, nothing decided; a schema of the future, and a folder without a report."""
    folder = space(space_files([run], sdk="gradio", title="Audits"), tmp_path)
    for name in ("silent", "one", "unclear", "future", "gone"):
        (folder / "reports" / name).mkdir()
    displays.silent(run, folder / "reports" / "silent")
    displays.silent(run, folder / "reports" / "one", ["forgetting"])
    displays.unclear(run, folder / "reports" / "unclear")
    displays.display(run, folder / "reports" / "future", lambda report: report.update(schema=2))
    listed = {"title": "Audits", "reports": ["silent", "one", "unclear", "future", "gone"], "datasets": []}
    (folder / "space.json").write_text(json.dumps(listed))
    with served(APP, folder) as address, watched(browser) as (page, watch):
        opened(page, address)
        page.get_by_text("future/report.json: schema 2 is not known here").wait_for()
        page.get_by_text("gone/report.json: no report").wait_for()
        count = sum(one["group"] is None and one["audit"] != "gap" for one in report_of(run)["findings"])
        undecided = f"{count} declared findings of change: {count} unclear"
        for name, told in (("tiny", "Nothing was measured."), ("tiny (2)", "not measured"), ("tiny (3)", undecided)):
            page.get_by_label("Report", exact=True).click()
            page.get_by_role("option", name=name, exact=True).click()
            to(page, "Findings")
            page.get_by_text(told).filter(visible=True).first.wait_for()
            for tab in TABS:
                to(page, tab)
                assert shown(page).inner_text().strip(), tab
        watch.clean()
    assert "Traceback" not in (folder / "server.log").read_text()


def test_both_models_are_asked_live(browser: Browser, run: Path, tmp_path: Path) -> None:
    command = (sys.executable, "-m", "audit", "show", str(run), "--live", "--port", "PORT", "--json")
    with served(command, tmp_path) as address, watched(browser) as (page, watch):
        assert json.loads((tmp_path / "server.log").read_text())["url"].rstrip("/") == address
        opened(page, address)
        to(page, "Ask both")
        page.get_by_label("A text").fill("Megan said her order came late.")
        choice(page, "And the same about somebody else", "gender").check()
        page.get_by_role("button", name="Ask base and adapted").click()
        page.get_by_role("heading", name="Andrew said his order came late.").wait_for()
        tables = shown(page).get_by_role("table")
        assert tables.count() == 3
        row = tables.first.get_by_role("row").filter(has_text="praise").inner_text().split()
        assert 0 < float(row[1]) < 1
        assert float(row[3]) == pytest.approx(float(row[2]) - float(row[1]), abs=0.0011)
        page.get_by_label("A text").fill("<b>The parcel</b> was late.")
        page.get_by_role("button", name="Ask base and adapted").click()
        page.get_by_text("cannot be said about somebody else by gender: nobody named").wait_for()
        choice(page, "And the same about somebody else", "as it is").check()
        page.get_by_role("button", name="Ask base and adapted").click()
        page.get_by_role("heading", name="<b>The parcel</b> was late.").wait_for()
        assert serious(page) == []
        watch.clean()


def test_screenshots(browser: Browser, run: Path, tmp_path: Path) -> None:
    """Light, 1440 px wide; of the real run where one is named."""
    real = Path(os.environ.get("AUDIT_RUN") or run)
    target = Path(os.environ.get("AUDIT_SCREENSHOTS") or tmp_path)
    target.mkdir(parents=True, exist_ok=True)
    name = report_of(real)["recipe"]["name"]  # type: ignore[call-overload]
    files = space_files([real], sdk="gradio", title=f"{name}: audited")
    with served(APP, space(files, tmp_path / "space")) as address, watched(browser) as (page, watch):
        opened(page, address)
        for tab, file, height in (
            ("Findings", "findings", 1500),
            ("Items", "items", 1000),
            ("Domain gap", "gap", 1100),
        ):
            page.set_viewport_size({"width": 1440, "height": height})
            to(page, tab)
            page.wait_for_timeout(300)  # until what moves has come to rest
            page.screenshot(path=target / f"{file}.png", animations="disabled")
            content = (target / f"{file}.png").read_bytes()
            assert struct.unpack(">I", content[16:20]) == (1440,)
            assert len(content) < 300_000
        watch.clean()
