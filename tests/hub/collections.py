"""Collections: named lists of repositories."""

from __future__ import annotations

import re
import secrets
from typing import Any

from tests.hub import access, info
from tests.hub.hub import Hub
from tests.hub.store import KINDS, now, stamp
from tests.hub.wire import Refused, Reply, Request, answer


def found(hub: Hub, ask: Request) -> dict[str, Any]:
    """Return the collection that a path names; a private one exists for its owner only."""
    one = hub.collections.get(ask.parts["slug"])
    owner = one["owner"]["name"] if one else ""
    if one is None or (one["private"] and (ask.account is None or owner not in (ask.account.name, *ask.account.orgs))):
        raise Refused(404, "Collection not found")
    return one


def own(hub: Hub, ask: Request) -> dict[str, Any]:
    """Return a collection that the account may change."""
    account, one = access.logged_in(ask), found(hub, ask)
    access.named(account, one["owner"]["name"])
    one["lastUpdated"] = stamp(now())
    return one


def create(hub: Hub, ask: Request) -> Reply:
    """POST /api/collections ``{"title", "namespace", "private", "description"?}``; 409 names the one that exists."""
    account, body = access.logged_in(ask), ask.json()
    owner, title = body["namespace"], body["title"]
    access.named(account, owner)
    for one in hub.collections.values():
        if one["owner"]["name"] == owner and one["title"] == title:
            said = "This collection already exists"
            raise Refused(409, said, body={"error": said, "slug": one["slug"]})
    words = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")
    made = {
        "slug": f"{owner}/{words}-{secrets.token_hex(12)}",
        "title": title,
        "description": body.get("description"),
        "owner": {"type": "user" if owner == account.name else "org", "name": owner},
        "items": [],
        "lastUpdated": stamp(now()),
        "position": 0,
        "private": bool(body.get("private")),
        "theme": "blue",
        "upvotes": 0,
    }
    hub.collections[made["slug"]] = made
    return answer(made)


def listing(hub: Hub, ask: Request) -> Reply:
    """GET /api/collections?owner=&item=: ``item`` is ``models/ns/name``."""
    shown = [one for one in hub.collections.values() if ask.one("owner", one["owner"]["name"]) == one["owner"]["name"]]
    shown = [one for one in shown if not one["private"] or access.logged_in(ask).owns(one["owner"]["name"])]
    if item := ask.one("item"):
        shown = [one for one in shown if any(f"{inside['type']}s/{inside['id']}" == item for inside in one["items"])]
    # a place in the list is given by the client
    cut = [{name: value for name, value in one.items() if name != "position"} for one in shown]
    return info.page(hub, ask, cut, hub.page)


def show(hub: Hub, ask: Request) -> Reply:
    """GET /api/collections/{slug}."""
    return answer(found(hub, ask))


def update(hub: Hub, ask: Request) -> Reply:
    """PATCH /api/collections/{slug}."""
    one = own(hub, ask)
    one |= {name: value for name, value in ask.json().items() if name in ("title", "description", "private", "theme")}
    return answer({"success": True, "data": one})


def delete(hub: Hub, ask: Request) -> Reply:
    """DELETE /api/collections/{slug}."""
    del hub.collections[own(hub, ask)["slug"]]
    return answer({})


def add_item(hub: Hub, ask: Request) -> Reply:
    """POST .../items ``{"item": {"id", "type"}, "note"?}``; 409 where it is in, 404 where there is no such repo."""
    one, body = own(hub, ask), ask.json()
    item = body["item"]
    if item["type"] in KINDS and not hub.has(item["id"], item["type"]):
        raise Refused(404, f"{item['type']} {item['id']} not found")
    if any((inside["id"], inside["type"]) == (item["id"], item["type"]) for inside in one["items"]):
        raise Refused(409, "This item is already in the collection")
    made = {"_id": secrets.token_hex(12), **item, "position": len(one["items"])}
    if body.get("note"):
        made["note"] = {"text": body["note"], "html": body["note"]}
    one["items"].append(made)
    return answer(one)


def _item(one: dict[str, Any], ask: Request) -> dict[str, Any]:
    for inside in one["items"]:
        if inside["_id"] == ask.parts["item"]:
            found: dict[str, Any] = inside
            return found
    raise Refused(404, "Item not found")


def change_item(hub: Hub, ask: Request) -> Reply:
    """PATCH .../items/{id} ``{"note"?, "position"?}``."""
    one, body = own(hub, ask), ask.json()
    inside = _item(one, ask)
    if "note" in body:
        inside["note"] = {"text": body["note"], "html": body["note"]}
    if "position" in body:
        one["items"].remove(inside)
        one["items"].insert(body["position"], inside)
        for position, each in enumerate(one["items"]):
            each["position"] = position
    return answer({"success": True})


def drop_item(hub: Hub, ask: Request) -> Reply:
    """DELETE .../items/{id}."""
    one = own(hub, ask)
    one["items"].remove(_item(one, ask))
    return answer({})


SLUG = "/api/collections/{slug*}"
ROUTES = [
    ("GET", "/api/collections", listing),
    ("POST", "/api/collections", create),
    ("POST", SLUG + "/items", add_item),
    ("PATCH", SLUG + "/items/{item}", change_item),
    ("DELETE", SLUG + "/items/{item}", drop_item),
    ("GET", SLUG, show),
    ("PATCH", SLUG, update),
    ("DELETE", SLUG, delete),
]
