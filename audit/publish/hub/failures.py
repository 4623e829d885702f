"""What a failure on the way to the Hub means, in one line without a token."""

from __future__ import annotations

import re

from audit.errors import InputError, Unavailable
from audit.publish.bundle.redact import redacted

__all__ = ["failures", "said", "status"]

MEANT = {
    400: "the Hub refuses it (400)",
    401: "the Hub does not accept the token (401): log in again with `hf auth login`, or set HF_TOKEN",
    402: "the Hub asks for a paid plan (402)",
    403: "the token may not do that (403)",
    404: "the Hub does not have it, or not for this token (404)",
    409: "something else is in the way there (409)",
    412: "somebody has committed there since it was looked at (412)",
}


def failures() -> tuple[type[Exception], ...]:
    """Return what the clients raise where the Hub, the way to it or the disk fails."""
    import httpx2

    return (httpx2.HTTPError, OSError, RuntimeError, ValueError)  # the last two: uploads given up, answers cut off


def status(error: BaseException) -> int | None:
    """Return the status that the Hub answered with, wherever in the chain of causes it stands."""
    answer = getattr(error, "response", None)
    code = getattr(answer, "status_code", None)
    if code is None and error.__cause__ is not None:
        return status(error.__cause__)
    return code if isinstance(code, int) else None


def said(error: BaseException) -> str:
    """Say what happened.

    Examples
    --------
    >>> said(OSError(28, "No space left on device"))
    'No space left on device'
    """
    from huggingface_hub.errors import OfflineModeIsEnabled

    if isinstance(error, (InputError, Unavailable)):
        return str(error)
    code = status(error)
    if code == 429:
        wait = _wait(error)
        return f"the Hub asks to wait {wait} s (429)" if wait else "the Hub asks to wait a while (429)"
    if code is not None and code >= 500:
        return f"the Hub has an error of its own ({code})"
    if code in MEANT:
        told = _told(error) if code in (400, 403, 409) else ""
        return MEANT[code] + told
    if isinstance(error, OfflineModeIsEnabled):
        return "HF_HUB_OFFLINE is set, so that nothing is asked"
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno is not None and cause.strerror:
            return cause.strerror
        if type(cause).__module__.startswith("httpx"):
            return f"the connection to the Hub broke ({type(cause).__name__})"
        cause = cause.__cause__ or cause.__context__
    if "xet" in str(error):
        return "the Hub's storage of large files does not answer; with HF_HUB_DISABLE_XET=1 they go another way"
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return redacted(f"{type(error).__name__}: {' '.join(lines)[:300]}" if lines else type(error).__name__)


def _told(error: BaseException) -> str:
    message = " ".join(str(getattr(error, "server_message", None) or "").split())
    shown = "".join(one for one in message if one.isprintable())
    return f": {redacted(shown)[:200]}" if shown else ""


def _wait(error: BaseException) -> str:
    cause: BaseException | None = error
    while cause is not None:
        headers = getattr(getattr(cause, "response", None), "headers", {})
        if found := re.fullmatch(r"\s*(\d+)\s*", headers.get("Retry-After", "")):
            return found[1]
        if found := re.search(r"\bt=(\d+)", headers.get("ratelimit", "")):
            return found[1]
        cause = cause.__cause__
    return ""
