"""The options that several subcommands share, and its progress bar."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from audit.job import Ticker

__all__ = ["Json", "Out", "Overrides", "again", "follows", "progress", "typed"]

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Overrides = Annotated[list[str] | None, typer.Option("-o", metavar="KEY=VALUE", help="Override a key of the recipe.")]
Out = Annotated[Path | None, typer.Option(help="Run folder; default runs/NAME.")]


def follows() -> bool:
    """Tell whether another rank of ``accelerate launch`` speaks for this process."""
    return int(os.environ.get("RANK", "0")) > 0


@contextmanager
def progress() -> Iterator[Ticker]:
    """Show stage, items per second and time left on a terminal, nothing elsewhere."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[speed]}"),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=follows() or not console.is_terminal) as bars:
        bar = bars.add_task("", visible=False, speed="")

        def tick(stage: str, done: int, total: int) -> None:
            task = bars.tasks[bar]
            if (task.description, task.total) != (stage, total) or done < task.completed:
                bars.reset(bar, total=total, description=stage)
            bars.update(bar, completed=done, speed=f"{task.speed:.0f}/s" if task.speed else "", visible=True)

        yield tick


def typed() -> list[str]:
    """Return what was typed, for the report."""
    return ["transfer-audit", *sys.argv[1:]]


def again(given: Sequence[str]) -> str:
    """Say which command goes on where this one stopped."""
    return shlex.join(["transfer-audit", *(one for one in given if one != "--fresh")])
