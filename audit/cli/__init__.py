"""The command ``transfer-audit``: parses, calls one function, prints."""

from __future__ import annotations

import os
import signal
import sys
import warnings
from collections.abc import Sequence
from typing import NoReturn

import typer

from audit.cli import gating, hub, recipes, remote, runs, showing, verifying
from audit.cli.options import again
from audit.errors import InputError, Unavailable
from audit.printing import print_json

__all__ = ["app", "main"]

INTERRUPTED = 130  # what typer makes of Ctrl-C

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Adapt a pretrained base, then audit the adapted model against its own base.",
)
for command in (
    *(runs.run, runs.audit, runs.choose),
    *(recipes.validate, recipes.recipes, recipes.diff, recipes.cp, recipes.pin),
    *(runs.card, runs.soften, runs.compare, gating.gate, verifying.verify, showing.show),
    *(hub.publish, remote.post, remote.watch),
):
    app.command()(command)


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
        _fail(f"{error}; to go on: {again(given)}", 3, given)
    except (KeyboardInterrupt, typer.Abort):
        _fail(f"interrupted; to go on: {again(given)}", 3, given)
    except OSError as error:
        _fail(
            f"{error.filename or 'the disk'}: {error.strerror or error}; mend that and go on: {again(given)}", 3, given
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


def _fail(message: str, code: int, given: Sequence[str]) -> NoReturn:
    line = " ".join(message.split())
    sys.stderr.write(f"{line}\n")
    if "--json" in given:
        print_json({"error": line, "exit": code})
    _exit(code)
