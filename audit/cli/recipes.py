"""Commands about recipes: list, check, copy, compare and pin them."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from audit.cli.options import Json, Overrides
from audit.errors import InputError
from audit.printing import console, print_differences, print_json
from audit.recipe import find_recipe, load_recipe, shipped_recipes
from audit.stages import write_atomically

__all__ = ["cp", "diff", "pin", "recipes", "validate"]


def validate(
    recipe: Annotated[str, typer.Argument(help="A recipe file, or the name of a shipped one.")],
    o: Overrides = None,
    as_json: Json = False,
) -> None:
    """Check a recipe without training: base, columns, labels, LoRA targets, what would be trained."""
    parsed = load_recipe(find_recipe(recipe), o or [])
    from audit.check import check

    checked = vars(check(parsed))
    if as_json:
        return print_json(checked)
    out = console()
    for key, value in checked.items():
        for number, one in enumerate(value if isinstance(value, list) else [value]):
            named = key.replace("_", " ") if number == 0 else ""
            shown = f"{one:,}" if isinstance(one, int) else one
            out.print(f"{named:>21}  {escape(str(shown))}", highlight=False, soft_wrap=True)


def recipes(as_json: Json = False) -> None:
    """List the shipped recipes."""
    found = {}
    for name in shipped_recipes():
        text = find_recipe(name).read_text(encoding="utf-8")
        found[name] = text.splitlines()[0].removeprefix("#").strip()
    if as_json:
        return print_json({"recipes": found})
    out = console()
    widest = max(map(len, found))
    for name, first in found.items():
        out.print(f"{name:>{widest}}  {escape(first)}", highlight=False, soft_wrap=True)


def diff(
    first: Annotated[str, typer.Argument(help="A recipe file, or the name of a shipped one.")],
    second: Annotated[str, typer.Argument(help="Another one.")],
    as_json: Json = False,
) -> None:
    """Show every key in which two recipes differ, defaults included."""
    from audit.recipe.compared import compared

    differences = compared(*(load_recipe(find_recipe(one)) for one in (first, second)))
    if as_json:
        return print_json({"differences": [one._asdict() for one in differences]})
    print_differences(differences, first, second)


def cp(
    name: Annotated[str, typer.Argument(help="The name of a shipped recipe, or a recipe file.")],
    file: Annotated[Path, typer.Argument(help="Where to write it.")],
    force: Annotated[bool, typer.Option("--force", help="Write over a file that is there.")] = False,
    as_json: Json = False,
) -> None:
    """Copy a recipe, to be changed."""
    text = find_recipe(name).read_bytes()
    if file.is_dir() or (file.exists() and not force):
        raise InputError(f"{file}: {'is a folder' if file.is_dir() else 'exists; --force writes over it'}")
    write_atomically(file, text)
    then = shlex.join(["transfer-audit", "validate", str(file)])
    if as_json:
        return print_json({"recipe": str(file), "next": then})
    console().print(f"next: {escape(then)}", highlight=False, soft_wrap=True)


def pin(
    recipe: Annotated[str, typer.Argument(help="A recipe file; a shipped recipe is copied first.")],
    as_json: Json = False,
) -> None:
    """Write into a recipe which commits of the Hub it means, and touch nothing else of it."""
    from audit.models.commit import commit_of
    from audit.recipe.pinned import pinned

    path = find_recipe(recipe)
    if not Path(recipe).is_file():
        raise InputError(f"{recipe} is a shipped recipe: copy it first: transfer-audit cp {recipe} {recipe}.toml")
    before = path.read_bytes().decode("utf-8")
    after, commits = pinned(before, load_recipe(path), commit_of, path.name)
    if after != before:
        write_atomically(path, after.encode())
    if as_json:
        return print_json({"recipe": str(path), "pinned": commits})
    for named, commit in commits.items():
        console().print(f"{escape(named)}: {commit}", highlight=False, soft_wrap=True)
    if not commits:
        console().print("nothing to pin", highlight=False)
