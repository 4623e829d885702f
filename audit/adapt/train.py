"""Gradient methods: load what is trained, train it, write it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transformers import AutoModelForCausalLM, set_seed

from audit.adapt.fit import fit
from audit.adapt.head import new_classifier
from audit.adapt.layers import groups_of
from audit.adapt.plan import Plan, Trained
from audit.adapt.protect import penalties
from audit.adapt.rows import training_rows
from audit.adapt.tuner import with_tuner
from audit.models.batch import Progress
from audit.models.source import Source
from audit.models.tokens import load_tokenizer
from audit.models.weights import load_weights
from audit.recipe import Gradient, Peft
from audit.view import Item

__all__ = ["train", "trainee"]


def train(
    plan: Plan,
    items: Sequence[Item],
    seed: int,
    folder: Path,
    *,
    checkpoints: Path | None = None,
    progress: Progress | None = None,
) -> Trained:
    """Train a base for a task and write checkpoint or adapter (see `audit.adapt.adapt`)."""
    method = plan.method
    assert isinstance(method, Gradient)
    model, new = trainee(plan, seed)
    if isinstance(method, Peft):
        model = with_tuner(model, plan.kind, method, new)
    rows, collate = training_rows(plan, model, items)
    curve = fit(
        model, rows, collate, method, groups_of(model, method, new), seed=seed,
        penalties=penalties(plan, model, seed), checkpoints=checkpoints, progress=progress,
    )  # fmt: skip
    model.save_pretrained(folder)
    load_tokenizer(plan.base).save_pretrained(folder)
    if isinstance(method, Peft):
        _finish_adapter(folder, plan.base, model)
    return Trained(sum(p.numel() for p in model.parameters() if p.requires_grad), curve)


def trainee(plan: Plan, seed: int) -> tuple[Any, set[str]]:
    """Load what is trained, under a fresh head where the task needs one.

    Returns
    -------
    model
    new : set of str
        Names of the tensors that the base did not have.
    """
    if plan.kind == "causal":
        set_seed(seed)
        model, _ = load_weights(AutoModelForCausalLM, plan.begins)
        return model, set()
    return new_classifier(plan.begins, plan.task.names, seed)


def _finish_adapter(folder: Path, base: Source, model: Any) -> None:
    """Name the base as the recipe does, pinned, instead of the folder it was read from; keep the label names."""
    path = folder / "adapter_config.json"
    config = json.loads(path.read_text())
    config["base_model_name_or_path"], config["revision"] = base.id, base.revision
    path.write_text(json.dumps(config, indent=2, sort_keys=True))
    (folder / "README.md").unlink(missing_ok=True)  # a generic card; ours is rendered from the report
    inner = model.get_base_model().config
    inner.save_pretrained(folder)
