"""What is said of an audit on a model's page: short, whole, and marked so that it is found again."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from functools import cache
from importlib import resources

import jinja2

from audit.errors import InputError
from audit.publish.bundle.redact import leaks, redactor, throughout
from audit.publish.card import verdict_line
from audit.publish.card.task import task_sentence
from audit.publish.card.text import number, plain
from audit.report import Report

__all__ = ["Draft", "Marker", "drafted", "marker_in", "neutral", "title_of", "weights_of"]

AUDITS = {"bias": "inherited bias", "gap": "domain gap", "forgetting": "forgetting", "transfer": "negative transfer"}
MARKER = re.compile(r"<!-- transfer-audit: (\S+) base (\S+) report ([0-9a-f]{64}) text ([0-9a-f]{8}) -->")
HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
WEIGHTS = (".safetensors", ".gguf")
TITLE = 200  # characters that the Hub takes
LONGEST = 8000  # characters of a recipe that is shown, folded


@dataclass(frozen=True)
class Marker:
    """What a text of ours says about itself, where no reader sees it.

    Attributes
    ----------
    model : str
        Whose page it is for.
    base : str
        The base's revision, ``none`` where it has none.
    report : str
        sha256 of the report.
    text : str
        Of the text before it, so that another wording of the same report is told apart.
    """

    model: str
    base: str
    report: str
    text: str

    def __str__(self) -> str:
        """Write it as a comment, which Markdown does not show."""
        return f"<!-- transfer-audit: {self.model} base {self.base} report {self.report} text {self.text} -->"


@dataclass(frozen=True)
class Draft:
    """A title and a text with its marker."""

    title: str
    body: str
    marker: Marker


def marker_in(text: str) -> Marker | None:
    """Return the marker of a text of ours.

    Examples
    --------
    >>> marker_in("A question about the licence.") is None
    True
    >>> made = Marker("owner/model", "none", 64 * "0", 8 * "1")
    >>> marker_in(f"Audited. {made}") == made
    True
    """
    found = MARKER.search(text)
    return Marker(*found.groups()) if found else None


def neutral(report: Report, repo: str | None) -> Report:
    """Return a report as others may read it: no place on this machine in it, its model named as on the Hub."""
    told = throughout(report.model_dump(mode="json", by_alias=True), redactor())
    if repo is not None:
        told["adapted"]["id"] = repo
    return Report.model_validate(told)


def weights_of(report: Report) -> dict[str, str]:
    """Return the files of the adapted model that hold weights, each with its sha256."""
    return {name: digest for name, digest in report.adapted.files.items() if name.endswith(WEIGHTS)}


def drafted(report: Report, repo: str, *, same: bool) -> Draft:
    """Write what is said of a report on the page of a model.

    Parameters
    ----------
    report : Report
        As others may read it (`neutral`).
    repo : str
        ``owner/name`` of the model whose page it is.
    same : bool
        Whether its weights are known to be those that were audited.

    Raises
    ------
    InputError
        If something in the text must not leave this machine.
    """
    digest = hashlib.sha256(json.dumps(report.model_dump(mode="json", by_alias=True), sort_keys=True).encode())
    recipe = report.recipe.text.strip()
    declared = [one for one in report.findings if one.group is None]
    audited = {one.audit for one in declared}
    said = {
        "report": report,
        "same": same,
        "weights": weights_of(report),
        "audited": audited,
        "line": verdict_line(report.findings, report.broken),
        "task": task_sentence(report),
        "declared": declared,
        "broken": report.broken,
        "missing": [name for audit, name in AUDITS.items() if audit not in audited],
        "command": " ".join(report.provenance.command.replace("`", "'").split()),
        "digest": digest.hexdigest(),
        "recipe": recipe if len(recipe) <= LONGEST else "",
        "fence": "`" * (max([2, *(len(one) for one in re.findall("`+", recipe))]) + 1),
    }
    text = _template().render(said).strip()
    marker = Marker(
        repo, report.base.revision or "none", digest.hexdigest(), hashlib.sha256(text.encode()).hexdigest()[:8]
    )
    if found := leaks(text.encode()):
        raise InputError(f"{repo}: nothing is posted, for the text holds {', '.join(found)}")
    return Draft(title_of(report.base.id), f"{text}\n\n{marker}", marker)


def title_of(base: str) -> str:
    """Title a thread; it stays the same from report to report.

    Examples
    --------
    >>> title_of("owner/base"), title_of("package:models/base")
    ('Audited against its own base, owner/base', 'Audited against its own base')
    """
    named = f", {base}" if HUB_ID.fullmatch(base) else ""
    return f"Audited against its own base{named}"[:TITLE]


@cache
def _template() -> jinja2.Template:
    source = (resources.files("audit.publish.posts") / "discussion.md.jinja").read_text(encoding="utf-8")
    # autoescape is HTML's; Markdown is escaped by `plain`, which the template applies to every text
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(plain=plain, number=number)
    return environment.from_string(source)
