"""What the Hub does by itself: webhooks, Jobs, and the counting of clients."""

from __future__ import annotations

import secrets
from typing import Any

from tests.hub import access
from tests.hub.hub import Hub
from tests.hub.store import now, stamp
from tests.hub.wire import Refused, Reply, Request, answer


def make_webhook(hub: Hub, ask: Request) -> Reply:
    """POST /api/settings/webhooks: an address, or a Job that is run again with what happened in its environment."""
    access.logged_in(ask)
    body = ask.json()
    made = {"id": secrets.token_hex(12), "disabled": False, "url": None, "secret": None}
    made |= _asked_for(hub, body)
    hub.webhooks[str(made["id"])] = made
    return answer({"webhook": made})


def _asked_for(hub: Hub, body: dict[str, Any]) -> dict[str, Any]:
    """What a webhook becomes: of its Job the specification, without volumes, and with secrets of its own alone."""
    told: dict[str, Any] = {name: body[name] for name in ("watched", "domains", "secret", "url") if name in body}
    if source := body.get("jobSourceId"):
        if source not in hub.jobs:
            raise Refused(404, f"Job {source} not found")
        names = ("dockerImage", "spaceId", "command", "arguments", "environment", "flavor", "labels")
        told["job"] = {name: hub.jobs[source][name] for name in names if name in hub.jobs[source]}
        told["job"] |= {"timeout": hub.jobs[source].get("timeoutSeconds")}
        told["job"] |= {"secrets": dict.fromkeys(body.get("secrets") or {}, "")}
    return told


def _webhook(hub: Hub, ask: Request) -> dict[str, Any]:
    access.logged_in(ask)
    if ask.parts["hook"] not in hub.webhooks:
        raise Refused(404, "Webhook not found")
    return hub.webhooks[ask.parts["hook"]]


def webhooks(hub: Hub, ask: Request) -> Reply:
    """GET /api/settings/webhooks."""
    access.logged_in(ask)
    return answer(list(hub.webhooks.values()))


def webhook(hub: Hub, ask: Request) -> Reply:
    """GET or POST /api/settings/webhooks/{id}."""
    one = _webhook(hub, ask)
    if ask.method == "POST":
        one |= _asked_for(hub, ask.json())
    return answer({"webhook": one})


def drop_webhook(hub: Hub, ask: Request) -> Reply:
    """DELETE /api/settings/webhooks/{id}."""
    del hub.webhooks[_webhook(hub, ask)["id"]]
    return answer({})


def run_job(hub: Hub, ask: Request) -> Reply:
    """POST /api/jobs/{namespace}: kept as it was asked for, without the values of its secrets; nothing runs."""
    account, body = access.logged_in(ask), ask.json()
    access.named(account, ask.parts["namespace"])
    made = {**body, "id": secrets.token_hex(12), "createdAt": stamp(now())}
    made["secrets"] = dict.fromkeys(body.get("secrets") or {}, "")
    made["status"] = {"stage": "SCHEDULING", "message": None}
    made["owner"] = {"id": ask.parts["namespace"], "name": ask.parts["namespace"], "type": "user"}
    hub.jobs[made["id"]] = made
    return answer(made)


def _job(hub: Hub, ask: Request) -> dict[str, Any]:
    access.named(access.logged_in(ask), ask.parts["namespace"])
    one = hub.jobs.get(ask.parts["job"])
    if one is None or one["owner"]["name"] != ask.parts["namespace"]:
        raise Refused(404, "Job not found")
    return one


def jobs(hub: Hub, ask: Request) -> Reply:
    """GET /api/jobs/{namespace}[?stage=RUNNING][&label=key=value]: of several stages any, of several labels all."""
    access.named(access.logged_in(ask), ask.parts["namespace"])
    stages, labels = ask.query.get("stage", []), {tuple(one.split("=", 1)) for one in ask.query.get("label", [])}
    mine = [one for one in hub.jobs.values() if one["owner"]["name"] == ask.parts["namespace"]]
    fit = [one for one in mine if labels <= set((one.get("labels") or {}).items())]
    return answer([one for one in fit if not stages or one["status"]["stage"] in stages])


def job(hub: Hub, ask: Request) -> Reply:
    """GET /api/jobs/{namespace}/{id}."""
    return answer(_job(hub, ask))


def cancel(hub: Hub, ask: Request) -> Reply:
    """POST /api/jobs/{namespace}/{id}/cancel."""
    one = _job(hub, ask)
    one["status"] = {"stage": "CANCELED", "message": None}
    return answer(one)


def counted(hub: Hub, ask: Request) -> Reply:
    """HEAD /api/telemetry/... and GET /api/agent-harnesses: nothing to tell, but it must be a table."""
    return answer({})


ROUTES = [
    ("POST", "/api/settings/webhooks", make_webhook),
    ("GET", "/api/settings/webhooks", webhooks),
    ("GET", "/api/settings/webhooks/{hook}", webhook),
    ("POST", "/api/settings/webhooks/{hook}", webhook),
    ("DELETE", "/api/settings/webhooks/{hook}", drop_webhook),
    ("POST", "/api/jobs/{namespace}", run_job),
    ("GET", "/api/jobs/{namespace}", jobs),
    ("GET", "/api/jobs/{namespace}/{job}", job),
    ("POST", "/api/jobs/{namespace}/{job}/cancel", cancel),
    ("GET", "/api/telemetry/{path}", counted),
    ("GET", "/api/agent-harnesses", counted),
]
