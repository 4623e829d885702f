"""A policy held against a report: what passes, what is waived, what stops it and what would do."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from fnmatch import fnmatchcase

from audit.finding import Finding, Verdict
from audit.gate.policy import Policy, Rule
from audit.report import Report
from audit.signoff import Ruling, SignOff

__all__ = ["decided"]

OTHERWISE = Rule(verdicts=(Verdict.SAME, Verdict.BETTER))
BROKEN = "the base answers it and the adapted model does not; mend the model"


def decided(report: Report, policy: Policy, sha256: str, today: date) -> SignOff:
    """Hold a policy against a report.

    Parameters
    ----------
    report : Report
    policy : Policy
    sha256 : str
        Of the policy's file.
    today : date
        A waiver holds on its last day, and not after.

    Notes
    -----
    What is unknown passes by no rule: an audit that was not measured, a licence that nobody names, an origin that was
    not attributed.
    """
    waivers = {one.finding: one for one in policy.waiver}
    used: set[str] = set()

    def ruled(subject: str, found: str, said: str, waivable: bool) -> Ruling:
        waiver = waivers.get(subject)
        if not said:
            return Ruling(subject=subject, found=found, outcome="pass")
        if waiver is None:
            return Ruling(subject=subject, found=found, outcome="fail", said=said)
        used.add(subject)
        if not waivable:
            return Ruling(subject=subject, found=found, outcome="fail", said=f"{said}; the policy lets nobody waive it")
        if waiver.until < today:
            return Ruling(
                subject=subject, found=found, outcome="fail", said=f"{said}; its waiver ended on {waiver.until}"
            )
        return Ruling(subject=subject, found=found, outcome="waived", said=said, waiver=waiver)

    rulings = [ruled(*one) for one in _asked(report, policy)]
    unused = [one for one in policy.waiver if one.finding not in used]
    return SignOff(policy=policy.name, sha256=sha256, decided=today, rulings=rulings, unused=unused)


def _asked(report: Report, policy: Policy) -> Iterator[tuple[str, str, str, bool]]:
    """Yield every subject of the policy: its name, what was found, what stops it, whether that may be waived."""
    declared = {one.audit for one in report.findings if one.group is None}
    for audit in policy.measured:
        there = audit in declared
        yield (
            f"measured/{audit}",
            "measured" if there else "not measured",
            "" if there else f"it must be measured: declare [audit.{audit}] in the recipe and run it again",
            True,
        )
    for name, licence in (("base", report.base.license), ("adapted", report.adapted.license)):
        if policy.licenses is not None and (name == "base" or licence is not None):
            allowed = licence in policy.licenses
            said = "" if allowed else f"allowed are {', '.join(policy.licenses)}; choose a base under one of these"
            yield f"licence/{name}", licence or "not known", said, True
    for check in report.diligence:
        stops = check.outcome in policy.diligence
        yield f"diligence/{check.name}", check.outcome, check.said if stops else "", True
    for finding in report.findings:
        rule = _rule(finding, policy)
        if rule is not None:
            found = str(finding.verdict) + (f", {finding.origin}" if finding.origin else "")
            yield finding.id, found, _stopped(finding, rule), rule.waivable
    for broken in report.broken:
        yield broken, "broken", BROKEN, True


def _rule(finding: Finding, policy: Policy) -> Rule | None:
    """Find the last rule that names a finding; a slice is named by rules about slices only."""
    sliced = finding.group is not None
    named = [one for one in policy.rule if one.slices == sliced and fnmatchcase(finding.id, one.finding)]
    return named[-1] if named else None if sliced else OTHERWISE


def _stopped(finding: Finding, rule: Rule) -> str:
    """Say why a finding does not pass, and what would do; nothing where it does."""
    origins = rule.origins if finding.audit == "bias" else None
    if finding.verdict in rule.verdicts and (origins is None or finding.origin in origins):
        return ""
    allowed = f"pass: {', '.join(rule.verdicts)}" + (f"; of origin {', '.join(origins)}" if origins else "")
    if finding.verdict in rule.verdicts and finding.origin is None:
        return f"{allowed}; its origin was not attributed: set [audit.bias] origin = true and run it again"
    if finding.verdict == Verdict.UNCLEAR and finding.verdict not in rule.verdicts:
        needed = finding.n_needed
        more = f"about {needed} clusters in place of {finding.n_clusters}" if needed else "more items"
        return f"{allowed}; {more} would decide"
    return f"{allowed}; adapt it otherwise: another method, [adapt.protect], other data or another base"
