"""Two recipes side by side: every key in which they differ, defaults included."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from audit.recipe.schema import Recipe

__all__ = ["Difference", "compared"]


class Difference(NamedTuple):
    """A key with two values; None where a recipe does not set it, or has no such table."""

    key: str
    first: Any
    second: Any


def compared(first: Recipe, second: Recipe) -> list[Difference]:
    """List the keys in which two recipes differ, as ``-o`` names them.

    What a recipe leaves to its default counts as said; a list is one value, but of several tables each has its number.

    Examples
    --------
    >>> from audit.recipe import parse_recipe
    >>> task = {"dataset": "shipped:feedback", "labels": ["complaint", "praise"]}
    >>> one = parse_recipe({"name": "one", "task": task}, "one.toml")
    >>> two = parse_recipe({"name": "two", "task": {**task, "train_limit": 100, "overlap": "drop"}}, "two.toml")
    >>> for difference in compared(one, two):
    ...     print(*difference)
    name one two
    task.train_limit None 100
    """
    ours, theirs = (dict(_values("", one.model_dump(mode="json"))) for one in (first, second))
    keys = [*ours, *(key for key in theirs if key not in ours)]
    return [Difference(key, ours.get(key), theirs.get(key)) for key in keys if ours.get(key) != theirs.get(key)]


def _values(key: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Walk through tables within tables."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _values(f"{key}.{name}" if key else name, inner)
    elif isinstance(value, list) and any(isinstance(one, dict) for one in value):
        for number, inner in enumerate(value):
            yield from _values(f"{key}.{number}", inner)
    else:
        yield key, value
