"""The command that publishes a run on the Hub."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from audit.cli.options import Json
from audit.printing import print_json

__all__ = ["publish"]


def publish(
    run: Annotated[Path, typer.Argument(help="Run folder.")],
    to: Annotated[str, typer.Option(metavar="OWNER/NAME", help="The model; data set and Space get -audit behind it.")],
    space: Annotated[str, typer.Option(help="static (free), gradio, zero-a10g or none.")] = "static",
    private: Annotated[bool, typer.Option("--private", help="Create it so that only its owner sees it.")] = False,
    apply: Annotated[bool, typer.Option("--apply", help="Do it; without this nothing is written.")] = False,
    full: Annotated[bool, typer.Option("--full", help="Show every line of every diff.")] = False,
    as_json: Json = False,
) -> None:
    """Publish model, card, evidence and Space of a run on the Hub, or show what that would write."""
    from audit.publish.hub.apply import applied, places
    from audit.publish.hub.plan import planned
    from audit.publish.hub.preview import shown, told

    plan = planned(run, to, space=space, private=private)
    if not as_json:
        sys.stdout.write(shown(plan, None) if full else shown(plan))
    urls = applied(plan, tell=_tell) if apply else places(plan)
    command = ["transfer-audit", "publish", str(run), "--to", to, *(["--space", space] if space != "static" else [])]
    then = None if apply or not plan.actions else shlex.join([*command, *(["--private"] if private else []), "--apply"])
    if as_json:
        return print_json({**told(plan), "applied": apply, "urls": urls, "next": then})
    if then:
        sys.stdout.write(f"\nnothing was written; to publish: {then}\n")
    if apply:
        sys.stdout.write("\n" + "".join(f"{url}\n" for url in urls))


def _tell(line: str) -> None:
    """Say on a terminal what is being done: large files take a while."""
    if sys.stderr.isatty():
        sys.stderr.write(f"{line} ...\n")
