"""Control arms through a whole run: what is trained, what is kept, and what may be said with too few seeds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from audit import relay
from audit.adapt.control import drawn, group_silent, random_twin
from audit.check import check
from audit.errors import InputError
from audit.items import shipped
from audit.items.swap import axis
from audit.models.source import resolve
from audit.publish.card import render
from audit.recipe import Recipe, Task, parse_recipe
from audit.report import Report, load_report
from audit.steps import arms
from audit.view import Item
from tests import tiny


def asking(base: Path, kind: str = "encoder", **bias: Any) -> Recipe:
    """A tiny recipe that asks for origins and nothing else."""
    full = {"method": "full", "epochs": 1, "batch_size": 16, "learning_rate": 1e-3, "max_length": 48}
    lora = {"method": "peft", "epochs": 1, "batch_size": 8, "learning_rate": 1e-3, "max_length": 64, "config": {"r": 2}}
    table = tiny.recipe(
        base,
        kind=kind,
        adapt={**(full if kind == "encoder" else lora), "seeds": [1, 2, 3]},
        audit={
            "bias": {
                "label": "praise", "margins": {"probability": 0.02, "flips": 0.02}, "items": ["task"],
                "swaps": ["gender"], "origin": True, **bias,
            }
        },
    )  # fmt: skip
    table["task"] |= {"train_limit": 24, "test_limit": 16} if kind == "causal" else {}
    return parse_recipe(table, "tiny")


@pytest.fixture(scope="module")
def run(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Recipe, Report]:
    """Run a recipe with control arms."""
    folder, recipe = tmp_path_factory.mktemp("run"), asking(tiny_encoder)
    report, _ = relay.run(recipe, "", folder)
    return folder, recipe, report


def test_every_signed_declared_disparity_is_decomposed(run: tuple[Path, Recipe, Report]) -> None:
    _, _, report = run
    signed = [one for one in report.findings if one.audit == "bias" and one.ideal == 0 and one.group is None]
    assert [one.id for one in signed] == [one.finding for one in report.decompositions]
    assert [one.origin for one in signed] == [one.origin for one in report.decompositions]
    assert all(one.origin is None for one in report.findings if one not in signed)
    [one] = report.decompositions
    parts = one.floor.estimate.value + one.inherited.estimate.value + one.introduced.estimate.value
    assert parts == pytest.approx(one.adapted.estimate.value, abs=1e-12)


def test_every_arm_is_on_record_and_its_weights_are_gone(run: tuple[Path, Recipe, Report]) -> None:
    folder, _, report = run
    arms = {(arm.name, arm.seed): arm.sha256 for arm in report.arms if arm.seed is not None}
    names = ("adapted", "group_silent", "random_init_group_silent", "random_init")
    assert set(arms) == {(name, seed) for name in names for seed in (1, 2, 3)}
    assert len(set(arms.values())) == 12
    assert not list(folder.glob("arms/*/**/*.safetensors"))
    evidence = pd.read_parquet(folder / "evidence" / "origin.parquet")
    asked = evidence.groupby(["arm", "seed"]).size()
    assert len(asked) == 12
    assert asked.nunique() == 1
    assert "text" not in evidence


def test_the_items_that_moved_most_are_listed(run: tuple[Path, Recipe, Report]) -> None:
    folder, _, report = run
    scores = pd.read_parquet(folder / "evidence" / "bias.parquet")
    moved = pd.read_parquet(folder / "moved.parquet")
    name = report.decompositions[0].finding
    sides = scores[scores["question"] == name].pivot_table(index="item_id", columns="arm", values="value")
    expected = (sides["adapted"] - sides["base"]).abs().nlargest(20)
    mine = moved[moved["question"] == name]
    assert mine["change"].abs().tolist() == pytest.approx(expected.tolist())
    assert mine["change"].abs().is_monotonic_decreasing


def test_arms_are_trained_once(run: tuple[Path, Recipe, Report], monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that goes on trains nothing again, and says the same."""
    folder, recipe, report = run
    monkeypatch.setattr("audit.steps.arms.adapt", None)
    again, _ = relay.run(recipe, "", folder)
    assert again.decompositions == report.decompositions
    assert load_report(folder).findings == report.findings


def test_the_card_says_where_it_came_from(run: tuple[Path, Recipe, Report]) -> None:
    _, _, report = run
    card = render(report)
    assert "### Where it came from" in card
    assert f"**{report.decompositions[0].origin}**" in card
    assert "is booked as inherited" in card
    assert "no control arm was trained" not in card
    assert "claims about the recipe, over 3 trainings of every arm" in " ".join(report.limits)
    assert "Origins: every arm was pretrained" not in " ".join(report.limits)


def test_a_report_refuses_an_origin_that_no_decomposition_carries(
    run: tuple[Path, Recipe, Report], tmp_path: Path
) -> None:
    written = json.loads(run[2].model_dump_json(by_alias=True))
    flips = next(one for one in written["findings"] if one["name"].endswith("flips"))
    flips["origin"] = "inherited"
    (tmp_path / "report.json").write_text(json.dumps(written))
    with pytest.raises(InputError, match="is called inherited, its decomposition says nothing"):
        load_report(tmp_path)


def test_a_lexicon_that_names_nobody_in_training_leaves_the_arms_alike(tiny_encoder: Path, tmp_path: Path) -> None:
    """Nothing silenced: the group-silent arm is the adapted one bit for bit, and nothing was introduced."""
    rows = [json.loads(line) for line in shipped("feedback").read_text(encoding="utf-8").splitlines()]
    silent = [row for row in rows if group_silent([_text(row["text"])], [axis("gender")])[1] == 0]
    test = [row for row in rows if row["split"] == "test"]
    train = [row for row in silent if row["split"] == "train"][:60]
    data = pd.DataFrame([*train, *test[:40]])[["text", "label", "split"]]
    data.to_csv(tmp_path / "task.csv", index=False)
    recipe = asking(tiny_encoder)
    task = recipe.task.model_copy(update={"dataset": str(tmp_path / "task.csv")})
    report, _ = relay.run(recipe.model_copy(update={"task": task}), "", tmp_path / "run")
    [one] = report.decompositions
    assert one.introduced.estimate.value == 0
    assert (one.introduced.estimate.low, one.introduced.estimate.high) == (None, None)
    scores = pd.read_parquet(tmp_path / "run" / "evidence" / "origin.parquet").set_index("arm")["value"]
    assert scores["adapted"].tolist() == scores["group_silent"].tolist()
    assert "changed 0 of 60 texts" in " ".join(report.limits)


def _text(text: str) -> Item:
    return Item(id="a", cluster="a", text=text)


def with_columns(base: Path, folder: Path, **groups: Any) -> Recipe:
    """A recipe over labelled texts whose label is their region, and whose texts say so in no word of a lexicon."""
    rows = [json.loads(line) for line in shipped("feedback").read_text(encoding="utf-8").splitlines()]
    chosen = [row for row in rows if row["split"] == "train"][:60] + [row for row in rows if row["split"] == "test"][
        :40
    ]
    table = pd.DataFrame(chosen)[["text", "label", "split"]]
    table["region"] = table["label"].map({"praise": "north", "complaint": "south"})
    table.to_csv(folder / "task.csv", index=False)
    recipe = asking(base, items=[], margins=None, groups={"columns": ["region"], "margin": 0.05, **groups})
    return recipe.model_copy(
        update={"task": recipe.task.model_copy(update={"dataset": str(folder / "task.csv"), "test_limit": None})}
    )


def test_no_origin_of_a_column_that_no_lexicon_speaks_of(tiny_encoder: Path, tmp_path: Path) -> None:
    """A disparity that the data alone bring, in words that nothing silences, is never called inherited."""
    lexicon = tmp_path / "martian.toml"
    lexicon.write_text('groups = ["a", "b"]\n[sources]\nx = "x"\n[[names]]\nsource = "x"\npairs = [["Zzyx", "Qwok"]]\n')
    recipe = with_columns(tiny_encoder, tmp_path, lexicon={"region": "gender"})
    assert recipe.audit.bias is not None
    assert recipe.audit.bias.groups is not None
    groups = recipe.audit.bias.groups.model_copy(update={"lexicon": {"region": str(lexicon)}})
    bias = recipe.audit.bias.model_copy(update={"groups": groups, "swaps": (str(lexicon),)})
    report, _ = relay.run(
        recipe.model_copy(update={"audit": recipe.audit.model_copy(update={"bias": bias})}), "", tmp_path / "run"
    )
    assert report.findings
    assert report.decompositions == []
    assert not (tmp_path / "run" / "arms").exists()
    assert "the recipe asks nothing signed whose groups a lexicon speaks of" in " ".join(report.limits)


def test_a_column_with_its_lexicon_is_decomposed(tiny_encoder: Path, tmp_path: Path) -> None:
    report, _ = relay.run(with_columns(tiny_encoder, tmp_path, lexicon={"region": "gender"}), "", tmp_path / "run")
    assert {one.finding for one in report.decompositions} == {one.id for one in report.findings if one.group is None}
    by_name = {one.finding.rsplit("/", 1)[1]: one for one in report.decompositions}
    rows = pd.read_csv(tmp_path / "task.csv")
    smaller = rows[rows["split"] == "test"]["region"].value_counts().min()
    assert by_name["accuracy"].n_clusters == smaller


def test_a_run_goes_on_in_another_process(run: tuple[Path, Recipe, Report]) -> None:
    """What a run is known by does not depend on how a process orders a set."""
    folder, recipe, _ = run
    script = (
        "import sys, pathlib; from audit import relay; from audit.recipe import Recipe; "
        "recipe = Recipe.model_validate_json(sys.stdin.read()); "
        "report, seconds = relay.run(recipe, '', pathlib.Path(sys.argv[1])); print(len(report.decompositions))"
    )
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", script, str(folder)],
            input=recipe.model_dump_json(), capture_output=True, text=True, env={**os.environ, "PYTHONHASHSEED": seed},
            check=False,
        )  # fmt: skip
        assert done.stdout.strip().endswith("1"), done.stderr[-500:]


def test_a_causal_base_has_arms_too(tiny_causal: Path, tmp_path: Path) -> None:
    report, _ = relay.run(asking(tiny_causal, "causal"), "", tmp_path)
    [one] = report.decompositions
    assert one.seeds == [1, 2, 3]
    assert not one.capable
    assert "too weak a control" in " ".join(report.limits)


def test_a_claim_about_a_recipe_needs_seeds(tiny_encoder: Path) -> None:
    table = tiny.recipe(tiny_encoder)
    table["audit"]["bias"]["origin"] = True
    with pytest.raises(InputError, match=r"\[adapt\] seeds needs 3 for 'full', not 1"):
        parse_recipe(table, "tiny")
    table["adapt"] = {"method": "head", "seeds": [0, 1, 2]}
    with pytest.raises(InputError, match=r"\[adapt\] seeds needs 5 for 'head', not 3"):
        parse_recipe(table, "tiny")


def test_validate_counts_the_trainings(tiny_encoder: Path) -> None:
    assert check(asking(tiny_encoder)).trainings == 12
    assert check(parse_recipe(tiny.recipe(tiny_encoder), "tiny")).trainings == 1


def test_silent_texts_keep_labels_and_order() -> None:
    said = [Item(id=str(n), cluster=str(n), text=text, label="x") for n, text in enumerate(["He left.", "It rained."])]
    silent, changed = group_silent(said, [axis("gender")])
    assert [item.id for item in silent] == ["0", "1"]
    assert [item.label for item in silent] == ["x", "x"]
    assert silent[0].text != "He left."
    assert changed == 1


def test_a_draw_is_that_of_its_seed() -> None:
    said = [Item(id=str(n), cluster=str(n), text="x") for n in range(50)]
    assert drawn(said, 1) == drawn(said, 1)
    assert drawn(said, 1) != drawn(said, 2)
    assert len(drawn(said, 1)) == 50


def test_no_draw_loses_a_class() -> None:
    """Of one in thirty, 36 of 100 plain draws have none: (29/30)^30."""
    said = [Item(id=str(n), cluster=str(n), text="x", label="rare" if n == 4 else "usual") for n in range(30)]
    for seed in range(40):
        draw = drawn(said, seed)
        assert [item.label for item in draw] == [item.label for item in said]
    assert len({item.id for item in drawn(said, 0)}) < 30
    assert any("rare" not in {item.label for item in drawn(said, seed, within_labels=False)} for seed in range(40))


def test_a_random_twin_shares_everything_but_the_weights(tiny_encoder: Path, tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    base = resolve(str(tiny_encoder))
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    twin, same = random_twin(base, "encoder", 7, tmp_path / "a"), random_twin(base, "encoder", 7, tmp_path / "b")
    assert twin.sha256 == same.sha256
    ours, theirs = (load_file(folder / "model.safetensors") for folder in (tiny_encoder, tmp_path / "a"))
    assert {name: one.shape for name, one in ours.items()} == {name: one.shape for name, one in theirs.items()}
    name = "encoder.layer.0.attention.self.query.weight"
    assert (ours[name] != theirs[name]).mean() > 0.99
    assert ours[name].std() == pytest.approx(theirs[name].std(), rel=0.1)


def test_an_arm_is_scored_by_the_metric_of_the_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Six of eight items are of one class, and it is all that the model says: by hand, macro-F1 is (12/14 + 0) / 2.

    Whether a control is worth its name is told by its accuracy, whatever the metric.
    """
    rows = [Item(id=str(n), cluster=str(n), text="x", label="a" if n < 6 else "b") for n in range(8)]
    view = SimpleNamespace(labels=("a", "b"), ask=lambda question, items: np.array([[0.9, 0.1]] * len(items)))
    task = Task(dataset="d", labels=("a", "b"), metric="macro_f1")
    job = SimpleNamespace(
        base=SimpleNamespace(license=None), data=SimpleNamespace(train=rows, test=rows), axes=[],
        recipe=SimpleNamespace(task=task, adapt=SimpleNamespace(seeds=(1, 2, 3)), domain=None),
        plan=SimpleNamespace(general=()), beside=lambda source, base: SimpleNamespace(adapted=view),
    )  # fmt: skip
    asked = SimpleNamespace(id="q", items=rows, adapted=np.zeros(8))  # kept, and never looked at
    told: dict[str, Any] = {}
    monkeypatch.setattr(arms, "_signed", lambda job, view: [asked])
    monkeypatch.setattr(arms, "_family", lambda job, tables: [])
    monkeypatch.setattr(arms, "_unspoken", lambda job: [])
    monkeypatch.setattr(arms, "attribute", lambda family, **said: told.update(said) or [])
    for name in ("model", "stage", "origin"):
        (tmp_path / name).mkdir()
    arms.arm(job, "adapted", 1, tmp_path / "model")(tmp_path / "stage")  # type: ignore[arg-type]
    record = json.loads((tmp_path / "stage" / "arm.json").read_text())
    assert record["task"] == pytest.approx((12 / 14 + 0) / 2)
    arms.origin(job, tmp_path / "origin", {name: [tmp_path / "stage"] for name in arms.ARMS_TRAINED})  # type: ignore[arg-type]
    assert told["accuracy"] == dict.fromkeys(arms.ARMS_TRAINED, 6 / 8)
    assert told["majority"] == 6 / 8
