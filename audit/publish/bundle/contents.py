"""Exactly what is published of a run: the files of the model and of its data set."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from pydantic import ValidationError

from audit.errors import InputError, Unavailable
from audit.installed import in_package
from audit.publish.bundle.checkpoint import checkpoint, on_hub
from audit.publish.bundle.dataset import dataset_card
from audit.publish.bundle.manifest import manifest
from audit.publish.bundle.redact import ADDRESS, KINDS, NAME, leaks, redactor, throughout
from audit.publish.bundle.tables import tables
from audit.publish.diligence.terms import TABLE, Terms
from audit.report import Report, load_report

__all__ = ["Bundle", "bundle", "with_files"]

LICENCES = ("LICENSE*", "LICENCE*", "License*", "COPYING*", "NOTICE*", "Notice*", "USE_POLICY*")
VOCABULARIES = (".model", "vocab.txt", "vocab.json", "merges.txt")


@dataclass(frozen=True)
class Bundle:
    """The files of two repositories.

    Attributes
    ----------
    report : Report
        As it is published: without what is private, and with the name of the model on the Hub.
    model : dict of str to bytes or Path
        By path; all but the card. Empty where the model is somebody else's.
    dataset : dict of str to bytes
        By path, with the card.
    rewritten : mapping of str to str
        Files that differ from what was audited, or from what the run has, and why.
    """

    report: Report
    model: dict[str, bytes | Path]
    dataset: dict[str, bytes]
    rewritten: Mapping[str, str] = field(default_factory=dict)


def bundle(run: Path, to: str) -> Bundle:
    """Collect what is published of a run; the same run gives the same bytes.

    Parameters
    ----------
    run : Path
        Folder of a run, or of an audit of a model that was there before, of which no weights are published.
    to : str
        ``owner/name`` of the model; the data set is ``owner/name-audit``.

    Raises
    ------
    InputError
        If the model could be loaded by nobody or is not the one that was audited, evidence holds what the policy keeps
        private, or anything private is left in any file: it is named by file and kind, and never shown.
    Unavailable
        If the base's licence cannot be fetched.
    """
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", to):
        raise InputError(f"{to}: not a name on the Hub; say owner/name")
    own = load_report(run)
    clean = _cleaner(own)
    report = _published(run, own, to, clean)
    told = report.model_dump_json(by_alias=True, indent=1).encode() + b"\n"
    evidence, rewritten = tables(run, own, clean)
    model: dict[str, bytes | Path] = {}
    if own.adapted.seeds:
        model, other = checkpoint(run, own)
        rewritten |= other
        model |= _licences(own)
        model["audit/report.json"] = told
    if told != (run / "report.json").read_bytes():
        rewritten |= {name: "places and names of where it was made were taken out" for name in ("report.json", *model)
                      if name.endswith("report.json")}  # fmt: skip
    dataset = {"report.json": told, **evidence}
    dataset["README.md"] = dataset_card(report, to, dataset).encode()
    found = with_files(Bundle(report, model, dataset, rewritten), {})
    _refuse_leaks({**found.model, **{f"{to}-audit/{name}": one for name, one in found.dataset.items()}}, own)
    return found


def with_files(found: Bundle, more: Mapping[str, bytes]) -> Bundle:
    """Add files to the model's, and list everything in the manifest of both repositories."""
    model = {name: one for name, one in {**found.model, **more}.items() if name != "audit/manifest.json"}
    dataset = {name: one for name, one in found.dataset.items() if name != "manifest.json"}
    files = {name: one for name, one in {**model, **dataset}.items() if name != "README.md"}
    listed = manifest(found.report, files, found.rewritten, dataset["report.json"])
    if model:
        model["audit/manifest.json"] = listed
    dataset["manifest.json"] = listed
    return replace(found, model=dict(sorted(model.items())), dataset=dict(sorted(dataset.items())))


# --- the report -------------------------------------------------------------------------------------------------------


def _cleaner(own: Report) -> Callable[[str], str]:
    """Clean texts so that a finding's id is one and the same wherever it is named."""
    clean = redactor()
    ids = {one.id: "/".join([one.audit, clean(one.name), *([clean(one.group)] if one.group is not None else [])])
           for one in own.findings}  # fmt: skip
    changed = sorted(((old, new) for old, new in ids.items() if clean(old) != old or new != clean(old)), reverse=True)

    def cleaned(text: str) -> str:
        for old, new in changed:
            text = text.replace(old, new)
        return clean(text)

    return cleaned


def _published(run: Path, own: Report, to: str, clean: Callable[[str], str]) -> Report:
    """Take out what is private, and call base and model as they can be found."""
    said = throughout(json.loads(own.model_dump_json(by_alias=True)), clean)
    if own.base.revision is None and not own.base.id.startswith("package:"):
        said["base"]["id"] = f"[path]/{Path(clean(own.base.id)).name}"
    if own.adapted.seeds or _is_local(own.adapted.id):
        said["adapted"]["id"] = to
    try:
        return Report.model_validate(said)
    except ValidationError:
        raise InputError(
            f"{run / 'report.json'}: names in it differ only by something private (an address, a path, a token); "
            "name columns, groups and labels otherwise, and run the recipe again"
        ) from None


def _is_local(name: str) -> bool:
    return name.startswith((".", "/", "~")) or name.count("/") != 1 or Path(name).exists()


# --- texts of licences ------------------------------------------------------------------------------------------------


def _licences(report: Report) -> dict[str, bytes | Path]:
    """Carry the base's licence, notices and policy of use, unless its licence asks for nothing of the kind."""
    terms = TABLE.get(report.base.license or "")
    folder = None if terms is not None and terms == Terms(terms.title) else _base_folder(report)
    found = sorted(path for one in LICENCES for path in folder.glob(one)) if folder else []
    return {path.name: path.read_bytes() for path in found if path.is_file()}


def _base_folder(report: Report) -> Path | None:
    name = report.base.id
    if on_hub(report.base):
        return _from_hub(name, report.base.revision)
    if name.startswith("package:"):
        return in_package(name)
    path = Path(name).expanduser()
    path = path.parent if path.is_file() else path
    return path if path.is_dir() else None


def _from_hub(name: str, revision: str | None) -> Path | None:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=list(LICENCES)))
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        raise Unavailable(
            f"{name}: its licence and notices, which are published beside what was made of it, cannot be fetched "
            f"({type(error).__name__}); try again"
        ) from None


# --- the last gate ----------------------------------------------------------------------------------------------------


def _refuse_leaks(files: Mapping[str, bytes | Path], own: Report) -> None:
    """Search every byte once more, whoever wrote it."""
    for name, content in files.items():
        if found := leaks(content, _searched(name, own)):
            raise InputError(
                f"{name}: {' and '.join(found)} would be published in it; take it out of where it comes from (recipe, "
                "data, base or tokenizer), and run the recipe again"
            )


def _searched(name: str, own: Report) -> tuple[str, ...]:
    """What a file is searched for.

    What the base has on the Hub is public, licences name their owners, and a vocabulary holds pieces of anything.
    """
    public = on_hub(own.base) and name in own.base.files and own.base.files[name] == own.adapted.files.get(name)
    if public or name.endswith(VOCABULARIES):
        return ()
    if any(Path(name).match(one) for one in LICENCES):
        return tuple(kind for kind in KINDS if kind not in (ADDRESS, NAME))
    return KINDS
