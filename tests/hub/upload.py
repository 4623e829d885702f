"""Writing: how each file is to be sent, and the commit itself."""

from __future__ import annotations

import base64
import fnmatch
import json
from typing import Any

from tests.hub import access, card, discussions, git
from tests.hub.hub import Hub
from tests.hub.store import Commit, File, Repo, now
from tests.hub.wire import Refused, Reply, Request, answer

LARGE = 10_000_000


def matches(path: str, patterns: list[str]) -> bool:
    """Tell whether a path fits one of the patterns of a .gitignore (the plain ones: no negation)."""
    names = path.split("/")
    for pattern in patterns:
        bare = pattern.strip("/")
        inside = ["/".join(names[: depth + 1]) for depth in range(len(names))]
        wanted = inside if "/" in bare else names
        if any(fnmatch.fnmatch(name, bare) for name in wanted):
            return True
    return False


def large(repo: Repo, commit: Commit, path: str, size: int, sample: bytes) -> bool:
    """Tell whether a file goes to large file storage: by .gitattributes, by size, or because it is not text."""
    if ".gitattributes" in commit.files:
        lines = repo.read(".gitattributes", commit.sha).decode().splitlines()
        if matches(path, [line.split()[0] for line in lines if "filter=lfs" in line]):
            return True
    return size >= LARGE or b"\0" in sample


def target(hub: Hub, ask: Request) -> tuple[Repo, Commit]:
    """Return the repository and the commit that a write builds on; anybody may open a pull request."""
    account, repo, name = access.logged_in(ask), access.find(hub, ask), ask.parts["rev"]
    pull = next((one for one in repo.discussions if one.ref == name and one.pull), None)
    own = pull is not None and pull.author == account.name and account.role == "write"
    if ask.says("create_pr"):
        if account.role != "write":
            raise Refused(403, "You need a token with write access")
    elif not own:
        access.writable(hub, ask)
    return repo, access.revision(repo, name)


def preupload(hub: Hub, ask: Request) -> Reply:
    """POST .../preupload/{rev}: the way of every file, and the hash of what is already there."""
    repo, commit = target(hub, ask)
    body = ask.json()
    ignore = body.get("gitIgnore")
    if ignore is None and ".gitignore" in commit.files:
        ignore = repo.read(".gitignore", commit.sha).decode()
    patterns = [line.strip() for line in (ignore or "").splitlines() if line.strip() and line[0] not in "#!"]
    found = []
    for one in body["files"]:
        path, sample = one["path"], base64.b64decode(one["sample"])
        told: dict[str, Any] = {
            "path": path,
            "uploadMode": "lfs" if large(repo, commit, path, one["size"], sample) else "regular",
            "shouldIgnore": matches(path, patterns),
        }
        if there := commit.files.get(path):
            told["oid"] = there.sha256 or there.oid
        found.append(told)
    return answer({"files": found, "commitOid": commit.sha})


def _missing(path: str) -> Refused:
    return Refused(404, f'"{path}" does not exist on this revision', "EntryNotFound")


def changed_tree(hub: Hub, repo: Repo, start: Commit, lines: list[dict[str, Any]]) -> dict[str, File]:
    """Return the tree after the operations of a commit; nothing is stored before all of them are known to work."""
    files, new = dict(start.files), {}
    for line in lines:
        value = line["value"]
        path = value["path"]
        if line["key"] == "file":
            new[path] = base64.b64decode(value["content"])
            files[path] = git.regular(new[path])
        elif line["key"] == "lfsFile":
            size = hub.stored(value["oid"])
            if size is None:
                raise Refused(400, f"LFS pointer pointed to a file that does not exist: {path} {value['oid']}")
            files[path] = git.pointed(value["oid"], size)
        elif line["key"] == "deletedFile":
            if files.pop(path, None) is None:
                raise _missing(path)
        elif line["key"] == "deletedFolder":
            inside = [name for name in files if name.startswith(path.rstrip("/") + "/")]
            if not inside:
                raise _missing(path)
            for name in inside:
                del files[name]
        elif line["key"] == "copyFile":
            source = repo.find(value.get("srcRevision") or start.sha)
            if source is None or value["srcPath"] not in source.files:
                raise _missing(value["srcPath"])
            files[path] = source.files[value["srcPath"]]
        else:
            raise Refused(400, f'Unknown operation "{line["key"]}"')
    if "README.md" in new:
        errors, _ = card.problems(repo.kind, new["README.md"].decode("utf-8", "replace"))
        if errors:
            raise Refused(400, "Invalid metadata in README.md: " + "; ".join(errors))
    for content in new.values():
        hub.put(content)
    return files


def commit(hub: Hub, ask: Request) -> Reply:
    """POST .../commit/{rev}[?create_pr=1]: a header and one operation a line; ``parentCommit`` is the lock."""
    repo, head = target(hub, ask)
    author = access.logged_in(ask).name
    lines = [json.loads(line) for line in ask.body.splitlines() if line.strip()]
    if not lines or lines[0].get("key") != "header":
        raise Refused(400, "The first line must be the header")
    about = lines[0]["value"]
    name = ask.parts["rev"]
    if not about.get("summary"):
        raise Refused(400, '"summary" is not allowed to be empty')
    if name not in {*repo.branches, *repo.pulls}:
        raise Refused(404, f"{name} is neither a branch nor a pull request", "RevisionNotFound")
    if (parent := about.get("parentCommit")) and not head.sha.startswith(parent):
        if not ask.says("create_pr"):
            raise Refused(412, "A commit has happened since. Please refresh and try again.")
        head = access.revision(repo, next((sha for sha in repo.commits if sha.startswith(parent)), parent))
    files = changed_tree(hub, repo, head, lines[1:])
    made = git.add_commit(repo, files, (head.sha,), author, about["summary"], about.get("description", ""), now())
    told = {"success": True, "commitOid": made.sha, "hookOutput": ""}
    told["commitUrl"] = f"{hub.endpoint}/{repo.prefix}{repo.id}/commit/{made.sha}"
    if ask.says("create_pr"):
        pull = discussions.start(repo, author, about["summary"], about.get("description", ""), pull=True, base=name)
        pull.status = "open"
        repo.pulls[pull.ref] = made.sha
        told["pullRequestUrl"] = f"{hub.endpoint}/{repo.prefix}{repo.id}/discussions/{pull.num}"
        discussions.note(pull, "commit", author, {"subject": made.title, "oid": made.sha})
    elif name in repo.pulls:
        repo.pulls[name] = made.sha
        pull = next(one for one in repo.discussions if one.pull and one.ref == name)
        discussions.note(pull, "commit", author, {"subject": made.title, "oid": made.sha})
    else:
        repo.branches[name] = made.sha
        if repo.space and name == "main":
            repo.space.stages = ["RUNNING"] if repo.space.sdk == "static" else ["BUILDING", "APP_STARTING", "RUNNING"]
    return answer(told)


REPO = "/api/{kind}/{repo}"
ROUTES = [
    ("POST", REPO + "/preupload/{rev}", preupload),
    ("POST", REPO + "/commit/{rev}", commit),
]
