"""Where in a card there is evidence for what the NIST AI RMF and Annex XII of the EU AI Act ask about."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from audit.publish.card.declared import adapted_by_us
from audit.publish.card.limits import AUDITS, measured
from audit.report import Report

__all__ = ["Row", "anchor", "cross_reference"]

NOT_MEASURED = "not measured"


@dataclass(frozen=True)
class Row:
    """One field of a framework, what it is about in a few words, and what this card has for it, in Markdown."""

    framework: str
    field: str
    about: str
    evidence: str


def cross_reference(report: Report) -> list[Row]:
    """List the fields that a card of an adaptation can have evidence for, and what it lacks.

    Parameters
    ----------
    report : Report

    Returns
    -------
    list of Row
        Always the same fields. None says that anything is complied with: a row names the section with evidence for it,
        or says that there is none.

    Notes
    -----
    Fields are those of NIST AI 100-1 (AI RMF 1.0, 2023), tables 2 to 4, and of Regulation (EU) 2024/1689, Annex XII.
    """
    return [*_nist(report), *_annex_xii(report)]


def anchor(heading: str) -> str:
    """Return a link to a heading of the card, as the Hub makes its anchors.

    Examples
    --------
    >>> anchor("Bias, risks and limitations")
    '[Bias, risks and limitations](#bias-risks-and-limitations)'
    """
    slug = re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")
    return f"[{heading}](#{slug})"


def _found(report: Report, audits: Sequence[str]) -> str:
    """Link the audits that found something, and name those that did not."""
    return ", ".join(
        anchor(AUDITS[one]) if measured(report, one) else f"{AUDITS[one].lower()} {NOT_MEASURED}" for one in audits
    )


def _nist(report: Report) -> list[Row]:
    base = anchor("What is known of the base") if report.diligence else "not looked up"
    task = anchor("Task") if report.task is not None else NOT_MEASURED
    rows = [
        ("MAP 2.2", "limits of what the system knows", anchor("Bias, risks and limitations")),
        ("MAP 3.3", "scope of application", anchor("Uses")),
        ("MAP 4.1", "legal and technical risks of third-party parts", base),
        ("MEASURE 2.1", "test sets, metrics and tools", f"{anchor('Evaluation')}, {anchor('Reproduce')}"),
        ("MEASURE 2.3", "performance under conditions like those of deployment", f"{task}: on the test items alone"),
        ("MEASURE 2.5", "validity, and limits of generalising", _found(report, ("gap", "forgetting", "transfer"))),
        ("MEASURE 2.11", "fairness and bias", _found(report, ("bias",))),
        ("MEASURE 2.12", "environmental impact", NOT_MEASURED),
        ("MANAGE 3.1", "risks of third-party resources, monitored", f"{base}: once, when this was run"),
        ("MANAGE 3.2", "pretrained models, monitored", f"{anchor('Evaluation')}: against this revision of the base"),
    ]
    if report.task is None:
        rows = [(field, about, NOT_MEASURED if field == "MEASURE 2.3" else said) for field, about, said in rows]
    return [Row("NIST AI RMF", *row) for row in rows]


def _annex_xii(report: Report) -> list[Row]:
    details, use = anchor("Model details"), anchor("How to get started")
    known = adapted_by_us(report)
    data = anchor("Training data") if known else "not known: somebody else adapted it"
    size = details if known else "the base's kind alone"
    licence = details if report.adapted.license or (known and report.base.license) else "none declared"
    rows = [
        ("1(a)", "tasks it is meant for", anchor("Uses")),
        ("1(b)", "acceptable use policies", f"{anchor('What is known of the base')}: the base's licence alone"),
        ("1(c)", "date of release, distribution", "not in this card: the repository's commits"),
        ("1(d)", "interaction with other software and hardware", use),
        ("1(e)", "versions of software", anchor("Technical specifications")),
        ("1(f)", "architecture and number of parameters", size),
        ("1(g)", "modality and format of inputs and outputs", details),
        ("1(h)", "licence", licence),
        ("2(a)", "means of integration", use),
        ("2(b)", "largest input", "not in this card"),
        ("2(c)", "data for training, testing and validation", data),
    ]
    if not report.diligence:
        rows = [(field, about, "not looked up" if field == "1(b)" else said) for field, about, said in rows]
    return [Row("EU AI Act, Annex XII", *row) for row in rows]
