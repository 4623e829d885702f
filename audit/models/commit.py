"""The commit of a repository: what a name means on the Hub today."""

from __future__ import annotations

from typing import Literal

from audit.errors import InputError, Unavailable
from audit.models.refused import refused
from audit.models.source import hub_reachable

__all__ = ["commit_of"]


def commit_of(name: str, type_: Literal["model", "dataset"], revision: str | None = None) -> str:
    """Ask the Hub for the commit of a model or data set.

    Parameters
    ----------
    name : str
        ``owner/name``.
    type_ : {"model", "dataset"}
    revision : str, optional
        Branch, tag or commit; the newest by default.

    Returns
    -------
    str
        40 hex digits.

    Raises
    ------
    InputError
        If there is no such repository or revision.
    Unavailable
        If the Hub cannot be reached.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import (
        HfHubHTTPError,
        HFValidationError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    unreachable = f"{name}: the Hub cannot be reached, and only it knows the newest commit"
    if not hub_reachable():
        raise Unavailable(unreachable)
    api = HfApi()
    try:
        asked = api.model_info if type_ == "model" else api.dataset_info
        commit = asked(name, revision=revision).sha
    except RevisionNotFoundError:
        raise InputError(f"{name}: no revision {revision!r} on the Hub") from None
    except (RepositoryNotFoundError, HFValidationError):
        raise InputError(
            f"{name}: no such {type_} on the Hub (or it is private), and nothing here has the name"
        ) from None
    except HfHubHTTPError as error:
        raise refused(error, name, type_, revision) from None
    except Exception as error:  # noqa: BLE001 (whatever the transport raises, nobody answered)
        raise Unavailable(f"{unreachable} ({type(error).__name__})") from None
    if commit is None:
        raise Unavailable(f"{name}: the Hub names no commit of it")
    return commit
