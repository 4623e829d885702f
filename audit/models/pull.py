"""Pulling from the Hub: one commit, only what is loaded, and nothing that is not what the Hub has there."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import partial
from io import StringIO
from pathlib import Path, PurePosixPath, PureWindowsPath
from threading import RLock
from typing import TYPE_CHECKING, Any

from audit.errors import InputError
from audit.models.refused import refused
from audit.models.whole import linked

if TYPE_CHECKING:
    from huggingface_hub import ResolvedRevision

__all__ = ["Pulled", "Ticker", "hub_reachable", "module_names", "pulled", "refuse_hostile"]

CARDS = ["README.md", "LICENSE*", "LICENCE*", "NOTICE*", "Notice*", "USE_POLICY*"]
PAPERS = ["*.json", "*.txt", "*.model", "*.jinja", *CARDS]
WHOLE, INDEX = "model.safetensors", "model.safetensors.index.json"
BESIDE = ("adapter_model.safetensors", "head.safetensors")  # what lies on a base, or beside one
OTHERS = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".h5", ".msgpack", ".onnx", ".gguf")

Ticker = Callable[[str, int, int], None]
"""Told what is done, how many bytes of it are here, and how many there are."""


@dataclass(frozen=True)
class Pulled:
    """A repository's files at one commit, in the client's cache.

    ``said`` are the hashes by which the Hub knows those that were pulled: sha256 of large files, git's of others.
    """

    name: str
    commit: str
    folder: Path
    said: Mapping[str, str]


def pulled(
    name: str,
    revision: str | None = None,
    gguf_file: str | None = None,
    *,
    weights: bool = True,
    tick: Ticker | None = None,
) -> Pulled:
    """Pull a model: its papers, and of its weights the one format that is loaded.

    The revision is resolved once, and all that follows is about that commit. Pickles, other formats and code are left
    where they are. Without a network, what was pulled before is found again.

    Parameters
    ----------
    name : str
        ``owner/name``.
    revision : str, optional
        Branch, tag or commit; the default branch else.
    gguf_file : str, optional
        This file in place of safetensors.
    weights : bool
        False pulls config and tokenizer only; that there are weights is still asked.
    tick : callable, optional
        Told about progress; the client's own bars else.

    Raises
    ------
    InputError
        If there is no such model, it may not be read, or it has nothing that is loaded.
    Unavailable
        If the Hub cannot be reached, does not answer, or the disk is full. What came whole is kept.
    """
    from huggingface_hub import resolve_revision, snapshot_download

    hub_reachable()
    try:
        commit = resolve_revision(name, revision=revision)
        listed = _listed(name, commit)
        fetch = partial(snapshot_download, name, revision=commit, tqdm_class=tick and _told(tick))
        if listed is None:  # without a network, and pulled by somebody else: what lies there is what there is
            folder = Path(fetch(local_files_only=True))
            return Pulled(name, commit.resolved, folder, linked(folder))
        refuse_hostile(name, listed)
        if gguf_file is not None and gguf_file not in listed:
            held = ", ".join(sorted(one for one in listed if one.endswith(".gguf"))) or "none of that format"
            raise InputError(f"{name}: no file {gguf_file!r} in it; it has {held}")
        papers = _among(listed, [gguf_file, *CARDS] if gguf_file else PAPERS)
        folder = Path(fetch(allow_patterns=papers))
        files = papers
        if gguf_file is None:
            found = _weights(name, listed, folder)
            files = [*papers, *(found if weights else []), *_inner(listed, folder)]
            fetch(allow_patterns=files)
    except InputError:
        raise
    except Exception as error:  # noqa: BLE001 (transports, disks, stores of large files: each has errors of its own)
        raise refused(error, name, "model", revision) from None
    kept = linked(folder)
    return Pulled(name, commit.resolved, folder, {one: listed[one] or kept.get(one, "") for one in files})


def hub_reachable() -> bool:
    """Ask the Hub once whether it is there; where it is not, its clients read their caches and do not retry.

    A client retries a lost connection for half a minute. One short question first lets a machine without a network
    say so at once.
    """
    import datasets
    import huggingface_hub
    from huggingface_hub import constants

    if not constants.HF_HUB_OFFLINE:
        try:
            huggingface_hub.get_session().head(constants.ENDPOINT, timeout=10)
        except Exception:  # noqa: BLE001 (whatever the transport raises, the Hub is not there)
            constants.HF_HUB_OFFLINE = datasets.config.HF_HUB_OFFLINE = True
    return not constants.HF_HUB_OFFLINE


# --- what there is, and what of it is wanted --------------------------------------------------------------------------


def _listed(name: str, commit: ResolvedRevision) -> dict[str, str] | None:
    """List the files of a commit with the hashes that the Hub has of them.

    Without a Hub that answers: without hashes, as they were listed when they were pulled; None where nobody did.
    """
    from huggingface_hub import HfApi, constants, get_cached_repo_tree
    from huggingface_hub.errors import CachedRepoTreeNotFoundError, HfHubHTTPError
    from huggingface_hub.hf_api import RepoFile

    trouble: HfHubHTTPError | None = None
    if not constants.HF_HUB_OFFLINE:
        try:
            tree = list(HfApi().list_repo_tree(name, recursive=True, revision=commit.resolved))
            files = [one for one in tree if isinstance(one, RepoFile)]
            return {one.path: one.lfs.sha256 if one.lfs else one.blob_id for one in files}
        except HfHubHTTPError as error:
            if error.response.status_code < 500:
                raise
            trouble = error
    try:
        return {one.path: "" for one in get_cached_repo_tree(name, revision=commit)}
    except CachedRepoTreeNotFoundError:
        if trouble is not None:
            raise trouble from None
        return None


def refuse_hostile(name: str, listed: Collection[str]) -> None:
    """Refuse a repository with a file that would be written outside its folder, here or on another system."""
    for one in listed:
        parts = re.split(r"[/\\]", one)
        if ".." in parts or PurePosixPath(one).is_absolute() or PureWindowsPath(one).anchor:
            raise InputError(f"{name}: it has a file {one!r}, outside its own folder; nothing of it is pulled")


def _among(listed: Collection[str], patterns: Collection[str]) -> list[str]:
    return sorted(one for one in listed if "/" not in one and any(fnmatch(one, pattern) for pattern in patterns))


def _weights(name: str, listed: Collection[str], folder: Path) -> list[str]:
    """Name the weights that are loaded: whole, else the shards of the index, and what lies on a base or beside it."""
    found = [WHOLE] if WHOLE in listed else _shards(name, listed, folder) if INDEX in listed else []
    found += [one for one in BESIDE if one in listed]
    inner = [one for one in _inner(listed, folder) if one.endswith(".safetensors")]
    if found or inner or "prompt.json" in listed:
        return found
    others = [one for one in sorted(listed) if one.endswith((".safetensors", *OTHERS))]
    held = f"its weights come only as {others[0]!r}" if others else "it has no weights"
    raise InputError(
        f"{name}: {held}; {WHOLE}, or the shards of an index, are loaded: name a revision that has them (the Hub's "
        "conversions stand in refs/pr/N), a gguf_file, or another model"
    )


def _shards(name: str, listed: Collection[str], folder: Path) -> list[str]:
    try:
        placed = json.loads((folder / INDEX).read_text(encoding="utf-8"))["weight_map"]
        shards = sorted({str(one) for one in placed.values()})
    except (ValueError, KeyError, TypeError, AttributeError):
        raise InputError(f"{name}: its {INDEX} is none; ask its authors, or name another revision") from None
    missing = next((one for one in shards if one not in listed), None)
    if missing is not None:
        raise InputError(f"{name}: its {INDEX} names {missing!r}, which it does not have; name another revision")
    return shards


def _inner(listed: Collection[str], folder: Path) -> list[str]:
    """Name what lies in the inner folders of a sentence encoder."""
    places = set(module_names(folder))
    within = [one for one in sorted(listed) if one.count("/") == 1 and one.partition("/")[0] in places]
    return [one for one in within if one.endswith(("/config.json", ".safetensors"))]


def module_names(folder: Path) -> list[str]:
    """Name the inner folders that a sentence encoder's ``modules.json`` speaks of, whether they are there or not."""
    try:
        modules = json.loads((folder / "modules.json").read_text(encoding="utf-8"))
        names = [str(module["path"]) for module in modules if module["path"]]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    return [name for name in names if re.fullmatch(r"[A-Za-z0-9_-]+", name)]


# --- progress ---------------------------------------------------------------------------------------------------------


def _told(tick: Ticker) -> Any:
    """Return the class of a progress bar that shows nothing and tells of the bytes on the disk.

    The client makes three at once: this is its bar of what is put together.
    """
    from tqdm import tqdm  # type: ignore[import-untyped]

    class Told(tqdm):  # type: ignore[misc]
        monitor_interval = 0  # no thread that watches it

        def display(self, msg: str | None = None, pos: int | None = None) -> None:
            if self.total and str(self.desc).startswith("Reconstruct"):
                tick("pull", int(self.n), int(self.total))

    Told.set_lock(RLock())
    return partial(Told, file=StringIO(), mininterval=0.1)
