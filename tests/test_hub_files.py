"""Files, read and written: what the unmodified client asks is answered as it reads it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import httpx2
import pytest
from huggingface_hub import (
    CommitOperationCopy,
    CommitOperationDelete,
    HfApi,
)
from huggingface_hub.errors import (
    LocalEntryNotFoundError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from tests.hub import Hub
from tests.hub.client import add, refused


@pytest.fixture
def api(hub: Hub) -> HfApi:
    return HfApi()


def test_tree(hub: Hub, api: HfApi) -> None:
    repo = hub.add("tester/m", {"a.txt": "a", "b c/d/e.bin": b"e", "b c/f.txt": "f"})
    sha = hub.commit("tester/m", {"a.txt": "again"})
    repo.scan["b c/d/e.bin"] = "suspicious"
    repo.branches["dev/x"] = repo.at().sha
    assert [one.path for one in api.list_repo_tree("tester/m")] == [".gitattributes", "a.txt", "b c"]
    below = ["b c/d", "b c/d/e.bin", "b c/f.txt"]
    assert [one.path for one in api.list_repo_tree("tester/m", "b c", recursive=True, revision="dev/x")] == below
    hub.page = 2
    expanded: dict[str, Any] = {one.path: one for one in api.list_repo_tree("tester/m", recursive=True, expand=True)}
    assert len(expanded) == 6
    assert len(hub.asked("/tree/main")) == 1 + 3
    changed, scanned = expanded["a.txt"], expanded["b c/d/e.bin"]
    assert (changed.last_commit.oid == sha, expanded["b c"].last_commit.oid == sha) == (True, False)
    assert (scanned.security.status, scanned.security.safe) == ("suspicious", False)
    with pytest.raises(RemoteEntryNotFoundError):
        list(api.list_repo_tree("tester/m", "nowhere"))


def test_paths_info(hub: Hub, api: HfApi) -> None:
    hub.add("tester/m", {"a.txt": "hello\n", "b/c.txt": "c"})
    found: dict[str, Any] = {
        one.path: one for one in api.get_paths_info("tester/m", ["a.txt", "b", "none"], expand=True)
    }
    assert set(found) == {"a.txt", "b"}
    assert found["a.txt"].blob_id == "ce013625030ba8dba906f756967f9e9ca394464a"  # git hash-object


def test_preupload_spares_what_is_there_and_ignores_what_git_would(hub: Hub, api: HfApi, tmp_path: Path) -> None:
    hub.add("tester/m")
    texts = {
        "README.md": "---\nlicense: mit\n---\n",
        ".gitignore": "*.log\nruns/\n",
        "a.log": "-",
        "runs/x": "-",
    }
    for name, content in texts.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    (tmp_path / "raw").write_bytes(b"\0\1")
    (tmp_path / "w.safetensors").write_bytes(b"w" * 100)
    (tmp_path / "empty.bin").write_bytes(b"")  # the client sends it as text, whatever the Hub says
    first = api.upload_folder(repo_id="tester/m", folder_path=tmp_path, ignore_patterns="hf/**")
    repo = hub.repo("tester/m")
    assert repo.paths() == [".gitattributes", ".gitignore", "README.md", "empty.bin", "raw", "w.safetensors"]
    assert [path for path in repo.paths() if repo.at().files[path].sha256] == ["raw", "w.safetensors"]
    left = ["hf/**", "*.log", "runs/**"]  # with a file that is ignored, the client sends a commit of nothing
    assert api.upload_folder(repo_id="tester/m", folder_path=tmp_path, ignore_patterns=left).oid == first.oid
    assert len(repo.commits) == 2


def test_lfs_upload_in_one_piece_is_sent_once(hub: Hub, api: HfApi) -> None:
    hub.add("tester/m")
    hub.add("crew/m")
    content = b"weights" * 1000
    for repo in ("tester/m", "crew/m"):
        api.upload_file(path_or_fileobj=content, path_in_repo="w.bin", repo_id=repo)
        assert hub.repo(repo).read("w.bin") == content
    assert [one.handler for one in hub.requests if one.handler.startswith("lfs.")] == [
        *("lfs.batch", "lfs.put", "lfs.verify"),
        "lfs.batch",
    ]


def test_lfs_upload_in_parts(hub: Hub, api: HfApi, tmp_path: Path) -> None:
    hub.add("crew/d", kind="dataset")
    hub.part_size = 1000
    content = bytes(range(256)) * 10
    (tmp_path / "d.parquet").write_bytes(content)
    api.upload_file(
        path_or_fileobj=tmp_path / "d.parquet", path_in_repo="d.parquet", repo_id="crew/d", repo_type="dataset"
    )
    assert hub.repo("crew/d", "dataset").read("d.parquet") == content
    assert [one.handler for one in hub.requests].count("lfs.put_part") == 3


def test_lfs_refuses_what_is_not_what_it_says(hub: Hub) -> None:
    assert httpx2.put(f"{hub.endpoint}/lfs/{hub.door}/{'0' * 64}", content=b"x").status_code == 400
    assert (
        httpx2.put(f"{hub.endpoint}/lfs/elsewhere/{hashlib.sha256(b'x').hexdigest()}", content=b"x").status_code == 403
    )
    assert hub.large == {}


def test_commit_adds_copies_and_deletes(hub: Hub, api: HfApi) -> None:
    repo = hub.add("tester/m", {"old.txt": "o", "dir/a": "a", "dir/b": "b", "w.bin": b"w"})
    hub.add("crew/m", {"other.txt": "x"})
    start = repo.at().sha
    done = api.create_commit(
        "tester/m",
        [
            add("new.txt", "n"),
            CommitOperationCopy("w.bin", "w2.bin"),
            CommitOperationCopy("dir/a", "a.txt"),
            CommitOperationCopy("other.txt", "other.txt", src_repo_id="crew/m", src_repo_type="model"),
            CommitOperationDelete("old.txt"),
            CommitOperationDelete("dir/"),
        ],
        commit_message="All at once",
        commit_description="why",
        parent_commit=start,
    )
    assert repo.paths() == [".gitattributes", "a.txt", "new.txt", "other.txt", "w.bin", "w2.bin"]
    assert (repo.read("w2.bin"), repo.read("a.txt"), repo.read("other.txt")) == (b"w", b"a", b"x")
    assert done.oid == repo.at().sha
    assert done.commit_url == f"{hub.endpoint}/tester/m/commit/{done.oid}"
    assert (repo.at().title, repo.at().message, repo.at().parents) == ("All at once", "why", (start,))
    assert repo.paths(start) == [".gitattributes", "dir/a", "dir/b", "old.txt", "w.bin"]


def test_commit_refuses_as_a_whole(hub: Hub, api: HfApi) -> None:
    repo = hub.add("tester/m", {"a": "a"})
    start = repo.at().sha
    hub.commit("tester/m", {"a": "meanwhile"})
    last = repo.at().sha
    with refused(412):
        api.create_commit("tester/m", [add("a", "mine")], commit_message="m", parent_commit=start)
    with pytest.raises(RemoteEntryNotFoundError):
        api.create_commit("tester/m", [add("b", "b"), CommitOperationDelete("none")], commit_message="m")
    with pytest.raises(RevisionNotFoundError):
        api.create_commit("tester/m", [add("b", "b")], commit_message="m", revision="none")
    with refused(403):
        HfApi(token=hub.account("stranger")).create_commit("tester/m", [add("b", "b")], commit_message="m")
    with pytest.raises(RepositoryNotFoundError):
        api.create_commit("tester/none", [add("b", "b")], commit_message="m")
    never_sent = '{"key":"header","value":{"summary":"m"}}\n{"key":"lfsFile","value":{"path":"w","oid":"%s"}}' % (
        "0" * 64
    )
    asked = httpx2.post(
        f"{hub.endpoint}/api/models/tester/m/commit/main",
        content=never_sent,
        headers={"Authorization": f"Bearer {hub.token}"},
    )
    assert asked.status_code == 400
    assert repo.at().sha == last


def test_commit_deletes_what_the_folder_no_longer_has(hub: Hub, api: HfApi, tmp_path: Path) -> None:
    repo = hub.add("tester/m", {"a.txt": "a", "gone.txt": "g"})
    (tmp_path / "up").mkdir()
    (tmp_path / "up" / "a.txt").write_text("b")
    api.upload_folder(repo_id="tester/m", folder_path=tmp_path / "up", delete_patterns="*.txt")
    assert repo.paths() == [".gitattributes", "a.txt"]
    api.super_squash_history("tester/m", commit_message="one")
    assert (len(repo.history()), repo.read("a.txt")) == (1, b"b")


def test_download_by_head_get_and_range(hub: Hub, api: HfApi) -> None:
    content = bytes(range(200))
    repo = hub.add("tester/m", {"w.bin": content, "a/b.json": "{}"})
    path = Path(api.hf_hub_download("tester/m", "w.bin"))
    assert path.read_bytes() == content
    assert path.parent.name == repo.at().sha
    assert path.resolve().name == hashlib.sha256(content).hexdigest()
    assert Path(api.hf_hub_download("tester/m", "b.json", subfolder="a")).read_bytes() == b"{}"
    there = f"{hub.endpoint}/tester/m/resolve/main/w.bin"
    for wanted, got in (("bytes=3-5", content[3:6]), ("bytes=190-", content[190:]), ("bytes=-4", content[-4:])):
        answer = httpx2.get(there, headers={"Range": wanted})
        assert (answer.status_code, answer.content) == (206, got)
        assert answer.headers["Content-Range"].endswith("/200")
    assert httpx2.get(there, headers={"Range": "bytes=200-"}).status_code == 416
    with pytest.raises(RemoteEntryNotFoundError):
        api.hf_hub_download("tester/m", "none.txt")
    assert list((path.parents[2] / ".no_exist" / repo.at().sha).iterdir())  # the client remembers what is not there
    meta = api.get_hf_file_metadata(url=there)
    assert (meta.commit_hash, meta.size, meta.etag) == (repo.at().sha, 200, hashlib.sha256(content).hexdigest())


def test_safetensors_header_is_read_by_range(hub: Hub, api: HfApi, tiny_encoder: Path) -> None:
    hub.add("tester/m", {"model.safetensors": (tiny_encoder / "model.safetensors").read_bytes()})
    found = api.get_safetensors_metadata("tester/m")
    info = api.model_info("tester/m").safetensors
    assert info
    assert dict(found.parameter_count) == info.parameters


def test_snapshot_then_offline_then_verified(hub: Hub, api: HfApi, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    repo = hub.add("tester/m", {"w.bin": b"w" * 50, "a/b.txt": "b"})
    folder = Path(api.snapshot_download("tester/m", allow_patterns=["*.bin", "a/*"]))
    assert sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()) == ["a/b.txt", "w.bin"]
    hub.requests.clear()
    with monkeypatch.context() as offline:
        offline.setattr(constants, "HF_HUB_OFFLINE", True)
        assert api.snapshot_download("tester/m", allow_patterns=["*.bin", "a/*"]) == str(folder)
        with pytest.raises(LocalEntryNotFoundError):
            api.hf_hub_download("tester/m", "never.txt")
    assert hub.requests == []
    api.snapshot_download("tester/m", revision=repo.at().sha)
    assert not api.verify_repo_checksums("tester/m").mismatches
    (folder / "w.bin").unlink()
    (folder / "w.bin").write_bytes(b"tampered")
    assert [one["path"] for one in api.verify_repo_checksums("tester/m").mismatches] == ["w.bin"]
