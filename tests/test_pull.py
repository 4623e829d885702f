"""Pulling a base from the loopback Hub with the unmodified client: one commit, what is loaded, and each refusal."""

from __future__ import annotations

import errno
import hashlib
import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import httpx2
import numpy as np
import pytest
from huggingface_hub import HfApi, constants, file_download, hf_hub_download
from safetensors.numpy import save

from audit.errors import InputError, Unavailable
from audit.models.commit import commit_of
from audit.models.lineage import base_of
from audit.models.pull import refuse_hostile
from audit.models.source import resolve
from audit.publish.diligence.lineage import diligence
from tests.hub import Hub
from tests.hub.xet import Xet, unusable

WEIGHTS = save({"embedding": np.arange(4_000, dtype=np.float32).reshape(500, 8)})
PAPERS: dict[str, bytes | str] = {
    "README.md": "---\nlicense: mit\n---\n",
    "LICENSE": "MIT License",
    "config.json": json.dumps({"model_type": "bert", "vocab_size": 500}),
    "vocab.txt": "a\nb\n",
}
MODEL = {**PAPERS, "model.safetensors": WEIGHTS}
HEAVY = {"pytorch_model.bin": b"p", "tf_model.h5": b"h", "flax_model.msgpack": b"f", "onnx/model.onnx": b"o"}


@pytest.fixture
def naps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that the client wants to wait between its tries; it is not made to."""
    found: list[float] = []
    monkeypatch.setattr(time, "sleep", found.append)
    return found


def fetched(hub: Hub) -> list[str]:
    """Return the files whose content was asked for, in order."""
    return [one.path.split("/resolve/")[1].partition("/")[2] for one in hub.asked("/resolve/", "GET")]


def sha256(content: bytes | str) -> str:
    return hashlib.sha256(content if isinstance(content, bytes) else content.encode()).hexdigest()


# --- what is pulled ---------------------------------------------------------------------------------------------------


def test_a_pull_is_about_one_commit_and_takes_what_is_loaded(hub: Hub) -> None:
    repo = hub.add("tester/m", MODEL | HEAVY | {"consolidated.safetensors": WEIGHTS, "modeling.py": "boom"})
    commit = repo.at().sha
    found = resolve("tester/m")
    assert sorted(fetched(hub)) == sorted(MODEL)
    assert {one.path.split("/")[4] for one in hub.asked("/resolve/")} == {commit}
    asked = [one.path for one in hub.asked("/api/models/tester/m") if "/tree/" not in one.path]
    assert len(asked) == 1  # what the name means today
    assert (found.revision, found.license) == (commit, "mit")
    hashed = {name: sha256(MODEL[name]) for name in ("config.json", "vocab.txt", "model.safetensors")}
    assert found.files == hashed
    hub.requests.clear()
    assert resolve("tester/m", commit) == found
    assert fetched(hub) == []
    hub.commit("tester/m", {"config.json": json.dumps({"model_type": "bert", "vocab_size": 501})})
    assert resolve("tester/m", commit) == found
    newer = resolve("tester/m")
    assert newer.revision == repo.at().sha
    assert fetched(hub) == ["config.json"]  # the rest lies there already


def sharded(shards: dict[str, str]) -> dict[str, bytes | str]:
    index = {"metadata": {"total_size": 1}, "weight_map": shards}
    files = {name: save({key: np.zeros(2, np.float32)}) for key, name in shards.items() if "/" not in name}
    return {**PAPERS, **files, "model.safetensors.index.json": json.dumps(index)}


def test_shards_are_those_of_the_index(hub: Hub) -> None:
    first, second = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
    files = sharded({"a": first, "b": second}) | {"consolidated.safetensors": WEIGHTS}
    hub.add("tester/m", files)
    assert {name for name in resolve("tester/m").files if name.endswith(".safetensors")} == {first, second}
    hub.add("tester/both", files | {"model.safetensors": WEIGHTS})
    found = resolve("tester/both").files
    assert {name for name in found if name.endswith(".safetensors")} == {"model.safetensors"}
    hub.add("tester/less", {name: content for name, content in files.items() if name != second})
    with pytest.raises(InputError, match=f"^tester/less: its model.safetensors.index.json names '{second}', which it"):
        resolve("tester/less")
    hub.add("tester/out", sharded({"a": first, "b": "../../../other/model.safetensors"}))
    with pytest.raises(InputError, match=r"names '\.\./\.\./\.\./other/model\.safetensors', which it does not have"):
        resolve("tester/out")
    hub.add("tester/odd", {**files, "model.safetensors.index.json": "[]"})
    with pytest.raises(InputError, match=r"^tester/odd: its model\.safetensors\.index\.json is none"):
        resolve("tester/odd")


def test_inner_modules_and_an_adapter(hub: Hub) -> None:
    modules = [{"path": ""}, {"path": "1_Pooling"}, {"path": "2_Dense"}, {"path": "../elsewhere"}]
    inner: dict[str, bytes | str] = {
        "1_Pooling/config.json": "{}",
        "2_Dense/config.json": "{}",
        "2_Dense/model.safetensors": WEIGHTS,
    }
    hub.add("tester/s", MODEL | inner | {"modules.json": json.dumps(modules), "2_Dense/pytorch_model.bin": b"p"})
    assert set(resolve("tester/s").files) == {*MODEL, *inner, "modules.json"} - {"README.md", "LICENSE"}
    named = json.dumps({"peft_type": "LORA", "base_model_name_or_path": "tester/s"})
    adapter: dict[str, bytes | str] = {
        "adapter_config.json": named,
        "adapter_model.safetensors": WEIGHTS,
        "README.md": "# no metadata\n",
    }
    hub.add("tester/a", adapter | {"optimizer.pt": b"o", "checkpoint-10/adapter_model.safetensors": WEIGHTS})
    hub.requests.clear()
    assert base_of("tester/a") == "tester/s"
    assert "adapter_model.safetensors" not in fetched(hub)  # to look needs no weights
    assert set(resolve("tester/a").files) == {"adapter_config.json", "adapter_model.safetensors"}
    assert sorted(fetched(hub)) == sorted(adapter)


def test_without_weights_it_is_looked_at_only(hub: Hub) -> None:
    hub.add("tester/m", MODEL)
    found = resolve("tester/m", weights=False)
    assert "model.safetensors" not in found.files
    assert sorted(fetched(hub)) == sorted(PAPERS)
    hub.add("tester/old", {**PAPERS, "pytorch_model.bin": b"p"})
    with pytest.raises(InputError, match=r"come only as 'pytorch_model\.bin'"):
        resolve("tester/old", weights=False)


def test_no_pickle_arrives_and_diligence_says_that_there_is_one(hub: Hub, tmp_path: Path) -> None:
    hub.add("tester/m", MODEL | HEAVY)
    folder = resolve("tester/m").folder
    names = {file.name for file in folder.rglob("*")}
    assert not names & {Path(name).name for name in HEAVY}
    checks = {one.name: one for one in diligence("tester/m", None)}
    assert checks["formats"].evidence["pickles"] == ["pytorch_model.bin"]
    copied = tmp_path / "copied"
    shutil.copytree(folder, copied)
    assert {one.name: one.outcome for one in diligence(str(copied), None)}["pickles"] == "pass"


def test_progress_is_told_in_bytes(hub: Hub, capfd: pytest.CaptureFixture[str]) -> None:
    hub.add("tester/m", MODEL)
    told: list[tuple[str, int, int]] = []
    resolve("tester/m", tick=lambda *said: told.append(said))
    size = sum(len(content) for content in MODEL.values())
    assert told
    assert {stage for stage, _, _ in told} == {"pull"}
    assert max(done for _, done, _ in told) >= len(WEIGHTS)
    assert all(done <= total <= size for _, done, total in told)
    assert capfd.readouterr() == ("", "")


def test_large_files_in_chunks(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As most people pull: with xet on."""
    (tmp_path / "tried").mkdir()
    if reason := unusable(tmp_path / "tried"):
        pytest.skip(reason)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", False)
    hub.xet = Xet(tmp_path / "xet")
    hub.add("tester/m", PAPERS)
    up = tmp_path / "up"
    up.mkdir()
    (up / "model.safetensors").write_bytes(WEIGHTS)
    HfApi().upload_folder(repo_id="tester/m", folder_path=up)
    assert hub.large == {}
    told: list[int] = []
    found = resolve("tester/m", tick=lambda _, done, __: told.append(done))
    assert found.files["model.safetensors"] == sha256(WEIGHTS)
    assert max(told) >= len(WEIGHTS)
    assert "model.safetensors" not in fetched(hub)  # it came by another way
    (found.folder / "model.safetensors").resolve().write_bytes(WEIGHTS[::-1])
    with pytest.raises(InputError, match=r"model\.safetensors in the cache is damaged"):
        resolve("tester/m")


# --- without a network ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["offline", "no network"])
def test_what_was_pulled_is_found_without_a_network(hub: Hub, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    hub.add("tester/m", MODEL | HEAVY)
    hub.add("tester/n", MODEL)
    online = resolve("tester/m")
    looked = resolve("tester/n", weights=False)
    hub.add("tester/o", MODEL)
    hf_hub_download("tester/o", "config.json")  # by somebody else
    hf_hub_download("tester/o", "model.safetensors")
    if how == "offline":
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    else:
        monkeypatch.setattr("huggingface_hub.get_session", lambda: httpx2.Client(transport=Dead()))
    hub.requests.clear()
    assert resolve("tester/m") == online
    assert resolve("tester/m", online.revision) == online
    assert resolve("tester/n", weights=False) == looked
    assert set(resolve("tester/o").files) == {"config.json", "model.safetensors"}
    for name, revision in (("tester/n", None), ("tester/none", None), ("tester/m", "v9"), ("tester/m", "0" * 40)):
        with pytest.raises(Unavailable, match=f"^{name}: the Hub cannot be reached, and the model is not whole in its"):
            resolve(name, revision)
    assert not hub.requests


def test_what_was_pulled_is_found_while_the_hub_is_in_trouble(hub: Hub, naps: list[float]) -> None:
    hub.add("tester/m", MODEL)
    online = resolve("tester/m")
    hub.fail(503, "/tester/m", times=99)
    assert resolve("tester/m") == online


class Dead(httpx2.BaseTransport):
    """A network that is not there."""

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        raise httpx2.ConnectError("no route")


# --- refusals ---------------------------------------------------------------------------------------------------------


def missing(hub: Hub) -> str:
    hub.add("tester/m", MODEL)
    return "tester/none"


def private(hub: Hub) -> str:
    hub.add("other/m", MODEL).private = True
    return "other/m"


def gated(hub: Hub) -> str:
    hub.add("other/m", MODEL).gated = "manual"
    return "other/m"


def disabled(hub: Hub) -> str:
    hub.add("tester/m", MODEL).disabled = True
    return "tester/m"


def answering(status: int, path: str = "/api/models/tester/m", **more: Any) -> Callable[[Hub], str]:
    def plant(hub: Hub) -> str:
        hub.add("tester/m", MODEL)
        hub.fail(status, path, times=99, **more)
        return "tester/m"

    return plant


def only(files: dict[str, bytes | str]) -> Callable[[Hub], str]:
    def plant(hub: Hub) -> str:
        hub.add("tester/m", {**PAPERS, **files})
        return "tester/m"

    return plant


CODE = json.dumps({"model_type": "their_own", "auto_map": {"AutoConfig": "modeling.Config"}})
LISTED = "/tree/"
REFUSALS: dict[str, tuple[Callable[[Hub], str], type[Exception], str]] = {
    "missing": (missing, InputError, "no such model on the Hub (or it is private); check the name, or log in"),
    "private": (private, InputError, "no such model on the Hub (or it is private); check the name, or log in"),
    "gated": (gated, InputError, "gated on the Hub; accept its terms there, and log in"),
    "disabled": (disabled, InputError, "disabled on the Hub, nobody can pull it; choose another model"),
    "401": (answering(401), InputError, "does not accept the token (401); log in (hf auth login), or unset HF_TOKEN"),
    "401 later": (answering(401, "/resolve/"), InputError, "does not accept the token (401)"),
    "403": (answering(403), InputError, "this token may not read it (403); log in with a token that may read it"),
    "403 later": (answering(403, "/resolve/"), InputError, "this token may not read it (403)"),
    "429": (answering(429, retry_after=7), Unavailable, "lets nobody ask so often (429); try again in 7 s"),
    "429 later": (answering(429, LISTED, retry_after=7), Unavailable, "(429); try again in 7 s"),
    "429 without a time": (answering(429), Unavailable, "(429); try again later"),
    "500": (answering(500), Unavailable, "the Hub is in trouble (it answered 500); try again later"),
    "500 later": (answering(500, LISTED), Unavailable, "the Hub is in trouble (it answered 500)"),
    "503 of a file": (answering(503, "/model.safetensors"), Unavailable, "the Hub is in trouble (it answered 503)"),
    "418": (answering(418), InputError, "the Hub answered 418; check the name and the revision"),
    "only pickles": (only({"pytorch_model.bin": b"p"}), InputError, "its weights come only as 'pytorch_model.bin'; mo"),
    "only another name": (only({"x.safetensors": WEIGHTS}), InputError, "its weights come only as 'x.safetensors'"),
    "no weights": (only({}), InputError, "it has no weights; model.safetensors, or the shards of an index, are loaded"),
    "only code": (
        only({"config.json": CODE, "model.safetensors": WEIGHTS}),
        InputError,
        "only code that it brings can",
    ),
    "up": (only({"../evil.json": "{}"}), InputError, "it has a file '../evil.json', outside its own folder"),
    "another machine": (
        only({"\\\\there\\b.txt": "{}"}),
        InputError,
        "outside its own folder; nothing of it is pulled",
    ),
    "drive": (only({"C:evil.json": "{}"}), InputError, "it has a file 'C:evil.json', outside its own folder"),
    "up in Windows": (only({"a\\..\\..\\b.txt": "{}"}), InputError, "outside its own folder; nothing of it is pulled"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_each_refusal_is_one_line_with_the_next_step(hub: Hub, naps: list[float], case: str) -> None:
    plant, error, said = REFUSALS[case]
    name = plant(hub)
    with pytest.raises(error) as caught:
        resolve(name)
    line = str(caught.value)
    assert line.startswith(f"{name}: ")
    assert said in line
    assert "\n" not in line
    assert hub.token not in line
    assert hub.endpoint not in line
    if said.endswith("folder") or "nothing of it" in said:
        assert fetched(hub) == []


def test_an_absolute_path_is_refused() -> None:
    """By itself: git, and so our Hub, cannot hold one; a server that is none can say it."""
    with pytest.raises(InputError, match=r"^m: it has a file '/etc/cron\.d/x', outside its own folder; nothing of it"):
        refuse_hostile("m", ["config.json", "/etc/cron.d/x"])


def test_a_revision_that_is_not_there(hub: Hub) -> None:
    hub.add("tester/m", MODEL)
    for revision in ("v9", "0" * 40):
        with pytest.raises(InputError, match=f"^tester/m: no revision '{revision}' on the Hub; name a branch, a tag"):
            resolve("tester/m", revision)


def test_a_token_that_is_none(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.add("tester/m", MODEL)
    monkeypatch.setenv("HF_TOKEN", "hf_not_a_token")
    with pytest.raises(InputError, match=r"^tester/m: the Hub does not accept the token") as caught:
        resolve("tester/m")
    assert "hf_not_a_token" not in str(caught.value)


def test_a_renamed_repository_works_and_diligence_says_its_name(hub: Hub) -> None:
    hub.add("tester/old", MODEL)
    HfApi().move_repo("tester/old", "tester/new")
    found = resolve("tester/old")
    assert found.revision == hub.repo("tester/new").at().sha
    assert set(found.files) == {"config.json", "vocab.txt", "model.safetensors"}
    said = [one.said for one in diligence("tester/old", found.revision) if "tester/new" in one.said]
    assert said == ["'tester/old' is now called 'tester/new': name it so"]


@pytest.mark.parametrize(
    ("status", "error", "said"),
    [
        (401, InputError, "does not accept the token"),
        (403, InputError, "may not read it"),
        (429, Unavailable, "try again later"),
        (500, Unavailable, "is in trouble"),
    ],
)
def test_a_commit_is_refused_in_the_same_words(hub: Hub, status: int, error: type[Exception], said: str) -> None:
    hub.add("tester/m", MODEL)
    hub.fail(status, "/api/models/tester/m")
    with pytest.raises(error, match=said):
        commit_of("tester/m", "model")
    assert commit_of("tester/m", "model") == hub.repo("tester/m").at().sha


# --- what goes wrong on the way ---------------------------------------------------------------------------------------


def half_there(folder: Path) -> list[Path]:
    """Return what a later pull might trust though it is not whole."""
    whole = {sha256(content) for content in MODEL.values()}
    files = [file for file in folder.rglob("*") if file.is_file() and "safetensors" in file.name]
    return [file for file in files if sha256(file.read_bytes()) not in whole] + sorted(folder.rglob("*.incomplete"))


def test_a_connection_that_breaks_once_is_no_matter(hub: Hub, naps: list[float]) -> None:
    hub.add("tester/m", MODEL)
    hub.fail("cut", "/model.safetensors", "GET")
    assert resolve("tester/m").files["model.safetensors"] == sha256(WEIGHTS)
    assert naps == [1]
    assert len(hub.asked("/model.safetensors", "GET")) == 2


@pytest.mark.parametrize("failure", ["cut", "drop"])
def test_a_connection_that_keeps_breaking(hub: Hub, naps: list[float], tmp_path: Path, failure: Any) -> None:
    hub.add("tester/m", MODEL)
    hub.fail(failure, "/model.safetensors", "GET", times=6)
    with pytest.raises(Unavailable, match=r"^tester/m: the connection to the Hub broke off \(.+\); what came whole"):
        resolve("tester/m")
    assert half_there(tmp_path) == []
    hub.requests.clear()
    assert resolve("tester/m").files["model.safetensors"] == sha256(WEIGHTS)
    assert fetched(hub) == ["model.safetensors"]


class Full:
    """A file on a disk with room for some more bytes."""

    def __init__(self, file: BinaryIO, room: int) -> None:
        self.file, self.room = file, room

    def write(self, content: bytes) -> int:
        self.room -= len(content)
        if self.room < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return self.file.write(content)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)


def test_a_full_disk(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.add("tester/m", MODEL)
    get = file_download.http_get

    def cramped(url: str, file: BinaryIO, **more: Any) -> None:
        get(url, Full(file, 5_000), **more)  # type: ignore[arg-type]

    monkeypatch.setattr(file_download, "http_get", cramped)
    with pytest.raises(
        Unavailable, match=r"^tester/m: no room is left on the disk; make some where .+ lies, or set HF"
    ):
        resolve("tester/m")
    assert half_there(tmp_path) == []
    monkeypatch.setattr(file_download, "http_get", get)
    assert resolve("tester/m").files["model.safetensors"] == sha256(WEIGHTS)


@pytest.mark.parametrize("path", ["model.safetensors", "config.json", "README.md"])
@pytest.mark.parametrize("offline", [False, True])
def test_a_damaged_file_is_named_and_fetched_again_once_it_is_deleted(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, path: str, offline: bool
) -> None:
    hub.add("tester/m", MODEL)
    found = resolve("tester/m")
    blob = (found.folder / path).resolve()
    whole = blob.read_bytes()
    blob.write_bytes(whole[:-2] + b"?" + whole[-1:])
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", offline)
    with pytest.raises(
        InputError, match=f"^tester/m: {path} in the cache is damaged .+; delete (.+), and it"
    ) as caught:
        resolve("tester/m")
    named = Path(str(caught.value).partition("delete ")[2].rpartition(", and")[0])
    assert named == blob
    named.unlink()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    assert resolve("tester/m") == found
    assert blob.read_bytes() == whole
