"""A decision as pipelines read it: JUnit XML and SARIF 2.1.0."""

from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree

from audit.signoff import Ruling, SignOff

__all__ = ["junit", "sarif"]

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
LEVELS = {"pass": "none", "waived": "note", "fail": "error"}
FORBIDDEN = re.compile(r"[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
KINDS = {"pass": "pass", "waived": "review", "fail": "fail"}


def junit(decision: SignOff) -> str:
    """Render a decision as JUnit XML: a test case a subject; what was waived is skipped, with the reason.

    Examples
    --------
    >>> from datetime import date
    >>> rows = [Ruling(subject="bias/x", found="worse", outcome="fail", said="pass: same")]
    >>> print(junit(SignOff(policy="p", sha256="", decided=date(2026, 1, 1), rulings=rows)))
    <?xml version="1.0" encoding="UTF-8"?>
    <testsuite name="p" tests="1" failures="1" skipped="0">
      <testcase classname="bias" name="bias/x">
        <failure message="worse; pass: same" />
      </testcase>
    </testsuite>
    """
    counts = {outcome: sum(one.outcome == outcome for one in decision.rulings) for outcome in LEVELS}
    suite = ElementTree.Element(
        "testsuite",
        name=_clean(decision.policy),
        tests=str(len(decision.rulings)),
        failures=str(counts["fail"]),
        skipped=str(counts["waived"]),
    )
    for one in decision.rulings:
        name = _clean(one.subject)
        case = ElementTree.SubElement(suite, "testcase", classname=name.partition("/")[0], name=name)
        if one.outcome == "fail":
            ElementTree.SubElement(case, "failure", message=_clean(f"{one.found}; {one.said}"))
        elif one.outcome == "waived":
            ElementTree.SubElement(case, "skipped", message=_clean(_waived(one)))
    ElementTree.indent(suite)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(suite, encoding="unicode")


def _waived(one: Ruling) -> str:
    assert one.waiver is not None
    return f"{one.found}; waived by {one.waiver.by} until {one.waiver.until}: {one.waiver.reason}"


def _clean(text: str) -> str:
    """Leave out what XML 1.0 cannot hold."""
    return FORBIDDEN.sub("", text)


def sarif(decision: SignOff, tool: str) -> dict[str, Any]:
    """Render a decision as a SARIF log: a result a subject, and what was waived is suppressed.

    Parameters
    ----------
    decision : SignOff
    tool : str
        Name and version, as the report has it.
    """
    name, _, version = tool.partition(" ")
    subjects = [one.subject for one in decision.rulings]
    return {
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {"driver": {"name": name, "version": version, "rules": [{"id": one} for one in subjects]}},
                "results": [_result(number, one) for number, one in enumerate(decision.rulings)],
            }
        ],
    }


def _result(number: int, one: Ruling) -> dict[str, Any]:
    told = {
        "ruleId": one.subject,
        "ruleIndex": number,
        "kind": KINDS[one.outcome],
        "level": LEVELS[one.outcome],
        "message": {"text": f"{one.found}; {one.said}" if one.said else one.found},
        "locations": [{"physicalLocation": {"artifactLocation": {"uri": "report.json"}}}],
    }
    if one.waiver is not None:
        told["level"] = "error"
        told["suppressions"] = [{"kind": "external", "status": "accepted", "justification": _waived(one)}]
    return told
