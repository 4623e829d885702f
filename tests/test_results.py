"""Evaluation metadata: only for what the Hub registered, and only what its format can hold."""

from __future__ import annotations

from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]
from huggingface_hub import parse_eval_result_entries

from audit.publish.card.results import eval_results
from audit.report import Report
from tests import reports


def of(text: str, command: str = "transfer-audit run reviews.toml") -> Report:
    plain = reports.report()
    recipe = plain.recipe.model_copy(update={"text": text})
    return plain.model_copy(
        update={"recipe": recipe, "provenance": plain.provenance.model_copy(update={"command": command})}
    )


def entries(report: Report) -> dict[str, Any]:
    return {
        name: parse_eval_result_entries(yaml.safe_load(text))
        for name, text in eval_results(report, {"owner/reviews"}).items()
    }


def test_a_registered_benchmark_gets_its_number() -> None:
    [(name, [entry])] = entries(reports.report()).items()
    assert name == "owner-reviews.yaml"
    assert (entry.dataset_id, entry.task_id, entry.value) == ("owner/reviews", "default", 0.8)
    assert entry.dataset_revision == reports.COMMIT
    assert entry.date == "2026-01-02T03:04:05+00:00"
    assert entry.notes == "accuracy, transfer-audit, 95 % interval 0.79 to 0.81, 40 items"
    assert (entry.verify_token, entry.source_url) == (None, None)


def test_the_task_is_called_after_the_configuration() -> None:
    [[entry]] = entries(of(reports.RECIPE + 'subset = "easy"')).values()
    assert entry.task_id == "easy"
    [[entry]] = entries(of(reports.RECIPE, "transfer-audit run reviews.toml -o task.subset=hard")).values()
    assert entry.task_id == "hard"


def test_nothing_else_gets_a_number() -> None:
    assert eval_results(reports.report(), set()) == {}
    assert eval_results(reports.report(), {"owner/other"}) == {}
    assert eval_results(reports.report(task=None), {"owner/reviews"}) == {}


@pytest.mark.parametrize("command", ["transfer-audit run x.toml -o task.test_limit=100", "transfer-audit run x.toml"])
def test_a_part_of_a_benchmark_is_not_the_benchmark(command: str) -> None:
    limited = of(reports.RECIPE + ("" if "-o" in command else "test_limit = 100"), command)
    assert entries(limited) == {}


def test_where_the_recipe_cannot_be_read_nothing_is_claimed() -> None:
    assert entries(of("not = [toml")) == {}
    assert entries(of(reports.RECIPE, "transfer-audit run 'unclosed")) == {}
    assert entries(of(reports.RECIPE.replace("owner/reviews", "owner/other"))) == {}
