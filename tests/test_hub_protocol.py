"""Accounts, repositories and their refs: what the unmodified client asks is answered as it reads it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from huggingface_hub import (
    HfApi,
    ModelCard,
    SpaceHardware,
)
from huggingface_hub.errors import (
    DisabledRepoError,
    GatedRepoError,
    HfHubHTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from tests.hub import Hub
from tests.hub.client import add, refused

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
    hub.add("tester/lora", {"README.md": CARD, "adapter_config.json": "{}"})
    assert [one.id for one in api.list_models(filter="base_model:adapter:crew/base")] == ["tester/lora"]
    assert [one.id for one in api.list_models(author="crew", search="BAS")] == ["crew/base"]
    assert len(list(api.list_models(limit=3))) == 3
    assert len(hub.asked("/api/models")) == 3 + 1 + 1 + 2
    card = next(iter(api.list_models(filter=["license:mit", "en"], cardData=True))).card_data
    assert card
    assert card.base_model == "crew/base"


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
