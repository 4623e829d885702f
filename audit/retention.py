"""What the adaptation overwrote, beside the findings: flips, drift of weights and features, the strength curve."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, computed_field, model_validator

from audit.finding import Estimate, Finding, Number, Verdict
from audit.stats import holm

__all__ = ["WORDS", "FeatureDrift", "Flips", "Strength", "WeightDrift", "allowed", "without", "words"]

WORDS: dict[Verdict, str] = {
    Verdict.BETTER: "retained",
    Verdict.SAME: "retained",
    Verdict.WORSE: "lost",
    Verdict.UNCLEAR: "unclear",
}
"""What the verdict of a finding of this audit says of the adaptation."""

DETECTABLE = "detectable but within the margin"

Where = Literal["general", "in domain"]
Share = Annotated[float, Field(ge=0, le=1)]
Between = tuple[Share, Share]


def words(findings: Sequence[Finding]) -> dict[str, str]:
    """Say the verdicts of forgetting in the words of this audit: retained, lost, unclear, and ``DETECTABLE``.

    Parameters
    ----------
    findings : sequence of Finding
        Of one model. Those of other audits are passed over.

    Returns
    -------
    dict of str to str
        By id. ``DETECTABLE`` is what is the same, but moved by more than null copies of the base do and with a p below
        alpha that is Holm's over the declared findings (one without a p counts as 1); nothing exploratory is called so.
    """
    mine = [one for one in findings if one.audit == "forgetting"]
    declared = [one for one in mine if one.group is None]
    adjusted = holm([1.0 if one.p is None else one.p for one in declared])
    said = {one.id: WORDS[one.verdict] for one in mine}
    for one, p in zip(declared, adjusted, strict=True):
        above = abs((one.change or one.adapted).value) > (one.floor or 0.0)
        if one.verdict == Verdict.SAME and above and p < one.alpha:
            said[one.id] = DETECTABLE
    return said


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Flips(_Frozen):
    """Items that only one side gets right, of a finding whose items are right or wrong.

    Attributes
    ----------
    finding : str
        Its id.
    n, both, lost, gained, neither : int
        Items right on both sides, on the base only, on the adapted model only, and on none.
    known_lost, known_gained : tuple of float, or None
        Shares of items that were known and no longer are, and the other way, with guesses taken out: between what holds
        if both sides guess independently (`audit.stats.true_flips`) and what holds if the adapted model repeats the
        base's guesses; for items with options only.

    Examples
    --------
    >>> flips = Flips(finding="forgetting/x", n=10, both=6, lost=2, gained=1, neither=1)
    >>> flips.negative_flip_rate, flips.compatibility
    (0.2, 0.75)
    """

    finding: str
    n: int
    both: int
    lost: int
    gained: int
    neither: int
    known_lost: Between | None = None
    known_gained: Between | None = None

    @model_validator(mode="before")
    @classmethod
    def _derived(cls, data: object) -> object:
        return without(data, "negative_flip_rate", "compatibility")

    @model_validator(mode="after")
    def _adds_up(self) -> Flips:
        if min(self.both, self.lost, self.gained, self.neither) < 0:
            raise ValueError(f"flips of {self.finding!r}: a count is below 0")
        if self.both + self.lost + self.gained + self.neither != self.n:
            raise ValueError(f"flips of {self.finding!r} do not add up to {self.n} items")
        if any(ends is not None and ends[0] > ends[1] for ends in (self.known_lost, self.known_gained)):
            raise ValueError(f"flips of {self.finding!r}: a share lies between its lower end and its upper one")
        return self

    @computed_field  # type: ignore[prop-decorator]
    @property
    def negative_flip_rate(self) -> float:
        """Share of all items that were right and are wrong now (Yan et al., CVPR 2021)."""
        return self.lost / self.n if self.n else 0.0

    @computed_field  # type: ignore[prop-decorator]
    @property
    def compatibility(self) -> float | None:
        """Share of what the base gets right that the adapted model gets right too (Bansal et al., AAAI 2019)."""
        known = self.both + self.lost
        return self.both / known if known else None


class WeightDrift(_Frozen):
    """How far the weights of one layer moved: relative to their own size, and how many numbers changed at all."""

    layer: str
    tensors: int
    identical: int
    relative: Annotated[Number, Field(ge=0)]
    changed: Share

    @property
    def frozen(self) -> bool:
        """Whether every number is the base's."""
        return self.identical == self.tensors

    @model_validator(mode="after")
    def _agrees(self) -> WeightDrift:
        if not 0 <= self.identical <= self.tensors:
            raise ValueError(f"{self.layer}: {self.identical} identical tensors of {self.tensors}")
        if self.frozen != (self.changed == 0):
            raise ValueError(f"{self.layer}: tensors that are all identical have no changed numbers, and the reverse")
        return self


class FeatureDrift(_Frozen):
    """How far the features of one layer moved on one set of items.

    Attributes
    ----------
    layer : int
        0 is what the embeddings give, then one a layer.
    where : {"general", "in domain"}
    cka : float or None
        Unbiased linear centred kernel alignment: 1 is the same up to rotation and scale; None where the adapted
        features have collapsed, so that there is nothing to align.
    cosine : float
        Mean cosine of the two vectors of an item: 1 is the same direction.
    relative : float
        Distance of the two matrices over the size of the base's.
    rotated : float
        The same after the rotation that brings them nearest (Procrustes).
    """

    layer: int
    where: Where
    cka: Number | None
    cosine: Number
    relative: Annotated[Number, Field(ge=0)]
    rotated: Annotated[Number, Field(ge=0)]


class Strength(_Frozen):
    """The adapted model at one strength between base (0) and adapted (1): what it gains, and what it forgets.

    ``broken`` are the ids of the probes that the base answers and the model of this strength does not.
    """

    alpha: Share
    task: Estimate
    gain: Estimate
    findings: list[Finding]
    broken: list[str] = []

    @model_validator(mode="before")
    @classmethod
    def _derived(cls, data: object) -> object:
        return without(data, "retained")

    @computed_field  # type: ignore[prop-decorator]
    @property
    def retained(self) -> bool:
        """Whether every declared probe carries the word, and none is broken."""
        declared = [one for one in self.findings if one.group is None]
        return not self.broken and bool(declared) and all(WORDS[one.verdict] == "retained" for one in declared)


def without(data: object, *names: str) -> object:
    """What is derived is not read from a file."""
    return {key: value for key, value in data.items() if key not in names} if isinstance(data, dict) else data


def allowed(curve: Sequence[Strength]) -> float | None:
    """Return the largest strength up to which everything is retained: it, and every smaller one that was asked.

    None where not even the smallest is.
    """
    last = None
    for one in sorted(curve, key=lambda one: one.alpha):
        if not one.retained:
            break
        last = one.alpha
    return last
