"""The model card: a pure function of the report."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any

import jinja2

from audit.finding import Estimate, Finding, Verdict
from audit.publish.forgetting import (
    broken_sentence,
    flips_sentence,
    floor_rows,
    forgetting_sentence,
    strength_sentence,
    strength_table,
    weights_sentence,
)
from audit.publish.origin import checkpoints, origin_sentences
from audit.publish.task import task_sentence
from audit.publish.text import number, plain
from audit.publish.transfer import headlines, needed_sentence, saving_sentence, transfer_sentence
from audit.publish.undecided import undecided
from audit.report import Report
from audit.retention import words

__all__ = ["render", "sentence", "verdict_line"]

SECTIONS = (
    ("bias", "Inherited bias"),
    ("gap", "Domain gap"),
    ("forgetting", "Forgetting"),
    ("transfer", "Negative transfer"),
)


def render(report: Report) -> str:
    """Render a report as a model card in Markdown.

    Every number in it is a field of the report; what was not measured is said to be not measured.
    """
    return _template().render(
        report=report,
        line=verdict_line(report.findings, report.broken),
        sections=[(title, *_split(report.findings, audit)) for audit, title in SECTIONS],
        words=words(report.findings),
        broken=broken_sentence(report.broken),
        floor=floor_rows(report.floor, report.findings),
        flips={one.finding: flips_sentence(one) for one in report.flips},
        drift=weights_sentence(report.weights) if report.weights else "",
        strength=strength_sentence(report.curve) if report.curve else "",
        strengths=strength_table(report.curve),
        savings=headlines(report.savings),
        task=task_sentence(report),
        settings=_settings(report.adapted.settings),
        base_model=report.base.id if re.fullmatch(r"[\w.-]+/[\w.-]+", report.base.id) else None,
        license=report.base.license if re.fullmatch(r"[A-Za-z0-9.+-]+", report.base.license or "") else None,
        library=_library(report),
        pipeline=_pipeline(report),
    )


def _settings(settings: Mapping[str, Any], table: str = "") -> str:
    """List settings, those of inner tables by their full name."""
    listed = [
        _settings(value, f"{table}{key}.")
        if isinstance(value, dict) and value
        else f"{plain(table + key)} = {plain(value)}"
        for key, value in settings.items()
    ]
    return ", ".join(listed)


def _library(report: Report) -> str:
    """Name what loads the adapted model: a head or a prompt beside its base is nothing that transformers knows."""
    files = report.adapted.files
    if "head.json" in files or "prompt.json" in files:
        return "transfer-audit"
    return "peft" if "adapter_config.json" in files else "transformers"


def _pipeline(report: Report) -> str:
    """Name what the adapted model does, as the Hub calls it."""
    if "head.json" in report.adapted.files:
        return "image-classification" if report.base.kind in ("vision", "clip") else "text-classification"
    metric = report.task.metric if report.task else ""
    if metric in ("entity_f1", "token_accuracy"):
        return "token-classification"
    if report.base.kind == "causal":
        return "text-generation"
    if report.base.kind == "clip":
        return "zero-shot-image-classification"
    return "image-classification" if report.base.kind == "vision" else "text-classification"


def _split(findings: Sequence[Finding], audit: str) -> tuple[list[Finding], list[Finding]]:
    """Findings of one audit: the declared ones, and the exploratory slices with the largest change first."""
    mine = [one for one in findings if one.audit == audit]
    slices = [one for one in mine if one.group is not None]
    return [one for one in mine if one.group is None], sorted(slices, key=lambda one: -abs(_moved(one).value))


def _moved(finding: Finding) -> Estimate:
    return finding.change or finding.adapted


def verdict_line(findings: Sequence[Finding], broken: Sequence[str] = ()) -> str:
    """Count the verdicts of the declared findings, and the probes that only the base answers.

    Examples
    --------
    >>> verdict_line([])
    'Nothing was measured.'
    >>> verdict_line([], ["forgetting/next_token"])
    'Nothing was measured; 1 probe that the base answers the adapted model does not.'
    """
    counts = Counter(one.verdict for one in findings if one.group is None)
    verdicts = ", ".join(f"{counts[verdict]} {verdict}" for verdict in Verdict if counts[verdict])
    said = f"{sum(counts.values())} declared findings: {verdicts}" if counts else "Nothing was measured"
    if broken:
        probes = "1 probe" if len(broken) == 1 else f"{len(broken)} probes"
        said += f"; {probes} that the base answers the adapted model does not"
    return f"{said}."


def sentence(finding: Finding) -> str:
    """Say in plain words what a verdict means for one finding."""
    margin = f"{finding.margin:g}"
    if finding.change is None:
        position = f"position {finding.adapted.value:.2f}, margin {margin}"
        needed = f"; about {finding.n_needed} documents in place of {finding.n_clusters} would decide"
        documents = needed if finding.n_needed else ""
        return {
            Verdict.SAME: f"By this measure the task lies in the reference's domain ({position}).",
            Verdict.WORSE: f"By this measure the task lies outside the reference's domain ({position}).",
            Verdict.BETTER: f"By this measure the task lies closer to it than the reference's own halves ({position}).",
            Verdict.UNCLEAR: f"By this measure it is unclear whether it lies in that domain ({position}){documents}.",
        }[finding.verdict]
    if finding.verdict == Verdict.UNCLEAR:
        why = undecided(finding)
        return f"{why[:1].upper()}{why[1:]}."
    if finding.ideal is not None:
        worse = f"The adapted model leans elsewhere than its base, and not towards 0, by more than {margin}."
        better = f"The adapted model leans less than its base, by more than {margin}."
    else:
        worse = f"The adapted model is worse than its base by more than {margin}."
        better = f"The adapted model is better than its base by more than {margin}."
    return {
        Verdict.SAME: f"Base and adapted differ by less than {margin}.",
        Verdict.WORSE: worse,
        Verdict.BETTER: better,
    }[finding.verdict]


@cache
def _template() -> jinja2.Template:
    source = (resources.files("audit.publish") / "card.md.jinja").read_text(encoding="utf-8")
    # autoescape is HTML's; Markdown is escaped by `plain`, which the template applies to every text
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(
        plain=plain,
        number=number,
        sentence=sentence,
        checkpoints=checkpoints,
        origin_sentences=origin_sentences,
        transfer_sentence=transfer_sentence,
        forgetting_sentence=forgetting_sentence,
        saving_sentence=saving_sentence,
        needed_sentence=needed_sentence,
    )
    return environment.from_string(source)
