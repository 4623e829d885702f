"""What is known of a data set beside its rows: where it is on the Hub, at which commit, under which licence."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from audit.items.reference import is_local

__all__ = ["OURS", "Known", "commit_in_cache", "known"]

OURS = "apache-2.0"  # what is shipped was written for this package
COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class Known:
    """A data set: its id on the Hub and commit, ``None`` where it is not there or nobody said, and its licence."""

    id: str | None = None
    revision: str | None = None
    license: str | None = None


def known(name: str, revision: str | None = None, *, here: bool | None = None) -> Known:
    """Look up the licence of a data set; nothing is raised where nobody can say.

    Parameters
    ----------
    name : str
        As a recipe names it: ``shipped:NAME``, a file or folder, or a Hub id, after which a configuration and a
        revision may stand.
    revision : str, optional
        At which it was read.
    here : bool, optional
        Whether it is no data set of the Hub, where that is known better than by its name.

    Examples
    --------
    >>> known("shipped:feedback")
    Known(id=None, revision=None, license='apache-2.0')
    >>> known("texts/general.txt")
    Known(id=None, revision=None, license=None)
    """
    if name.startswith("shipped:"):
        return Known(license=OURS)
    if is_local(name) if here is None else here:
        return Known()
    plain, _, named = name.partition("@")
    id = plain.partition(":")[0]
    wanted = revision or named or None
    commit = wanted if wanted is not None and COMMIT.fullmatch(wanted) else None
    return Known(id, commit, _license(id, wanted))


def _license(id: str, revision: str | None) -> str | None:
    """Return what the card says, from the cache where it lies there."""
    from huggingface_hub import DatasetCard, hf_hub_download

    from audit.models.source import hub_reachable

    hub_reachable()
    try:
        card = hf_hub_download(id, "README.md", repo_type="dataset", revision=revision)
        said = DatasetCard.load(Path(card), ignore_metadata_errors=True).data.to_dict().get("license")
    except Exception:  # noqa: BLE001 (no card, no network, no access, foreign YAML: then it is not known)
        return None
    several = said if isinstance(said, list) else [said] if said else []
    return ", ".join(map(str, several)) or None


def commit_in_cache(data: Any) -> str | None:
    """Return the commit that the rows of a Hub data set were read at.

    Without a network `datasets` takes the newest rows that it has of a name, whatever revision was asked for; the
    folder that they lie in says of which commit they are.
    """
    for file in data.cache_files:
        commit = Path(file["filename"]).parent.name
        if COMMIT.fullmatch(commit):
            return commit
    return None
