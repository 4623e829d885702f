"""The model card: a pure function of the report."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from importlib import resources
from typing import Any

import jinja2

from audit.finding import Estimate, Finding
from audit.publish.card.declared import adapted_by_us
from audit.publish.card.details import (
    details,
    direct_use,
    evidence_sentence,
    getting_started,
    hardware,
    made,
    settings,
    verify_command,
)
from audit.publish.card.differences import blocks_of, body_of, differing, differing_metadata, front_of
from audit.publish.card.duties import cross_reference
from audit.publish.card.forgetting import (
    broken_sentence,
    flips_sentence,
    floor_rows,
    forgetting_sentence,
    strength_sentence,
    strength_table,
    weights_sentence,
)
from audit.publish.card.limits import AUDITS, limitations, out_of_scope, recommendations
from audit.publish.card.merge import Merged, merged
from audit.publish.card.metadata import guest_metadata, metadata
from audit.publish.card.origin import checkpoints, origin_sentences
from audit.publish.card.task import task_sentence
from audit.publish.card.text import code, number, plain
from audit.publish.card.transfer import headlines, needed_sentence, saving_sentence, transfer_sentence
from audit.publish.card.undecided import floors_shown_by
from audit.publish.card.usage import usage
from audit.publish.card.verdicts import sentence, verdict_line
from audit.report import Report
from audit.retention import words

__all__ = ["card", "denied", "render", "sentence", "verdict_line"]


def card(report: Report, existing: str = "") -> Merged:
    """Put what a report says into a model card.

    Parameters
    ----------
    report : Report
    existing : str
        The card that is there, line ends included. An empty one becomes a whole card. In one that somebody wrote, the
        audit is a block of its own, and of the front matter only what ties the model to its base and to the results is
        added. A block that is there already is replaced by one of the same kind.

    Returns
    -------
    Merged
        The text, and what the card says otherwise than the report and was left as it is.

    Raises
    ------
    InputError
        If the existing card cannot be patched; says what to mend.
    """
    guest = _is_guest(existing)
    return merged(existing, _block(report, guest), _keys(report, existing, guest))


def render(report: Report) -> str:
    """Render a report as a whole model card in Markdown.

    Every number in it is a field of the report; what was not measured is said to be not measured.
    """
    return card(report).text


def denied(report: Report, text: str) -> list[str]:
    """Say what a published card says otherwise than its report.

    Parameters
    ----------
    report : Report
    text : str
        The card, whole. What its owner wrote outside the block, and keys that are no business of the report's, are not
        looked at. A card without a block is compared as if all of it were one.

    Returns
    -------
    list of str
        A line a difference: the key, or the section and the row, what the card says and what the report says. Empty
        where they agree.
    """
    blocks = blocks_of(text)
    guest = bool(blocks) and _is_guest(text)
    keys = _keys(report, text, guest)
    several = [f"the card has {len(blocks)} blocks of the audit, where one is ours"] if len(blocks) > 1 else []
    said = blocks[0] if blocks else body_of(text)
    return [*several, *differing_metadata(text, keys), *differing(said, _block(report, guest))]


def _keys(report: Report, text: str, guest: bool) -> dict[str, Any]:
    """Return the front matter that a card lacks or must agree with.

    Somebody's card may name several bases, of which ours is one: then what ties it to them is its owner's to say.
    """
    keys, known = guest_metadata(report) if guest else metadata(report), front_of(text)
    if guest and "base_model" in known and "base_model_relation" not in known:
        keys.pop("base_model_relation", None)
    return {key: value for key, value in keys.items() if not (isinstance(known.get(key), list) and value in known[key])}


def _is_guest(text: str) -> bool:
    """Whether the block of a card is, or would be, one among what somebody else wrote: it begins without a title."""
    blocks = blocks_of(text)
    return not re.match(r"\s*# ", blocks[0]) if blocks else bool(body_of(text).strip())


def _block(report: Report, guest: bool) -> str:
    """Render the block: a whole card, or the audit alone with every heading one deeper."""
    found = {audit: _split(report.findings, audit) for audit in AUDITS}
    said = _template().render(
        report=report,
        guest=guest,
        ours=adapted_by_us(report),
        title=report.recipe.name,
        line=_line(report),
        made=made(report),
        details=details(report),
        direct=direct_use(report),
        out_of_scope=out_of_scope(report),
        limitations=limitations(report),
        recommendations=recommendations(report),
        getting_started=getting_started(report),
        usage=usage(report),
        settings=settings(report.adapted.settings),
        task=task_sentence(report),
        found=found,
        words=words(report.findings),
        broken=broken_sentence(report.broken),
        shown_by=floors_shown_by(report.floor),
        floor=floor_rows(report.floor, report.findings),
        flips={one.finding: flips_sentence(one) for one in report.flips},
        drift=weights_sentence(report.weights) if report.weights else "",
        strength=strength_sentence(report.curve) if report.curve else "",
        strengths=strength_table(report.curve),
        savings=headlines(report.savings),
        hardware=hardware(report),
        evidence=evidence_sentence(report),
        verify=verify_command(report),
        cross_reference=cross_reference(report),
    )
    deeper = re.sub(r"(?m)^#(?=#* )", "##", said) if guest else said
    return re.sub(r"\n{3,}", "\n\n", deeper)


def _line(report: Report) -> str:
    """Count the verdicts; where there are none, say what was measured."""
    if report.task is not None and not report.broken and all(one.group is not None for one in report.findings):
        return "The task alone was measured: no audit found anything to compare."
    return verdict_line(report.findings, report.broken)


def _split(findings: Sequence[Finding], audit: str) -> tuple[list[Finding], list[Finding]]:
    """Findings of one audit: the declared ones, and the exploratory slices with the largest change first."""
    mine = [one for one in findings if one.audit == audit]
    slices = [one for one in mine if one.group is not None]
    return [one for one in mine if one.group is None], sorted(slices, key=lambda one: -abs(_moved(one).value))


def _notes(declared: Sequence[Finding]) -> list[tuple[str, str]]:
    """Return every note once, with the names of its findings; no names where it is about all of them."""
    notes = dict.fromkeys(one.note for one in declared if one.note)
    named = [(", ".join(one.name for one in declared if one.note == note), note) for note in notes]
    about_all = len(notes) == 1 and all(one.note for one in declared)
    return [("", note) for note in notes] if about_all else named


def _moved(finding: Finding) -> Estimate:
    return finding.change or finding.adapted


def _source(name: str) -> str:
    return (resources.files("audit.publish.card") / name).read_text(encoding="utf-8")


@cache
def _template() -> jinja2.Template:
    # autoescape is HTML's; Markdown is escaped by `plain`, which the templates apply to every text
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_source), undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(
        plain=plain,
        code=code,
        number=number,
        sentence=sentence,
        notes=_notes,
        checkpoints=checkpoints,
        origin_sentences=origin_sentences,
        transfer_sentence=transfer_sentence,
        forgetting_sentence=forgetting_sentence,
        saving_sentence=saving_sentence,
        needed_sentence=needed_sentence,
    )
    return environment.get_template("card.md.jinja")
