"""Ask a view on the ranks of ``accelerate launch`` and write what every rank heard."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import torch

from audit.items import passages
from audit.models.load import load_base
from audit.models.ranks import launched
from audit.models.source import resolve
from audit.view import Item, NotMeasurable

if __name__ == "__main__":
    torch.set_num_threads(1)
    folder, kind, out = sys.argv[1:]
    rank = launched().process_index
    view = load_base(resolve(folder), kind)  # type: ignore[arg-type]
    question = "log_likelihood" if kind == "causal" else "embedding"
    texts = list(passages()[::40])
    np.save(Path(out) / f"{rank}.npy", view.ask(question, texts))
    np.save(Path(out) / f"few-{rank}.npy", view.ask(question, texts[:1]))  # fewer items than ranks
    try:
        view.ask("pseudo_log_likelihood", [*texts, Item(id="e", cluster="e", text="")])
    except NotMeasurable as reason:
        (Path(out) / f"{rank}.txt").write_text(str(reason))
    answered = view._within_memory
    if rank == 1:  # which runs out of memory, once

        def fail(*_: object) -> None:
            view._within_memory = answered  # type: ignore[method-assign]
            raise NotMeasurable(question, "not enough memory")

        view._within_memory = fail  # type: ignore[method-assign,assignment]
    try:
        view.ask(question, texts)
    except NotMeasurable as reason:
        (Path(out) / f"memory-{rank}.txt").write_text(str(reason))
    np.save(Path(out) / f"after-{rank}.npy", view.ask(question, texts[::-1])[::-1])
    os._exit(0)  # gloo's threads abort a process now and then as it ends
