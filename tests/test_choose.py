"""Choosing a base: who is surely better, on the training split alone; and a race that stops when it should."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from audit import cli
from audit.adapt.control import random_twin, shuffled_twin
from audit.audits.fit import probe_hits
from audit.choose import Chosen, choose, sampled
from audit.choose.candidate import Candidate, find
from audit.choose.racing import Entry, entries, race, split
from audit.choose.ranking import ranked
from audit.errors import InputError
from audit.items import shipped
from audit.models.load import load_base
from audit.models.source import Source, resolve
from audit.recipe import Full, Head, Peft, Recipe, parse_recipe
from audit.view import Item, NotMeasurable
from tests import tiny

Array = NDArray[np.float64]


# --- ranks ------------------------------------------------------------------------------------------------------------


def test_ranks_separate_where_the_intervals_do() -> None:
    rng = np.random.default_rng(0)
    texts = [str(number) for number in range(500)]
    hard = rng.random(500)
    best, second, third, poor = (
        (rng.random(500) * 0.5 + 0.5 * hard < share).astype(float) for share in (0.9, 0.62, 0.6, 0.3)
    )
    ranks = ranked([third, best, poor, second], texts, binary=True)
    assert [(one.place, one.high) for one in ranks] == [(2, 3), (1, 1), (4, 4), (2, 3)]
    assert [one.tied for one in ranks] == [(3,), (), (), (0,)]


def test_equal_bases_are_separated_in_five_per_cent_of_worlds_at_most() -> None:
    """Four bases right on independent 70 % of 80 texts: any rank interval short of [1, 4] is wrong."""
    rng, worlds, wrong = np.random.default_rng(1), 250, 0
    texts = [str(number) for number in range(80)]
    for _ in range(worlds):
        scores = [(rng.random(80) < 0.7).astype(float) for _ in range(4)]
        wrong += any((one.place, one.high) != (1, 4) for one in ranked(scores, texts, binary=True))
    assert wrong / worlds <= 0.05 + 3 * (0.05 * 0.95 / worlds) ** 0.5


def test_one_document_said_often_separates_nobody() -> None:
    good, poor = np.ones(200), np.zeros(200)
    [first, second] = ranked([good, poor], [str(number % 3) for number in range(200)], binary=True)
    assert (first.place, second.place) == (1, 1)
    assert (first.high, second.high) == (2, 2)


# --- the training split alone -----------------------------------------------------------------------------------------


def table(folder: Path, test: pd.DataFrame) -> Path:
    """A task of 80 training rows, whatever its test rows are."""
    rows = pd.DataFrame([json.loads(line) for line in shipped("feedback").read_text(encoding="utf-8").splitlines()])
    train = rows[["text", "label"]].drop_duplicates("text").head(80).assign(split="train")
    path = folder / "task.tsv"
    pd.concat([train, test.assign(split="test")]).to_csv(path, sep="\t", index=False, quoting=3)
    return path


def asking(dataset: Path, base: Path, **changes: Any) -> Recipe:
    task = {"dataset": str(dataset), "labels": ["complaint", "praise"]}
    return parse_recipe({**tiny.recipe(base, task=task, audit={}), **changes}, "tiny")


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second tiny encoder."""
    return tiny.encoder(tmp_path_factory.mktemp("other"), seed=9)


def untimed(chosen: Chosen) -> dict[str, Any]:
    said = chosen.model_dump(mode="json")
    for one in said["bases"]:
        one.pop("seconds")
    return said


def test_the_test_split_is_never_looked_at(tiny_encoder: Path, other: Path, tmp_path: Path) -> None:
    """Poisoned test rows (the training texts with their labels turned round, then gibberish) change nothing."""
    clean = pd.DataFrame({"text": ["Fine, thanks.", "It broke."], "label": ["praise", "complaint"]})
    first = choose(asking(table(tmp_path, clean), tiny_encoder), [str(tiny_encoder), str(other)], tmp_path / "o")
    path = table(tmp_path, clean)
    rows = pd.read_csv(path, sep="\t", quoting=3)
    turned = rows[rows["split"] == "train"].replace({"praise": "complaint", "complaint": "praise"})
    gibberish = pd.DataFrame({"text": [f"zz {number}" for number in range(300)], "label": "praise"})
    for poison in (turned, gibberish):
        path = table(tmp_path, poison[["text", "label"]])
        assert untimed(choose(asking(path, tiny_encoder), [str(tiny_encoder), str(other)], tmp_path / "o")) == untimed(
            first
        )
    assert (first.n_training, first.n_texts, first.n_clusters, first.n_labels) == (80, 80, 80, 2)


def test_rows_said_twice_prove_nothing_more(tiny_encoder: Path, other: Path, tmp_path: Path) -> None:
    test = pd.DataFrame({"text": ["Fine, thanks.", "It broke."], "label": ["praise", "complaint"]})
    names = [str(tiny_encoder), str(other)]
    once = choose(asking(table(tmp_path, test), tiny_encoder), names, tmp_path / "once")
    rows = pd.read_csv(tmp_path / "task.tsv", sep="\t", quoting=3)
    twice = pd.concat([rows, rows[rows["split"] == "train"]]).assign(document=lambda all_rows: all_rows["text"])
    twice.to_csv(tmp_path / "twice.tsv", sep="\t", index=False, quoting=3)
    task = {"dataset": str(tmp_path / "twice.tsv"), "labels": ["complaint", "praise"], "cluster": "document"}
    again = choose(asking(tmp_path / "twice.tsv", tiny_encoder, task=task), names, tmp_path / "twice")
    assert (again.n_training, again.n_texts) == (once.n_training, once.n_texts) == (80, 80)


def test_one_weight_is_one_base(tiny_encoder: Path, tmp_path: Path) -> None:
    recipe = asking(table(tmp_path, pd.DataFrame({"text": ["Fine."], "label": ["praise"]})), tiny_encoder)
    chosen = choose(recipe, [str(tiny_encoder), f"{tiny_encoder}/"], tmp_path / "o")
    assert [one.problem for one in chosen.bases] == ["", f"the same weights as {tiny_encoder}"]


def test_what_is_wrong_from_the_start_is_said_before_anything_is_written(
    tiny_encoder: Path, other: Path, tmp_path: Path
) -> None:
    data = table(tmp_path, pd.DataFrame({"text": ["Fine."], "label": ["praise"]}))
    with pytest.raises(InputError, match=r"nope1: no such folder.*nope2: no such folder"):
        choose(asking(data, tiny_encoder), ["nope1", "nope2"], tmp_path / "o")
    absent = asking(data, tiny_encoder, audit={"gap": {"margin": 0.2, "reference": "nothere.txt"}})
    with pytest.raises(InputError, match=r"nothere.txt"):
        choose(absent, [str(tiny_encoder), str(other)], tmp_path / "o")
    assert not (tmp_path / "o").exists()


def test_advice_that_fails_leaves_the_ranking(tiny_causal: Path, other: Path, tmp_path: Path) -> None:
    """Of two labels one begins the other, which no prompt can tell: no reason to lose what was ranked."""
    path = table(tmp_path, pd.DataFrame({"text": ["Fine."], "label": ["praise"]}))
    rows = pd.read_csv(path, sep="\t", quoting=3).replace({"label": {"praise": "complaint more"}})
    rows.to_csv(path, sep="\t", index=False, quoting=3)
    recipe = asking(path, other, task={"dataset": str(path), "labels": ["complaint", "complaint more"]})
    chosen = choose(recipe, [str(tiny_causal), str(other)], tmp_path / "o")
    assert all(one.accuracy is not None for one in chosen.bases)
    if str(tiny_causal) in chosen.first:
        assert any("begins the label" in limit for limit in chosen.limits)
    assert (tmp_path / "o" / "choose.json").is_file()


def test_a_cluster_that_does_not_fit_is_left_out_and_not_what_follows() -> None:
    items = [Item(id=str(n), cluster="one" if n < 1001 else str(n), text=str(n)) for n in range(1061)]
    assert len(sampled(items, 1000)) == 60


def test_a_base_that_cannot_be_loaded_is_a_row_that_says_why(tiny_encoder: Path, other: Path, tmp_path: Path) -> None:
    torn = tmp_path / "torn"
    torn.mkdir()
    (torn / "config.json").write_text((tiny_encoder / "config.json").read_text())
    (torn / "model.safetensors").write_bytes(b"not weights")
    recipe = asking(table(tmp_path, pd.DataFrame({"text": ["Fine."], "label": ["praise"]})), tiny_encoder)
    chosen = choose(recipe, [str(torn), str(tiny_encoder), str(tmp_path / "absent"), str(other)], tmp_path / "o")
    problems = {one.name: one.problem for one in chosen.bases if one.problem}
    assert set(problems) == {str(torn), str(tmp_path / "absent")}
    assert "not a valid safetensors file" in problems[str(torn)]
    assert "no such folder" in problems[str(tmp_path / "absent")]
    ranks = [one for one in chosen.bases if not one.problem]
    assert {one.name for one in ranks} == {str(tiny_encoder), str(other)}
    assert all(one.place_by_parameters == 1 for one in ranks)  # of one size
    assert sorted(chosen.first) == sorted([str(tiny_encoder), str(other)])  # random weights, 80 texts
    assert "do not tell them apart" in chosen.verdict


def test_the_weights_are_counted(tiny_encoder: Path, tiny_causal: Path) -> None:
    from transformers import AutoModel, AutoModelForCausalLM

    for folder, auto in ((tiny_encoder, AutoModel), (tiny_causal, AutoModelForCausalLM)):
        loaded: Any = auto.from_pretrained(folder)
        one = find(str(folder), asking(folder / "any.tsv", tiny_encoder))
        assert one.parameters == sum(p.numel() for p in loaded.parameters())
        assert one.size == sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    assert one.kind == "causal"


@pytest.mark.parametrize("names", [[], ["a"], ["a", "a"]])
def test_two_bases_are_the_least(tiny_encoder: Path, names: list[str], tmp_path: Path) -> None:
    recipe = asking(tmp_path / "any.tsv", tiny_encoder)
    with pytest.raises(InputError, match="two different bases or more"):
        choose(recipe, names, tmp_path / "o")
    assert not (tmp_path / "o").exists()


def test_a_spent_budget_asks_nobody(tiny_encoder: Path, other: Path, tmp_path: Path) -> None:
    recipe = asking(table(tmp_path, pd.DataFrame({"text": ["Fine."], "label": ["praise"]})), tiny_encoder)
    chosen = choose(recipe, [str(tiny_encoder), str(other)], tmp_path / "o", minutes=1e-9)
    assert [one.problem for one in chosen.bases] == ["not asked: the budget was spent"] * 2
    assert chosen.verdict == "No base could be measured."


def test_texts_are_drawn_by_documents() -> None:
    items = [Item(id=str(row), cluster=str(row // 3), text=str(row), label="a") for row in range(300)]
    some = sampled(items, 100)
    assert len(some) == 99
    assert len({item.cluster for item in some}) == 33
    assert sampled(items, 300) == items


@pytest.mark.real_base
@pytest.mark.shared_data
def test_weights_that_know_nothing_never_rank_above_their_twin(shared_data: Path, minilm: str, tmp_path: Path) -> None:
    """MiniLM, its random-init and its shuffled twin on Amazon sentences; calibration/choose.md has the whole table."""
    lines = (shared_data / "sentences_amazon.tsv").read_text(encoding="utf-8").splitlines()
    rows = dict(line.strip().rsplit("\t", 1) for line in lines if line.strip())
    items = [Item(id=text, cluster=text, text=text.strip(), label=label) for text, label in rows.items()]
    base = resolve(minilm)
    sources = [base]
    for twin in (random_twin, shuffled_twin):
        folder = tmp_path / twin.__name__
        folder.mkdir()
        sources.append(twin(base, "encoder", 3, folder))
    features = [load_base(one, "encoder").ask("layer_means", items).mean(axis=1) for one in sources]
    labels = np.array([item.label for item in items])
    for n, subsamples in ((60, 5), (240, 3), (len(items), 1)):
        for seed in range(subsamples):
            chosen = np.random.default_rng(seed).permutation(len(items))[:n]
            texts = [str(row) for row in chosen]
            scores = [probe_hits(one[chosen], labels[chosen], texts, repeats=2).mean(axis=0) for one in features]
            ranks = ranked(scores, texts, binary=True)
            assert ranks[0].place == 1
            assert all(one.place == 2 for one in ranks[1:]) or n == 60


# --- the race ---------------------------------------------------------------------------------------------------------

TEXTS = [Item(id=str(row), cluster=str(row // 2), text=f"text {row}", label="ab"[row // 2 % 2]) for row in range(800)]


def entry(name: str) -> Entry:
    source = Source(name, None, Path(), {}, None)
    return Entry(Candidate(name, source, "encoder", 1, 1), Head(method="head"))


class Track:
    """A race course: how often each base is right, and how long its training takes on a clock of its own."""

    def __init__(self, rates: dict[str, float], seconds: float = 1.0) -> None:
        self.rates, self.seconds, self.now = rates, seconds, 0.0
        self.asked: list[tuple[str, int]] = []

    def clock(self) -> float:
        return self.now

    def run(self, one: Entry, training: Sequence[Item], validation: Sequence[Item]) -> Array:
        name = one.candidate.name
        assert not {item.cluster for item in training} & {item.cluster for item in validation}
        self.asked.append((name, len(training)))
        self.now += self.seconds * len(training) / 160
        rng = np.random.default_rng(len(name) * 1000 + ord(name[0]))
        hits: Array = (rng.random(len(validation)) < self.rates[name]).astype(np.float64)
        return hits


def test_the_rungs_grow_within_each_other_and_leave_the_validation_texts_out() -> None:
    rungs, validation = split(TEXTS)
    assert [len(rung) for rung in rungs] == [160, 320, 640]
    assert len(validation) == 160
    ids = [{item.id for item in rung} for rung in rungs]
    assert ids[0] < ids[1] < ids[2]
    assert not {item.cluster for item in rungs[2]} & {item.cluster for item in validation}
    for some in (*rungs, validation):
        assert np.mean([item.label == "a" for item in some]) == pytest.approx(0.5, abs=0.02)


def test_who_is_surely_worse_is_dropped_and_who_is_not_runs_on() -> None:
    track = Track({"x": 0.9, "y": 0.88, "poor": 0.5})
    run = race([entry(name) for name in track.rates], TEXTS, track.run, clock=track.clock)
    assert [one for one in track.asked if one[0] == "poor"] == [("poor", 160)]
    assert ("x", 640) in track.asked
    assert ("y", 640) in track.asked
    assert sorted(run.left) == ["x, head", "y, head"]
    assert run.stopped == "all training texts were used"
    assert run.verdict.startswith("Open between")
    assert run.winner is None
    [leg] = [one for one in run.legs if one.base == "poor"]
    assert leg.outcome.startswith("dropped: -")
    assert leg.seconds == 1.0
    assert run.seconds == 3 + 2 * 2 + 2 * 4


def test_a_race_with_one_left_is_won() -> None:
    track = Track({"x": 0.9, "poor": 0.5})
    run = race([entry(name) for name in track.rates], TEXTS, track.run, clock=track.clock)
    assert run.stopped == "one is left"
    assert run.verdict.startswith("Won: x, head")
    assert run.winner is not None
    assert (run.winner.base, run.winner.method) == ("x", "head")
    assert {n for _, n in track.asked} == {160}


def test_the_budget_leaves_the_worse_half_out_and_then_ends_the_race() -> None:
    rates = {"x": 0.9, "y": 0.89, "zz": 0.88, "w": 0.87}
    track = Track(rates)
    run = race([entry(name) for name in rates], TEXTS, track.run, clock=track.clock, deadline=4 + 5)
    assert sum(n == 320 for _, n in track.asked) == 2  # four would take 8 of the 5 seconds left, two take 4
    assert sum("worse half" in one.outcome for one in run.legs) == 2
    assert "the budget has 1 s left" in run.stopped
    assert run.seconds <= 9
    assert len(run.left) == 2
    assert run.verdict.startswith("Open")


def test_who_was_not_run_cannot_have_lost() -> None:
    track = Track({"x": 0.9, "y": 0.4})
    run = race([entry(name) for name in track.rates], TEXTS, track.run, clock=track.clock, deadline=0.5)
    assert [one.outcome for one in run.legs if one.base == "y"] == ["not run: the budget was spent"]
    assert run.verdict.startswith("Open between: x, head (the budget was spent before everybody had run")


def test_equal_entries_are_dropped_in_five_per_cent_of_races_at_most() -> None:
    rng, races, wrong = np.random.default_rng(0), 150, 0
    for _ in range(races):
        run = race([entry(name) for name in "xyz"], TEXTS[:400], lambda *asked: _coins(rng, len(asked[2])))
        wrong += len(run.left) < 3
    assert wrong / races <= 0.05 + 3 * (0.05 * 0.95 / races) ** 0.5


def _coins(rng: np.random.Generator, n: int) -> Array:
    tosses: Array = (rng.random(n) < 0.7).astype(np.float64)
    return tosses


def test_methods_are_the_recipes_own_or_all_that_fit(tiny_encoder: Path, tmp_path: Path) -> None:
    candidates = [entry("x").candidate, Candidate("c", Source("c", None, Path(), {}, None), "causal", 1, 1)]
    recipe = asking(tmp_path / "any.tsv", tiny_encoder)
    own = [one.name for one in entries(candidates, recipe)]
    assert own == ["x, full"]  # a causal base is not adapted by it
    every = [
        (one.candidate.name, type(one.method)) for one in entries(candidates, recipe.model_copy(update={"adapt": None}))
    ]
    assert every == [("x", Head), ("x", Peft), ("x", Full), ("c", Peft)]


def test_too_few_texts_for_a_race() -> None:
    with pytest.raises(NotMeasurable, match="one label only"):
        split(TEXTS[:6])


# --- the command ------------------------------------------------------------------------------------------------------


def called(*arguments: str) -> int:
    with pytest.raises(SystemExit) as done:
        cli.main(arguments)
    return int(done.value.code or 0)


def test_the_command_ranks_races_and_writes(
    tiny_encoder: Path, tiny_causal: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "tiny.toml"
    method = {
        "method": "peft",
        "epochs": 1,
        "batch_size": 8,
        "learning_rate": 1e-3,
        "max_length": 48,
        "config": {"r": 2},
    }
    path.write_text(tiny.toml(tiny.recipe(tiny_encoder, adapt=method, audit={})))
    typed = ("choose", str(path), "--base", str(tiny_encoder), "--base", str(tiny_causal), "--out", str(tmp_path / "o"))
    assert called(*typed, "--race", "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert {one["kind"] for one in said["bases"]} == {"encoder", "causal"}
    assert said["race"]["n_train"] + said["race"]["n_validation"] == 60
    assert {leg["method"] for leg in said["race"]["legs"]} == {"peft"}
    assert {one["base"] for one in said["advice"]} == set(said["first"])
    actions = {thing["action"] for one in said["advice"] for thing in one["advice"]}
    assert actions <= {"no advice", "change the base"}
    written = json.loads((tmp_path / "o" / "choose.json").read_text())
    assert written["bases"] == said["bases"]
    assert called(*typed) == 0
    printed = capsys.readouterr().out
    for piece in ("by size", "Tied for the first place", "60 training texts of 60 documents", "only a race or a run"):
        assert piece in printed


def test_what_was_typed_wrong_is_one_line(
    tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert called("choose", "quickstart", "--base", str(tiny_encoder)) == 2
    assert "two different bases or more" in capsys.readouterr().err
    assert called("choose", "quickstart", "--base", "a", "--base", "b", "--budget", "0") == 2
    assert "give minutes, more than 0" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
