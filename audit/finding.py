"""What an audit states: one quantity on base and adapted, its change, and the verdict that follows from them."""

from __future__ import annotations

import math
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, computed_field, model_validator

__all__ = ["MIN_CLUSTERS", "MIN_CLUSTERS_FOR_SAME", "Decision", "Estimate", "Finding", "Origin", "Verdict"]

MIN_CLUSTERS = 5  # below this nothing is decided
MIN_CLUSTERS_FOR_SAME = 30  # below this a mean cannot carry "same" (a score interval can)


class Verdict(StrEnum):
    """What interval and margin allow to be said about a change."""

    WORSE = "worse"
    SAME = "same"
    BETTER = "better"
    UNCLEAR = "unclear"


class Origin(StrEnum):
    """Where a disparity of the adapted model came from."""

    INHERITED = "inherited"
    INTRODUCED = "introduced"
    AMPLIFIED = "amplified"
    MITIGATED = "mitigated"
    NONE = "none"
    UNCLEAR = "unclear"


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise ValueError(f"{value} is not a finite number")
    return value


Number = Annotated[float, AfterValidator(_finite)]
Bounds = tuple[Number | None, Number | None]


def _checked_bounds(low: float | None, high: float | None) -> None:
    if (low is None) != (high is None):
        raise ValueError("an interval has both ends or neither")
    if low is not None and high is not None and not low < high:
        raise ValueError(f"an interval needs low < high, got [{low}, {high}]; no variation is written as null, null")


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Estimate(_Frozen):
    """A value with its 95 % interval; both ends are null where there was no variation to estimate one from.

    Examples
    --------
    >>> Estimate(value=0.1, low=0.05, high=0.15)
    Estimate(value=0.1, low=0.05, high=0.15)
    """

    value: Number
    low: Number | None = None
    high: Number | None = None

    @model_validator(mode="after")
    def _ordered(self) -> Estimate:
        _checked_bounds(self.low, self.high)
        return self

    def bounds(self) -> tuple[float, float]:
        """Return the interval, or the value twice where there was no variation."""
        if self.low is None or self.high is None:
            return self.value, self.value
        return self.low, self.high

    def negated(self) -> Estimate:
        """Return the estimate of the negated quantity."""
        if self.low is None or self.high is None:
            return Estimate(value=-self.value)
        return Estimate(value=-self.value, low=-self.high, high=-self.low)


class Decision(_Frozen):
    """The two intervals that decide, both at 1 - 2·alpha (90 % at alpha = .05).

    ``same`` is unadjusted (equivalence needs no adjustment when every part must hold); ``beyond`` is simultaneous over
    the finding's family, and only it can carry ``worse`` or ``better``.
    """

    same: Bounds = (None, None)
    beyond: Bounds = (None, None)

    @model_validator(mode="after")
    def _ordered(self) -> Decision:
        _checked_bounds(*self.same)
        _checked_bounds(*self.beyond)
        return self


Method = Literal[
    "student-t over cluster means",
    "student-t over cluster means, corrected for skewness",
    "student-t over cluster shares, plus four",
    "tango score",
    "mover of student-t",
    "mover of tango scores",
    "student-t over linearised clusters",
    "student-t over seeds and clusters",
    "cluster bootstrap",
]
SCORES = ("tango score", "mover of tango scores")  # valid with few clusters; never of zero width


class Finding(_Frozen):
    """One quantity on base and adapted and its change, with everything its verdict rests on.

    A quantity is a harm: larger is worse (``ideal`` is null), or signed with ``ideal`` 0, where moving away from 0 is
    the harm. ``base`` and ``change`` are null where a quantity exists for the pair only (the domain gap): then the
    verdict compares ``adapted`` with the margin.

    Attributes
    ----------
    id : str
        ``audit/name[/group]``, unique in a report.
    margin : float
        The smallest change worth acting on, in the unit of the quantity, declared before the models were asked.
    alpha : float
        Error rate on each side of a decision; its intervals have coverage 1 - 2·alpha.
    family, adjustment : str
        The findings that ``decision.beyond`` is simultaneous with, and how.
    floor : float or None
        The largest change that null copies of the base show; a change inside it is never ``worse`` or ``better``, and
        where it exceeds the margin nothing is ``same``.
    p : float or None
        Two-sided detection; reported, never decides.
    n_needed : int or None
        For ``unclear``: the clusters at which this would be decided with power 80 % (see `audit.stats`).
    items : str
        Fingerprint of the items asked.
    """

    id: str
    audit: Literal["bias", "gap", "forgetting", "transfer"]
    name: str
    group: str | None = None
    question: str
    unit: str
    ideal: Literal[0] | None = None
    base: Estimate | None
    adapted: Estimate
    change: Estimate | None
    margin: Annotated[float, AfterValidator(_finite)]
    alpha: float = 0.05
    family: str
    adjustment: str
    method: Method
    decision: Decision
    floor: Number | None = None
    p: Number | None = None
    n_items: int
    n_clusters: int
    n_needed: int | None = None
    origin: Origin | None = None
    items: str
    note: str = ""

    @model_validator(mode="wrap")
    @classmethod
    def _verdict_agrees(cls, data: Any, handler: Any) -> Finding:
        claimed = None
        if isinstance(data, dict) and "verdict" in data:
            claimed = data["verdict"]
            data = {key: value for key, value in data.items() if key != "verdict"}
        finding: Finding = handler(data)
        finding._refuse_contradictions()
        if claimed is not None and claimed != finding.verdict:
            raise ValueError(
                f"finding {finding.id!r} says {str(claimed)!r}, but its numbers say {str(finding.verdict)!r}"
            )
        return finding

    def _refuse_contradictions(self) -> None:
        if not self.margin > 0:
            raise ValueError(f"finding {self.id!r}: a margin is above 0, got {self.margin}")
        if not 0 < self.alpha < 0.5:
            raise ValueError(f"finding {self.id!r}: alpha lies between 0 and .5, got {self.alpha}")
        if not 0 <= self.n_clusters <= self.n_items:
            raise ValueError(f"finding {self.id!r}: {self.n_clusters} clusters of {self.n_items} items")
        if self.p is not None and not 0 < self.p <= 1:
            raise ValueError(f"finding {self.id!r}: a p-value lies in (0, 1], got {self.p}")
        if (self.base is None) != (self.change is None):
            raise ValueError(f"finding {self.id!r}: base and change are both given or both null")
        if self.base is not None and self.change is not None:
            expected = self.adapted.value - self.base.value
            if abs(self.change.value - expected) > 1e-9 * max(1.0, abs(self.base.value), abs(self.adapted.value)):
                raise ValueError(f"finding {self.id!r}: change {self.change.value} is not adapted - base = {expected}")
        moved = self.change or self.adapted
        (low, high), (same_low, same_high) = (moved.low, moved.high), self.decision.same
        if (low is None) != (same_low is None):
            raise ValueError(f"finding {self.id!r}: the change and its decision both have an interval or neither")
        if low is not None and high is not None and same_low is not None and same_high is not None:
            slack = 1e-9 * max(1.0, abs(low), abs(high))
            if self.alpha >= 0.025 and (same_low < low - slack or same_high > high + slack):
                raise ValueError(f"finding {self.id!r}: the interval that decides is wider than the 95 % interval")
            beyond_low, beyond_high = self.decision.beyond
            if beyond_low is None or beyond_high is None:
                raise ValueError(f"finding {self.id!r}: both intervals that decide are given or neither")
            if beyond_low > same_low + slack or beyond_high < same_high - slack:
                raise ValueError(f"finding {self.id!r}: an adjusted interval is not narrower than the unadjusted one")
        if self.method != "cluster bootstrap":  # percentiles need not hold the estimate, all other intervals do
            for estimate in (self.base, self.adapted, self.change):
                if estimate is not None and not _holds((estimate.low, estimate.high), estimate.value):
                    raise ValueError(f"finding {self.id!r}: an interval does not hold its own value {estimate.value}")
            if not _holds(self.decision.same, moved.value):
                raise ValueError(f"finding {self.id!r}: the interval that decides does not hold {moved.value}")

    @computed_field  # type: ignore[prop-decorator]
    @property
    def verdict(self) -> Verdict:
        """What the numbers above allow to be said; derived, so it cannot disagree with them."""
        decided = self._judged()
        moved = self.change or self.adapted
        if self.floor is not None:
            if decided in (Verdict.WORSE, Verdict.BETTER) and abs(moved.value) <= self.floor:
                return Verdict.UNCLEAR
            if decided == Verdict.SAME and self.floor > self.margin:  # null copies differ by more than what matters
                return Verdict.UNCLEAR
        return decided

    @property
    def floored(self) -> bool:
        """Whether the floor alone keeps it from being decided."""
        return self.verdict != self._judged()

    def _judged(self) -> Verdict:
        if self.n_clusters < MIN_CLUSTERS:
            return Verdict.UNCLEAR
        moved = self.change or self.adapted
        same, beyond = self.decision.same, self.decision.beyond
        if None in same or None in beyond:  # no variation: the value itself, if enough clusters agree on it
            if moved.low is not None or self.n_clusters < MIN_CLUSTERS_FOR_SAME:
                return Verdict.UNCLEAR
            same = beyond = (moved.value, moved.value)
        if _inside(same, self.margin):
            enough = self.method in SCORES or self.n_clusters >= MIN_CLUSTERS_FOR_SAME
            return Verdict.SAME if enough else Verdict.UNCLEAR
        direction = _side(beyond, self.margin)
        if direction == 0:
            return Verdict.UNCLEAR
        if self.ideal is None or self.base is None:
            return Verdict.WORSE if direction > 0 else Verdict.BETTER
        return self._judged_two_sided(direction)

    def _judged_two_sided(self, direction: int) -> Verdict:
        """Judge a change of a signed quantity: away from 0 is worse, and so is a reversal beyond the margin."""
        assert self.base is not None
        lean = _side(self.base.bounds(), 0.0)
        if lean == 0 or direction == lean:
            return Verdict.WORSE
        low, high = self.adapted.bounds()
        towards = (low, high) if lean > 0 else (-high, -low)
        if towards[1] < -self.margin:
            return Verdict.WORSE
        return Verdict.BETTER if towards[0] >= -self.margin else Verdict.UNCLEAR  # a reversal that matters is excluded


def _holds(bounds: Bounds, value: float) -> bool:
    low, high = bounds
    slack = 1e-9 * max(1.0, abs(value))
    return low is None or high is None or low - slack <= value <= high + slack


def _inside(bounds: Bounds, margin: float) -> bool:
    low, high = bounds
    return low is not None and high is not None and -margin < low and high < margin


def _side(bounds: Bounds, margin: float) -> int:
    """Return 1 or -1 where the whole interval lies beyond the margin on that side, else 0."""
    low, high = bounds
    if low is None or high is None:
        return 0
    return int(low > margin) - int(high < -margin)
