"""Accounts and the life of a repository: created, set up, renamed, deleted."""

from __future__ import annotations

from typing import Any

from tests.hub import access, card, git
from tests.hub.hub import Hub
from tests.hub.store import KINDS, Kind, Repo, now
from tests.hub.wire import Refused, Reply, Request, answer


def whoami(hub: Hub, ask: Request) -> Reply:
    """GET /api/whoami-v2."""
    account = ask.account
    if account is None:
        raise Refused(401, "Invalid username or password.")
    return answer(
        {
            "type": "user",
            "id": account.name,
            "name": account.name,
            "fullname": account.name.title(),
            "isPro": account.plan == "pro",
            "orgs": [{"type": "org", "id": name, "name": name, "roleInOrg": "write"} for name in account.orgs],
            "auth": {"type": "access_token", "accessToken": {"displayName": "loopback", "role": account.role}},
        }
    )


def _asked_for(ask: Request) -> tuple[Kind, str]:
    body = ask.json()
    kind = body.get("type") or "model"
    if kind not in KINDS:
        raise Refused(400, f'"type" must be one of {", ".join(KINDS)}')
    namespace = body.get("organization") or access.logged_in(ask).name
    return kind, f"{namespace}/{body['name']}"


def create(hub: Hub, ask: Request) -> Reply:
    """POST /api/repos/create: 402 for a Gradio or Docker Space without a plan, before anything else is looked at."""
    account, body = access.logged_in(ask), ask.json()
    kind, id = _asked_for(ask)
    access.named(account, id.split("/")[0])
    paid = kind == "space" and body.get("sdk") != "static" and account.plan == "free"
    if paid and body.get("hardware") != "zero-a10g":
        raise Refused(402, "Creating a Gradio or Docker Space requires a paid plan; static Spaces are free.")
    place = {"url": f"{hub.endpoint}/{'' if kind == 'model' else kind + 's/'}{id}", "name": id}
    if hub.has(id, kind):
        said = f"You already created this {kind} repo: {id}"
        raise Refused(409, said, body={"error": said, **place})
    start = {} if kind != "space" else {"README.md": f"---\ntitle: {id.split('/')[1]}\nsdk: {body['sdk']}\n---\n"}
    repo = hub.add(id, start, kind, sdk=body.get("sdk", "static"))
    repo.private = body.get("visibility") == "private" or bool(body.get("private"))
    if repo.space:
        repo.space.hardware = body.get("hardware")
        repo.space.requested = body.get("hardware")
        repo.space.sleep = body.get("sleepTimeSeconds")
        repo.space.volumes = body.get("volumes") or []
        repo.space.secrets = {one["key"]: one for one in body.get("secrets") or []}
        repo.space.variables = {one["key"]: one for one in body.get("variables") or []}
    return answer({**place, "id": repo.at().sha[:24]})


def delete(hub: Hub, ask: Request) -> Reply:
    """DELETE /api/repos/delete, with a body."""
    account = access.logged_in(ask)
    kind, id = _asked_for(ask)
    if not hub.has(id, kind):
        raise access.missing(ask)
    access.named(account, id.split("/")[0])
    del hub.repos[kind, id]
    return answer({})


def move(hub: Hub, ask: Request) -> Reply:
    """POST /api/repos/move: the old name redirects to the new one."""
    account, body = access.logged_in(ask), ask.json()
    kind: Kind = body.get("type") or "model"
    old, new = body["fromRepo"], body["toRepo"]
    if not hub.has(old, kind):
        raise access.missing(ask)
    for id in (old, new):
        access.named(account, id.split("/")[0])
    if hub.has(new, kind):
        raise Refused(409, f"{new} already exists")
    rename(hub, hub.repo(old, kind), new)
    return answer({})


def rename(hub: Hub, repo: Repo, new: str) -> None:
    """Give a repository another name, and send whoever asks for an older one there."""
    old = repo.id
    for key, there in hub.moved.items():
        if key[0] == repo.kind and there == old:
            hub.moved[key] = new
    hub.moved[repo.kind, old] = new
    hub.moved.pop((repo.kind, new), None)
    hub.repos[repo.kind, new] = hub.repos.pop((repo.kind, old))
    repo.id = new


def settings(hub: Hub, ask: Request) -> Reply:
    """PUT .../settings: ``{"gated"?, "visibility"?}``."""
    repo, body = access.writable(hub, ask), ask.json()
    if "gated" in body:
        repo.gated = body["gated"]
    if "visibility" in body:
        repo.private = body["visibility"] == "private"
    return answer({"private": repo.private, "gated": repo.gated})


def auth_check(hub: Hub, ask: Request) -> Reply:
    """GET .../auth-check[/write]."""
    if ask.path.endswith("/write"):
        access.writable(hub, ask)
    else:
        access.readable(hub, ask)
    return answer({})


def validate_yaml(hub: Hub, ask: Request) -> Reply:
    """POST /api/validate-yaml: needs no account; 400 has the same shape as 200."""
    body = ask.json()
    errors, warnings = card.problems(body.get("repoType") or "model", body["content"])
    found: dict[str, Any] = {
        "errors": [{"message": text} for text in errors],
        "warnings": [{"message": text} for text in warnings],
    }
    return answer(found, 400 if errors else 200)


def duplicate(hub: Hub, ask: Request) -> Reply:
    """POST .../lfs-files/duplicate: large files are stored once for all repositories, so nothing has to move."""
    access.readable(hub, ask)
    return answer({"failed": []})


def squash(hub: Hub, ask: Request) -> Reply:
    """POST .../super-squash/{branch}: one commit with the present tree."""
    repo = access.writable(hub, ask)
    head = access.revision(repo, ask.parts["rev"])
    title = ask.json().get("message") or "Super-squash branch"
    made = git.add_commit(repo, head.files, (), head.author, title, "", now())
    repo.branches[ask.parts["rev"]] = made.sha
    return answer({})


REPO = "/api/{kind}/{repo}"
ROUTES = [
    ("GET", "/api/whoami-v2", whoami),
    ("POST", "/api/repos/create", create),
    ("DELETE", "/api/repos/delete", delete),
    ("POST", "/api/repos/move", move),
    ("POST", "/api/validate-yaml", validate_yaml),
    ("PUT", REPO + "/settings", settings),
    ("GET", REPO + "/auth-check/write", auth_check),
    ("GET", REPO + "/auth-check", auth_check),
    ("POST", REPO + "/lfs-files/duplicate", duplicate),
    ("POST", REPO + "/super-squash/{rev}", squash),
]
