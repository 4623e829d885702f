"""Everything that can go wrong while publishing, at every request: nothing half published, the next apply completes."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from audit.errors import InputError, Unavailable
from audit.publish.hub.apply import applied
from audit.publish.hub.plan import planned
from tests import bundled
from tests.hub import Hub

FAILURES: tuple[Any, ...] = (500, "drop", "lose")
WRITES = ("POST", "PUT", "DELETE", "PATCH")


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    bundled.stand_in(monkeypatch)


@pytest.fixture
def run(hub: Hub, tmp_path: Path) -> Path:
    hub.add("crew/base", {"README.md": "---\nlicense: mit\n---\n"})
    return bundled.run(tmp_path / "run")


def published(run: Path, **options: Any) -> list[str]:
    return applied(planned(run, "tester/m", **options))


def emptied(hub: Hub) -> Hub:
    """Return the Hub as it was before anything was published."""
    for held in (hub.repos, hub.collections, hub.blobs, hub.large, hub.parts, hub.faults, hub.requests):
        held.clear()
    hub.add("crew/base", {"README.md": "---\nlicense: mit\n---\n"})
    return hub


def test_every_request_of_an_apply_fails_in_turn(hub: Hub, run: Path) -> None:
    published(run)
    clean, asked = bundled.state(hub), [*hub.requests]
    whole = sorted(clean["repositories"]["model", "tester/m"][0])
    stopped = 0
    for number, one in enumerate(asked, 1):
        for failure in FAILURES if one.method in WRITES else ("drop", "cut"):
            emptied(hub).fail(failure, nth=number)
            try:
                published(run)
            except (InputError, Unavailable) as error:
                stopped += 1
                said = str(error)
                assert "\n" not in said
                assert hub.token not in said
                assert any(
                    found in said for found in ("nothing was written", "nothing is published", "published so far")
                )
                model = hub.repos.get(("model", "tester/m"))
                assert model is None or model.paths() in ([".gitattributes"], whole)
                published(run)
            assert bundled.state(hub) == clean, f"{failure} at request {number}, {one.method} {one.path}"
            assert [len(repo.commits) for repo in hub.repos.values()] == [1, 2, 2, 2]
    assert stopped > 30  # the client hides the others by trying again


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        (400, "the Hub refuses it"),
        (401, "the Hub does not accept the token (401): log in again with `hf auth login`, or set HF_TOKEN"),
        (403, "the token may not do that (403): You don't have the rights required"),
        (404, "the Hub does not have it, or not for this token (404)"),
        (409, "something else is in the way there (409): A conflicting operation is in progress"),
        (412, "somebody has committed there since it was looked at (412)"),
        (500, "the Hub has an error of its own (500)"),
        ("drop", "the connection to the Hub broke"),
    ],
)
def test_a_commit_of_the_model_that_is_refused(hub: Hub, run: Path, failure: Any, said: str) -> None:
    hub.fail(failure, "/api/models/tester/m/commit/", "POST", times=10)
    with pytest.raises(Unavailable) as caught:
        published(run)
    assert said in str(caught.value)
    assert str(caught.value).startswith("the model tester/m: ")
    evidence = f"published so far: {hub.endpoint}/datasets/tester/m-audit, {hub.endpoint}/tester/m (empty)"
    assert str(caught.value).endswith(evidence)
    assert hub.repo("tester/m").paths() == [".gitattributes"]
    assert not hub.has("tester/m-audit", "space")
    hub.faults.clear()
    assert published(run)[1] == f"{hub.endpoint}/tester/m"
    assert "model.safetensors" in hub.repo("tester/m").paths()


def test_429_says_how_long(hub: Hub, run: Path) -> None:
    hub.fail(429, "/commit/", "POST", retry_after=77)
    with pytest.raises(Unavailable, match=r"the data set tester/m-audit: the Hub asks to wait 77 s \(429\); "):
        published(run)
    hub.fail(429, "/api/models/tester/m", "GET", times=100)
    with pytest.raises(Unavailable, match=r"tester/m: the Hub asks to wait a while \(429\); nothing was written"):
        planned(run, "tester/m")


def test_an_upload_that_breaks_until_the_client_gives_up(hub: Hub, run: Path) -> None:
    hub.add("tester/m", {"README.md": "# Mine\n"})
    start = hub.repo("tester/m").at().sha
    hub.fail("drop", "/lfs/", "PUT", nth=2, times=6)
    with pytest.raises(Unavailable, match=r"the model tester/m: the connection to the Hub broke"):
        published(run)
    assert hub.repo("tester/m").at().sha == start
    published(run)
    assert hub.repo("tester/m").read("model.safetensors") == bundled.WEIGHTS


def test_one_part_of_an_upload_in_parts_breaks(hub: Hub, run: Path) -> None:
    hub.part_size = len(bundled.WEIGHTS) // 3
    hub.fail("drop", "/lfs/", "PUT", nth=3)
    published(run)
    assert hub.repo("tester/m").read("model.safetensors") == bundled.WEIGHTS


def test_a_commit_that_was_accepted_and_whose_answer_is_lost_is_not_made_twice(hub: Hub, run: Path) -> None:
    hub.fail("lose", "/commit/", "POST", times=3)
    published(run)
    assert [len(repo.commits) for repo in hub.repos.values()] == [1, 2, 2, 2]
    assert len(hub.asked("/commit/", "POST")) == 3


def test_somebody_commits_between_plan_and_apply(hub: Hub, run: Path) -> None:
    repo = hub.add("tester/m", {"README.md": "# Mine\n"})
    plan = planned(run, "tester/m")
    theirs = hub.commit("tester/m", {"README.md": "# Mine, better\n"})
    with pytest.raises(Unavailable, match=r"somebody has committed there since it was looked at \(412\)"):
        applied(plan)
    assert repo.at().sha == theirs
    published(run)
    assert b"# Mine, better" in repo.read("README.md")


@pytest.mark.parametrize("kind", ["model", "dataset"])
def test_somebody_creates_it_between_plan_and_apply(hub: Hub, run: Path, kind: Any) -> None:
    plan = planned(run, "tester/m")
    repo = hub.add("tester/m" if kind == "model" else "tester/m-audit", {"theirs.txt": "theirs"}, kind)
    with pytest.raises(Unavailable, match=r"something else is in the way there \(409\)"):
        applied(plan)
    assert len(repo.commits) == 1


def test_a_gradio_space_needs_a_plan_and_all_else_is_published(hub: Hub, run: Path) -> None:
    with pytest.raises(InputError) as caught:
        published(run, space="gradio")
    assert str(caught.value) == (
        "the Space tester/m-audit needs a paid plan (402), a static one does not: transfer-audit publish "
        f"{run} --to tester/m --space static --apply; published so far: {hub.endpoint}/datasets/tester/m-audit, "
        f"{hub.endpoint}/tester/m, {hub.endpoint}/collections/{next(iter(hub.collections))}"
    )
    assert "model.safetensors" in hub.repo("tester/m").paths()
    published(run, space="static")
    after = bundled.state(hub)
    emptied(hub)
    published(run)
    assert bundled.state(hub) == after


def test_no_room_on_the_disk(hub: Hub, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    published(run)
    before = bundled.state(hub)

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("huggingface_hub.file_download.xet_get", full)
        patch.setattr("huggingface_hub.file_download.http_get", full)
        hub.commit("tester/m", {"README.md": "# New\n"})  # not in the cache
        with pytest.raises(Unavailable, match="tester/m: No space left on device; nothing was written"):
            planned(run, "tester/m")
    published(run)
    assert bundled.state(hub)["repositories"].keys() == before["repositories"].keys()


def test_what_is_offline_says_so(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(Unavailable, match="HF_HUB_OFFLINE is set"):
        planned(run, "tester/m")
