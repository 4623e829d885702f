"""The stages of the strength curve: what a model between base and adapted gains, and what it forgets."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import pandas as pd

from audit.adapt.control import group_silent
from audit.adapt.soften import soften
from audit.errors import InputError
from audit.job import Job
from audit.models.source import Source, file_hashes
from audit.probe import ProbedView
from audit.retention import Strength
from audit.steps.forgetting import judged
from audit.steps.task import performance
from audit.steps.written import Evidence, finish
from audit.view import NotMeasurable, View

__all__ = ["strength", "strength_point"]

ENDS = (0.0, 1.0)
POINT = "answers.parquet"  # what the model of one strength answered
HOW = (
    "Strength curve: at 0 the adapted model's own head, where it has one, reads the base's features; gains are over "
    "the base as the report asks it for the task. The findings of every strength are a family of their own."
)


def strength_point(job: Job, alpha: float) -> Callable[[Path], None]:
    """Return the stage that asks the model at one strength, and keeps what it says in place of its weights."""

    def work(folder: Path) -> None:
        try:
            finish(folder, [], curve=[_point(job, alpha, folder).model_dump(mode="json")])
        except (InputError, NotMeasurable) as reason:
            finish(folder, [], [f"The strength curve was not drawn: {reason}."], curve=[])
        finally:
            shutil.rmtree(folder / "model", ignore_errors=True)

    return work


def strength(job: Job, folder: Path, points: Mapping[float, Path]) -> None:
    """Put the curve together; base (0) and adapted (1) are its ends.

    ``points`` holds the folder of the stage of every strength that was asked.
    """
    for end in ENDS:
        if end not in points:
            place = folder / f"{end:g}"
            place.mkdir()
            strength_point(job, end)(place)
            points = {**points, end: place}
    results = [json.loads((points[alpha] / "result.json").read_text()) for alpha in sorted(points)]
    lacking = next((limit for result in results for limit in result["limits"]), None)
    curve = [] if lacking else [one for result in results for one in result["curve"]]
    kept = [points[alpha] / POINT for alpha in sorted(points) if curve]
    if kept:
        table = pd.concat([pd.read_parquet(path) for path in kept], ignore_index=True)
        table.to_parquet(folder / "evidence.parquet", index=False)
    finish(folder, [], [lacking or HOW], curve=curve)


def _point(job: Job, alpha: float, folder: Path) -> Strength:
    """Ask the task, paired with the base as the report asks it, and every probe."""
    assert job.adapted is not None
    classes = job.recipe.task.type in ("single_label", "multi_label")
    view: View = job.pair.adapted
    own = job.classifiers[1] if classes else view
    if alpha < 1:
        path = soften(job.base, job.adapted, alpha, folder / "model")
        softened = Source(f"{job.adapted.id} at {alpha:g}", None, path, file_hashes(path), job.adapted.license)
        asked = job.beside(softened).adapted
        asked.progress = job.tell
        view = asked
        own = _probed(job, view, own) if isinstance(own, ProbedView) else view
    answered = Evidence(job.seed)
    scored, _ = performance(job, own, answered)
    if scored.change is None:
        raise NotMeasurable("strength", "the base has no score in the task that a gain could be over")
    evidence, probed = Evidence(job.seed), Evidence(job.seed)
    evidence.keep_arm("adapted", f"task/{job.recipe.task.measure}", job.data.test, scored.scores[-1])
    evidence.write(folder)
    found = judged(job, view, probed)
    probed.tables += answered.tables
    _keep(probed, alpha, folder / POINT)
    return Strength(alpha=alpha, task=scored.adapted, gain=scored.change, findings=found.findings, broken=found.broken)


def _keep(probed: Evidence, alpha: float, file: Path) -> None:
    """Keep what the model of this strength answered, as an arm of its own; what the base did is kept elsewhere."""
    table = pd.concat(probed.tables, ignore_index=True)
    mine = table[table["arm"] == "adapted"]
    mine.assign(arm=f"strength {alpha:g}").to_parquet(file, index=False)


def _probed(job: Job, view: View, like: ProbedView) -> ProbedView:
    """Read the task's labels from features, by a probe fitted to the texts of the adapted model's own probe."""
    silenced = group_silent(job.data.train, job.axes)[0]
    return ProbedView(job.remembered(view), silenced, like.labels, several=job.recipe.task.type == "multi_label")
