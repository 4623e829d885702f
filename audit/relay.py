"""Recipe to report: resolve the base, assess the gap, adapt, evaluate the task, audit, report; resumable by stage."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from audit import steps
from audit.adapt.outline import trained_of
from audit.items.task import read_task
from audit.job import Job, Ticker, silent
from audit.models.ranks import agreed, leads
from audit.models.source import Source, file_hashes, resolve
from audit.models.weights import model_kind
from audit.origin import Arm
from audit.recipe import Gradient, Head, Recipe, runnable
from audit.report import AdaptedModel, Report
from audit.stages import Stages, code_hash, locked
from audit.steps.report import reported, started
from audit.view import Item

__all__ = ["audit_model", "run"]


def run(
    recipe: Recipe,
    text: str,
    out: Path,
    *,
    fresh: bool = False,
    command: Sequence[str] = (),
    tick: Ticker = silent,
) -> tuple[Report, dict[str, float]]:
    """Run a recipe.

    Parameters
    ----------
    recipe : Recipe
    text : str
        Of the recipe's file, for the report.
    out : Path
        Run folder. A run that was interrupted there goes on where it stopped.
    fresh : bool
        Start over.
    command : sequence of str
        What was typed, for the report.
    tick : callable
        Told about progress.

    Returns
    -------
    report : Report
    seconds : dict
        Wall time of each stage.

    Raises
    ------
    InputError, Unavailable
    """
    base_name, kind, method = runnable(recipe)
    data = read_task(recipe.task, recipe.columns)
    base = resolve(base_name, recipe.revision, recipe.gguf_file, tick=tick)
    job = Job(recipe, base, kind, data, out, tick=tick)
    job.check()
    steps.set_apart(job)
    if isinstance(method, Gradient):  # what cannot be trained is refused before anything is asked
        trained_of(base, kind, recipe.task, method, merge=recipe.domain is not None)
    cells = steps.fine_tuned_cells(recipe, job.data.train)
    with _stages(job, fresh) as stages:
        if leads():
            started(out / "stages" / "started.json", command)
        known = stages.run("stages/diligence", lambda folder: steps.diligence(job, folder))
        gap = stages.run("stages/gap", lambda folder: steps.gap(job, folder))
        transfer = stages.run("stages/transfer", lambda folder: steps.transfer(job, folder))
        trained_curves = _fine_tuned(job, stages, cells)
        seeds = method.seeds
        job.seed = seeds[0]
        domain = _domain(job, stages)
        models = [stages.run(f"models/seed-{seed}", steps.adaptation(job, seed)) for seed in seeds]
        job.adapted = Source(f"models/seed-{seeds[0]}", None, models[0], file_hashes(models[0]), base.license)
        task = stages.run("stages/task", lambda folder: steps.task(job, folder, models))
        bias = stages.run("stages/bias", lambda folder: steps.bias(job, folder))
        origin = _origin(job, stages, models)
        forgetting = stages.run("stages/forgetting", lambda folder: steps.forgetting(job, folder))
        curve = _strengths(job, stages)
        trained = json.loads((models[0] / "adaptation.json").read_text())
        adapted = AdaptedModel(
            id=job.adapted.id,
            method=method.method,
            trainable_parameters=trained["trainable_parameters"],
            seeds=list(seeds),
            files=job.adapted.files,
            settings=_settings(recipe),
        )
        report = reported(
            job,
            text,
            command,
            adapted,
            [known, gap, transfer, *trained_curves, *domain, task, bias, *origin, forgetting, *curve],
        )
    return report, stages.seconds


def _settings(recipe: Recipe) -> dict[str, Any]:
    """Say how the base was adapted, beyond the defaults."""
    assert recipe.adapt is not None
    settings = recipe.adapt.model_dump(mode="json", exclude_defaults=True, exclude={"method", "seeds"})
    if recipe.domain is not None:
        settings["domain"] = recipe.domain.model_dump(mode="json", exclude_defaults=True)
    return settings


def _domain(job: Job, stages: Stages) -> list[Path]:
    """Pretrain the base on its domain with every seed, if the recipe asks for it; the first speaks for all."""
    if job.recipe.domain is None or job.recipe.adapt is None:
        return []
    done = [stages.run(f"models/domain-seed-{seed}", steps.pretraining(job, seed)) for seed in job.recipe.adapt.seeds]
    return done[:1]


def _fine_tuned(job: Job, stages: Stages, asked: Sequence[steps.Cell]) -> list[Path]:
    """Draw the learning curves of the recipe's own adaptation, if the recipe asks for them."""
    if not asked:
        return []
    cells = {cell: stages.run(f"arms/{cell.name}", steps.fine_tuned_cell(job, cell)) for cell in asked}
    return [stages.run("stages/fine_tuned", lambda folder: steps.fine_tuned(job, folder, cells))]


def _strengths(job: Job, stages: Stages) -> list[Path]:
    """Ask the model at strengths between base and adapted, if the recipe asks for the curve."""
    asked = job.recipe.audit.forgetting
    if asked is None or not asked.strengths:
        return []
    points = {alpha: stages.run(f"strengths/{alpha:g}", steps.strength_point(job, alpha)) for alpha in asked.strengths}
    return [stages.run("stages/strength", lambda folder: steps.strength(job, folder, points))]


def _origin(job: Job, stages: Stages, models: Sequence[Path]) -> list[Path]:
    """Train and ask the control arms, if the recipe asks where a disparity came from."""
    method, asked = job.recipe.adapt, job.recipe.audit.bias
    if method is None or asked is None or not asked.origin:
        return []
    if not steps.attributable(job):
        return [stages.run("stages/origin", steps.unattributed)]
    arms: dict[Arm, list[Path]] = {}
    for name in steps.ARMS_TRAINED:
        ready = models if name == "adapted" and not isinstance(method, Head) else [None] * len(method.seeds)
        arms[name] = [
            stages.run(f"arms/{name}-seed-{seed}", steps.arm(job, name, seed, trained))
            for seed, trained in zip(method.seeds, ready, strict=True)
        ]
    return [stages.run("stages/origin", lambda folder: steps.origin(job, folder, arms))]


def audit_model(
    recipe: Recipe,
    text: str,
    base_name: str,
    adapted_name: str,
    out: Path,
    *,
    general: Sequence[Item] | None = None,
    fresh: bool = False,
    command: Sequence[str] = (),
    tick: Ticker = silent,
) -> tuple[Report, dict[str, float]]:
    """Audit an existing checkpoint, adapter, merged or GGUF file against its base, without training.

    The recipe's training rows that are also asked are dropped (or refused, or kept) as in a run: probes are fitted to
    them. What the checkpoint itself was trained on is not known.

    Parameters
    ----------
    recipe : Recipe
        For task, audits and margins; its base, kind and adapt are not used.
    text, out, fresh, command, tick
        As for `run`.
    base_name, adapted_name : str
        As in a recipe's ``base``.
    general : sequence of Item, optional
        General texts in place of the recipe's, for gap and forgetting.

    Returns
    -------
    report : Report
    seconds : dict
    """
    adapted = resolve(adapted_name, tick=tick)
    base = resolve(base_name, recipe.revision if base_name == recipe.base else None, recipe.gguf_file, tick=tick)
    kind = model_kind(base.folder)
    data = read_task(recipe.task, recipe.columns)
    job = Job(recipe, base, kind, data, out, adapted, tick=tick, general_items=general)
    job.check()
    unasked = kind in ("vision", "clip") and not job.images
    if not unasked:
        steps.set_apart(job)
    steps.fine_tuned_cells(recipe, job.data.train)  # refuses sizes that cannot be drawn
    asked = {
        "diligence": steps.diligence,
        "gap": steps.gap,
        "transfer": steps.transfer,
        "task": steps.task,
        "bias": steps.bias,
        "forgetting": steps.forgetting,
    }
    if unasked:
        asked = {name: asked[name] for name in ("diligence", "forgetting")}  # the others ask the task's items
    with _stages(job, fresh) as stages:
        done = [
            stages.run(f"stages/{name}", lambda folder, work=work: work(job, folder))  # type: ignore[misc]
            for name, work in asked.items()
        ]
        done += _strengths(job, stages)
        model = AdaptedModel(
            id=adapted_name, method="not known", trainable_parameters=None, seeds=[], files=adapted.files
        )
        report = reported(job, text, command, model, done)
    return report, stages.seconds


@contextmanager
def _stages(job: Job, fresh: bool) -> Iterator[Stages]:
    """Hold the run folder and its stages; of several ranks the first one writes."""
    with locked(job.folder) if leads() else nullcontext():
        key = _digest(job.fingerprint, code_hash())
        job.stages = Stages(job.folder, key, fresh=fresh, leads=leads(), agreed=agreed)
        yield job.stages


def _digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
