"""Discussions and pull requests."""

from __future__ import annotations

import html
import secrets
from typing import Any

from tests.hub import access, git
from tests.hub.hub import Hub
from tests.hub.store import Account, Discussion, Event, Repo, now, stamp
from tests.hub.wire import Refused, Reply, Request, answer

PAGE = 10


def note(discussion: Discussion, type: str, author: str, data: dict[str, Any]) -> Event:
    """Add an event to a discussion."""
    event = Event(secrets.token_hex(12), type, author, now(), data)
    discussion.events.append(event)
    return event


def _said(text: str, author: str) -> dict[str, Any]:
    return {"raw": text, "html": f"<p>{html.escape(text)}</p>", "updatedAt": stamp(now()), "author": {"name": author}}


def comment_on(discussion: Discussion, author: str, text: str) -> Event:
    """Add a comment."""
    data = {"edited": False, "hidden": False, "latest": _said(text, author), "history": []}
    return note(discussion, "comment", author, data)


def start(repo: Repo, author: str, title: str, text: str, pull: bool, base: str = "main") -> Discussion:
    """Open a discussion, or a pull request as a draft on top of ``base``."""
    if not repo.talks:
        raise Refused(403, "Discussions are disabled for this repo")
    made = Discussion(
        len(repo.discussions) + 1,
        title,
        author,
        now(),
        pull,
        "draft" if pull else "open",
        [],
        base=base if pull else "",
    )
    comment_on(made, author, text)
    repo.discussions.append(made)
    if pull:
        repo.pulls[made.ref] = repo.at(base).sha
    return made


def shown(event: Event) -> dict[str, Any]:
    """Return an event as the client reads it."""
    about = {"id": event.id, "type": event.type, "createdAt": stamp(event.date), "author": {"name": event.author}}
    return about | {"data": event.data}


def brief(repo: Repo, one: Discussion) -> dict[str, Any]:
    """Return a discussion as lists show it."""
    return {
        "num": one.num,
        "title": one.title,
        "status": one.status,
        "author": {"name": one.author},
        "createdAt": stamp(one.date),
        "repo": {"name": repo.id, "type": repo.kind},
        "isPullRequest": one.pull,
        "numComments": sum(event.type == "comment" for event in one.events),
    }


def found(hub: Hub, ask: Request) -> tuple[Repo, Discussion]:
    """Return the discussion that a path names."""
    repo = access.find(hub, ask)
    number = ask.parts["num"]
    if not number.isdigit() or not 0 < int(number) <= len(repo.discussions):
        raise Refused(404, f"Discussion {number} not found")
    return repo, repo.discussions[int(number) - 1]


def steers(account: Account, repo: Repo, one: Discussion) -> None:
    """Refuse to change a discussion that is neither the account's nor in its repository."""
    if account.role != "write" or not (account.name == one.author or account.owns(repo.namespace)):
        raise Refused(403, "You are not the author of this discussion")


def listing(hub: Hub, ask: Request) -> Reply:
    """GET .../discussions?p=0&type&status&author: the newest first; a draft counts as open."""
    repo = access.find(hub, ask)
    listed = repo.discussions[::-1]
    if ask.one("type", "all") != "all":
        listed = [one for one in listed if one.pull == (ask.one("type") == "pull_request")]
    if ask.one("status", "all") != "all":
        listed = [one for one in listed if (one.status in ("open", "draft")) == (ask.one("status") == "open")]
    if ask.one("author"):
        listed = [one for one in listed if one.author == ask.one("author")]
    first = int(ask.one("p", "0")) * PAGE
    cut = [brief(repo, one) for one in listed[first : first + PAGE]]
    return answer({"discussions": cut, "count": len(listed), "start": first})


def create(hub: Hub, ask: Request) -> Reply:
    """POST .../discussions: needs no right on the repository but to see it."""
    account, body = access.logged_in(ask), ask.json()
    repo = access.find(hub, ask)
    if account.role != "write":
        raise Refused(403, "You need a token with write access")
    if not 3 <= len(body["title"]) <= 200:
        raise Refused(400, '"title" length must be between 3 and 200 characters')
    made = start(repo, account.name, body["title"], body.get("description", ""), bool(body.get("pullRequest")))
    return answer({"num": made.num, "url": f"{hub.endpoint}/{repo.prefix}{repo.id}/discussions/{made.num}"})


def details(hub: Hub, ask: Request) -> Reply:
    """GET .../discussions/{n}?diff=1."""
    repo, one = found(hub, ask)
    told = brief(repo, one) | {"events": [shown(event) for event in one.events]}
    if one.pull:
        told["changes"] = {"base": f"refs/heads/{one.base}"}
        if one.merged_as:
            told["changes"]["mergeCommitId"] = one.merged_as
        theirs, ours = repo.at(one.ref), repo.at(one.base)
        told["filesWithConflicts"] = [] if one.merged_as else git.merged(repo, ours, theirs)[1]
        if ask.says("diff"):
            told["diff"] = git.diff(repo, git.fork(repo, ours, theirs), theirs)
    return answer(told)


def comment(hub: Hub, ask: Request) -> Reply:
    """POST .../comment ``{"comment"}``."""
    account, (_, one) = access.logged_in(ask), found(hub, ask)
    if account.role != "write":
        raise Refused(403, "You need a token with write access")
    return answer({"newMessage": shown(comment_on(one, account.name, ask.json()["comment"]))})


def _own(hub: Hub, ask: Request) -> Event:
    account, (_, one) = access.logged_in(ask), found(hub, ask)
    event = next((event for event in one.events if event.id == ask.parts["cid"] and event.type == "comment"), None)
    if event is None:
        raise Refused(404, "Comment not found")
    if event.author != account.name or account.role != "write":
        raise Refused(403, "You are not the author of this comment")
    return event


def edit(hub: Hub, ask: Request) -> Reply:
    """POST .../comment/{id}/edit ``{"content"}``: only one's own; what it said before stays in its history."""
    event = _own(hub, ask)
    data = event.data
    data["history"] = [data["latest"], *data["history"]]
    data["latest"] = _said(ask.json()["content"], event.author)
    data["edited"] = True
    return answer({"updatedComment": shown(event)})


def hide(hub: Hub, ask: Request) -> Reply:
    """POST .../comment/{id}/hide."""
    event = _own(hub, ask)
    event.data |= {"hidden": True, "history": [], "latest": _said("This comment has been hidden", event.author)}
    return answer({"updatedComment": shown(event)})


def status(hub: Hub, ask: Request) -> Reply:
    """POST .../status ``{"status", "comment"?}``."""
    account, (repo, one) = access.logged_in(ask), found(hub, ask)
    steers(account, repo, one)
    body = ask.json()
    if body["status"] not in ("open", "closed"):
        raise Refused(400, '"status" must be one of [open, closed]')
    if one.status == "merged":
        raise Refused(409, "This pull request is merged")
    one.status = body["status"]
    data = {"status": body["status"]}
    event = note(one, "status-change", account.name, data)
    if body.get("comment"):
        comment_on(one, account.name, body["comment"])
    return answer({"newStatus": shown(event)})


def title(hub: Hub, ask: Request) -> Reply:
    """POST .../title ``{"title"}``."""
    account, (repo, one) = access.logged_in(ask), found(hub, ask)
    steers(account, repo, one)
    old, one.title = one.title, ask.json()["title"]
    return answer({"newTitle": shown(note(one, "title-change", account.name, {"from": old, "to": one.title}))})


def merge(hub: Hub, ask: Request) -> Reply:
    """POST .../merge ``{"comment"?}``: an open pull request without conflicts, by who owns the repository."""
    account, (repo, one) = access.logged_in(ask), found(hub, ask)
    access.named(account, repo.namespace)
    if not one.pull or one.status != "open":
        raise Refused(400, f"This {'pull request is ' + one.status if one.pull else 'is no pull request'}")
    ours, theirs = repo.at(one.base), repo.at(one.ref)
    files, conflicts = git.merged(repo, ours, theirs)
    if conflicts:
        raise Refused(409, f"This pull request has conflicts in {', '.join(conflicts)}")
    name = f"{one.title} (#{one.num})"
    made = git.add_commit(repo, files, (ours.sha, theirs.sha), account.name, name, "", now())
    repo.branches[one.base] = made.sha
    one.status, one.merged_as = "merged", made.sha
    note(one, "status-change", account.name, {"status": "merged"})
    if said := ask.json().get("comment"):
        comment_on(one, account.name, said)
    return answer({})


def attach(hub: Hub, ask: Request) -> Reply:
    """POST /uploads: a picture for a comment; the answer is its address."""
    access.logged_in(ask)
    name = secrets.token_hex(12)
    hub.attachments[name] = Reply(200, ask.body, {"Content-Type": ask.headers["content-type"]})
    return Reply(200, f"{hub.endpoint}/uploads/{name}".encode(), {"Content-Type": "text/plain"})


def attached(hub: Hub, ask: Request) -> Reply:
    """GET /uploads/{name}."""
    if ask.parts["name"] not in hub.attachments:
        raise Refused(404, "Not found")
    return hub.attachments[ask.parts["name"]]


REPO = "/api/{kind}/{repo}/discussions"
ROUTES = [
    ("GET", REPO, listing),
    ("POST", REPO, create),
    ("GET", REPO + "/{num}", details),
    ("POST", REPO + "/{num}/comment", comment),
    ("POST", REPO + "/{num}/comment/{cid}/edit", edit),
    ("POST", REPO + "/{num}/comment/{cid}/hide", hide),
    ("POST", REPO + "/{num}/status", status),
    ("POST", REPO + "/{num}/title", title),
    ("POST", REPO + "/{num}/merge", merge),
    ("POST", "/uploads", attach),
    ("GET", "/uploads/{name}", attached),
]
