"""The command that recomputes what the evidence of a run carries, or that of what was published."""

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

AUDITS = ("bias", "gap", "forgetting", "transfer")
FEW = 3  # lines of one reason, from which on they are one
SHOWN = (
    "this shows that report, evidence, card and files fit together, not that these models gave these answers: whoever "
    "can write the repository can change all of it; to know, run the recipe again"
)


def verify(
    run: Annotated[str, typer.Argument(help="Run folder, a copy of what was published, or OWNER/NAME on the Hub.")],
    as_json: Json = False,
) -> None:
    """Recompute what the evidence carries of a report, and check every hash; exit 1 if anything disagrees.

    This shows that report, evidence, card and files fit together, not that these models gave these answers: whoever can
    write the repository can change all of it. To know, run the recipe again.
    """
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
                "shows": SHOWN,
            }
        )
    else:
        sys.stdout.write(_said(found))
    if not found.agrees:
        raise typer.Exit(1)


def _said(found: Verification) -> str:
    counted = found.counts
    recomputed = f"{counted['numbers']:,} of them recomputed from evidence; {counted['findings']:,} findings"
    if not counted["numbers"]:
        recomputed = "nothing was recomputed: no evidence is here"
    return "".join(
        [
            _listed("not checked, which is no pass", _grouped(found.unchecked)),
            _listed("disagrees", found.disagreements),
            f"{counted['in the report']:,} numbers in the report, {recomputed}, {counted['files']:,} files; ",
            f"{len(found.disagreements):,} disagree\n{SHOWN}\n",
        ]
    )


def _grouped(lines: Sequence[str]) -> list[str]:
    """Put lines of one reason into one.

    Examples
    --------
    >>> _grouped(["card: gone", "bias/a: why: so", "bias/b: why: so", "bias/c: why: so"])
    ['card: gone', '3 findings of bias: why: so']
    >>> _grouped(["arm a: gone", "arm b: gone", "arm c: gone"])
    ['arm a and 2 more: gone']
    """
    groups: dict[tuple[str, str], list[str]] = {}
    for line in lines:
        subject, _, reason = line.partition(": ")
        audit = subject.split("/")[0] if "/" in subject else ""
        groups.setdefault((audit if audit in AUDITS else "", reason), []).append(subject)
    said = []
    for (audit, reason), subjects in groups.items():
        if len(subjects) < FEW:
            said += [f"{subject}: {reason}" if reason else subject for subject in subjects]
        elif audit:
            said.append(f"{len(subjects)} findings of {audit}: {reason}")
        else:
            said.append(f"{subjects[0]} and {len(subjects) - 1} more: {reason}")
    return said


def _listed(title: str, lines: Sequence[str]) -> str:
    return "".join([f"{title}:\n", *(f"  {line}\n" for line in lines)]) if lines else ""
