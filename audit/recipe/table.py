"""What all tables of a recipe have in common: closed, frozen, strict; and the values that they may hold."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

__all__ = [
    "Count",
    "Length",
    "Margin",
    "Name",
    "Names",
    "NotNegative",
    "Positive",
    "Rate",
    "Seeds",
    "Share",
    "Table",
    "unlike",
]


def unlike(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """Refuse a list that names something twice."""
    if len(set(values)) < len(values):
        raise ValueError("something is named twice")
    return values


Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=80)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Margin = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)]
Rate = Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
Length = Annotated[int, Field(ge=4)]
Seeds = Annotated[
    tuple[Annotated[int, Field(ge=0, lt=2**32)], ...], Field(min_length=1, strict=False), AfterValidator(unlike)
]
Names = Annotated[tuple[str, ...], Field(min_length=1, strict=False)]


class Table(BaseModel):
    """One table of a recipe: an unknown key is an error, and nothing is converted silently."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
