"""The clients as people run them: with xet left on, which stores large files by another way and another code path."""

from __future__ import annotations

import hashlib
from importlib.metadata import version
from pathlib import Path

import pytest
from huggingface_hub import CommitOperationCopy, HfApi, constants

from tests.hub import Hub
from tests.hub.client import add
from tests.hub.xet import Xet, unusable

WEIGHTS = bytes(range(256)) * 2000


@pytest.fixture(scope="module")
def _chunks(tmp_path_factory: pytest.TempPathFactory) -> None:
    if reason := unusable(tmp_path_factory.mktemp("tried")):
        pytest.skip(reason)


@pytest.fixture
def api(_chunks: None, hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> HfApi:
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", False)
    hub.xet = Xet(tmp_path / "xet")
    return HfApi()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "up" / "data").mkdir(parents=True)
    (tmp_path / "up" / "README.md").write_text("---\nlicense: mit\n---\n")
    (tmp_path / "up" / "model.safetensors").write_bytes(WEIGHTS)
    (tmp_path / "up" / "data" / "w.bin").write_bytes(WEIGHTS[::-1])
    return tmp_path / "up"


def test_the_pinned_version_keeps_chunks_in_a_folder(tmp_path: Path) -> None:
    """Another version may be skipped; that this one is not read would be an error here."""
    pins = (Path(__file__).parents[1] / "constraints.txt").read_text().splitlines()
    if f"hf-xet=={version('hf-xet')}" not in pins:
        pytest.skip("another version of hf-xet is installed than the one that is pinned")
    assert unusable(tmp_path) == ""


def test_upload_folder_streams_through_chunks(hub: Hub, api: HfApi, folder: Path) -> None:
    hub.add("tester/chunked")
    done = api.upload_folder(repo_id="tester/chunked", folder_path=folder)
    repo = hub.repo("tester/chunked")
    assert done.oid == repo.at().sha
    assert hub.large == {}  # nothing came by the other way
    assert not [one for one in hub.requests if one.handler.startswith("lfs.")]
    assert repo.at().files["model.safetensors"].sha256 == hashlib.sha256(WEIGHTS).hexdigest()
    assert repo.read("model.safetensors") == WEIGHTS
    # the same folder again: no commit
    assert api.upload_folder(repo_id="tester/chunked", folder_path=folder).oid == done.oid
    assert len(repo.commits) == 2


def test_download_comes_from_chunks(hub: Hub, api: HfApi, folder: Path) -> None:
    hub.add("tester/pulled")
    api.upload_folder(repo_id="tester/pulled", folder_path=folder)
    hub.requests.clear()
    pulled = Path(api.snapshot_download("tester/pulled"))
    assert (pulled / "data" / "w.bin").read_bytes() == WEIGHTS[::-1]
    assert (pulled / "model.safetensors").read_bytes() == WEIGHTS
    assert {one.path.rpartition("/")[2] for one in hub.asked("/resolve/", "GET")} == {".gitattributes", "README.md"}
    assert hub.asked("/xet-read-token/")
    entries = {one.path: getattr(one, "xet_hash", None) for one in api.list_repo_tree("tester/pulled", recursive=True)}
    assert {path for path, hashed in entries.items() if hashed} == {"data/w.bin", "model.safetensors"}
    assert not api.verify_repo_checksums("tester/pulled").mismatches


def test_create_commit_and_pull_request(hub: Hub, api: HfApi, folder: Path) -> None:
    repo = hub.add("tester/mixed")
    start = repo.at().sha
    files = [add("w.bin", WEIGHTS), add("a.txt", "a")]
    api.create_commit("tester/mixed", files, commit_message="both", parent_commit=start)
    assert (repo.read("w.bin"), repo.read("a.txt")) == (WEIGHTS, b"a")
    stranger = HfApi(token=hub.account("stranger"))
    done = stranger.upload_folder(repo_id="tester/mixed", folder_path=folder, create_pr=True)
    assert done.pr_num == 1
    seen = stranger.get_discussion_details("tester/mixed", 1)
    assert (seen.status, seen.author) == ("draft", "stranger")  # this code path opens a draft
    assert repo.read("data/w.bin", "refs/pr/1") == WEIGHTS[::-1]
    assert "data/w.bin" not in repo.paths()


def test_copy_from_another_repository(hub: Hub, api: HfApi) -> None:
    hub.add("crew/source")
    hub.add("tester/copy")
    api.upload_file(path_or_fileobj=WEIGHTS, path_in_repo="w.bin", repo_id="crew/source")
    copy = CommitOperationCopy("w.bin", "v.bin", src_repo_id="crew/source", src_repo_type="model")
    api.create_commit("tester/copy", [copy], commit_message="copied")
    assert hub.repo("tester/copy").read("v.bin") == WEIGHTS


def test_a_plain_client_reads_what_came_in_chunks(
    hub: Hub, api: HfApi, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add("tester/plain")
    api.upload_folder(repo_id="tester/plain", folder_path=folder)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    assert Path(api.hf_hub_download("tester/plain", "data/w.bin")).read_bytes() == WEIGHTS[::-1]


def test_without_the_storage_the_upload_says_so(
    hub: Hub, api: HfApi, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo = hub.add("tester/none")
    hub.xet = None
    with pytest.raises(Exception, match="xet-write-token"):
        api.upload_folder(repo_id="tester/none", folder_path=folder)
    assert len(repo.commits) == 1
