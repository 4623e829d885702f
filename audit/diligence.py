"""What was looked up about a model before it is built on: one record a question, with the raw evidence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

__all__ = ["Check", "Outcome", "passed"]

Outcome = Literal["pass", "warn", "fail", "unknown"]


class Check(BaseModel):
    """The answer to one question about a model.

    Attributes
    ----------
    name : str
        The question: ``licence``, ``scan``.
    outcome : {"pass", "warn", "fail", "unknown"}
        ``warn`` is something to know or to carry on, ``unknown`` that nobody could look.
    said : str
        The answer in one line. It may quote what others wrote: escape it where it is shown.
    evidence : dict
        What was read, as JSON.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(min_length=1)]
    outcome: Outcome
    said: Annotated[str, Field(min_length=1)]
    evidence: dict[str, JsonValue] = {}


def passed(checks: Sequence[Check]) -> bool:
    """Tell whether everything could be looked up and nothing failed; where nothing was asked, nothing passed.

    Examples
    --------
    >>> gated = Check(name="gated", outcome="warn", said="its terms must be accepted")
    >>> passed([gated]), passed([gated, Check(name="scan", outcome="unknown", said="the Hub is not there")]), passed([])
    (True, False, False)
    """
    return bool(checks) and all(one.outcome in ("pass", "warn") for one in checks)
