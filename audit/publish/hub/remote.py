"""What stands on the Hub now: looked at before anything is planned, and again wherever an answer got lost."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from audit.errors import InputError
from audit.publish.bundle.manifest import sha256

if TYPE_CHECKING:
    from huggingface_hub import HfApi

__all__ = [
    "BORN_WITH",
    "Content",
    "Entry",
    "Kind",
    "Shelf",
    "There",
    "account",
    "invalid",
    "looked",
    "read",
    "shelf",
]

Kind = Literal["dataset", "model", "space"]
Content = bytes | Path
"""Of a file to be published: its bytes, or where they lie on this machine."""

BORN_WITH = frozenset({".gitattributes", "README.md"})
"""Files that a repository may have from its creation on."""


@dataclass(frozen=True)
class Entry:
    """A file as the Hub lists it: sha256 of a large one, git's hash of any other."""

    hash: str
    size: int

    def holds(self, content: Content) -> bool:
        r"""Tell whether it is this content.

        Examples
        --------
        >>> Entry("45b983be36b73c0788dc9cbcb76cbb80fc7bb057", 3).holds(b"hi\n")
        True
        """
        size = content.stat().st_size if isinstance(content, Path) else len(content)
        if size != self.size:
            return False
        if len(self.hash) == 64:
            return self.hash == sha256(content)
        blob = content.read_bytes() if isinstance(content, Path) else content
        return self.hash == hashlib.sha1(b"blob %d\0" % size + blob, usedforsecurity=False).hexdigest()


@dataclass(frozen=True)
class There:
    """A repository as it stands; one that does not exist has no ``sha``.

    Attributes
    ----------
    sha : str or None
        The commit that ``main`` points to: what a commit of ours is locked to.
    tags : mapping
        Of tags to commits.
    sdk : str or None
        Of a Space.
    """

    kind: Kind
    id: str
    sha: str | None = None
    private: bool = False
    files: Mapping[str, Entry] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    sdk: str | None = None

    @property
    def name(self) -> str:
        """Kind and id, as a sentence has them."""
        return f"the {'data set' if self.kind == 'dataset' else 'Space' if self.kind == 'space' else 'model'} {self.id}"

    def holds(self, files: Mapping[str, Content | None]) -> bool:
        """Tell whether every one of these files is there with its content; None: is not there."""
        return self.sha is not None and all(
            path not in self.files if content is None else path in self.files and self.files[path].holds(content)
            for path, content in files.items()
        )


@dataclass(frozen=True)
class Shelf:
    """A collection as it stands; one that does not exist has no ``slug``."""

    slug: str | None = None
    items: frozenset[tuple[str, str]] = frozenset()


def account(api: HfApi, namespace: str) -> None:
    """Refuse a token that is missing, or that may not write under a namespace.

    Raises
    ------
    InputError
        With what would do. What a fine-grained token may do is known to the Hub alone, and said when it refuses.
    """
    from huggingface_hub import get_token

    if api.token is None and get_token() is None:
        raise InputError("no token of the Hub: log in with `hf auth login`, or set HF_TOKEN")
    me = api.whoami()
    role = me.get("auth", {}).get("accessToken", {}).get("role")
    if role == "read":
        raise InputError(f"the token of {me['name']} may only read: make one that may write, and log in with it")
    roles = {str(one["name"]): one.get("roleInOrg") for one in me.get("orgs", [])}
    if namespace != me["name"] and roles.get(namespace, "read") == "read":
        writable = [me["name"], *(name for name, one in roles.items() if one != "read")]
        raise InputError(f"{me['name']} may not write under {namespace!r}: publish --to one of {', '.join(writable)}")


def looked(api: HfApi, kind: Kind, id: str) -> There:
    """Look at a repository: its newest commit with all files, and its tags."""
    from huggingface_hub.errors import RepositoryNotFoundError
    from huggingface_hub.hf_api import RepoFile

    try:
        info = api.repo_info(id, repo_type=kind)
    except RepositoryNotFoundError:
        return There(kind, id)
    if info.id != id:
        raise InputError(f"{id}: is called {info.id} on the Hub now; publish --to that name")
    listed = api.list_repo_tree(id, repo_type=kind, revision=info.sha, recursive=True)
    files = [one for one in listed if isinstance(one, RepoFile)]
    return There(
        kind,
        id,
        sha=info.sha,
        private=bool(info.private),
        files={one.path: Entry(one.lfs.sha256 if one.lfs else one.blob_id, one.size) for one in files},
        tags={one.name: one.target_commit for one in api.list_repo_refs(id, repo_type=kind).tags},
        sdk=getattr(info, "sdk", None),
    )


def read(api: HfApi, there: There, path: str) -> bytes | None:
    """Return the content of a file as it stands, None where there is none."""
    if path not in there.files:
        return None
    return Path(api.hf_hub_download(there.id, path, repo_type=there.kind, revision=there.sha)).read_bytes()


def shelf(api: HfApi, namespace: str, title: str) -> Shelf:
    """Look for a collection by its title; a listing shows the first items only, so it is opened."""
    for one in api.list_collections(owner=namespace):
        if one.title == title:
            items = api.get_collection(one.slug).items
            return Shelf(one.slug, frozenset((item.item_type, item.item_id) for item in items))
    return Shelf()


def invalid(api: HfApi, kind: Kind, text: str) -> list[str]:
    """Say what the Hub would refuse in the metadata of a README, before anything is written."""
    from huggingface_hub import get_session

    asked = {"content": text, "repoType": kind}
    answer = get_session().post(f"{api.endpoint}/api/validate-yaml", json=asked)
    if answer.status_code not in (200, 400):
        answer.raise_for_status()
    return [str(one.get("message")) for one in answer.json().get("errors", [])]
