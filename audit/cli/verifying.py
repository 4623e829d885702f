"""The command that recomputes a run, or what was published of one."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from audit.cli.options import Json
from audit.errors import InputError
from audit.printing import print_json

if TYPE_CHECKING:
    from audit.verify import Verification

__all__ = ["verify"]


def verify(
    run: Annotated[str, typer.Argument(help="Run folder, a copy of what was published, or OWNER/NAME on the Hub.")],
    as_json: Json = False,
) -> None:
    """Recompute every number of a report from its evidence, and check every hash; exit 1 if anything disagrees."""
    from audit.verify import pulled, verified

    if Path(run).exists():
        found = verified(Path(run))
    elif re.fullmatch(r"[\w.-]+/[\w.-]+", run) and not run.startswith("."):
        folder = pulled(run)
        try:
            found = verified(folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    else:
        raise InputError(f"{run}: no such run folder; give one, or OWNER/NAME of what was published on the Hub")
    if as_json:
        print_json(
            {
                "run": run,
                "agrees": found.agrees,
                "disagreements": found.disagreements,
                "unchecked": found.unchecked,
                "counts": dict(found.counts),
            }
        )
    else:
        sys.stdout.write(_said(found))
    if not found.agrees:
        raise typer.Exit(1)


def _said(found: Verification) -> str:
    counts = ", ".join(f"{found.counts[name]:,} {name}" for name in ("numbers", "findings", "files"))
    return "".join(
        [
            _listed("not checked, which is no pass", found.unchecked),
            _listed("disagrees", found.disagreements),
            f"held against the evidence: {counts}; {len(found.disagreements)} disagree\n",
        ]
    )


def _listed(title: str, lines: Sequence[str]) -> str:
    return "".join([f"{title}:\n", *(f"  {line}\n" for line in lines)]) if lines else ""
