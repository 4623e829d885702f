"""What became of a publication since its audit: what ``main`` holds now, against what the audit's tag holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from typing import TYPE_CHECKING, Literal

from audit.report import Report
from audit.verify.carded import denied
from audit.verify.found import Verification

if TYPE_CHECKING:
    from huggingface_hub import HfApi

    from audit.verify.place import Place

__all__ = ["OWN", "Since", "carried", "check_since", "since"]

MOST = 10  # files that one line names
OWN = ("audit/", ".eval_results/")  # what is published beside the model
CARRIED = (
    *("LICENSE*", "LICENCE*", "License*", "COPYING*", "NOTICE*", "Notice*", "USE_POLICY*"),
    *("README.md", ".gitattributes", "audit/*", ".eval_results/*"),
)


@dataclass(frozen=True)
class Since:
    """What differs of a repository between the audit's tag and ``main``.

    Attributes
    ----------
    id, kind : str
    sha : str
        Of the newest commit.
    commits : int or None
        How many came after the audit; None where the audit's commit is not among those of ``main``.
    changes : dict of str to str
        By path what became of a file: ``differs``, ``was added``, ``is gone``.
    """

    id: str
    kind: str
    sha: str
    commits: int | None
    changes: dict[str, str]


def carried(path: str) -> bool:
    """Whether a file may lie beside a model without being audited: nothing loads it."""
    return any(fnmatch(path, one) for one in CARRIED)


def since(api: HfApi, id: str, kind: Literal["model", "dataset"], tag: str) -> Since:
    """Compare the files of a repository at a tag and at ``main``."""
    tagged = next((one.target_commit for one in api.list_repo_refs(id, repo_type=kind).tags if one.name == tag), None)
    commits = [one.commit_id for one in api.list_repo_commits(id, repo_type=kind)]
    then, now = _tree(api, id, kind, tag), _tree(api, id, kind, commits[0])
    changes = {path: "differs" for path in sorted(then.keys() & now.keys()) if then[path] != now[path]}
    changes |= {path: "was added" for path in sorted(now.keys() - then.keys())}
    changes |= {path: "is gone" for path in sorted(then.keys() - now.keys())}
    return Since(id, kind, commits[0], commits.index(tagged) if tagged in commits else None, changes)


def _tree(api: HfApi, id: str, kind: str, revision: str) -> dict[str, str]:
    from huggingface_hub.hf_api import RepoFile

    listed = api.list_repo_tree(id, repo_type=kind, revision=revision, recursive=True)
    return {one.path: one.lfs.sha256 if one.lfs else one.blob_id for one in listed if isinstance(one, RepoFile)}


def check_since(found: Verification, report: Report, place: Place) -> None:
    """Name what ``main`` holds otherwise than the audit's tag; a card may change outside its block."""
    for one in place.since:
        told = _relevant(one.changes, (place.manifest or {}).get("files", {}), of_model=one.kind == "model")
        if told:
            found.differ([f"{one.id}: main is at {one.sha[:8]}, {_after(one.commits)}: {', '.join(told)}"])
        if one.kind == "dataset" and "README.md" in one.changes:
            found.leave(f"{one.id}: its README.md at main is not the audit's: not compared")
    if place.newest is not None:
        name = place.since[-1].id if place.since else "README.md"
        lines, _ = denied(report, place.newest.read_bytes().decode("utf-8", errors="replace"))
        found.differ([f"{name}: README.md at main: {line}" for line in lines])


def _relevant(changes: Mapping[str, str], listed: Mapping[str, str], *, of_model: bool) -> list[str]:
    kept = {
        path: how for path, how in changes.items() if not carried(path) or (path in listed and path.startswith(OWN))
    }
    if not of_model:  # of the data set, all but its card
        kept = {path: how for path, how in changes.items() if path not in ("README.md", ".gitattributes")}
    lines = [f"{path} {how}" for path, how in kept.items()]
    return lines if len(lines) <= MOST else [*lines[:MOST], f"and {len(lines) - MOST} more"]


def _after(commits: int | None) -> str:
    if commits is None:
        return "and the audit's commit is none of its commits"
    return f"{commits} commit{'' if commits == 1 else 's'} after the audit"
