"""Verification: an untouched run agrees; every number, verdict, row, byte and digit that is changed is named."""

from __future__ import annotations

import copy
import hashlib
import json
import shutil
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from audit import relay
from audit.errors import InputError
from audit.recipe import parse_recipe
from audit.report import load_report
from audit.verify import Verification, verified
from audit.verify.evidence import Table, read_tables
from audit.verify.findings import check_families
from audit.verify.flips import check_flips
from audit.verify.place import Place
from audit.verify.same import plain
from audit.verify.verification import _named, _recompute, unlike_read
from tests import tiny

Leaf = tuple[str | int, ...]


@pytest.fixture(scope="module")
def run(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run with every audit, and a point of the strength curve."""
    folder = tmp_path_factory.mktemp("verify") / "run"
    table = tiny.recipe(tiny_encoder)
    table["audit"]["bias"] |= {"items": ["task", "templates"], "swaps": ["gender"], "pairs": 1}
    table["audit"]["forgetting"] |= {"labelled": ["shipped:tenses"], "strengths": [0.5]}
    table["audit"]["transfer"] = {"margin": 0.05, "seeds": 3, "target": 0.4}
    text = tiny.toml(table)
    relay.run(parse_recipe(tomllib.loads(text), "tiny"), text, folder, command=["transfer-audit", "run", "tiny.toml"])
    return folder


@pytest.fixture
def mine(run: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copytree(run, tmp_path / "run", ignore=shutil.ignore_patterns("checkpoints", "strengths")))


def numbers(one: Any, path: Leaf = ()) -> Iterator[tuple[Leaf, float]]:
    if isinstance(one, dict | list):
        for key, value in one.items() if isinstance(one, dict) else enumerate(one):
            yield from numbers(value, (*path, key))
    elif isinstance(one, int | float) and not isinstance(one, bool):
        yield path, one


def changed(data: Any, path: Leaf) -> Any:
    """Return a copy in which one number is another."""
    made = copy.deepcopy(data)
    inner = made
    for key in path[:-1]:
        inner = inner[key]
    value = inner[path[-1]]
    inner[path[-1]] = value + 1 if isinstance(value, int) else value * (1 + 1e-6) if value else 1e-6
    return made


def rewrite(path: Path, change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    change(pd.read_parquet(path)).to_parquet(path, index=False)


def recomputed(data: Any, tables: dict[str, Table], folder: Path) -> list[str]:
    """What the evidence alone says of a report: nothing of the run's stages, no hash."""
    path = folder / "report.json"
    path.write_text(json.dumps(data))
    try:
        report = load_report(path)
    except InputError as reason:
        return [_named(str(reason), path)]
    found = Verification()
    found.differ(unlike_read(data, plain(report)))
    _recompute(found, report, tables)
    return found.disagreements


# --- a run ------------------------------------------------------------------------------------------------------------


def test_an_untouched_run_agrees_and_says_what_it_could_not_check(run: Path) -> None:
    found = verified(run)
    assert found.disagreements == []
    report = load_report(run)
    assert found.counts["findings"] >= len([one for one in report.findings if one.audit != "gap"])
    left = {line.split(":")[0] for line in found.unchecked}
    assert {"gap/representation", "gap/tokens"} <= left
    recomputable = {one.id for one in report.findings if one.audit != "gap"}
    assert not recomputable & left
    assert not any(line.startswith(("task", "flips", "weights", "base", "recipe", "strength")) for line in left)


NAMES = {"findings": "id", "flips": "finding", "arms": "name", "curves": "arm", "savings": "control", "needed": "arm"}


def parts(data: Any) -> Iterator[tuple[str, Any]]:
    """Split a report: what is recomputed together is one report of its own, which is faster to recompute."""
    bare = data | {key: [] for key in (*NAMES, "scales", "weights", "features", "curve", "decompositions")}
    bare |= {"task": None, "broken": []}
    families = {one["family"]: one["audit"] for one in data["findings"] if one["audit"] in ("bias", "forgetting")}
    for family in families:
        yield "findings", bare | {"findings": [one for one in data["findings"] if one["family"] == family]}
    probes = {"findings": [one for one in data["findings"] if one["audit"] == "forgetting"], "flips": data["flips"]}
    yield "flips", bare | probes
    yield "task", bare | {"task": data["task"], "arms": data["arms"]}
    yield "arms", bare | {"task": data["task"], "arms": data["arms"]}
    lifts = {"findings": [one for one in data["findings"] if one["audit"] == "transfer"]}
    lifts |= {key: data[key] for key in ("curves", "savings", "needed")}
    for key in ("findings", "curves", "savings", "needed"):
        yield key, bare | lifts


def test_every_number_that_is_changed_is_found_and_named(run: Path, tmp_path: Path, capsys: Any) -> None:
    """One at a time: of findings (but the gap's, of embeddings), task, arms, flips, curves, savings and prices."""
    whole = json.loads((run / "report.json").read_text())
    tables, _ = read_tables(run / "evidence")
    del tables["strength"]
    tried, missed = 0, []
    for key, data in parts(whole):
        assert recomputed(data, tables, tmp_path) == []
        for path, _ in numbers({key: data[key]}):
            one = data[key] if key == "task" else data[key][path[1]]
            if path[-1] == "seed":
                continue
            named = "task" if key == "task" else str(one[NAMES[key]])
            tried += 1
            if not any(named in line for line in recomputed(changed(data, path), tables, tmp_path)):
                missed.append((path, one))
    with capsys.disabled():
        print(f"\n{tried} numbers mutated, {tried - len(missed)} found")  # noqa: T201 (what the test is to show)
    assert missed == []
    assert tried > 300


def test_numbers_that_no_evidence_carries_are_found_beside_the_run_that_made_them(mine: Path) -> None:
    data = json.loads((mine / "report.json").read_text())
    wanted: dict[Leaf, str] = {
        ("weights", 0, "tensors"): "weights",
        ("features", 0, "cosine"): "features",
        ("scales", 0, "measured", "value"): "representation",
        ("curve", 1, "task", "value"): "strength 0.5",
    }
    for path, named in wanted.items():
        (mine / "report.json").write_text(json.dumps(changed(data, path)))
        assert any(named in line for line in verified(mine).disagreements), path


def test_a_verdict_that_its_numbers_deny_is_a_disagreement_not_an_error(mine: Path) -> None:
    data = json.loads((mine / "report.json").read_text())
    one = next(one for one in data["findings"] if one["verdict"] != "better")
    one["verdict"] = "better"
    (mine / "report.json").write_text(json.dumps(data))
    found = verified(mine)
    assert any(one["id"] in line and "better" in line for line in found.disagreements)
    (mine / "report.json").write_text("{")
    assert "not a report" in verified(mine).disagreements[0]
    (mine / "report.json").unlink()
    with pytest.raises(InputError, match=r"no report\.json"):
        verified(mine)


def test_a_verdict_changed_with_all_its_numbers_is_found_by_the_evidence(run: Path, tmp_path: Path) -> None:
    data = json.loads((run / "report.json").read_text())
    tables, _ = read_tables(run / "evidence")
    one = next(one for one in data["findings"] if one["audit"] == "forgetting")
    one["margin"] = 10.0
    del one["verdict"]  # which follows from it
    lines = recomputed(data, tables, tmp_path)
    assert any(f"{one['id']}: margin is 10.0, the recipe declares" in line for line in lines)


@pytest.mark.parametrize("stage", ["bias", "forgetting", "task", "transfer", "strength"])
def test_every_question_whose_rows_are_touched_is_named(run: Path, tmp_path: Path, stage: str) -> None:
    """A value, a row more, a row less, two rows swapped, another cluster; by what the evidence itself gives."""
    data = json.loads((run / "report.json").read_text())
    data["curve"] = data["curve"][1:2] if stage == "strength" else []
    audits = ("bias", "forgetting", "transfer")
    kept = [one for one in data["findings"] if one["audit"] == stage or stage not in audits]
    data |= {"scales": [], "findings": kept if stage in audits else []}
    data |= {"flips": data["flips"] if stage == "forgetting" else []}
    data |= {key: data[key] if stage == "transfer" else [] for key in ("curves", "savings", "needed")}
    whole = pd.read_parquet(run / "evidence" / f"{stage}.parquet")
    if stage == "strength":
        whole = whole[whole["arm"] == "strength 0.5"].reset_index(drop=True)
    asked = [name for name in whole["question"].unique() if name != "clusters"]

    def value(rows: pd.DataFrame) -> pd.DataFrame:
        first = rows.index[0]
        return rows.assign(value=rows["value"].where(rows.index != first, 1 - rows["value"]))

    def swapped(rows: pd.DataFrame) -> pd.DataFrame:
        values = rows["value"].to_numpy().copy()
        other = int(np.argmax(values != values[0]))
        values[[0, other]] = values[[other, 0]]
        return rows.assign(value=values)

    for name in asked:
        mine = whole[whole["question"] == name]
        mine = mine[(mine["arm"] == mine["arm"].iloc[-1]) & (mine["seed"] == mine["seed"].iloc[-1])]
        ways: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {"value": value, "removed": lambda one: one.iloc[1:]}
        if name == asked[0]:
            ways["added"] = lambda one: pd.concat([one, one.iloc[:1]])
            ways["cluster"] = lambda one: one.assign(cluster=[one["cluster"].iloc[-1], *one["cluster"].iloc[1:]])
            ways["id"] = lambda one: one.assign(item_id=["0" * 16, *one["item_id"].iloc[1:]])
            if mine["value"].nunique() > 1:
                ways["swapped"] = swapped
        for way, change in ways.items():
            folder = tmp_path / stage
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(run / "evidence", folder)
            parts = [whole.loc[: mine.index[0] - 1], change(mine), whole.loc[mine.index[-1] + 1 :]]
            pd.concat(parts, ignore_index=True).to_parquet(folder / f"{stage}.parquet", index=False)
            tables, wrong = read_tables(folder)
            lines = [*wrong, *recomputed(data, tables, tmp_path)]
            about = name.removeprefix("members/").removeprefix("options/").split("/answers")[0].split("curve/")[-1]
            assert any(about in line or about.split("/")[0] in line for line in lines), (name, way)


def test_an_id_that_both_sides_share_is_found_by_what_the_stage_left(mine: Path) -> None:
    path = mine / "evidence" / "bias.parquet"
    rewrite(
        path, lambda rows: rows.assign(item_id=rows["item_id"].where(rows["item_id"] != rows["item_id"][0], "0" * 16))
    )
    found = verified(mine)
    assert any(line.startswith("evidence/bias.parquet: bias/") for line in found.disagreements)


@pytest.mark.parametrize("name", ["moved", "flipped"])
def test_a_list_that_is_not_what_moved_is_found(mine: Path, name: str) -> None:
    path = mine / f"{name}.parquet"
    rewrite(path, lambda rows: rows.iloc[1:])
    assert any(line.startswith(f"{name}.parquet") for line in verified(mine).disagreements)


def test_a_weight_byte_and_a_file_that_was_never_audited_are_named(mine: Path) -> None:
    model = mine / "models" / "seed-0"
    content = bytearray((model / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (model / "model.safetensors").write_bytes(content)
    (model / "chat_template.jinja").write_text("{{ messages }}")
    lines = verified(mine).disagreements
    assert any("model.safetensors" in line and hashlib.sha256(content).hexdigest() in line for line in lines)
    assert any("chat_template.jinja" in line and "no file that was audited" in line for line in lines)


def test_a_byte_of_the_base_is_named(run: Path, tmp_path: Path) -> None:
    data = json.loads((run / "report.json").read_text())
    base = Path(shutil.copytree(data["base"]["id"], tmp_path / "base"))
    (base / "config.json").write_text((base / "config.json").read_text() + " ")
    data["base"]["id"] = str(base)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "report.json").write_text(json.dumps(data))
    assert any(line.startswith("base: config.json") for line in verified(tmp_path / "run").disagreements)


def test_a_digit_of_the_card_is_named(mine: Path) -> None:
    card = mine / "card.md"
    text = card.read_text()
    report = load_report(mine)
    assert report.task is not None
    said = f"{report.task.adapted.value:.3f}"
    assert said in text
    card.write_text(text.replace(said, "0.123", 1))
    assert any(line.startswith("card.md: ") and "0.123" in line for line in verified(mine).disagreements)


def test_a_recipe_that_says_something_else_is_named(mine: Path) -> None:
    data = json.loads((mine / "report.json").read_text())
    data["recipe"]["text"] = data["recipe"]["text"].replace("learning_rate = 0.001", "learning_rate = 0.01")
    (mine / "report.json").write_text(json.dumps(data))
    assert any(line.startswith("recipe: fingerprint is") for line in verified(mine).disagreements)


# --- what was published -----------------------------------------------------------------------------------------------


@pytest.fixture
def dataset(run: Path, tmp_path: Path) -> Path:
    """A folder as the data set repository has it."""
    folder = tmp_path / "dataset"
    shutil.copytree(run / "evidence", folder / "evidence")
    for name in ("report.json", "moved.parquet", "flipped.parquet"):
        shutil.copy(run / name, folder / name)
    files = [path for path in folder.rglob("*") if path.is_file()]
    digests = {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    base = json.loads((run / "report.json").read_text())["base"]
    manifest = {"schema": 1, "files": digests, "base": base, "report": digests["report.json"], "rewritten": {}}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def test_what_was_published_agrees_and_its_bytes_are_the_manifest_s(dataset: Path) -> None:
    found = verified(dataset)
    assert found.disagreements == []
    assert any(line.startswith("weights: not checked") for line in found.unchecked)
    rewrite(dataset / "evidence" / "bias.parquet", lambda rows: rows.assign(seed=rows["seed"] + 0))
    (dataset / "evidence" / "bias.parquet").open("ab").close()
    data = json.loads((dataset / "report.json").read_text())
    (dataset / "report.json").write_text(json.dumps(data))  # the same in other bytes
    lines = verified(dataset).disagreements
    assert any(line.startswith("manifest.json: the report's sha256") for line in lines)
    assert any(line.startswith("report.json: its sha256") for line in lines)


def test_evidence_that_is_not_published_is_not_passed(dataset: Path) -> None:
    shutil.rmtree(dataset / "evidence")
    found = verified(dataset)
    left = [line for line in found.unchecked if "there is no evidence of it" in line]
    report = load_report(dataset)
    for one in report.findings:
        assert any(one.id in line for line in found.unchecked)
    assert len(left) >= len([one for one in report.findings if one.audit in ("bias", "forgetting", "transfer")])


def test_a_folder_without_a_report_is_bad_input(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="give a run folder, or owner/name"):
        Place.of(tmp_path)


# --- single statistics, against the audits themselves -----------------------------------------------------------------


def test_the_comparison_is_chosen_by_what_is_measured(run: Path) -> None:
    """A finding that names another method than its scores have is denied, not followed."""
    report = load_report(run)
    one = next(one for one in report.findings if one.method == "tango score")
    tables, _ = read_tables(run / "evidence")
    lie = one.model_copy(update={"method": "student-t over cluster means"})
    family = [lie if other.id == one.id else other for other in report.findings if other.family == one.family]
    found = Verification()
    check_families(found, family, tables[one.audit], {})
    assert any(line.startswith(f"{one.id}: method is 'student-t") for line in found.disagreements)


def test_lacking_scores_are_said(run: Path) -> None:
    report = load_report(run)
    found = Verification()
    check_families(found, report.findings[:1], Table("evidence/bias.parquet", pd.DataFrame(columns=["question"])), {})
    check_flips(found, report.flips, None)
    assert found.disagreements == []
    assert all("not recomputable" in line for line in found.unchecked)
