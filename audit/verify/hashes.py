"""Hashes: of what was published against its manifest, of weights and base against the report."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from fnmatch import fnmatch
from pathlib import Path

from audit.publish.bundle.manifest import sha256
from audit.report import Report
from audit.verify.found import Verification
from audit.verify.hub import NotThere, hub_hashes, local_base
from audit.verify.place import Place
from audit.verify.since import OWN, carried

__all__ = ["check_base", "check_manifest", "check_weights"]

DECIDING = (".safetensors", ".json", ".txt", ".model", ".jinja", ".gguf")  # files by which a model answers
RECORDS = ("adaptation.json", "result.json")
LEFT = (*RECORDS, "curve.parquet", "seconds")  # by a training, beside the model
REWRITABLE = ("config.json", "*_config.json", "config_*.json", "head.json", "prompt.json")  # by publishing; no weights


def check_manifest(found: Verification, place: Place) -> None:
    """Hold every published file against the manifest, and the manifest against the report."""
    found.differ(place.wrong)
    tag = f"audit-{sha256(place.report)[:8]}"
    if place.tag not in (None, tag):
        found.differ([f"report.json: its sha256 is that of the tag {tag}, it was published under {place.tag}"])
    manifest = place.manifest
    if manifest is None:
        if place.stages is None and not place.wrong:  # of a run, what its stages left says more
            found.leave("manifest: there is none, so that the files' own bytes are not checked")
        return
    stated = manifest.get("report")
    if stated != sha256(place.report):
        found.differ([f"manifest.json: the report's sha256 is {stated}, that of the file is {sha256(place.report)}"])
    for path, digest in sorted(manifest["files"].items()):
        here = place.published(path)
        given = sha256(here) if here else place.remote.get(path)
        if given is None:
            found.leave(f"{path}: its hash is not checked: it is not here")
        elif given != digest:
            carried = _carried(path)
            found.differ([f"{path}: its sha256 is {given}, the manifest says {digest}{carried}"], files=1)
        else:
            found.counts.update(files=1)


def _carried(path: str) -> str:
    name = path.removeprefix("evidence/").removesuffix(".parquet")
    return f" (it carries what is recomputed of {name})" if path.startswith("evidence/") else ""


def check_weights(found: Verification, report: Report, place: Place) -> None:
    """Hold every file of the adapted model against the report; a file that was not audited is named, too."""
    rewritten = _rewritten(found, report, place)
    folder = place.model or _folder(place.folder, report.adapted.id)
    files = {name: one for name, one in place.remote.items() if not name.startswith(OWN)}
    if folder is not None:  # what somebody keeps beside a model of their own is their business
        files |= _hashed(folder) if place.model is None and not report.adapted.seeds else _whatever(folder)
    if not files:
        found.leave(f"weights: not checked: {report.adapted.id} is not here")
        return
    _compare(found, "weights", report.adapted.files, files, rewritten, report.adapted.id)
    for name in sorted(files.keys() - report.adapted.files.keys()):
        if not carried(name):
            found.differ([f"weights: {name}: lies in {report.adapted.id}, and is no file that was audited"])
    for arm in report.arms if place.stages is not None else []:
        model = place.folder / "models" / f"seed-{arm.seed}"
        if arm.name == "adapted" and arm.sha256 and model.is_dir():
            given = _whole(_hashed(model))
            if given != arm.sha256:
                found.differ([f"arm adapted (seed {arm.seed}): its sha256 is {arm.sha256}, its files give {given}"])
            found.counts.update(files=1)
        elif arm.sha256:
            found.leave(f"arm {arm.name}: its weights are not checked: they are not here")


def _rewritten(found: Verification, report: Report, place: Place) -> dict[str, str]:
    """Of the audited files, those that publishing rewrites and says so; of any other, the excuse is none."""
    stated: dict[str, str] = (place.manifest or {}).get("rewritten", {})
    mine = {name: why for name, why in stated.items() if name in report.adapted.files}
    kept = {name: why for name, why in mine.items() if any(fnmatch(name.rsplit("/", 1)[-1], one) for one in REWRITABLE)}
    for name in sorted(mine.keys() - kept.keys()):
        found.differ([f"manifest.json: {name} is called rewritten ({mine[name]}), which publishing never does to it"])
    return kept


def _whatever(folder: Path) -> dict[str, str]:
    """Hash every file of a model of ours, whatever its name; what clients and trainings leave is none of it."""
    files = [one for one in sorted(folder.rglob("*")) if one.is_file()]
    named = {one.relative_to(folder).as_posix(): one for one in files}
    return {
        name: sha256(one)
        for name, one in named.items()
        if name not in LEFT and not name.startswith((*OWN, ".cache/", ".git/"))
    }


def _folder(run: Path, named: str) -> Path | None:
    return next((one for one in (run / named, Path(named).expanduser()) if one.is_dir()), None)


def _hashed(folder: Path) -> dict[str, str]:
    inner = [one for one in sorted(folder.iterdir()) if one.is_dir() and one.name not in ("audit", ".eval_results")]
    files = [file for here in (folder, *inner) for file in sorted(here.iterdir()) if file.is_file()]
    return {
        file.relative_to(folder).as_posix(): sha256(file)
        for file in files
        if file.suffix in DECIDING and file.name not in RECORDS
    }


def _whole(files: Mapping[str, str]) -> str:
    """Hash the hashes, as the report does for the model of every seed."""
    return hashlib.sha256("\n".join(f"{name} {digest}" for name, digest in sorted(files.items())).encode()).hexdigest()


def check_base(found: Verification, report: Report, place: Place) -> None:
    """Hold the base's files against the report: a folder, an installed package, or what the Hub says of its commit."""
    base = report.base
    stated = (place.manifest or {}).get("base") or {}
    for key, written in (("revision", base.revision), ("files", base.files)):
        if key in stated and stated[key] != written:
            found.differ([f"manifest.json: the base's {key} is not what the report says"])
    try:
        folder = local_base(base.id)
        if folder is None:
            files = hub_hashes(base.id, base.revision, base.files)
        else:
            files = {name: sha256(folder / name) for name in base.files if (folder / name).is_file()}
    except NotThere as reason:
        found.leave(f"base: not checked: {reason}")
        return
    for name in sorted(base.files.keys() - files.keys()):
        found.differ([f"base: {name}: not in {base.id}"])
    _compare(found, "base", base.files, files, {}, base.id)


def _compare(
    found: Verification,
    what: str,
    written: Mapping[str, str],
    files: Mapping[str, str],
    rewritten: Mapping[str, str],
    where: str,
) -> None:
    for name, digest in sorted(written.items()):
        if name in rewritten:
            found.leave(f"{what}: {name}: differs from what was audited: {rewritten[name]}")
        elif name not in files:
            if what == "weights":
                found.differ([f"{what}: {name}: not in {where}"])
        elif files[name] != digest:
            found.differ([f"{what}: {name}: its sha256 is {files[name]}, the report says {digest}"], files=1)
        else:
            found.counts.update(files=1)
