"""``transfer-audit show``: a page on this machine, a page in a folder, and both models to be asked."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from audit import cli
from audit.errors import InputError
from audit.items.swap import axis, swap
from audit.live import live
from audit.models.load import load_pair
from audit.models.source import cache_folder, resolve
from audit.report import load_report
from audit.view import Item
from tests import displays

TEXT = "Megan said her order came late, and she was never told."


@pytest.fixture(scope="module")
def run(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return displays.ran(tiny_encoder, tmp_path_factory.mktemp("show") / "run")


def test_live_answers_are_those_of_the_models(run: Path) -> None:
    """What the adapted model says is what its own head says; a text, and the swap engine's other text."""
    answer, axes = live(run)
    assert axes[:5] == ("gender", "name_origin", "religion", "nationality", "age")
    said = answer(TEXT, "gender")
    pair = swap(TEXT, axis("gender")).pair
    assert pair is not None
    assert [one["text"] for one in said] == [TEXT, pair[1]]
    report = load_report(run)
    models = load_pair(resolve(report.base.id), resolve(str(run / report.adapted.id)), "encoder")
    items = [Item(id=str(n), cluster="c", text=one) for n, one in enumerate(pair)]
    expected = models.adapted.ask("probabilities", items)
    for one, row in zip(said, expected, strict=True):
        assert list(one["adapted"]) == ["complaint", "praise"]
        np.testing.assert_allclose(list(one["adapted"].values()), row, atol=1e-6)
        assert sum(one["base"].values()) == pytest.approx(1)


def test_live_remembers_nothing_of_what_is_typed(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    answer, _ = live(run)
    before = sorted(cache_folder().rglob("*"))
    assert before  # a probe's texts are remembered
    answer(TEXT, None)
    assert sorted(cache_folder().rglob("*")) == before


@pytest.mark.parametrize(
    ("text", "by", "line"),
    [
        ("The parcel was late.", "gender", "cannot be said about somebody else by gender: nobody named"),
        ("He told his sister.", "gender", "both groups"),
        ("half \ud800 a character", None, "it is not Unicode"),
    ],
)
def test_what_live_cannot_ask_is_one_line(run: Path, text: str, by: str | None, line: str) -> None:
    answer, _ = live(run)
    with pytest.raises(InputError, match=line) as refused:
        answer(text, by)
    assert "\n" not in str(refused.value)


def _other_recipe(report: dict[str, Any]) -> None:
    report["recipe"]["fingerprint"] = "0" * 64


def _other_weights(report: dict[str, Any]) -> None:
    report["base"]["files"] = dict.fromkeys(report["base"]["files"], "0" * 64)


def _of_images(report: dict[str, Any]) -> None:
    report["base"]["kind"] = "vision"


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (_other_recipe, "this recipe says something else here than where it was run"),
        (_other_weights, "is not what the report was written about"),
        (_of_images, "only models that read texts can be asked live"),
        (lambda report: None, "the run's model is not there; it takes the whole run folder"),
    ],
)
def test_live_refuses_models_that_are_not_those_of_the_report(
    run: Path, tmp_path: Path, change: Callable[[dict[str, Any]], None], line: str
) -> None:
    with pytest.raises(InputError, match=line):
        live(displays.display(run, tmp_path, change))


def called(*arguments: str) -> int:
    with pytest.raises(SystemExit) as done:
        cli.main(arguments)
    return int(done.value.code or 0)


def test_a_static_page_needs_no_gradio(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "gradio", None)
    assert called("show", str(run), "--static", str(tmp_path / "page"), "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert Path(told["page"]).read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert {path.relative_to(tmp_path / "page").as_posix() for path in (tmp_path / "page").rglob("*.*")} == set(
        told["files"]
    )


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("{run}",), 'show needs gradio: pip install "transfer-audit[space]"; or write a page without it: --static'),
        (("{run}", "{run}", "--live"), "--live with 2 runs: it asks the two models of one"),
        (("{run}", "--port", "70000"), "--port 70000: give 0 to 65535"),
        (("/nothing",), "no such report"),
        ((), "Missing argument"),
    ],
)
def test_what_cannot_be_shown_is_one_line(
    arguments: tuple[str, ...],
    line: str,
    run: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert called("show", *(one.replace("{run}", str(run)) for one in arguments)) == 2
    printed = capsys.readouterr()
    assert line in printed.err
    assert len(printed.err.splitlines()) == 1
