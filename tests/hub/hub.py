"""The Hub itself: what it holds, and the handles by which a test sets it up and looks inside."""

from __future__ import annotations

import hashlib
import secrets
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from tests.hub import git
from tests.hub.faults import Failure, Fault
from tests.hub.store import Account, File, Kind, Repo, Space, now
from tests.hub.wire import Reply
from tests.hub.xet import Xet

LARGE = (
    "7z arrow bin bz2 ckpt ftz gguf gz h5 joblib model msgpack npy npz onnx ot parquet pb pickle pkl png jpg pt pth "
    "rar safetensors tar tflite tgz wasm xz zip zst"
)
ATTRIBUTES = "".join(f"*.{ending} filter=lfs diff=lfs merge=lfs -text\n" for ending in LARGE.split())


@dataclass(frozen=True)
class Asked:
    """One request that was answered; ``status`` 0 where the connection was closed instead."""

    method: str
    path: str
    status: int
    handler: str


class Hub:
    """A Hub in memory.

    Attributes
    ----------
    endpoint
        ``http://127.0.0.1:<port>``, what HF_ENDPOINT and ``HfApi(endpoint=...)`` take.
    token
        Of the user ``tester``, who may write under ``tester`` and ``crew`` and has no paid plan.
    page
        Entries of one page of a listing.
    part_size
        Bytes of one part of an upload to large file storage; ``None``: in one piece.
    requests
        What was asked, in order.
    broken
        Tracebacks of the server's own errors; the fixture fails a test that leaves any.

    Examples
    --------
    >>> hub = Hub("http://127.0.0.1:1")
    >>> repo = hub.add("tester/model", {"config.json": "{}"})
    >>> repo.paths(), repo.read("config.json")
    (['.gitattributes', 'config.json'], b'{}')
    """

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self.lock = threading.RLock()
        self.accounts: dict[str, Account] = {}
        self.repos: dict[tuple[Kind, str], Repo] = {}
        self.moved: dict[tuple[Kind, str], str] = {}
        self.blobs: dict[str, bytes] = {}
        self.large: dict[str, bytes] = {}
        self.parts: dict[tuple[str, int], bytes] = {}
        self.door = secrets.token_hex(8)  # large files are sent without a token, to an address that only we gave away
        self.collections: dict[str, dict[str, Any]] = {}
        self.webhooks: dict[str, dict[str, Any]] = {}
        self.jobs: dict[str, dict[str, Any]] = {}
        self.attachments: dict[str, Reply] = {}
        self.faults: list[Fault] = []
        self.requests: list[Asked] = []
        self.broken: list[str] = []
        self.page = 1000
        self.part_size: int | None = None
        self.xet: Xet | None = None
        self.token = self.account("tester", orgs=["crew"])

    def account(
        self,
        name: str,
        role: Literal["read", "write"] = "write",
        plan: Literal["free", "pro"] = "free",
        orgs: list[str] | None = None,
    ) -> str:
        """Open an account and return its token."""
        token = f"hf_{name}_{secrets.token_hex(8)}"
        self.accounts[token] = Account(name, token, role, plan, orgs or [])
        return token

    def add(
        self,
        id: str,
        files: Mapping[str, bytes | str] | None = None,
        kind: Kind = "model",
        sdk: str = "static",
        message: str = "initial commit",
    ) -> Repo:
        """Put a repository there as if it had always been, with one commit; large files go to their storage."""
        repo = Repo(kind, id, self.fetch)
        if kind == "space":
            repo.space = Space(sdk)
        tree = {".gitattributes": self.put(ATTRIBUTES.encode())}
        for path, content in (files or {}).items():
            tree[path] = self.put(content, large=path.rpartition(".")[2] in LARGE.split())
        repo.branches["main"] = git.add_commit(repo, tree, (), repo.namespace, message, "", repo.created).sha
        self.repos[kind, id] = repo
        self.moved.pop((kind, id), None)
        return repo

    def commit(self, id: str, files: Mapping[str, bytes | str | None], kind: Kind = "model") -> str:
        """Commit to ``main`` behind everybody's back (``None`` deletes a file) and return the commit's hash."""
        repo = self.repo(id, kind)
        head = repo.at()
        tree = dict(head.files)
        for path, content in files.items():
            if content is None:
                del tree[path]
            else:
                tree[path] = self.put(content, large=path.rpartition(".")[2] in LARGE.split())
        made = git.add_commit(repo, tree, (head.sha,), repo.namespace, "Update", "", now())
        repo.branches["main"] = made.sha
        return made.sha

    def repo(self, id: str, kind: Kind = "model") -> Repo:
        """Return a repository to look at, under its present name."""
        return self.repos[kind, self.moved.get((kind, id), id)]

    def has(self, id: str, kind: Kind = "model") -> bool:
        """Tell whether a repository exists under this very name."""
        return (kind, id) in self.repos

    def fail(
        self,
        failure: Failure,
        path: str = "",
        method: str = "",
        nth: int = 1,
        times: int = 1,
        code: str = "",
        retry_after: int | None = None,
    ) -> Fault:
        """Plan a failure (see ``faults.Fault``) and return it: its ``seen`` counts the requests that fitted."""
        fault = Fault(failure, path, method, nth, times, code, retry_after)
        self.faults.append(fault)
        return fault

    def asked(self, path: str = "", method: str = "") -> list[Asked]:
        """Return the requests whose raw path contains a text."""
        return [one for one in self.requests if path in one.path and method in ("", one.method)]

    def put(self, content: bytes | str, large: bool = False) -> File:
        """Store a content and return its entry for a tree."""
        if isinstance(content, str):
            content = content.encode()
        if large:
            sha256 = hashlib.sha256(content).hexdigest()
            self.large[sha256] = content
            return git.pointed(sha256, len(content))
        file = git.regular(content)
        self.blobs[file.oid] = content
        return file

    def stored(self, sha256: str) -> int | None:
        """Return the size of a large file that has arrived, ``None`` where it has not."""
        if sha256 in self.large:
            return len(self.large[sha256])
        return self.xet.size(sha256) if self.xet else None

    def fetch(self, file: File) -> bytes:
        """Return the content of a file."""
        if file.sha256 is None:
            return self.blobs[file.oid]
        if file.sha256 not in self.large and self.xet:
            self.large[file.sha256] = self.xet.read(file.sha256)
        return self.large[file.sha256]
