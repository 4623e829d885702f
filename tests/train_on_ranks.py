"""Train on the ranks of a launch, in one go, killed and resumed, and without dropout; write what every rank has."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from safetensors.torch import save_file

from audit.adapt import loop
from audit.adapt.fit import fit
from audit.models.ranks import launched
from tests.test_fit_training import SETTINGS, Pull, classifier, collate, gradual, rows, state


class Killed(BaseException):
    """Stands for a signal, on all ranks."""


def train(checkpoints: Path | None = None, last: int | None = None, dropout: bool = True) -> tuple[Any, pd.DataFrame]:
    """Train group by group under a penalty; 4 steps an epoch."""
    model = classifier()
    for part in model.modules():
        if isinstance(part, torch.nn.Dropout) and not dropout:
            part.p = 0.0

    def told(done: int, total: int) -> None:
        if done == last:
            raise Killed

    curve = fit(
        model, rows(16), collate, SETTINGS, gradual(model), seed=0, penalties=[Pull(0.1)],
        checkpoints=checkpoints, progress=told, stop=lambda model, epoch: False,
    )  # fmt: skip
    return model, curve


if __name__ == "__main__":
    torch.set_num_threads(1)
    loop.SECONDS = 0.0
    out = Path(sys.argv[1])
    rank = launched().process_index
    try:
        train(out / "kept", last=6)
    except Killed:
        (out / f"{rank}.txt").write_text("\n".join(sorted(one.name for one in (out / "kept").iterdir())))
    for name, (model, curve) in {
        "resumed": train(out / "kept"),
        "whole": train(),
        "without": train(dropout=False),
    }.items():
        save_file(state(model), out / f"{name}-{rank}.safetensors")
        curve.to_pickle(out / f"{name}-{rank}.pkl")
    os._exit(0)  # gloo's threads abort a process now and then as it ends
