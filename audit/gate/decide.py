"""A policy held against a report: what passes, what is waived, what stops it and what would do."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from fnmatch import fnmatchcase

from audit.finding import Finding, Verdict
from audit.gate.policy import Policy, Rule
from audit.report import Report
from audit.signoff import Ruling, SignOff

__all__ = ["decided"]

OTHERWISE = Rule(verdicts=(Verdict.SAME, Verdict.BETTER))
LONGEST = timedelta(days=366)
CONSTANTS = ("majority_class", "constant")
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
    What a policy asks for and nobody knows does not pass: an audit that was not measured, a licence that nobody names
    where licences are listed, an origin that was not attributed where origins are, a base that was not looked up.
    """
    waivers = {one.finding: one for one in policy.waiver}
    used: set[str] = set()

    def ruled(subject: str, found: str, said: str, waivable: bool) -> Ruling:
        waiver = waivers.get(subject)
        if not said:
            return Ruling(subject=subject, found=found, outcome="pass")
        if waiver is None or waiver.found != found:
            said += f"; its waiver is of {waiver.found!r}" if waiver else ""
            return Ruling(subject=subject, found=found, outcome="fail", said=said)
        used.add(subject)
        if not waivable:
            return Ruling(subject=subject, found=found, outcome="fail", said=f"{said}; the policy lets nobody waive it")
        if waiver.until < today:
            said += f"; its waiver ended on {waiver.until}"
            return Ruling(subject=subject, found=found, outcome="fail", said=said)
        if waiver.until > today + LONGEST:
            said += f"; its waiver runs until {waiver.until}: a year at most, then somebody looks again"
            return Ruling(subject=subject, found=found, outcome="fail", said=said)
        return Ruling(subject=subject, found=found, outcome="waived", said=said, waiver=waiver)

    rulings = [ruled(*one) for one in _asked(report, policy)]
    unused = [one for one in policy.waiver if one.finding not in used]
    idle = [one.finding for one in policy.rule if not any(_names(one, finding) for finding in report.findings)]
    return SignOff(policy=policy.name, sha256=sha256, decided=today, rulings=rulings, unused=unused, idle=idle)


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
    if policy.task == "learnt":
        found, said = _learnt(report)
        yield "task", found, said, True
    named = {"base": report.base.license, "adapted": report.adapted.license or report.base.license}
    for name, licence in named.items() if policy.licenses is not None else ():
        allowed = ", ".join(policy.licenses or ())
        said = "" if licence in (policy.licenses or ()) else f"allowed are {allowed}; choose a base under one of these"
        yield f"licence/{name}", licence or "not known", said, True
    if policy.diligence:
        said = "" if report.diligence else "nothing was looked up about the base; run the recipe again"
        yield "diligence/looked up", "yes" if report.diligence else "no", said, True
    for check in report.diligence:
        stops = check.outcome in policy.diligence
        yield f"diligence/{check.name}", check.outcome, check.said if stops else "", True
    for finding in report.findings:
        rule = _rule(finding, policy)
        if rule is not None:
            found = str(finding.verdict) + (f", {finding.origin}" if finding.origin else "")
            yield finding.id, found, _stopped(finding, rule), rule.waivable
    for broken in report.broken:
        rules = [one for one in policy.rule if not one.slices and fnmatchcase(broken, one.finding)]
        yield broken, "broken", BROKEN, rules[-1].waivable if rules else True


def _learnt(report: Report) -> tuple[str, str]:
    """Say whether the adapted model surely does better than every constant answer, and what stops it."""
    task = report.task
    if task is None:
        return "not measured", 'it must be measured, or the policy say task = "any"'
    low, high = task.adapted.bounds()
    constants = [arm.task for arm in report.arms if arm.name in CONSTANTS and arm.task is not None]
    learnt = all(low > one if task.better == "higher" else high < one for one in constants)
    said = "its 95 % interval reaches what a constant answer does; more training, other settings or more test items"
    return ("learnt", "") if learnt else ("not surely learnt", said)


def _names(rule: Rule, finding: Finding) -> bool:
    """Tell whether a rule names a finding; slices are named by rules about slices only."""
    return rule.slices == (finding.group is not None) and fnmatchcase(finding.id, rule.finding)


def _rule(finding: Finding, policy: Policy) -> Rule | None:
    """Find the last rule that names a finding."""
    named = [one for one in policy.rule if _names(one, finding)]
    return named[-1] if named else None if finding.group is not None else OTHERWISE


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
