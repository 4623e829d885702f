"""The relay end to end on tiny models: resumable, reproducible, and honest about what was not measured."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from audit import relay
from audit.adapt import loop
from audit.errors import InputError, Unavailable
from audit.items import shipped
from audit.recipe import load_recipe, parse_recipe
from audit.report import Report, load_report
from audit.stages import Stages, locked
from tests import kill, tiny


def run(table: dict[str, Any], out: Path, **options: Any) -> Report:
    return relay.run(parse_recipe(table, "tiny.toml"), "# tiny", out, **options)[0]


def findings(report: Report) -> list[dict[str, Any]]:
    return [finding.model_dump(mode="json") for finding in report.findings]


@pytest.fixture(scope="module")
def finished(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Report]:
    out = tmp_path_factory.mktemp("run") / "tiny"
    return out, run(tiny.recipe(tiny_encoder), out)


def test_a_run_leaves_report_evidence_card_and_model(finished: tuple[Path, Report]) -> None:
    out, report = finished
    assert load_report(out) == report
    assert {finding.audit for finding in report.findings} == {"bias", "gap", "forgetting"}
    for finding in report.findings:
        assert finding.margin > 0
        assert finding.n_clusters > 0
        moved = finding.change or finding.adapted
        assert moved.low is not None or moved.value == moved.bounds()[0]
    assert report.task is not None
    assert [arm.name for arm in report.arms] == ["majority_class", "adapted"]
    assert sorted(path.name for path in (out / "evidence").iterdir()) == [
        "bias.parquet",
        "forgetting.parquet",
        "task.parquet",
        "training.parquet",
    ]
    card = (out / "card.md").read_text()
    assert "## Inherited bias" in card
    assert "[More Information Needed]" not in card
    from transformers import pipeline

    said = pipeline("text-classification", model=str(out / "models" / "seed-0"))("Kind and thorough.")
    assert said[0]["label"] in ("complaint", "praise")
    flipped = pd.read_parquet(out / "flipped.parquet")
    for flips in report.flips:
        outcomes = flipped[flipped["question"] == flips.finding]["outcome"].value_counts()
        assert (outcomes.get("lost", 0), outcomes.get("gained", 0)) == (flips.lost, flips.gained)
    assert "text" not in flipped


def test_evidence_recomputes_the_findings_and_holds_no_text(finished: tuple[Path, Report]) -> None:
    out, report = finished
    evidence = pd.concat(pd.read_parquet(path) for path in (out / "evidence").iterdir())
    assert list(evidence.columns) == ["item_id", "cluster", "arm", "seed", "question", "value"]
    losses = evidence[evidence["question"] == "training/loss"]
    assert list(losses["item_id"]) == [f"step {step}" for step in range(1, len(losses) + 1)]
    for finding in report.findings:
        if finding.group is not None or finding.audit == "gap":
            continue
        rows = evidence[evidence["question"] == finding.id]
        means = rows.groupby(["arm", "cluster"])["value"].mean().groupby("arm").mean()
        assert means["adapted"] == pytest.approx(finding.adapted.value, abs=1e-12)
        assert finding.base is not None
        assert means["base"] == pytest.approx(finding.base.value, abs=1e-12)


def test_running_again_changes_nothing(finished: tuple[Path, Report], tiny_encoder: Path) -> None:
    out, report = finished
    before = (out / "models" / "seed-0" / "model.safetensors").stat().st_mtime_ns
    written = (out / "report.json").read_bytes()
    assert run(tiny.recipe(tiny_encoder), out) == report
    assert (out / "report.json").read_bytes() == written
    assert (out / "models" / "seed-0" / "model.safetensors").stat().st_mtime_ns == before


def test_a_fresh_run_says_the_same(finished: tuple[Path, Report], tiny_encoder: Path, tmp_path: Path) -> None:
    assert findings(run(tiny.recipe(tiny_encoder), tmp_path / "again")) == findings(finished[1])


def test_another_recipe_does_not_write_into_a_run(finished: tuple[Path, Report], tiny_encoder: Path) -> None:
    out, report = finished
    table = tiny.recipe(tiny_encoder)
    table["audit"]["gap"]["margin"] = 0.2
    with pytest.raises(InputError, match=r"holds a run of another recipe.*--fresh"):
        run(table, out)
    assert load_report(out) == report


@pytest.mark.parametrize("point", kill.POINTS)
def test_a_run_that_was_killed_goes_on_and_says_the_same(
    point: str, finished: tuple[Path, Report], tiny_encoder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "killed"
    table = tiny.recipe(tiny_encoder)
    command = [sys.executable, "-m", "tests.kill", json.dumps(table), str(out), point]
    killed = subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True, text=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not (out / "report.json").exists()
    assert findings(run(table, out)) == findings(finished[1])
    assert not list(out.rglob(".tmp-*")), "an orphan of the killed run"


def test_what_a_run_depends_on_is_not_what_it_was(tiny_encoder: Path, tmp_path: Path) -> None:
    """Another file of general items, or another tokenizer: not a run that goes on."""
    from audit.items import passages

    items = tmp_path / "items.jsonl"
    table = tiny.recipe(tiny_encoder)
    table["audit"] = {"forgetting": {**table["audit"]["forgetting"], "items": str(items)}}
    items.write_text("\n".join(item.model_dump_json() for item in passages()[:64]))
    run(table, tmp_path / "run")
    items.write_text("\n".join(item.model_dump_json() for item in passages()[64:128]))
    with pytest.raises(InputError, match="holds a run of another recipe, base, data or version"):
        run(table, tmp_path / "run")


# --- training ---------------------------------------------------------------------------------------------------------


def feedback(file: Path, labels: tuple[str, str], again: int = 0) -> dict[str, Any]:
    """Write training and test rows under two labels, the first few test rows for training as well; the task's table."""
    read = [json.loads(line) for line in shipped("feedback").read_text().splitlines()]
    train, test = (
        [row for row in read if row["split"] == split][:count] for split, count in (("train", 32), ("test", 24))
    )
    train += [row | {"split": "train"} for row in test[:again]]
    named = dict(zip(("complaint", "praise"), labels, strict=True))
    rows = [{"text": row["text"], "label": named[row["label"]], "split": row["split"]} for row in (*train, *test)]
    file.write_text("\n".join(map(json.dumps, rows)))
    return {"dataset": str(file), "labels": ["complaint", "praise"]}


def test_a_fresh_run_goes_on_with_nothing_that_a_killed_one_left(
    tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "SECONDS", 0.0)
    adapt = {"method": "full", "epochs": 2, "learning_rate": 1e-3, "max_length": 32}
    task = feedback(tmp_path / "rows.jsonl", ("complaint", "praise"))
    table = tiny.recipe(tiny_encoder, task=task, adapt=adapt, audit={})

    class Killed(BaseException):
        pass

    def kill_it(stage: str, done: int, total: int) -> None:
        if stage == "seed-0" and done == 3:
            raise Killed

    with pytest.raises(Killed):
        run(table, tmp_path / "out", tick=kill_it)
    assert list((tmp_path / "out" / "checkpoints").iterdir())
    feedback(tmp_path / "rows.jsonl", ("praise", "complaint"))
    again, clean = run(table, tmp_path / "out", fresh=True), run(table, tmp_path / "clean")
    assert again.adapted.files == clean.adapted.files


def test_starting_over_leaves_no_checkpoints(tmp_path: Path) -> None:
    (tmp_path / "checkpoints" / "seed-0").mkdir(parents=True)
    Stages(tmp_path, "key")
    assert (tmp_path / "checkpoints").is_dir()
    Stages(tmp_path, "key", fresh=True)
    assert not (tmp_path / "checkpoints").exists()


def test_what_protections_read_is_part_of_a_run_and_what_training_left_to_say_is_reported(
    bert: Path, tmp_path: Path
) -> None:
    items = tmp_path / "items.txt"
    said = [f"A {word} river ran on and on, {n} miles." for n in range(12) for word in ("slow", "loud")]
    items.write_text("\n".join(said))
    protect = {"ewc": 0.1, "stop": 1e-9, "items": str(items), "limit": 22}
    adapt = {
        "method": "full",
        "epochs": 2,
        "learning_rate": 1e-3,
        "max_length": 32,
        "seeds": [0, 1],
        "protect": protect,
    }
    domain = {"epochs": 1, "max_length": 32}
    table = tiny.recipe(bert, task=feedback(tmp_path / "rows.jsonl", ("complaint", "praise"), again=2),
                        adapt=adapt, domain=domain, audit={})  # fmt: skip
    report = run(table, tmp_path / "run")
    for seed in (0, 1):
        found = [limit for limit in report.limits if limit.startswith(f"Training (seed {seed}): epoch 1 went too far")]
        assert len(found) == 1
        assert "nothing was learnt" in found[0]
    assert [one["seed"] for one in report.provenance.training] == [0, 1]
    assert {len(one["fisher_sha256"]) for one in report.provenance.training} == {64}
    task, general, texts = report.provenance.data
    assert (task["train"], task["test"]) == (32, 24)  # the two that are asked as well are dropped
    assert task["trained"] != task["fingerprint"]
    assert (general["name"], general["train"]) == (f"[adapt.protect] {items}", 22)
    assert (texts["name"], texts["train"]) == ("[domain] task", 29)  # a tenth is held out
    assert len({one["trained"] for one in report.provenance.data}) == 3
    items.write_text("\n".join(reversed([f"{text} Or not." for text in said])))
    with pytest.raises(InputError, match="holds a run of another recipe, base, data or version"):
        run(table, tmp_path / "run")


def test_what_would_fail_later_is_refused_before_anything_is_written(tiny_encoder: Path, tmp_path: Path) -> None:
    table = tiny.recipe(tiny_encoder)
    table["audit"]["forgetting"]["items"] = str(tmp_path / "missing.jsonl")
    with pytest.raises(InputError, match=r"missing\.jsonl: no such file of items"):
        run(table, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_probed_base_sets_a_floor_by_its_refits(finished: tuple[Path, Report]) -> None:
    report = finished[1]
    floors = {row["finding"]: row["floor"] for row in report.floor}
    for finding in report.findings:
        assert finding.floor == floors.get(finding.id)  # of forgetting none: this recipe asks no null copies
        if finding.audit == "bias":
            assert finding.floor is not None
            assert finding.change is not None
            if abs(finding.change.value) <= finding.floor:
                assert finding.verdict in ("unclear", "same")


def test_two_runs_do_not_share_a_folder(tiny_encoder: Path, tmp_path: Path) -> None:
    with locked(tmp_path / "run"), pytest.raises(Unavailable, match="another run works in this folder"):
        run(tiny.recipe(tiny_encoder), tmp_path / "run")


def test_a_disk_that_fills_up_leaves_nothing_half_written(
    tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from audit import stages

    def full(_: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(stages, "sync", full)
    with pytest.raises(OSError, match="No space left"):
        run(tiny.recipe(tiny_encoder), tmp_path / "full")
    assert not (tmp_path / "full" / "report.json").exists()
    assert not list((tmp_path / "full").rglob(".tmp-*"))
    assert not (tmp_path / "full" / "stages" / "gap").exists()


@pytest.mark.parametrize("method", ["head", "peft"])
def test_every_method_comes_to_a_report(method: str, tiny_encoder: Path, tmp_path: Path) -> None:
    report = run(tiny.recipe(tiny_encoder, adapt={"method": method, "seeds": [0, 1]}), tmp_path / method)
    assert [arm.seed for arm in report.arms] == [None, 0, 1]
    forgotten = [finding for finding in report.findings if finding.audit == "forgetting"]
    if method == "head":
        assert all(finding.change is not None and finding.change.value == 0 for finding in forgotten)


def test_a_causal_base_comes_to_a_report(tiny_causal: Path, tmp_path: Path) -> None:
    table = tiny.recipe(tiny_causal, kind="causal", adapt={"method": "peft", "max_length": 64, "config": {"r": 2}})
    report = run(table, tmp_path / "causal")
    forgotten = {one.name: one for one in report.findings if one.audit == "forgetting" and one.group is None}
    assert list(forgotten) == ["next_token", "general_text", "divergence", "multiple_choice"]  # no chat template
    assert forgotten["general_text"].unit == "nats per byte"
    assert any("Forgetting in the end of a turn was not measured" in limit for limit in report.limits)
    assert {one.finding for one in report.flips} == {"forgetting/multiple_choice"}
    assert report.task is not None
    assert "own classification heads" not in (tmp_path / "causal" / "card.md").read_text()


def test_what_is_not_asked_is_said_to_be_not_measured(tiny_encoder: Path, tmp_path: Path) -> None:
    report = run(tiny.recipe(tiny_encoder, audit={}), tmp_path / "none")
    assert report.findings == []
    assert sum("was not measured: the recipe has no" in limit for limit in report.limits) == 4
    card = (tmp_path / "none" / "card.md").read_text()
    for title in ("Inherited bias", "Domain gap", "Forgetting", "Negative transfer"):
        assert f"### {title}\n\nNot measured.\n" in card


# --- auditing what exists ---------------------------------------------------------------------------------------------


def audited(base: Path, adapted: Path, out: Path, **fields: Any) -> Report:
    narrow = ["audit.forgetting={limit=60, floor=false}"]
    recipe = load_recipe(relay_defaults(), ["audit.bias.pairs=2", "task.train_limit=60", *narrow])
    return relay.audit_model(recipe, "", str(base), str(adapted), out, **fields)[0]


def relay_defaults() -> Path:
    from audit.recipe import find_recipe

    return find_recipe("audit_defaults")


@pytest.mark.parametrize("kind", ["encoder", "causal"])
def test_a_base_audited_against_itself_differs_by_exactly_nothing(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    base = request.getfixturevalue(f"tiny_{kind}")
    report = audited(base, base, tmp_path / "self")
    changes = [finding.change for finding in report.findings if finding.change is not None]
    assert changes
    assert all(change.value == 0.0 for change in changes)
    assert "worse" not in {finding.verdict for finding in report.findings}
    assert report.task is not None
    assert report.task.change is not None
    assert report.task.change.value == 0.0


def test_a_trained_checkpoint_is_asked_through_its_own_head(
    finished: tuple[Path, Report], tiny_encoder: Path, tmp_path: Path
) -> None:
    model = finished[0] / "models" / "seed-0"
    report = audited(tiny_encoder, model, tmp_path / "audit")
    note = next(finding.note for finding in report.findings if finding.audit == "bias")
    assert "The base has no head of its own" in note
    assert {row["field"] for row in report.preflight} >= {"architectures", "id2label"}


def test_own_items_replace_the_shipped_ones(finished: tuple[Path, Report], tiny_encoder: Path, tmp_path: Path) -> None:
    from audit.items import passages

    mine = list(passages()[:36])
    report = audited(tiny_encoder, finished[0] / "models" / "seed-0", tmp_path / "mine", general=mine)
    asked = {one.name: one.n_items for one in report.findings if one.audit == "forgetting" and one.group is None}
    assert asked["general/refit_probe"] == 36  # items that were given have no other name
    assert asked["neighbours"] == 36


def test_rows_that_are_also_asked_teach_no_probe_of_an_audit(tiny_encoder: Path, tmp_path: Path) -> None:
    task = feedback(tmp_path / "rows.jsonl", ("complaint", "praise"), again=3)
    recipe = parse_recipe(tiny.recipe(tiny_encoder, task=task, audit={}), "tiny.toml")
    report = relay.audit_model(recipe, "", str(tiny_encoder), str(tiny_encoder), tmp_path / "out")[0]
    (record,) = report.provenance.overlap
    assert (record["exact"], record["dropped"]) == (3, 3)
    assert report.provenance.data[0]["train"] == 32
    assert any(
        limit.startswith("Overlap: 3 rows of [task] dataset (to which probes are fitted)") for limit in report.limits
    )
    assert any(limit.startswith("What the adapted model was trained on is not known") for limit in report.limits)


# --- the report -------------------------------------------------------------------------------------------------------


def tampered(finished: tuple[Path, Report], tmp_path: Path, change: Any) -> Path:
    data = json.loads((finished[0] / "report.json").read_text())
    change(data)
    path = tmp_path / "report.json"
    path.write_text(json.dumps(data))
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data.update(schema=2), "schema 2 is not known here, only 1; a newer transfer-audit wrote it"),
        (lambda data: data.pop("schema"), "schema None is not known here"),
        (lambda data: data["findings"][0].update(verdict="harmless"), "says 'harmless', but its numbers say"),
        (lambda data: data["findings"][0].update(margin=-1), "a margin is above 0"),
        (lambda data: data["findings"].append(data["findings"][0]), "stands in it twice"),
        (lambda data: data.update(verdict="good"), "Extra inputs are not permitted"),
        (lambda data: data.pop("base"), "base: Field required"),
    ],
)
def test_a_report_that_was_tampered_with_is_refused(
    change: Any, message: str, finished: tuple[Path, Report], tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=message):
        load_report(tampered(finished, tmp_path, change))


def test_a_report_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such report"):
        load_report(tmp_path)
    (tmp_path / "report.json").write_text("{")
    with pytest.raises(InputError, match="not a report"):
        load_report(tmp_path)
