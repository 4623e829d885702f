"""Large files: where to send them, in one piece or in parts, and whether they arrived whole."""

from __future__ import annotations

import hashlib
from typing import Any

from tests.hub import access
from tests.hub.hub import Hub
from tests.hub.wire import Refused, Reply, Request, answer


def batch(hub: Hub, ask: Request) -> Reply:
    """POST /{id}.git/info/lfs/objects/batch: what is already stored gets no action."""
    access.logged_in(ask)
    repo = access.find(hub, ask)
    body = ask.json()
    objects = []
    for one in body["objects"]:
        told: dict[str, Any] = {"oid": one["oid"], "size": one["size"]}
        if hub.stored(one["oid"]) is None:
            there = f"{hub.endpoint}/lfs/{hub.door}/{one['oid']}"
            upload: dict[str, Any] = {"href": there}
            if hub.part_size and one["size"] > hub.part_size and "multipart" in body["transfers"]:
                count = -(-one["size"] // hub.part_size)
                upload["header"] = {"chunk_size": str(hub.part_size)} | {
                    f"{number:05d}": f"{there}/{number}" for number in range(1, count + 1)
                }
            verify = f"{hub.endpoint}/{repo.prefix}{repo.id}.git/info/lfs/objects/verify"
            told |= {"authenticated": True, "actions": {"upload": upload, "verify": {"href": verify}}}
        objects.append(told)
    parted = any("header" in one.get("actions", {}).get("upload", {}) for one in objects)
    return answer({"transfer": "multipart" if parted else "basic", "objects": objects})


def _enter(hub: Hub, ask: Request) -> str:
    if ask.parts["door"] != hub.door:
        raise Refused(403, "This address was not given away here")
    return ask.parts["oid"]


def _keep(hub: Hub, oid: str, content: bytes) -> None:
    found = hashlib.sha256(content).hexdigest()
    if found != oid:
        raise Refused(400, f"The content has sha256 {found}, not {oid}")
    hub.large[oid] = content


def put(hub: Hub, ask: Request) -> Reply:
    """PUT the whole file, without a token."""
    _keep(hub, _enter(hub, ask), ask.body)
    return Reply()


def put_part(hub: Hub, ask: Request) -> Reply:
    """PUT one part; its ETag is what completes the upload."""
    hub.parts[_enter(hub, ask), int(ask.parts["number"])] = ask.body
    return Reply(headers={"ETag": f'"{hashlib.md5(ask.body).hexdigest()}"'})


def complete(hub: Hub, ask: Request) -> Reply:
    """POST ``{"oid", "parts": [{"partNumber", "etag"}]}``: the parts become the file."""
    oid = _enter(hub, ask)
    pieces = []
    for part in sorted(ask.json()["parts"], key=lambda one: int(one["partNumber"])):
        piece = hub.parts.get((oid, int(part["partNumber"])))
        if piece is None or part["etag"].strip('"') != hashlib.md5(piece).hexdigest():
            raise Refused(400, f"Part {part['partNumber']} has not arrived as it was sent")
        pieces.append(piece)
    _keep(hub, oid, b"".join(pieces))
    return answer({})


def verify(hub: Hub, ask: Request) -> Reply:
    """POST ``{"oid", "size"}`` after an upload."""
    body = ask.json()
    if hub.stored(body["oid"]) != body["size"]:
        raise Refused(404, f"{body['oid']} is not stored with {body['size']} bytes")
    return answer({})


ROUTES = [
    ("POST", "/{kind?}{repo}.git/info/lfs/objects/batch", batch),
    ("POST", "/{kind?}{repo}.git/info/lfs/objects/verify", verify),
    ("PUT", "/lfs/{door}/{oid}/{number}", put_part),
    ("PUT", "/lfs/{door}/{oid}", put),
    ("POST", "/lfs/{door}/{oid}", complete),
]
