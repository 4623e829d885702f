"""Commands that make a report, and those that read one."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from audit.cli.options import Json, Out, Overrides, follows, progress, typed
from audit.cli.remote import Flavor, Timeout, submit
from audit.errors import InputError
from audit.finding import Verdict
from audit.printing import console, print_chosen, print_frontier, print_json, print_report
from audit.publish.card import render
from audit.publish.card.forgetting import strength_said
from audit.recipe import find_recipe, load_recipe
from audit.report import Report, load_report
from audit.stages import write_atomically
from audit.view import read_items

__all__ = ["audit", "card", "choose", "compare", "run", "soften"]

Gate = Annotated[
    str | None,
    typer.Option(metavar="[strict]", help="Exit 1 on any 'worse'; --gate=strict also on 'unclear'."),
]


def run(
    recipe: Annotated[str, typer.Argument(help="A recipe file, or the name of a shipped one.")],
    out: Out = None,
    o: Overrides = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Start over.")] = False,
    gate: Gate = None,
    on: Annotated[str | None, typer.Option(metavar="hf-jobs", help="Run it as a Job of the Hub.")] = None,
    flavor: Flavor = "a10g-small",
    timeout: Timeout = "6h",
    to: Annotated[str | None, typer.Option(metavar="OWNER/NAME", help="Where a Job publishes what it did.")] = None,
    private: Annotated[bool, typer.Option("--private", help="So that only its owner sees what a Job does.")] = False,
    as_json: Json = False,
) -> None:
    """Run a recipe: assess, adapt, audit, report. Goes on where an interrupted run stopped."""
    _gate_level(gate)
    path = find_recipe(recipe)
    if on is not None:
        submit(path, o or [], on=on, to=to, flavor=flavor, timeout=timeout, private=private, as_json=as_json)
        return
    parsed = load_recipe(path, o or [])
    from audit import relay

    folder = out or Path("runs") / parsed.name
    with progress() as tick:
        report, seconds = relay.run(
            parsed, path.read_text(encoding="utf-8"), folder, fresh=fresh, command=typed(), tick=tick
        )
    _finish(report, folder, seconds, gate, as_json)


def audit(
    adapted: Annotated[str, typer.Argument(help="Checkpoint, adapter or GGUF file: folder, file, package: or Hub id.")],
    base: Annotated[str | None, typer.Option(help="Its base; default: what the adapter or its card names.")] = None,
    recipe: Annotated[str | None, typer.Option(help="Task, audits and margins; default: audit_defaults.")] = None,
    items: Annotated[
        list[Path] | None, typer.Option(help="General texts, or labelled images (JSON lines or parquet of items).")
    ] = None,
    out: Out = None,
    o: Overrides = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Start over.")] = False,
    gate: Gate = None,
    as_json: Json = False,
) -> None:
    """Audit an existing model against its base, without training."""
    _gate_level(gate)
    path = find_recipe(recipe or "audit_defaults")
    parsed = load_recipe(path, o or [])
    general = [item for file in items or [] for item in read_items(file)]
    from audit import relay
    from audit.models.lineage import base_of

    named = base_of(adapted, base)
    folder = out or Path("runs") / f"audit-{Path(adapted.rstrip('/')).name.replace(':', '-')}"
    with progress() as tick:
        report, seconds = relay.audit_model(
            parsed,
            path.read_text(encoding="utf-8"),
            named,
            adapted,
            folder,
            general=general or None,
            fresh=fresh,
            command=typed(),
            tick=tick,
        )
    _finish(report, folder, seconds, gate, as_json)


def choose(
    recipe: Annotated[str, typer.Argument(help="A recipe file, or the name of a shipped one: task and adaptation.")],
    base: Annotated[list[str] | None, typer.Option(help="A base: folder, package: or Hub id (@REVISION).")] = None,
    budget: Annotated[float | None, typer.Option(metavar="MINUTES", help="Begin nothing that would go beyond.")] = None,
    race: Annotated[bool, typer.Option("--race", help="Adapt them for real, on growing shares of the data.")] = False,
    out: Annotated[Path | None, typer.Option(help="Folder; default runs/choose-NAME.")] = None,
    o: Overrides = None,
    as_json: Json = False,
) -> None:
    """Rank bases for a task by its training split, with intervals; race real adaptations if asked."""
    if budget is not None and not budget > 0:
        raise InputError(f"--budget {budget:g}: give minutes, more than 0")
    parsed = load_recipe(find_recipe(recipe), o or [])
    from audit import choose as choosing

    folder = out or Path("runs") / f"choose-{parsed.name}"
    with progress() as tick:
        chosen = choosing.choose(parsed, base or [], folder, minutes=budget, to_race=race, tick=tick)
    if as_json:
        return print_json({"choose": str(folder / "choose.json"), **chosen.model_dump(mode="json")})
    print_chosen(chosen, folder)


def card(
    run: Annotated[Path, typer.Argument(help="Run folder or report.")],
    as_json: Json = False,
) -> None:
    """Render the model card of a report again, and print it."""
    report = load_report(run)
    text = render(report)
    folder = run if run.is_dir() else run.parent
    write_atomically(folder / "card.md", text.encode())
    if as_json:
        return print_json({"card": str(folder / "card.md"), "text": text})
    sys.stdout.write(text)


def soften(
    run: Annotated[Path, typer.Argument(help="Run folder.")],
    alpha: Annotated[float, typer.Option(help="Strength between the base (0) and the adapted model (1).")],
    out: Annotated[Path | None, typer.Option(help="Folder to write; default models/…-at-ALPHA in the run.")] = None,
    as_json: Json = False,
) -> None:
    """Write the model of a run at a strength between base and adapted."""
    from audit.softened import soften_run

    folder, report = soften_run(run, alpha, out)
    said = strength_said(report.curve, alpha)
    if as_json:
        return print_json({"model": str(folder), "alpha": alpha, "said": said})
    console().print(f"model: {folder}\n{escape(said)}", highlight=False, soft_wrap=True)


def compare(
    runs: Annotated[list[Path], typer.Argument(help="Run folders of one base and one task.")],
    margin: Annotated[float, typer.Option(help="Smallest difference of the task metric worth acting on.")] = 0.02,
    out: Annotated[Path, typer.Option(help="Folder of compare.json.")] = Path("runs/compare"),
    as_json: Json = False,
) -> None:
    """Hold runs of several recipes against each other: what each gains and forgets, and which is dominated."""
    from audit import compare as comparing

    found = comparing.compare(runs, margin=margin)
    out.mkdir(parents=True, exist_ok=True)
    found.save(out / "compare.json")
    if as_json:
        return print_json({"compare": str(out / "compare.json"), **found.model_dump(mode="json", by_alias=True)})
    print_frontier(found, out)


def _finish(report: Report, folder: Path, seconds: dict[str, float], gate: str | None, as_json: bool) -> None:
    if follows():
        return
    verdicts = {one.id: str(one.verdict) for one in report.findings}
    failed = _failed(report, gate)
    verdicts |= dict.fromkeys(report.broken, "broken")
    verdicts |= {one: "not measured" for one in failed if one not in verdicts}
    if as_json:
        print_json(
            {
                "report": str(folder / "report.json"),
                "card": str(folder / "card.md"),
                "task": report.task.model_dump(mode="json") if report.task else None,
                "verdicts": verdicts,
                "origins": {one.finding: str(one.origin) for one in report.decompositions},
                "gate": {"level": gate, "failed": failed} if gate else None,
                "seconds": seconds,
            }
        )
    else:
        print_report(report, folder, seconds)
        for one in failed:
            sys.stderr.write(f"gate: {one} is {verdicts[one]}\n")
    if failed:
        raise typer.Exit(1)


def _gate_level(gate: str | None) -> None:
    if gate not in (None, "worse", "strict"):
        raise InputError(f"--gate={gate}: choose from --gate, --gate=strict")


def _failed(report: Report, gate: str | None) -> list[str]:
    """Ids of the findings that a gate does not let pass; exploratory slices do not count, what is unknown does.

    A probe that the base answers and the adapted model does not passes at neither level.
    """
    if gate is None:
        return []
    stopped = (Verdict.WORSE,) if gate == "worse" else (Verdict.WORSE, Verdict.UNCLEAR)
    declared = [one for one in report.findings if one.group is None]
    missing = [
        audit for audit in ("bias", "gap", "forgetting", "transfer") if audit not in {one.audit for one in declared}
    ]
    failed = [*(one.id for one in declared if one.verdict in stopped), *report.broken]
    return failed + (missing if gate == "strict" or not declared else [])
