"""What surrounds the files of a Space: secrets, variables, hardware, its running state."""

from __future__ import annotations

from typing import Any

from tests.hub import access
from tests.hub.hub import Hub
from tests.hub.store import Space, now, stamp
from tests.hub.wire import Refused, Reply, Request, answer


def space(hub: Hub, ask: Request) -> Space:
    """Return the Space that a path names; all of this needs the right to write."""
    repo = access.writable(hub, ask)
    assert repo.space is not None
    return repo.space


def running(one: Space, stage: str) -> Reply:
    """Return the state of a Space."""
    return answer(
        {
            "stage": stage,
            "hardware": {"current": one.hardware, "requested": one.requested},
            "gcTimeout": one.sleep,
            "storage": None,
            "devMode": False,
            "volumes": one.volumes or None,
            "replicas": {"requested": 1},
        }
    )


def _kept(ask: Request, held: dict[str, dict[str, Any]], secret: bool) -> Reply:
    body = ask.json() if ask.method != "GET" else {}
    if ask.method == "POST":
        held[body["key"]] = {
            "key": body["key"],
            "value": body["value"],
            "description": body.get("description"),
            "updatedAt": stamp(now()),
        }
    elif ask.method == "DELETE" and held.pop(body["key"], None) is None:
        raise Refused(404, f"{body['key']} does not exist")
    return answer(
        {
            key: {name: value for name, value in one.items() if not (secret and name == "value")}
            for key, one in held.items()
        }
    )


def secrets(hub: Hub, ask: Request) -> Reply:
    """GET, POST, DELETE .../secrets: the values never come back."""
    return _kept(ask, space(hub, ask).secrets, secret=True)


def variables(hub: Hub, ask: Request) -> Reply:
    """GET, POST, DELETE .../variables."""
    return _kept(ask, space(hub, ask).variables, secret=False)


def runtime(hub: Hub, ask: Request) -> Reply:
    """GET .../runtime: every look takes the next stage, the last one stays."""
    one = access.find(hub, ask).space
    assert one is not None
    return running(one, one.stages.pop(0) if len(one.stages) > 1 else one.stages[0])


def restart(hub: Hub, ask: Request) -> Reply:
    """POST .../restart[?factory=true]: a static Space has nothing to restart."""
    one = space(hub, ask)
    if one.sdk == "static":
        raise Refused(400, "Static Spaces cannot be restarted")
    one.restarts += 1
    one.stages = ["BUILDING" if ask.says("factory") else "RESTARTING", "RUNNING"]
    return running(one, one.stages[0])


def pause(hub: Hub, ask: Request) -> Reply:
    """POST .../pause."""
    one = space(hub, ask)
    one.stages = ["PAUSED"]
    return running(one, "PAUSED")


def hardware(hub: Hub, ask: Request) -> Reply:
    """POST .../hardware ``{"flavor", "sleepTimeSeconds"?}``."""
    one, body = space(hub, ask), ask.json()
    one.requested = body["flavor"]
    one.sleep = body.get("sleepTimeSeconds", one.sleep)
    return running(one, one.stages[0])


def sleep(hub: Hub, ask: Request) -> Reply:
    """POST .../sleeptime ``{"seconds"}``."""
    one = space(hub, ask)
    one.sleep = ask.json()["seconds"]
    return running(one, one.stages[0])


def volumes(hub: Hub, ask: Request) -> Reply:
    """PUT, DELETE .../volumes ``{"volumes"}``."""
    one = space(hub, ask)
    one.volumes = ask.json().get("volumes", []) if ask.method == "PUT" else []
    return running(one, one.stages[0])


SPACE = "/api/{spaces}/{repo}"
ROUTES = [
    *[(method, SPACE + "/secrets", secrets) for method in ("GET", "POST", "DELETE")],
    *[(method, SPACE + "/variables", variables) for method in ("GET", "POST", "DELETE")],
    ("GET", SPACE + "/runtime", runtime),
    ("POST", SPACE + "/restart", restart),
    ("POST", SPACE + "/pause", pause),
    ("POST", SPACE + "/hardware", hardware),
    ("POST", SPACE + "/sleeptime", sleep),
    ("PUT", SPACE + "/volumes", volumes),
    ("DELETE", SPACE + "/volumes", volumes),
]
