"""What was decided about a report before deployment: one row a question of the policy, and who waived what."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, StringConstraints, model_validator

__all__ = ["Ruling", "SignOff", "Waiver"]

Said = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Waiver(_Frozen):
    """Somebody's written word that one thing may pass although the policy says otherwise, until a day.

    ``finding`` is the id of a finding, or what a `Ruling` calls its subject; ``found`` is what was found of it when it
    was waived, and nothing else is; ``until`` is the last day it holds.
    """

    finding: Said
    found: Said
    reason: Said
    by: Said
    until: date


class Ruling(_Frozen):
    """What the policy says of one subject.

    Attributes
    ----------
    subject : str
        Id of a finding, ``measured/AUDIT``, ``task``, ``licence/…`` or ``diligence/…``.
    found : str
        Its verdict (and origin), or what is known of it.
    outcome : {"pass", "waived", "fail"}
    said : str
        Why it does not pass by itself, and what would do; empty where it passes.
    waiver : Waiver or None
        Given if, and only if, it is waived.
    """

    subject: str
    found: str
    outcome: Literal["pass", "waived", "fail"]
    said: str = ""
    waiver: Waiver | None = None

    @model_validator(mode="after")
    def _whole(self) -> Ruling:
        if (self.outcome == "waived") != (self.waiver is not None):
            raise ValueError(f"{self.subject!r} is waived by a waiver, or not at all")
        if (self.outcome == "pass") != (not self.said):
            raise ValueError(f"{self.subject!r}: what does not pass says why, and nothing else does")
        if self.waiver is not None and (self.waiver.finding, self.waiver.found) != (self.subject, self.found):
            raise ValueError(f"{self.subject!r} is {self.found}, and its waiver is of something else")
        return self


class SignOff(_Frozen):
    """A policy's decision about a report; it passes where every subject passes or is waived.

    ``unused`` are waivers of what needed none, or is not there; ``idle`` are patterns of rules that name no finding.
    """

    policy: str
    sha256: str
    decided: date
    rulings: list[Ruling]
    unused: list[Waiver] = []
    idle: list[str] = []

    @model_validator(mode="after")
    def _in_time(self) -> SignOff:
        late = next((one for one in self.rulings if one.waiver and one.waiver.until < self.decided), None)
        if late is not None:
            raise ValueError(f"the waiver of {late.subject!r} had ended when it was used")
        return self

    @property
    def passed(self) -> bool:
        """Whether nothing failed; a policy that asked nothing passes nothing."""
        return bool(self.rulings) and all(one.outcome != "fail" for one in self.rulings)

    @property
    def said(self) -> str:
        """One sentence.

        Examples
        --------
        >>> rows = [Ruling(subject="bias/x", found="same", outcome="pass")]
        >>> SignOff(policy="default", sha256="", decided=date(2026, 1, 1), rulings=rows).said
        'The policy default lets it pass: 1 of 1 subjects pass.'
        """
        failed, waived = ([one for one in self.rulings if one.outcome == what] for what in ("fail", "waived"))
        count = len(self.rulings)
        passing = f"{count - len(failed) - len(waived)} of {count} subjects pass"
        passing += f", {len(waived)} by a waiver" if waived else ""
        if self.passed:
            return f"The policy {self.policy} lets it pass: {passing}."
        if not count:
            return f"The policy {self.policy} asks nothing of this report, so nothing passes."
        return f"The policy {self.policy} stops it: {passing}; {len(failed)} do not."
