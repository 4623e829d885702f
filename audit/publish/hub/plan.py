"""What publishing a run would write, found by looking: what the Hub has already is not written again."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from audit.errors import InputError, Unavailable
from audit.publish.bundle import Bundle, bundle, with_files
from audit.publish.bundle.manifest import sha256
from audit.publish.bundle.redact import leaks
from audit.publish.card import card
from audit.publish.card.results import eval_results
from audit.publish.hub.actions import Collection, Plan, Repository
from audit.publish.hub.benchmarks import benchmarks
from audit.publish.hub.failures import failures, said, status
from audit.publish.hub.lacking import MANIFEST, lacking
from audit.publish.hub.remote import Content, Kind, There, account, looked, read, shelf
from audit.publish.space import space_files
from audit.report import Report, load_report

if TYPE_CHECKING:
    from huggingface_hub import HfApi

__all__ = ["SPACES", "planned"]

SPACES = ("static", "gradio", "zero-a10g", "none")
TITLE = 60  # characters that the title of a collection may have


def planned(run: Path, to: str, *, space: str = "static", private: bool = False, token: str | None = None) -> Plan:
    """Look at a run and at the Hub, and plan what is missing there; nothing is written.

    Parameters
    ----------
    run : Path
        Folder of a finished run.
    to : str
        ``owner/name`` of the model; data set and Space are called ``owner/name-audit``.
    space : {"static", "gradio", "zero-a10g", "none"}
        What a new Space runs on; one that is there keeps what it has.
    private : bool
        Whether what is created is private. What is there keeps its visibility, and nothing public is created beside
        something private.
    token : str, optional
        Of the Hub; default: that of the environment, or of ``hf auth login``.

    Raises
    ------
    InputError
        If something forbids it: no run, no pins, conflicting licences, no right to write there.
    Unavailable
        If the Hub cannot be asked.
    """
    from huggingface_hub import HfApi

    if space not in SPACES:
        raise InputError(f"--space {space}: choose from {', '.join(SPACES)}")
    namespace, name = _named(to)
    if not run.is_dir():
        raise InputError(f"{run}: not the folder of a run")
    _allowed(run, load_report(run))
    ours = bundle(run, to)
    api = HfApi(token=token)
    try:
        account(api, namespace)
        there = {kind: looked(api, kind, to if kind == "model" else f"{to}-audit") for kind in MANIFEST}
        private = _visibility(list(there.values()), private, space)
        found, warnings = _repositories(api, ours, there, space, private, name)
        collection = _collection(api, namespace, name, ours.report, found, private)
    except InputError:
        raise
    except failures() as error:
        line = f"{to}: {said(error)}; nothing was written"
        raise (InputError(line) if status(error) in (401, 403) else Unavailable(line)) from None
    warned = (*_of_the_report(ours.report), *_mixed(list(there.values()), space), *warnings)
    return Plan(run, to, ours.report, space, private, tuple(found), collection, warned)


# --- what forbids it --------------------------------------------------------------------------------------------------


def _named(to: str) -> tuple[str, str]:
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    try:
        validate_repo_id(f"{to}-audit")
    except HFValidationError as error:
        raise InputError(f"--to {to}: not a name that the Hub allows ({str(error).split(':')[0]})") from None
    if to.count("/") != 1:
        raise InputError(f"--to {to}: say owner/name")
    namespace, _, name = to.partition("/")
    return namespace, name


def _allowed(run: Path, report: Report) -> None:
    if report.provenance.unpinned:
        named = ", ".join(report.provenance.unpinned)
        raise InputError(
            f"{run}: ran without a commit of {named}, so nobody could repeat it; pin the recipe with "
            "`transfer-audit pin RECIPE.toml` and run it again"
        )
    for check in report.diligence:
        if check.outcome == "fail" and check.name in ("derivative", "inherited licence"):
            raise InputError(f"{run}: {check.said}; settle the licence ([publish] license) and run it again")


def _visibility(there: Sequence[There], private: bool, space: str) -> bool:
    """Decide who sees what is created."""
    hidden, public = _known(there, space)
    if private and public:
        raise InputError(f"{_listed(public)} can be seen by everybody: {_to_hide(public)}, or leave out --private")
    return private or bool(hidden)


def _known(there: Sequence[There], space: str) -> tuple[list[str], list[str]]:
    """Name what is there and private, and what is there and public."""
    known = [one for one in there if one.sha is not None and (one.kind != "space" or space != "none")]
    return [one.name for one in known if one.private], [one.name for one in known if not one.private]


def _mixed(there: Sequence[There], space: str) -> list[str]:
    """Say that something public stands beside something private."""
    hidden, public = _known(there, space)
    if not (hidden and public):
        return []
    are = "is" if len(hidden) == 1 else "are"
    return [
        f"{_listed(public)} can be seen by everybody, though {_listed(hidden)} {are} private; to hide all, "
        f"{_to_hide(public)}"
    ]


def _to_hide(names: Sequence[str]) -> str:
    one = "it private on its page" if len(names) == 1 else "them private, each on its page"
    return f"make {one} (Settings, Change visibility)"


def _listed(names: Sequence[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def _of_the_report(report: Report) -> list[str]:
    """Say what a reader of the preview must know of the run itself."""
    open_ones = [check for check in report.diligence if check.outcome in ("fail", "unknown")]
    found = [f"diligence, {one.name}: {one.outcome}: {one.said.removeprefix(f'{one.outcome}: ')}" for one in open_ones]
    if _hub_id(report.base.id) is None or report.base.revision is None:
        found.append("the base has no name and commit on the Hub: the card names none, and nobody else can ask it")
    if report.provenance.evidence == "none":
        found.append("no evidence is published: nobody else can compute the findings again")
    return found


# --- what is missing --------------------------------------------------------------------------------------------------


def _repositories(
    api: HfApi, ours: Bundle, there: Mapping[Kind, There], space: str, private: bool, name: str
) -> tuple[list[Repository], list[str]]:
    tag = f"audit-{sha256(ours.dataset['report.json'])[:8]}"
    warnings: list[str] = []
    if ours.model and (results := eval_results(ours.report, benchmarks(api, ours.report))):
        ours = with_files(ours, {f".eval_results/{name}": text.encode() for name, text in results.items()})
    model, dataset = ours.model, ours.dataset
    found = [lacking(api, there["dataset"], dataset, private, tag, warnings)]
    if model:
        files = {**model, "README.md": _merged(api, ours.report, there["model"], warnings)}
        found.append(lacking(api, there["model"], files, private, tag, warnings))
    if space != "none":
        sdk, hardware = _sdk(there["space"], space, warnings)
        about = [found[1].there.id] if model else []
        page = _page(dataset, sdk, name, about, there["dataset"].id)
        one = lacking(api, there["space"], page, private, None, warnings)
        found.append(replace(one, sdk=sdk, hardware=hardware))
    return found, warnings


def _merged(api: HfApi, report: Report, there: There, warnings: list[str]) -> bytes:
    try:
        existing = (read(api, there, "README.md") or b"").decode()
    except UnicodeDecodeError:
        raise InputError(f"README.md of {there.name} is not UTF-8: mend it there first") from None
    if found := leaks(card(report).text.encode()):
        raise InputError(f"the card would publish {', '.join(found)}: nothing was written")
    merged = card(report, existing)
    warnings += [f"README.md of {there.name} is left as it is in this: {one}" for one in merged.disagreements]
    return merged.text.encode()


def _sdk(there: There, space: str, warnings: list[str]) -> tuple[str, str | None]:
    """Decide what the Space runs on: asking for another kind than it has would lead to a plan that must be paid."""
    wanted = "static" if space == "static" else "gradio"
    if there.sha is None:
        return wanted, space if space == "zero-a10g" else None
    if there.sdk not in ("static", "gradio"):
        raise InputError(f"{there.name} is on the Hub already and no audit: it runs on {there.sdk}; use --space none")
    if there.sdk != wanted:
        warnings.append(f"{there.name} stays {there.sdk}, as it is on the Hub")
    return there.sdk, None


def _page(dataset: Mapping[str, bytes], sdk: str, name: str, models: list[str], evidence: str) -> dict[str, Content]:
    """Render the Space from what is published, not from the run: nothing else can come into it."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / name
        for path, content in dataset.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(content)
        kind: Literal["static", "gradio"] = "static" if sdk == "static" else "gradio"
        files = space_files([folder], sdk=kind, title=f"{name}: audited", models=models, datasets=[evidence])
    for path, content in files.items():
        if found := leaks(content):
            raise InputError(f"the Space's {path} would publish {', '.join(found)}: nothing was written")
    listed = {path: sha256(content) for path, content in files.items() if path != "README.md"}
    manifest = json.dumps({"schema": 1, "files": listed}, indent=1, sort_keys=True) + "\n"
    return {**files, MANIFEST["space"]: manifest.encode()}


def _collection(
    api: HfApi, namespace: str, name: str, report: Report, found: Sequence[Repository], private: bool
) -> Collection:
    items: list[tuple[Kind, str]] = []
    for id in (_hub_id(report.base.id), _hub_id(report.adapted.id)):
        if id is not None and ("model", id) not in items and _is_there(api, id, found):
            items.append(("model", id))
    items += [(one.there.kind, one.there.id) for one in found if (one.there.kind, one.there.id) not in items]
    title = f"{name[: TITLE - len(': audited')]}: audited"
    return Collection(namespace, title, private, tuple(items), shelf(api, namespace, title))


def _is_there(api: HfApi, id: str, found: Sequence[Repository]) -> bool:
    """Tell whether the Hub knows a model that a collection is to name."""
    return any((one.there.kind, one.there.id) == ("model", id) for one in found) or api.repo_exists(id)


def _hub_id(name: object) -> str | None:
    return name if isinstance(name, str) and re.fullmatch(r"[\w][\w.-]*/[\w.-]+", name) else None
