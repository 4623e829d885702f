"""The sentence about the task: what is better, what a constant does, and of what it is a claim."""

from __future__ import annotations

from pathlib import Path

import pytest

from audit.finding import Estimate
from audit.publish.card.task import task_sentence, task_words
from audit.report import AdaptedModel, Arm, BaseModelRecord, Provenance, RecipeRecord, Report, Task


def report(metric: str, better: str, adapted: float, constant: float, seeds: int = 1) -> Report:
    whole = Estimate(value=adapted, low=adapted - 0.1, high=adapted + 0.1)
    over = Estimate(value=adapted, low=adapted - 0.2, high=adapted + 0.2) if seeds > 2 else None
    return Report(
        tool="t",
        recipe=RecipeRecord(name="r", fingerprint="f", text=""),
        base=BaseModelRecord(id="b", revision=None, kind="encoder", license=None, files={}),
        adapted=AdaptedModel(id="a", method="full", trainable_parameters=1, seeds=list(range(seeds)), files={}),
        task=Task.model_validate(
            {
                "name": "data|x",
                "metric": metric,
                "better": better,
                "base": None,
                "adapted": whole,
                "change": None,
                "claim": "recipe" if over else "checkpoint",
                "over_seeds": over,
                "n_seeds": seeds,
            }
        ),
        arms=[Arm(name="constant", seed=None, sha256=None, task=constant)],
        provenance=Provenance(created="", command="", seeds=[], versions={}, hardware={}, data=[]),
    )


def test_the_sentence_names_metric_direction_and_constant() -> None:
    said = task_words(report("mae", "lower", 0.5, 0.9), Path("x").name)
    assert said == "Mean absolute error (lower is better) on x: 0.500 [0.400, 0.600]; base not measured; " + (
        "a constant answer 0.900."
    )
    assert task_sentence(report("mae", "lower", 0.5, 0.9)).startswith(
        "Mean absolute error (lower is better) on data\\|x: **0.500 [0.400, 0.600]**; base"
    )


@pytest.mark.parametrize(
    ("metric", "better", "adapted", "constant", "warned"),
    [
        ("accuracy", "higher", 0.5, 0.5, True),
        ("accuracy", "higher", 0.6, 0.5, False),
        ("mae", "lower", 2.0, 0.9, True),
        ("mae", "lower", 0.5, 0.9, False),
    ],
)
def test_a_model_that_has_not_learnt_the_task_is_told(
    metric: str, better: str, adapted: float, constant: float, warned: bool
) -> None:
    assert ("has not learnt" in task_words(report(metric, better, adapted, constant), "x")) == warned


def test_a_claim_about_the_recipe_is_one_over_seeds() -> None:
    assert "a claim about the recipe" in task_words(report("accuracy", "higher", 0.6, 0.5, seeds=3), "x")
    assert "a claim about the recipe" not in task_words(report("accuracy", "higher", 0.6, 0.5, seeds=2), "x")
