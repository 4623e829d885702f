"""Two things said of the same, held against each other number by number: what is written, what the evidence gives."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel

__all__ = ["SLACK", "differences", "numbers", "plain"]

SLACK = 1e-9  # of a number, relative
ROUNDING = 1e-15  # absolute: what sums of numbers about 1 leave of 0; p-values, which may be that small, are no sums


def plain(one: BaseModel) -> dict[str, Any]:
    """Return a model as JSON has it."""
    return one.model_dump(mode="json", by_alias=True)


def differences(where: str, written: object, given: object, by: str = "the evidence gives") -> list[str]:
    """Name every leaf that differs, in one line each.

    Parameters
    ----------
    where : str
        What is held against each other: begins every line.
    written, given : object
        As JSON has them.
    by : str
        Who gives it.

    Examples
    --------
    >>> differences("bias/x", {"p": 0.5, "n": [1, 2]}, {"p": 0.25, "n": [1, 2 + 1e-12]})
    ['bias/x: p is 0.5, the evidence gives 0.25']
    """
    return [
        f"{where}: {f'{path} is' if path else 'is'} {_said(one)}, {by} {_said(other)}"
        for path, one, other in _leaves(written, given, "")
    ]


def numbers(one: object) -> int:
    """Count the numbers among the leaves.

    Examples
    --------
    >>> numbers({"a": 1, "b": [0.5, None, True, "x"]})
    2
    """
    if isinstance(one, Mapping):
        return sum(map(numbers, one.values()))
    if isinstance(one, Sequence) and not isinstance(one, str):
        return sum(map(numbers, one))
    return int(isinstance(one, int | float) and not isinstance(one, bool))


def _leaves(written: object, given: object, path: str) -> Iterator[tuple[str, object, object]]:
    if isinstance(written, Mapping) and isinstance(given, Mapping):
        for key in [*written, *(key for key in given if key not in written)]:
            yield from _leaves(written.get(key), given.get(key), f"{path}.{key}" if path else str(key))
    elif _listed(written) and _listed(given) and len(written) == len(given):  # type: ignore[arg-type]
        for place, (one, other) in enumerate(zip(written, given, strict=True)):  # type: ignore[call-overload]
            yield from _leaves(one, other, f"{path}[{place}]")
    elif not _same(written, given, 0.0 if path.rsplit(".", 1)[-1] == "p" else ROUNDING):
        yield path, written, given


def _listed(one: object) -> bool:
    return isinstance(one, list | tuple)


def _same(one: object, other: object, rounding: float) -> bool:
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, int | float) and isinstance(other, int | float):
        return math.isclose(one, other, rel_tol=SLACK, abs_tol=rounding)
    if _listed(one) and _listed(other):
        return False  # of different length
    return one == other


def _said(one: object) -> str:
    if one is None:
        return "nothing"
    if _listed(one):
        return f"{len(one)} of them"  # type: ignore[arg-type]
    said = repr(one)
    return said if len(said) <= 80 else f"{said[:77]}..."
