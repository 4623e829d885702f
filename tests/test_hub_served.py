"""The loopback Hub itself: it hashes as git does, keeps to this machine, serves a person, and knows no unused route."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import pytest
from huggingface_hub import HfApi
from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError

from tests.hub import Hub, git, guard
from tests.hub.plugin import ASKED
from tests.hub.server import ROUTES, named, respond
from tests.hub.store import Commit
from tests.hub.wire import Request
from tests.hub.xet import unusable

ROOT = Path(__file__).parents[1]


def real_git(store: Path, work: Path, commit: Commit, *words: str) -> str:
    """Run git on a store and a folder, as the author of ``commit`` at its time."""
    who = {
        "NAME": commit.author,
        "EMAIL": f"{commit.author}@hub.invalid",
        "DATE": f"{int(commit.date.timestamp())} +0000",
    }
    said = {f"GIT_{role}_{what}": value for role in ("AUTHOR", "COMMITTER") for what, value in who.items()}
    command = ["git", "--git-dir", str(store), "--work-tree", str(work), "-c", "core.autocrlf=false", *words]
    done = subprocess.run(command, cwd=work, env={**os.environ, **said}, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_hashes_are_those_of_git(hub: Hub, tmp_path: Path) -> None:
    repo = hub.add("tester/m", {"a.txt": "a\n", "a/b.txt": "b", "a-b": "", "é/c": "c", "a/d/e": "e"})
    hub.commit("tester/m", {"a.txt": "again", "a/b.txt": None})
    store = tmp_path / "git"
    for commit in reversed(repo.history()):
        work = tmp_path / commit.sha
        for path in repo.paths(commit.sha):
            (work / path).parent.mkdir(parents=True, exist_ok=True)
            (work / path).write_bytes(repo.read(path, commit.sha))
        real_git(store, work, commit, "init", "--quiet")
        real_git(store, work, commit, "add", "--all", "--force", ".")
        tree = real_git(store, work, commit, "write-tree")
        assert tree == git.tree_oid(commit.files)
        assert real_git(store, work, commit, "rev-parse", f"{tree}:a") == git.tree_oid(commit.files, "a")
        parents = [word for sha in commit.parents for word in ("-p", sha)]
        assert real_git(store, work, commit, "commit-tree", tree, *parents, "-m", commit.title) == commit.sha


def test_large_files_are_pointers_in_git() -> None:
    # the pointer of the specification of Git LFS, through `git hash-object --stdin` and `wc -c`
    file = git.pointed("4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393", 12345)
    assert (file.oid, file.pointer_size) == ("60c8d8ab2adcf57a391163a7eeb0cdb8bf348e44", 130)


def test_a_connection_off_the_loopback_is_refused_and_remembered() -> None:
    with socket.socket() as one, pytest.raises(socket.gaierror, match="is not this machine"):
        one.connect(("192.0.2.1", 80))  # an address for documentation: nobody has it
    with pytest.raises(socket.gaierror):
        socket.getaddrinfo("hub.invalid", 443)
    with pytest.raises(socket.gaierror):
        socket.getaddrinfo("datasets-server.127.0.0.1", 80)  # asked for by datasets; cannot exist, so not counted
    assert guard.strayed == ["socket.connect 192.0.2.1", "socket.getaddrinfo hub.invalid"]
    guard.strayed.clear()
    assert socket.getaddrinfo("localhost", 80)


def test_a_test_that_strays_fails_even_if_the_error_is_swallowed(tmp_path: Path) -> None:
    (tmp_path / "test_stray.py").write_text(
        "import contextlib, socket\n"
        "def test_stray():\n"
        "    with contextlib.suppress(OSError), socket.socket() as one:\n"
        "        one.connect(('192.0.2.1', 80))\n"
        "def test_home():\n"
        "    pass\n"
    )
    words = [sys.executable, "-m", "pytest", "-q", "-p", "tests.hub.plugin", "-p", "no:cacheprovider", str(tmp_path)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert "connections off the loopback: ['socket.connect 192.0.2.1']" in done.stdout
    assert "2 passed, 1 error" in done.stdout


def test_python_m_serves_a_person(hub: Hub, tmp_path: Path) -> None:
    words = [sys.executable, "-u", "-m", "tests.hub", "--port", "0"]
    started = subprocess.Popen(
        words,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a worker of xdist ignores it
    )
    with started as server:
        assert server.stdout
        assert server.stderr
        said = ""
        while "curl" not in said:
            said += server.stdout.readline()
        exported = dict(re.findall(r"^export (\w+)=(.+)$", said, re.MULTILINE))
        assert set(exported) == {"HF_ENDPOINT", "HF_TOKEN", "HF_HUB_DISABLE_XET"}
        script = (
            "from huggingface_hub import HfApi; api = HfApi(); api.create_repo('tester/m');"
            "api.upload_file(path_or_fileobj=b'x', path_in_repo='w.bin', repo_id='tester/m');"
            "print(api.list_repo_files('tester/m'))"
        )
        client = subprocess.run(
            [sys.executable, "-c", script], env={**os.environ, **exported}, capture_output=True, text=True, check=True
        )
        assert client.stdout.strip() == "['.gitattributes', 'w.bin']"
        server.send_signal(signal.SIGINT)
        _, seen = server.communicate(timeout=10)
    assert server.returncode == 0
    assert '"POST /api/models/tester/m/commit/main HTTP/1.1" 200' in seen
    assert exported["HF_TOKEN"] not in seen
    assert not hub.has("tester/m")


def test_a_process_that_a_test_starts_talks_to_the_same_hub(hub: Hub) -> None:
    script = "from huggingface_hub import HfApi; HfApi().create_repo('tester/from-outside')"
    subprocess.run([sys.executable, "-c", script], check=True)
    assert hub.has("tester/from-outside")


def test_every_test_has_a_fresh_hub_and_empty_caches(hub: Hub, tmp_path: Path) -> None:
    assert (hub.repos, hub.requests) == ({}, [])
    hub.add("tester/m", {"a": "a"})
    assert HfApi().hf_hub_download("tester/m", "a").startswith(str(tmp_path))


def test_what_it_does_not_know_is_said(hub: Hub) -> None:
    answer = httpx2.get(f"{hub.endpoint}/api/papers/1")
    assert (answer.status_code, answer.json()["error"]) == (404, "The loopback Hub does not know GET /api/papers/1")


def test_its_own_errors_are_no_500(hub: Hub) -> None:
    ask = Request("POST", "/api/repos/create", {}, {}, b'{"no": "name"}', account=hub.accounts[hub.token])
    assert respond(hub, ask)[1].status == 400
    assert "KeyError: 'name'" in hub.broken.pop()


def test_many_clients_at_once(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.add("tester/m")
    commit = git.add_commit

    def slowly(*about: Any) -> Commit:
        time.sleep(0.01)  # long enough that commits would overtake each other
        return commit(*about)

    monkeypatch.setattr(git, "add_commit", slowly)

    def write(number: int) -> str:
        return HfApi().upload_file(path_or_fileobj=b"x" * number, path_in_repo=f"{number}.txt", repo_id="tester/m").oid

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(write, range(1, 17)))) == 16
    assert len(hub.repo("tester/m").history()) == 17
    assert len(hub.repo("tester/m").paths()) == 17


def test_errors_reach_the_person_as_the_real_ones_do(hub: Hub) -> None:
    hub.add("tester/m")
    with pytest.raises(EntryNotFoundError, match="Entry Not Found"):
        HfApi().hf_hub_download("tester/m", "none")
    with pytest.raises(HfHubHTTPError, match=r"You don't have the rights .*: tester/m"):
        HfApi(token=hub.account("stranger")).create_branch("tester/m", branch="b")


def test_every_route_was_asked(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    there = {item.path.name for item in request.session.items}
    if (
        not {path.name for path in Path(__file__).parent.glob("test_hub_*.py")} <= there
        or request.config.option.keyword
    ):
        pytest.skip("only a part of the tests of the Hub was chosen")
    spared = {"tokens.token", "repos.duplicate"} if unusable(tmp_path) else set()
    assert {named(handler) for _, _, handler in ROUTES} - ASKED - spared == set()
