"""A small run and what would be published of it, made on the spot: publishing is tested without training."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from audit.publish.bundle.contents import Bundle
from audit.publish.card.merge import Merged, merged
from audit.publish.hub import plan
from audit.report import AdaptedModel, BaseModelRecord, Provenance, RecipeRecord, Report, load_report
from tests.hub import Hub
from tests.test_finding import finding

WEIGHTS = bytes(range(256)) * 300


def report(**changes: Any) -> Report:
    """Build a report of one finding on a base of the Hub."""
    fields: dict[str, Any] = {
        "tool": "transfer-audit 0",
        "recipe": RecipeRecord(name="small", fingerprint="0", text=""),
        "base": BaseModelRecord(id="crew/base", revision="a" * 40, kind="encoder", license="mit", files={}),
        "adapted": AdaptedModel(id="tester/m", method="full", trainable_parameters=1, seeds=[0], files={}),
        "task": None,
        "findings": [finding((0.2, 0.1, 0.3))],
        "provenance": Provenance(
            created="2026-01-01T00:00:00+00:00", command="", seeds=[0], versions={}, hardware={}, data=[]
        ),
    }
    return Report(**{**fields, **changes})


def run(folder: Path, one: Report | None = None) -> Path:
    """Write the folder of a run that holds a report."""
    folder.mkdir(parents=True, exist_ok=True)
    (one or report()).save(folder / "report.json")
    (folder / "weights").write_bytes(WEIGHTS)
    return folder


def bundle(run: Path, to: str) -> Bundle:
    """Stand in for what is published of a run: two kinds of storage, both repositories, one manifest."""
    one = load_report(run)
    said = (run / "report.json").read_bytes()
    model: dict[str, Any] = {
        "config.json": b'{"model_type": "bert"}\n',
        "model.safetensors": run / "weights",
        "audit/report.json": said,
    }
    dataset = {"report.json": said, "evidence/bias.parquet": b"PAR1" + bytes(64)}
    return Bundle(one, *listed(model, dataset))


def listed(model: dict[str, Any], dataset: dict[str, bytes]) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Add the manifest of both repositories to both."""
    hashes = {
        path: hashlib.sha256(content.read_bytes() if isinstance(content, Path) else content).hexdigest()
        for path, content in {**model, **dataset}.items()
    }
    manifest = json.dumps({"schema": 1, "files": hashes}, sort_keys=True).encode()
    card = b"---\nlicense: mit\n---\n# Evidence\n"
    return {**model, "audit/manifest.json": manifest} if model else {}, {
        **dataset,
        "manifest.json": manifest,
        "README.md": card,
    }


def card(one: Report, existing: str = "") -> Merged:
    """Stand in for the card."""
    base = {"base_model": one.base.id} if one.base.revision else {}
    return merged(existing, f"Report of {one.recipe.name}.", {**base, "tags": ["transfer-audit"]})


def space_files(runs: Sequence[Path], *, sdk: str, title: str, **_: Any) -> dict[str, bytes]:
    """Stand in for the Space."""
    start = f"---\ntitle: {title!r}\nsdk: {sdk}\n---\n".encode()
    return {"README.md": start, "index.html": b"<!doctype html>", "report.json": (runs[0] / "report.json").read_bytes()}


def stand_in(patch: Any) -> None:
    """Publish stand-ins in place of what a real run holds."""
    patch.setattr(plan, "bundle", bundle)
    patch.setattr(plan, "space_files", space_files)
    patch.setattr(plan, "card", card)


def state(hub: Hub) -> dict[str, Any]:
    """Return everything that the Hub holds, without times and hashes of commits."""
    repos = {
        (kind, id): (
            {path: repo.read(path) for path in repo.paths()},
            {tag: {path: repo.read(path, tag) for path in repo.paths(tag)} for tag in repo.tags},
            repo.private,
            repo.space.sdk if repo.space else None,
        )
        for (kind, id), repo in hub.repos.items()
    }
    collections = {
        one["title"]: (one["private"], [(item["type"], item["id"]) for item in one["items"]])
        for one in hub.collections.values()
    }
    return {"repositories": repos, "collections": collections}
