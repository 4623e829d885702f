"""What comes in and what goes out: a request, a reply, and a refusal that becomes one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.hub.store import Account


@dataclass(frozen=True)
class Request:
    """One request, after its route was found.

    Attributes
    ----------
    method
        ``GET``, ``HEAD``, ...
    path
        The raw path: percent-encoded as it was sent, because a revision with a slash is one segment.
    query
        Decoded parameters, each with all its values.
    headers
        Names in lower case.
    body
        The bytes that were sent.
    parts
        What the pattern of the route found in the path, decoded.
    account
        Who asks; ``None`` without a token.
    """

    method: str
    path: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    body: bytes
    parts: Mapping[str, str] = field(default_factory=dict)
    account: Account | None = None

    def json(self) -> Any:
        """Return the body as JSON; an empty body is an empty table."""
        try:
            return json.loads(self.body or b"{}")
        except ValueError as error:
            raise Refused(400, f"The body is not JSON: {error}") from None

    def one(self, name: str, default: str = "") -> str:
        """Return the last value of a query parameter."""
        return self.query.get(name, [default])[-1]

    def says(self, name: str) -> bool:
        """Tell whether a query parameter is switched on."""
        return self.one(name).lower() in ("1", "true")


@dataclass
class Reply:
    """One answer; ``body`` is what a GET would carry, also when it answers a HEAD."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


def answer(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
    """Return ``value`` as JSON."""
    content = json.dumps(value, default=str).encode()  # a card may hold a date
    return Reply(status, content, {"Content-Type": "application/json; charset=utf-8", **(headers or {})})


class Refused(Exception):
    """A request that is answered with an error.

    The client maps errors by the header ``X-Error-Code`` (RepoNotFound, RevisionNotFound, EntryNotFound, GatedRepo)
    before it looks at the status; over plain http a bare 401 is never read as a missing repository.
    """

    def __init__(
        self, status: int, message: str, code: str = "", body: Any = None, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        said = {"X-Error-Message": message} | ({"X-Error-Code": code} if code else {})
        self.reply = answer({"error": message} if body is None else body, status, {**said, **(headers or {})})


class Moved(Refused):
    """A request for a repository that was renamed: the client repeats it where it is now, body and all."""

    def __init__(self, location: str) -> None:
        super().__init__(307, "Temporary Redirect. Redirecting to " + location, headers={"Location": location})
