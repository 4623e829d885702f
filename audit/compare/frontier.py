"""Several adaptations of one base beside each other: what each gains and retains, and which is dominated."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, computed_field, model_validator

from audit.finding import MIN_CLUSTERS, MIN_CLUSTERS_FOR_SAME, SCORES, Bounds, Estimate, Number, Verdict
from audit.retention import without
from audit.stages import write_atomically

__all__ = ["TASK", "Difference", "Entrant", "Frontier", "LeftOut", "Matched", "Place", "Retained"]

TASK = "task"
"""The axis that is no probe of forgetting."""

Positive = Annotated[Number, Field(gt=0)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Retained(_Frozen):
    """What one probe says of one model: the change of its harm from the base, and the verdict of its finding.

    ``word`` is that verdict in the words of `audit.retention`.
    """

    finding: str
    change: Estimate
    margin: Positive
    verdict: Verdict
    word: str


class Place(_Frozen):
    """Where a model lies: a point of the figure.

    ``alpha`` is its strength between base (0) and adapted (1); ``broken`` are probes that the base answers and the
    model does not.
    """

    alpha: Annotated[Number, Field(ge=0, le=1)]
    task: Estimate
    gain: Estimate | None
    retained: list[Retained]
    broken: list[str] = []


class Entrant(_Frozen):
    """One run: its name, how it adapted the base, where its model lies, and its models of other strengths.

    ``missing`` are probes of other runs that it has nothing of.
    """

    name: str
    method: str
    recipe: str
    final: Place
    curve: list[Place] = []
    missing: list[str] = []


class Matched(_Frozen):
    """A run at the mildest strength whose task score reaches the score that all runs reach."""

    run: str
    place: Place


class LeftOut(_Frozen):
    """A probe that is no axis, and why."""

    finding: str
    reason: str


class Difference(_Frozen):
    """One axis, one run against another; above 0 the first is better.

    Attributes
    ----------
    value : Estimate
        By how much the task score of ``first`` lies above that of ``second``, or its harm below.
    same : bounds
        Holds for all pairs of runs at once, with 1 - 2·alpha; inside the margin is ``same``.
    beyond : bounds
        Holds for all pairs and axes at once; above 0 is ``better``, below ``worse``, unless it is ``same``.
    method : str
        Of `audit.finding` where the items are paired; else "mover of two intervals", which treats both as independent.
    floor : float or None
        What null copies of the base show: a difference inside it says nothing.
    """

    first: str
    second: str
    axis: str
    value: Estimate
    same: Bounds
    beyond: Bounds
    margin: Positive
    paired: bool
    method: str
    n_clusters: int
    floor: Number | None = None

    @model_validator(mode="before")
    @classmethod
    def _derived(cls, data: object) -> object:
        return without(data, "outcome")

    @computed_field  # type: ignore[prop-decorator]
    @property
    def outcome(self) -> Verdict:
        """What the intervals say of the first: ``same`` inside the margin, else ``better`` or ``worse`` beyond 0."""
        few = self.n_clusters < MIN_CLUSTERS_FOR_SAME
        (low, high), (lowest, highest) = self.same, self.beyond
        if low is None or high is None or lowest is None or highest is None:  # no variation: the value itself
            if few:
                return Verdict.UNCLEAR
            low = high = lowest = highest = self.value.value
        if self.n_clusters < MIN_CLUSTERS:
            return Verdict.UNCLEAR
        floor = self.floor or 0.0
        if -self.margin < low and high < self.margin:
            return Verdict.UNCLEAR if floor > self.margin or (few and self.method not in SCORES) else Verdict.SAME
        if abs(self.value.value) <= floor or lowest <= 0 <= highest:
            return Verdict.UNCLEAR
        return Verdict.BETTER if lowest > 0 else Verdict.WORSE


class Frontier(_Frozen):
    """What `audit.compare.compare` found; ``runs`` hold the figure's points and curves.

    One run dominates another where it is better on an axis and better or the same on all; where anything is unclear,
    it does not, and neither where it lacks a probe that the other answers. ``frontier`` are the runs that no other
    dominates (runs that dominate each other in a circle, which margins allow, count as one).
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    schema_version: Literal[1] = Field(1, alias="schema")
    base: str
    task: str
    metric: str
    better: Literal["higher", "lower"]
    axes: list[str]
    adjustment: str
    runs: list[Entrant]
    differences: list[Difference]
    target: Number | None = None
    matched: list[Matched] = []
    left_out: list[LeftOut] = []
    limits: list[str] = []

    @model_validator(mode="before")
    @classmethod
    def _derived(cls, data: object) -> object:
        return without(data, "dominated", "frontier")

    @computed_field  # type: ignore[prop-decorator]
    @property
    def dominated(self) -> dict[str, list[str]]:
        """By the name of a run, those that dominate it."""
        names = [one.name for one in self.runs]
        return {name: [other for other in names if self._dominates(other, name)] for name in names}

    @computed_field  # type: ignore[prop-decorator]
    @property
    def frontier(self) -> list[str]:
        """Names of the runs that no other dominates."""
        above = {name: set(over) for name, over in self.dominated.items()}
        for _ in above:  # what dominates what dominates
            above = {name: over.union(*(above[other] for other in over)) for name, over in above.items()}
        return [name for name, over in above.items() if all(name in above[other] for other in over)]

    def outcome(self, first: str, second: str, axis: str) -> Verdict:
        """Say what ``first`` is against ``second`` on an axis."""
        turned = {Verdict.BETTER: Verdict.WORSE, Verdict.WORSE: Verdict.BETTER}
        for one in self.differences:
            if (one.first, one.second, one.axis) == (first, second, axis):
                return one.outcome
            if (one.first, one.second, one.axis) == (second, first, axis):
                return turned.get(one.outcome, one.outcome)
        raise KeyError((first, second, axis))

    def _dominates(self, first: str, second: str) -> bool:
        if first == second or self._lacks(first, second):
            return False
        outcomes = {self.outcome(first, second, axis) for axis in self.axes}
        return Verdict.BETTER in outcomes and outcomes <= {Verdict.BETTER, Verdict.SAME}

    def _lacks(self, first: str, second: str) -> bool:
        """Whether ``second`` may be better than ``first`` on a probe that is no axis.

        What is broken is as bad as can be, what is missing may be anything.
        """
        runs = {one.name: one for one in self.runs}
        ours, theirs = runs[first], runs[second]
        broken = set(theirs.final.broken)
        return not (set(ours.final.broken) <= broken and set(ours.missing) <= broken.union(theirs.missing))

    def save(self, path: Path) -> None:
        """Write it; the file appears whole or not at all."""
        write_atomically(path, self.model_dump_json(by_alias=True, indent=1).encode() + b"\n")
