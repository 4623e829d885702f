"""Repositories and files: every request that the unmodified client makes is answered as the client reads it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import httpx2
import pytest
from huggingface_hub import (
    CommitOperationAdd,
    CommitOperationCopy,
    CommitOperationDelete,
    HfApi,
    ModelCard,
    SpaceHardware,
)
from huggingface_hub.errors import (
    DisabledRepoError,
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from tests.hub import Hub

CARD = """---
license: mit
base_model: crew/base
datasets:
- crew/texts
language: en
pipeline_tag: fill-mask
---
# M
"""


@pytest.fixture
def api(hub: Hub) -> HfApi:
    return HfApi()


def add(path: str, content: bytes | str) -> CommitOperationAdd:
    return CommitOperationAdd(path, content.encode() if isinstance(content, str) else content)


def refused(status: int) -> pytest.RaisesExc[HfHubHTTPError]:
    return pytest.RaisesExc(HfHubHTTPError, check=lambda error: error.response.status_code == status)


def test_whoami(hub: Hub, api: HfApi) -> None:
    me = api.whoami()
    assert (me["name"], me["type"], [one["name"] for one in me["orgs"]]) == ("tester", "user", ["crew"])
    assert me["auth"]["accessToken"]["role"] == "write"
    with pytest.raises(HfHubHTTPError, match="Invalid user token"):
        api.whoami(token="hf_wrong")


def test_create_repo(hub: Hub, api: HfApi) -> None:
    made = api.create_repo("tester/m")
    assert (made.repo_id, made.repo_type, made.url) == ("tester/m", "model", f"{hub.endpoint}/tester/m")
    with refused(409):
        api.create_repo("tester/m")
    assert api.create_repo("tester/m", exist_ok=True).repo_id == "tester/m"
    assert api.create_repo("crew/d", repo_type="dataset", private=True).url == f"{hub.endpoint}/datasets/crew/d"
    assert hub.repo("crew/d", "dataset").private
    with refused(403):
        api.create_repo("stranger/m")
    with refused(403):
        HfApi(token=hub.account("reader", role="read")).create_repo("reader/m")


def test_create_space_needs_a_plan_unless_it_is_static(hub: Hub, api: HfApi) -> None:
    with refused(402):
        api.create_repo("tester/demo", repo_type="space", space_sdk="gradio")
    api.create_repo("tester/demo", repo_type="space", space_sdk="static")
    # the paywall comes before "it exists": the client looks for itself
    assert api.create_repo("tester/demo", repo_type="space", space_sdk="gradio", exist_ok=True).repo_id == "tester/demo"
    api.create_repo("tester/zero", repo_type="space", space_sdk="gradio", space_hardware=SpaceHardware.ZERO_A10G)
    member = HfApi(token=hub.account("member", plan="pro"))
    given = [{"key": "K", "value": "v"}]
    member.create_repo("member/demo", repo_type="space", space_sdk="gradio", space_secrets=given, space_variables=given)
    space = hub.repo("member/demo", "space").space
    assert space
    assert space.sdk == "gradio"
    assert (set(space.secrets), set(space.variables)) == ({"K"}, {"K"})


def test_delete_repo(hub: Hub, api: HfApi) -> None:
    hub.add("tester/m")
    hub.add("stranger/m")
    api.delete_repo("tester/m")
    assert not hub.has("tester/m")
    with pytest.raises(RepositoryNotFoundError):
        api.delete_repo("tester/m")
    api.delete_repo("tester/m", missing_ok=True)
    with refused(403):
        api.delete_repo("stranger/m")


def test_move_repo_redirects_the_old_name(hub: Hub, api: HfApi) -> None:
    hub.add("tester/old", {"config.json": "{}"})
    api.move_repo("tester/old", "crew/new")
    assert api.model_info("tester/old").id == "crew/new"
    assert Path(api.hf_hub_download("tester/old", "config.json")).read_text() == "{}"
    api.create_commit("tester/old", [add("a.txt", "a")], commit_message="by the old name")
    assert hub.repo("crew/new").read("a.txt") == b"a"
    api.move_repo("crew/new", "tester/newest")
    assert api.model_info("tester/old").id == "tester/newest"
    hub.add("tester/taken")
    with refused(409):
        api.move_repo("tester/newest", "tester/taken")
    api.create_repo("tester/old")  # who takes the name back ends the redirection
    assert api.model_info("tester/old").id == "tester/old"


def test_model_info(hub: Hub, api: HfApi, tiny_encoder: Path) -> None:
    import torch
    from safetensors.torch import load_file

    weights = (tiny_encoder / "model.safetensors").read_bytes()
    index = "- dataset:\n    id: crew/bench\n    task_id: t\n  value: 0.5\n"
    row = "model-index:\n- name: m\n  results: []\n---\n"
    hub.add("crew/base")
    repo = hub.add(
        "tester/m",
        {
            "README.md": CARD.replace("---\n#", row + "#"),
            "model.safetensors": weights,
            "config.json": '{"model_type": "bert", "architectures": ["BertModel"], "hidden_size": 32}',
            "run.bin": b"\x80\x04.",
            ".eval_results/a.yaml": index,
            ".eval_results/b.yaml": "[",
        },
    )
    repo.scan["run.bin"] = "unsafe"
    repo.gated, repo.shows["downloads"] = "auto", 12
    info = api.model_info("tester/m", files_metadata=True, securityStatus=True)
    assert (info.id, info.author, info.sha, info.private, info.gated, info.disabled) == (
        *("tester/m", "tester", repo.at().sha),
        *(False, "auto", False),
    )
    assert info.downloads == 12
    assert info.created_at
    assert info.card_data
    assert (info.card_data.license, info.card_data.base_model, info.pipeline_tag) == ("mit", "crew/base", "fill-mask")
    assert {"license:mit", "base_model:crew/base", "base_model:finetune:crew/base", "dataset:crew/texts", "en"} <= set(
        info.tags or []
    )
    assert info.config == {"model_type": "bert", "architectures": ["BertModel"]}
    count = sum(
        one.numel() for one in load_file(tiny_encoder / "model.safetensors").values() if one.dtype == torch.float32
    )
    assert info.safetensors
    assert (info.safetensors.parameters["F32"], info.safetensors.total) == (count, info.safetensors.total)
    files = {one.rfilename: one for one in info.siblings or []}
    lfs = files["model.safetensors"].lfs
    assert lfs
    assert (lfs.sha256, lfs.size) == (hashlib.sha256(weights).hexdigest(), len(weights))
    assert files["config.json"].lfs is None
    issues = [{"path": "run.bin", "level": "unsafe"}]
    assert info.security_repo_status == {"scansDone": True, "filesWithIssues": issues}
    named = api.model_info("tester/m", expand=["sha", "evalResults", "baseModels", "model-index"])
    assert named.eval_results
    assert [(one.dataset_id, one.value) for one in named.eval_results] == [("crew/bench", 0.5)]
    assert (named.base_models, named.tags) == (["crew/base"], None)
    assert api.model_info("crew/base", expand=["childrenModelCount"]).children_model_count == 1
    assert api.model_info("tester/m", revision=repo.at().sha).sha == repo.at().sha
    with pytest.raises(RevisionNotFoundError):
        api.model_info("tester/m", revision="v9")
    with pytest.raises(RepositoryNotFoundError):
        api.model_info("tester/none")
    assert api.resolve_revision("tester/m").resolved == repo.at().sha


def test_dataset_and_space_info(hub: Hub, api: HfApi) -> None:
    hub.add("crew/texts", {"README.md": "---\nlicense: cc0-1.0\n---\n"}, "dataset")
    hub.add("crew/demo", {"README.md": "---\nsdk: static\nmodels: [crew/base]\n---\n"}, "space")
    hub.add("crew/base")
    data = api.dataset_info("crew/texts", revision="main")
    assert data.card_data
    assert (data.id, data.card_data.license) == ("crew/texts", "cc0-1.0")
    space = api.space_info("crew/demo")
    assert (space.sdk, space.models, space.runtime and space.runtime.stage) == ("static", ["crew/base"], "NO_APP_FILE")
    assert api.model_info("crew/base").spaces == ["crew/demo"]


def test_list_models(hub: Hub, api: HfApi) -> None:
    for number in range(5):
        hub.add(f"tester/child{number}", {"README.md": CARD})
    hub.add("crew/base")
    hub.add("stranger/secret", {"README.md": CARD}).private = True
    hub.page = 2  # three pages
    assert [one.id for one in api.list_models(filter="base_model:crew/base")] == [f"tester/child{n}" for n in range(5)]
    assert [one.id for one in api.list_models(filter="base_model:adapter:crew/base")] == []
    assert [one.id for one in api.list_models(author="crew", search="BAS")] == ["crew/base"]
    assert len(list(api.list_models(limit=3))) == 3
    assert len(hub.asked("/api/models")) == 3 + 1 + 1 + 2
    card = next(iter(api.list_models(filter=["license:mit", "en"], cardData=True))).card_data
    assert card
    assert card.base_model == "crew/base"


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


def test_refs_and_commits(hub: Hub, api: HfApi) -> None:
    first = hub.add("tester/m").at().sha
    last = hub.commit("tester/m", {"a": "a"})
    refs = api.list_repo_refs("tester/m", include_pull_requests=True)
    assert [(one.name, one.ref, one.target_commit) for one in refs.branches] == [("main", "refs/heads/main", last)]
    assert (refs.tags, refs.pull_requests) == ([], [])
    assert [one.commit_id for one in api.list_repo_commits("tester/m")] == [last, first]
    assert [one.title for one in api.list_repo_commits("tester/m", revision=first)] == ["initial commit"]


def test_branches_and_tags(hub: Hub, api: HfApi) -> None:
    first = hub.add("tester/m").at().sha
    last = hub.commit("tester/m", {"a": "a"})
    api.create_branch("tester/m", branch="dev/x")
    api.create_branch("tester/m", branch="old", revision=first)
    api.create_tag("tester/m", tag="v1", revision=first, tag_message="one")
    assert (hub.repo("tester/m").branches, hub.repo("tester/m").tags) == (
        {"main": last, "dev/x": last, "old": first},
        {"v1": first},
    )
    assert api.model_info("tester/m", revision="v1").sha == first
    with refused(409):
        api.create_branch("tester/m", branch="old")
    with refused(409):
        api.create_tag("tester/m", tag="v1")
    api.create_branch("tester/m", branch="old", exist_ok=True)
    api.create_tag("tester/m", tag="v1", exist_ok=True)
    api.delete_branch("tester/m", branch="dev/x")
    api.delete_tag("tester/m", tag="v1")
    assert (set(hub.repo("tester/m").branches), hub.repo("tester/m").tags) == ({"main", "old"}, {})
    with pytest.raises(RevisionNotFoundError):
        api.delete_tag("tester/m", tag="v1")


def test_settings_and_auth_check(hub: Hub, api: HfApi) -> None:
    hub.add("tester/m")
    stranger = HfApi(token=hub.account("stranger"))
    api.auth_check("tester/m", write=True)
    stranger.auth_check("tester/m")
    with refused(403):
        stranger.auth_check("tester/m", write=True)
    api.update_repo_settings("tester/m", gated="manual")
    with pytest.raises(GatedRepoError):
        stranger.auth_check("tester/m")
    api.update_repo_settings("tester/m", gated=False, visibility="private")
    with pytest.raises(RepositoryNotFoundError):
        stranger.auth_check("tester/m")
    hub.add("stranger/m")
    with refused(403):
        api.update_repo_settings("stranger/m", visibility="private")


def test_validate_yaml(hub: Hub, api: HfApi) -> None:
    hub.add("tester/m")
    ModelCard(CARD).validate()
    for wrong, why in (
        ("license: my-own", "license"),
        ("base_model: ./runs/base/x", "base_model"),
        ("tags: [", "Invalid YAML"),
        ("model-index: {}", "model-index"),
    ):
        with pytest.raises(ValueError, match=why):
            api._validate_yaml(f"---\n{wrong}\n---\n")
    with pytest.raises(ValueError, match="colorFrom"):
        api._validate_yaml("---\nsdk: static\ncolorFrom: teal\n---\n", repo_type="space")
    with pytest.warns(UserWarning, match="empty or missing yaml metadata"):
        api._validate_yaml("# no metadata")
    ModelCard(CARD).push_to_hub("tester/m")
    assert hub.repo("tester/m").read("README.md").decode() == CARD
    with pytest.raises(ValueError, match="license"):
        api.create_commit("tester/m", [add("README.md", "---\nlicense: none\n---\n")], commit_message="bad")


def test_preupload_spares_what_is_there_and_ignores_what_git_would(hub: Hub, api: HfApi, tmp_path: Path) -> None:
    hub.add("tester/m")
    for name, content in {"README.md": CARD, ".gitignore": "*.log\nruns/\n", "a.log": "-", "runs/x": "-"}.items():
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


def test_private_gated_disabled(hub: Hub, api: HfApi) -> None:
    private, gated, disabled = (hub.add(f"crew/{name}", {"a": "a"}) for name in ("private", "gated", "disabled"))
    private.private, gated.gated, disabled.disabled = True, "manual", True
    stranger = HfApi(token=hub.account("stranger"))
    nobody = HfApi(token=False)
    for other in (stranger, nobody):
        with pytest.raises(RepositoryNotFoundError):
            other.model_info("crew/private")
        with pytest.raises(RepositoryNotFoundError):
            other.hf_hub_download("crew/private", "a")
        assert other.model_info("crew/gated").gated == "manual"  # what it is may be read, its files may not
        with pytest.raises(GatedRepoError):
            other.hf_hub_download("crew/gated", "a")
    with pytest.raises(DisabledRepoError):
        stranger.get_hf_file_metadata(url=f"{hub.endpoint}/crew/disabled/resolve/main/a")
    assert not stranger.repo_exists("crew/private")
    assert api.repo_exists("crew/private")
    gated.readers.add("stranger")
    assert Path(stranger.hf_hub_download("crew/gated", "a")).read_text() == "a"
    assert Path(api.hf_hub_download("crew/private", "a")).read_text() == "a"


def test_one_segment_ids(hub: Hub, api: HfApi) -> None:
    repo = hub.add("bert-base", {"config.json": "{}"})
    assert api.model_info("bert-base", revision="main").sha == repo.at().sha
    assert [one.path for one in api.list_repo_tree("bert-base")] == [".gitattributes", "config.json"]
    assert Path(api.hf_hub_download("bert-base", "config.json")).read_text() == "{}"
