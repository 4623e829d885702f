"""The command ``transfer-audit``: parses, calls one function, prints."""

from __future__ import annotations

import os
import shlex
import signal
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from audit.errors import InputError, Unavailable
from audit.finding import Verdict
from audit.printing import console, print_chosen, print_differences, print_frontier, print_json, print_report
from audit.publish.card import render
from audit.publish.forgetting import strength_said
from audit.recipe import find_recipe, load_recipe, shipped_recipes
from audit.report import Report, load_report
from audit.stages import write_atomically
from audit.view import read_items

if TYPE_CHECKING:
    from audit.job import Ticker

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Adapt a pretrained base, then audit the adapted model against its own base.",
)
INTERRUPTED = 130  # what typer makes of Ctrl-C

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Overrides = Annotated[list[str] | None, typer.Option("-o", metavar="KEY=VALUE", help="Override a key of the recipe.")]
Out = Annotated[Path | None, typer.Option(help="Run folder; default runs/NAME.")]
Gate = Annotated[
    str | None,
    typer.Option(metavar="[strict]", help="Exit 1 on any 'worse'; --gate=strict also on 'unclear'."),
]


@app.command()
def run(
    recipe: Annotated[str, typer.Argument(help="A recipe file, or the name of a shipped one.")],
    out: Out = None,
    o: Overrides = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Start over.")] = False,
    gate: Gate = None,
    as_json: Json = False,
) -> None:
    """Run a recipe: assess, adapt, audit, report. Goes on where an interrupted run stopped."""
    _gate_level(gate)
    path = find_recipe(recipe)
    parsed = load_recipe(path, o or [])
    from audit import relay

    folder = out or Path("runs") / parsed.name
    with _progress() as tick:
        report, seconds = relay.run(
            parsed, path.read_text(encoding="utf-8"), folder, fresh=fresh, command=_command(), tick=tick
        )
    _finish(report, folder, seconds, gate, as_json)


@app.command()
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
    with _progress() as tick:
        report, seconds = relay.audit_model(
            parsed,
            path.read_text(encoding="utf-8"),
            named,
            adapted,
            folder,
            general=general or None,
            fresh=fresh,
            command=_command(),
            tick=tick,
        )
    _finish(report, folder, seconds, gate, as_json)


@app.command()
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
    with _progress() as tick:
        chosen = choosing.choose(parsed, base or [], folder, minutes=budget, to_race=race, tick=tick)
    if as_json:
        return print_json({"choose": str(folder / "choose.json"), **chosen.model_dump(mode="json")})
    print_chosen(chosen, folder)


@app.command()
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
        shown = f"{value:,}" if isinstance(value, int) else value
        out.print(f"{key.replace('_', ' '):>21}  {escape(str(shown))}", highlight=False)


@app.command()
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


@app.command()
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


@app.command()
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


@app.command()
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


@app.command()
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


@app.command()
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


@app.command()
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


# --- printing ---------------------------------------------------------------------------------------------------------


def _follows() -> bool:
    """Tell whether another rank of ``accelerate launch`` speaks for this process."""
    return int(os.environ.get("RANK", "0")) > 0


def _finish(report: Report, folder: Path, seconds: dict[str, float], gate: str | None, as_json: bool) -> None:
    if _follows():
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


@contextmanager
def _progress() -> Iterator[Ticker]:
    """Show stage, items per second and time left on a terminal, nothing elsewhere."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[speed]}"),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=_follows() or not console.is_terminal) as bars:
        bar = bars.add_task("", visible=False, speed="")

        def tick(stage: str, done: int, total: int) -> None:
            task = bars.tasks[bar]
            if (task.description, task.total) != (stage, total) or done < task.completed:
                bars.reset(bar, total=total, description=stage)
            bars.update(bar, completed=done, speed=f"{task.speed:.0f}/s" if task.speed else "", visible=True)

        yield tick


def _command() -> list[str]:
    return ["transfer-audit", *sys.argv[1:]]


# --- exits ------------------------------------------------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line; every expected failure is one line and an exit code (2 bad input, 3 not now)."""
    for name in ("HF_HUB_DISABLE_TELEMETRY", "DISABLE_SAFETENSORS_CONVERSION"):
        os.environ.setdefault(name, "1")
    os.environ.setdefault("HF_UPDATE_DOWNLOAD_COUNTS", "0")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_VERBOSITY", "error")
    for name in ("MKL_DYNAMIC", "OMP_DYNAMIC"):  # as many threads on a busy machine: the same run, the same numbers
        os.environ.setdefault(name, "FALSE")
    if not sys.warnoptions:  # deprecations inside our dependencies are no news for a user
        warnings.filterwarnings("ignore", module=r"(transformers|peft|torch|datasets|accelerate|huggingface_hub)\b")
    signal.signal(signal.SIGTERM, _terminated)
    given = list(sys.argv[1:] if arguments is None else arguments)
    given = ["--gate=worse" if one == "--gate" else one for one in given]  # the value is optional
    try:
        code = app(given, standalone_mode=False)
        if code == INTERRUPTED:
            raise KeyboardInterrupt
        _exit(code or 0)
    except InputError as error:
        _fail(str(error), 2, given)
    except Unavailable as error:
        _fail(f"{error}; to go on: {_again(given)}", 3, given)
    except (KeyboardInterrupt, typer.Abort):
        _fail(f"interrupted; to go on: {_again(given)}", 3, given)
    except OSError as error:
        _fail(
            f"{error.filename or 'the disk'}: {error.strerror or error}; mend that and go on: {_again(given)}", 3, given
        )
    except Exception as error:  # typer's usage errors derive from click's, which typer does not export
        if not hasattr(error, "format_message"):
            raise
        _fail(error.format_message(), 2, given)


def _terminated(*_: object) -> None:
    raise KeyboardInterrupt


def _exit(code: int) -> NoReturn:
    """End the process; one of several ranks at once, for the threads between ranks abort it now and then as it ends."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def _again(given: Sequence[str]) -> str:
    return shlex.join(["transfer-audit", *(one for one in given if one != "--fresh")])


def _fail(message: str, code: int, given: Sequence[str]) -> NoReturn:
    line = " ".join(message.split())
    sys.stderr.write(f"{line}\n")
    if "--json" in given:
        print_json({"error": line, "exit": code})
    _exit(code)
