"""What can go wrong on the way: the n-th request that fits fails, once or several times."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tests.hub.wire import Refused, Reply

Failure = int | Literal["drop", "lose", "cut"]

WORDS = {
    401: "Invalid username or password.",
    402: "Payment required.",
    403: "You don't have the rights required to perform this action",
    404: "Not found",
    409: "A conflicting operation is in progress",
    412: "A commit has happened since. Please refresh and try again.",
    429: "We had to rate limit you. Upgrade to a paid account or wait.",
    500: "Internal Error - We're working hard to fix this as soon as possible!",
}


@dataclass
class Fault:
    """One planned failure.

    Attributes
    ----------
    failure
        A status; ``"drop"``: the connection closes in the middle of the request's body, nothing happens; ``"lose"``:
        the request is carried out and the connection closes before the answer; ``"cut"``: it closes in the middle of
        the answer.
    method, path
        What it hits: requests of this method ("" for any) whose raw path contains this text.
    nth, times
        It begins with the ``nth`` request that fits and hits ``times`` of them in a row.
    code
        The header ``X-Error-Code``, such as ``RepoNotFound``.
    retry_after
        Seconds, as the header of a 429 says.
    """

    failure: Failure
    path: str = ""
    method: str = ""
    nth: int = 1
    times: int = 1
    code: str = ""
    retry_after: int | None = None
    seen: int = 0

    def hits(self, method: str, path: str) -> bool:
        """Count a request that fits, and tell whether it fails."""
        if self.path not in path or self.method not in ("", method):
            return False
        self.seen += 1
        return self.nth <= self.seen < self.nth + self.times

    def reply(self) -> Reply:
        """Return the answer of a failure that is a status."""
        status = int(self.failure)
        wait = {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}
        return Refused(status, WORDS.get(status, "Failed"), self.code, headers=wait).reply
