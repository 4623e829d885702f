"""Writing what was planned: each repository in one commit, the model never half, and what is done is not done again."""

from __future__ import annotations

import shlex
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from audit.errors import InputError, Unavailable
from audit.publish.hub.actions import Collection, Plan, Repository
from audit.publish.hub.failures import failures, said, status
from audit.publish.hub.remote import BORN_WITH, Kind, Shelf, There, looked, shelf

if TYPE_CHECKING:
    from huggingface_hub import HfApi

__all__ = ["applied", "places"]

Done = TypeVar("Done")


def applied(plan: Plan, token: str | None = None, tell: Callable[[str], object] = str) -> list[str]:
    """Do what a plan says, and return the addresses of what is published.

    Data set, model, Space and collection follow each other, and each waits for the one before it. Every commit is
    locked to the one that was looked at. Where an answer is lost, the Hub is looked at before anything is called
    failed. A plan that was made after a failure holds what is missing, so that publishing again completes. ``tell``
    gets a line before each repository that is written.

    Raises
    ------
    InputError
        If a Space needs a paid plan; everything else is published then.
    Unavailable
        If it fails; says what happened and what is published by then.
    """
    from huggingface_hub import HfApi

    api = HfApi(token=token)
    done: dict[str, str] = {}  # address: what is to be said of it
    unpaid: There | None = None
    for one in plan.repositories:
        if one.actions:
            tell("; ".join(action.said for action in one.actions))
        try:
            _published(api, one, plan, done)
        except failures() as error:
            if one.there.kind != "space" or status(error) != 402:
                raise Unavailable(f"{one.there.name}: {said(error)}; {_so_far(done)}") from None
            unpaid = one.there
    try:
        slug = _collected(api, plan.collection, unpaid)
    except failures() as error:
        raise Unavailable(f"the collection: {said(error)}; {_so_far(done)}") from None
    done[f"{api.endpoint}/collections/{slug}"] = ""
    if unpaid is not None:
        again = shlex.join(
            ["transfer-audit", "publish", str(plan.run), "--to", plan.to, "--space", "static", "--apply"]
        )
        raise InputError(f"{unpaid.name} needs a paid plan (402), a static one does not: {again}; {_so_far(done)}")
    return list(done)


def places(plan: Plan) -> list[str]:
    """Return the addresses that everything has, or will have, but for that of a collection yet to be created."""
    from huggingface_hub import constants

    found = [place(constants.ENDPOINT, one.there) for one in plan.repositories]
    slug = plan.collection.there.slug
    return [*found, f"{constants.ENDPOINT}/collections/{slug}"] if slug else found


def place(endpoint: str, there: There) -> str:
    """Return the address of a repository."""
    return f"{endpoint}/{'' if there.kind == 'model' else there.kind + 's/'}{there.id}"


def _so_far(done: Mapping[str, str]) -> str:
    if not done:
        return "nothing is published yet"
    return "published so far: " + ", ".join(f"{where}{said}" for where, said in done.items())


def _sure(act: Callable[[], Done], found: Callable[[], Done | None]) -> Done:
    """Act; where that fails, look whether it happened nevertheless: the answer alone may be lost."""
    try:
        return act()
    except failures():
        try:
            done = found()
        except failures():
            done = None  # the first failure is the one to tell
        if done is None:
            raise
        return done


def _published(api: HfApi, one: Repository, plan: Plan, done: dict[str, str]) -> None:
    """Create a repository, commit to it and tag the commit, as far as that is missing."""
    kind, id, there = one.there.kind, one.there.id, one.there
    if there.sha is None:
        there = _created(api, one)
        done[place(api.endpoint, there)] = " (empty)"
    sha = there.sha

    def committed() -> str | None:
        now = looked(api, kind, id)
        return now.sha if now.holds(one.wanted) else None

    def tagged() -> bool | None:
        return one.tag in looked(api, kind, id).tags or None

    def tag() -> bool:
        api.create_tag(id, tag=str(one.tag), revision=sha, repo_type=kind)
        return True

    if one.changes:
        sha = _sure(lambda: _commit(api, one, there, plan), committed)
    done[place(api.endpoint, there)] = ""
    if one.tag and one.tag not in there.tags:
        _sure(tag, tagged)


def _created(api: HfApi, one: Repository) -> There:
    """Create a repository and look at it: what somebody else put there meanwhile was not looked at before."""
    kind, id = one.there.kind, one.there.id

    def empty() -> There | None:
        now = looked(api, kind, id)
        fresh = now.sha is not None and set(now.files) <= BORN_WITH and (now.private or not one.private)
        return now if fresh else None

    def create() -> There | None:
        api.create_repo(
            id,
            repo_type=kind,
            visibility="private" if one.private else None,
            space_sdk=one.sdk,
            space_hardware=one.hardware,  # type: ignore[arg-type]
        )
        return empty()

    if (there := _sure(create, empty)) is None:
        raise Unavailable("it is not empty, though it was just created: look at the plan again")
    return there


def _commit(api: HfApi, one: Repository, there: There, plan: Plan) -> str:
    """Commit everything at once, locked to the commit that was looked at."""
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    operations: list[CommitOperationAdd | CommitOperationDelete] = []
    for change in one.changes:
        if change.new is None:
            operations.append(CommitOperationDelete(change.path))
            continue
        added = CommitOperationAdd(change.path, change.new if isinstance(change.new, bytes) else str(change.new))
        if added.upload_info.sha256.hex() != change.sha256:
            raise Unavailable(f"{change.path} has changed here since it was planned")
        operations.append(added)
    what = {"dataset": "evidence", "model": "adapted model with its audit", "space": "audit, to be looked at"}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="It seems that you are about to commit a data file")
        warnings.filterwarnings("ignore", message="Warnings while validating metadata")
        done = api.create_commit(
            there.id,
            operations,
            commit_message=f"{what[there.kind].capitalize()} ({plan.report.tool})",
            repo_type=there.kind,
            parent_commit=there.sha,
        )
    return done.oid


def _collected(api: HfApi, one: Collection, unpaid: There | None) -> str:
    """Complete the collection, and return its slug."""

    def create() -> Shelf | None:
        made = api.create_collection(one.title, namespace=one.namespace, private=one.private)
        return Shelf(made.slug)

    def found() -> Shelf | None:
        now = shelf(api, one.namespace, one.title)
        return now if now.slug else None

    there: Shelf | None = one.there
    if one.there.slug is None:
        there = _sure(create, found)
    if there is None or there.slug is None:
        raise Unavailable("it is not there, though it was just created")
    for kind, id in replace(one, there=there).missing:
        if unpaid is None or (kind, id) != (unpaid.kind, unpaid.id):
            _shelved(api, one, there.slug, kind, id)
    return there.slug


def _shelved(api: HfApi, one: Collection, slug: str, kind: Kind, id: str) -> None:
    def add() -> bool:
        api.add_collection_item(slug, id, kind)
        return True

    def added() -> bool | None:
        return (kind, id) in shelf(api, one.namespace, one.title).items or None

    _sure(add, added)
