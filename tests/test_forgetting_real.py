"""What real models forget: MiniLM fully fine-tuned and SmolLM2 under a LoRA, mildly and until they are ruined."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from audit import relay, retention
from audit.audits import Question, binary, findings
from audit.compare import compare
from audit.models.drift import weight_drift
from audit.models.source import Source, file_hashes, resolve
from audit.recipe import Recipe, parse_recipe
from audit.report import Report
from audit.retention import Strength
from audit.softened import soften_run
from audit.view import Item

pytestmark = pytest.mark.real_base
FEEDBACK = {"dataset": "shipped:feedback", "labels": ["complaint", "praise"], "train_limit": 240, "test_limit": 60}
REFIT = [f"forgetting/{name}/refit_probe" for name in ("question_kinds", "tenses")]
MILD, RUINOUS = 2e-5, 5e-3


def recipe(base: str, adapt: dict[str, Any], limit: int, **changes: Any) -> Recipe:
    asked = {"forgetting": {"limit": limit, "floor": False, "strengths": changes.pop("strengths", [])}}
    table = {"name": "real", "base": base, "kind": "encoder", "task": FEEDBACK, "adapt": adapt, "audit": asked}
    return parse_recipe({**table, **changes}, "real")


def tuned(base: str, learning_rate: float, folder: Path, limit: int, strengths: list[float]) -> tuple[Path, Report]:
    adapt = {"method": "full", "learning_rate": learning_rate, "epochs": 1, "batch_size": 16, "max_length": 64}
    return folder, relay.run(recipe(base, adapt, limit, strengths=strengths), "", folder)[0]


@pytest.fixture(scope="module")
def mild(minilm: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Report]:
    """MiniLM after 15 steps of a usual learning rate; 150 items a probe."""
    return tuned(minilm, MILD, tmp_path_factory.mktemp("mild") / "run", 150, [0.5])


@pytest.fixture(scope="module")
def ruined(minilm: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Report]:
    """The same at a learning rate at which it collapses."""
    return tuned(minilm, RUINOUS, tmp_path_factory.mktemp("ruined") / "run", 150, [])


def words(report: Report) -> dict[str, str]:
    return {one.id: retention.words([one])[one.id] for one in report.findings if one.group is None}


def changes(point: Strength) -> dict[str, float]:
    return {one.id: one.change.value for one in point.findings if one.change is not None}


def test_a_collapsed_encoder_has_lost_every_probe(ruined: tuple[Path, Report]) -> None:
    """Of 800 to 129 right answers of 1000, and 7 of 100 neighbours (one seed, measured by hand before)."""
    said = words(ruined[1])
    assert len(said) == 7  # two probes of three sets, and neighbours
    assert set(said.values()) == {"lost"}


def test_a_collapsed_sentence_encoder_has_lost_similarity_and_retrieval_too(
    ruined: tuple[Path, Report], minilm: str, tmp_path: Path
) -> None:
    asked = recipe(minilm, {"method": "head"}, 60)
    report, _ = relay.audit_model(asked, "", minilm, str(ruined[0] / "models" / "seed-0"), tmp_path / "run")
    assert report.base.kind == "sentence_encoder"
    said = words(report)
    assert said["forgetting/similarity"] == said["forgetting/retrieval"] == said["forgetting/neighbours"] == "lost"


def test_a_usual_fine_tuning_keeps_what_probes_tell_within_five_points(mild: tuple[Path, Report]) -> None:
    by_id = {one.id: one for one in mild[1].findings}
    for name in REFIT:
        low, high = by_id[name].decision.same
        assert low is not None
        assert high is not None
        assert -0.05 < low <= high < 0.05
        assert by_id[name].verdict == "same"
    # MiniLM has three features that are 0 but for rounding: no standardised probe may read them
    assert "lost" not in words(mild[1]).values()


@pytest.mark.parametrize("name", REFIT)
def test_ten_of_its_items_do_not_carry_the_word(mild: tuple[Path, Report], name: str) -> None:
    kept = pd.read_parquet(mild[0] / "evidence" / "forgetting.parquet")
    kept = kept[kept["question"] == name].pivot(index="cluster", columns="arm", values="value").iloc[::15]
    items = [Item(id=str(one), cluster=str(one), text=str(one)) for one in kept.index]
    asked = Question(
        audit="forgetting",
        name="few",
        unit="error rate",
        base=kept["base"].to_numpy(),
        adapted=kept["adapted"].to_numpy(),
        items=items,
        margin=0.05,
        question="errors",
        by=binary,
    )
    [found] = findings([asked], family="few")
    assert (found.n_items, found.verdict) == (10, "unclear")
    assert found.n_needed is not None


def test_retention_falls_with_strength_within_the_noise_of_its_interval(mild: tuple[Path, Report]) -> None:
    curve = mild[1].curve
    assert [one.alpha for one in curve] == [0, 0.5, 1]
    assert set(changes(curve[0]).values()) == {0.0}
    for weaker, stronger in pairwise(curve):
        for before, after in zip(weaker.findings, stronger.findings, strict=True):
            assert before.change is not None
            assert after.change is not None
            assert after.change.high is not None
            assert before.change.value <= after.change.high
    moved = [changes(one)["forgetting/neighbours"] for one in curve]
    assert (np.diff(moved) > 0).all()  # without noise: who lies next to whom answers to the smallest step


def test_weights_move_in_proportion_to_the_strength(mild: tuple[Path, Report], minilm: str, tmp_path: Path) -> None:
    """Theta - theta_0 = alpha (theta_1 - theta_0), so its norm is alpha times the whole (Wortsman et al., 2022)."""
    base = resolve(minilm)
    whole = {one.layer: one.relative for one in mild[1].weights}
    for alpha in (0.25, 0.75):
        folder, _ = soften_run(mild[0], alpha, tmp_path / f"{alpha}")
        soft = Source("soft", None, folder, file_hashes(folder), None)
        part = {one.layer: one.relative for one in weight_drift(base, soft, "encoder")}
        for layer in [one for one in whole if one != "pooler"]:
            assert part[layer] == pytest.approx(alpha * whole[layer], rel=1e-3)


def test_the_mild_run_keeps_more_than_the_ruined_one(mild: tuple[Path, Report], ruined: tuple[Path, Report]) -> None:
    found = compare([mild[0], ruined[0]])
    kept = {one.axis: one for one in found.differences if one.axis != "task"}
    assert len(kept) == 7
    assert {one.outcome for one in kept.values()} == {"better"}


@pytest.mark.usefixtures("minilm")
def test_a_head_leaves_every_weight_and_every_feature_as_it_is(minilm: str, tmp_path: Path) -> None:
    report = relay.run(recipe(minilm, {"method": "head"}, 30), "", tmp_path / "run")[0]
    assert report.weights
    assert all(one.frozen and one.relative == 0 for one in report.weights if one.layer != "head")
    assert len(report.features) == 14  # 6 layers and what the embeddings give, on general texts and the task's own
    assert all((one.relative, one.rotated) == (0, 0) for one in report.features)
    assert all(one.cka == 1 and one.cosine == 1 for one in report.features)


def test_a_language_model_is_lost_at_a_hundred_times_the_usual_rate(smollm2: str, tmp_path: Path) -> None:
    """7.7 nats a token more on general text after 8 steps of LoRA (one seed, measured by hand before); here after 6."""
    asked = recipe(
        smollm2,
        {"method": "peft", "learning_rate": 1e-2, "epochs": 1, "batch_size": 8, "config": {"r": 8}},
        12,
        kind="causal",
        gguf_file="SmolLM2-135M-Instruct.Q4_1.gguf",
        task={
            **FEEDBACK,
            "train_limit": 48,
            "test_limit": 12,
            "prompt": "Customer feedback: {text}\nThis feedback is a",
        },
    )
    report = relay.run(asked, "", tmp_path / "run")[0]
    said = words(report)
    for name in ("general_text", "next_token", "divergence"):
        assert said[f"forgetting/{name}"] == "lost"
    assert "retained" not in said.values()
