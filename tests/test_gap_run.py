"""Gap and transfer through a whole run: every stage, the report, the card."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from audit import relay
from audit.recipe import parse_recipe
from audit.report import Report, load_report
from tests import tiny

LABELS = ["complaint", "praise"]


def run(base: Path, out: Path, **changes: Any) -> Report:
    task = {"dataset": "shipped:feedback", "labels": LABELS, "train_limit": 60, "test_limit": 40}
    table = tiny.recipe(base, task=task, **changes)
    return relay.run(parse_recipe(table, "tiny"), "", out)[0]


def test_curves_of_the_recipe_itself_stand_beside_those_of_a_probe(tiny_encoder: Path, tmp_path: Path) -> None:
    asked = {"margin": 0.05, "controls": ["random_init"], "seeds": 3, "sizes": [20, 60], "target": 0.3}
    audits = {"transfer": {**asked, "fine_tune": True}}
    report = run(tiny_encoder, tmp_path / "run", audit=audits)
    assert [one.id for one in report.findings] == ["transfer/random_init", "transfer/random_init/fine_tuned"]
    assert {(curve.how, curve.arm) for curve in report.curves} == {
        ("probe", "base"), ("probe", "random_init"), ("fine_tuned", "base"), ("fine_tuned", "random_init"),
    }  # fmt: skip
    assert {(one.how, one.target) for one in report.needed} == {("probe", 0.3), ("fine_tuned", 0.3)}
    assert load_report(tmp_path / "run") == report
    card = (tmp_path / "run" / "card.md").read_text()
    assert "| the base against | error of the control | error on the base |" in card
    for how in ("a probe", "the recipe's own adaptation"):
        assert f"What {how} reaches on the base after" in card
        assert f"For an error of 0.3, {how} on the base takes" in card
    assert not list((tmp_path / "run" / "arms").rglob("*.safetensors"))


@pytest.mark.parametrize("kind", ["encoder", "causal"])
def test_every_measure_of_the_gap_that_a_base_can_answer_is_in_the_card(
    kind: str, bert: Path, llama: Path, tmp_path: Path
) -> None:
    audits = {"gap": {"margin": 0.2, "limit": 60, "reference": "shipped:passages"}}
    adapt = (
        {"method": "peft", "epochs": 1, "learning_rate": 1e-3, "config": {"r": 2}}
        if kind == "causal"
        else {"method": "head"}
    )
    report = run(
        llama if kind == "causal" else bert, tmp_path / "run", kind=kind, adapt=adapt, audit=audits,
        publish={"evidence": "full"},
    )  # fmt: skip
    placed = {one.name for one in report.findings}
    limits = " ".join(report.limits)
    for name, where in (("representation", "base's space"), ("tokens", "in tokens"), ("surprise", "in surprise")):
        assert name in placed or f"The gap {where} was not measured" in limits, name
    assert {scale.name for scale in report.scales} >= placed | {"fit/probe"}
    card = (tmp_path / "run" / "card.md").read_text()
    for scale in report.scales:
        shown = scale.name.removeprefix("fit/").replace("_", "\\_")
        assert f"| {shown} (" in card
    drivers = pd.read_parquet(tmp_path / "run" / "drivers.parquet")
    assert set(drivers["kind"]) <= {"word", "text"}


def test_words_stay_in_the_run_unless_everything_may_leave_it(tiny_encoder: Path, tmp_path: Path) -> None:
    run(tiny_encoder, tmp_path / "run", adapt={"method": "head"}, audit={"gap": {"margin": 0.2, "limit": 60}})
    assert not (tmp_path / "run" / "drivers.parquet").exists()
    assert (tmp_path / "run" / "stages" / "gap" / "drivers.parquet").is_file()
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    words = pd.read_parquet(tmp_path / "run" / "stages" / "gap" / "drivers.parquet")
    texts = [text for text in words[words["kind"] == "text"]["value"]]
    assert texts
    assert not any(text in json.dumps(report, ensure_ascii=False) for text in texts)


def test_a_size_that_cannot_be_drawn_is_refused_before_anything_is_written(tiny_encoder: Path, tmp_path: Path) -> None:
    from audit.errors import InputError

    audits = {"transfer": {"margin": 0.05, "sizes": [20, 500]}}
    with pytest.raises(InputError, match=r"\[audit.transfer\] sizes: 500, but there are 60 distinct training texts"):
        run(tiny_encoder, tmp_path / "run", audit=audits)
    assert not (tmp_path / "run").exists()
