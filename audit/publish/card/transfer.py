"""Whether the base helps, and what it saves, in plain words."""

from __future__ import annotations

import math
from collections.abc import Sequence

from audit.finding import Finding, Verdict
from audit.publish.card.text import plain
from audit.savings import CONTROLS, WORDS, Needed, Saving

__all__ = ["headlines", "needed_sentence", "saving_sentence", "transfer_sentence"]

HEAD = {"probe": "a probe", "fine_tuned": "the recipe's own adaptation"}


def transfer_sentence(finding: Finding) -> str:
    """Say what the verdict on a control says of the base: helps, no measurable benefit, hurts, unclear."""
    assert finding.change is not None
    by = f"{abs(finding.change.value):.3f}"
    needed = f"; about {finding.n_needed} test clusters would decide" if finding.n_needed else ""
    return {
        Verdict.BETTER: f"The base **{WORDS[Verdict.BETTER]}**: its error is {by} below the control's.",
        Verdict.SAME: f"**{WORDS[Verdict.SAME].capitalize()}**: both errors differ by less than {finding.margin:g}.",
        Verdict.WORSE: f"The base **{WORDS[Verdict.WORSE]}** (negative transfer): its error is {by} above the other's.",
        Verdict.UNCLEAR: f"Whether the base helps by {finding.margin:g} is **unclear**{needed}.",
    }[finding.verdict]


def headlines(savings: Sequence[Saving]) -> list[Saving]:
    """Choose one saving a control and head: that whose interval promises most, of equal ones that after more texts."""
    chosen: dict[tuple[str, str], Saving] = {}
    for one in savings:
        key = (one.how, one.control)
        if key not in chosen or _promise(one) >= _promise(chosen[key]):
            chosen[key] = one
    return list(chosen.values())


def _promise(one: Saving) -> tuple[float, int]:
    """The least that the interval allows; "at most" allows anything below."""
    return -math.inf if one.texts_low.only == "at most" else one.low, one.n


def saving_sentence(one: Saving) -> str:
    """Say what the base is worth in training texts; what was not measured is said to be extrapolated."""
    control, head = CONTROLS.get(one.control, plain(one.control)), HEAD[one.how]
    said = f"What {head} reaches on the base after {one.n} texts, it reaches on {control} after {one.texts}: {one}."
    if one.extrapolated is None or one.extrapolated.low is None:
        return said
    value, low, high = one.extrapolated.value, one.extrapolated.low, one.extrapolated.high
    return f"{said} Extrapolated beyond the curve, not measured: {value:.0f}x [{low:.0f}, {high:.0f}]."


def needed_sentence(one: Needed) -> str:
    """Say how many training texts an arm takes to a target error."""
    arm = "the base" if one.arm == "base" else CONTROLS.get(one.arm, plain(one.arm))
    ends = f"{one.texts_low} to {one.texts_high}"
    said = f"For an error of {one.target:g}, {HEAD[one.how]} on {arm} takes {one.texts} texts ({ends})."
    if one.extrapolated is None or one.extrapolated.low is None:
        return said
    value, low, high = one.extrapolated.value, one.extrapolated.low, one.extrapolated.high
    return f"{said} Extrapolated beyond the curve, not measured: {value:.0f} [{low:.0f}, {high:.0f}]."
