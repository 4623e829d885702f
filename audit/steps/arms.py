"""The stages that train control arms, ask them, and say where a disparity came from."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from audit.adapt import adapt
from audit.adapt.control import drawn, group_silent, random_twin
from audit.adapt.plan import Plan
from audit.audits import Question
from audit.audits.bias import Arms, attribute, column_of
from audit.job import Job
from audit.models.source import Source, file_hashes
from audit.origin import Arm
from audit.probe import ProbedView
from audit.recipe import Head
from audit.report import Arm as ArmRecord
from audit.steps.bias import classified, pair_sets
from audit.steps.domain import start_of
from audit.steps.task import reached, right
from audit.steps.written import Evidence, finish
from audit.view import View

__all__ = ["ARMS_TRAINED", "NAMES", "arm", "attributable", "origin", "unattributed"]

Array = NDArray[np.float64]
ARMS_TRAINED: tuple[Arm, ...] = ("adapted", "silent", "floor", "random")
NAMES: dict[Arm, str] = {
    "adapted": "adapted",
    "silent": "group_silent",
    "floor": "random_init_group_silent",
    "random": "random_init",
}
CAVEAT = (
    "Origins: inherited is what the same base and recipe show on group-silent training texts: the words of the swap "
    "lexicons made neutral, which changed {changed} of {total} texts. A name that no lexicon holds, and whatever else "
    "in them tells the group, was not silenced and is booked as inherited."
)
TOO_WEAK = (
    "Origins: models of random initial weights reach an accuracy of {reached:.3f}, a constant answer {majority:.3f}: "
    "too weak a control to be subtracted, so the group-silent arm is held against the margin alone."
)
UNSPOKEN = (
    "Origins: not told for {columns}: no lexicon that [audit.bias.groups] names for it changes any training text, so "
    "what came with the base cannot be told from what the data brought."
)
RECIPE = (
    "Origins are claims about the recipe, over {count} trainings of every arm; what one of its checkpoints shows may "
    "differ."
)
DOMAIN = (
    "Origins: every arm was pretrained on the domain as the base is, random initial weights too; in group-silent arms "
    "its texts were silenced like the training texts, so that what they bring is not booked as inherited."
)
GENERAL = "Origins: in group-silent arms the items of [adapt.protect] were silenced, too."
NOTHING = (
    "Where a disparity came from was not measured: the recipe asks nothing signed whose groups a lexicon speaks of."
)
DRAWN = (
    "Origins: a head has no seed; every arm was fitted to {count} bootstrap draws of its training texts instead. A "
    "base without a head of its own is read out by the group-silent heads."
)


def arm(job: Job, name: Arm, seed: int, trained: Path | None = None) -> Callable[[Path], None]:
    """Return the stage that trains one arm with one seed, asks it, and keeps its answers in place of its weights.

    Parameters
    ----------
    job : Job
    name : {"adapted", "silent", "floor", "random"}
    seed : int
    trained : Path, optional
        A model of the recipe itself that is this arm already.
    """
    called = NAMES[name] if name != "adapted" or trained else "adapted_drawn"

    def work(folder: Path) -> None:
        base, model = job.base, trained
        if name in ("floor", "random"):
            twin = folder / "twin"
            twin.mkdir()
            base = random_twin(base, job.kind, seed, twin)
        if model is None:
            model = folder / "model"
            model.mkdir()
            items = group_silent(job.data.train, job.axes)[0] if name in ("silent", "floor") else job.data.train
            if isinstance(job.recipe.adapt, Head):
                items = drawn(items, seed, within_labels=job.recipe.task.type == "single_label")
            plan = _plan(job, base, seed, folder / "start", silent=name in ("silent", "floor"))
            adapt(plan, items, seed, model, progress=job.tell)
        source = Source(f"{called} (seed {seed})", None, model, file_hashes(model), base.license)
        view = job.beside(source, base).adapted
        evidence = Evidence(seed)
        for one in _signed(job, view):
            evidence.keep_arm(called, one.id, one.items, one.adapted)
        evidence.write(folder)
        record = ArmRecord(name=called, seed=seed, sha256=source.sha256, task=reached(job, view))
        (folder / "arm.json").write_text(record.model_dump_json())
        (folder / "accuracy.json").write_text(json.dumps(float(right(view, job.data.test).mean())))
        for scratch in ("twin", "start", "model"):
            shutil.rmtree(folder / scratch, ignore_errors=True)

    return work


def _plan(job: Job, base: Source, seed: int, start: Path, *, silent: bool) -> Plan:
    """All that the recipe does to its base, done to what stands in its place; silent, in no text that it brings."""
    general = group_silent(job.plan.general, job.axes)[0] if silent else job.plan.general
    return replace(job.plan, base=base, general=general, start=start_of(job, base, seed, start, silent=silent))


def _signed(job: Job, view: View) -> list[Question]:
    """Ask one model every declared signed question whose groups a lexicon speaks of."""
    asked = job.recipe.audit.bias
    assert asked is not None
    both, unspoken = classified(job, asked, pair_sets(job, asked)[0], view, view), _unspoken(job)
    spoken = [one for one in both.groups if column_of(one, job.recipe.columns) not in unspoken]
    return [one for one in (*both.swaps, *spoken) if one.signed]


def _unspoken(job: Job) -> list[str]:
    """Sensitive columns whose groups no lexicon silences in the training texts."""
    asked = job.recipe.audit.bias
    if asked is None or asked.groups is None:
        return []
    axes, lexicon = dict(zip(asked.swaps, job.axes, strict=True)), asked.groups.lexicon
    speaking = {name for name in set(lexicon.values()) if group_silent(job.data.train, [axes[name]])[1]}
    return [column for column in asked.groups.columns if lexicon.get(column) not in speaking]


def attributable(job: Job) -> bool:
    """Tell whether there is any disparity whose origin could be told."""
    return bool(_signed(job, job.classifiers[0]))


def unattributed(folder: Path) -> None:
    """Say that no origin was looked for, in place of arms that would answer nothing."""
    finish(folder, [], [NOTHING], decompositions=[])


def origin(job: Job, folder: Path, arms: Mapping[Arm, Sequence[Path]]) -> None:
    """Decompose every declared signed disparity over the arms.

    ``arms`` holds the folders of the stages of every trained arm, in the order of the recipe's seeds.
    """
    assert job.recipe.adapt is not None
    tables = {name: [pd.read_parquet(stage / "evidence.parquet") for stage in arms[name]] for name in ARMS_TRAINED}
    records = {
        name: [ArmRecord.model_validate_json((stage / "arm.json").read_text()) for stage in arms[name]]
        for name in ARMS_TRAINED
    }
    accuracy: dict[str, float] = {  # whatever the recipe's metric: a control that does no better than chance is none
        name: float(np.mean([json.loads((stage / "accuracy.json").read_text()) for stage in arms[name]]))
        for name in ARMS_TRAINED
    }
    family = _family(job, tables)
    constant = max(Counter(item.label for item in job.data.test).values()) / len(job.data.test)
    found = attribute(family, seeds=job.recipe.adapt.seeds, accuracy=accuracy, majority=constant)
    limits = [CAVEAT.format(changed=group_silent(job.data.train, job.axes)[1], total=len(job.data.train))]
    if found:
        limits.append(RECIPE.format(count=len(job.recipe.adapt.seeds)))
    if job.recipe.domain is not None:
        limits.append(DOMAIN)
    if job.plan.general:
        limits.append(GENERAL)
    if found and not found[0].capable:
        limits.append(TOO_WEAK.format(reached=min(accuracy["floor"], accuracy["random"]), majority=constant))
    if isinstance(job.recipe.adapt, Head):
        limits.append(DRAWN.format(count=len(job.recipe.adapt.seeds)))
    unspoken = _unspoken(job)
    if unspoken:
        limits.append(UNSPOKEN.format(columns=", ".join(unspoken)))
    whole = pd.concat([table for some in tables.values() for table in some], ignore_index=True)
    whole.to_parquet(folder / "evidence.parquet", index=False)
    finish(
        folder,
        [],
        limits,
        decompositions=[one.model_dump(mode="json") for one in found],
        controls=[one.model_dump(mode="json") for some in records.values() for one in some if one.name != "adapted"],
    )


def _family(job: Job, tables: Mapping[Arm, Sequence[pd.DataFrame]]) -> list[Arms]:
    """Score every disparity in every arm.

    A base without a head is read out by probes; where the recipe itself is a head on frozen features, its group-silent
    arm is just such a read-out, and no other could differ from it by how it reads.
    """
    base, seeds = job.classifiers[0], len(tables["adapted"])
    read = base.refits(seeds) if isinstance(base, ProbedView) else [base]
    if isinstance(job.recipe.adapt, Head) and isinstance(base, ProbedView):
        read = []
    asked = [_signed(job, copy) for copy in read or [base]]
    family = []
    for number, one in enumerate(asked[0]):
        scores: dict[Arm, Array] = {
            name: _by_cluster(one, [_answers(table, one) for table in tables[name]]) for name in ARMS_TRAINED
        }
        rows = [copy[number].adapted for copy in asked]
        scores["base"] = _by_cluster(one, rows * (seeds // len(rows))) if read else scores["silent"]
        answers = np.concatenate([*rows, *(_answers(table, one) for table in tables["adapted"])])
        family.append(
            Arms(
                one.id,
                one.margin,
                sorted(set(one.clusters)),
                scores,
                limiting=one.compared().n_clusters,
                counts=bool(np.isin(answers, (0.0, 1.0)).all()),
            )
        )
    return family


def _by_cluster(question: Question, rows: Sequence[Array]) -> Array:
    """Scores of every seed and cluster, shape (n_seeds, n_clusters)."""
    return np.stack([question.by_cluster(row, question.clusters) for row in rows])


def _answers(table: pd.DataFrame, question: Question) -> Array:
    """What an arm scored on the items of a question, in their order."""
    mine = table[table["question"] == question.id].set_index("item_id")["value"]
    answers: Array = mine.loc[[item.id for item in question.items]].to_numpy(dtype=np.float64)
    return answers
