"""What the Hub says about a repository, and its lists of repositories."""

from __future__ import annotations

import json
import struct
from typing import Any
from urllib.parse import urlencode

from tests.hub import access, card
from tests.hub.hub import Hub
from tests.hub.store import File, Kind, Repo, stamp
from tests.hub.wire import Refused, Reply, Request, answer


def sibling(path: str, file: File, blobs: bool) -> dict[str, Any]:
    """Return a file as the list ``siblings`` holds it."""
    if not blobs:
        return {"rfilename": path}
    large = {"sha256": file.sha256, "size": file.size, "pointerSize": file.pointer_size}
    return {"rfilename": path, "size": file.size, "blobId": file.oid} | ({"lfs": large} if file.sha256 else {})


def parameters(repo: Repo, revision: str) -> dict[str, Any] | None:
    """Count the parameters in the headers of all safetensors files: an 8 byte length, then JSON."""
    counts: dict[str, int] = {}
    for path in repo.paths(revision):
        if not path.endswith(".safetensors"):
            continue
        content = repo.read(path, revision)
        try:
            header = json.loads(content[8 : 8 + struct.unpack("<Q", content[:8])[0]])
        except (ValueError, struct.error):
            continue
        for name, tensor in header.items():
            if name != "__metadata__":
                size = 1
                for length in tensor["shape"]:
                    size *= length
                counts[tensor["dtype"]] = counts.get(tensor["dtype"], 0) + size
    return {"parameters": counts, "total": sum(counts.values())} if counts else None


def config(repo: Repo, revision: str) -> dict[str, Any]:
    """Return what the Hub keeps of ``config.json`` and ``adapter_config.json``."""
    found: dict[str, Any] = {}
    for path, names in (
        ("config.json", ("architectures", "model_type")),
        ("adapter_config.json", ("base_model_name_or_path", "task_type", "peft_type")),
    ):
        if path in repo.at(revision).files:
            try:
                table = json.loads(repo.read(path, revision))
            except ValueError:
                continue
            kept = {name: table[name] for name in names if name in table}
            found |= kept if path == "config.json" else {"peft": kept}
    return found


def results(repo: Repo, revision: str) -> list[dict[str, Any]]:
    """Return the files of ``.eval_results``, each with its rows or with what is wrong with it."""
    import yaml  # type: ignore[import-untyped]

    found: list[dict[str, Any]] = []
    for path in repo.paths(revision):
        if path.startswith(".eval_results/") and path.endswith((".yaml", ".yml")):
            try:
                rows = card.many(yaml.safe_load(repo.read(path, revision)))
            except yaml.YAMLError as error:
                found.append({"filename": path, "error": str(error).splitlines()[0]})
                continue
            found += [{"filename": path, "data": row, "verified": False} for row in rows]
    return found


def derived(hub: Hub, id: str) -> int:
    """Count the public models whose card names ``id`` as their base."""
    models = (repo for repo in hub.repos.values() if repo.kind == "model" and not repo.private)
    return sum(id in card.many(card.metadata(repo).get("base_model")) for repo in models)


def summary(repo: Repo, revision: str = "main") -> dict[str, Any]:
    """Return the fields that a list of repositories shows."""
    table = card.metadata(repo, revision)
    commit = repo.at(revision)
    common = {
        "_id": commit.sha[:24],
        "id": repo.id,
        "author": repo.namespace,
        "sha": commit.sha,
        "createdAt": stamp(repo.created),
        "lastModified": stamp(commit.date),
        "private": repo.private,
        "gated": repo.gated,
        "disabled": repo.disabled,
        "downloads": 0,
        "likes": 0,
        "tags": card.tags(repo, table, set(commit.files)),
    }
    if repo.kind == "model":
        common["modelId"] = repo.id
        named = {"library_name": table.get("library_name"), "pipeline_tag": table.get("pipeline_tag")}
        common |= {name: value for name, value in named.items() if value}
    if repo.space:
        common["sdk"] = repo.space.sdk
    return common | repo.shows


def everything(hub: Hub, repo: Repo, revision: str, blobs: bool = False) -> dict[str, Any]:
    """Return all fields of a repository at a revision."""
    commit, table = repo.at(revision), card.metadata(repo, revision)
    found = summary(repo, revision)
    found |= {
        "cardData": table or None,
        "siblings": [sibling(path, commit.files[path], blobs) for path in sorted(commit.files)],
        "usedStorage": sum(file.size for file in commit.files.values()),
        "downloadsAllTime": 0,
    }
    if repo.kind == "model":
        spaces = (other for other in hub.repos.values() if other.kind == "space")
        found |= {
            "config": config(repo, revision),
            "safetensors": parameters(repo, revision),
            "model-index": table.get("model-index"),
            "evalResults": results(repo, revision),
            "baseModels": card.many(table.get("base_model")),
            "childrenModelCount": derived(hub, repo.id),
            "spaces": [one.id for one in spaces if repo.id in card.many(card.metadata(one).get("models"))],
        }
    if repo.space:
        host = repo.id.replace("/", "-").lower()
        found |= {
            "subdomain": host,
            "host": f"{hub.endpoint}/{host}",
            "models": card.many(table.get("models")),
            "datasets": card.many(table.get("datasets")),
            "runtime": {"stage": repo.space.stages[0], "hardware": {"current": repo.space.hardware}},
        }
    return found | repo.shows


def show(hub: Hub, ask: Request) -> Reply:
    """GET /api/models/{id}[/revision/{rev}]: with ``expand`` only what was asked for, and the id."""
    repo = access.find(hub, ask)
    revision = access.revision(repo, ask.parts.get("rev", "main")).sha
    found = everything(hub, repo, revision, ask.says("blobs"))
    if expand := ask.query.get("expand"):
        return answer({name: found[name] for name in ("_id", "id", *expand) if name in found})
    # what has to be asked for by name
    for name in ("downloadsAllTime", "evalResults", "baseModels", "childrenModelCount"):
        found.pop(name, None)
    if ask.says("securityStatus"):
        issues = [{"path": path, "level": level} for path, level in sorted(repo.scan.items()) if level != "safe"]
        found["securityRepoStatus"] = {"scansDone": repo.scanned, "filesWithIssues": issues}
    return answer(found)


def page(hub: Hub, ask: Request, entries: list[Any], size: int) -> Reply:
    """Return one page of a listing, with the address of the next one."""
    start = int(ask.one("cursor", "0"))
    headers = None
    if start + size < len(entries):
        query = urlencode({**ask.query, "cursor": [start + size]}, doseq=True)
        headers = {"Link": f'<{hub.endpoint}{ask.path}?{query}>; rel="next"'}
    return answer(entries[start : start + size], headers=headers)


def listing(hub: Hub, ask: Request) -> Reply:
    """GET /api/models: author, search, filter (every one must be among the tags), sort, limit."""
    kind: Kind = access.kind_of(ask)
    found = []
    for repo in hub.repos.values():
        if repo.kind != kind or (repo.private and not access.belongs(ask.account, repo)):
            continue
        if ask.one("author", repo.namespace) != repo.namespace or ask.one("search").lower() not in repo.id.lower():
            continue
        shown = summary(repo)
        if set(ask.query.get("filter", [])) <= set(shown["tags"]):
            found.append(shown | ({"cardData": card.metadata(repo)} if ask.says("cardData") else {}))
    if sort := ask.one("sort"):
        found.sort(key=lambda shown: (shown.get(sort) is not None, shown.get(sort)), reverse=True)
    return page(hub, ask, found, min(hub.page, int(ask.one("limit", str(hub.page)))))


def leaderboard(hub: Hub, ask: Request) -> Reply:
    """GET /api/datasets/{id}/leaderboard: rows that a test has set."""
    repo = access.find(hub, ask)
    rows = repo.leaderboard
    if rows is None:
        raise Refused(404, "This dataset has no leaderboard")
    return answer(rows)


REPO = "/api/{kind}/{repo}"
ROUTES = [
    ("GET", REPO + "/leaderboard", leaderboard),
    ("GET", REPO + "/revision/{rev}", show),
    ("GET", "/api/{kind}", listing),
]
LAST = [("GET", REPO, show)]  # an id of one or two segments: everything longer was tried before
