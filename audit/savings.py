"""What transfer saves in training data: learning curves, multipliers, the price of a target."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict, computed_field, model_validator

from audit.finding import Estimate, Number, Verdict

__all__ = ["CONTROLS", "WORDS", "Curve", "How", "Needed", "Point", "Saving", "Texts"]

How = Literal["probe", "fine_tuned"]
Only = Literal["at least", "at most"]

CONTROLS = {
    "random_init": "random initial weights",
    "shuffled_weights": "the base's own weights, shuffled within every tensor",
}
"""What the base is held against."""

WORDS: dict[Verdict, str] = {
    Verdict.BETTER: "helps",
    Verdict.SAME: "no measurable benefit",
    Verdict.WORSE: "hurts",
    Verdict.UNCLEAR: "unclear",
}
"""What the verdict of a finding of this audit says of the base."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Point(_Frozen):
    """The error after training on ``n`` texts, over seeds and test clusters."""

    n: int
    error: Estimate


class Curve(_Frozen):
    """The learning curve of one arm (``base`` or a control) with one kind of head."""

    arm: str
    how: How
    points: list[Point]

    @model_validator(mode="after")
    def _grows(self) -> Curve:
        sizes = [point.n for point in self.points]
        if len(sizes) < 2 or sizes != sorted(set(sizes)):
            raise ValueError(f"curve of {self.arm!r}: a curve needs two sizes that grow, got {sizes}")
        return self


class Texts(_Frozen):
    """A number of training texts, as a curve shows it: measured, or all that its end allows to be said of it."""

    n: Number
    only: Only | None = None

    def __str__(self) -> str:
        return f"{self.only} {self.n:.0f}" if self.only else f"{self.n:.0f}"


class _Read(_Frozen):
    """A number of texts that was read off a curve, with its 95 % interval and the ends of that curve."""

    how: How
    smallest: int
    largest: int
    texts: Texts
    texts_low: Texts
    texts_high: Texts

    def _refuse_what_was_not_measured(self, where: str) -> None:
        for one in (self.texts, self.texts_low, self.texts_high):
            end = {"at least": self.largest, "at most": self.smallest, None: one.n}[one.only]
            if one.n != end or not self.smallest <= one.n <= self.largest:
                raise ValueError(
                    f"{where}: {one} texts were not measured, the curve goes from {self.smallest} to {self.largest}"
                )
        if not _place(self.texts_low) <= _place(self.texts_high):
            raise ValueError(f"{where}: an interval from {self.texts_low} to {self.texts_high} texts")


def _place(texts: Texts) -> tuple[int, float]:
    """Order what was read: below the curve, on it, beyond it."""
    return {"at most": -1, None: 0, "at least": 1}[texts.only], texts.n


class Saving(_Read):
    """The data multiplier: how many texts a control needs for the error that the base reaches with one.

    Attributes
    ----------
    control : str
        The arm that is held against the base.
    how : {"probe", "fine_tuned"}
    n : int
        Training texts of the base.
    smallest, largest : int
        The ends of the control's curve: nothing is measured beyond them.
    texts, texts_low, texts_high : Texts
        The control's texts at the base's error, and the ends of their 95 % interval: each a number, or a bound where
        the control does not reach that error ("at least") or starts below it ("at most").
    extrapolated : Estimate or None
        The multiplier that a power law fitted to the control's curve gives beyond its end: no measurement.

    Examples
    --------
    >>> one = Saving(control="random_init", how="probe", n=48, smallest=16, largest=1400, texts=Texts(n=270),
    ...              texts_low=Texts(n=180), texts_high=Texts(n=1400, only="at least"))
    >>> one.value, one.low, one.transferred, str(one)
    (5.625, 3.75, 222.0, '5.6x (3.8 to more than 29.2)')
    """

    control: str
    n: int
    extrapolated: Estimate | None = None

    @model_validator(mode="wrap")
    @classmethod
    def _agrees(cls, data: object, handler: object) -> Saving:
        derived = ("value", "low", "high", "censored", "transferred")
        claims = {}
        if isinstance(data, Mapping):
            claims = {name: data[name] for name in derived if name in data}
            data = {name: value for name, value in data.items() if name not in derived}
        assert callable(handler)
        made: Saving = handler(data)
        made._refuse_contradictions()
        for name, claimed in claims.items():
            if claimed != getattr(made, name):
                raise ValueError(
                    f"{made._where} says {name} = {claimed!r}, but its numbers say {getattr(made, name)!r}"
                )
        return made

    @property
    def _where(self) -> str:
        return f"saving over {self.control!r} at {self.n} texts"

    def _refuse_contradictions(self) -> None:
        self._refuse_what_was_not_measured(self._where)
        if self.n < 1:
            raise ValueError(f"{self._where}: nothing was trained on")
        if self.extrapolated is not None:
            if self.censored != "above":
                raise ValueError(f"{self._where}: extrapolated, though it was measured")
            if self.extrapolated.low is None or self.extrapolated.value < self.value:
                raise ValueError(f"{self._where}: extrapolated without an interval, or to less than what was measured")

    @computed_field  # type: ignore[prop-decorator]
    @property
    def value(self) -> float:
        """The multiplier, or its bound where it is censored."""
        return self.texts.n / self.n

    @computed_field  # type: ignore[prop-decorator]
    @property
    def low(self) -> float:
        """Lower end of its 95 % interval (see ``texts_low`` for whether that is a bound only)."""
        return self.texts_low.n / self.n

    @computed_field  # type: ignore[prop-decorator]
    @property
    def high(self) -> float:
        """Upper end of its 95 % interval (see ``texts_high`` for whether that is a bound only)."""
        return self.texts_high.n / self.n

    @computed_field  # type: ignore[prop-decorator]
    @property
    def censored(self) -> Literal["above", "below"] | None:
        """Above: the control never reaches the base's error; below: its smallest size is past it."""
        sides: dict[Only | None, Literal["above", "below"] | None] = {"at least": "above", "at most": "below"}
        return sides.get(self.texts.only)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def transferred(self) -> float:
        """Effective data transferred (Hernandez et al. 2021): texts that the base is worth, a bound if censored."""
        return self.texts.n - self.n

    def __str__(self) -> str:
        ends = [
            f"{word[one.only]}{number:.1f}"
            for one, number, word in (
                (self.texts_low, self.low, {None: "", "at least": "more than ", "at most": "less than "}),
                (self.texts_high, self.high, {None: "", "at least": "more than ", "at most": "less than "}),
            )
        ]
        sign = {None: "", "at least": "> ", "at most": "< "}[self.texts.only]
        inside = ends[0] if ends[0] == ends[1] else f"{ends[0]} to {ends[1]}"
        return f"{sign}{self.value:.1f}x ({inside})"


class Needed(_Read):
    """Training texts with which an arm reaches a target error.

    Attributes
    ----------
    arm : str
    target : float
        The error rate that is wanted.
    extrapolated : Estimate or None
        The number that a power law fitted to the curve gives beyond its end: no measurement.
    """

    arm: str
    target: Number
    extrapolated: Estimate | None = None

    @model_validator(mode="after")
    def _measured(self) -> Needed:
        where = f"texts that {self.arm!r} needs for {self.target}"
        self._refuse_what_was_not_measured(where)
        if self.extrapolated is not None and (
            self.texts.only != "at least" or self.extrapolated.low is None or self.extrapolated.value < self.texts.n
        ):
            raise ValueError(f"{where}: extrapolated, though it was measured, or without an interval")
        return self
