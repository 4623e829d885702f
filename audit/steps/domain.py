"""The stage that pretrains the base on texts of its domain, and what that stage is to a control arm."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from audit.adapt.control import group_silent
from audit.adapt.domain import held_out, pretrain
from audit.job import Job
from audit.models.load import load_base
from audit.models.source import Source, file_hashes
from audit.recipe import Domain
from audit.steps.overlap import without_asked
from audit.steps.written import finish
from audit.view import Item, NotMeasurable, fingerprint

__all__ = ["domain_folder", "pretrained", "pretraining", "start_of"]

QUESTIONS = {"causal": "log_likelihood", "encoder": "masked_log_likelihood"}
LEARNT = (
    "Domain: before the adaptation the base was pretrained on {learnt} texts ({texts}). Base means the base before "
    "that: what is inherited, forgotten or gained is of both steps together."
)
SURPRISE = (
    "Domain: on {held} texts held out of it, the loss went from {before:.3f} to {after:.3f} nats per byte ({how})."
)
HOW = {"causal": "next tokens", "encoder": "15 % of the tokens masked, counted for all"}


def domain_folder(job: Job, seed: int) -> Path:
    """Return the folder of the stage that pretrains with one seed."""
    return job.folder / "models" / f"domain-seed-{seed}"


def pretraining(job: Job, seed: int) -> Callable[[Path], None]:
    """Return the stage that pretrains the base with one seed, and holds it against the base on held-out texts."""

    def work(folder: Path) -> None:
        domain = _domain(job)
        texts, record = _texts(job)
        learnt, held = held_out(texts)
        kept = job.folder / "checkpoints" / f"domain-seed-{seed}"
        trained = pretrain(job.base, job.kind, domain, learnt, seed, folder, checkpoints=kept, progress=job.tell)
        if len(trained.curve):
            trained.curve.to_parquet(folder / "curve.parquet", index=False)
        said = {"seed": seed, "texts": len(learnt), "held_out": len(held), "unit": "nats per byte"}
        said["fingerprint"] = fingerprint(learnt)
        limits = [LEARNT.format(learnt=len(learnt), texts=domain.texts)]
        try:
            before, after = (_surprise(job, one, held) for one in (job.base, pretrained(job, folder, seed)))
            limits.append(SURPRISE.format(held=len(held), before=before, after=after, how=HOW[job.kind]))
        except NotMeasurable as reason:
            before, after = None, None
            limits.append(f"Domain: what was learnt was not measured: {reason}.")
        said |= {"before": before, "after": after}
        finish(folder, [], limits, domain=[said], overlap=record if domain.texts != "task" else [])

    return work


def pretrained(job: Job, folder: Path, seed: int) -> Source:
    """Return what such a stage left, as what a training begins with: all but what the stage says about it."""
    files = {name: digest for name, digest in file_hashes(folder).items() if name != "result.json"}
    return Source(f"models/domain-seed-{seed}", None, folder, files, job.base.license)


def start_of(job: Job, base: Source, seed: int, folder: Path, *, silent: bool) -> Source | None:
    """Pretrain what stands in the base's place in a control arm, as the recipe does its base.

    Parameters
    ----------
    job : Job
    base : Source
        The base itself, or a control of it.
    seed : int
    folder : Path
        Is made where something must be trained.
    silent : bool
        On group-silent texts, wherever the recipe has them from: the base never saw them, so that what they bring is
        not inherited.

    Returns
    -------
    Source or None
        None without ``[domain]``; the recipe's own stage where nothing differs from it.
    """
    if job.recipe.domain is None:
        return None
    learnt, changed = held_out(_texts(job)[0])[0], 0
    if silent:
        learnt, changed = group_silent(learnt, job.axes)
    ready = domain_folder(job, seed)
    if base is job.base and not changed and (ready / "config.json").is_file():
        return pretrained(job, ready, seed)
    folder.mkdir()
    pretrain(base, job.kind, job.recipe.domain, learnt, seed, folder, progress=job.tell)
    return pretrained(job, folder, seed)


def _domain(job: Job) -> Domain:
    assert job.recipe.domain is not None
    return job.recipe.domain


def _texts(job: Job) -> tuple[list[Item], list[dict[str, Any]]]:
    """Texts of the domain without those that are asked, and the record of these."""
    domain = _domain(job)
    return without_asked(job, job.domain_texts, f"[domain] texts = {domain.texts!r}")


def _surprise(job: Job, source: Source, items: Sequence[Item]) -> float:
    """Nats per byte of texts."""
    view = load_base(source, job.kind)
    view.progress = job.tell
    nats = -job.remembered(view).ask(QUESTIONS[job.kind], items).sum()
    return float(nats / sum(len((item.text or "").encode()) for item in items))
