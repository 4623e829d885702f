"""Choosing a base: rank candidates by what their features tell of the training labels, and race them if asked."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from audit.audits import MIN_DOCUMENTS, distinct
from audit.audits.fit import NEVER_WRONG, HScore, Spectrum, h_score_excess, log_evidence, out_of_fold
from audit.choose.advice import Action, Advice, Situation, advise, grid
from audit.choose.candidate import Candidate, features_of, find
from audit.choose.racing import Race, entries, race, run_leg
from audit.choose.ranking import ranked
from audit.choose.seen import REPEATS, general_texts, situation
from audit.errors import InputError, Unavailable
from audit.finding import Estimate
from audit.items.task import read_task
from audit.job import Ticker, silent
from audit.recipe import Recipe
from audit.stages import locked, write_atomically
from audit.stats import compare
from audit.view import Item, NotMeasurable

__all__ = ["Advised", "Chosen", "RankedBase", "choose"]

Array = NDArray[np.float64]
LIMIT = 1000  # training texts that are asked


CONDITIONAL = (
    "Intervals are over texts: they hold for probes on frozen features, fitted to these texts. What training the whole "
    "model makes of a base, only a race or a run can tell."
)


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class RankedBase(_Record):
    """One candidate, measured; one that could not be measured says why in ``problem``, and has no numbers.

    Attributes
    ----------
    name, revision, kind, license : str or None
    parameters, size : int or None
        Numbers in the weight files, and bytes of these.
    place_by_parameters : int or None
        Its rank if size alone decided: what every other ranking has to beat.
    place, place_high : int or None
        The 95 % interval of its rank by accuracy: what these texts do not tell apart shares a place.
    tied : list of str
        Bases that it cannot be told from.
    accuracy : Estimate or None
        What ranks: of linear probes on texts that they were not fitted to.
    lift : Estimate or None
        That accuracy less the share of the most frequent label.
    log_loss : float or None
        Of the same probes, in nats a text.
    evidence : float or None
        Exact log evidence, in nats a text.
    h_excess : float or None
        H-score between shuffled labels (0) and its largest value (1).
    h_p : float or None
        Share of label permutations with as large an H-score.
    seconds : float
    problem : str
    """

    name: str
    revision: str | None = None
    kind: str | None = None
    license: str | None = None
    parameters: int | None = None
    size: int | None = None
    place_by_parameters: int | None = None
    place: int | None = None
    place_high: int | None = None
    tied: list[str] = []
    accuracy: Estimate | None = None
    lift: Estimate | None = None
    log_loss: float | None = None
    evidence: float | None = None
    h_excess: float | None = None
    h_p: float | None = None
    seconds: float = 0.0
    problem: str = ""


class Advised(_Record):
    """What to do with one base, the most urgent first, and what that follows from."""

    base: str
    seen: Situation
    advice: list[Advice]


class Chosen(_Record):
    """What `choose` found.

    Attributes
    ----------
    recipe : str
    n_training : int
        Distinct texts of the training split.
    n_texts, n_clusters, n_labels : int
        Those of them that were asked; test texts are never looked at.
    majority : float
        Share of the most frequent label.
    bases : list of RankedBase
        Best first; those that could not be measured last.
    first : list of str
        Bases that may be the best: one where the intervals separate, several that are tied where they do not.
    race : Race or None
    advice : list of Advised
        What to do with the bases that may be the best.
    limits : list of str
    """

    recipe: str
    n_training: int
    n_texts: int
    n_clusters: int
    n_labels: int
    majority: float
    bases: list[RankedBase]
    first: list[str]
    race: Race | None = None
    advice: list[Advised] = []
    limits: list[str] = []

    @property
    def verdict(self) -> str:
        """Who is first, in one sentence, and who would be by size alone."""
        measured = [one for one in self.bases if one.place is not None]
        if not measured:
            return "No base could be measured."
        largest = [one.name for one in measured if one.place_by_parameters == 1]
        said = (
            f"First: {self.first[0]}."
            if len(self.first) == 1
            else f"Tied for the first place: {', '.join(self.first)}: these texts do not tell them apart."
        )
        by_size = largest[0] if len(largest) == 1 else f"open between {', '.join(largest)}"
        return f"{said} By parameter count alone it would be {by_size}."


@dataclass
class _Answers:
    """What is kept of every base while the others are asked."""

    candidates: dict[str, Candidate] = field(default_factory=dict)
    hits: dict[str, Array] = field(default_factory=dict)
    log_loss: dict[str, float] = field(default_factory=dict)
    evidence: dict[str, float] = field(default_factory=dict)
    h_score: dict[str, HScore] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)


def choose(
    recipe: Recipe,
    names: Sequence[str],
    out: Path,
    *,
    minutes: float | None = None,
    to_race: bool = False,
    tick: Ticker = silent,
) -> Chosen:
    """Rank bases for a task, on its training split alone, and write ``choose.json``.

    Parameters
    ----------
    recipe : Recipe
        For the task, the precision, and (in a race) the adaptation; its own base is a candidate only where it is named.
    names : sequence of str
        At least two bases, as a recipe names its own.
    out : Path
        Folder that is written.
    minutes : float, optional
        No base is asked, and no rung of a race begun, that would go beyond.
    to_race : bool
        Adapt the bases for real, on growing shares of the training texts.
    tick : callable

    Returns
    -------
    Chosen

    Raises
    ------
    InputError, Unavailable
        If the data or the folder cannot be used, or fewer than two bases are named: before anything is written.

    Notes
    -----
    Every base is asked once for the same texts; the same folds serve all. The features are the mean over all layers
    of the mean over tokens: in the last layer alone, a base that was trained for something else hides what it knows.
    Why accuracy ranks, and how often each measure puts random weights first, stands in ``tests/calibration/choose.md``.
    """
    started = time.perf_counter()
    deadline = started + (np.inf if minutes is None else 60 * minutes)
    if len(set(names)) < 2 or len(set(names)) < len(names):
        raise InputError(f"--base names {', '.join(names) or 'nothing'}: choosing needs two different bases or more")
    if recipe.task.type != "single_label":
        raise InputError(
            f"{recipe.name}: bases are chosen by how they tell one label a text; [task] type = {recipe.task.type!r}"
        )
    training = distinct(read_task(recipe.task).train)
    items = sampled(training, LIMIT)
    refuse_too_few(items, recipe.task.dataset)
    general = general_texts(recipe)
    found = _found(names, recipe)
    with locked(out):
        for name in found.candidates:
            _try(found, name, items, recipe, deadline, tick)
        bases = _ranked(found, names, items)
        measured = [found.candidates[one.name] for one in bases if one.place is not None]
        ran, limits = None, _limits(bases, items, training)
        if to_race and measured:
            runner = run_leg(recipe, progress=lambda done, total: tick("race", done, total))
            try:
                ran = race(entries(measured, recipe), training, runner, deadline=deadline)
            except (InputError, NotMeasurable) as reason:
                limits.append(f"There was no race: {reason}.")
        first = [one.name for one in bases if one.place == 1]
        advised = []
        for name in first:
            try:
                if time.perf_counter() > deadline:
                    raise Unavailable("the budget was spent")
                seen = situation(found.candidates[name], items, found.hits[name], recipe, len(training), general)
            except (InputError, Unavailable, NotMeasurable) as reason:
                limits.append(f"No advice on {name}: {reason}.")
            else:
                advised.append(Advised(base=name, seen=seen, advice=advise(seen, grid(), _raced(ran, name))))
        chosen = Chosen(
            recipe=recipe.name,
            n_training=len(training),
            n_texts=len(items),
            n_clusters=len({item.cluster for item in items}),
            n_labels=len({item.label for item in items}),
            majority=float(_frequent(items).mean()),
            bases=bases,
            first=first,
            race=ran,
            advice=advised,
            limits=limits,
        )
        write_atomically(out / "choose.json", chosen.model_dump_json(indent=1).encode())
    return chosen


def _raced(ran: Race | None, base: str) -> Advice | None:
    """Return the method that won the race, if it was on this base."""
    leg = ran.winner if ran is not None else None
    if ran is None or leg is None or leg.base != base:
        return None
    action: Action = "head" if leg.method == "head" else "lora" if leg.method == "peft" else "full"
    return Advice(action=action, reason=ran.verdict.rstrip("."), basis="measured here")


def _found(names: Sequence[str], recipe: Recipe) -> _Answers:
    """Find every base before any is asked; one that is not there, or is there twice, says so in its row.

    Raises
    ------
    InputError
        If there is none.
    """
    found = _Answers()
    for name in names:
        try:
            one = find(name, recipe)
            same = (other for other, known in found.candidates.items() if known.source.sha256 == one.source.sha256)
            twin = next(same, None)
            if twin is not None:
                raise InputError(f"the same weights as {twin}")
            found.candidates[name] = one
        except (InputError, Unavailable) as reason:
            found.problems[name], found.seconds[name] = " ".join(str(reason).split()), 0.0
    if not found.candidates:
        raise InputError("; ".join(found.problems.values()))
    return found


def _try(found: _Answers, name: str, items: Sequence[Item], recipe: Recipe, deadline: float, tick: Ticker) -> None:
    """Ask one base, or keep why it could not be asked."""
    began = time.perf_counter()
    try:
        if began > deadline:
            raise Unavailable("not asked: the budget was spent")
        _ask(found, name, items, recipe, tick)
    except (InputError, Unavailable, NotMeasurable) as reason:
        found.problems[name] = " ".join(str(reason).split())
    found.seconds[name] = round(time.perf_counter() - began, 1)


def sampled(items: Sequence[Item], limit: int) -> list[Item]:
    """Draw at most so many items by whole clusters, in an order that hangs on nothing but the clusters' names."""
    if len(items) <= limit:
        return list(items)
    codes = np.unique([item.cluster for item in items], return_inverse=True)[1]
    sizes, room, taken = np.bincount(codes), limit, set()
    for cluster in np.random.default_rng(0).permutation(len(sizes)).tolist():
        if sizes[cluster] <= room:  # one that does not fit is left out, not what comes after it
            taken.add(cluster)
            room -= int(sizes[cluster])
    return [item for item, code in zip(items, codes.tolist(), strict=True) if code in taken]


def refuse_too_few(items: Sequence[Item], where: str) -> None:
    """Refuse texts that no base could be told by.

    Raises
    ------
    InputError
    """
    clusters = {item.cluster for item in items}
    if len(clusters) < MIN_DOCUMENTS:
        raise InputError(
            f"{where}: {len(clusters)} training documents are too few to choose by; {MIN_DOCUMENTS} are the least"
        )


def _ask(found: _Answers, name: str, items: Sequence[Item], recipe: Recipe, tick: Ticker) -> None:
    candidate = found.candidates[name]
    layers = features_of(candidate, items, "layer_means", recipe, lambda done, total: tick(name, done, total))
    features = layers.mean(axis=1)
    labels, clusters = [item.label or "" for item in items], [item.cluster for item in items]
    spectrum = Spectrum.of(features)
    hits, nats = out_of_fold(features, labels, clusters, repeats=REPEATS)
    found.evidence[name] = log_evidence(spectrum, labels)
    found.h_score[name] = h_score_excess(spectrum, labels, clusters)
    found.log_loss[name] = float(nats.mean())
    found.hits[name] = hits.mean(axis=0)  # last: what has hits is measured


def _ranked(found: _Answers, names: Sequence[str], items: Sequence[Item]) -> list[RankedBase]:
    clusters = [item.cluster for item in items]
    measured, frequent = [name for name in names if name in found.hits], _frequent(items)
    sizes = [found.candidates[name].parameters for name in measured]
    ranks = ranked([found.hits[name] for name in measured], clusters, binary=True) if measured else []
    rows = []
    for name, size, rank in zip(measured, sizes, ranks, strict=True):
        hits = found.hits[name]
        rows.append(
            RankedBase(
                **_described(name, found).model_dump(exclude_unset=True),
                place_by_parameters=1 + sum(other > size for other in sizes),
                place=rank.place,
                place_high=rank.high,
                tied=[measured[other] for other in rank.tied],
                accuracy=compare(hits, hits, clusters, binary=True).base,
                lift=compare(frequent, hits, clusters, binary=True).change,
                log_loss=found.log_loss[name],
                evidence=found.evidence[name],
                h_excess=found.h_score[name].excess,
                h_p=found.h_score[name].p,
            )
        )
    rows.sort(key=lambda row: (row.place or 0, -(row.accuracy.value if row.accuracy else 0), row.name))
    failed = [
        _described(name, found).model_copy(update={"problem": found.problems[name]})
        for name in names
        if name in found.problems
    ]
    return [*rows, *failed]


def _frequent(items: Sequence[Item]) -> Array:
    """Tell 1 for every text that has the most frequent label, shape (n,)."""
    labels = np.array([item.label or "" for item in items])
    names, counts = np.unique(labels, return_counts=True)
    hits: Array = (labels == names[counts.argmax()]).astype(np.float64)
    return hits


def _described(name: str, found: _Answers) -> RankedBase:
    """Say what is known of a base before it is asked."""
    one = found.candidates.get(name)
    if one is None:
        return RankedBase(name=name, seconds=found.seconds[name])
    return RankedBase(
        name=name,
        revision=one.source.revision,
        kind=one.kind,
        license=one.source.license,
        parameters=one.parameters,
        size=one.size,
        seconds=found.seconds[name],
    )


def _limits(bases: Sequence[RankedBase], items: Sequence[Item], training: Sequence[Item]) -> list[str]:
    """Say what the ranking does not tell."""
    said = [CONDITIONAL]
    if len(items) < len(training):
        said.append(f"{len(items)} of {len(training)} training texts were asked.")
    perfect = [one.name for one in bases if one.accuracy is not None and one.accuracy.value == 1]
    if perfect:
        said.append(f"{', '.join(perfect)}: {NEVER_WRONG[0].lower()}{NEVER_WRONG[1:]}")
    return said
