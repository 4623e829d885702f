"""Run benchmarks and write their table: ``python -m tests.bench [NAME ...] [--limit N]``."""

from __future__ import annotations

import argparse
import os
import platform
import sys
from datetime import UTC, datetime
from importlib import metadata

for name in (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "HF_HUB_OFFLINE",
    "HF_HUB_DISABLE_PROGRESS_BARS",
):
    os.environ[name] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["TRANSFORMERS_VERBOSITY"] = "error"

from tests.bench import bare, crows, embed, forgetting, gap, gpu, head, memory, methods, pll, space, statistics
from tests.bench.table import Absent, Row, load, save, table

SECTIONS = {
    "Statistics": ("statistics", "gap"),
    "Scoring on a CPU (one thread)": ("crows", "pll", "embed", "bare", "memory"),
    "What real adaptations forget": ("forgetting",),
    "Every way to adapt": ("methods", "head"),
    "Looking at a report": ("space",),
    "Scoring on a GPU": ("gpu",),
}
VERSIONS = ("torch", "transformers", "peft", "numpy", "fairlearn", "pandas")


def measure(name: str, limit: int | None) -> list[Row]:
    """Run one benchmark."""
    match name:
        case "statistics":
            return statistics.rows()
        case "gap":
            return gap.rows(limit)
        case "crows":
            return crows.rows(limit)
        case "pll":
            return pll.rows(limit)
        case "embed":
            return embed.rows(limit)
        case "bare":
            return bare.rows(limit)
        case "forgetting":
            return forgetting.rows(limit)
        case "methods":
            return methods.rows(limit)
        case "head":
            return head.rows(limit)
        case "space":
            return space.rows(limit)
        case "memory":
            return memory.rows()
        case _:
            return gpu.rows(limit)


def main() -> None:
    """Run what is named, or all; what was not run, or cannot be, keeps its last line."""
    known = [name for names in SECTIONS.values() for name in names]
    parser = argparse.ArgumentParser(prog="python -m tests.bench")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(known)}; all where none is named")
    parser.add_argument("--limit", type=int, help="use the first N items only, to try; prints, and writes no table")
    given = parser.parse_args()
    if unknown := set(given.names) - set(known):
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}; choose from {', '.join(known)}")
    command = " ".join(["python -m tests.bench", *given.names])
    versions = ", ".join(f"{package} {metadata.version(package)}" for package in VERSIONS)
    results = load()
    for name in given.names or known:
        try:
            rows = measure(name, given.limit)
        except Absent as reason:
            sys.stderr.write(f"{name}: skipped: {reason}\n")
            if "date" not in results.get(name, {}):
                results[name] = {"rows": [Row("", "", f"`{name}`", f"skipped: {reason}", "")]}
            continue
        sys.stdout.write("\n".join(table(rows)) + "\n")
        sys.stdout.flush()
        results[name] = {
            "date": f"{datetime.now(UTC):%Y-%m-%d}",
            "command": command,
            "versions": f"Python {platform.python_version()}, {versions}, {os.cpu_count()} cores",
            "rows": rows,
        }
        if given.limit is None:
            save(results, SECTIONS)
    if given.limit is None:
        save(results, SECTIONS)


if __name__ == "__main__":
    main()
