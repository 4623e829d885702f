"""The frontier of plasticity and stability: what several recipes gain on one base, and what each forgets."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from pathlib import Path

import pandas as pd
from scipy import stats

from audit.compare.frontier import TASK, Difference, Entrant, Frontier, LeftOut, Matched, Place, Retained
from audit.errors import InputError
from audit.finding import MIN_CLUSTERS_FOR_SAME, Bounds, Estimate, Finding
from audit.report import Report, Task, load_report
from audit.retention import Strength, words
from audit.stats import Comparison
from audit.stats import compare as compare_items

__all__ = ["compare"]

ALPHA = 0.05
COLUMNS = ["question", "item_id", "cluster", "value"]
MEANS = ("student-t over cluster means", "student-t over cluster means, corrected for skewness")
SHARES = ("tango score", "student-t over cluster shares, plus four")
UNPAIRED = "mover of two intervals"
LIMITS = [
    "One checkpoint a run: a difference of two runs is one of two models, not of what their recipes do on average.",
    "Dominance needs the same or better on every axis that was asked; what was not asked is not known.",
]
INDEPENDENT = (
    "Differences that are not paired on items come from both intervals as if the runs were independent, which is too "
    "wide where both move the same items: MOVER, Zou and Donner, Statistics in Medicine 27 (2008) 1693-1702."
)
MATCHED = (
    "At matched task score: the mildest strength asked whose score, a point estimate, reaches that of the weakest "
    "run; a run without a strength curve stands at full strength."
)
LACKING = (
    "A run whose adapted model leaves a probe unanswered, or that did not ask it, dominates no run that may have "
    "retained it."
)
NOT_MATCHED = (
    "Retention at matched task score was not compared: no run has a strength curve ([audit.forgetting] strengths)."
)


def compare(runs: Sequence[Path], *, margin: float = 0.02) -> Frontier:
    """Hold runs of several recipes on one base and one task against each other.

    Parameters
    ----------
    runs : sequence of Path
        Folders of runs, or their reports. Where both folders of a pair hold the scores of single items, their
        differences are paired.
    margin : float
        Smallest difference of the task metric worth acting on; the margins of probes are those of the findings.

    Returns
    -------
    Frontier
        An axis is the task, or a declared finding of forgetting that all runs asked of the same items with the same
        margin. Simultaneity is Bonferroni's: what may carry ``better`` or ``worse`` holds for all pairs and axes at
        once, what may carry ``same`` for all pairs (that all axes are the same needs no adjustment).

    Raises
    ------
    InputError
        If there are fewer than two runs, two are one, they have another base or task, or no probe is common to all.
    """
    if not margin > 0:
        raise InputError(
            f"--margin {margin:g}: give the smallest difference of the task metric worth acting on, above 0"
        )
    if len(runs) < 2:
        raise InputError(f"{len(runs)} run to compare; name at least two run folders")
    read = _read(runs)
    first = read[0]
    for other in read[1:]:
        _refuse_other(first, other)
    axes, left_out = _axes(read)
    pairs = list(combinations(read, 2))
    levels = ALPHA / len(pairs), ALPHA / (len(pairs) * (len(axes) + 1))
    differences = [
        difference
        for one, two in pairs
        for difference in (
            _of_task(one, two, margin, levels),
            *(_of_probe(one, two, axis, levels) for axis in axes),
        )
    ]
    names = dict.fromkeys(name for run in read for name in run.asked)
    entrants = [_entrant(run, axes, [name for name in names if name not in run.asked]) for run in read]
    lacking = any(one.missing or one.final.broken for one in entrants)
    target, matched = _matched(entrants, first.task.better)
    paired = all(one.paired for one in differences)
    return Frontier(
        base=first.report.base.id,
        task=first.task.name,
        metric=first.task.metric,
        better=first.task.better,
        axes=[TASK, *axes],
        adjustment=f"Bonferroni: same over {len(pairs)} pairs, better and worse over {len(differences)} differences",
        runs=entrants,
        differences=differences,
        target=target,
        matched=matched,
        left_out=left_out,
        limits=[
            *LIMITS,
            *([LACKING] if lacking else []),
            *([] if paired else [INDEPENDENT]),
            MATCHED if matched else NOT_MATCHED,
        ],
    )


# --- runs -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Run:
    """One run: what it is called, where it lies, what it reports."""

    name: str
    folder: Path
    report: Report

    @property
    def task(self) -> Task:
        assert self.report.task is not None
        return self.report.task

    @property
    def data(self) -> str:
        """Fingerprint of the task's texts and labels."""
        return str(self.report.provenance.data[0]["fingerprint"])

    @cached_property
    def probes(self) -> dict[str, Finding]:
        """Declared findings of forgetting."""
        found = [one for one in self.report.findings if one.audit == "forgetting" and one.group is None]
        return {one.id: one for one in found if one.change is not None}

    @property
    def asked(self) -> list[str]:
        """Probes that were measured, and those that only the base answers."""
        return [*self.probes, *self.report.broken]

    @cached_property
    def scores(self) -> pd.DataFrame:
        """What the adapted model scored on single items, where the stages still hold it."""
        wanted = [f"task/{self.task.metric}", *self.probes]
        kept = []
        for path in sorted((self.folder / "stages").glob("*/evidence.parquet")):
            try:
                table = pd.read_parquet(path, columns=["arm", *COLUMNS])
            except (OSError, ValueError, KeyError) as error:
                reason = next(iter(str(error).splitlines()), type(error).__name__)
                raise InputError(f"{path}: not the evidence of a stage ({reason}); run the recipe again") from None
            kept.append(table[(table["arm"] == "adapted") & table["question"].isin(wanted)][COLUMNS])
        return pd.concat(kept) if kept else pd.DataFrame(columns=COLUMNS)


def _read(paths: Sequence[Path]) -> list[_Run]:
    folders = [path if path.is_dir() else path.parent for path in paths]
    names = [folder.resolve().name for folder in folders]
    read: list[_Run] = []
    for path, folder, name in zip(paths, folders, names, strict=True):
        report = load_report(path)
        run = _Run(name if names.count(name) == 1 else str(folder), folder, report)
        for other in read:
            if other.folder.resolve() == folder.resolve() or other.report.adapted.files == report.adapted.files:
                raise InputError(f"{path}: the same model as {other.folder}; name every run once")
        if report.task is None or not report.provenance.data:
            raise InputError(f"{path}: its task was not measured; there is no gain to compare")
        if not run.asked:
            raise InputError(f"{path}: forgetting was not measured; run its recipe with [audit.forgetting]")
        read.append(run)
    return read


def _refuse_other(first: _Run, other: _Run) -> None:
    ours, theirs = first.report.base, other.report.base
    names = sorted({*ours.files, *theirs.files})
    file = next((name for name in names if ours.files.get(name) != theirs.files.get(name)), "")
    names_it = not (
        ours.files and theirs.files
    )  # what its files are says more than what it is called, and where it lies
    differing = (
        *((("base", ours.id, theirs.id), ("revision of the base", ours.revision, theirs.revision)) if names_it else ()),
        (f"sha256 of the base's {file}", ours.files.get(file, "")[:12], theirs.files.get(file, "")[:12]),
        ("task metric", first.task.metric, other.task.metric),
        ("fingerprint of the task's data", first.data[:12], other.data[:12]),
    )
    for what, here, there in differing:
        if here != there:
            raise InputError(
                f"{other.folder}: the {what} is {there!r}, in {first.folder} it is {here!r}; compare runs of one base "
                "and one task"
            )


def _axes(runs: Sequence[_Run]) -> tuple[list[str], list[LeftOut]]:
    """Split the probes into those that all runs asked alike, and the others."""
    axes, left_out = [], []
    for name in dict.fromkeys(name for run in runs for name in run.asked):
        reason = _unlike(name, runs)
        if reason is None:
            axes.append(name)
        else:
            left_out.append(LeftOut(finding=name, reason=reason))
    if not axes:
        raise InputError(
            f"{', '.join(str(run.folder) for run in runs)}: no probe of forgetting is common to all "
            f"({left_out[0].finding}: {left_out[0].reason}); run the recipes with the same [audit.forgetting]"
        )
    return axes, left_out


def _unlike(name: str, runs: Sequence[_Run]) -> str | None:
    broken = [run.name for run in runs if name in run.report.broken]
    if broken:
        return f"not answered by the adapted model of {', '.join(broken)}, though by its base"
    without = [run.name for run in runs if name not in run.probes]
    if without:
        return f"not asked in {', '.join(without)}"
    first = runs[0].probes[name]
    for run in runs[1:]:
        probe = run.probes[name]
        for what, here, there in (
            ("items", first.items, probe.items),
            ("margin", first.margin, probe.margin),
            ("question", (first.question, first.unit), (probe.question, probe.unit)),
        ):
            if here != there:
                return f"another {what} in {run.name} than in {runs[0].name}"
    return None


# --- differences ------------------------------------------------------------------------------------------------------


def _of_task(one: _Run, two: _Run, margin: float, levels: tuple[float, float]) -> Difference:
    sign = 1 if one.task.better == "higher" else -1
    paired = _paired(one, two, f"task/{one.task.metric}", (one.task, two.task), None)
    n = min(int(run.report.provenance.data[0]["test"]) for run in (one, two))
    return _difference((one.name, two.name, TASK), (one.task, two.task), sign, paired, n, margin, None, levels)


def _of_probe(one: _Run, two: _Run, axis: str, levels: tuple[float, float]) -> Difference:
    ours, theirs = one.probes[axis], two.probes[axis]
    paired = None
    if ours.method == theirs.method and ours.method in (*MEANS, *SHARES):
        paired = _paired(one, two, axis, (ours, theirs), ours.method in SHARES)
    floor = max((one.floor for one in (ours, theirs) if one.floor is not None), default=None)
    n = min(ours.n_clusters, theirs.n_clusters)
    return _difference((one.name, two.name, axis), (ours, theirs), -1, paired, n, ours.margin, floor, levels)


def _paired(
    one: _Run, two: _Run, question: str, said: tuple[Task | Finding, Task | Finding], binary: bool | None
) -> Comparison | None:
    """Compare the items of two runs; None where a folder lacks them, or they are not what its report was made from."""
    sides = [run.scores[run.scores["question"] == question].set_index("item_id") for run in (one, two)]
    if any(side.empty or side.index.has_duplicates for side in sides) or set(sides[0].index) != set(sides[1].index):
        return None
    first, second = sides[0], sides[1].loc[sides[0].index]
    if not (first["cluster"] == second["cluster"]).all():
        return None
    found = compare_items(second["value"], first["value"], first["cluster"].tolist(), binary=binary)
    means = zip((found.adapted, found.base), said, strict=True)
    return found if all(math.isclose(mean.value, side.adapted.value, abs_tol=1e-9) for mean, side in means) else None


def _difference(
    names: tuple[str, str, str],
    said: tuple[Task | Finding, Task | Finding],
    sign: int,
    paired: Comparison | None,
    n: int,
    margin: float,
    floor: float | None,
    levels: tuple[float, float],
) -> Difference:
    if paired is not None:
        intervals = [paired.interval(confidence) for confidence in (0.95, *(1 - 2 * level for level in levels))]
        method, n = str(paired.method), paired.n_clusters
    else:
        intervals = [_mover(*_sides(*said), n, level) for level in (0.025, *levels)]
        method = UNPAIRED
    wide, same, beyond = (_turned(bounds, sign) for bounds in intervals)
    first, second, axis = names
    return Difference(
        first=first,
        second=second,
        axis=axis,
        value=Estimate(value=sign * (said[0].adapted.value - said[1].adapted.value), low=wide[0], high=wide[1]),
        same=same,
        beyond=beyond,
        margin=margin,
        paired=paired is not None,
        method=method,
        n_clusters=n,
        floor=floor,
    )


def _sides(one: Task | Finding, two: Task | Finding) -> tuple[Estimate, Estimate]:
    """Both changes, in which the base's own spread is gone; both scores, where the base was read out otherwise."""
    if (
        one.base
        and two.base
        and one.change
        and two.change
        and math.isclose(one.base.value, two.base.value, abs_tol=1e-9)
    ):
        return one.change, two.change
    return one.adapted, two.adapted


def _turned(bounds: Bounds, sign: int) -> Bounds:
    low, high = bounds
    if low is None or high is None or sign > 0:
        return bounds
    return -high, -low


def _mover(one: Estimate, two: Estimate, n: int, level: float) -> Bounds:
    """Interval of ``one - two`` from the 95 % intervals of both, as if they were independent.

    Another level widens both by the ratio of the quantiles of Student's t. An estimate without variation has no
    width, if enough clusters agree on it.
    """
    known = [side.low is not None for side in (one, two)]
    if n < 2 or not any(known) or (n < MIN_CLUSTERS_FOR_SAME and not all(known)):
        return None, None
    ratio = float(stats.t.isf(level, n - 1) / stats.t.isf(0.025, n - 1))
    (low1, high1), (low2, high2) = one.bounds(), two.bounds()
    below = math.hypot(one.value - low1, high2 - two.value)
    above = math.hypot(high1 - one.value, two.value - low2)
    value = one.value - two.value
    return value - ratio * below, value + ratio * above


# --- the figure -------------------------------------------------------------------------------------------------------


def _entrant(run: _Run, axes: Sequence[str], missing: list[str]) -> Entrant:
    final = Place(
        alpha=1,
        task=run.task.adapted,
        gain=run.task.change,
        retained=_retained(list(run.probes.values()), axes),
        broken=run.report.broken,
    )
    curve = [_place(one, axes) for one in sorted(run.report.curve, key=lambda one: one.alpha)]
    method, recipe = run.report.adapted.method, run.report.recipe.fingerprint
    return Entrant(name=run.name, method=method, recipe=recipe, final=final, curve=curve, missing=missing)


def _place(one: Strength, axes: Sequence[str]) -> Place:
    retained = _retained(one.findings, axes)
    return Place(alpha=one.alpha, task=one.task, gain=one.gain, retained=retained, broken=one.broken)


def _retained(findings: Sequence[Finding], axes: Sequence[str]) -> list[Retained]:
    said = words(findings)
    return [
        Retained(finding=one.id, change=one.change, margin=one.margin, verdict=one.verdict, word=said[one.id])
        for one in findings
        if one.id in axes and one.change is not None
    ]


def _matched(entrants: Sequence[Entrant], better: str) -> tuple[float | None, list[Matched]]:
    """Place every run at the mildest strength whose task score reaches the weakest final one."""
    if not any(one.curve for one in entrants):
        return None, []
    sign = 1 if better == "higher" else -1
    target = min((one.final.task.value for one in entrants), key=lambda score: sign * score)
    places = [
        next((place for place in one.curve if sign * (place.task.value - target) >= 0), one.final) for one in entrants
    ]
    return target, [Matched(run=one.name, place=place) for one, place in zip(entrants, places, strict=True)]
