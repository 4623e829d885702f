"""Objects as git hashes them, and commits on top of commits."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Mapping
from datetime import datetime

from tests.hub.store import Commit, File, Repo


def _hash(kind: str, content: bytes) -> str:
    return hashlib.sha1(f"{kind} {len(content)}\0".encode() + content).hexdigest()


def blob_oid(content: bytes) -> str:
    r"""Return the hash of a git blob.

    >>> blob_oid(b"hello\n")  # printf 'hello\n' | git hash-object --stdin
    'ce013625030ba8dba906f756967f9e9ca394464a'
    """
    return _hash("blob", content)


def regular(content: bytes) -> File:
    """Return the entry of a file that git itself stores."""
    return File(blob_oid(content), len(content))


def pointed(sha256: str, size: int) -> File:
    """Return the entry of a file in large file storage: git stores a pointer of three lines."""
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n".encode()
    return File(blob_oid(pointer), size, sha256, len(pointer))


def tree_oid(files: Mapping[str, File], folder: str = "") -> str:
    """Return the hash of the git tree of ``folder`` ("a/b"), "" for the root."""
    start = f"{folder}/" if folder else ""
    entries: dict[bytes, tuple[bytes, str]] = {}
    for path, file in files.items():
        if not path.startswith(start):
            continue
        name, _, below = path[len(start) :].partition("/")
        if not below:
            entries[name.encode()] = (b"100644 " + name.encode(), file.oid)
        elif name.encode() + b"/" not in entries:  # git sorts a folder as if its name ended with a slash
            entries[name.encode() + b"/"] = (b"40000 " + name.encode(), tree_oid(files, start + name))
    return _hash("tree", b"".join(head + b"\0" + bytes.fromhex(oid) for _, (head, oid) in sorted(entries.items())))


def folders(files: Mapping[str, File]) -> set[str]:
    """Return all folders that the files imply."""
    found = set()
    for path in files:
        names = path.split("/")[:-1]
        found |= {"/".join(names[: depth + 1]) for depth in range(len(names))}
    return found


def add_commit(
    repo: Repo,
    files: Mapping[str, File],
    parents: tuple[str, ...],
    author: str,
    title: str,
    message: str,
    date: datetime,
) -> Commit:
    """Store a commit in ``repo`` and return it; no ref moves. Its hash is the one that git gives."""
    who = f"{author} <{author}@hub.invalid> {int(date.timestamp())} +0000"
    lines = [f"tree {tree_oid(files)}", *(f"parent {sha}" for sha in parents), f"author {who}", f"committer {who}"]
    text = f"{title}\n\n{message}" if message else title
    sha = _hash("commit", "\n".join([*lines, "", text, ""]).encode())
    commit = Commit(sha, parents, title, message, author, date, dict(files))
    repo.commits[sha] = commit
    return commit


def changed(old: Mapping[str, File], new: Mapping[str, File]) -> set[str]:
    """Return the paths that differ between two trees."""
    return {path for path in old.keys() | new.keys() if old.get(path) != new.get(path)}


def fork(repo: Repo, ours: Commit, theirs: Commit) -> Commit:
    """Return the last commit that both rest on."""
    seen = set()
    waiting = [ours.sha]
    while waiting:
        sha = waiting.pop()
        seen.add(sha)
        waiting += repo.commits[sha].parents
    waiting = [theirs.sha]
    while waiting[0] not in seen:
        waiting += repo.commits[waiting.pop(0)].parents
    return repo.commits[waiting[0]]


def merged(repo: Repo, ours: Commit, theirs: Commit) -> tuple[dict[str, File], list[str]]:
    """Return the tree of both sides together and the paths that both changed, each in its own way."""
    base = fork(repo, ours, theirs).files
    left, right = changed(base, ours.files), changed(base, theirs.files)
    files = dict(ours.files)
    for path in right:
        if path in theirs.files:
            files[path] = theirs.files[path]
        else:
            files.pop(path, None)
    return files, sorted(path for path in left & right if ours.files.get(path) != theirs.files.get(path))


def _lines(repo: Repo, file: File | None) -> list[str]:
    if file is None:
        return []
    if file.sha256:
        return [f"oid sha256:{file.sha256}\n", f"size {file.size}\n"]
    return repo.fetch(file).decode("utf-8", "replace").splitlines(keepends=True)


def diff(repo: Repo, old: Commit, new: Commit) -> str:
    """Return the changes between two commits as a unified diff; of a large file, what its pointer says."""
    out = []
    for path in sorted(changed(old.files, new.files)):
        out.append(f"diff --git a/{path} b/{path}\n")
        before, after = _lines(repo, old.files.get(path)), _lines(repo, new.files.get(path))
        for line in difflib.unified_diff(before, after, f"a/{path}", f"b/{path}"):
            out.append(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n")
    return "".join(out)
