"""The stages that hold the base against controls that know nothing: by a probe, and by the recipe's own adaptation."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from audit.adapt import adapt
from audit.adapt.control import random_twin, shuffled_twin
from audit.audits import distinct
from audit.audits.transfer import Transfer, against_controls, doublings, probe_errors, subsamples
from audit.errors import InputError
from audit.job import Job
from audit.models.load import load_base
from audit.models.source import Source, file_hashes
from audit.recipe import Recipe
from audit.recipe import Transfer as Asked
from audit.steps.kept import keep_order
from audit.steps.task import right
from audit.steps.written import Evidence, finish
from audit.view import Item, NotMeasurable

__all__ = ["Cell", "fine_tuned", "fine_tuned_cell", "fine_tuned_cells", "transfer"]

Array = NDArray[np.float64]
Rows = NDArray[np.int64]

TWINS = {"random_init": random_twin, "shuffled_weights": shuffled_twin}
PROBED = (
    "Transfer: measured by a linear probe on frozen features, after up to {total} training texts and {seeds} draws of "
    "each control's weights; what training the whole model would gain is another question."
)
TRAINED = (
    "Transfer, fine-tuned: base and controls were trained alike, with the recipe's epochs and learning rate; a control "
    "might gain by a longer training of its own, and smaller sets take fewer steps."
)


# --- a probe ----------------------------------------------------------------------------------------------------------


def transfer(job: Job, folder: Path) -> None:
    """Hold a probe's learning curve on the base's features against those on every control's."""
    asked = job.recipe.audit.transfer
    if asked is None:
        return finish(folder, [], ["Negative transfer was not measured: the recipe has no [audit.transfer]."])
    train, test = distinct(job.data.train), distinct(job.data.test)
    try:
        sizes, sets = _sets(asked, train)
        view = job.base_alone if job.adapted is None else job.pair.base
        features = job.remembered(view).ask("embedding", [*train, *test])
        base = np.stack([_probed(features, train, test, drawn) for drawn in sets])
        controls: dict[str, Array] = {name: np.empty_like(base) for name in asked.controls}
        for done, (name, seed) in enumerate(product(asked.controls, range(asked.seeds))):
            features = _features(job, name, seed, [*train, *test], done, len(asked.controls) * asked.seeds)
            controls[name][seed] = _probed(features, train, test, sets[seed])
    except NotMeasurable as reason:
        return finish(folder, [], [f"Negative transfer was not measured: {reason}."])
    cut = view.treatment("embedding", [*train, *test])
    note = f"After {len(train)} training texts. {cut}".strip()
    found = against_controls(base, controls, test, sizes, margin=asked.margin, target=asked.target, note=note)
    _evidence(found, base, controls, test, folder)
    limits = [PROBED.format(total=len(train), seeds=asked.seeds)]
    if asked.fine_tune and job.adapted is not None:
        limits.append(
            "Transfer: fine_tune = true was not followed, since a model that exists is audited without training."
        )
    return _finish(folder, found, limits)


def _sets(asked: Asked, train: Sequence[Item]) -> tuple[list[int], list[list[Rows]]]:
    """Draw the training sets of every seed; return their sizes, means over seeds that grow, and their rows."""
    sizes = doublings(train)
    if asked.sizes is not None:
        beyond = next((size for size in asked.sizes if size > len(train)), None)
        if beyond is not None:
            raise InputError(
                f"[audit.transfer] sizes: {beyond}, but there are {len(train)} distinct training texts; leave sizes "
                f"out for doublings from {sizes[0]} up to all"
            )
        sizes = sorted({*asked.sizes, len(train)})
    sets = [subsamples(train, sizes, seed) for seed in range(asked.seeds)]
    reached = [round(float(np.mean([len(rows) for rows in of_size]))) for of_size in zip(*sets, strict=True)]
    grown = [place for place, n in enumerate(reached) if n not in reached[:place]]
    if len(grown) < 2:
        raise NotMeasurable("transfer", f"{len(train)} training texts in too few clusters for a curve")
    return [reached[place] for place in grown], [[drawn[place] for place in grown] for drawn in sets]


def _probed(features: Array, train: Sequence[Item], test: Sequence[Item], drawn: Sequence[Rows]) -> Array:
    labels, truth = ([str(item.label) for item in items] for items in (train, test))
    return probe_errors(features[: len(train)], labels, features[len(train) :], truth, drawn)


def _features(job: Job, control: str, seed: int, items: Sequence[Item], done: int, total: int) -> Array:
    """Make a control, ask it for features, and throw it away."""
    with tempfile.TemporaryDirectory() as scratch:
        twin = TWINS[control](job.base, job.kind, seed, Path(scratch))
        view = load_base(twin, job.kind, job.prompted, job.recipe.audit.dtype)
        view.progress = lambda texts, _: job.tell(done * len(items) + texts, total * len(items))
        return view.ask("embedding", items)


def _evidence(found: Transfer, base: Array, controls: Mapping[str, Array], items: Sequence[Item], folder: Path) -> None:
    """Keep what every arm got wrong, by seed: by finding with all training texts, and by the number of texts."""
    kept = Evidence(0)
    for finding, (name, scores) in zip(found.findings, controls.items(), strict=True):
        for seed in range(len(base)):
            evidence = Evidence(seed)
            evidence.keep_arm("base", finding.id, items, base[seed, -1])
            evidence.keep_arm(name, finding.id, items, scores[seed, -1])
            kept.tables += evidence.tables
    sizes = [point.n for point in found.curves[0].points]
    for (name, scores), seed in product({"base": base, **controls}.items(), range(len(base))):
        evidence = Evidence(seed)
        for place, n in enumerate(sizes):
            evidence.keep_arm(name, f"curve/{found.curves[0].how}/{n}", items, scores[seed, place])
        kept.tables += evidence.tables
    keep_order(kept)
    kept.write(folder)


def _finish(folder: Path, found: Transfer, limits: Sequence[str]) -> None:
    finish(
        folder,
        found.findings,
        limits,
        curves=[one.model_dump(mode="json") for one in found.curves],
        savings=[one.model_dump(mode="json") for one in found.savings],
        needed=[one.model_dump(mode="json") for one in found.needed],
    )


# --- the recipe's own adaptation --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cell:
    """One training of the fine-tuned curves: the base or a control, the place of a size on the curve, a seed."""

    arm: str
    place: int
    size: int
    seed: int

    @property
    def name(self) -> str:
        """What its stage's folder is called."""
        return f"transfer-{self.arm}-{self.size}-seed-{self.seed}"


def fine_tuned_cells(recipe: Recipe, train: Sequence[Item]) -> list[Cell]:
    """List the trainings of the fine-tuned curves; none without ``fine_tune``, or where no curve can be drawn.

    Raises
    ------
    InputError
        If the recipe names a size that there are not as many training texts for.
    """
    asked = recipe.audit.transfer
    if asked is None:
        return []
    try:
        sizes, _ = _sets(asked, distinct(train))
    except NotMeasurable:
        return []
    if not asked.fine_tune or recipe.adapt is None:
        return []
    return [
        Cell(arm, place, size, seed)
        for arm, (place, size), seed in product(("base", *asked.controls), enumerate(sizes), range(asked.seeds))
    ]


def fine_tuned_cell(job: Job, cell: Cell) -> Callable[[Path], None]:
    """Return the stage that trains one cell and keeps its errors in place of its weights."""

    def work(folder: Path) -> None:
        asked = job.recipe.audit.transfer
        assert asked is not None
        train, test = distinct(job.data.train), distinct(job.data.test)
        rows = _sets(asked, train)[1][cell.seed][cell.place]
        base, model = job.base, folder / "model"
        model.mkdir()
        if cell.arm != "base":
            twin = folder / "twin"
            twin.mkdir()
            base = TWINS[cell.arm](base, job.kind, cell.seed, twin)
        adapt(replace(job.plan, base=base), [train[row] for row in rows], cell.seed, model, progress=job.tell)
        source = Source(f"{cell.arm} (seed {cell.seed})", None, model, file_hashes(model), base.license)
        evidence = Evidence(cell.seed)
        wrong = 1 - right(job.beside(source, base).adapted, test)
        evidence.keep_arm(cell.arm, "transfer", test, wrong)
        evidence.write(folder)
        for scratch in ("twin", "model"):
            shutil.rmtree(folder / scratch, ignore_errors=True)

    return work


def fine_tuned(job: Job, folder: Path, cells: Mapping[Cell, Path]) -> None:
    """Hold the learning curve of the recipe's own adaptation of the base against those of the controls.

    ``cells`` holds the folder of the stage of every cell that `fine_tuned_cells` lists.
    """
    asked, test = job.recipe.audit.transfer, distinct(job.data.test)
    assert asked is not None
    sizes = sorted({cell.size for cell in cells})
    errors = {arm: np.zeros((asked.seeds, len(sizes), len(test))) for arm in ("base", *asked.controls)}
    for cell, stage in cells.items():
        by_item = pd.read_parquet(stage / "evidence.parquet").set_index("item_id")["value"]
        errors[cell.arm][cell.seed, cell.place] = by_item.loc[[item.id for item in test]].to_numpy()
    base = errors.pop("base")
    found = against_controls(
        base, errors, test, sizes, margin=asked.margin, target=asked.target, how="fine_tuned",
        note=f"After {sizes[-1]} training texts.",
    )  # fmt: skip
    _evidence(found, base, errors, test, folder)
    _finish(folder, found, [TRAINED])
