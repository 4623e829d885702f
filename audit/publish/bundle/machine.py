"""What is private about this machine and who works on it: secrets, places, names."""

from __future__ import annotations

import getpass
import os
import re
import socket
import tempfile
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

__all__ = ["Machine", "this_machine"]

SECRET = re.compile(r"(?:^|_)(?:TOKEN|SECRET|PASSWORD|PASSWD|API_?KEY|ACCESS_KEY)(?:_|$)")
CARRIES = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HUGGINGFACEHUB_API_TOKEN")
KNOWN_ROOTS = frozenset({
    "Users", "Volumes", "content", "data", "datasets", "etc", "export", "gpfs", "home", "kaggle", "local", "lustre",
    "media", "mnt", "net", "nfs", "opt", "private", "proj", "project", "projects", "root", "run", "scratch", "shared",
    "srv", "storage", "tmp", "usr", "var", "work", "workspace", "workspaces",
})  # fmt: skip
EVERYWHERE = frozenset({"bin", "boot", "dev", "lib", "lib32", "lib64", "libx32", "lost+found", "proc", "sbin", "sys"})
OFTEN = frozenset({
    "admin", "administrator", "anonymous", "buildbot", "codespace", "colab", "computer", "container", "debian",
    "default", "desktop", "docker", "fedora", "gitlab", "guest", "jenkins", "jovyan", "laptop", "localdomain",
    "localhost", "machine", "macbook", "model", "nobody", "notebook", "python", "runner", "sandbox", "server", "ubuntu",
    "vagrant", "vscode", "worker", "workstation",
})  # fmt: skip
"""Names of users and machines that tell nobody from others."""


@dataclass(frozen=True)
class Machine:
    """What is looked for in a text.

    Attributes
    ----------
    secrets : tuple of str
        Tokens and passwords that the environment and the cached token files hold now, the longest first.
    places : tuple of str
        Absolute folders: home, the current one, caches; the longest first.
    roots : tuple of str
        Names of top-level folders under which local files lie.
    user, host : tuple of str
        How who works here and this machine are called, where that tells them from others.
    """

    secrets: tuple[str, ...] = ()
    places: tuple[str, ...] = ()
    roots: tuple[str, ...] = tuple(sorted(KNOWN_ROOTS))
    user: tuple[str, ...] = ()
    host: tuple[str, ...] = ()


def this_machine() -> Machine:
    """Look at this machine as it is now: tokens come and go while a process runs."""
    top = [one.name for one in os.scandir("/") if one.is_dir()] if os.path.isdir("/") else []
    return Machine(
        secrets=_longest_first({form for one in _secrets() for form in (one, quote(one, safe=""))}),
        places=_longest_first(_places()),
        roots=tuple(sorted((KNOWN_ROOTS | set(top)) - EVERYWHERE)),
        user=_longest_first(_users()),
        host=_longest_first(_hosts()),
    )


def _longest_first(some: set[str]) -> tuple[str, ...]:
    return tuple(sorted(some, key=lambda one: (-len(one), one)))


def _secrets() -> set[str]:
    from huggingface_hub import constants

    named = {os.environ.get(name, "").strip() for name in CARRIES}
    others = {value.strip() for name, value in os.environ.items() if SECRET.search(name)}
    named |= {one for one in others if len(one) >= 8 and not one.isalpha() and not re.search(r"[\s/\\]", one)}
    for path in {constants.HF_TOKEN_PATH, os.environ.get("HF_TOKEN_PATH") or constants.HF_TOKEN_PATH}:
        named.add(_read(path).strip())
    stored = _read(constants.HF_STORED_TOKENS_PATH)
    named |= {line.partition("=")[2].strip() for line in stored.splitlines()}
    return {one for one in named if len(one) >= 4}


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""


def _places() -> set[str]:
    """Folders of at least two names: one alone is a root, and is looked for as such."""
    said = {os.environ.get(name, "") for name in ("HOME", "HF_HOME", "XDG_CACHE_HOME", "PWD", "TMPDIR")}
    said |= {os.path.expanduser("~"), tempfile.gettempdir()}
    said |= {str(Path.cwd())} if os.path.isdir(".") else set()
    return {one.rstrip("/") for one in said if one.startswith("/") and one.strip("/").count("/")}


def _users() -> set[str]:
    try:
        said = {getpass.getuser(), os.path.basename(os.path.expanduser("~"))}
    except (OSError, KeyError):
        said = {os.path.basename(os.path.expanduser("~"))}
    return {one for one in said if len(one) >= 5 and one.lower() not in OFTEN}


def _hosts() -> set[str]:
    name = socket.gethostname()
    telling = {one for one in (name, name.partition(".")[0]) if len(one) >= 4 and one.lower() not in OFTEN}
    return {one for one in telling if len(one) >= 8 or not one.isalpha()}
