"""Verification of what a language model, a contrast of groups, minimal pairs, questions, a gap and origins leave."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from audit import relay
from audit.items import shipped
from audit.metrics import METRICS, measured
from audit.recipe import Task, parse_recipe
from audit.report import Report, load_report
from audit.retention import Flips
from audit.steps.answers import keep_answers
from audit.steps.written import Evidence
from audit.verify import Verification, verified
from audit.verify.evidence import Table, read_tables
from audit.verify.flips import check_flips
from audit.verify.task import TaskAnswers
from audit.verify.verification import _recompute
from audit.view import Item
from tests import tiny

QUESTION = {
    "category": "Demo", "question_polarity": "neg", "question": "Who was late?",
    "answer_info": {"ans0": ["Ann", "woman"], "ans1": ["unknown", "unknown"], "ans2": ["Ben", "man"]},
    "additional_metadata": {"stereotyped_groups": ["woman"]}, "ans0": "Ann", "ans1": "Unknown", "ans2": "Ben",
}  # fmt: skip


def data(folder: Path) -> Path:
    """Labelled texts of two sensitive columns, minimal pairs of two types, and questions of both contexts."""
    rows = [json.loads(line) for line in shipped("feedback").read_text(encoding="utf-8").splitlines()]
    table = pd.DataFrame([*rows[:40], *[row for row in rows if row["split"] == "test"][:60]])[
        ["text", "label", "split"]
    ]
    table["region"] = [["east", "west", "north"][n % 3] for n in range(100)]
    table["sex"] = ["f", "m"] * 50
    table.to_csv(folder / "task.csv", index=False)
    pairs = [f"Women {n} are late.,Men {n} are late.,{'time' if n % 2 else 'place'},w{n % 12}" for n in range(24)]
    (folder / "pairs.csv").write_text("\n".join(["more,less,type,cluster", *pairs]))
    asked = [
        QUESTION | {"example_id": n, "question_index": str(n // 2), "context": f"Ann and Ben met at {n}."}
        | {"context_condition": ("ambig", "disambig")[n % 2], "label": 1 - n % 2}
        for n in range(24)
    ]  # fmt: skip
    (folder / "asked.jsonl").write_text("\n".join(json.dumps(one) for one in asked))
    return folder


@pytest.fixture(scope="module")
def causal(llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a language model that is asked everything about bias, forgetting and the gap."""
    folder = data(tmp_path_factory.mktemp("causal"))
    lora = {"method": "peft", "epochs": 1, "batch_size": 8, "learning_rate": 1e-3, "max_length": 48, "config": {"r": 2}}
    table = tiny.recipe(llama, kind="causal", adapt=lora)
    table["task"] |= {"dataset": str(folder / "task.csv"), "train_limit": 24, "test_limit": 60}
    table["audit"]["bias"] |= {"items": ["task"], "swaps": ["gender"]}
    table["audit"]["bias"]["groups"] = {"columns": ["region", "sex"], "margin": 0.05, "depth": 2}
    table["audit"]["forgetting"] |= {"limit": 24}
    table["audit"]["gap"] |= {"limit": 24}
    lists = (
        f'[[audit.bias.minimal_pairs]]\nfile = "{folder / "pairs.csv"}"\nform = "csv"\nscorer = "log_likelihood"\n'
        "margins = {nats = 0.5, share = 0.05}\n"
        f'[[audit.bias.questions]]\nfile = "{folder / "asked.jsonl"}"\nmargin = 0.05\n'
    )
    text = f"{tiny.toml(table)}\n{lists}"
    relay.run(parse_recipe(tomllib.loads(text), "tiny"), text, folder / "run", command=["transfer-audit", "run"])
    return folder / "run"


def test_a_language_model_s_run_agrees(causal: Path) -> None:
    found = verified(causal)
    assert found.disagreements == []
    report = load_report(causal)
    methods = {one.method for one in report.findings}
    assert {"mover of tango scores", "mover of student-t", "cluster bootstrap", "tango score"} <= methods
    assert "student-t over linearised clusters" in methods  # questions of several items a cluster
    assert "student-t over cluster means, corrected for skewness" in methods
    left = {line.split(":")[0] for line in found.unchecked}
    assert not left & {one.id for one in report.findings if one.audit != "gap" or one.name == "surprise"}


def test_one_number_of_every_finding_and_scale_is_found(causal: Path) -> None:
    """The point and an end of every finding, those of the gap's surprise too; all in one report."""
    report, (tables, _) = load_report(causal), read_tables(causal / "evidence")
    rested = [one for one in report.findings if one.audit != "gap" or one.name == "surprise"]
    for number, one in enumerate(report.findings):
        if one not in rested:
            continue
        other = one.model_copy(update={"n_items": one.n_items + 1})
        changed = report.model_copy(
            update={"findings": [*report.findings[:number], other, *report.findings[number + 1 :]]}
        )
        if number % 12 == 0 or one.name == "surprise":
            assert any(line.startswith(f"{one.id}: n_items") for line in lines(changed, tables)), one.id
    scales = [one.model_copy(update={"ceiling": one.ceiling * 1.001}) for one in report.scales]
    assert any(
        line.startswith("scale surprise: ceiling")
        for line in lines(report.model_copy(update={"scales": scales}), tables)
    )


def lines(report: Report, tables: dict[str, Table]) -> list[str]:
    found = Verification()
    _recompute(found, report, tables)
    return found.disagreements


@pytest.mark.parametrize(
    ("stage", "question", "named"),
    [
        ("bias", "bias/sex/selection_rate", "bias/sex/selection_rate"),
        ("bias", "members/bias/sex/selection_rate", "bias/sex/selection_rate"),
        ("bias", "bias/pairs/preference", "bias/pairs/preference"),
        ("bias", "bias/asked/ambiguous/error", "bias/asked/ambiguous/error"),
        ("gap", "gap/surprise", "gap/surprise"),
        ("gap", "gap/surprise/reference/bytes", "gap/surprise"),
        ("gap", "gap/surprise/seeds", "gap/surprise"),
    ],
)
def test_a_changed_row_is_named(causal: Path, stage: str, question: str, named: str) -> None:
    report, (tables, _) = load_report(causal), read_tables(causal / "evidence")
    rows = tables[stage].rows.copy()
    place = rows.index[rows["question"] == question]
    assert len(place)
    was = rows.loc[place[0], "value"]
    rows.loc[place[0], "value"] = was * 1.5 + 1 if stage == "gap" else 1 - was
    told = lines(report, tables | {stage: Table(stage, rows)})
    assert any(named in line for line in told), told


def test_flips_are_counted_again_and_rid_of_guesses() -> None:
    """Pure guessing among four loses and gains 3/16 by chance (tests/test_stats.py): nothing that was known is lost."""
    was, now = np.repeat([0.0, 0.0, 1.0, 1.0], [1, 3, 3, 9]), np.repeat([0.0, 1.0, 0.0, 1.0], [1, 3, 3, 9])
    one = {"item_id": [f"i{n}" for n in range(16)], "cluster": [f"i{n}" for n in range(16)], "seed": 0}
    name = "forgetting/multiple_choice"
    rows = [
        pd.DataFrame({**one, "arm": "base", "question": name, "value": was}),
        pd.DataFrame({**one, "arm": "adapted", "question": name, "value": now}),
        pd.DataFrame({**one, "arm": "both", "question": f"options/{name}", "value": 4.0}),
    ]
    known = {"known_lost": (0.0, 0.25), "known_gained": (0.0, 0.25)}
    flips = Flips(finding=name, n=16, both=1, lost=3, gained=3, neither=9, **known)
    for options, lies in ((4.0, 0), (5.0, 4)):
        rows[2]["value"] = options
        found = Verification()
        check_flips(found, [flips], Table.of("forgetting", pd.concat(rows, ignore_index=True)))
        assert len(found.disagreements) == lies
        assert all(line.startswith(f"flips of {name}: known_") for line in found.disagreements)


# --- origins ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def origins(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with control arms, of a head: its group-silent arms read the base out."""
    folder = data(tmp_path_factory.mktemp("origins"))
    table = tiny.recipe(tiny_encoder, adapt={"method": "head", "seeds": [0, 1, 2, 3, 4]})
    bias = {"items": ["task"], "swaps": ["gender"], "origin": True}
    table["audit"] = {"bias": table["audit"]["bias"] | bias}
    table["task"] |= {"metric": "accuracy"}
    text = tiny.toml(table)
    relay.run(parse_recipe(tomllib.loads(text), "tiny"), text, folder / "run", command=["transfer-audit", "run"])
    return folder / "run"


def test_origins_agree_and_every_part_that_is_changed_is_named(origins: Path) -> None:
    found = verified(origins)
    assert found.disagreements == []
    report, (tables, _) = load_report(origins), read_tables(origins / "evidence")
    [one] = report.decompositions
    assert not any("base and change" in line for line in found.unchecked)
    for part in ("adapted", "base", "silent", "floor", "random", "inherited", "introduced", "change"):
        said = getattr(one, part)
        other = said.model_copy(
            update={"estimate": said.estimate.model_copy(update={"value": said.estimate.value + 1e-6})}
        )
        changed = report.model_copy(update={"decompositions": [one.model_copy(update={part: other})]})
        assert any(f"{one.finding}: {part}.estimate.value" in line for line in lines(changed, tables)), part
    for update in (
        {"majority": 0.1},
        {"accuracy": one.accuracy | {"silent": 0.1}},
        {"detectable": 1.0},
        {"seeds": [9]},
    ):
        changed = report.model_copy(update={"decompositions": [one.model_copy(update=update)]})
        assert any(one.finding in line for line in lines(changed, tables)), update


def test_a_row_of_a_control_arm_is_named(origins: Path) -> None:
    report, (tables, _) = load_report(origins), read_tables(origins / "evidence")
    for arm in ("adapted_drawn", "group_silent", "random_init", "random_init_group_silent"):
        rows = tables["origin"].rows.copy()
        rows.loc[rows.index[rows["arm"] == arm][0], "value"] += 0.25
        told = lines(report, tables | {"origin": Table("origin", rows)})
        assert any(line.startswith("decomposition of bias/gender/task/preference") for line in told), arm


# --- the task's answers -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("task", "labels", "said"),
    [
        ({"type": "single_label", "metric": "macro_f1", "labels": ("a", "b", "c")}, list("abcabc"), list("abcbbc")),
        ({"type": "single_label", "metric": "matthews", "labels": ("b", "a")}, list("ababab"), list("abaabb")),
        (
            {"type": "multi_label", "metric": "micro_f1", "labels": ("b", "a")},
            ['["a"]', '["b", "a"]', "[]", '["b"]', '["a"]', '["b"]'],
            [["a"], ["a"], [], ["b"], ["b"], ["a", "b"]],
        ),
        (
            {"type": "regression", "metric": "spearman"},
            ["1.0", "2.5", "3.0", "4.0", "0.5", "9.0"],
            [1.5, 2, 2.5, 5, 0, 7],
        ),
        (
            {"type": "tokens", "metric": "entity_f1", "labels": ("O", "B-X", "I-X")},
            ['["B-X", "I-X"]', '["O"]', '["B-X"]', '["O", "B-X"]', '["O"]', '["B-X"]'],
            [["B-X", "O"], ["O"], ["B-X"], ["B-X", "B-X"], ["O"], ["O"]],
        ),
        (
            {"type": "completion", "metric": "nats_per_byte"},
            ["four", "cafés", "x", "yy", "zzz", "é"],
            [6.0, 2, 1, 3, 2, 4],
        ),
    ],
)  # fmt: skip
def test_answers_are_numbers_from_which_the_metric_follows(
    task: dict[str, Any], labels: list[str], said: list[Any]
) -> None:
    """Against the metric of the answers themselves; and not one of the numbers is a text."""
    asked = Task(dataset="d", **task)
    items = [Item(id=f"i{n}", cluster=f"c{n // 2}", text="two words", label=one) for n, one in enumerate(labels)]
    job: Any = SimpleNamespace(recipe=SimpleNamespace(task=asked), data=SimpleNamespace(test=items))
    structured = asked.type in ("multi_label", "tokens")
    true = [json.loads(one) if structured else float(one) if asked.type == "regression" else one for one in labels]
    evidence = Evidence(0)
    keep_answers(evidence, "reference", true, job, true=True)
    keep_answers(evidence, "adapted", said, job)
    rows = pd.concat(evidence.tables, ignore_index=True).drop(columns="text")
    assert rows["value"].dtype == np.float64
    answers = TaskAnswers(Table.of("task", rows), asked.measure, asked.names, asked.type)
    again = answers.measured(answers.read(answers.table, "adapted"))
    wanted = measured(METRICS[asked.measure](), said, true, [item.cluster for item in items])
    assert again.adapted == wanted.adapted
    assert again.scores.tolist() == wanted.scores.tolist()
