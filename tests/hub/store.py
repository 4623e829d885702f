"""What a Hub holds: accounts, repositories with their commits, discussions. Plain data, no network."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

Kind = Literal["model", "dataset", "space"]
KINDS: tuple[Kind, ...] = ("model", "dataset", "space")
FULL_SHA = re.compile(r"[0-9a-f]{40}")


def now() -> datetime:
    """Return the present time in UTC."""
    return datetime.now(UTC)


def stamp(when: datetime) -> str:
    """Write a time as the client reads it."""
    return when.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


@dataclass
class Account:
    """A user with one access token; ``plan="free"`` may not create a Gradio or Docker Space."""

    name: str
    token: str
    role: Literal["read", "write"] = "write"
    plan: Literal["free", "pro"] = "free"
    orgs: list[str] = field(default_factory=list)

    def owns(self, namespace: str) -> bool:
        """Tell whether this account may write under ``namespace``."""
        return self.role == "write" and namespace in (self.name, *self.orgs)


@dataclass(frozen=True)
class File:
    """One file of a tree: ``oid`` is its git blob (of the pointer, where the content lies in large file storage)."""

    oid: str
    size: int
    sha256: str | None = None
    pointer_size: int = 0


@dataclass(frozen=True)
class Commit:
    """One commit with its whole tree."""

    sha: str
    parents: tuple[str, ...]
    title: str
    message: str
    author: str
    date: datetime
    files: dict[str, File]


@dataclass
class Event:
    """One entry of a discussion: comment, status-change, title-change or commit."""

    id: str
    type: str
    author: str
    date: datetime
    data: dict[str, Any]


@dataclass
class Discussion:
    """A discussion, or a pull request with the ref ``refs/pr/<num>``."""

    num: int
    title: str
    author: str
    date: datetime
    pull: bool
    status: Literal["open", "closed", "draft", "merged"]
    events: list[Event]
    base: str = ""
    merged_as: str | None = None

    @property
    def ref(self) -> str:
        """The ref that changes to this pull request are pushed to."""
        return f"refs/pr/{self.num}"


@dataclass
class Space:
    """What runs: ``stages`` are the answers that are still to come, the last one stays."""

    sdk: str
    hardware: str | None = None
    requested: str | None = None
    sleep: int | None = None
    secrets: dict[str, dict[str, Any]] = field(default_factory=dict)
    variables: dict[str, dict[str, Any]] = field(default_factory=dict)
    volumes: list[dict[str, Any]] = field(default_factory=list)
    stages: list[str] = field(default_factory=lambda: ["NO_APP_FILE"])
    restarts: int = 0


@dataclass
class Repo:
    """A repository; ``read`` and ``paths`` are for tests that look at what arrived.

    Attributes
    ----------
    fetch
        Returns the bytes of a file, wherever they are stored.
    scan
        Level of each file that the scanners have something to say about, such as ``{"a.bin": "unsafe"}``.
    shows
        Further fields of the repository's information, taken over as they are (``{"downloads": 12}``).
    """

    kind: Kind
    id: str
    fetch: Callable[[File], bytes]
    private: bool = False
    gated: Literal["auto", "manual", False] = False
    disabled: bool = False
    talks: bool = True
    created: datetime = field(default_factory=now)
    commits: dict[str, Commit] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    pulls: dict[str, str] = field(default_factory=dict)
    discussions: list[Discussion] = field(default_factory=list)
    readers: set[str] = field(default_factory=set)
    scanned: bool = True
    scan: dict[str, str] = field(default_factory=dict)
    shows: dict[str, Any] = field(default_factory=dict)
    leaderboard: list[dict[str, Any]] | None = None
    space: Space | None = None

    @property
    def namespace(self) -> str:
        """User or organisation that the repository belongs to."""
        return self.id.split("/")[0]

    @property
    def prefix(self) -> str:
        """What stands before the id in addresses of files and pages."""
        return "" if self.kind == "model" else f"{self.kind}s/"

    def find(self, revision: str = "main") -> Commit | None:
        """Return the commit that a branch, a tag, a ref or a full hash names."""
        named = {**self.branches, **self.tags, **self.pulls}
        named |= {f"refs/heads/{name}": sha for name, sha in self.branches.items()}
        named |= {f"refs/tags/{name}": sha for name, sha in self.tags.items()}
        return self.commits.get(named.get(revision, revision))

    def at(self, revision: str = "main") -> Commit:
        """Return the commit at a revision that must exist."""
        commit = self.find(revision)
        if commit is None:
            raise KeyError(f"{self.id} has no revision {revision}")
        return commit

    def paths(self, revision: str = "main") -> list[str]:
        """Return the paths of all files at a revision, sorted."""
        return sorted(self.at(revision).files)

    def read(self, path: str, revision: str = "main") -> bytes:
        """Return the content of a file at a revision."""
        return self.fetch(self.at(revision).files[path])

    def history(self, revision: str = "main") -> list[Commit]:
        """Return the commits that a revision rests on by first parents, the last one first."""
        found = [self.at(revision)]
        while found[-1].parents:
            found.append(self.commits[found[-1].parents[0]])
        return found
