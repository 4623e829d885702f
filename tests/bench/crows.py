"""CrowS-Pairs under a base and an adapted model, against lm-evaluation-harness; whole processes on both sides."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from tests.bench.material import crows, crows_file, random_adapter, smollm2, write_items
from tests.bench.processes import ours, peers_python, seconds_of
from tests.bench.table import Row, share

__all__ = ["rows"]

BATCH = 8  # the harness' best of 1, 2, 4, 8, 12, 16, 32, 64 on this base
TASK = """\
# The harness' own crows_pairs_english, with its data set replaced by the published file and nothing else changed.
include: {theirs}
tag: null
task: crows_pairs_file
dataset_path: csv
dataset_name: null
dataset_kwargs:
  data_files:
    test: {data}
"""


def rows(limit: int | None = None) -> list[Row]:
    """Ask base and adapted in one process, and again with the base's answers remembered; against two runs of theirs."""
    python, items = peers_python(), crows(limit)
    with tempfile.TemporaryDirectory() as name:
        here = Path(name)
        adapter = random_adapter(here / "adapter")
        asked, options = write_items(items, here / "items.jsonl"), ("--adapter", str(adapter), "--answers")
        ours(write_items(items[:4], here / "few.jsonl"), *options, str(here / "warm"))
        _theirs(python, here, 4)
        base, base_differs, version = _theirs(python, here, len(items))
        both, said = ours(asked, *options, str(here / "answers"))
        adapted, adapted_differs, _ = _theirs(python, here, len(items), adapter)
        second, again = ours(asked, *options, str(here / "answers"))
    for own, other in ((said["base"], base_differs), (said["adapted"], adapted_differs), (again["base"], base_differs)):
        if not abs(own - other) <= 1e-3:
            raise RuntimeError(f"mean |difference| within pairs: {own} nats here, {other} in lm-eval")
    what = f"{len(items):,} CrowS-Pairs under SmolLM2-135M and a LoRA of it, whole processes"
    theirs = f"lm-eval {version}, batches of {BATCH}: {base:.0f} s + {adapted:.0f} s, two processes"
    return [
        share(what, [(both, base + adapted)], "the time", f"both in one process: {both:.0f} s", theirs, goal=0.8),
        share(
            f"{what}, from the second adapted model on",
            [(second, base + adapted)],
            "the time",
            f"the base's answers remembered: {second:.0f} s",
            f"the same two processes; {second / adapted:.2f} × the time of the adapted one alone",
            goal=0.45,
        ),
    ]


def _theirs(python: str, here: Path, limit: int, adapter: Path | None = None) -> tuple[float, float, str]:
    """Run the harness' command; return its wall time, its mean |difference| within pairs, and its version."""
    tasks, out = here / "tasks", here / "out"
    tasks.mkdir(exist_ok=True)
    (tasks / "crows_pairs_file.yaml").write_text(TASK.format(theirs=_task_file(python), data=crows_file().resolve()))
    model = [f"pretrained={smollm2().folder}", "dtype=float32", *([f"peft={adapter}"] if adapter else [])]
    command = [python, "-m", "lm_eval", "run", "--model", "hf", "--model_args", ",".join(model), "--device", "cpu"]
    command += ["--batch_size", str(BATCH), "--tasks", "crows_pairs_file", "--include_path", str(tasks)]
    command += ["--limit", str(limit), "--output_path", str(out / "results.json")]
    seconds, _ = seconds_of(command, HF_HOME=str(here / "cache"))
    written = max(out.glob("*.json"), key=lambda path: path.stat().st_mtime_ns)
    said = json.loads(written.read_text(encoding="utf-8"))
    return seconds, said["results"]["crows_pairs_file"]["likelihood_diff,none"], said["lm_eval_version"]


def _task_file(python: str) -> str:
    _, said = seconds_of([python, "-m", "tests.bench.peers", "where"])
    return f"{said['lm_eval']}/tasks/crows_pairs/crows_pairs_english.yaml"
