"""Reading a recipe: find it, override it, check it, and say in one line what is wrong with it."""

from __future__ import annotations

import difflib
import shlex
import tomllib
from collections.abc import Sequence
from importlib import resources
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from audit.errors import InputError
from audit.recipe.adapt import METHODS, Full
from audit.recipe.schema import Recipe

__all__ = [
    "find_recipe",
    "load_recipe",
    "overrides_of",
    "parse_recipe",
    "read_recipe",
    "recipes_folder",
    "shipped_recipes",
]


def recipes_folder() -> Path:
    """Return the folder of the shipped recipes: inside the wheel, or beside the package in a clone."""
    installed = Path(str(resources.files("audit"))) / "recipes"
    return installed if installed.is_dir() else Path(str(resources.files("audit"))).parent / "recipes"


def shipped_recipes() -> list[str]:
    """Names of the shipped recipes; a policy is none.

    Examples
    --------
    >>> "quickstart" in shipped_recipes()
    True
    """
    return sorted(path.stem for path in recipes_folder().glob("*.toml") if not path.stem.startswith("policy"))


def find_recipe(name: str) -> Path:
    """Resolve a path, or the name of a shipped recipe.

    Raises
    ------
    InputError
        If there is neither; names the shipped ones.
    """
    path = Path(name)
    if path.is_file():
        return path
    shipped = recipes_folder() / f"{path.name.removesuffix('.toml')}.toml"
    if path.parent == Path() and shipped.is_file():
        return shipped
    raise InputError(f"{name}: no such recipe file; shipped recipes: {', '.join(shipped_recipes())}")


def load_recipe(path: Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read and check a recipe.

    Parameters
    ----------
    path : Path
    overrides : sequence of str
        ``table.key=value``; the value is read as TOML, else as a string.

    Raises
    ------
    InputError
        One line that names file, table, key and what would do.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from None
    return read_recipe(text, overrides, path.name)


def read_recipe(text: str, overrides: Sequence[str], where: str) -> Recipe:
    """Check the text of a recipe with what is overridden; ``where`` begins every error about the text."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{where}: not valid TOML: {error}") from None
    for override in overrides:
        _override(data, override)
    return parse_recipe(data, where)


def overrides_of(command: str) -> list[str]:
    """Return what a command overrode of its recipe.

    Raises
    ------
    ValueError
        If its quotes do not close.

    Examples
    --------
    >>> overrides_of("transfer-audit run tiny.toml -o adapt.epochs=2 --out run -o 'name=a b'")
    ['adapt.epochs=2', 'name=a b']
    """
    return [value for flag, value in pairwise(shlex.split(command)) if flag == "-o"]


def parse_recipe(data: dict[str, Any], where: str) -> Recipe:
    """Check a recipe that has been read; ``where`` begins every error."""
    try:
        return Recipe.model_validate(data)
    except ValidationError as error:
        raise InputError(f"{where}: {_explain(error, data)}") from None


def _override(data: dict[str, Any], override: str) -> None:
    key, equals, value = override.partition("=")
    *tables, last = key.strip().split(".")
    if not equals or not last:
        raise InputError(f"-o {override}: expected table.key=value")
    try:
        parsed = tomllib.loads(f"v = {value}")["v"]
    except tomllib.TOMLDecodeError:
        parsed = value
    for table in tables:
        data = data.setdefault(table, {})
        if not isinstance(data, dict):
            raise InputError(f"-o {override}: {table!r} is no table")
    data[last] = parsed


def _explain(error: ValidationError, data: dict[str, Any]) -> str:
    """Say the first error in one line: [table] key, what was found, what would do."""
    first = error.errors(include_url=False)[0]
    kind, message = first["type"], first["msg"].removeprefix("Value error, ")
    location = [str(part) for part in first["loc"]]
    tables, value = [], data
    while len(location) > 1:
        inner = value.get(location[0])
        if isinstance(inner, list) and len(location) > 2 and isinstance(inner[int(location[1])], dict):
            inner = inner[int(location.pop(1))]  # one of several tables
        if not isinstance(inner, dict):
            break
        value = inner
        tables.append(location.pop(0))
        if tables == ["adapt"] and location and location[0] in METHODS:
            location.pop(0)  # pydantic names the chosen method in the path
    table = f"[{'.'.join(tables)}] " if tables else ""
    if not location:
        return f"{table}{message}"
    key = location[0]
    if kind == "extra_forbidden":
        known = _keys(tables, data)
        return f"{table}no such key {key!r}; {_suggest(key, known)}"
    if kind == "missing":
        return f"{table}the key {key!r} is missing"
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        given = data.get("adapt", {}).get("method")
        if given is None:
            return f"[adapt] the key 'method' is missing; choose from {', '.join(METHODS)}"
        return f"[adapt] method = {given!r}: {_suggest(str(given), list(METHODS))}"
    found = value.get(key) if isinstance(value, dict) else value
    if isinstance(found, dict):  # a whole table does not go together
        return f"[{'.'.join([*tables, key])}] {message}"
    if kind in ("model_type", "model_attributes_type"):
        return f"{table}{key} = {found!r}: expected a table, [{'.'.join([*tables, key])}]"
    if kind == "tuple_type":
        return f"{table}{key} = {found!r}: expected a list"
    if kind == "literal_error":
        expected = [part.strip(" '") for part in first["ctx"]["expected"].replace(" or ", ",").split(",")]
        found = first["input"]
        return f"{table}{key} = {found!r}: {_suggest(str(found), expected)}"
    return f"{table}{key} = {found!r}: {message[:1].lower()}{message[1:]}"


def _suggest(given: str, choices: Sequence[str]) -> str:
    close = difflib.get_close_matches(given, choices, n=1)
    return f"did you mean {close[0]!r}?" if close else f"choose from {', '.join(choices)}"


def _keys(tables: Sequence[str], data: dict[str, Any]) -> list[str]:
    """Names of the keys that a table may hold."""
    model: type[BaseModel] = Recipe
    for table in tables:
        if table == "adapt":
            model = METHODS.get(str(data["adapt"].get("method")), Full)
            continue
        annotation = model.model_fields[table].annotation
        options = [one for one in (annotation, *get_args(annotation)) if isinstance(one, type)]
        model = next(one for one in options if issubclass(one, BaseModel))
    return list(model.model_fields)
