"""The domain gap: where a task's texts lie between the reference and text that no base knows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from audit.audits.gap.mmd import mmd2, representation
from audit.audits.gap.placed import Samples, findings_of
from audit.audits.gap.separability import separability
from audit.finding import Finding
from audit.scale import Scale
from audit.view import Item, View

__all__ = ["Gap", "domain_gap", "mmd2"]


@dataclass(frozen=True)
class Gap:
    """Findings, and the scales that their positions were read from."""

    findings: list[Finding]
    scales: list[Scale]


def domain_gap(
    base: View,
    task: Sequence[Item],
    reference: Sequence[Item],
    ceiling: Sequence[Item],
    *,
    margin: float,
    alpha: float = 0.05,
    note: str = "",
) -> Gap:
    """Place the task's texts on a scale from the reference (0) to unrelated text (1), in the base's own space.

    Parameters
    ----------
    base : View
        Answers ``embedding``.
    task, reference, ceiling : sequence of Item
        Texts of the task, of the domain that the base is assumed to know, and unrelated ones; cluster = document.
    margin : float
        The position up to which a task counts as the same domain.

    Returns
    -------
    Gap
        ``representation``: position by MMD (RBF kernel, median bandwidth, unbiased), with a permutation p.
        ``separability``: position by the held-out accuracy of a linear domain classifier, with an exact binomial p.
        Only ``adapted`` is filled: the base is what measures.

    Raises
    ------
    NotMeasurable
        If the base has no embedding, or a sample has too few documents.
    """
    samples = Samples.of(reference, task, ceiling)
    features = [base.ask("embedding", one.items) for one in samples.all]
    placed = [representation(samples, features), separability(samples, features)]
    found = findings_of(placed, samples.items, margin=margin, alpha=alpha, note=note)
    return Gap(found, [one.scale for one in placed])
