"""A race of real adaptations on the training split: small rungs first, and only who may still win runs on."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from audit.adapt import Plan, adapt
from audit.audits.fit import deal_folds
from audit.choose.candidate import Candidate
from audit.choose.ranking import pairwise
from audit.errors import InputError
from audit.finding import Estimate
from audit.models.batch import Progress
from audit.models.load import load_pair
from audit.models.source import Source, file_hashes
from audit.recipe import Adapt, Full, Head, Peft, Recipe
from audit.stats import compare
from audit.steps.task import right
from audit.view import Item, NotMeasurable

__all__ = ["Entry", "Leg", "Race", "Runner", "entries", "race", "run_leg", "split"]

Array = NDArray[np.float64]
Method = Adapt
RUNGS = (1, 2, 4)  # quarters of the training texts
VALIDATION = 5  # one text in so many
ERROR = 0.025  # on each side, over all rungs and pairs


class Leg(BaseModel):
    """What one candidate did on one rung.

    Attributes
    ----------
    base, method : str
    n : int
        Training texts.
    accuracy : Estimate or None
        On the validation texts.
    seconds : float
        Of training and asking.
    outcome : str
        Why it ran on, or no further.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    base: str
    method: str
    n: int
    accuracy: Estimate | None
    seconds: float
    outcome: str


class Race(BaseModel):
    """A race: every leg, who is left, and why it ended.

    Attributes
    ----------
    legs : list of Leg
    left : list of str
        ``base, method`` of those who were not dropped, best first.
    stopped : str
    seconds : float
    n_train, n_validation : int
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    legs: list[Leg]
    left: list[str]
    stopped: str
    seconds: float
    n_train: int
    n_validation: int

    @property
    def winner(self) -> Leg | None:
        """The last leg of the one that is left, where the intervals left one."""
        if len(self.left) != 1 or self.stopped != "one is left":
            return None
        return next(leg for leg in reversed(self.legs) if f"{leg.base}, {leg.method}" == self.left[0])

    @property
    def verdict(self) -> str:
        """Who won, or between whom it is open, in one sentence."""
        who = " | ".join(self.left) or "nobody"
        said = f"Won: {who}" if self.winner else f"Open between: {who}"
        return f"{said} ({self.stopped}; {self.n_validation} validation texts, {self.seconds:.0f} s)."


@dataclass(frozen=True)
class Entry:
    """A base with a method to adapt it."""

    candidate: Candidate
    method: Method

    @property
    def name(self) -> str:
        """Both, in words."""
        return f"{self.candidate.name}, {self.method.method}"


Runner = Callable[[Entry, Sequence[Item], Sequence[Item]], Array]
"""Adapts an entry to training texts, and tells 1 for every validation text that the result labels rightly."""


def entries(candidates: Sequence[Candidate], recipe: Recipe) -> list[Entry]:
    """Pair bases with the recipe's own method, else with every method that they can be adapted by.

    Raises
    ------
    InputError
        If none can be adapted by the recipe's method.
    """
    found = []
    for one in candidates:
        causal = one.adapted_as == "causal"
        own: Sequence[Method] = (
            [Peft(method="peft")] if causal else [Head(method="head"), Peft(method="peft"), Full(method="full")]
        )
        if recipe.adapt is not None:
            own = [recipe.adapt] if recipe.adapt.method == "peft" or not causal else []
        found += [Entry(one, method) for method in own]
    if not found:
        raise InputError(f"{recipe.name}: no base can be adapted by its [adapt] method; a causal one is by 'peft'")
    return found


def split(items: Sequence[Item], seed: int = 0) -> tuple[list[list[Item]], list[Item]]:
    """Set validation texts aside by whole clusters, and deal the rest to growing rungs, each within the next.

    Returns
    -------
    rungs : list of list of Item
        A quarter, a half, all of the training texts.
    validation : list of Item
        One in five, with its share of every label.
    """
    rng = np.random.default_rng(seed)
    fold = deal_folds([item.label or "" for item in items], [item.cluster for item in items], VALIDATION, rng)
    validation = [item for item, one in zip(items, fold, strict=True) if one == 0]
    rest = [item for item, one in zip(items, fold, strict=True) if one != 0]
    quarter = deal_folds([item.label or "" for item in rest], [item.cluster for item in rest], RUNGS[-1], rng)
    rungs = [[item for item, one in zip(rest, quarter, strict=True) if one < size] for size in RUNGS]
    for what, some in (("first rung", rungs[0]), ("validation texts", validation)):
        if len({item.label for item in some}) < 2:
            raise NotMeasurable("race", f"{len(items)} training texts are too few: the {what} have one label only")
    return rungs, validation


def race(
    entered: Sequence[Entry],
    items: Sequence[Item],
    runner: Runner,
    *,
    deadline: float = math.inf,
    clock: Callable[[], float] = time.perf_counter,
) -> Race:
    """Run candidates on growing shares of the training texts; drop who is surely worse than the leader.

    Parameters
    ----------
    entered : sequence of Entry
    items : sequence of Item
        Training texts with labels; nothing else is read.
    runner : callable
    deadline : float
        By the clock. A rung is not begun that would pass it: first the worse half is left out, then the race ends.
    clock : callable

    Raises
    ------
    NotMeasurable
        If the texts are too few to be dealt.

    Notes
    -----
    Successive halving (Jamieson and Talwalkar, AISTATS 2016), except that nobody is halved away unless the budget wants
    it: who leaves without that is worse by an interval that holds at once for all pairs, and for all rungs.
    """
    started = clock()
    rungs, validation = split(items)
    clusters = [item.cluster for item in validation]
    legs: list[Leg] = []
    running: Sequence[Entry] = list(entered)
    standing: Sequence[Entry] = running
    stopped = "all training texts were used"
    for rung, texts in enumerate(rungs):
        hits: dict[str, Array] = {}
        seconds: dict[str, float] = {}
        unrun = False
        for one in running:
            if clock() > deadline:
                unrun = True
                legs.append(_leg(one, len(texts), None, 0.0, "not run: the budget was spent"))
                continue
            began = clock()
            try:
                hits[one.name] = runner(one, texts, validation)
            except (InputError, NotMeasurable) as reason:
                legs.append(_leg(one, len(texts), None, clock() - began, f"out: {reason}"))
            seconds[one.name] = clock() - began
        ran = sorted((one for one in running if one.name in hits), key=lambda one: -float(hits[one.name].mean()))
        if not ran:
            standing, stopped = [], "the budget was spent" if unrun else "nobody could be adapted"
            break
        outcomes = _judged(ran, hits, clusters)
        standing = [one for one in ran if not outcomes[one.name].startswith("dropped")]
        later = rungs[rung + 1] if rung + 1 < len(rungs) else None
        running, over = standing, ""
        if len(standing) > 1 and later is not None:
            room, growth = deadline - clock(), len(later) / len(texts)
            running, over = _afford(standing, seconds, growth, room)
            for one in standing[len(running) :] if running else []:
                outcomes[one.name] = "left out: in the worse half, and the budget does not reach for both"
        if running:
            standing = running
        for one in ran:
            accuracy = compare(hits[one.name], hits[one.name], clusters, binary=True).base
            legs.append(_leg(one, len(texts), accuracy, seconds[one.name], outcomes[one.name]))
        if unrun:
            stopped = "the budget was spent before everybody had run"
        elif len(standing) == 1:
            stopped = "one is left"
        elif over:
            stopped = over
        else:
            continue
        break
    return Race(
        legs=legs,
        left=[one.name for one in standing],
        stopped=stopped,
        seconds=round(clock() - started, 1),
        n_train=len(rungs[-1]),
        n_validation=len(validation),
    )


def _leg(one: Entry, n: int, accuracy: Estimate | None, seconds: float, outcome: str) -> Leg:
    return Leg(
        base=one.candidate.name,
        method=one.method.method,
        n=n,
        accuracy=accuracy,
        seconds=round(seconds, 1),
        outcome=outcome,
    )


def _judged(ran: Sequence[Entry], hits: dict[str, Array], clusters: Sequence[str]) -> dict[str, str]:
    """Say of everybody, best first, whether it is surely worse than the leader."""
    bounds = pairwise([hits[one.name] for one in ran], clusters, binary=True, alpha=ERROR / len(RUNGS))
    outcomes = {ran[0].name: "leads"}
    for place, one in enumerate(ran[1:], start=1):
        interval = bounds[0, place]
        if interval is not None and interval[1] < 0:
            low, high = interval
            outcomes[one.name] = f"dropped: {low:+.3f} to {high:+.3f} from the leader's accuracy"
        else:
            outcomes[one.name] = "not told from the leader"
    return outcomes


def _afford(
    standing: Sequence[Entry], seconds: dict[str, float], growth: float, room: float
) -> tuple[Sequence[Entry], str]:
    """Return who can run the next rung within the budget: all, the better half, or nobody and why."""
    half = math.ceil(len(standing) / 2)
    for some in (standing, standing[:half] if half > 1 else standing):
        wanted = growth * sum(seconds[one.name] for one in some)
        if wanted <= room:
            return some, ""
    return [], f"the next rung would take about {wanted:.0f} s, and the budget has {max(room, 0):.0f} s left"


def run_leg(recipe: Recipe, seed: int = 0, progress: Progress | None = None) -> Runner:
    """Return what adapts a base for real, in a folder of its own that is thrown away."""
    task = recipe.task

    def run(entry: Entry, training: Sequence[Item], validation: Sequence[Item]) -> Array:
        base, kind = entry.candidate.source, entry.candidate.adapted_as
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            plan = Plan(base, kind, task, entry.method)
            adapt(plan, training, seed, folder, progress=progress)
            adapted = Source(entry.name, None, folder, file_hashes(folder), base.license)
            prompted = plan.readout if kind == "causal" else None
            view = load_pair(base, adapted, kind, prompted, recipe.audit.dtype).adapted
            view.progress = progress
            return right(view, validation)

    return run
