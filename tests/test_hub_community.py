"""Discussions, pull requests, Spaces, collections, webhooks and Jobs, through the unmodified client."""

from __future__ import annotations

from pathlib import Path

import httpx2
import pytest
from huggingface_hub import (
    DiscussionComment,
    DiscussionStatusChange,
    DiscussionTitleChange,
    HfApi,
    SpaceHardware,
    Volume,
)
from huggingface_hub.errors import JobNotFoundError

from tests.hub import Hub
from tests.hub.client import add, refused


@pytest.fixture
def api(hub: Hub) -> HfApi:
    return HfApi()


@pytest.fixture
def stranger(hub: Hub) -> HfApi:
    return HfApi(token=hub.account("stranger"))


def test_discussion(hub: Hub, api: HfApi, stranger: HfApi) -> None:
    hub.add("tester/m")
    made = stranger.create_discussion("tester/m", " Audit ", description="first *words*")
    assert (made.num, made.title, made.status, made.author, made.is_pull_request) == (
        1,
        "Audit",
        "open",
        "stranger",
        False,
    )
    assert made.url == f"{hub.endpoint}/tester/m/discussions/1"
    first = made.events[0]
    assert isinstance(first, DiscussionComment)
    assert (first.content, first.edited, first.hidden) == ("first *words*", False, False)
    said = stranger.comment_discussion("tester/m", 1, "second")
    assert stranger.edit_discussion_comment("tester/m", 1, said.id, "second, mended").content == "second, mended"
    with refused(403):
        api.edit_discussion_comment("tester/m", 1, said.id, "not mine")
    with refused(404):
        stranger.edit_discussion_comment("tester/m", 1, "0" * 24, "none")
    assert api.rename_discussion("tester/m", 1, "Audit of m").new_title == "Audit of m"
    assert api.change_discussion_status("tester/m", 1, "closed", comment="done").new_status == "closed"
    seen = api.get_discussion_details("tester/m", 1)
    assert (seen.title, seen.status) == ("Audit of m", "closed")
    comment, renamed, closed = seen.events[1:4]
    assert isinstance(comment, DiscussionComment)
    assert (comment.content, comment.edited, comment.number_of_edits) == ("second, mended", True, 1)
    assert (comment.edit_history[0]["raw"], comment.last_edited_by) == ("second", "stranger")
    assert isinstance(renamed, DiscussionTitleChange)
    assert renamed.old_title == "Audit"
    assert isinstance(closed, DiscussionStatusChange)
    with pytest.warns(UserWarning, match="irreversible"):
        assert stranger.hide_discussion_comment("tester/m", 1, said.id).hidden
    hub.repo("tester/m").talks = False
    with refused(403):
        stranger.create_discussion("tester/m", "Once more")


def test_discussion_needs_a_token_that_may_write(hub: Hub, api: HfApi) -> None:
    hub.add("tester/m")
    with refused(403):
        HfApi(token=hub.account("reader", role="read")).create_discussion("tester/m", "Title")
    with refused(401):
        HfApi(token=False).create_discussion("tester/m", "Title")
    with refused(400):
        api.create_discussion("tester/m", "x" * 201)
    with refused(404):
        api.comment_discussion("tester/m", 1, "to nobody")


def test_discussion_list(hub: Hub, api: HfApi, stranger: HfApi) -> None:
    hub.add("crew/d", kind="dataset")
    for number in range(1, 13):  # two pages
        api.create_discussion("crew/d", f"Talk {number}", repo_type="dataset")
    stranger.create_pull_request("crew/d", "Change", repo_type="dataset")
    api.change_discussion_status("crew/d", 3, "closed", repo_type="dataset")
    listed = list(api.get_repo_discussions("crew/d", repo_type="dataset"))
    assert [one.num for one in listed] == list(range(13, 0, -1))
    assert {(one.repo_id, one.repo_type) for one in listed} == {("crew/d", "dataset")}

    def numbers(**chosen: str) -> list[int]:
        return [one.num for one in api.get_repo_discussions("crew/d", repo_type="dataset", **chosen)]  # type: ignore[arg-type]

    assert numbers(discussion_type="pull_request") == [13]
    assert numbers(discussion_status="closed") == [3]
    assert numbers(author="stranger") == [13]
    assert len(numbers(discussion_type="discussion", discussion_status="open")) == 11


def test_pull_request_on_somebody_elses_repository(hub: Hub, api: HfApi, stranger: HfApi) -> None:
    repo = hub.add("tester/m", {"README.md": "# m\n", "a.txt": "a\n"})
    start = repo.at().sha
    change = [add("a.txt", "b\n"), add("w.bin", "weights")]
    done = stranger.create_commit("tester/m", change, commit_message="Mend a", commit_description="why", create_pr=True)
    assert (done.pr_num, done.pr_revision) == (1, "refs/pr/1")
    assert (repo.at().sha, repo.read("a.txt", "refs/pr/1")) == (start, b"b\n")
    seen = api.get_discussion_details("tester/m", 1)
    assert (seen.is_pull_request, seen.status, seen.author, seen.conflicting_files) == (True, "open", "stranger", [])
    assert seen.diff
    assert "-a\n+b\n" in seen.diff
    # the author pushes more to it, nobody else may
    more = add("c.txt", "c")
    stranger.create_commit("tester/m", [more], commit_message="More", revision="refs/pr/1")
    with refused(403):
        HfApi(token=hub.account("third")).create_commit(
            "tester/m", [add("d", "d")], commit_message="Mine", revision="refs/pr/1"
        )
    assert Path(api.hf_hub_download("tester/m", "c.txt", revision="refs/pr/1")).read_bytes() == b"c"
    with refused(403):
        stranger.merge_pull_request("tester/m", 1)
    hub.commit("tester/m", {"README.md": "# meanwhile\n"})
    api.merge_pull_request("tester/m", 1, comment="thanks")
    merged = api.get_discussion_details("tester/m", 1)
    assert (merged.status, merged.merge_commit_oid) == ("merged", repo.at().sha)
    assert (repo.read("README.md"), repo.read("a.txt"), repo.read("c.txt")) == (b"# meanwhile\n", b"b\n", b"c")
    assert len(repo.at().parents) == 2
    with refused(400):
        api.merge_pull_request("tester/m", 1)


def test_pull_request_that_starts_as_a_draft(hub: Hub, api: HfApi, stranger: HfApi) -> None:
    repo = hub.add("tester/m", {"a.txt": "a"})
    made = stranger.create_pull_request("tester/m", "Change a", description="why")
    assert (made.status, made.git_reference, made.target_branch) == ("draft", "refs/pr/1", "refs/heads/main")
    change = [add("a.txt", "b")]
    stranger.create_commit("tester/m", change, commit_message="b", revision=made.git_reference)
    with refused(400):
        api.merge_pull_request("tester/m", 1)
    stranger.change_discussion_status("tester/m", 1, "open")
    hub.commit("tester/m", {"a.txt": "c"})
    assert api.get_discussion_details("tester/m", 1).conflicting_files == ["a.txt"]
    with refused(409):
        api.merge_pull_request("tester/m", 1)
    assert repo.read("a.txt") == b"c"


def test_pull_request_from_a_commit_that_is_no_longer_the_last(hub: Hub, stranger: HfApi) -> None:
    start = hub.add("tester/m", {"a.txt": "a"}).at().sha
    hub.commit("tester/m", {"b.txt": "b"})
    stranger.create_commit(
        "tester/m",
        [add("c.txt", "c")],
        commit_message="c",
        create_pr=True,
        parent_commit=start,
    )
    assert hub.repo("tester/m").paths("refs/pr/1") == [".gitattributes", "a.txt", "c.txt"]


def test_space_secrets_variables_and_runtime(hub: Hub, api: HfApi, stranger: HfApi) -> None:
    member = HfApi(token=hub.account("member", plan="pro"))
    member.create_repo("member/demo", repo_type="space", space_sdk="gradio", space_hardware=SpaceHardware.CPU_BASIC)
    member.add_space_secret("member/demo", "TOKEN", "hush", description="for the API")
    member.add_space_variable("member/demo", "MODEL", "crew/base")
    secrets = member.get_space_secrets("member/demo")
    assert (secrets["TOKEN"].description, hasattr(secrets["TOKEN"], "value")) == ("for the API", False)
    asked = httpx2.get(
        f"{hub.endpoint}/api/spaces/member/demo/secrets", headers={"Authorization": f"Bearer {member.token}"}
    )
    assert "TOKEN" in asked.text
    assert "hush" not in asked.text
    assert member.get_space_variables("member/demo")["MODEL"].value == "crew/base"
    member.delete_space_secret("member/demo", "TOKEN")
    assert member.delete_space_variable("member/demo", "MODEL") == {}
    with refused(403):
        stranger.get_space_secrets("member/demo")
    assert member.get_space_runtime("member/demo").stage == "NO_APP_FILE"
    app = [add("app.py", "print()")]
    member.create_commit("member/demo", app, repo_type="space", commit_message="app")
    stages = [member.get_space_runtime("member/demo").stage for _ in range(4)]
    assert stages == ["BUILDING", "APP_STARTING", "RUNNING", "RUNNING"]
    assert member.restart_space("member/demo", factory_reboot=True).stage == "BUILDING"
    assert member.wait_for_space("member/demo", poll_interval=0.01).stage == "RUNNING"
    assert member.request_space_hardware("member/demo", SpaceHardware.T4_SMALL, sleep_time=60).sleep_time == 60
    assert member.set_space_sleep_time("member/demo", 90).sleep_time == 90
    assert member.get_space_runtime("member/demo").requested_hardware == "t4-small"
    volume = Volume(type="model", source="crew/base", mount_path="/base", revision="main")
    member.set_space_volumes("member/demo", [volume])
    assert member.get_space_runtime("member/demo").volumes == [volume]
    member.delete_space_volumes("member/demo")
    assert member.get_space_runtime("member/demo").volumes is None
    assert member.pause_space("member/demo").stage == "PAUSED"


def test_static_space_has_nothing_to_restart(hub: Hub, api: HfApi) -> None:
    api.create_repo("tester/page", repo_type="space", space_sdk="static")
    page = [add("index.html", "<p>")]
    api.create_commit("tester/page", page, repo_type="space", commit_message="page")
    assert api.get_space_runtime("tester/page").stage == "RUNNING"
    with refused(400):
        api.restart_space("tester/page")
    card = [add("README.md", "---\ntitle: x\n---\n")]
    with pytest.raises(ValueError, match="sdk"):
        api.create_commit("tester/page", card, repo_type="space", commit_message="no sdk")


def test_collection(hub: Hub, api: HfApi, stranger: HfApi) -> None:
    hub.add("tester/m")
    hub.add("crew/texts", kind="dataset")
    made = api.create_collection("An audit", namespace="crew", description="all of it", private=True)
    assert made.slug.startswith("crew/an-audit-")
    assert made.url == f"{hub.endpoint}/collections/{made.slug}"
    with refused(409):
        api.create_collection("An audit", namespace="crew")
    assert api.create_collection("An audit", namespace="crew", exists_ok=True).slug == made.slug
    api.add_collection_item(made.slug, "tester/m", "model", note="adapted")
    after = api.add_collection_item(made.slug, "crew/texts", "dataset")
    assert [(one.item_id, one.item_type, one.note) for one in after.items] == [
        ("tester/m", "model", "adapted"),
        ("crew/texts", "dataset", None),
    ]
    with refused(409):
        api.add_collection_item(made.slug, "tester/m", "model")
    with refused(404):
        api.add_collection_item(made.slug, "tester/none", "model")
    assert len(api.add_collection_item(made.slug, "tester/m", "model", exists_ok=True).items) == 2
    api.update_collection_item(made.slug, after.items[1].item_object_id, note="evidence", position=0)
    assert [one.note for one in api.get_collection(made.slug).items] == ["evidence", "adapted"]
    api.delete_collection_item(made.slug, after.items[0].item_object_id)
    with refused(404):
        stranger.get_collection(made.slug)
    assert api.update_collection_metadata(made.slug, private=False).private is False
    assert [one.slug for one in stranger.list_collections(owner="crew", item="datasets/crew/texts")] == [made.slug]
    with refused(403):
        stranger.delete_collection(made.slug)
    api.delete_collection(made.slug)
    api.delete_collection(made.slug, missing_ok=True)


def test_webhook_runs_a_job(hub: Hub, api: HfApi) -> None:
    job = api.run_job(
        image="python:3.12",
        command=["python", "-c", "0"],
        env={"A": "1"},
        secrets={"HF_TOKEN": "hush"},
        name="re-audit",
    )
    watched = [{"type": "model", "name": "crew/base"}]
    made = api.create_webhook(job_id=job.id, watched=watched, domains=["repo"])  # type: ignore[arg-type]
    assert (made.url, made.domains, made.watched[0].name) == (None, ["repo"], "crew/base")
    assert made.job
    assert (made.job.docker_image, made.job.command) == ("python:3.12", ["python", "-c", "0"])
    other = api.create_webhook(url="http://127.0.0.1:1/hook", watched=watched, secret="s")  # type: ignore[arg-type]
    assert [one.id for one in api.list_webhooks()] == [made.id, other.id]
    assert api.get_webhook(other.id).url == "http://127.0.0.1:1/hook"
    assert api.update_webhook(other.id, url="http://127.0.0.1:2/hook").url == "http://127.0.0.1:2/hook"
    api.delete_webhook(other.id)
    with refused(404):
        api.get_webhook(other.id)
    with refused(404):
        api.create_webhook(job_id="0" * 24, watched=watched)  # type: ignore[arg-type]


@pytest.mark.filterwarnings("ignore:.*is experimental:UserWarning")
def test_job(hub: Hub, api: HfApi, stranger: HfApi) -> None:
    volume = Volume(type="model", source="crew/base", mount_path="/base", revision="main")
    job = api.run_uv_job(
        "https://hub.invalid/audit.py", script_args=["run"], dependencies=["x"], secrets={"K": "hush"}, volumes=[volume]
    )
    assert (job.status.stage, job.owner.name, job.url) == (
        "SCHEDULING",
        "tester",
        f"{hub.endpoint}/jobs/tester/{job.id}",
    )
    assert job.command
    assert job.command[:4] == ["uv", "run", "--with", "x"]
    assert "hush" not in str(hub.jobs)
    hub.jobs[job.id]["status"]["stage"] = "COMPLETED"
    assert api.inspect_job(job_id=job.id).status.stage == "COMPLETED"
    assert [one.id for one in api.list_jobs()] == [job.id]
    api.cancel_job(job_id=job.id)
    assert api.inspect_job(job_id=job.id).status.stage == "CANCELED"
    with pytest.raises(JobNotFoundError):
        api.inspect_job(job_id="0" * 24)
    with refused(403):
        stranger.inspect_job(job_id=job.id, namespace="tester")


def test_leaderboard(hub: Hub, api: HfApi) -> None:
    bench = hub.add("crew/bench", kind="dataset")
    with refused(404):
        api.get_dataset_leaderboard("crew/bench")
    row = {"rank": 1, "modelId": "tester/m", "value": 0.5, "filename": ".eval_results/a.yaml", "verified": False}
    bench.leaderboard = [{**row, "author": {"type": "user", "name": "tester"}}]
    assert [(one.rank, one.model_id) for one in api.get_dataset_leaderboard("crew/bench")] == [(1, "tester/m")]


def test_attachment(hub: Hub, api: HfApi, tmp_path: Path) -> None:
    (tmp_path / "plot.png").write_bytes(b"\x89PNG")
    there = api.upload_attachment(tmp_path / "plot.png")
    assert httpx2.get(there).content == b"\x89PNG"


def test_telemetry_is_heard_and_forgotten(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants
    from huggingface_hub.utils import _telemetry

    monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", False)
    _telemetry._send_telemetry_in_thread("tests/hub", library_name="tests", library_version="0")
    # with telemetry on, the client also asks which agents there are (once a day) and expects a table
    assert {(one.method, one.status) for one in hub.asked("/api/telemetry/")} == {("HEAD", 200)}
    assert httpx2.get(f"{hub.endpoint}/api/agent-harnesses").json() == {}
