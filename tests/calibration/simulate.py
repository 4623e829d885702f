"""Simulated audits: data of a known truth in, verdicts out of the project's own rules."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from audit.finding import Finding, Verdict
from audit.stats import Compared, compare, contrasts, decide, simultaneous_level

Array = NDArray[np.float64]
Draw = Callable[[np.random.Generator, int, float], list[Compared]]

SHARE = 0.10  # of pairs on which the two sides differ, in the binary designs


@dataclass(frozen=True)
class Design:
    """How data arise: ``draw(rng, n, change)`` gives the comparisons of one audit, each with that true change."""

    name: str
    draw: Draw
    margin: float
    held: bool = True  # False: shown, not held to the bounds (a stress beyond what the method promises)


@dataclass(frozen=True)
class Rates:
    """What came of many simulated audits of one design, size and truth."""

    design: str
    n: int
    change: float
    margin: float
    repeats: int
    wrong: float  # audits with any `worse` or `better`
    same: float  # findings that are `same`
    covered: float  # 95 % intervals that hold the truth
    unclear: float  # findings that are `unclear`


def binary(rng: np.random.Generator, n: int, change: float) -> list[Compared]:
    """Independent pairs of right and wrong answers; ``SHARE`` of them discordant."""
    share = max(SHARE, abs(change))
    kinds = rng.choice(3, size=n, p=[(share + change) / 2, (share - change) / 2, 1 - share])
    base = np.where(kinds == 2, rng.random(n) < 0.3, kinds == 1).astype(float)
    adapted = np.where(kinds == 2, base, kinds == 0).astype(float)
    return [compare(base, adapted, [str(i) for i in range(n)])]


def continuous(rng: np.random.Generator, n: int, change: float) -> list[Compared]:
    """Normal differences of unit spread on top of a base that varies more."""
    base = rng.normal(0, 3, n)
    return [compare(base, base + rng.normal(change, 1, n), [str(i) for i in range(n)])]


def skewed(rng: np.random.Generator, n: int, change: float) -> list[Compared]:
    """Exponential differences: what Student's t does not promise to bear at small n."""
    return [compare(np.zeros(n), rng.exponential(1, n) - 1 + change, [str(i) for i in range(n)])]


def clustered(rng: np.random.Generator, n: int, change: float) -> list[Compared]:
    """Clusters of 1 to 9 items, intra-class correlation .3."""
    sizes = rng.integers(1, 10, n)
    names = np.repeat(np.arange(n), sizes).astype(str).tolist()
    noise = np.repeat(rng.normal(0, math.sqrt(0.3), n), sizes) + rng.normal(0, math.sqrt(0.7), sizes.sum())
    return [compare(np.zeros(sizes.sum()), noise + change, names)]


def flips(rng: np.random.Generator, n: int, change: float) -> list[Compared]:
    """Templates of 12 pairs: now and then a pair flips on one side, and rarely a whole template does."""
    base = (rng.random((n, 12)) < 0.005).astype(float)
    adapted = (rng.random((n, 12)) < 0.005).astype(float)
    whole = rng.random(n) < change
    adapted[whole] = 1.0
    base[whole] = 0.0
    names = np.repeat(np.arange(n), 12).astype(str).tolist()
    return [compare(base.ravel(), adapted.ravel(), names)]


def grouped(k: int, kind: Draw) -> Draw:
    """Split n items over k groups; every group but the reference changes. The family: k - 1 contrasts."""

    def draw(rng: np.random.Generator, n: int, change: float) -> list[Compared]:
        sizes = [len(part) for part in np.array_split(np.arange(n), k)]
        parts = [kind(rng, size, change if group else 0.0)[0] for group, size in enumerate(sizes)]
        sides = [np.concatenate([getattr(part, side) for part in parts]) for side in ("base_means", "adapted_means")]
        groups = [f"g{group}" for group, size in enumerate(sizes) for _ in range(size)]
        names = [str(i) for i in range(n)]
        return list(contrasts(sides[0], sides[1], groups, names, reference="g0").values())

    return draw


DESIGNS = [
    Design("binary", binary, 0.05),
    Design("continuous", continuous, 0.3),
    Design("clustered, ICC .3", clustered, 0.3),
    Design("clustered flips", flips, 0.05),
    *[Design(f"binary, {k} groups", grouped(k, binary), 0.05) for k in (2, 4, 9)],
    *[Design(f"continuous, {k} groups", grouped(k, continuous), 0.3) for k in (2, 4, 9)],
    Design("skewed (stress)", skewed, 0.3, held=False),
]


def verdicts(family: Sequence[Compared], margin: float, alpha: float = 0.05) -> list[Verdict]:
    """Judge a family as a report does."""
    level = simultaneous_level(family, alpha, draws=4000)
    return [_finding(one, margin, alpha, level).verdict for one in family]


def _finding(one: Compared, margin: float, alpha: float, level: float) -> Finding:
    return Finding(
        id="forgetting/simulated",
        audit="forgetting",
        name="simulated",
        question="",
        unit="",
        base=one.base,
        adapted=one.adapted,
        change=one.change,
        margin=margin,
        alpha=alpha,
        family="",
        adjustment="",
        method=one.method,
        decision=decide(one, alpha, level),
        n_items=one.n_items,
        n_clusters=one.n_clusters,
        items="",
    )


def simulate(design: Design, n: int, at_margin: bool, repeats: int, seed: int = 0) -> Rates:
    """Run one design many times at a true change of 0, or of exactly the margin."""
    change = design.margin if at_margin else 0.0
    rng = np.random.default_rng([seed, n, int(at_margin), len(design.name), *design.name.encode()])
    wrong = same = covered = unclear = findings = intervals = 0
    for _ in range(repeats):
        family = design.draw(rng, n, change)
        said = verdicts(family, design.margin)
        wrong += any(one in (Verdict.WORSE, Verdict.BETTER) for one in said)
        same += sum(one == Verdict.SAME for one in said)
        unclear += sum(one == Verdict.UNCLEAR for one in said)
        findings += len(said)
        for one in family:
            if one.n_clusters >= 5 and one.change.low is not None and one.change.high is not None:
                covered += one.change.low <= change <= one.change.high
                intervals += 1
    share = covered / intervals if intervals else math.nan
    return Rates(
        design.name, n, change, design.margin, repeats, wrong / repeats, same / findings, share, unclear / findings
    )


def power(design: Design, n: int, repeats: int, seed: int = 0) -> float:
    """Share of audits without a change that are called the same."""
    rng = np.random.default_rng([seed, n, *design.name.encode()])
    said = [verdicts(design.draw(rng, n, 0.0), design.margin)[0] for _ in range(repeats)]
    return float(np.mean([one == Verdict.SAME for one in said]))
