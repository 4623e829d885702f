"""The model card: a pure function of the report."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from functools import cache
from importlib import resources

import jinja2

from audit.finding import MIN_CLUSTERS_FOR_SAME, SCORES, Estimate, Finding, Verdict
from audit.publish.forgetting import (
    flips_sentence,
    floor_rows,
    forgetting_sentence,
    strength_sentence,
    weights_sentence,
)
from audit.publish.origin import checkpoints, origin_sentences
from audit.publish.text import number, plain
from audit.publish.transfer import headlines, needed_sentence, saving_sentence, transfer_sentence
from audit.report import Report
from audit.retention import word

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
        line=verdict_line(report.findings),
        sections=[(title, *_split(report.findings, audit)) for audit, title in SECTIONS],
        floor=floor_rows(report.floor, report.findings),
        flips={one.finding: flips_sentence(one) for one in report.flips},
        drift=weights_sentence(report.weights) if report.weights else "",
        strength=strength_sentence(report.curve) if report.curve else "",
        savings=headlines(report.savings),
        majority=next((arm.task for arm in report.arms if arm.name == "majority_class"), None),
        base_model=report.base.id if re.fullmatch(r"[\w.-]+/[\w.-]+", report.base.id) else None,
        license=report.base.license if re.fullmatch(r"[A-Za-z0-9.+-]+", report.base.license or "") else None,
        library="peft" if report.adapted.method == "lora" else "transformers",
        pipeline="text-generation" if report.base.kind == "causal" else "text-classification",
    )


def _split(findings: Sequence[Finding], audit: str) -> tuple[list[Finding], list[Finding]]:
    """Findings of one audit: the declared ones, and the exploratory slices with the largest change first."""
    mine = [one for one in findings if one.audit == audit]
    slices = [one for one in mine if one.group is not None]
    return [one for one in mine if one.group is None], sorted(slices, key=lambda one: -abs(_moved(one).value))


def _moved(finding: Finding) -> Estimate:
    return finding.change or finding.adapted


def verdict_line(findings: Sequence[Finding]) -> str:
    """Count the verdicts of the declared findings.

    Examples
    --------
    >>> verdict_line([])
    'Nothing was measured.'
    """
    counts = Counter(one.verdict for one in findings if one.group is None)
    if not counts:
        return "Nothing was measured."
    said = ", ".join(f"{counts[verdict]} {verdict}" for verdict in Verdict if counts[verdict])
    return f"{sum(counts.values())} declared findings: {said}."


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
    low, high = finding.decision.same
    enough = finding.method in SCORES or finding.n_clusters >= MIN_CLUSTERS_FOR_SAME
    known = enough and low is not None and high is not None
    supported = f" (they support one of {max(-(low or 0), high or 0):.3g})" if known else ""
    if finding.floor and abs(finding.change.value) <= finding.floor:
        return f"Null copies of the base differ by up to {finding.floor:.3g}: the change says nothing beyond that."
    needed = f"; about {finding.n_needed} would decide" if finding.n_needed else ""
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
        Verdict.UNCLEAR: f"{finding.n_clusters} clusters cannot decide at a margin of {margin}{supported}{needed}.",
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
        word=word,
        saving_sentence=saving_sentence,
        needed_sentence=needed_sentence,
    )
    return environment.from_string(source)
