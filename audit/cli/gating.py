"""The command that says whether a report passes a policy."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from audit.cli.options import Json
from audit.gate import decided, junit, load_policy, sarif
from audit.printing import print_json, print_ruled
from audit.publish.card import render
from audit.report import Report, load_report
from audit.stages import write_atomically

__all__ = ["gate"]


def gate(
    run: Annotated[Path, typer.Argument(help="Run folder or report.")],
    policy: Annotated[Path | None, typer.Option(help="Policy file; default: the shipped policy_default.")] = None,
    junit_file: Annotated[Path | None, typer.Option("--junit", help="Write JUnit XML.")] = None,
    sarif_file: Annotated[Path | None, typer.Option("--sarif", help="Write SARIF 2.1.0.")] = None,
    as_json: Json = False,
) -> None:
    """Hold a policy against a report; exit 1 and say what to change where it stops it.

    In a run folder the report keeps the sign-off and the card shows it. What was published is not signed afterwards.
    """
    report = load_report(run)
    read, sha256 = load_policy(policy)
    found = decided(report, read, sha256, datetime.now(UTC).date())
    for file, content in (
        (junit_file, junit(found)),
        (sarif_file, json.dumps(sarif(found, report.tool), indent=1) + "\n"),
    ):
        if file is not None:
            write_atomically(file, content.encode())
    signed = report.model_copy(update={"sign_off": found})
    if run.is_dir():
        _sign(run, signed)
    if as_json:
        print_json({"passed": found.passed, "said": found.said, **found.model_dump(mode="json")})
    else:
        print_ruled(found)
    if not found.passed:
        raise typer.Exit(1)


def _sign(run: Path, signed: Report) -> None:
    """Keep a sign-off in a run folder; a copy of what was published has a manifest, which lists its report's hash."""
    if not (run / "manifest.json").exists():
        signed.save(run / "report.json")
        write_atomically(run / "card.md", render(signed).encode())
