"""Evaluation metadata: only for what the Hub registered, and only what its format can hold."""

from __future__ import annotations

from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]
from huggingface_hub import parse_eval_result_entries

from audit.publish.card.results import LOCAL, METRICS, eval_results, model_index
from audit.report import Report
from tests import reports


def of(text: str, command: str = "transfer-audit run reviews.toml") -> Report:
    plain = reports.report()
    recipe = plain.recipe.model_copy(update={"text": text})
    return plain.model_copy(
        update={"recipe": recipe, "provenance": plain.provenance.model_copy(update={"command": command})}
    )


SAID = """
name: Reviews
description: Whether a review is good.
evaluation_framework: inspect-ai
tasks:
  - id: reviews
    split: validation
    scorers:
      - name: accuracy
  - id: reviews_easy
    config: easy
    split: validation
    metrics: [accuracy]
  - id: reviews_hard
    config: hard
    split: validation
    metrics: [{name: Accuracy}]
"""
"""As https://huggingface.co/docs/hub/eval-results describes the file of a benchmark."""


def entries(report: Report, told: str = SAID) -> dict[str, Any]:
    return {
        name: parse_eval_result_entries(yaml.safe_load(text))
        for name, text in eval_results(report, {"owner/reviews": yaml.safe_load(told)}).items()
    }


def test_a_registered_benchmark_gets_its_number() -> None:
    [(name, [entry])] = entries(reports.report()).items()
    assert name == "owner-reviews.yaml"
    assert (entry.dataset_id, entry.task_id, entry.value) == ("owner/reviews", "reviews", 0.8)
    assert entry.dataset_revision == reports.COMMIT
    assert entry.date == "2026-01-02T03:04:05+00:00"
    assert entry.notes == "accuracy, transfer-audit, 95 % interval 0.79 to 0.81, 40 items"
    assert (entry.verify_token, entry.source_url) == (None, None)


def test_the_task_is_the_one_of_the_configuration() -> None:
    [[entry]] = entries(of(reports.RECIPE + 'subset = "easy"')).values()
    assert entry.task_id == "reviews_easy"
    [[entry]] = entries(of(reports.RECIPE, "transfer-audit run reviews.toml -o task.subset=hard")).values()
    assert entry.task_id == "reviews_hard"


def test_nothing_else_gets_a_number() -> None:
    told = yaml.safe_load(SAID)
    assert eval_results(reports.report(), {}) == {}
    assert eval_results(reports.report(), {"owner/other": told}) == {}
    assert eval_results(reports.report(task=None), {"owner/reviews": told}) == {}


@pytest.mark.parametrize(
    "told",
    [
        "",
        "[]",
        "tasks: none",
        "tasks: [none]",
        "name: reviews",
        SAID.replace("validation", "test"),
        SAID.replace("    split: validation\n", ""),  # which is `test`
        SAID.replace("name: accuracy", "name: model_graded_fact"),
        SAID.replace("name: accuracy", "name: mse"),
        SAID.replace("      - name: accuracy", "      - name: accuracy\n      - name: f1"),
        SAID.replace("    scorers:\n      - name: accuracy\n", ""),
        SAID.replace("id: reviews\n", "id: [reviews]\n"),
        SAID.replace("config: easy", "config: default"),  # two of that configuration
    ],
)
def test_what_a_benchmark_does_not_say_is_not_claimed(told: str) -> None:
    assert entries(reports.report(), told) == {}


@pytest.mark.parametrize("metric", ["mse", "macro_f1", "micro_f1", "matthews", "spearman"])
def test_a_number_is_one_of_the_metric_that_is_named(metric: str) -> None:
    known = reports.report().task
    assert known is not None
    report = reports.report(task=known.model_copy(update={"metric": metric}))
    assert entries(report) == {}
    assert len(entries(report, SAID.replace("accuracy", metric))) == 1
    hub = entries(report, SAID.replace("accuracy", METRICS[metric]))
    assert bool(hub) == (METRICS[metric] != "f1")  # macro or micro: nobody knows


@pytest.mark.parametrize("also", ["test_share = 0.2", 'train_split = "validation"'])
def test_a_split_of_our_own_is_not_the_benchmarks(also: str) -> None:
    assert entries(of(reports.RECIPE + also)) == {}


def test_a_local_file_is_not_named_in_the_metadata() -> None:
    plain = reports.report()
    assert plain.task is not None
    for name, told in (
        ("[path]/bob.csv", LOCAL),
        ("/home/bob/bob.csv", LOCAL),
        ("shipped:feedback", "shipped:feedback"),
    ):
        data = [{**plain.provenance.data[0], "name": name, "id": None, "revision": None}]
        local = plain.model_copy(
            update={
                "task": plain.task.model_copy(update={"name": name}),
                "provenance": plain.provenance.model_copy(update={"data": data}),
            }
        )
        [entry] = model_index(local, "owner/adapted")
        found = entry["results"][0]["dataset"]
        assert (found["name"], found["type"]) == (told, told)
        assert "bob" not in str(entry)


@pytest.mark.parametrize("command", ["transfer-audit run x.toml -o task.test_limit=100", "transfer-audit run x.toml"])
def test_a_part_of_a_benchmark_is_not_the_benchmark(command: str) -> None:
    limited = of(reports.RECIPE + ("" if "-o" in command else "test_limit = 100"), command)
    assert entries(limited) == {}


def test_where_the_recipe_cannot_be_read_nothing_is_claimed() -> None:
    assert entries(of("not = [toml")) == {}
    assert entries(of(reports.RECIPE, "transfer-audit run 'unclosed")) == {}
    assert entries(of(reports.RECIPE.replace("owner/reviews", "owner/other"))) == {}
