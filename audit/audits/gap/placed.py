"""What every measure of the gap has in common: samples of texts, draws of their clusters, and a place on the scale."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from audit.audits import MIN_DOCUMENTS, distinct
from audit.finding import Decision, Estimate, Finding
from audit.scale import Scale
from audit.stats import cluster_weights, clusters_needed, rng_from
from audit.view import Item, NotMeasurable, fingerprint

__all__ = ["DRAWS", "Placed", "Sample", "Samples", "drawn_estimate", "findings_of"]

DRAWS = 1000

Array = NDArray[np.float64]
UNIT = "position between same domain (0) and unrelated (1)"


@dataclass(frozen=True)
class Sample:
    """Texts (or images) of one domain: each once, in an order that only what they say and with whom decides."""

    items: Sequence[Item]

    @classmethod
    def of(cls, items: Sequence[Item]) -> Sample:
        """Take what is distinct of items; what items and clusters are called, and their rows, decide nothing."""
        once = distinct(sorted(items, key=lambda item: item.id))
        together: dict[str, list[str]] = {}
        for item in once:
            together.setdefault(item.cluster, []).append(_content(item))
        known_by = {cluster: sorted(contents) for cluster, contents in together.items()}
        return cls(sorted(once, key=lambda item: (_content(item), known_by[item.cluster], item.label or "")))

    @cached_property
    def codes(self) -> NDArray[np.int64]:
        """The cluster of each item as a number from 0 on, in the order in which they come, shape (n,)."""
        numbers: dict[str, int] = {}
        return np.array([numbers.setdefault(item.cluster, len(numbers)) for item in self.items], dtype=np.int64)

    @property
    def n_clusters(self) -> int:
        """Number of clusters (documents)."""
        return int(self.codes.max()) + 1 if len(self.items) else 0


@dataclass(frozen=True)
class Samples:
    """The three samples of a gap: the task's texts between the reference and unrelated ones.

    Attributes
    ----------
    reference, task, ceiling : Sample
    left_out : int
        Documents of the reference that are in the task too, and so not among ``reference``.
    """

    reference: Sample
    task: Sample
    ceiling: Sample
    left_out: int = 0

    @classmethod
    def of(cls, reference: Sequence[Item], task: Sequence[Item], ceiling: Sequence[Item]) -> Samples:
        """Take what is distinct of each, and of the reference only documents that hold nothing of the task's.

        Two samples with documents in common are nearer to each other than any two of one domain.

        Raises
        ------
        NotMeasurable
            If one has fewer than ``MIN_DOCUMENTS`` documents.
        """
        shared = {_content(item) for item in task}
        both = {item.cluster for item in reference if _content(item) in shared}
        apart = [item for item in reference if item.cluster not in both]
        samples = cls(Sample.of(apart), Sample.of(task), Sample.of(ceiling), len(both))
        if both and samples.reference.n_clusters < MIN_DOCUMENTS:
            raise NotMeasurable(
                "gap",
                f"{len(both)} of the reference's documents are also in the task, which leaves "
                f"{samples.reference.n_clusters}; {MIN_DOCUMENTS} are the least: name a reference of other texts",
            )
        least = min(one.n_clusters for one in samples.all)
        if least < MIN_DOCUMENTS:
            raise NotMeasurable(
                "gap", f"{least} distinct documents are too few to place; {MIN_DOCUMENTS} are the least"
            )
        return samples

    @property
    def all(self) -> tuple[Sample, Sample, Sample]:
        """Reference, task, ceiling."""
        return self.reference, self.task, self.ceiling

    @property
    def items(self) -> list[Item]:
        """Everything that is asked, in the order of ``all``."""
        return [item for one in self.all for item in one.items]

    @property
    def documents(self) -> NDArray[np.int64]:
        """The cluster of every item of reference and task, laid end to end: theirs are apart."""
        return np.concatenate([self.reference.codes, self.task.codes + self.reference.n_clusters])

    @property
    def what(self) -> str:
        """What the items are, in a sentence: texts or images."""
        return "images" if self.task.items[0].image is not None else "texts"

    @cached_property
    def weights(self) -> tuple[Array, Array, Array]:
        """Cluster bootstrap of each sample, shape (n, 1 + DRAWS); the first column is the sample itself."""
        first, second, third = (
            np.concatenate(
                [np.ones((len(one.codes), 1)), cluster_weights(one.codes, DRAWS, self.rng(f"bootstrap {place}"))],
                axis=1,
            )
            for place, one in enumerate(self.all)
        )
        return first, second, third

    def rng(self, purpose: str) -> np.random.Generator:
        """Return a generator that is seeded from what the samples say, in which documents, and what it is for."""
        said = [[[_content(item) for item in one.items], one.codes.tolist()] for one in self.all]
        return rng_from(np.frombuffer(json.dumps([purpose, said]).encode(), dtype=np.uint8))


def _content(item: Item) -> str:
    """Return what an item says: its text, or where its image lies."""
    return item.text or item.image or ""


@dataclass(frozen=True)
class Placed:
    """One measure, placed: the draws of its position (the first is the estimate) and the scale it was read from."""

    scale: Scale
    draws: Array
    p: float | None
    n_items: int
    n_clusters: int

    @classmethod
    def read(
        cls,
        name: str,
        question: str,
        unit: str,
        measured: Array,
        ceiling: Array,
        null: float,
        *,
        p: float | None,
        n_items: int,
        n_clusters: int,
        root: bool = False,
        note: str = "",
    ) -> Placed:
        """Place a measure between its null and its ceiling.

        Parameters
        ----------
        name, question, unit : str
        measured, ceiling : ndarray, shape (1 + DRAWS,)
            The measure of the task's and of the ceiling's texts against the reference: the estimate, then the draws.
        null : float
            The same of two samples of the reference's own.
        p : float or None
        n_items, n_clusters : int
        root : bool
            The measure grows with the square of what it stands for.
        note : str

        Raises
        ------
        NotMeasurable
            If the measure cannot tell the ceiling from the reference.
        """
        reach = ceiling - null
        if not np.quantile(reach[1:], 0.05) > 0:
            raise NotMeasurable(name, "it cannot tell unrelated items from the reference: there is no scale")
        share = (measured - null) / np.maximum(reach, reach[0] / 10)
        draws = np.sign(share) * np.sqrt(np.abs(share)) if root else share
        scale = Scale(
            name=name,
            question=question,
            unit=unit,
            null=null,
            measured=drawn_estimate(measured),
            ceiling=float(ceiling[0]),
            root=root,
            note=note,
        )
        return cls(scale, draws, p, n_items, n_clusters)

    @property
    def position(self) -> Estimate:
        """Where it lies on the scale, with its 95 % interval."""
        return drawn_estimate(self.draws)

    def noted(self, note: str) -> Placed:
        """Return the same with another note."""
        return replace(self, scale=self.scale.model_copy(update={"note": note}))


def drawn_estimate(draws: Array) -> Estimate:
    """Percentile interval of draws, around the estimate that stands first; none where they do not vary."""
    low, high = (float(q) for q in np.quantile(draws[1:], [0.025, 0.975]))
    varies = float(np.std(draws[1:])) > 1e-12 and low < high
    return Estimate(value=float(draws[0]), low=low if varies else None, high=high if varies else None)


def findings_of(
    placed: Sequence[Placed], items: Sequence[Item], *, margin: float, alpha: float, note: str
) -> list[Finding]:
    """Judge what was placed, as one family: the position of each against the margin."""
    return [_finding(one, fingerprint(items), len(placed), margin, alpha, note) for one in placed]


def _finding(one: Placed, items: str, family: int, margin: float, alpha: float, note: str) -> Finding:
    position = one.position
    decision = Decision()
    if position.low is not None:
        same, beyond = (
            tuple(float(q) for q in np.quantile(one.draws[1:], [level, 1 - level])) for level in (alpha, alpha / family)
        )
        decision = Decision(same=same, beyond=beyond)
    finding = Finding(
        id=f"gap/{one.scale.name}",
        audit="gap",
        name=one.scale.name,
        question=one.scale.question,
        unit=UNIT,
        base=None,
        adapted=position,
        change=None,
        margin=margin,
        alpha=alpha,
        family="gap",
        adjustment=f"Bonferroni over {family} (one-sided level {alpha / family:.5f})",
        method="cluster bootstrap",
        decision=decision,
        p=one.p,
        n_items=one.n_items,
        n_clusters=one.n_clusters,
        items=items,
        note=note,
    )
    if finding.verdict != "unclear":
        return finding
    spread = float(np.std(one.draws[1:], ddof=1))
    needed = clusters_needed(spread * math.sqrt(one.n_clusters), margin, position.value, alpha)
    return finding.model_copy(update={"n_needed": needed})
