"""The files of a Space that shows reports: a Gradio app, or one static page."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Literal

from audit.errors import InputError
from audit.publish.bundle.redact import leaks, redacted
from audit.report import load_report

__all__ = ["space_files", "space_folder"]

TABLES = ("*.parquet", "evidence/*.parquet")
APP = ("*.py", "*.html", "requirements.txt")
SERVED = ("sdk_version", "python_version", "app_file")  # what front matter says of a server
STATIC = """
# Audit

What a model that was adapted from a pretrained base inherited from it, gained and forgot. One page without a server,
`index.html`, made by transfer-audit from the reports in `reports/`; it asks nobody for anything.
"""


def space_folder() -> Path:
    """Return the folder of the shipped app: inside the wheel, or beside the package in a clone."""
    package = Path(str(resources.files("audit")))
    installed = package / "spaces" / "report"
    return installed if installed.is_dir() else package.parent / "spaces" / "report"


def space_files(
    runs: Sequence[Path],
    *,
    sdk: Literal["gradio", "static"],
    title: str,
    pins: Sequence[tuple[str, str]] = (),
    models: Sequence[str] = (),
    datasets: Sequence[str] = (),
) -> dict[str, bytes]:
    """Return every file of a Space repository that shows reports.

    A Gradio Space holds the app and ``page/``, the folder that renders; it reads ``reports/NAME/`` beside it, then the
    data sets that are pinned. A static one is ``index.html`` and the files that it links to. Reports go in as they may
    leave the machine; no Space needs a secret, so none has one.

    Parameters
    ----------
    runs : sequence of Path
        Run folders, or folders of audit data sets.
    sdk : {"gradio", "static"}
    title : str
    pins : sequence of (id, revision)
        Audit data sets on the Hub that the app reads at that revision; a static page reads nothing.
    models, datasets : sequence of str
        On the Hub, that the Space is about; bases and pinned data sets are named without being asked for.

    Returns
    -------
    dict of str to bytes
        By path in the repository.

    Raises
    ------
    InputError
        If there is nothing to show, a folder holds no report, or a file holds what must not leave the machine.

    Notes
    -----
    Front matter of a Space: https://huggingface.co/docs/hub/spaces-config-reference.
    """
    if not runs and not pins:
        raise InputError(f"{title}: nothing to show; name at least one run folder")
    if sdk == "static" and pins:
        raise InputError(f"{title}: a static page reads no data set from the Hub; give it run folders")
    named = _named(runs)
    reports, held = [], dict[str, bytes]()
    for name, run in named.items():
        reports.append(load_report(run))
        held |= {f"reports/{name}/{path}": content for path, content in _evidence(run).items()}
    for path, content in held.items():
        if found := leaks(content):
            raise InputError(f"{path}: holds {' and '.join(found)}, which must not leave the machine")
    bases = [one.base.id for one in reports if one.base.revision is not None]
    about = {"models": [*bases, *models], "datasets": [*(id for id, _ in pins), *datasets]}
    readme = _readme(sdk, title, {key: list(dict.fromkeys(ids)) for key, ids in about.items()})
    if sdk == "static":
        return {"README.md": readme, "index.html": _index(held).encode(), **held}
    pinned = [{"id": id, "revision": revision} for id, revision in pins]
    said = {"title": title, "reports": list(named), "datasets": pinned}
    files = {path.name: path for kind in APP for path in sorted(space_folder().glob(kind))}
    files |= {f"page/{path.name}": path for path in sorted(Path(__file__).with_name("page").glob("*.py"))}
    app = {name: path.read_bytes() for name, path in files.items()}
    return {"README.md": readme, **app, "space.json": json.dumps(said, indent=1).encode() + b"\n", **held}


def _named(runs: Iterable[Path]) -> dict[str, Path]:
    """Name every folder as a path of the repository may be named, none twice."""
    found: dict[str, Path] = {}
    for run in runs:
        folder = run if run.is_dir() else run.parent
        called = re.sub(r"[^A-Za-z0-9._-]+", "-", folder.resolve().name).strip("-.") or "report"
        name = next(
            name for name in (called, *(f"{called}-{n}" for n in range(2, len(found) + 3))) if name not in found
        )
        found[name] = folder
    return found


def _evidence(run: Path) -> dict[str, bytes]:
    """Return the report as it may leave the machine, and the tables beside it."""
    tables = {path.relative_to(run).as_posix(): path for kind in TABLES for path in sorted(run.glob(kind))}
    text = redacted((run / "report.json").read_text(encoding="utf-8"))
    return {"report.json": text.encode(), **{name: path.read_bytes() for name, path in tables.items()}}


def _index(held: Mapping[str, bytes]) -> str:
    """Render the page from the very files that lie beside it."""
    from audit.publish.page import page

    with tempfile.TemporaryDirectory() as scratch:
        for path, content in held.items():
            target = Path(scratch) / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        places = [path.removesuffix("report.json") for path in held if path.endswith("/report.json")]
        return page([Path(scratch) / place for place in places], places)


def _readme(sdk: str, title: str, about: Mapping[str, list[str]]) -> bytes:
    """Render the shipped README for one Space: its title, what it is about, and how it is served."""
    import yaml  # type: ignore[import-untyped]

    _, front, body = (space_folder() / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    said = {
        **yaml.safe_load(front),
        "title": " ".join(title.split()),
        **{key: ids for key, ids in about.items() if ids},
    }
    if sdk == "static":
        said = {key: value for key, value in said.items() if key not in SERVED} | {"sdk": "static"}
        body = STATIC
    written = yaml.safe_dump(said, sort_keys=False, allow_unicode=True, width=1_000)
    return f"---\n{written}---\n{body}".encode()
