"""Where the parts of a run lie: in its folder, in a copy of what was published, or in one that was pulled."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from audit.errors import InputError
from audit.verify.since import Since

__all__ = ["NEWEST", "PULLED", "Place"]

PULLED = (
    "pulled.json"  # what `audit.verify.pulled` leaves: hashes that the Hub tells without a download, and what is new
)
NEWEST = "main"  # folder of the card at ``main``


@dataclass(frozen=True)
class Place:
    """The parts of a run.

    Attributes
    ----------
    folder : Path
    report : Path
    evidence : Path
        Folder of the tables; need not exist.
    card : Path or None
        Of the model.
    model : Path or None
        Folder of the adapted model's files.
    manifest : dict or None
    stages : Path or None
        Of a run that was not published.
    remote : dict of str to str
        sha256 of files of the model repository that were not pulled.
    wrong : list of str
        What is wrong with the manifest.
    tag : str or None
        Of the audit, where it was pulled.
    since : list of Since
        Of every repository that was pulled, what came after the audit.
    newest : Path or None
        The card at ``main``, where it is another than the audit's.
    """

    folder: Path
    report: Path
    evidence: Path
    card: Path | None = None
    model: Path | None = None
    manifest: dict[str, Any] | None = None
    stages: Path | None = None
    remote: dict[str, str] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    tag: str | None = None
    since: list[Since] = field(default_factory=list)
    newest: Path | None = None

    @classmethod
    def of(cls, run: Path) -> Place:
        """Find the parts.

        Raises
        ------
        InputError
            If there is no report.
        """
        if run.is_file():
            run = run.parent
        if (run / "audit" / "report.json").is_file():  # a model repository
            own = run / "audit"
            manifest, wrong = _manifest(own)
            return cls(run, own / "report.json", run / "evidence", run / "README.md", run, manifest, wrong=wrong)
        report, evidence = run / "report.json", run / "evidence"
        if not report.is_file():
            raise InputError(f"{run}: no report.json in it; give a run folder, or owner/name of what was published")
        if (run / "stages").is_dir():
            return cls(run, report, evidence, run / "card.md", stages=run / "stages")
        manifest, wrong = _manifest(run)
        pulled: dict[str, Any] = {"files": {}, "tag": None, "since": []}
        if (run / PULLED).is_file():
            pulled = json.loads((run / PULLED).read_text(encoding="utf-8"))
        model = run / "model" if (run / "model").is_dir() else None
        card = model / "README.md" if model else None
        newest = run / NEWEST / "README.md"
        return cls(
            run,
            report,
            evidence,
            card,
            model,
            manifest,
            remote=pulled["files"],
            wrong=wrong,
            tag=pulled["tag"],
            since=[Since(**one) for one in pulled["since"]],
            newest=newest if newest.is_file() else None,
        )

    def published(self, path: str) -> Path | None:
        """Return where a file of the manifest lies here; None where it is not here."""
        places = [self.folder / path, *([self.model / path] if self.model else [])]
        return next((place for place in places if place.is_file()), None)


def _manifest(folder: Path) -> tuple[dict[str, Any] | None, list[str]]:
    """Read a manifest; say what is wrong with it."""
    try:
        read = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None, []
    except (OSError, ValueError) as reason:
        return None, [f"manifest.json: cannot be read: {reason}"]
    if not isinstance(read, dict) or not isinstance(read.get("files"), dict):
        return None, ["manifest.json: names no files"]
    wrong = [key for key in ("base", "rewritten") if not isinstance(read.setdefault(key, {}), dict)]
    return read | {key: {} for key in wrong}, [f"manifest.json: {key} is no table" for key in wrong]
