"""The files of a Space: whole, pinned, without a secret, and without the package that made them."""

from __future__ import annotations

import ast
import json
import sys
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import pytest
import yaml  # type: ignore[import-untyped]

from audit.errors import InputError
from audit.publish.bundle.redact import leaks
from audit.publish.space import space_files, space_folder
from audit.report import load_report
from tests import displays

COLOURS = {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}  # docs: spaces-config-reference.md
LIGHT = {"gradio", "pandas", "pyarrow", "huggingface_hub", "spaces"}  # what is installed in a Space


@pytest.fixture(scope="module")
def run(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return displays.ran(tiny_encoder, tmp_path_factory.mktemp("space") / "feedback run")


def front(readme: bytes) -> dict[str, Any]:
    matter: dict[str, Any] = yaml.safe_load(readme.decode().split("---\n")[1])
    return matter


def test_a_gradio_space_holds_the_app_the_page_and_the_report(run: Path) -> None:
    files = space_files([run], sdk="gradio", title="Feedback: audited", models=["owner/name"], datasets=["owner/data"])
    assert {"README.md", "app.py", "requirements.txt", "space.json", "page/__init__.py", "head.html"} <= files.keys()
    held = {name.removeprefix("reports/feedback-run/") for name in files if name.startswith("reports/")}
    there = {path.relative_to(run).as_posix() for path in [*run.glob("*.parquet"), *run.glob("evidence/*")]}
    assert held == there | {"report.json"}
    for name in there:
        assert files[f"reports/feedback-run/{name}"] == (run / name).read_bytes()
    matter = front(files["README.md"])
    assert (matter["title"], matter["sdk"], matter["app_file"]) == ("Feedback: audited", "gradio", "app.py")
    assert (matter["models"], matter["datasets"]) == (["owner/name"], ["owner/data"])
    assert json.loads(files["space.json"]) == {
        "title": "Feedback: audited",
        "reports": ["feedback-run"],
        "datasets": [],
    }


def test_front_matter_and_requirements_name_what_the_tests_ran_with(run: Path) -> None:
    files = space_files([run], sdk="gradio", title="Audit")
    matter = front(files["README.md"])
    pinned = dict(line.split("==") for line in files["requirements.txt"].decode().split())
    assert matter["sdk_version"] == pinned["gradio"] == metadata.version("gradio")
    assert pinned == {name: metadata.version(name) for name in pinned}
    assert pinned.keys() >= {"pandas", "pyarrow"}
    assert tuple(map(int, matter["python_version"].split("."))) >= (3, 11)
    assert {matter["colorFrom"], matter["colorTo"]} <= COLOURS
    assert len(matter["short_description"]) <= 60


def test_nothing_of_the_space_imports_the_package_or_torch(run: Path) -> None:
    files = space_files([run], sdk="gradio", title="Audit")
    own = {Path(name).stem for name in files if name.endswith(".py") and "/" not in name} | {"page"}
    for name, content in files.items():
        if not name.endswith(".py"):
            continue
        for node in ast.walk(ast.parse(content)):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            parts = {one.split(".")[0] for one in names} - set(sys.stdlib_module_names)
            assert parts <= LIGHT | own, name


def test_a_static_page_lies_beside_the_files_that_it_links_to(run: Path) -> None:
    files = space_files([run], sdk="static", title="Audit")
    matter = front(files["README.md"])
    assert matter["sdk"] == "static"
    assert not {"sdk_version", "python_version", "app_file"} & matter.keys()
    assert not any(name.endswith(".py") for name in files)
    text = files["index.html"].decode()
    for name in files:
        if name.startswith("reports/"):
            assert f'href="./{name}"' in text, name


def test_what_must_not_leave_does_not(run: Path, tmp_path: Path) -> None:
    def change(report: dict[str, Any]) -> None:
        report["limits"].append("said by alice@clinic.example")
        report["provenance"]["command"] = "transfer-audit run tiny --out /home/alice/secret/run"

    told = displays.display(run, tmp_path / "told", change)
    kinds: tuple[Literal["gradio", "static"], ...] = ("gradio", "static")
    for sdk in kinds:
        files = space_files([told], sdk=sdk, title="Audit")
        assert not {name: found for name, content in files.items() if (found := leaks(content))}
        everything = b"".join(files.values())
        assert b"alice" not in everything
        assert b"hf_" not in everything.replace(b"hf_xet", b"").replace(b"hf_hub", b"")


def test_two_runs_of_one_name_are_both_there(run: Path, tmp_path: Path) -> None:
    again = displays.display(run, tmp_path / "feedback run")
    names = {name.split("/")[1] for name in space_files([run, again], sdk="gradio", title="A") if "reports/" in name}
    assert names == {"feedback-run", "feedback-run-2"}


def test_the_base_on_the_hub_is_named(run: Path, tmp_path: Path) -> None:
    def change(report: dict[str, Any]) -> None:
        report["base"] |= {"id": "owner/base", "revision": "a" * 40}

    pulled = displays.display(run, tmp_path / "pulled", change)
    assert front(space_files([pulled], sdk="static", title="A")["README.md"])["models"] == ["owner/base"]


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"runs": [], "sdk": "gradio"}, "A: nothing to show; name at least one run folder"),
        ({"runs": [], "sdk": "static", "pins": [("o/d", "a" * 40)]}, "A: a static page reads no data set from the Hub"),
        ({"runs": [Path("/nothing")], "sdk": "static"}, "no such report"),
    ],
)
def test_what_cannot_be_shown_is_one_line(given: dict[str, Any], line: str) -> None:
    with pytest.raises(InputError, match=line) as refused:
        space_files(**given, title="A")
    assert "\n" not in str(refused.value)


def test_the_shipped_folder_is_found_in_a_clone() -> None:
    assert (space_folder() / "app.py").is_file()
    assert all(path.suffix in (".py", ".html", ".md", ".txt") for path in space_folder().iterdir() if path.is_file())


def test_every_report_of_a_space_can_be_loaded_again(run: Path, tmp_path: Path) -> None:
    files = space_files([run], sdk="gradio", title="A")
    (tmp_path / "report.json").write_bytes(files["reports/feedback-run/report.json"])
    assert load_report(tmp_path).recipe.fingerprint == load_report(run).recipe.fingerprint
