"""What can go wrong on the way, injected one by one: nothing is half published, and the same call again completes."""

from __future__ import annotations

import time
from pathlib import Path

import httpx2
import pytest
from huggingface_hub import HfApi
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError

from tests.hub import Hub
from tests.hub.client import add

CONTENT = bytes(range(256)) * 400


@pytest.fixture
def api(hub: Hub) -> HfApi:
    hub.add("tester/m", {"a.txt": "a"})
    return HfApi()


@pytest.fixture
def naps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that the client wants to wait between its tries; it is not made to."""
    found: list[float] = []
    monkeypatch.setattr(time, "sleep", found.append)
    return found


def publish(api: HfApi, parent: str | None = None) -> str:
    """Commit a text and a large file in one go and return the commit."""
    files = [add("README.md", "---\nlicense: mit\n---\n"), add("w.bin", CONTENT)]
    return api.create_commit("tester/m", files, commit_message="Publish", parent_commit=parent).oid


def test_401(hub: Hub, api: HfApi) -> None:
    hub.fail(401, "/api/whoami-v2")
    with pytest.raises(HfHubHTTPError, match="Invalid user token"):
        api.whoami()
    assert api.whoami()["name"] == "tester"


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [(404, "RepoNotFound", RepositoryNotFoundError), (403, "GatedRepo", GatedRepoError), (403, "", HfHubHTTPError)],
)
def test_errors_have_the_clients_names(hub: Hub, api: HfApi, status: int, code: str, error: type[Exception]) -> None:
    hub.fail(status, "/api/models/tester/m", code=code)
    with pytest.raises(error) as caught:
        api.model_info("tester/m")
    assert type(caught.value) is error


@pytest.mark.parametrize("status", [401, 403, 404, 409, 412, 500])
def test_a_commit_that_is_refused_leaves_nothing(hub: Hub, api: HfApi, status: int) -> None:
    repo = hub.repo("tester/m")
    start = repo.at().sha
    hub.fail(status, "/commit/", "POST")
    with pytest.raises(HfHubHTTPError) as caught:
        publish(api, start)
    assert caught.value.response.status_code == status
    assert (repo.at().sha, repo.paths()) == (start, [".gitattributes", "a.txt"])
    assert publish(api, start) == repo.at().sha  # the large file is not sent a second time
    assert [one.handler for one in hub.requests].count("lfs.put") == 1
    assert repo.paths() == [".gitattributes", "README.md", "a.txt", "w.bin"]


def test_409_while_a_repository_is_made(hub: Hub, api: HfApi) -> None:
    hub.add("tester/there")
    with pytest.raises(HfHubHTTPError, match="already created"):
        api.create_repo("tester/there")


def test_429_waits_as_long_as_it_is_told(hub: Hub, api: HfApi, naps: list[float]) -> None:
    fault = hub.fail(429, "/preupload/", times=2, retry_after=7)
    publish(api)
    assert (naps, fault.seen) == ([8.0, 8.0], 3)  # the client adds a second


def test_500_is_tried_again(hub: Hub, api: HfApi, naps: list[float]) -> None:
    hub.fail(500, "/info/lfs/objects/batch", times=2)
    publish(api)
    assert naps == [1, 2]


def test_500_that_stays_is_said(hub: Hub, api: HfApi, naps: list[float]) -> None:
    hub.fail(500, "/preupload/", times=100)
    with pytest.raises(HfHubHTTPError, match="500"):
        publish(api)
    assert naps == [1, 2, 4, 8, 8]


def test_the_third_of_many(hub: Hub, api: HfApi) -> None:
    hub.fail(403, "/api/models/tester/m", "GET", nth=3)
    api.model_info("tester/m")
    api.model_info("tester/m")
    with pytest.raises(HfHubHTTPError, match="403"):
        api.model_info("tester/m")
    api.model_info("tester/m")


def test_connection_dropped_in_the_middle_of_a_large_file(hub: Hub, api: HfApi, naps: list[float]) -> None:
    hub.fail("drop", "/lfs/", "PUT")
    publish(api)
    assert naps == [1]
    assert [one.status for one in hub.asked("/lfs/", "PUT")] == [0, 200]
    assert hub.repo("tester/m").read("w.bin") == CONTENT


def test_connection_dropped_until_the_client_gives_up(hub: Hub, api: HfApi, naps: list[float]) -> None:
    repo = hub.repo("tester/m")
    start = repo.at().sha
    hub.fail("drop", "/lfs/", "PUT", times=6)
    with pytest.raises(RuntimeError, match=r"uploading 'w\.bin'"):
        publish(api)
    assert (repo.at().sha, hub.large) == (start, {})
    publish(api, start)
    assert repo.read("w.bin") == CONTENT


def test_one_part_of_many_dropped(hub: Hub, api: HfApi, naps: list[float]) -> None:
    hub.part_size = len(CONTENT) // 3
    hub.fail("drop", "/lfs/", "PUT", nth=2)
    publish(api)
    assert len(hub.asked("/lfs/", "PUT")) == 4 + 1
    assert hub.repo("tester/m").read("w.bin") == CONTENT


def test_connection_dropped_in_the_middle_of_a_commit(hub: Hub, api: HfApi) -> None:
    repo = hub.repo("tester/m")
    start = repo.at().sha
    hub.fail("drop", "/commit/", "POST")
    with pytest.raises(httpx2.TransportError):
        publish(api)
    assert repo.at().sha == start
    assert publish(api, start) == repo.at().sha


def test_a_commit_that_was_accepted_and_whose_answer_is_lost(hub: Hub, api: HfApi) -> None:
    repo = hub.repo("tester/m")
    start = repo.at().sha
    hub.fail("lose", "/commit/", "POST")
    with pytest.raises(httpx2.TransportError):
        publish(api, start)
    done = repo.at().sha
    assert done != start
    assert [one.status for one in hub.asked("/commit/", "POST")] == [0]
    # with everything there already, the client sends no second commit, whatever lock it was given
    assert publish(api, start) == done
    assert publish(api) == done
    assert len(repo.commits) == 2
    with pytest.raises(HfHubHTTPError, match="412"):
        api.create_commit("tester/m", [add("b", "b")], commit_message="late", parent_commit=start)


def test_a_download_that_breaks_off_goes_on_where_it_stopped(hub: Hub, api: HfApi, naps: list[float]) -> None:
    content = bytes(24_000_000)  # the client keeps what it has by pieces of ten million
    hub.add("tester/big", {"w.bin": content})
    hub.fail("cut", "/resolve/", "GET")
    assert Path(api.hf_hub_download("tester/big", "w.bin")).read_bytes() == content
    assert [one.status for one in hub.asked("/resolve/", "GET")] == [200, 206]
