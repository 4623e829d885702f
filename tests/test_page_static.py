"""The static page: one file that asks nobody, in which foreign text is text; and what the folder needs to run."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from html.parser import HTMLParser
from pathlib import Path

import pytest

from audit.publish import page
from audit.publish.page.static import ITEMS
from audit.publish.page.text import number
from audit.report import Report
from tests import tiny
from tests.test_page import SHA, finding, report, saved, tables, whole
from tests.test_page_read import sections

HOSTILE = [
    "<script>alert(1)</script>",
    "</title></style></script><svg onload=alert(1)>",
    "![x](https://evil.example/x.png) [y](javascript:alert(1))",
    '" onmouseover="alert(1)" x=\'y',
    "' onfocus='alert(1)' autofocus='",
    "javascript:alert(1)//",
    "\u202egnp.exe\u2066 abc \u200f\u200b",
    "עברית and عربى in one line",
    "👩🏽‍🚀 🏳️‍🌈 e\u0301",
    "a\x00b\x1b[31m\ud800c",
    "{{7*7}} {% raw %} ${x} `code` $\\LaTeX$ &lt;b&gt; &amp;amp;",
    "-->]]><!--",
]


class Parsed(HTMLParser):
    """The tags of a page with the names of their attributes, its text, and what it links."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, tuple[str, ...]]] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, tuple(name for name, _ in attrs)))
        self.links += [value or "" for name, value in attrs if name in ("href", "src", "action")]
        self.ids += [value or "" for name, value in attrs if name == "id"]

    def handle_data(self, data: str) -> None:
        self.text += data


def evil(text: str) -> Report:
    """Make a report in which all that is not ours says this."""
    made = whole(text, name=text)
    data = made.model_dump(mode="json", by_alias=True)
    data["base"] |= {"id": text, "revision": text, "kind": text, "license": text, "files": {text: text}}
    data["adapted"] |= {"id": text, "method": text}
    data["provenance"] |= {"created": text, "command": text, "versions": {text: text}, "unpinned": [text]}
    data["provenance"]["data"] = [{"name": text, "train": 1, "test": 1, "fingerprint": text}]
    data["broken"] = [f"forgetting/{text}"]
    for one in data["scales"]:
        one |= {"unit": text, "note": text}
    for one in data["weights"] + data["findings"]:
        one |= {"adjustment": text, "unit": text}
    return Report.model_validate(data)


@pytest.mark.parametrize("text", HOSTILE)
def test_foreign_text_is_text_wherever_it_stands(tmp_path: Path, text: str) -> None:
    """The page of a hostile report has the very tags and attributes of the page of a harmless one."""
    harmless = Parsed(page.page([written(tmp_path / "good", "text")]))
    html = page.page([written(tmp_path / "evil", text)])
    parsed = Parsed(html)
    assert parsed.tags == harmless.tags
    assert parsed.links == harmless.links
    assert not any(name.startswith("on") or name == "style" for _, names in parsed.tags for name in names)
    assert not re.search("[\u202a-\u202e\u2066-\u2069\u200b\u200e\u200f\x00\x1b\ud800-\udfff]", html)
    seen = "".join(one for one in text if one.isprintable() and one.isascii())
    assert seen in re.sub(r"\[U\+[0-9A-F]{4,5}\]|[^\x20-\x7e]", "", parsed.text)


def written(folder: Path, text: str) -> Path:
    """Write a report and tables that say this everywhere; what no file can hold is left out."""
    storable = text.encode("utf-8", "ignore").decode()
    return saved(folder, evil(storable), **tables(storable))


def test_a_lone_surrogate_is_named(tmp_path: Path) -> None:
    """JSON can hold one, HTML cannot."""
    folder = saved(tmp_path, report([finding("bias/x")]))
    path = folder / "report.json"
    path.write_text(path.read_text().replace("how much of x", "how much \\ud800"))
    html = page.page([folder])
    assert "How much [U+D800]" in html
    html.encode()


def test_only_the_hub_is_ever_linked_outside(tmp_path: Path) -> None:
    harmless = Parsed(page.page([saved(tmp_path, whole(), **tables())]))
    outside = [link for link in harmless.links if not link.startswith(("./", "#"))]
    assert outside == [f"https://huggingface.co/org/base/tree/{SHA}"]


@pytest.mark.parametrize(
    "identity", ["../../x", "https://evil.example/x", "org/base?x", "org/base/x", "o\u0440g/base", "a b/c"]
)
def test_an_id_that_is_none_of_the_hub_is_no_link(tmp_path: Path, identity: str) -> None:
    assert "<a " not in page.heading(page.read(based(tmp_path, identity, SHA)))


@pytest.mark.parametrize("revision", ["main", "../../evil", SHA[:39]])
def test_what_is_no_commit_is_no_link(tmp_path: Path, revision: str) -> None:
    assert "<a " not in page.heading(page.read(based(tmp_path, "org/base", revision)))


def based(folder: Path, identity: str, revision: str) -> Path:
    """Write a report on this base."""
    made = report()
    base = made.base.model_copy(update={"id": identity, "revision": revision})
    return saved(folder, made.model_copy(update={"base": base}))


def test_a_long_word_is_folded_and_whole(tmp_path: Path) -> None:
    word = "ab" * 5_000
    shown = page.read(saved(tmp_path, report([finding("forgetting/x")]), flipped=[
        {"question": "forgetting/x", "item_id": "i", "cluster": "c", "text": word, "outcome": "lost"}
    ]))  # fmt: skip
    html, _ = page.flips(shown)
    assert "9,600 more characters" in html
    assert word in Parsed(html.replace("9,600 more characters", "").replace("… ", "")).text
    assert page.flips(shown, search="BABABA")[1] == 1


# --- one file ---------------------------------------------------------------------------------------------------------


def test_the_page_allows_itself_nothing_but_its_own_style_and_script(tmp_path: Path) -> None:
    html = page.page([saved(tmp_path, whole(), **tables())])
    [policy] = re.findall(r'<meta http-equiv="Content-Security-Policy" content="([^"]+)">', html)
    assert policy.startswith("default-src 'none';")
    for kind, tag in (("style", "style"), ("script", "script")):
        [inline] = re.findall(rf"<{tag}>(.*?)</{tag}>", html, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}';" in policy
        assert "http" not in inline
        assert "url(" not in inline
    tags = {tag for tag, _ in Parsed(html).tags}
    assert not tags & {"img", "link", "iframe", "object", "embed", "base", "form", "foreignobject", "image", "use"}
    assert html.index("Content-Security-Policy") < html.index("<style>")


def test_everything_can_be_read_without_script(tmp_path: Path) -> None:
    """Only the controls are hidden until the script shows them."""
    parsed = Parsed(page.page([saved(tmp_path, whole(), **tables())]))
    assert {tag for tag, names in parsed.tags if "hidden" in names} == {"div"}
    assert sum("hidden" in names for _, names in parsed.tags) == 2


def test_several_reports_share_a_page_and_no_id(tmp_path: Path) -> None:
    folders = [saved(tmp_path / name, whole(name=name), **tables()) for name in ("one", "two & 3")]
    parsed = Parsed(page.page(folders))
    assert len(set(parsed.ids)) == len(parsed.ids)
    assert {"#audit-1", "#audit-2", "./one/report.json", "./two%20%26%203/report.json"} <= set(parsed.links)
    named = set(Parsed(page.page(folders, ["", "reports/b/"])).links)
    assert {"./report.json", "./reports/b/report.json"} <= named


def test_many_items_are_embedded_evenly_and_counted(tmp_path: Path) -> None:
    rows = [
        {"question": f"forgetting/{n % 2}", "item_id": f"i{n}", "cluster": "c", "outcome": "lost"}
        for n in [*range(0, 2000, 2), *range(1, 400, 2)]
    ]
    html = page.page([saved(tmp_path, report([finding("forgetting/0")]), flipped=rows)])
    assert f"{ITEMS} of 1,200 items are embedded here" in html
    assert [html.count(f'data-finding="forgetting/{n}"') for n in (0, 1)] == [ITEMS // 2, ITEMS // 2]


# --- the folder alone -------------------------------------------------------------------------------------------------


def test_the_folder_runs_beside_a_space_without_the_package(tmp_path: Path) -> None:
    saved(tmp_path / "run", whole(), **tables())
    shutil.copytree(Path(page.__file__).parent, tmp_path / "page", ignore=shutil.ignore_patterns("__pycache__"))
    script = (
        "import sys; sys.modules['audit'] = None; import page; html = page.page(['run'])\n"
        "heavy = ('audit.', 'torch', 'transformers', 'scipy', 'pydantic', 'huggingface_hub', 'jinja2', 'gradio')\n"
        "print([name for name in sys.modules if name.startswith(heavy)], html.count('<article'))"
    )
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.stdout.strip() == "[] 1", done.stderr


def test_five_thousand_items_and_two_hundred_findings_are_quick(tmp_path: Path) -> None:
    """Rendering below 1 s and filtering below .1 s of CPU, the better of two."""
    findings = [finding(f"bias/f{n}", change=0.001 * n, note="x" * 200) for n in range(200)]
    rows = [
        {"question": f"bias/f{n % 200}", "item_id": f"i{n}", "cluster": f"c{n}", "text": f"text {n} " * 20}
        for n in range(5000)
    ]
    moved = [{**row, "base": 0.1, "adapted": 0.5, "change": 0.4} for row in rows]
    folder = saved(tmp_path, report(findings), moved=moved)

    def seconds(render: object) -> float:
        begun = time.process_time()
        render()  # type: ignore[operator]
        return time.process_time() - begun

    shown = page.read(folder)
    assert min(seconds(lambda: sections(page.read(folder))) for _ in range(2)) < 1
    assert min(seconds(lambda: page.page([folder])) for _ in range(2)) < 1
    assert min(seconds(lambda: page.flips(shown, search="text 4711")) for _ in range(2)) < 0.1
    assert min(seconds(lambda: page.findings(shown, verdict="worse", search="f19")) for _ in range(2)) < 0.1
    assert page.flips(shown, search="text 4711")[1] == 1


def test_a_run_as_it_comes_is_shown_whole(tiny_encoder: Path, tmp_path: Path) -> None:
    from audit import relay
    from audit.recipe import parse_recipe

    asked = {
        "bias": {
            "label": "praise",
            "margins": {"probability": 0.02, "flips": 0.02},
            "items": ["task"],
            "swaps": ["gender"],
        },
        "forgetting": {"limit": 30, "floor": False},
    }
    recipe = parse_recipe(tiny.recipe(tiny_encoder, audit=asked, publish={"evidence": "full"}), "tiny")
    made = relay.run(recipe, "", tmp_path / "run")[0]
    shown = page.read(tmp_path / "run")
    html = page.page([tmp_path / "run"])
    assert [row["id"] for row in page.finding_rows(shown)] == [one.id for one in made.findings]
    for one in made.findings:
        assert number(one.adapted.model_dump(), one.ideal is not None) in html
    flips = sum(one.lost + one.gained for one in made.flips)
    rows = page.item_rows(shown)
    assert sum(row["finding"].startswith("forgetting/") for row in rows) == flips
    assert all(row["text"] for row in rows)
