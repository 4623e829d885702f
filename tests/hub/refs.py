"""Branches, tags, and what was committed on them."""

from __future__ import annotations

from typing import Any

from tests.hub import access, info
from tests.hub.hub import Hub
from tests.hub.store import stamp
from tests.hub.wire import Refused, Reply, Request, answer


def _listed(named: dict[str, str], start: str) -> list[dict[str, str]]:
    return [{"name": name, "ref": f"{start}{name}", "targetCommit": sha} for name, sha in sorted(named.items())]


def refs(hub: Hub, ask: Request) -> Reply:
    """GET .../refs[?include_prs=1]."""
    repo = access.find(hub, ask)
    found: dict[str, Any] = {
        "branches": _listed(repo.branches, "refs/heads/"),
        "converts": [],
        "tags": _listed(repo.tags, "refs/tags/"),
    }
    if ask.says("include_prs"):
        found["pullRequests"] = _listed(repo.pulls, "")
    return answer(found)


def commits(hub: Hub, ask: Request) -> Reply:
    """GET .../commits/{rev}: the last one first."""
    repo = access.find(hub, ask)
    access.revision(repo, ask.parts["rev"])
    listed = [
        {
            "id": one.sha,
            "title": one.title,
            "message": one.message,
            "date": stamp(one.date),
            "authors": [{"user": one.author}],
        }
        for one in repo.history(ask.parts["rev"])
    ]
    return info.page(hub, ask, listed, min(hub.page, 50))


def make_branch(hub: Hub, ask: Request) -> Reply:
    """POST .../branch/{name}: from ``startingPoint`` or main; 409 where it exists."""
    repo = access.writable(hub, ask)
    name = ask.parts["rev"]
    if name in repo.branches:
        raise Refused(409, f'Reference "refs/heads/{name}" already exists')
    repo.branches[name] = access.revision(repo, ask.json().get("startingPoint", "main")).sha
    return answer({})


def drop_branch(hub: Hub, ask: Request) -> Reply:
    """DELETE .../branch/{name}: never the main one."""
    repo = access.writable(hub, ask)
    if ask.parts["rev"] == "main":
        raise Refused(403, "The main branch cannot be deleted")
    if repo.branches.pop(ask.parts["rev"], None) is None:
        raise Refused(404, "Invalid reference", "RevisionNotFound")
    return answer({})


def make_tag(hub: Hub, ask: Request) -> Reply:
    """POST .../tag/{rev}: ``{"tag", "message"?}``; 409 where it exists."""
    repo = access.writable(hub, ask)
    name = ask.json()["tag"]
    if name in repo.tags:
        raise Refused(409, f'Reference "refs/tags/{name}" already exists')
    repo.tags[name] = access.revision(repo, ask.parts["rev"]).sha
    return answer({})


def drop_tag(hub: Hub, ask: Request) -> Reply:
    """DELETE .../tag/{name}."""
    repo = access.writable(hub, ask)
    if repo.tags.pop(ask.parts["rev"], None) is None:
        raise Refused(404, "Invalid reference", "RevisionNotFound")
    return answer({})


REPO = "/api/{kind}/{repo}"
ROUTES = [
    ("GET", REPO + "/refs", refs),
    ("GET", REPO + "/commits/{rev}", commits),
    ("POST", REPO + "/branch/{rev}", make_branch),
    ("DELETE", REPO + "/branch/{rev}", drop_branch),
    ("POST", REPO + "/tag/{rev}", make_tag),
    ("DELETE", REPO + "/tag/{rev}", drop_tag),
]
