"""A published model whose base moves: it is seen, audited again, and a webhook does so by itself."""

from __future__ import annotations

import json
import shlex
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import HfApi

from audit import relay
from audit.cli import remote
from audit.errors import InputError, Unavailable
from audit.publish.posts.discussion import marker_in
from audit.publish.posts.watch import looked_after, recipe_again
from audit.publish.posts.webhook import WatchPlan, planned_watch, watched
from audit.recipe import load_recipe
from audit.report import RecipeRecord, Report
from tests import tiny
from tests.hub import Hub
from tests.test_post import report

NAME, BASE = "tester/m", "crew/base"
TEXT = """
name = "small"
base = "crew/base"
kind = "encoder"

[task]
dataset = "shipped:feedback"
labels = ["a", "b"]
"""
HOW: dict[str, Any] = {"flavor": "cpu-upgrade", "timeout": "1h"}


def recorded(tmp_path: Path, text: str = TEXT, overrides: tuple[str, ...] = ()) -> RecipeRecord:
    """A recipe as a report keeps it."""
    (tmp_path / "small.toml").write_text(text)
    recipe = load_recipe(tmp_path / "small.toml", overrides)
    return RecipeRecord(name="small", fingerprint=recipe.fingerprint, text=text)


def published(hub: Hub, one: Report, **changes: Any) -> None:
    """Put the audit of a model of ours on the Hub, with its base where it was audited."""
    if not hub.has(BASE):
        hub.add(BASE, {"model.safetensors": b"1", "config.json": "{}", "README.md": "# Base\n"})
    base = one.base.model_copy(update={"revision": hub.repo(BASE).at().sha, **changes.pop("base", {})})
    adapted = one.adapted.model_copy(update={"id": NAME, **changes.pop("adapted", {})})
    said = one.model_copy(update={"base": base, "adapted": adapted, **changes})
    hub.add(f"{NAME}-audit", {"report.json": said.model_dump_json(by_alias=True)}, kind="dataset")


@pytest.fixture
def page(hub: Hub, tmp_path: Path) -> Hub:
    """A Hub with a published audit whose base has moved since."""
    published(hub, report(), recipe=recorded(tmp_path))
    hub.commit(BASE, {"model.safetensors": b"2"})
    return hub


def plan() -> WatchPlan:
    return planned_watch(looked_after(NAME), **HOW)


def writes(hub: Hub) -> list[str]:
    return [f"{one.method} {one.path}" for one in hub.requests if one.method not in ("GET", "HEAD")]


# --- has it moved -----------------------------------------------------------------------------------------------------


def test_a_base_that_moved_is_seen_and_one_that_did_not(hub: Hub, tmp_path: Path) -> None:
    published(hub, report(), recipe=recorded(tmp_path))
    start = hub.repo(BASE).at().sha
    assert looked_after(NAME).settled == f"{BASE} is where it was audited, at {start}"
    papers = hub.commit(BASE, {"README.md": "# Base, with thanks\n", "picture.png": b"\0"})
    found = looked_after(NAME)
    assert (found.newest, found.settled) == (
        papers,
        f"{BASE} is at {papers} now, but no file that a model is read from changed",
    )
    for change in ({"config.json": '{"a": 1}'}, {"tokenizer.json": "{}"}, {"config.json": None}):
        hub.commit(BASE, change)
        assert looked_after(NAME).settled == ""
    hub.commit(BASE, {"config.json": "{}", "tokenizer.json": None})
    assert looked_after(NAME).settled
    assert looked_after(NAME).newest == hub.repo(BASE).at().sha
    assert writes(hub) == []


def test_a_base_whose_history_was_written_anew_has_moved(hub: Hub, tmp_path: Path) -> None:
    published(hub, report(), recipe=recorded(tmp_path), base={"revision": "0" * 40})
    assert looked_after(NAME).settled == ""


def test_what_cannot_be_watched_is_said(hub: Hub, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="written owner/name"):
        looked_after("m")
    with pytest.raises(InputError, match=r"no audit of it on the Hub \(the data set tester/m-audit\)"):
        looked_after(NAME)
    published(hub, report(), adapted={"id": "owner/model"})
    with pytest.raises(InputError, match="its report is about 'owner/model'"):
        looked_after(NAME)
    published(hub, report(), base={"id": "package:models/base", "revision": None})
    with pytest.raises(InputError, match="its base package:models/base is not on the Hub"):
        looked_after(NAME)
    published(hub, report(), base={"id": "crew/gone"})
    with pytest.raises(InputError, match="its base crew/gone is gone from the Hub"):
        looked_after(NAME)
    hub.fail(500, f"/api/models/{BASE}", times=9)
    published(hub, report())
    with pytest.raises(Unavailable, match=r"tester/m: .*\(500\); whether its base has moved is not known"):
        looked_after(NAME)


# --- can it be audited again ------------------------------------------------------------------------------------------


def again(hub: Hub, one: Report, **changes: Any) -> str:
    published(hub, one, **changes)
    with pytest.raises(InputError, match=f"^{NAME}: its audit cannot be run again from what was published: ") as caught:
        recipe_again(looked_after(NAME))
    return str(caught.value)


def test_the_recipe_is_run_again_with_its_overrides_on_the_new_commit(page: Hub, tmp_path: Path) -> None:
    overrides = ("task.train_limit=60", "task.labels=['c d', 'e']")
    command = shlex.join(["transfer-audit", "run", "x.toml", *(word for one in overrides for word in ("-o", one))])
    said = report().provenance.model_copy(update={"command": command})
    published(page, report(), recipe=recorded(tmp_path, overrides=overrides), provenance=said)
    newest = page.commit(BASE, {"model.safetensors": b"3"})
    recipe, text = recipe_again(looked_after(NAME))
    assert (recipe.task.train_limit, recipe.task.names, text) == (60, ("c d", "e"), TEXT)
    assert (recipe.base, recipe.revision) == (BASE, newest)


def test_what_does_not_suffice_is_named(hub: Hub, tmp_path: Path) -> None:
    one = report()
    local = recorded(tmp_path, TEXT.replace("shipped:feedback", "[path]/rows.csv"))
    assert "it read [task] dataset [path]/rows.csv of the machine it was run on" in again(hub, one, recipe=local)
    changed = recorded(tmp_path).model_copy(update={"text": TEXT.replace('"b"', '"c"')})
    assert "not the one that was run, by their fingerprints" in again(hub, one, recipe=changed)
    broken = recorded(tmp_path).model_copy(update={"text": "name ="})
    assert "not valid TOML" in again(hub, one, recipe=broken)
    items = one.provenance.model_copy(update={"command": "transfer-audit audit tester/m --items [path]/x.jsonl"})
    assert "it read items of the machine" in again(hub, one, recipe=recorded(tmp_path), provenance=items)
    for file in ("head.json", "prompt.json"):
        files = {"files": {file: "0" * 64}}
        assert "fits the one commit of its base" in again(hub, one, recipe=recorded(tmp_path), adapted=files)
    whole = {"files": {"head.json": "0" * 64, "config.json": "0" * 64}}
    published(hub, one, recipe=recorded(tmp_path), adapted=whole)
    assert recipe_again(looked_after(NAME))[0].base == BASE


# --- the webhook and its Job ------------------------------------------------------------------------------------------


def test_a_webhook_is_planned_made_and_found_again(page: Hub) -> None:
    first = plan()
    assert [line.partition(" ")[0] for line in first.actions] == ["start", "make", "both"]
    assert writes(page) == []
    watched(first)
    ((id, job),) = page.jobs.items()
    version = metadata.version("transfer-audit")
    command = f"uv run --with transfer-audit=={version} transfer-audit watch {NAME} --now --apply".split()
    assert (job["command"], job["flavor"], job["timeoutSeconds"]) == (command, "cpu-upgrade", 3600)
    (hook,) = page.webhooks.values()
    assert hook["watched"] == [{"type": "model", "name": BASE}]
    assert hook["domains"] == ["repo"]
    assert hook["job"]["command"] == command
    assert (job["secrets"], hook["job"]["secrets"]) == ({"HF_TOKEN": ""}, {"HF_TOKEN": ""})
    assert page.token not in json.dumps([job, hook])
    page.requests.clear()
    second = plan()
    assert second.current
    assert watched(second)[0].startswith(f"nothing to do: webhook {hook['id']}")
    assert writes(page) == []
    assert id


def test_another_version_or_machine_changes_the_webhook_that_is_there(page: Hub, monkeypatch: Any) -> None:
    watched(plan())
    (hook,) = page.webhooks.values()
    later = planned_watch(looked_after(NAME), flavor="t4-small", timeout="1h")
    assert [line.partition(" ")[0] for line in later.actions] == ["start", "change", "both"]
    watched(later)
    assert (len(page.webhooks), len(page.jobs)) == (1, 2)
    assert hook["watched"] == [{"type": "model", "name": BASE}]
    assert hook["job"]["flavor"] == "t4-small"
    assert planned_watch(looked_after(NAME), flavor="t4-small", timeout="1h").current


def test_other_webhooks_are_left_alone(page: Hub) -> None:
    api, item = HfApi(), [{"type": "model", "name": BASE}]
    api.create_webhook(url="http://127.0.0.1:1/hook", watched=item)  # type: ignore[arg-type]
    other = api.run_job(image="python:3.12", command=["true"], labels={"transfer-audit": "0" * 16})
    api.create_webhook(job_id=other.id, watched=item)  # type: ignore[arg-type]
    before = json.dumps(list(page.webhooks.values()))
    watched(plan())
    assert json.dumps(list(page.webhooks.values())[:2]) == before
    assert len(page.webhooks) == 3
    list(page.webhooks.values())[2]["disabled"] = True
    assert "it is switched off: switch it on" in watched(plan())[0]
    assert list(page.webhooks.values())[2]["disabled"] is True


def test_what_cannot_be_audited_again_gets_no_job(page: Hub, tmp_path: Path) -> None:
    published(page, report(), recipe=recorded(tmp_path, TEXT.replace("shipped:feedback", "rows.csv")))
    with pytest.raises(InputError, match=r"it read \[task\] dataset rows.csv"):
        plan()
    assert writes(page) == []


@pytest.mark.parametrize("path", ["/api/jobs/", "/api/settings/webhooks"])
@pytest.mark.parametrize(("failure", "error"), [(403, InputError), (500, Unavailable), ("drop", Unavailable)])
def test_what_was_done_before_a_failure_is_used(page: Hub, path: str, failure: Any, error: Any) -> None:
    page.fail(failure, path, "POST")
    with pytest.raises(error) as caught:
        watched(plan())
    assert page.token not in str(caught.value)
    assert ("the webhook is missing" in str(caught.value)) == (path != "/api/jobs/")
    for job in page.jobs.values():
        job["status"]["stage"] = "COMPLETED"
    watched(plan())
    assert (len(page.jobs), len(page.webhooks), plan().current) == (1, 1, True)


@pytest.mark.parametrize("path", ["/api/jobs/", "/api/settings/webhooks"])
def test_a_lost_answer_makes_nothing_twice(page: Hub, path: str) -> None:
    page.fail("lose", path, "POST")
    watched(plan())
    assert (len(page.jobs), len(page.webhooks), plan().current) == (1, 1, True)


# --- the command ------------------------------------------------------------------------------------------------------


def test_the_command_shows_then_sets_up(page: Hub, capsys: pytest.CaptureFixture[str]) -> None:
    remote.watch(NAME)
    assert capsys.readouterr().out == f"{BASE} has moved since the audit, to {page.repo(BASE).at().sha}\n"
    remote.watch(NAME, job=True)
    assert "to set it up: the same command with --apply" in capsys.readouterr().out
    remote.watch(NAME, job=True, apply=True, as_json=True)
    told = json.loads(capsys.readouterr().out)
    assert (told["moved"], told["applied"], len(page.webhooks)) == (True, True, 1)
    assert page.token not in json.dumps(told)
    with pytest.raises(InputError, match="--job and --now: choose one"):
        remote.watch(NAME, job=True, now=True)


def test_a_model_is_audited_again_and_its_owner_told_once(
    hub: Hub, tmp_path: Path, tiny_encoder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {path.name: path.read_bytes() for path in tiny_encoder.iterdir()}
    start = hub.add(BASE, files).at().sha
    table = tiny.recipe(
        Path(BASE), revision=start, adapt={"method": "peft", "epochs": 1, "batch_size": 16, "learning_rate": 1e-3},
        audit={"bias": {"label": "praise", "margins": {"probability": 0.02, "flips": 0.02}, "pairs": 1}},
    )  # fmt: skip
    (tmp_path / "tiny.toml").write_text(tiny.toml(table))
    run = tmp_path / "run"
    first, _ = relay.run(load_recipe(tmp_path / "tiny.toml"), (tmp_path / "tiny.toml").read_text(), run)
    model = run / "models" / "seed-0"
    hub.add(NAME, {path.name: path.read_bytes() for path in model.iterdir() if path.is_file()})
    published(hub, first, base={"revision": start})
    remote.watch(NAME, now=True, apply=True, out=tmp_path / "again")
    assert "is where it was audited" in capsys.readouterr().out
    other = tiny.encoder(tmp_path / "other", seed=1)
    newest = hub.commit(BASE, {"model.safetensors": (other / "model.safetensors").read_bytes()})
    remote.watch(NAME, now=True, apply=True, out=tmp_path / "again")
    (thread,) = hub.repo(NAME).discussions
    said = thread.events[0].data["latest"]["raw"]
    marker = marker_in(said)
    assert marker is not None
    assert (marker.model, marker.base) == (NAME, newest)
    assert f"{hub.endpoint}/{NAME}/discussions/1" in capsys.readouterr().out
    second = Report.model_validate_json((tmp_path / "again" / "report.json").read_text())
    assert (second.base.revision, second.adapted.id) == (newest, NAME)
    assert {one.id for one in second.findings} == {one.id for one in first.findings}
    assert [one.base for one in second.findings] != [one.base for one in first.findings]
    hub.requests.clear()
    remote.watch(NAME, now=True, apply=True, out=tmp_path / "third")
    assert f"is about {BASE} at {newest} already" in capsys.readouterr().out
    assert (writes(hub), (tmp_path / "third").exists()) == ([], False)
