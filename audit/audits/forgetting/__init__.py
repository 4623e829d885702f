"""Forgetting: what the adaptation overwrote, by probes of what the base could do."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from audit.audits import Keep, Question, binary, findings
from audit.finding import Finding
from audit.retention import Flips
from audit.stats import true_flips
from audit.view import NotMeasurable, View

__all__ = ["IN_DOMAIN", "Asked", "Forgotten", "Probe", "asked", "compared"]

IN_DOMAIN = "in domain"


@dataclass(frozen=True)
class Probe:
    """One thing that a base can do: what it is called where it cannot be measured, and how both sides are asked."""

    name: str
    ask: Callable[[View, View], list[Question]]


@dataclass(frozen=True)
class Forgotten:
    """What was found.

    Attributes
    ----------
    findings : list of Finding
        The declared ones (one family), then those of groups: areas of multiple choice, and the task's own texts
        (``in domain``), where a change is what adaptation is for.
    flips : list of Flips
        Of every declared finding whose items are right or wrong.
    limits : list of str
        What could not be measured, and why.
    broken : list of str
        Ids of the declared findings that there would be, if the adapted model answered as the base does.
    """

    findings: list[Finding]
    flips: list[Flips] = field(default_factory=list)
    limits: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Asked:
    """What both sides answered; ``limits`` and ``broken`` are those of `Forgotten`."""

    questions: list[Question] = field(default_factory=list)
    limits: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)


def asked(base: View, adapted: View, probes: Sequence[Probe]) -> Asked:
    """Ask both sides every probe, and tell a side that gives no answer from sides that cannot be compared."""
    found = Asked()
    for probe in probes:
        try:
            found.questions.extend(probe.ask(base, adapted))
        except NotMeasurable as reason:
            known = _answered(probe, base)
            if known is None or _answered(probe, adapted) is not None:
                found.limits.append(f"Forgetting in {probe.name} was not measured: {reason}.")
                continue
            found.limits.append(f"Forgetting in {probe.name}: the base answers, the adapted model does not: {reason}.")
            found.broken.extend(one.id for one in known if one.group is None)
    return found


def _answered(probe: Probe, side: View) -> list[Question] | None:
    """Hold a side against itself; None where it gives no answer."""
    try:
        return probe.ask(side, side)
    except NotMeasurable:
        return None


def compared(
    base: View,
    adapted: View,
    probes: Sequence[Probe],
    *,
    alpha: float = 0.05,
    floor: Mapping[str, float] | None = None,
    keep: Keep | None = None,
) -> Forgotten:
    """Ask base and adapted everything, and judge it together.

    Parameters
    ----------
    base, adapted : View
    probes : sequence of Probe
        See the modules of this package.
    alpha : float
        Error rate on each side of a decision.
    floor : mapping of str to float, optional
        By the id of a finding, the largest change that null copies of the base show.
    keep : callable, optional
        Takes what both sides scored on every item.

    Returns
    -------
    Forgotten
    """
    answers = asked(base, adapted, probes)
    declared = [one for one in answers.questions if one.group is None]
    areas = [one for one in answers.questions if one.group not in (None, IN_DOMAIN)]
    inside = [one for one in answers.questions if one.group == IN_DOMAIN]
    found = findings(declared, family="forgetting", alpha=alpha, floor=floor, keep=keep)
    for family, some in (("forgetting, by area", areas), ("forgetting, in domain", inside)):
        found += findings(some, family=family, alpha=alpha, exploratory=True, floor=floor)
    flips = [one for one in map(_flips, declared) if one is not None]
    return Forgotten(found, flips, answers.limits, answers.broken)


def _flips(question: Question) -> Flips | None:
    """Count lost and gained items; None where items are not right or wrong."""
    base, adapted = question.base, question.adapted
    if not np.isin(np.concatenate([base, adapted]), (0.0, 1.0)).all() or question.by is not binary:
        return None
    n, was, now = len(base), base == 0, adapted == 0
    lost, gained, neither = int((was & ~now).sum()), int((~was & now).sum()), int((~was & ~now).sum())
    options = {len(item.options) for item in question.items if item.options}
    known: dict[str, tuple[float, float]] = {}
    if len(options) == 1 and all(item.options for item in question.items) and min(options) > 1:
        k = options.pop()
        least = true_flips(lost / n, gained / n, neither / n, k)
        most = (min(1.0, one / n * k / (k - 1)) for one in (lost, gained))  # what is guessed alike flips nothing
        known = dict(zip(("known_lost", "known_gained"), zip(least, most, strict=True), strict=True))
    return Flips(
        finding=question.id, n=n, both=int((was & now).sum()), lost=lost, gained=gained, neither=neither, **known
    )
