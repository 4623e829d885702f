"""The command that shows reports: on this machine, or as one static page."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from audit.cli.options import Json
from audit.errors import InputError, Unavailable
from audit.printing import console, print_json
from audit.publish.space import space_files, space_folder
from audit.report import load_report
from audit.stages import write_atomically

__all__ = ["show"]

HOST = "127.0.0.1"


def show(
    runs: Annotated[list[Path], typer.Argument(help="Run folders; several can be compared.")],
    port: Annotated[int, typer.Option(help="Of the local server; 0 takes a free one.")] = 7860,
    live: Annotated[bool, typer.Option("--live", help="Load both models of the run, to ask them yourself.")] = False,
    static: Annotated[
        Path | None, typer.Option(help="Write a static page into this folder, and serve nothing.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Look at reports in a browser; nothing leaves this machine."""
    title = _title(runs)
    if static is not None:
        return _write(runs, title, static, as_json)
    if live and len(runs) != 1:
        raise InputError(f"--live with {len(runs)} runs: it asks the two models of one")
    if not 0 <= port < 65536:
        raise InputError(f"--port {port}: give 0 to 65535")
    app = _app()
    answer, axes = _live(runs[0]) if live else (None, ())
    folders = [run if run.is_dir() else run.parent for run in runs]
    page = app.build(folders, answer, axes=axes, title=title)
    try:
        _, url, _ = app.launch(page, server_name=HOST, server_port=port or None, prevent_thread_lock=True)
    except OSError as error:
        raise Unavailable(f"{HOST}:{port}: {error}") from None
    if as_json:
        print_json({"url": url, "runs": [str(run) for run in runs]})
    else:
        console().print(f"{url}  (Ctrl-C ends it)", highlight=False, soft_wrap=True)
    page.block_thread()


def _title(runs: list[Path]) -> str:
    """Name what is shown, and refuse a folder without a report before anything is started."""
    names = list(dict.fromkeys(load_report(run).recipe.name for run in runs))
    return f"{', '.join(names)}: audited"


def _write(runs: list[Path], title: str, folder: Path, as_json: bool) -> None:
    files = space_files(runs, sdk="static", title=title)
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / path, content)
    index = folder / "index.html"
    if as_json:
        return print_json({"page": str(index), "files": sorted(files)})
    console().print(f"page: {escape(str(index))}", highlight=False, soft_wrap=True)


def _app() -> Any:
    """Import the shipped app, which imports what lies beside it by plain names."""
    if importlib.util.find_spec("gradio") is None:
        raise InputError(
            'show needs gradio: pip install "transfer-audit[space]"; or write a page without it: --static FOLDER'
        )
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    sys.path.insert(0, str(space_folder()))
    return importlib.import_module("app")


def _live(run: Path) -> tuple[Any, tuple[str, ...]]:
    from audit.live import live

    return live(run)
