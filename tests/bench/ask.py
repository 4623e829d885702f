"""A process that asks pairs: ``python -m tests.bench.ask ITEMS [--adapter FOLDER] [--answers FOLDER]``."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np

from audit.models.load import load_base, load_pair
from audit.models.source import resolve
from audit.view import View, read_items, remember
from tests.bench.material import smollm2

__all__: list[str] = []


def main() -> None:
    """Ask the base, and the adapted model where one is named; print the mean difference within pairs, and the peak."""
    parser = argparse.ArgumentParser()
    parser.add_argument("items", type=Path)
    parser.add_argument("--adapter")
    parser.add_argument("--answers", type=Path)
    given = parser.parse_args()
    views: dict[str, View]
    if given.adapter is None:
        views = {"base": load_base(smollm2(), "causal")}
    else:
        pair = load_pair(smollm2(), resolve(given.adapter), "causal")
        views = {"base": pair.base, "adapted": pair.adapted}
    if given.answers is not None:
        views["base"] = remember(views["base"], given.answers)
    items, said = read_items(given.items), {}
    for side, view in views.items():
        nats = view.ask("log_likelihood", items)
        said[side] = float(np.abs(nats[:, 0] - nats[:, 1]).mean())
    sys.stdout.write(json.dumps({**said, "peak": peak_memory()}) + "\n")


def peak_memory() -> int:
    """Peak resident memory of this process in KiB.

    What `resource.getrusage` says on Linux includes the process that started this one; the kernel's own file does not.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1])
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // (1024 if sys.platform == "darwin" else 1)


if __name__ == "__main__":
    main()
