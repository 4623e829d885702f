"""Processes that are timed or weighed as a whole: ours, and those of the peers in an environment of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tests.bench.table import Absent

__all__ = ["ours", "peers_python", "seconds", "seconds_of"]

ROOT = Path(__file__).parents[2]

# of every process, ours and theirs: one thread, no network, no progress bars
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "HF_HUB_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "TQDM_DISABLE": "1",
}


def seconds(work: Callable[[], object]) -> float:
    """Wall time of one call."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def peers_python() -> str:
    """Return the interpreter of the peers' environment.

    Raises
    ------
    Absent
        If there is none.
    """
    named = os.environ.get("PEERS_PYTHON") or str(ROOT / ".venv-peers" / "bin" / "python")
    if not Path(named).is_file():
        raise Absent("no environment with the peers (`make bench` makes one; PEERS_PYTHON names another's interpreter)")
    return named


def seconds_of(command: Sequence[str], **environment: str) -> tuple[float, Any]:
    """Run a process; return the wall time of all of it, and what its last line of output says, where that is JSON.

    Raises
    ------
    RuntimeError
        If it fails, with the end of what it said.
    """
    started = time.perf_counter()
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **ENVIRONMENT, **environment}, capture_output=True, text=True
    )
    took = time.perf_counter() - started
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    last = (done.stdout.strip().splitlines() or [""])[-1]
    return took, json.loads(last) if last.startswith("{") else None


def ours(items: Path, *options: str) -> tuple[float, Any]:
    """Run `tests.bench.ask` in a process of its own."""
    return seconds_of([sys.executable, "-m", "tests.bench.ask", str(items), *options])
