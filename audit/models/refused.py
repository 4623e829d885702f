"""What it means when something does not come from the Hub: one line that says what to do next."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from typing import Literal

from audit.errors import InputError, Unavailable

__all__ = ["refused"]

WORDS = {"model": "model", "dataset": "data set"}
FULL = (errno.ENOSPC, errno.EDQUOT)
LOG_IN = "log in with a token that may read it (hf auth login)"


def refused(
    error: BaseException, name: str, type_: Literal["model", "dataset"], revision: str | None = None
) -> InputError | Unavailable:
    """Say in one line why a repository could not be read, in our own words: an error may quote an address or a token.

    Parameters
    ----------
    error : BaseException
        What a client of the Hub raised; what it was raised from is looked at too.
    name : str
        ``owner/name``.
    type_ : {"model", "dataset"}
    revision : str, optional
        That was asked for.

    Returns
    -------
    InputError or Unavailable
        To be raised: something to be changed, or something that may be otherwise later.
    """
    from huggingface_hub.errors import (
        DisabledRepoError,
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    causes = list(_chain(error))
    if any(_full(one) for one in causes):
        return Unavailable(f"{name}: no room is left on the disk; make some where {_cache()} lies, or set HF_HOME")
    for one in causes:
        if isinstance(one, GatedRepoError):
            return InputError(f"{name}: gated on the Hub; accept its terms there, and {LOG_IN}")
        if isinstance(one, DisabledRepoError):
            return InputError(f"{name}: disabled on the Hub, nobody can pull it; choose another {WORDS[type_]}")
        if isinstance(one, RevisionNotFoundError):
            return InputError(f"{name}: no revision {revision!r} on the Hub; name a branch, a tag or a commit of it")
        if isinstance(one, RepositoryNotFoundError | HFValidationError):
            return InputError(
                f"{name}: no such folder here, and no such {WORDS[type_]} on the Hub (or it is private); check the "
                f"name, or {LOG_IN}"
            )
        if isinstance(one, HfHubHTTPError) and not isinstance(one, LocalEntryNotFoundError):
            return _answered(one.response.status_code, one.response.headers.get("Retry-After"), name)
    if any(isinstance(one, OfflineModeIsEnabled | LocalEntryNotFoundError) for one in causes):
        return Unavailable(f"{name}: the Hub cannot be reached, and the {WORDS[type_]} is not whole in its cache")
    local = next((one for one in causes if isinstance(one, OSError) and one.filename is not None), None)
    if local is not None:
        return Unavailable(f"{local.filename}: {local.strerror}; mend that, or set HF_HOME to another folder")
    return Unavailable(f"{name}: the connection to the Hub broke off ({type(error).__name__}); what came whole is kept")


def _answered(status: int, wait: str | None, name: str) -> InputError | Unavailable:
    if status == 401:
        return InputError(f"{name}: the Hub does not accept the token (401); log in (hf auth login), or unset HF_TOKEN")
    if status == 403:
        return InputError(f"{name}: this token may not read it (403); {LOG_IN}")
    if status == 429:
        when = f"in {wait} s" if wait and wait.isdigit() else "later"
        return Unavailable(f"{name}: the Hub lets nobody ask so often (429); try again {when}")
    if status >= 500:
        return Unavailable(f"{name}: the Hub is in trouble (it answered {status}); try again later")
    return InputError(f"{name}: the Hub answered {status}; check the name and the revision")


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Go from an error to what it was raised from, and so on."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _full(error: BaseException) -> bool:
    """Tell whether the disk is full; what stores large files says so in words."""
    return (isinstance(error, OSError) and error.errno in FULL) or f"os error {errno.ENOSPC}" in str(error)


def _cache() -> str:
    from huggingface_hub import constants

    return str(constants.HF_HUB_CACHE)
