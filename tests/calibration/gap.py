"""Positions of mixtures whose truth is known: ``python -m tests.calibration.gap``."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray

from audit.audits.gap.mmd import representation
from audit.audits.gap.placed import Placed, Samples, findings_of
from audit.audits.gap.separability import separability
from audit.finding import Finding
from audit.items import reversed_words
from audit.models.load import load_base
from audit.view import Item
from tests.bench.material import minilm, shared

__all__ = ["Row", "page", "rows"]

MARGIN = 0.2
SIZES = (30, 100, 200, 500)
SHARES = (0.0, 0.2, 0.3, 0.5)
REPEATS = {30: 200, 100: 200, 200: 150, 500: 80}
REVIEWS = ("amazon", "imdb", "yelp")

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Row:
    """What was said of one share at one size.

    Attributes
    ----------
    n : int
        Texts a side.
    share : float
        Of unrelated text in the task: the true position by MMD.
    told : list of tuple of Finding
        Of every repeat: representation, separability.
    """

    n: int
    share: float
    told: list[tuple[Finding, Finding]]


def rows(n_jobs: int = -1) -> list[Row]:
    """Draw every mixture anew, many times, from review sentences and the same with reversed letters.

    Texts are drawn with replacement: what they are drawn from is then the population, and its truth is exact.
    """
    domain, unrelated = _population()
    jobs = [(n, share, seed) for n in SIZES for share in SHARES for seed in range(REPEATS[n])]
    told = Parallel(n_jobs=n_jobs, batch_size=20)(delayed(_told)(domain, unrelated, *job) for job in jobs)
    return [
        Row(n, share, [one for job, one in zip(jobs, told, strict=True) if job[:2] == (n, share)])
        for n in SIZES
        for share in SHARES
    ]


def _population() -> tuple[Array, Array]:
    lines = [
        line.rsplit("\t", 1)[0]
        for name in REVIEWS
        for line in shared(f"sentences_{name}.tsv").read_text(encoding="utf-8").split("\n")
        if line
    ]
    items = [Item(id=str(i), cluster=str(i), text=text) for i, text in enumerate(dict.fromkeys(lines))]
    view = load_base(minilm(), "encoder")
    return view.ask("embedding", items), view.ask("embedding", reversed_words(items))


def _told(domain: Array, unrelated: Array, n: int, share: float, seed: int) -> tuple[Finding, Finding]:
    rng = np.random.default_rng([n, round(1000 * share), seed])
    reference, task, ceiling = (source[rng.integers(0, len(source), n)] for source in (domain, domain, unrelated))
    mixed = rng.random(n) < share
    task[mixed] = unrelated[rng.integers(0, len(unrelated), int(mixed.sum()))]
    samples = Samples.of(*([_item(f"{name} {seed}", i) for i in range(n)] for name in ("r", "t", "u")))
    features = [reference, task, ceiling]
    placed: list[Placed] = [representation(samples, features), separability(samples, features)[0]]
    first, second = findings_of(placed, samples.items, margin=MARGIN, alpha=0.05, note="")
    return first, second


def _item(name: str, number: int) -> Item:
    """Stand in for a text: items are sorted by content, and rows of features with them."""
    return Item(id=f"{name} {number:05}", cluster=f"{name} {number:05}", text="a text")


def page(n_jobs: int = -1) -> list[str]:
    """Return the lines of a Markdown section."""
    started = time.perf_counter()
    table = rows(n_jobs)
    minutes = (time.perf_counter() - started) / 60
    lines = [
        "## The domain gap",
        "",
        "MiniLM embeddings of review sentences (Amazon, IMDb, Yelp); the task is the same with a share λ of sentences "
        "whose words are spelt backwards, the ceiling those alone, n texts a side. The true position by MMD is λ. "
        f"Margin {MARGIN:g}; {'/'.join(str(REPEATS[n]) for n in SIZES)} repeats at n = {'/'.join(map(str, SIZES))}; "
        f"{minutes:.0f} minutes. At the margin neither `same` nor `worse` is right: either in .05 at most. "
        "`coverage`: 95 % intervals that hold λ; above .95 where λ is small, since draws of a sample add to its own "
        "noise there. By separability a position is what a classifier trained on n/2 texts a side reaches, a lower "
        "bound: its figures are not wrong or right, and say what it can see.",
        "",
        "| n | λ | position (sd) | coverage | same | worse | unclear | p ≤ .05 "
        "| separability (sd) | same | worse | unclear | p ≤ .05 |",
        "|" + "---|" * 13,
    ]
    for row in table:
        near, told = zip(*row.told, strict=True)
        covered = np.mean([low <= row.share <= high for low, high in (one.adapted.bounds() for one in near)])
        lines.append(
            f"| {row.n} | {row.share:g} | {_spread(near)} | {covered:.3f} | {_verdicts(near)} "
            f"| {_found(near):.3f} | {_spread(told)} | {_verdicts(told)} | {_found(told):.3f} |"
        )
    return [*lines, ""]


def _spread(findings: tuple[Finding, ...]) -> str:
    values = [one.adapted.value for one in findings]
    return f"{np.mean(values):.3f} ({np.std(values):.3f})"


def _verdicts(findings: tuple[Finding, ...]) -> str:
    return " | ".join(f"{_share(findings, name):.3f}" for name in ("same", "worse", "unclear"))


def _share(findings: tuple[Finding, ...], verdict: str) -> float:
    return float(np.mean([one.verdict == verdict for one in findings]))


def _found(findings: tuple[Finding, ...]) -> float:
    return float(np.mean([(one.p or 1) <= 0.05 for one in findings]))


if __name__ == "__main__":
    text = "\n".join(page()).replace("## The domain gap", "# The domain gap", 1)
    Path(__file__).with_name("gap.md").write_text(text, encoding="utf-8")
