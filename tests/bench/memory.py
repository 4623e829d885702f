"""Peak memory of a process that holds a base and its adapter, over one that holds the base alone."""

from __future__ import annotations

import tempfile
from pathlib import Path

from audit.items.swap import axis, template_pairs
from tests.bench.material import random_adapter, write_items
from tests.bench.processes import ours
from tests.bench.table import Row, middle, share

__all__ = ["rows"]

ROUNDS = 3


def rows() -> list[Row]:
    """Load SmolLM2 and a LoRA of it as a pair, ask both 20 pairs; against the base alone, asked the same."""
    items = template_pairs(axis("gender"), 1)[:20]
    with tempfile.TemporaryDirectory() as name:
        adapter = random_adapter(Path(name) / "adapter")
        asked = write_items(items, Path(name) / "items.jsonl")
        rounds = [
            (float(ours(asked, "--adapter", str(adapter))[1]["peak"]), float(ours(asked)[1]["peak"]))
            for _ in range(ROUNDS)
        ]
    return [
        share(
            f"peak memory of a process, SmolLM2-135M in float32 asked {len(items)} pairs",
            rounds,
            "the memory",
            f"base and a LoRA of it: {middle(rounds, 0) / 1024:,.0f} MiB",
            f"the base alone: {middle(rounds, 1) / 1024:,.0f} MiB",
            goal=1.1,
        )
    ]
