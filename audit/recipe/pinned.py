"""Pinning a recipe: what it names on the Hub gets the commit that is meant, in the text of its file."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from audit.errors import InputError
from audit.items.reference import is_local
from audit.recipe.schema import Recipe

__all__ = ["CommitOf", "Place", "named_sets", "on_the_hub", "pinned", "unpinned"]

COMMIT = re.compile(r"[0-9a-f]{40}")
HEADER = re.compile(r"\s*\[\[?\s*([\w.\s-]+?)\s*\]\]?\s*(#.*)?$")
CommitOf = Callable[[str, Literal["model", "dataset"], str | None], str]
"""From the name of a repository, its type and a revision (None: the newest) to a commit of 40 hex digits."""


@dataclass(frozen=True)
class Place:
    """Where a recipe names a repository of the Hub.

    Attributes
    ----------
    table, key : str
        The table is empty for the top.
    name : str
        As the recipe writes it.
    type : {"model", "dataset"}
    revision : str or None
        Of base and task a key of its own, of all others what follows ``@`` in the name.
    """

    table: str
    key: str
    name: str
    type: Literal["model", "dataset"]
    revision: str | None

    @property
    def where(self) -> str:
        """Table and key, as errors name them."""
        return f"[{self.table}] {self.key}" if self.table else self.key

    @property
    def has_key(self) -> bool:
        """Whether the revision is a key of the table."""
        return self.key in ("base", "dataset")

    @property
    def repository(self) -> str:
        """The name without a configuration and a revision."""
        return self.name.partition("@")[0].partition(":")[0]


def on_the_hub(recipe: Recipe) -> list[Place]:
    """List what a recipe names on the Hub; folders, files, packages and what is shipped need no pin.

    Examples
    --------
    >>> from audit.recipe import find_recipe, load_recipe
    >>> [place.where for place in on_the_hub(load_recipe(find_recipe("sst2_head")))]
    ['base', '[task] dataset']
    """
    base, task = recipe.base, recipe.task
    found = [Place("", "base", base, "model", recipe.revision)] if base is not None and _is_model(base) else []
    if _is_dataset(task.dataset):
        found.append(Place("task", "dataset", task.dataset, "dataset", task.revision))
    return found + [
        Place(table, key, name, "dataset", name.partition("@")[2] or None)
        for table, key, name in named_sets(recipe)
        if name and not is_local(name)
    ]


def _is_model(name: str) -> bool:
    return re.fullmatch(r"[\w.-]+/[\w.-]+", name) is not None and not Path(name).exists()


def _is_dataset(name: str) -> bool:
    """Tell whether a task is read from the Hub; data sets of its first years have no owner."""
    return re.fullmatch(r"([\w-][\w.-]*/)?[\w-]+(\.\d[\w.-]*)?", name) is not None and not Path(name).exists()


def named_sets(recipe: Recipe) -> Iterator[tuple[str, str, str]]:
    """Every other key that may name a data set: table, key, name."""
    if recipe.domain is not None and recipe.domain.texts != "task":
        yield "domain", "texts", recipe.domain.texts
    protect = getattr(recipe.adapt, "protect", None)
    if protect is not None:
        yield "adapt.protect", "items", protect.items
    gap, forgetting = recipe.audit.gap, recipe.audit.forgetting
    if gap is not None and gap.reference not in (None, "base"):
        yield "audit.gap", "reference", gap.reference
    if forgetting is not None:
        for key in ("items", "choices", "turns", "similarity"):
            yield "audit.forgetting", key, getattr(forgetting, key)
        for name in forgetting.labelled:
            yield "audit.forgetting", "labelled", name


def unpinned(recipe: Recipe) -> list[str]:
    """Say what a recipe names on the Hub without a commit: table, key and name.

    Examples
    --------
    >>> from audit.recipe import find_recipe, load_recipe
    >>> unpinned(load_recipe(find_recipe("quickstart")))
    []
    >>> unpinned(load_recipe(find_recipe("sst2_head")))
    ['base distilbert/distilbert-base-uncased', '[task] dataset stanfordnlp/sst2']
    """
    return [f"{place.where} {place.name}" for place in on_the_hub(recipe) if not _is_commit(place.revision)]


def _is_commit(revision: str | None) -> bool:
    return revision is not None and COMMIT.fullmatch(revision) is not None


def pinned(text: str, recipe: Recipe, commit_of: CommitOf, where: str) -> tuple[str, dict[str, str]]:
    """Write the commits of everything on the Hub into the text of a recipe, and touch nothing else of it.

    Parameters
    ----------
    text : str
        Of the file, with its own line endings.
    recipe : Recipe
        What the text says.
    commit_of : callable
    where : str
        Begins every error.

    Returns
    -------
    text : str
        The same text where all was pinned.
    commits : dict
        What was pinned (table, key and name): its commit.

    Raises
    ------
    InputError
        If a place is not found in the text; says what to write there.
    """
    lines, commits = text.splitlines(keepends=True), {}
    data: dict[str, Any] | None = tomllib.loads(text)
    for place in on_the_hub(recipe):
        if _is_commit(place.revision):
            continue
        commit = commit_of(place.repository, place.type, place.revision)
        expected = _expected(data, place, commit)
        lines = _set_key(lines, place, commit) if place.has_key else _set_name(lines, place, commit)
        data = _parsed(lines)
        if data != expected:
            wanted = f'revision = "{commit}"' if place.has_key else f'"{_named(place, commit)}"'
            raise InputError(
                f"{where}: {place.where} is written in a way that is not edited here; write {wanted} there"
            )
        commits[f"{place.where} {place.name}"] = commit
    return "".join(lines), commits


def _parsed(lines: Sequence[str]) -> dict[str, Any] | None:
    try:
        return tomllib.loads("".join(lines))
    except tomllib.TOMLDecodeError:
        return None


def _expected(data: dict[str, Any] | None, place: Place, commit: str) -> dict[str, Any]:
    """What the text must say afterwards: an edit by lines is checked by what it means."""
    expected = deepcopy(data or {})
    table = expected
    for part in filter(None, place.table.split(".")):
        table = table.get(part, {})
    if place.has_key:
        table["revision"] = commit
    elif isinstance(table.get(place.key), list):
        table[place.key] = [_named(place, commit) if one == place.name else one for one in table[place.key]]
    else:
        table[place.key] = _named(place, commit)
    return expected


def _named(place: Place, commit: str) -> str:
    return f"{place.name.partition('@')[0]}@{commit}"


def _keys(lines: Sequence[str], table: str) -> dict[str, int]:
    """Lines on which the keys of a table begin."""
    found: dict[str, int] = {}
    current = ""
    for number, line in enumerate(lines):
        header = HEADER.match(line.rstrip("\r\n"))
        if header:
            current = re.sub(r"\s", "", header[1])
        elif current == table and (key := re.match(r"\s*([\w-]+)\s*=", line)):
            found.setdefault(key[1], number)
    return found


def _set_key(lines: list[str], place: Place, commit: str) -> list[str]:
    """Set the table's ``revision``: on its line, else on a new one below what it is the revision of."""
    keys = _keys(lines, place.table)
    at = keys.get("revision", keys.get(place.key, -1))
    line = lines[at]
    if at < 0:
        return lines
    if "revision" in keys:
        changed = re.sub(r"(=\s*)(\"[^\"]*\"|'[^']*')", rf'\g<1>"{commit}"', line, count=1)
        return [*lines[:at], changed, *lines[at + 1 :]]
    said = line.rstrip("\r\n")
    indent, end = line[: len(line) - len(line.lstrip())], line[len(said) :] or "\n"
    return [*lines[:at], said + end, f'{indent}revision = "{commit}"{end}', *lines[at + 1 :]]


def _set_name(lines: list[str], place: Place, commit: str) -> list[str]:
    """Put the commit behind a name, on the line of its key or below it in a list."""
    at = _keys(lines, place.table).get(place.key, len(lines))
    quoted = re.compile(rf"(?P<quote>[\"']){re.escape(place.name)}(?P=quote)")
    with_commit = rf"\g<quote>{_named(place, commit)}\g<quote>"
    for number, line in enumerate(lines):
        if number >= at and quoted.search(line):
            return [*lines[:number], quoted.sub(with_commit, line, count=1), *lines[number + 1 :]]
    return lines
