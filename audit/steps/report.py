"""What a run leaves behind: one report out of all stages, the evidence that may leave the machine, and the card."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shlex
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from audit.diligence import Check
from audit.finding import Finding
from audit.items.overlap import overlap_limits
from audit.job import Job
from audit.models.ranks import agreed, leads
from audit.models.weights import accelerator
from audit.origin import Decomposition
from audit.publish.card import render
from audit.recipe.pinned import unpinned
from audit.report import AdaptedModel, BaseModelRecord, Provenance, RecipeRecord, Report, load_report
from audit.retention import FeatureDrift, Flips, Strength, WeightDrift
from audit.savings import Curve, Needed, Saving
from audit.scale import Scale
from audit.stages import write_atomically
from audit.steps.trained import UNKNOWN, as_audited, known_sets, trained_on, trainings, unlike_asked
from audit.steps.written import PRECISE

__all__ = ["reported", "started"]

MOVED = 20  # items of every finding that are listed as having moved most
TOOL = f"transfer-audit {metadata.version('transfer-audit')}"


def reported(job: Job, text: str, command: Sequence[str], adapted: AdaptedModel, stages: Sequence[Path]) -> Report:
    """Write report, evidence and card once, and return the report on every rank.

    Parameters
    ----------
    job : Job
    text : str
        Of the recipe's file.
    command : sequence of str
        What was typed.
    adapted : AdaptedModel
    stages : sequence of Path
        Folders of the stages, in the order in which their findings and limits are listed.
    """
    if leads():
        report = _report(job, text, command, adapted, stages)
        _write(report, job.folder, stages, job.recipe.publish.evidence)
        agreed(True)
        return report
    agreed(True)
    return load_report(job.folder)


def _report(job: Job, text: str, command: Sequence[str], adapted: AdaptedModel, stages: Sequence[Path]) -> Report:
    results = [json.loads((folder / "result.json").read_text()) for folder in stages]
    begun = started(job.folder / "stages" / "started.json", command)
    task: dict[str, Any] = next((result for result in results if "task" in result), {"task": None, "arms": []})
    order = {"bias": 0, "gap": 1, "forgetting": 2}  # then transfer
    decompositions = [Decomposition.model_validate(one) for one in _all(results, "decompositions")]
    origins = {one.finding: one.origin for one in decompositions}
    found = [Finding.model_validate(one) for result in results for one in result["findings"]]
    found = [one.model_copy(update={"origin": origins.get(one.id)}) for one in found]
    seeds, publish = adapted.seeds, job.recipe.publish
    one_checkpoint = (
        f"Findings are about one checkpoint (seed {seeds[0]})" if seeds else "Findings are about this one checkpoint"
    )
    training = trainings(job, seeds)
    overlap = [*job.overlap, *_all(results, "overlap")]
    limits = [
        *overlap_limits(overlap),
        *unlike_asked(training),
        *(limit for result in results for limit in result["limits"]),
    ]
    limits.append(f"{one_checkpoint}, not about what the recipe does on average.")
    limits += [] if seeds else [UNKNOWN]
    nulls = any(row["finding"].startswith("forgetting/") and row["copies"] != PRECISE for row in _all(results, "floor"))
    if job.kind in ("vision", "clip") and not job.images:
        limits.append(
            "Bias, domain gap, transfer and task were not measured: they ask texts, and this base reads images."
        )
    elif nulls and any(one.audit == "bias" for one in found):
        limits.append("Null copies of the base's weights were asked about forgetting only, not about bias.")
    if not any("decompositions" in result for result in results):
        limits.append(
            "Where a disparity came from was not measured: no control arm was trained, so nothing is called inherited."
        )
    return Report(
        tool=TOOL,
        recipe=RecipeRecord(name=job.recipe.name, fingerprint=job.recipe.fingerprint, text=text),
        base=BaseModelRecord(
            id=job.base.id,
            revision=job.base.revision,
            kind=job.kind,
            license=job.base.license,
            files=job.base.files,
        ),
        adapted=adapted.model_copy(update={"license": publish.license, "language": list(publish.language)}),
        task=task["task"],
        arms=task["arms"] + _all(results, "controls"),
        preflight=next((result["preflight"] for result in results if "preflight" in result), []),
        floor=_all(results, "floor"),
        findings=sorted(found, key=lambda one: order.get(one.audit, 3)),
        decompositions=decompositions,
        scales=[Scale.model_validate(one) for one in _all(results, "scales")],
        curves=[Curve.model_validate(one) for one in _all(results, "curves")],
        savings=[Saving.model_validate(one) for one in _all(results, "savings")],
        needed=[Needed.model_validate(one) for one in _all(results, "needed")],
        broken=_all(results, "broken"),
        flips=[Flips.model_validate(one) for one in _all(results, "flips")],
        weights=[WeightDrift.model_validate(one) for one in _all(results, "weights")],
        features=[FeatureDrift.model_validate(one) for one in _all(results, "features")],
        diligence=[Check.model_validate(one) for one in _all(results, "diligence")],
        curve=[Strength.model_validate(one) for one in _all(results, "curve")],
        provenance=Provenance(
            created=begun["created"],
            command=begun["command"],
            seeds=seeds,
            versions=_versions(),
            hardware=_hardware(),
            data=trained_on(job, _all(results, "domain"), known_sets(results)),
            overlap=overlap,
            training=training,
            evidence=publish.evidence,
            unpinned=unpinned(job.recipe if seeds else as_audited(job.recipe)),
        ),
        limits=limits,
    )  # fmt: skip


def _all(results: Sequence[dict[str, Any]], key: str) -> list[Any]:
    """Return what all stages together have under a key."""
    return [one for result in results for one in result.get(key, [])]


def started(path: Path, command: Sequence[str]) -> dict[str, str]:
    """When and by what the run was begun; a run that goes on is the same run, so its report is the same."""
    if not path.is_file():
        begun = {"created": datetime.now(UTC).isoformat(timespec="seconds"), "command": shlex.join(command)}
        write_atomically(path, json.dumps(begun).encode())
    known: dict[str, str] = json.loads(path.read_text())
    return known


def _write(report: Report, out: Path, stages: Sequence[Path], policy: str) -> None:
    """Write evidence, what moved most, the report that vouches for it, and the card that is rendered from that."""
    folder, moved, drivers = out / "evidence", out / "moved.parquet", out / "drivers.parquet"
    flipped = out / "flipped.parquet"
    folder.mkdir(exist_ok=True)
    for old in (moved, drivers, flipped):
        old.unlink(missing_ok=True)
    salt = out / "stages" / "salt"
    if not salt.is_file():
        write_atomically(salt, os.urandom(16).hex().encode())
    for stage in stages:
        source, target = stage / "evidence.parquet", folder / f"{stage.name}.parquet"
        if source.is_file() and policy != "none":
            table = _published(pd.read_parquet(source), policy, salt.read_text())
            write_atomically(target, table.to_parquet(index=False))
            if stage.name == "bias":
                write_atomically(moved, _moved(table).to_parquet(index=False))
            if stage.name == "forgetting":
                flips = _flipped(table, [one.finding for one in report.flips])
                write_atomically(flipped, flips.to_parquet(index=False))
        else:
            target.unlink(missing_ok=True)
        words = stage / "drivers.parquet"
        if words.is_file() and policy == "full":
            write_atomically(drivers, words.read_bytes())
    if policy != "none" and (curves := sorted(out.glob("models/*seed-*/curve.parquet"))):
        told = pd.concat([_curve(path) for path in curves], ignore_index=True)
        write_atomically(folder / "training.parquet", told.to_parquet(index=False))
    report.save(out / "report.json")
    write_atomically(out / "card.md", render(report).encode())


def _curve(path: Path) -> pd.DataFrame:
    """The loss curve of one training as evidence: an item a step, a cluster an epoch."""
    arm, seed = path.parent.name.rsplit("seed-", 1)
    curve = pd.read_parquet(path)
    long = curve.melt(id_vars=["step", "epoch"], var_name="question").dropna(subset="value")
    return pd.DataFrame(
        {
            "item_id": long["step"].map("step {:g}".format),
            "cluster": np.ceil(long["epoch"]).map("epoch {:g}".format),
            "arm": arm.rstrip("-") or "adapted",
            "seed": int(seed),
            "question": "training/" + long["question"],
            "value": long["value"].astype(float),
        }
    )


def _changed(table: pd.DataFrame) -> pd.DataFrame:
    """Both sides' scores of every item side by side."""
    keys = [name for name in ("question", "item_id", "cluster", "text") if name in table]
    sides = table.set_index(keys)
    changed = sides[sides["arm"] == "adapted"]["value"].rename("adapted").to_frame()
    changed["base"] = sides[sides["arm"] == "base"]["value"]
    changed["change"] = changed["adapted"] - changed["base"]
    return changed


def _flipped(table: pd.DataFrame, questions: Sequence[str]) -> pd.DataFrame:
    """Every item that only one side gets right: lost or gained."""
    changed = _changed(table[table["question"].isin(questions)]).reset_index()
    changed = changed[changed["change"] != 0]
    changed["outcome"] = changed["change"].map(lambda change: "lost" if change > 0 else "gained")
    kept = changed.drop(columns=["base", "adapted", "change"])
    return kept.sort_values(["question", "outcome", "item_id"], kind="stable", ignore_index=True)


def _moved(table: pd.DataFrame) -> pd.DataFrame:
    """Of every question, the items whose score moved most between base and adapted."""
    changed = _changed(table)
    order = changed["change"].abs().sort_values(ascending=False, kind="stable").index
    most = changed.loc[order].reset_index().groupby("question", sort=False).head(MOVED)
    return most.sort_values("question", kind="stable", ignore_index=True)


def _published(table: pd.DataFrame, policy: str, salt: str) -> pd.DataFrame:
    """Apply the publication policy: ``values`` keeps numbers under salted ids and no text."""
    if policy == "full":
        return table
    salted = {
        name: table[name].map(lambda value: hashlib.sha256(f"{salt}{value}".encode()).hexdigest()[:16])
        for name in ("item_id", "cluster")
    }
    return table.assign(**salted).drop(columns="text")


def _versions() -> dict[str, str]:
    names = ("torch", "transformers", "peft", "scikit-learn", "scipy", "numpy", "tokenizers", "safetensors")
    return {"python": platform.python_version(), **{name: metadata.version(name) for name in names}}


def _hardware() -> dict[str, Any]:
    found = accelerator()
    return {"machine": platform.machine(), "system": sys.platform, "cpus": os.cpu_count(), "accelerator": found}
