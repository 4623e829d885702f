"""The way to the storage of chunks, for clients that choose it."""

from __future__ import annotations

from tests.hub import access, upload
from tests.hub.hub import Hub
from tests.hub.wire import Refused, Reply, Request, answer


def token(hub: Hub, ask: Request) -> Reply:
    """GET .../xet-write-token/{rev} and xet-read-token: JSON for hf_xet, headers for huggingface_hub."""
    if ask.path.partition("/xet-")[2].startswith("write"):
        upload.target(hub, ask)
    else:
        access.readable(hub, ask)
    if hub.xet is None:
        raise Refused(404, "This Hub has no xet storage: set HF_HUB_DISABLE_XET=1 before the client is imported")
    found = hub.xet.pass_for()
    names = {"casUrl": "X-Xet-Cas-Url", "accessToken": "X-Xet-Access-Token", "exp": "X-Xet-Token-Expiration"}
    return answer(found, headers={header: str(found[name]) for name, header in names.items()})


ROUTES = [
    ("GET", "/api/{kind}/{repo}/xet-write-token/{rev}", token),
    ("GET", "/api/{kind}/{repo}/xet-read-token/{rev}", token),
]
