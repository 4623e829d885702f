"""A measure on a scale of its own: what says nothing is its zero, what could not be further its ceiling."""

from __future__ import annotations

import math

from pydantic import BaseModel, ConfigDict, computed_field, model_validator

from audit.finding import Estimate, Number

__all__ = ["Scale"]


class Scale(BaseModel):
    """One measure with the two ends that give it a meaning.

    Attributes
    ----------
    name, question, unit : str
        As of the finding it stands behind (``gap/NAME``), where there is one.
    null : float
        What two samples of one domain show (for a fit to labels: what shuffled labels show).
    measured : Estimate
    ceiling : float
        What unrelated text shows (for a fit to labels: the best there can be).
    root : bool
        The measure grows with the square of what it stands for (a squared distance): the position is a root.
    note : str

    Examples
    --------
    >>> scale = Scale(name="x", question="how far", unit="m", null=1, measured=Estimate(value=2), ceiling=5)
    >>> scale.position
    0.25
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    question: str
    unit: str
    null: Number
    measured: Estimate
    ceiling: Number
    root: bool = False
    note: str = ""

    @model_validator(mode="before")
    @classmethod
    def _derived(cls, data: object) -> object:
        """The position is derived: what a file says of it is not read."""
        return {key: value for key, value in data.items() if key != "position"} if isinstance(data, dict) else data

    @model_validator(mode="after")
    def _has_ends(self) -> Scale:
        if not self.null < self.ceiling:
            raise ValueError(f"scale {self.name!r}: its zero {self.null} does not lie below its ceiling {self.ceiling}")
        return self

    @computed_field  # type: ignore[prop-decorator]
    @property
    def position(self) -> float:
        """Where the measure lies between its ends: 0 at the null, 1 at the ceiling."""
        share = (self.measured.value - self.null) / (self.ceiling - self.null)
        return math.copysign(math.sqrt(abs(share)), share) if self.root else share
