"""The stage that compares both sides on general items, beside what null copies of the base show."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from audit.audits import Question, floor_of
from audit.audits.forgetting import Forgotten, Probe, asked, compared
from audit.audits.forgetting.cka import feature_drift
from audit.items import thinned
from audit.job import Job
from audit.models.drift import unshared, weight_drift
from audit.models.null import null_copies
from audit.models.ranks import agreed, leads
from audit.models.source import cache_folder
from audit.models.stored import HEAD
from audit.retention import FeatureDrift, WeightDrift
from audit.stages import code_hash, write_atomically
from audit.steps.kept import keep_options, keep_order
from audit.steps.probes import probes_of
from audit.steps.written import PRECISE, Evidence, finish, higher, rows
from audit.view import Item, NotMeasurable, View, fingerprint

__all__ = ["forgetting", "judged"]

DRIFT = 64  # items on which layers are compared: each costs a pass of its own
INSIDE = 200  # of the task's own texts
NO_FLOOR = (
    "Forgetting: null copies of the base were not asked (floor = false): changes are held against the margins alone."
)


def forgetting(job: Job, folder: Path) -> None:
    """Ask both sides every probe, and compare their layers and weights."""
    if job.recipe.audit.forgetting is None:
        return finish(folder, [], ["Forgetting was not measured: the recipe has no [audit.forgetting]."])
    evidence = Evidence(job.seed)
    floor = _floor(job)
    found = _asked(job, job.pair.adapted, floor, evidence)
    keep_order(evidence)
    evidence.write(folder)
    features, limits = _features(job)
    weights, more = _weights(job)
    return finish(
        folder,
        found.findings,
        [*found.limits, *limits, *more, *([] if job.recipe.audit.forgetting.floor else [NO_FLOOR])],
        floor=floor,
        flips=[one.model_dump(mode="json") for one in found.flips],
        broken=found.broken,
        weights=[one.model_dump(mode="json") for one in weights],
        features=[one.model_dump(mode="json") for one in features],
        preflight=job.pair.preflight,
    )


def judged(job: Job, adapted: View, evidence: Evidence) -> Forgotten:
    """Judge another model made of the same base (of another strength, say) by the same probes and floor."""
    return _asked(job, adapted, _floor(job), evidence)


def _asked(job: Job, adapted: View, floor: Sequence[dict[str, Any]], evidence: Evidence) -> Forgotten:
    highest: dict[str, float] = {}
    for row in floor:
        highest[row["finding"]] = max(highest.get(row["finding"], 0.0), row["floor"])
    seen: list[Question] = []
    probes = [Probe(one.name, partial(_seen, one.ask, seen)) for one in _probes(job)]
    base = job.remembered(job.pair.base)
    found = compared(base, job.remembered(adapted), probes, floor=highest, keep=evidence.keep)
    groups = {one.id for one in found.findings if one.group is not None}
    for one in seen:
        if one.id in groups:
            evidence.keep(one.id, one.items, one.base, one.adapted)
        elif one.group is None:
            keep_options(evidence, one)
    return found


def _seen(
    ask: Callable[[View, View], list[Question]], seen: list[Question], base: View, adapted: View
) -> list[Question]:
    """Ask a probe, and note what it asked: `compared` hands on the scores of the declared questions alone."""
    found = ask(base, adapted)
    if base is not adapted:  # else a side is held against itself, after the probe failed
        seen += found
    return found


def _probes(job: Job) -> list[Probe]:
    wanted = job.recipe.audit.forgetting
    assert wanted is not None
    inside = _inside(job)
    return probes_of(job.kind, job.packs, wanted, inside, _prompts(job, inside) if job.kind == "causal" else ())


def _inside(job: Job) -> list[Item]:
    """The task's own test items, where this base reads them."""
    assert job.recipe.audit.forgetting is not None
    if job.kind in ("vision", "clip") and not job.images:
        return []
    return thinned(job.data.test, min(INSIDE, job.recipe.audit.forgetting.limit or INSIDE))


def _prompts(job: Job, items: Sequence[Item]) -> list[Item]:
    """Texts as a causal model is asked for their class: a prompt, and the labels behind it (or the target text)."""
    if job.recipe.task.type == "completion":
        return [Item(id=item.id, cluster=item.cluster, prompt=item.text, options=(item.label or "",)) for item in items]
    options = tuple(job.readout.completion(label) for label in job.readout.labels)
    return [
        Item(
            id=item.id,
            cluster=item.cluster,
            prompt=job.readout.prompt.replace("{text}", item.text or ""),
            options=options,
        )
        for item in items
    ]


# --- the floor --------------------------------------------------------------------------------------------------------


def _floor(job: Job) -> list[dict[str, Any]]:
    """What null copies of the base show by every probe: remembered, for it depends on the base and the items alone."""
    wanted, base = job.recipe.audit.forgetting, job.pair.base
    assert wanted is not None
    found: list[dict[str, Any]] = []
    if job.precise is not None:
        null = compared(job.precise, job.remembered(base), _probes(job)).findings
        found += rows(higher({}, null), PRECISE)
    if not wanted.floor:
        return found
    recipe = wanted.model_dump_json(exclude={"margins", "strengths"})  # which change nothing that is measured here
    said = [base.id, job.packs.fingerprint, fingerprint(_inside(job)), job.readout.id, recipe]
    name = hashlib.sha256("\n".join(said).encode()).hexdigest()
    path = cache_folder() / "floors" / code_hash()[:16] / f"{name}.json"
    measured = agreed(_kept(path))
    if measured is None:
        measured = [row for name, copy in _copies(job) for row in _shown(job, name, copy)]
        if leads():
            _keep(path, measured)
    return found + measured


def _kept(path: Path) -> list[dict[str, Any]] | None:
    """A floor that was measured before; None where there is none, or it is torn."""
    try:
        measured: list[dict[str, Any]] = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return measured if isinstance(measured, list) and all("copies" in row for row in measured) else None


def _keep(path: Path, measured: list[dict[str, Any]]) -> None:
    """Keep a floor; where that cannot be done (a full disk, a folder that is read-only), it is measured again."""
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, json.dumps(measured).encode())


def _copies(job: Job) -> Iterator[tuple[str, View]]:
    for name, copy in null_copies(job.base, job.kind, job.prompted, job.recipe.audit.dtype):
        copy.progress = job.tell
        yield name, copy


def _shown(job: Job, name: str, copy: View) -> list[dict[str, Any]]:
    answers = asked(job.remembered(job.pair.base), copy, _probes(job))
    return rows(floor_of([answers.questions]), name)


# --- layers -----------------------------------------------------------------------------------------------------------


def _features(job: Job) -> tuple[list[FeatureDrift], list[str]]:
    """How far the features of every layer moved, on general items and on the task's own."""
    base, adapted = job.remembered(job.pair.base), job.remembered(job.pair.adapted)
    found: list[FeatureDrift] = []
    try:
        found += feature_drift(base, adapted, thinned(job.packs.general, DRIFT), "general")
        if inside := _inside(job):
            found += feature_drift(base, adapted, thinned(inside, DRIFT), "in domain")
    except NotMeasurable as reason:
        return found, [f"How far the features moved was not measured: {reason}."]
    return found, []


def _weights(job: Job) -> tuple[list[WeightDrift], list[str]]:
    """How far the weights of every layer moved, and what could not be compared."""
    assert job.adapted is not None
    try:
        moved = weight_drift(job.base, job.adapted, job.kind)
    except NotMeasurable as reason:
        return [], [f"How far the weights moved was not measured: {reason}."]
    alone = [sum(not name.startswith(HEAD) for name in names) for names in unshared(job.base, job.adapted)]
    if not any(alone):
        return moved, []
    return moved, [
        f"Weights: {alone[0]} tensors of the base and {alone[1]} of the adapted model have no counterpart on the other "
        "side and were not compared."
    ]
