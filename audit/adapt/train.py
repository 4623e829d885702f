"""Gradient methods: load what is trained, train it, write it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from audit.adapt.body import weights_by_name
from audit.adapt.fit import Penalty, fit
from audit.adapt.layers import groups_of
from audit.adapt.lp import fit_first
from audit.adapt.plan import Plan, Trained
from audit.adapt.protect import Pull, notes_of, penalties, softened_in_place
from audit.adapt.rows import training_rows, units_of
from audit.adapt.stopping import stopper
from audit.adapt.trainee import trainee, write_trained
from audit.adapt.tuner import merged, with_tuner
from audit.models.batch import Progress
from audit.models.source import Source
from audit.recipe import Gradient, LpFt, Peft
from audit.view import Item

__all__ = ["train"]

STOPPED = "epoch {epoch} went too far: kept is what epoch {kept} ended with"
NOTHING = (
    "epoch 1 went too far already, so that nothing was learnt: kept is what training began with; raise [adapt.protect] "
    "stop, or lower [adapt] learning_rate"
)
CUT = "{cut} of {rows} completions were cut at max_length = {longest}, and taught without an end"


def train(
    plan: Plan,
    items: Sequence[Item],
    seed: int,
    folder: Path,
    *,
    checkpoints: Path | None = None,
    progress: Progress | None = None,
) -> Trained:
    """Train a base for a task and write checkpoint or adapter (see `audit.adapt.adapt`).

    Notes
    -----
    A tuner on weights that only the pretraining on a domain made is merged into them: an adapter would hang on a base
    that nobody else has.
    """
    method = plan.method
    assert isinstance(method, Gradient)
    model, new = trainee(plan, seed)
    if isinstance(method, Peft):
        model = with_tuner(model, plan.kind, method, new, merge=plan.start is not None)
    rows, collate = training_rows(plan, model, items)
    groups = groups_of(model, method, new)
    trained = {name for group in groups for name in group.names}
    parameters = sum(one.numel() for name, one in model.named_parameters() if name in trained)
    if isinstance(method, LpFt):
        fit_first(model, plan, rows, collate, progress)
    added, stop = penalties(plan, model, seed), stopper(plan, model)
    curve = fit(
        model,
        rows,
        collate,
        method,
        groups,
        seed=seed,
        penalties=added,
        stop=stop,
        anchored=_anchored(model, added),
        fingerprint="" if checkpoints is None else plan.fingerprint(items, seed),
        checkpoints=checkpoints,
        progress=progress,
    )
    if isinstance(method, Peft) and plan.start is not None:
        model = merged(model)
    write_trained(plan, model, folder, units_of(items) if plan.task.type == "regression" else None)
    if (folder / "adapter_config.json").is_file():
        _finish_adapter(folder, plan.base, model)
    softened_in_place(plan, folder, method.protect.wise)
    notes = notes_of(added)
    if stop is not None and stop.at is not None:
        notes["stopped"] = STOPPED.format(epoch=stop.at + 1, kept=stop.at) if stop.at else NOTHING
    cut = sum(row.get("cut", False) for row in rows)
    if cut:
        notes["cut"] = CUT.format(cut=cut, rows=len(rows), longest=method.max_length)
    return Trained(parameters, curve, notes)


def _anchored(model: Any, penalties: Sequence[Penalty]) -> set[str]:
    """Names of the parameters that penalties hold near the base's."""
    held = {name for one in penalties if isinstance(one, Pull) for name in one.anchors}
    below = {id(one) for name, one in weights_by_name(model).items() if name in held} if held else set()
    return {name for name, one in model.named_parameters() if id(one) in below}


def _finish_adapter(folder: Path, base: Source, model: Any) -> None:
    """Name the base as the recipe does, pinned, instead of the folder it was read from; keep the label names."""
    path = folder / "adapter_config.json"
    config = json.loads(path.read_text())
    for name, value in vars(model.active_peft_config).items():
        if isinstance(value, set):  # written in an order that differs from process to process
            config[name] = sorted(config[name])
    config["base_model_name_or_path"], config["revision"] = base.id, base.revision
    path.write_text(json.dumps(config, indent=2, sort_keys=True))
    (folder / "README.md").unlink(missing_ok=True)  # a generic card; ours is rendered from the report
    inner = model.get_base_model().config
    inner.save_pretrained(folder)
