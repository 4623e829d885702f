"""A report of nothing is an honest page; one that cannot be shown is one line that names the file and the place."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from audit.publish import page
from tests.test_page import finding, report, saved, whole


def sections(shown: page.Shown) -> str:
    """Render everything."""
    plain = (page.heading, page.findings, page.origins, page.drill, page.gap, page.curves, page.diligence)
    return "".join(one(shown) for one in (*plain, page.limits, page.reproduce, page.downloads)) + page.flips(shown)[0]


def test_a_report_of_nothing_is_an_honest_page(tmp_path: Path) -> None:
    said = sections(page.read(saved(tmp_path, report())))
    assert "Nothing was measured." in said
    assert said.count("ot measured") >= 7
    assert "Not looked up" in said


def test_one_audit_alone_and_unclear_everywhere(tmp_path: Path) -> None:
    unclear = [finding(f"bias/{n}", half=0.3, n_needed=900) for n in range(3)]
    said = sections(page.read(saved(tmp_path, report(unclear))))
    assert "3 declared findings of change: 3 unclear." in said
    assert "about 900 would decide" in said
    assert said.count("not measured") >= 3


def test_a_model_that_beats_no_constant_has_not_learnt_the_task(tmp_path: Path) -> None:
    made = whole()
    for task, told in ((0.69, ""), (0.75, "it may not have learnt the task"), (0.8, "it has not learnt the task")):
        arms = [made.arms[0].model_copy(update={"task": task})]
        said = page.heading(page.read(saved(tmp_path, made.model_copy(update={"arms": arms}))))
        assert ("learnt the task" in said) == bool(told)
        assert told in said


def test_the_slice_that_moved_most_comes_first(tmp_path: Path) -> None:
    slices = [finding("bias/x", change=change, group=f"g{change:g}") for change in (0.1, -0.3, 0.2)]
    said = page.drill(page.read(saved(tmp_path, report(slices))))
    assert said.index("g-0.3") < said.index("g0.2") < said.index("g0.1")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (None, "no report: No such file or directory"),
        ("", "not a report: Expecting value"),
        ("[" * 200_000, "not a report: nested too deeply"),
        ("[]", "schema None is not known here, only 1"),
        ('{"schema": 2}', "schema 2 is not known here, only 1; a newer transfer-audit wrote it"),
        ('{"schema": true}', "schema True is not known here"),
        ('{"schema": 1}', "report has no 'tool'"),
        ('{"schema": 1, "x": NaN}', "NaN is no number of JSON"),
        ('{"schema": 1, "curve": 3}', "report has no 'tool'"),
        ("\x00", "not a report"),
    ],
)
def test_what_is_no_report_is_one_line(tmp_path: Path, text: str | None, told: str) -> None:
    if text is not None:
        (tmp_path / "report.json").write_text(text)
    with pytest.raises(page.Unreadable) as error:
        page.read(tmp_path)
    assert str(error.value).startswith(f"{tmp_path / 'report.json'}: ")
    assert told in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("place", "value", "told"),
    [
        (("findings", 0, "base", "value"), "1", "report.findings.0.base.value is not a number"),
        (("findings", 0, "base", "value"), 10**400, "report.findings.0.base.value is not a number"),
        (("findings", 0, "verdict"), "fine", "report.findings.0.verdict is none of worse, same, better, unclear"),
        (("findings", 0, "group"), 3, "report.findings.0.group is not a text or null"),
        (("findings",), {}, "report.findings is not a list"),
        (("base", "files"), [], "report.base.files is not a table"),
        (("decompositions", 0, "silent"), None, "report.decompositions.0.silent is not a table"),
        (("curve", 0, "alpha"), True, "report.curve.0.alpha is not a number"),
    ],
)
def test_a_report_of_another_shape_names_the_place(tmp_path: Path, place: Sequence[Any], value: Any, told: str) -> None:
    saved(tmp_path, whole())
    data = json.loads((tmp_path / "report.json").read_text())
    inner = data
    for step in place[:-1]:
        inner = inner[step]
    inner[place[-1]] = value
    (tmp_path / "report.json").write_text(json.dumps(data))
    with pytest.raises(page.Unreadable, match=told.replace(".", r"\.")):
        page.read(tmp_path)


def test_a_broken_table_beside_it_is_named(tmp_path: Path) -> None:
    saved(tmp_path, report())
    (tmp_path / "moved.parquet").write_bytes(b"PAR1")
    with pytest.raises(page.Unreadable, match=r"moved\.parquet: not a table"):
        page.read(tmp_path)
    pd.DataFrame({"question": ["x"]}).to_parquet(tmp_path / "moved.parquet")
    with pytest.raises(page.Unreadable, match=r"moved\.parquet: no column 'adapted'"):
        page.read(tmp_path)
