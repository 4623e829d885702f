"""What a plan of publishing consists of: repositories with what they lack, and the collection that holds them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from audit.publish.hub.remote import Content, Entry, Kind, Shelf, There
from audit.report import Report

__all__ = ["Action", "Change", "Collection", "Plan", "Repository"]


@dataclass(frozen=True)
class Change:
    """One file of a commit.

    Attributes
    ----------
    new : bytes, Path or None
        None deletes it.
    sha256 : str or None
        Of ``new`` when it was planned.
    was : Entry or None
        None adds it.
    old : bytes or None
        What stands there, where it is a text to be compared with.
    """

    path: str
    new: Content | None
    sha256: str | None
    was: Entry | None
    old: bytes | None = None


@dataclass(frozen=True)
class Action:
    """One thing that is written on the Hub."""

    kind: Literal["create", "commit", "tag", "collection", "item"]
    target: str
    said: str


@dataclass(frozen=True)
class Repository:
    """A repository with everything of ours that it is to hold, and what of that is missing.

    Attributes
    ----------
    wanted : mapping
        Every file of ours by path; None: a file that was ours and is not any more.
    tag : str or None
        The tag that its commit is to carry.
    """

    there: There
    private: bool
    wanted: Mapping[str, Content | None]
    changes: tuple[Change, ...]
    tag: str | None = None
    sdk: str | None = None
    hardware: str | None = None

    @property
    def actions(self) -> list[Action]:
        """What has to be done to it."""
        target, found = self.there.name, []
        if self.there.sha is None:
            runs = f" ({self.hardware or self.sdk})" if self.sdk else ""
            found.append(Action("create", target, f"create {target}{runs}, {seen(self.private)}"))
        if self.changes:
            count = "1 file" if len(self.changes) == 1 else f"{len(self.changes)} files"
            found.append(Action("commit", target, f"commit {count} to {target}"))
        if self.tag and self.tag not in self.there.tags:
            found.append(Action("tag", target, f"tag {target} as {self.tag}"))
        return found


@dataclass(frozen=True)
class Collection:
    """The collection of what belongs together: ``items`` are all that it is to hold, as (kind, id)."""

    namespace: str
    title: str
    private: bool
    items: tuple[tuple[Kind, str], ...]
    there: Shelf

    @property
    def missing(self) -> list[tuple[Kind, str]]:
        """Items that it lacks."""
        return [one for one in self.items if one not in self.there.items]

    @property
    def actions(self) -> list[Action]:
        """What has to be done to it."""
        name = f"the collection {self.title!r} of {self.namespace}"
        found = []
        if self.there.slug is None:
            found.append(Action("collection", name, f"create {name}, {seen(self.private)}"))
        return found + [Action("item", name, f"add {There(kind, id).name} to {name}") for kind, id in self.missing]


@dataclass(frozen=True)
class Plan:
    """Everything that publishing would do; it holds no token."""

    run: Path
    to: str
    report: Report
    space: str
    private: bool
    repositories: tuple[Repository, ...]
    collection: Collection
    warnings: tuple[str, ...]

    @property
    def actions(self) -> list[Action]:
        """All that has to be done, in order; none where everything is there."""
        return [action for one in self.repositories for action in one.actions] + self.collection.actions


def seen(private: bool) -> str:
    """Say who can see it."""
    return "private" if private else "public"
