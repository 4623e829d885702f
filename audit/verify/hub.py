"""What was published of a run, pulled for verification; and what the Hub says of files without sending them."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Collection
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from audit.errors import InputError, Unavailable
from audit.installed import in_package, package_of
from audit.publish.bundle.manifest import sha256
from audit.publish.hub.failures import failures, said
from audit.verify.place import NEWEST, PULLED
from audit.verify.since import Since, since

if TYPE_CHECKING:
    from huggingface_hub import HfApi

__all__ = ["NotThere", "hub_hashes", "local_base", "pulled"]

TAG = "audit-"
TABLES = ["README.md", "report.json", "manifest.json", "*.parquet", "evidence/*.parquet"]  # of the data set
SMALL = ["README.md", "LICENSE*", "NOTICE*", "audit/*", ".eval_results/*"]


class NotThere(Exception):
    """Files that were to be checked cannot be had; says why."""


def pulled(name: str) -> Path:
    """Pull what was published under a name into a temporary folder.

    Parameters
    ----------
    name : str
        ``owner/name``: of the model; its data set is ``owner/name-audit``, which may be named instead.

    Returns
    -------
    Path
        The data set's files, in ``model/`` the small files of the model repository at its newest audit, in ``main/``
        its card if that is another by now, and in ``pulled.json`` what the Hub says of the others.

    Raises
    ------
    InputError
        If there is no such audit, or it may not be read.
    Unavailable
        If the Hub cannot be reached.
    """
    from huggingface_hub import HfApi

    api = HfApi()
    name = _asked(name, lambda: _model(api, name))
    data = f"{name}-audit"
    folder = Path(tempfile.mkdtemp(prefix="transfer-audit-"))
    try:
        tag = _asked(data, lambda: _newest(api, data, name))
        _asked(
            data,
            lambda: api.snapshot_download(
                data, repo_type="dataset", revision=tag, local_dir=folder, allow_patterns=TABLES
            ),
        )
        news: list[Since] = [_asked(data, lambda: since(api, data, "dataset", tag))]
        files: dict[str, str] = {}
        if "audit/report.json" in _listed(folder):  # of a model that was there before, only the data set is published
            small = folder / "model"
            _asked(name, lambda: api.snapshot_download(name, revision=tag, allow_patterns=SMALL, local_dir=small), tag)
            files = _asked(name, lambda: _hashes(api, name, tag, None), tag)
            news.append(_asked(name, lambda: since(api, name, "model", tag)))
            if news[-1].changes.get("README.md") in ("differs", "was added"):
                sha, main = news[-1].sha, folder / NEWEST
                _asked(name, lambda: api.hf_hub_download(name, "README.md", revision=sha, local_dir=main))
        kept = {"tag": tag, "files": files, "since": [asdict(one) for one in news]}
        (folder / PULLED).write_text(json.dumps(kept), encoding="utf-8")
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return folder


def _model(api: HfApi, name: str) -> str:
    """Return the name of the model where that of its data set was given."""
    bare = name.removesuffix("-audit")
    return name if name == bare or api.repo_exists(f"{name}-audit", repo_type="dataset") else bare


def _newest(api: HfApi, data: str, name: str) -> str:
    """Return the tag of the newest commit of the data set that carries an audit's."""
    from huggingface_hub.errors import RepositoryNotFoundError

    try:
        refs = api.list_repo_refs(data, repo_type="dataset").tags
    except RepositoryNotFoundError:
        raise InputError(
            f"{name}: no audit of it was published (no data set {data}), or it is private: log in with a token that "
            "may read it"
        ) from None
    tags = {one.target_commit: one.name for one in refs if one.name.startswith(TAG)}
    for commit in api.list_repo_commits(data, repo_type="dataset"):
        if commit.commit_id in tags:
            return tags[commit.commit_id]
    if not api.file_exists(data, "report.json", repo_type="dataset"):
        raise InputError(f"{data}: there is no tag {TAG}... and no report.json: nothing was published there")
    with tempfile.TemporaryDirectory() as scratch:
        digest = sha256(Path(api.hf_hub_download(data, "report.json", repo_type="dataset", local_dir=scratch)))
    raise InputError(f"{data}: its tag {TAG}{digest[:8]} is gone; publish again, which restores it")


def _listed(folder: Path) -> list[str]:
    """Name what the manifest lists; what is wrong with it is for `verified` to say."""
    try:
        return list(json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["files"])
    except (OSError, ValueError, KeyError, TypeError):
        return ["audit/report.json"]


def _asked(name: str, ask: Any, tag: str = "") -> Any:
    """Ask the Hub, and turn its refusals into one line; ``tag`` is that of an audit, which must be there."""
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        return ask()
    except (InputError, Unavailable):
        raise
    except GatedRepoError:
        raise InputError(f"{name}: gated on the Hub; accept its terms there and log in with a token") from None
    except RevisionNotFoundError:
        gone = f"its tag {tag} is gone; publish again, which restores it" if tag else "no such revision on the Hub"
        raise InputError(f"{name}: {gone}") from None
    except (RepositoryNotFoundError, HFValidationError):
        raise InputError(f"{name}: not on the Hub, or private; log in with a token that may read it") from None
    except HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else 0
        if status in (401, 403):
            raise InputError(
                f"{name}: the Hub refuses this token ({status}); log in with one that may read it"
            ) from None
        raise Unavailable(f"{name}: the Hub answers {status or type(error).__name__}; try again later") from None
    except failures() as error:
        raise Unavailable(f"{name}: {said(error)}; try again later") from None


def local_base(named: str) -> Path | None:
    """Return the folder of a base that lies here; None for one on the Hub.

    Raises
    ------
    NotThere
        If it is called as something here, and is not here.
    """
    if named.startswith("package:"):
        place = in_package(named)
        if place is None:
            raise NotThere(f"the package {package_of(named)!r} is not installed here")
        return place
    path = Path(named).expanduser()
    if path.is_dir() or path.is_file():
        return path if path.is_dir() else path.parent
    if named.count("/") != 1 or named.startswith((".", "/", "~", "[")):
        raise NotThere(f"{named} is not here")
    return None


def hub_hashes(name: str, revision: str | None, wanted: Collection[str]) -> dict[str, str]:
    """Return the sha256 of a model's files at a commit, as the Hub says; of small files, as they are.

    Raises
    ------
    NotThere
        If the Hub does not say.
    """
    from huggingface_hub import HfApi

    if revision is None:
        raise NotThere(f"{name} was audited at no known revision")
    try:
        found: dict[str, str] = _asked(name, lambda: _hashes(HfApi(), name, revision, wanted))
    except (InputError, Unavailable) as reason:
        raise NotThere(str(reason)) from None
    return found


def _hashes(api: HfApi, name: str, revision: str, wanted: Collection[str] | None) -> dict[str, str]:
    """Ask for the hashes of large files, and fetch the small ones."""
    found: dict[str, str] = {}
    for one in api.model_info(name, revision=revision, files_metadata=True).siblings or []:
        if wanted is not None and one.rfilename not in wanted:
            continue
        if one.lfs is not None:
            found[one.rfilename] = one.lfs.sha256
        else:
            with tempfile.TemporaryDirectory() as scratch:
                found[one.rfilename] = sha256(
                    Path(api.hf_hub_download(name, one.rfilename, revision=revision, local_dir=scratch))
                )
    return found
