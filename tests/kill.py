"""Run a recipe and kill the process -9 at a chosen point: ``python -m tests.kill TABLE OUT POINT``."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

POINTS = ("diligence", "gap", "transfer", "seed-0", "task", "bias", "forgetting", "training", "report")


def die(*_: Any, **__: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def main(table: str, out: str, point: str) -> None:
    import torch

    torch.set_num_threads(1)
    from audit import relay, stages
    from audit.adapt.loop import Report as Told
    from audit.recipe import parse_recipe
    from audit.report import Report

    if point == "training":
        Told.on_step_end = die  # type: ignore[method-assign]
    elif point == "report":
        Report.save = die  # type: ignore[method-assign]
    else:  # all of a stage is written, and not yet under its name
        done = iter(POINTS)
        sync = stages.sync

        def die_in_time(folder: Path) -> None:
            if next(done) == point:
                die()
            sync(folder)

        stages.sync = die_in_time
    recipe = parse_recipe(json.loads(table), "tiny.toml")
    relay.run(recipe, "", Path(out))


if __name__ == "__main__":
    main(*sys.argv[1:])
