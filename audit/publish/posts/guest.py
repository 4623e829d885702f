"""Writing on a page of the Hub that is another's: who we are there, what may be done, and what a refusal means."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from audit.errors import InputError, Unavailable
from audit.publish.bundle.redact import redacted
from audit.publish.hub.failures import said, status
from audit.publish.posts.discussion import weights_of
from audit.report import Report

if TYPE_CHECKING:
    from huggingface_hub import HfApi, ModelInfo

__all__ = ["README", "card_text", "denied", "head", "other_weights", "page", "refusal", "writer"]

README = "README.md"
TRY_AGAIN = (408, 409, 412, 429)  # not now, but perhaps later


def writer() -> tuple[HfApi, str]:
    """Return the client and the account of the token, which must be able to write.

    Raises
    ------
    InputError
        If there is no token, or it may only read.
    """
    from huggingface_hub import HfApi, get_token

    if get_token() is None:
        raise InputError("no token of the Hub: log in with `hf auth login`, or set HF_TOKEN")
    api = HfApi()
    me = api.whoami()
    if me.get("auth", {}).get("accessToken", {}).get("role") == "read":
        raise InputError(f"the token of {me['name']} may only read: make one that may write, and log in with it")
    return api, str(me["name"])


def page(api: HfApi, repo: str) -> ModelInfo:
    """Return what the Hub says of a model, which must be there and open to this token.

    Raises
    ------
    InputError
        If it is not, or is called otherwise now.
    """
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    try:
        info = api.model_info(repo, files_metadata=True)
        if info.gated:
            api.auth_check(repo)
    except GatedRepoError:
        raise InputError(f"{repo}: gated; accept its terms on the Hub with the account of the token") from None
    except RepositoryNotFoundError:
        raise InputError(f"{repo}: no such model on the Hub, or not for this token") from None
    if info.id != repo:
        raise InputError(f"{repo}: is called {info.id} on the Hub now; post to that name")
    if info.disabled:
        raise InputError(f"{repo}: disabled on the Hub; nothing can be posted there")
    return info


def other_weights(report: Report, repo: str, info: ModelInfo) -> str:
    """Say how the weights there are not those that were audited; empty where they are, by their sha256.

    A model without weights of its own (a prompt) is known by its name.
    """
    audited = weights_of(report)
    if not audited:
        return "" if report.adapted.id == repo else f"{repo}: the report is about {report.adapted.id}, without weights"
    there = {one.rfilename: one.lfs.sha256 if one.lfs else None for one in info.siblings or []}
    for name, digest in audited.items():
        if there.get(name) != digest:
            found = "is not there" if name not in there else f"there has sha256 {str(there[name])[:12]}…"
            return f"{repo}: {name} {found}, that of the report {digest[:12]}…"
    return ""


def head(api: HfApi, repo: str, ref: str) -> str:
    """Return the commit that a branch points to."""
    return str(api.model_info(repo, revision=ref).sha)


def card_text(api: HfApi, repo: str, commit: str) -> str:
    """Read the card at a commit, line ends included; empty where there is none."""
    from huggingface_hub.errors import RemoteEntryNotFoundError

    try:
        raw = Path(api.hf_hub_download(repo, README, revision=commit)).read_bytes()
    except RemoteEntryNotFoundError:
        return ""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        raise InputError(f"{repo}: its {README} is not UTF-8; nothing can be put into it") from None


def denied(error: Exception) -> bool:
    """Tell whether the Hub found fault with a card's metadata: the client says so by a plain ValueError."""
    return isinstance(error, ValueError) and not isinstance(error, json.JSONDecodeError | OSError)


def refusal(error: Exception, what: str, then: str) -> InputError | Unavailable:
    """Turn a failure of the Hub into the error that a user meets, one line each."""
    if denied(error):
        return InputError(f"{what}: {redacted(' '.join(str(error).split()))[:300]}; {then}")
    code = status(error)
    told = f"{what}: {said(error)}; {then}"
    return InputError(told) if code is not None and code < 500 and code not in TRY_AGAIN else Unavailable(told)
