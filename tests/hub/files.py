"""Reading: trees, single entries, and the files themselves with ranges."""

from __future__ import annotations

import mimetypes
import re
from typing import Any
from urllib.parse import parse_qs, quote

from tests.hub import access, git, info
from tests.hub.hub import Hub
from tests.hub.store import Commit, File, Repo, stamp
from tests.hub.wire import Refused, Reply, Request, answer

RANGE = re.compile(r"bytes=(\d*)-(\d*)")


def last_change(repo: Repo, commit: Commit, path: str) -> dict[str, str]:
    """Return the last commit that touched a file, or anything in a folder."""
    history = repo.history(commit.sha)
    for new, old in zip(history, [*history[1:], None], strict=True):
        touched = git.changed(old.files if old else {}, new.files)
        if any(one == path or one.startswith(path + "/") for one in touched):
            break
    return {"id": new.sha, "title": new.title, "date": stamp(new.date)}


def entry(hub: Hub, repo: Repo, commit: Commit, path: str, expand: bool) -> dict[str, Any]:
    """Return a file or folder as trees list it."""
    file = commit.files.get(path)
    if file is None:
        found: dict[str, Any] = {
            "type": "directory",
            "oid": git.tree_oid(commit.files, path),
            "size": 0,
            "path": path,
        }
    else:
        found = {"type": "file", "oid": file.oid, "size": file.size, "path": path}
        if file.sha256:
            found["lfs"] = {"oid": file.sha256, "size": file.size, "pointerSize": file.pointer_size}
            if hub.xet and (hashed := hub.xet.hashed(file.sha256)):
                found["xetHash"] = hashed
    if expand:
        found["lastCommit"] = last_change(repo, commit, path)
        if file is not None:
            status = repo.scan.get(path, "safe") if repo.scanned else "unscanned"
            found["securityFileStatus"] = {
                "status": status,
                "avScan": {"status": status},
                "pickleImportScan": {"status": status, "pickleImports": []},
            }
    return found


def tree(hub: Hub, ask: Request) -> Reply:
    """GET .../tree/{rev}[/{folder}]: what lies in a folder, or under it."""
    repo = access.find(hub, ask)
    commit = access.revision(repo, ask.parts["rev"])
    folder = ask.parts.get("path", "").strip("/")
    every = sorted({*commit.files, *git.folders(commit.files)})
    if folder and folder not in git.folders(commit.files):
        raise Refused(404, f"{folder} does not exist on {ask.parts['rev']}", "EntryNotFound")
    below = [path for path in every if not folder or path.startswith(folder + "/")]
    if not ask.says("recursive"):
        below = [path for path in below if "/" not in path[len(folder) + 1 if folder else 0 :]]
    expand = ask.says("expand")
    listed = [entry(hub, repo, commit, path, expand) for path in below]
    return info.page(hub, ask, listed, min(hub.page, 50) if expand else hub.page)


def paths_info(hub: Hub, ask: Request) -> Reply:
    """POST .../paths-info/{rev}, a form: the entries of the paths that exist, the others are left out."""
    repo = access.find(hub, ask)
    commit = access.revision(repo, ask.parts["rev"])
    form = parse_qs(ask.body.decode())
    expand = form.get("expand", ["false"])[-1].lower() == "true"
    there = {*commit.files, *git.folders(commit.files)}
    return answer([entry(hub, repo, commit, path, expand) for path in form.get("paths", []) if path in there])


def portion(content: bytes, wanted: str) -> tuple[bytes, str] | None:
    """Return the bytes that a header ``Range`` asks for and the ``Content-Range`` that says so."""
    found = RANGE.fullmatch(wanted.replace(" ", ""))
    if found is None or not any(found.groups()):
        return None
    size = len(content)
    if found[1]:
        start, end = int(found[1]), min(int(found[2]) if found[2] else size - 1, size - 1)
    else:
        start, end = max(size - int(found[2]), 0), size - 1
    if start > end:
        raise Refused(416, "Range not satisfiable", headers={"Content-Range": f"bytes */{size}"})
    return content[start : end + 1], f"bytes {start}-{end}/{size}"


def resolve(hub: Hub, ask: Request) -> Reply:
    """GET or HEAD /{id}/resolve/{rev}/{path}: always answered here, never sent on to another host."""
    repo = access.readable(hub, ask)
    commit = access.revision(repo, ask.parts["rev"])
    path = ask.parts["path"]
    headers = {"X-Repo-Commit": commit.sha, "Accept-Ranges": "bytes"}
    file: File | None = commit.files.get(path)
    if file is None:
        raise Refused(404, "Entry not found", "EntryNotFound", headers={"X-Repo-Commit": commit.sha})
    headers["ETag"] = f'"{file.sha256 or file.oid}"'
    headers["Content-Type"] = mimetypes.guess_type(path)[0] or "application/octet-stream"
    headers["Content-Disposition"] = f"inline; filename*=UTF-8''{quote(path.rpartition('/')[2])}"
    if file.sha256:
        headers |= {"X-Linked-Etag": headers["ETag"], "X-Linked-Size": str(file.size)}
        if hub.xet and (hashed := hub.xet.hashed(file.sha256)):
            headers["X-Xet-Hash"] = hashed
            there = f"{hub.endpoint}/api/{repo.kind}s/{repo.id}/xet-read-token/{commit.sha}"
            headers["X-Xet-Refresh-Route"] = there
    if ask.method == "HEAD":
        return Reply(200, b"", headers | {"Content-Length": str(file.size)})
    content = hub.fetch(file)
    if part := portion(content, ask.headers.get("range", "")):
        return Reply(206, part[0], headers | {"Content-Range": part[1]})
    return Reply(200, content, headers)


REPO = "/api/{kind}/{repo}"
ROUTES = [
    ("GET", REPO + "/tree/{rev}/{path}", tree),
    ("GET", REPO + "/tree/{rev}", tree),
    ("POST", REPO + "/paths-info/{rev}", paths_info),
    ("GET", "/{kind?}{repo}/resolve/{rev}/{path}", resolve),
]
