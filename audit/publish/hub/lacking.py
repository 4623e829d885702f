"""What of ours a repository lacks, and what was ours there and is not any more."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from audit.errors import InputError
from audit.publish.bundle.manifest import sha256
from audit.publish.hub.actions import Change, Repository
from audit.publish.hub.remote import BORN_WITH, Content, Kind, There, invalid, read

if TYPE_CHECKING:
    from huggingface_hub import HfApi

__all__ = ["MANIFEST", "lacking"]

MANIFEST: dict[Kind, str] = {"model": "audit/manifest.json", "dataset": "manifest.json", "space": "manifest.json"}
COMPARED = 1_000_000  # bytes up to which a text that is there is fetched, to be shown beside ours


def lacking(
    api: HfApi, there: There, files: Mapping[str, Content], private: bool, tag: str | None, warnings: list[str]
) -> Repository:
    """Compare what is to be in a repository with what is; files that were ours and are not any more go."""
    former = _former(api, there)
    strange = sorted(path for path in there.files if path not in former and path not in BORN_WITH)
    if strange and there.kind != "model" and not former:
        raise InputError(
            f"{there.name} is on the Hub already and no audit: it holds {strange[0]}; choose another name with --to"
        )
    wanted: dict[str, Content | None] = dict(files)
    for path, hash in former.items():
        if path in there.files and path not in wanted:
            if _hash(api, there, path) == hash:
                wanted[path] = None
            else:
                warnings.append(f"{path} of {there.name} is no longer ours, and was changed since: it stays")
    changes = []
    for path, content in sorted(wanted.items()):
        if there.holds({path: content}):
            continue
        was = there.files.get(path)
        if was is not None and path not in former and path not in BORN_WITH | {MANIFEST[there.kind]}:
            warnings.append(f"{path} of {there.name} does not come from an audit and would be replaced")
        if was is not None and path == "README.md" and former and there.kind != "model":
            warnings.append(f"README.md of {there.name} would be replaced, whatever was written into it since")
        small = was is not None and len(was.hash) == 40 and was.size <= COMPARED
        old = read(api, there, path) if small else None
        changes.append(Change(path, content, None if content is None else sha256(content), was, old))
    readme = next((change.new for change in changes if change.path == "README.md"), None)
    if isinstance(readme, bytes) and (wrong := invalid(api, there.kind, readme.decode())):
        raise InputError(f"README.md of {there.name}: the Hub would refuse it: {'; '.join(wrong)}")
    return Repository(there, private or there.private, wanted, tuple(changes), tag)


def _hash(api: HfApi, there: There, path: str) -> str:
    """Return the sha256 of a file that is there; a large one is not pulled for it."""
    listed = there.files[path].hash
    return listed if len(listed) == 64 else sha256(read(api, there, path) or b"")


def _former(api: HfApi, there: There) -> dict[str, str]:
    """Return the files of ours by the manifest that stands there: path to sha256."""
    try:
        found = json.loads(read(api, there, MANIFEST[there.kind]) or b"{}")
        return {str(path): str(hash) for path, hash in found.get("files", {}).items()}
    except (ValueError, AttributeError):
        return {}
