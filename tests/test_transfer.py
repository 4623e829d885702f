"""Negative transfer: known answers, the controls, and the stages that ask them."""

from __future__ import annotations

import json
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file

from audit.adapt.control import random_twin, shuffle_within, shuffled_twin
from audit.audits.transfer import against_controls, doublings, probe_errors, subsamples
from audit.audits.transfer.lift import lift
from audit.errors import InputError
from audit.finding import Finding
from audit.items.task import TaskData, read_task
from audit.job import Job
from audit.models.load import load_base
from audit.models.source import Source, resolve
from audit.recipe import find_recipe, load_recipe, parse_recipe
from audit.savings import WORDS, Needed, Saving
from audit.stages import Stages
from audit.steps.transfer import fine_tuned, fine_tuned_cell, fine_tuned_cells, transfer
from audit.view import Item, NotMeasurable, fingerprint
from tests import families, tiny

Array = NDArray[np.float64]


def labelled(count: int, classes: str = "ab") -> list[Item]:
    return [Item(id=str(n), cluster=str(n), text=f"text {n}", label=classes[n % len(classes)]) for n in range(count)]


# --- the known threshold of negative transfer -------------------------------------------------------------------------

N0 = 50


def biased_prior(n: int, times: float, rng: np.random.Generator, seeds: int = 4000) -> tuple[Finding, float]:
    """Estimate a mean from n observations, with and without a prior worth ``N0`` that is off by Δ.

    A prior of weight n0 gives MSE_P - MSE_R = (n·σ² + n0²·Δ²)/(n + n0)² - σ²/n, which is above 0 iff
    Δ² > σ²·(2/n0 + 1/n). Test observations come as mirrored pairs, one cluster each: their own noise cancels.
    """
    bias = np.sqrt(times * (2 / N0 + 1 / n))
    seen = rng.standard_normal(seeds) / np.sqrt(n)
    noise = rng.standard_normal(40)
    asked = np.concatenate([noise, -noise])
    items = [Item(id=str(k), cluster=str(k % 40), text="y") for k in range(80)]
    with_prior = (((n * seen + N0 * bias) / (n + N0))[:, None] - asked) ** 2
    without = (seen[:, None] - asked) ** 2
    [found] = lift(with_prior, {"random_init": without}, items, margin=1e-9)
    return found, (n + N0**2 * bias**2) / (n + N0) ** 2 - 1 / n


@pytest.mark.parametrize("n", [10, 40, 160])
@pytest.mark.parametrize(("times", "verdict"), [(0.8, "better"), (1.2, "worse")])
def test_negative_transfer_begins_at_its_threshold(n: int, times: float, verdict: str) -> None:
    rng = np.random.default_rng(n)
    found, expected = zip(*(biased_prior(n, times, rng) for _ in range(30)), strict=True)
    changes = [one.change.value for one in found if one.change is not None]
    assert np.mean(changes) == pytest.approx(expected[0], abs=4 * np.std(changes) / np.sqrt(30))
    assert sum(one.verdict == verdict for one in found) >= 27  # power .9
    assert all(one.verdict in (verdict, "unclear") for one in found)


def wrong(rate: float, seeds: int = 5, items: int = 120, rng: int = 0) -> Array:
    return (np.random.default_rng(rng).random((seeds, items)) < rate).astype(float)


@pytest.mark.parametrize(
    ("base", "control", "word"),
    [(0.05, 0.5, "helps"), (0.5, 0.05, "hurts"), (0.3, 0.3, "no measurable benefit"), (0.3, 0.36, "unclear")],
)
def test_the_words_of_the_verdict(base: float, control: float, word: str) -> None:
    [one] = lift(wrong(base), {"random_init": wrong(control)}, labelled(120), margin=0.05)
    assert WORDS[one.verdict] == word
    assert (one.n_needed is not None) == (word == "unclear")
    assert one.n_needed is None or one.n_needed > 120


def test_swapping_the_sides_negates_the_change() -> None:
    a, b = wrong(0.1), wrong(0.3, rng=1)
    [one], [other] = (lift(x, {"random_init": y}, labelled(120), margin=0.02) for x, y in ((a, b), (b, a)))
    assert one.change is not None
    assert other.change is not None
    assert one.change.value == pytest.approx(-other.change.value)
    assert one.decision.beyond[0] == pytest.approx(-(other.decision.beyond[1] or 0))


def test_several_controls_are_one_family() -> None:
    """Bonferroni: the interval that decides between two controls has one-sided level .025, the 95 % interval."""
    found = lift(wrong(0.1), {name: wrong(0.3, rng=n) for n, name in enumerate("ab")}, labelled(120), margin=0.02)
    for one in found:
        assert one.change is not None
        assert one.decision.beyond == (one.change.low, one.change.high)
        assert one.decision.same != one.decision.beyond


def test_seeds_that_disagree_are_too_few_whatever_is_asked() -> None:
    base, control = np.full((5, 400), 0.2), np.full((5, 400), 0.2)
    control += np.linspace(-0.3, 0.3, 5)[:, None]
    [one] = lift(base, {"random_init": control}, labelled(400), margin=0.02)
    assert one.verdict == "unclear"
    assert one.n_needed is None


def test_three_test_clusters_decide_nothing() -> None:
    [one] = lift(wrong(0.0, items=3), {"random_init": wrong(1.0, items=3)}, labelled(3), margin=0.02)
    assert one.verdict == "unclear"
    assert one.n_needed is not None


def test_what_is_not_paired_is_refused() -> None:
    with pytest.raises(ValueError, match=r"random_init: scores of shape \(4, 120\), those of the base are \(5, 120\)"):
        lift(wrong(0.1), {"random_init": wrong(0.1, seeds=4)}, labelled(120), margin=0.02)


# --- training sets ----------------------------------------------------------------------------------------------------


def test_training_sets_are_nested_whole_and_stratified() -> None:
    items = [
        Item(id=str(n), cluster=str(n // 2), text=f"{n}", label="rare" if n // 2 % 10 == 0 else "common")
        for n in range(400)
    ]
    for seed in range(5):
        sets = subsamples(items, [16, 50, 200, 400], seed)
        assert [len(rows) for rows in sets] == [16, 50, 200, 400]
        for small, large in pairwise(sets):
            assert small.tolist() == large[: len(small)].tolist()
        for rows in sets:
            assert len({items[row].cluster for row in rows}) == len(rows) / 2
        assert [sum(items[row].label == "rare" for row in rows) for rows in sets[1:]] == pytest.approx(
            [5, 20, 40], abs=2
        )
        assert sum(items[row].label == "rare" for row in sets[0]) >= 4
    assert subsamples(items, [16], 1)[0].tolist() == subsamples(items, [16], 1)[0].tolist()
    assert subsamples(items, [16], 1)[0].tolist() != subsamples(items, [16], 2)[0].tolist()


def test_every_class_is_in_the_smallest_set() -> None:
    by_writer = [Item(id=str(n), cluster=f"w{n // 10}", text=f"{n}", label="ab"[n == 77]) for n in range(200)]
    for seed in range(10):
        assert {by_writer[row].label for row in subsamples(by_writer, [16, 200], seed)[0]} == {"a", "b"}


def test_too_little_for_a_curve_is_one_line() -> None:
    with pytest.raises(NotMeasurable, match="all 60 training texts are of one class"):
        doublings(labelled(60, "a"))
    with pytest.raises(NotMeasurable, match="7 training texts are too few for a curve; 8 are the least"):
        doublings(labelled(7))
    assert doublings(labelled(8)) == [4, 8]
    assert doublings(labelled(40)) == [16, 40]
    assert doublings(labelled(60, "abcdefghijkl")) == [24, 60]


def test_a_probe_learns_what_its_features_tell() -> None:
    items, rng = labelled(300), np.random.default_rng(0)
    told = np.array([[item.label == "a"] for item in items]) * 2.0 + rng.standard_normal((300, 8))
    labels = [str(item.label) for item in items]
    sets = subsamples(items[:200], [16, 64, 200], 0)
    errors = [
        probe_errors(x[:200], labels[:200], x[200:], labels[200:], sets) for x in (told, rng.standard_normal((300, 8)))
    ]
    assert errors[0].shape == (3, 100)
    assert errors[0][2].mean() < 0.1
    assert errors[1][2].mean() > 0.3


# --- shuffled weights -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["encoder", "causal"])
def test_a_shuffled_twin_keeps_every_histogram_and_nothing_else(
    kind: Any, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    folder = request.getfixturevalue(f"tiny_{kind}")
    twins = []
    for name, seed in (("a", 7), ("b", 7), ("c", 8)):
        (tmp_path / name).mkdir()
        twins.append(shuffled_twin(resolve(str(folder)), kind, seed, tmp_path / name))
    assert twins[0].sha256 == twins[1].sha256 != twins[2].sha256
    ours, theirs = (load_file(path / "model.safetensors") for path in (folder, tmp_path / "a"))
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        assert (np.sort(tensor, axis=None) == np.sort(theirs[name], axis=None)).all(), name
        if len(np.unique(tensor)) > 100:
            assert (tensor != theirs[name]).mean() > 0.9, name
    texts = [item.model_copy(update={"label": None}) for item in labelled(4)]
    answers = [load_base(one, kind).ask("embedding", texts) for one in (resolve(str(folder)), twins[0])]
    assert np.abs(answers[0] - answers[1]).max() > 0.1


def test_biases_and_norms_are_shuffled_too_and_whole_numbers_are_not() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(4, 300), torch.nn.LayerNorm(300))
    model.register_buffer("positions", torch.arange(300))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter)
    before = {name: one.clone() for name, one in model.state_dict().items()}
    shuffle_within(model, np.random.default_rng(0))
    for name, one in model.state_dict().items():
        assert torch.equal(one.flatten().sort().values, before[name].flatten().sort().values), name
        assert torch.equal(one, before[name]) == (name == "positions"), name


def test_tied_tensors_stay_tied(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    source, folder = families.CAUSAL["gpt2"](tmp_path), tmp_path / "twin"
    folder.mkdir()
    shuffled_twin(resolve(str(source)), "causal", 0, folder)
    models: list[Any] = [AutoModelForCausalLM.from_pretrained(path) for path in (source, folder)]
    base, twin = models
    assert twin.lm_head.weight.data_ptr() == twin.transformer.wte.weight.data_ptr()
    for (name, one), (_, other) in zip(base.named_parameters(), twin.named_parameters(), strict=True):
        assert torch.equal(one.detach().flatten().sort().values, other.detach().flatten().sort().values), name
    assert not torch.equal(base.transformer.wte.weight, twin.transformer.wte.weight)


# --- the stages -------------------------------------------------------------------------------------------------------


def job(base: Path | str, out: Path, kind: Any = "encoder", **asked: Any) -> Job:
    """A job on a small task that asks for transfer only."""
    adapt = (
        {"method": "head"}
        if kind == "encoder"
        else {"method": "peft", "config": {"r": 2}, "epochs": 1, "max_length": 64}
    )
    table = tiny.recipe(
        Path(base), kind=kind, adapt=adapt, audit={"transfer": {"margin": 0.05, "seeds": 3, **asked}}
    )  # fmt: skip
    recipe = parse_recipe({**table, "base": str(base)}, "tiny")
    made = Job(recipe, resolve(str(base)), kind, read_task(recipe.task, {}), out)
    made.stages = Stages(out, "key")
    return made


def result(folder: Path) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((folder / "result.json").read_text())
    return read


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.mark.parametrize("kind", ["encoder", "causal"])
def test_the_stage_writes_findings_curves_and_evidence(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    told: list[tuple[int, int]] = []
    one = job(request.getfixturevalue(f"tiny_{kind}"), tmp_path / "run", kind, target=0.2)
    one.tick = lambda _, done, total: told.append((done, total))
    folder = one.stages.run("stages/transfer", lambda path: transfer(one, path))
    written = result(folder)
    found = [Finding.model_validate(row) for row in written["findings"]]
    assert [finding.id for finding in found] == ["transfer/random_init", "transfer/shuffled_weights"]
    assert all(finding.adjustment.startswith("Bonferroni over 2") for finding in found)
    assert [row["arm"] for row in written["curves"]] == ["base", "random_init", "shuffled_weights"]
    assert [[point["n"] for point in row["points"]] for row in written["curves"]] == [[16, 32, 60]] * 3
    savings = [Saving.model_validate(row) for row in written["savings"]]
    assert [(row.control, row.n) for row in savings] == [
        (control, n) for control in ("random_init", "shuffled_weights") for n in (16, 32, 60)
    ]
    assert [Needed.model_validate(row).arm for row in written["needed"]] == ["base", "random_init", "shuffled_weights"]
    evidence = pd.read_parquet(folder / "evidence.parquet")
    for finding in found:
        rows = evidence[evidence["question"] == finding.id]
        means = rows.groupby(["arm", "seed", "cluster"])["value"].mean().groupby("arm").mean()
        assert finding.base is not None
        assert means["base"] == pytest.approx(finding.adapted.value, abs=1e-12)
        assert means[finding.name] == pytest.approx(finding.base.value, abs=1e-12)
    assert not list(tmp_path.glob("run/**/*.safetensors"))
    assert told[-1][0] == told[-1][1]


def test_the_base_as_its_own_control_is_exactly_itself(
    tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Paired training sets: what is the same on both sides cannot differ, at any size."""

    def same(base: Source, *_: Any) -> Source:
        return base

    def seen(base: Array, controls: dict[str, Array], *rest: Any, **named: Any) -> Any:
        assert (controls["random_init"] == base).all(), "seed by seed"
        assert len(np.unique(base[:, 0], axis=0)) > 1, "each after its own texts"
        return against_controls(base, controls, *rest, **named)

    monkeypatch.setattr(sys.modules["audit.steps.transfer"], "TWINS", {"random_init": same})
    monkeypatch.setattr(sys.modules["audit.steps.transfer"], "against_controls", seen)
    one = job(tiny_encoder, tmp_path / "run", controls=["random_init"])
    written = result(one.stages.run("stages/transfer", lambda path: transfer(one, path)))
    base, control = ([point["error"] for point in row["points"]] for row in written["curves"])
    assert base == control
    assert written["findings"][0]["change"]["value"] == 0
    assert [row["value"] for row in written["savings"]] == [1.0] * 3


def test_saying_everything_twice_proves_nothing_more(tiny_encoder: Path, tmp_path: Path) -> None:
    once, twice = (job(tiny_encoder, tmp_path / name, controls=["random_init"]) for name in "ab")
    data = once.data
    again = {
        side: [*items[::-1], *(item.model_copy(update={"id": f"{item.id}'"}) for item in items)]
        for side, items in (("train", data.train), ("test", data.test))
    }
    twice.data = TaskData(again["train"], again["test"], data.source, fingerprint(again["train"]))
    first, second = (
        result(one.stages.run("stages/transfer", lambda path, one=one: transfer(one, path)))  # type: ignore[misc]
        for one in (once, twice)
    )
    assert first["curves"] == second["curves"]
    assert first["savings"] == second["savings"]


def test_bad_input_is_one_clear_line(tiny_encoder: Path, tmp_path: Path) -> None:
    one = job(tiny_encoder, tmp_path / "sizes", sizes=[16, 4000])
    with pytest.raises(InputError, match=r"sizes: 4000, but there are 60 distinct training texts; leave sizes out"):
        transfer(one, tmp_path)
    one = job(tiny_encoder, tmp_path / "class")
    one.data = TaskData([one.data.train[0]] * 2 + one.data.train[:1], one.data.test, "x", "x")
    transfer(one, tmp_path)
    assert result(tmp_path)["findings"] == []
    assert "Negative transfer was not measured: transfer: all 1 training texts" in result(tmp_path)["limits"][0]
    one = job(tiny_encoder, tmp_path / "few", controls=["random_init"])
    one.data = TaskData(one.data.train, one.data.test[:3], "x", "x")
    transfer(one, tmp_path)
    [finding] = result(tmp_path)["findings"]
    assert finding["verdict"] == "unclear"
    assert {row["texts_high"]["only"] for row in result(tmp_path)["savings"]} == {"at least"}
    one = job(tiny_encoder, tmp_path / "clusters")
    one.data = TaskData(
        [item.model_copy(update={"cluster": str(item.label)}) for item in one.data.train], one.data.test, "x", "x"
    )
    transfer(one, tmp_path)
    assert "60 training texts in too few clusters for a curve" in result(tmp_path)["limits"][0]


def test_a_recipe_that_does_not_ask_is_told_so(tiny_encoder: Path, tmp_path: Path) -> None:
    one = job(tiny_encoder, tmp_path / "run")
    one.recipe = parse_recipe(tiny.recipe(tiny_encoder, audit={}), "tiny")
    transfer(one, tmp_path)
    assert result(tmp_path)["limits"] == ["Negative transfer was not measured: the recipe has no [audit.transfer]."]
    assert fine_tuned_cells(one.recipe, one.data.train) == []


@pytest.mark.parametrize("kind", ["encoder", "causal"])
def test_fine_tuned_curves_are_drawn_cell_by_cell(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = job(
        request.getfixturevalue(f"tiny_{kind}"), tmp_path / "run", kind,
        controls=["shuffled_weights"], sizes=[16, 60], fine_tune=True,
    )  # fmt: skip

    def run() -> dict[str, Any]:
        cells = fine_tuned_cells(one.recipe, one.data.train)
        done = {cell: one.stages.run(f"arms/{cell.name}", fine_tuned_cell(one, cell)) for cell in cells}
        return result(one.stages.run("stages/fine_tuned", lambda path: fine_tuned(one, path, done)))

    written = run()
    cells = fine_tuned_cells(one.recipe, one.data.train)
    assert len(cells) == len({cell.name for cell in cells}) == 2 * 2 * 3
    [found] = [Finding.model_validate(row) for row in written["findings"]]
    assert found.id == "transfer/shuffled_weights/fine_tuned"
    assert found.family == "transfer/fine_tuned"
    assert {(row["arm"], row["how"]) for row in written["curves"]} == {
        ("base", "fine_tuned"), ("shuffled_weights", "fine_tuned"),
    }  # fmt: skip
    assert [row["n"] for row in written["savings"]] == [16, 60]
    assert not list(tmp_path.glob("run/arms/**/*.safetensors"))
    monkeypatch.setattr(sys.modules["audit.steps.transfer"], "adapt", None)  # nothing is trained again
    assert run() == written


@pytest.mark.real_base
def test_minilm_helps_on_the_shipped_feedback(minilm: str, tmp_path: Path) -> None:
    controls = 'audit.transfer.controls=["random_init", "shuffled_weights"]'
    recipe = load_recipe(find_recipe("quickstart"), ["audit.transfer.margin=0.01", "audit.transfer.seeds=3", controls])
    one = Job(recipe, resolve(minilm), "encoder", read_task(recipe.task, {}), tmp_path / "run")
    one.stages = Stages(tmp_path / "run", "key")
    written = result(one.stages.run("stages/transfer", lambda path: transfer(one, path)))
    found = [Finding.model_validate(row) for row in written["findings"]]
    assert [WORDS[finding.verdict] for finding in found] == ["helps", "helps"]
    at_128 = [Saving.model_validate(row) for row in written["savings"] if row["n"] == 128]
    assert all(row.value > 2 for row in at_128)


def test_twins_of_one_seed_are_one_model(tiny_encoder: Path, tmp_path: Path) -> None:
    """The controls are two: their weights differ, their architecture does not."""
    twins = []
    for make in (random_twin, shuffled_twin):
        (tmp_path / make.__name__).mkdir()
        twins.append(make(resolve(str(tiny_encoder)), "encoder", 0, tmp_path / make.__name__))
    tables = [load_file(twin.folder / "model.safetensors") for twin in twins]
    assert {name: one.shape for name, one in tables[0].items()} == {name: one.shape for name, one in tables[1].items()}
    assert twins[0].sha256 != twins[1].sha256


def test_tables_become_one_record(tmp_path: Path) -> None:
    hard = np.random.default_rng(0).random((3, 1, 50))
    sizes = np.array([25, 50, 100])
    errors = [(hard < 3 / (k * sizes[:, None]) ** 0.5).astype(float) for k in (4, 1)]
    found = against_controls(errors[0], {"random_init": errors[1]}, labelled(50), sizes.tolist(), margin=0.02)
    assert [point.error.value for point in found.curves[0].points] == errors[0].mean(axis=(0, 2)).tolist()
    assert found.needed == []
