"""The domain gap: where a task's texts lie between the reference and text that no base knows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from audit.audits.gap.drivers import drivers
from audit.audits.gap.frechet import frechet
from audit.audits.gap.mmd import mmd2, representation
from audit.audits.gap.placed import Placed, Samples, findings_of
from audit.audits.gap.separability import separability
from audit.audits.gap.surprise import KeepSide, surprise
from audit.audits.gap.tokens import token_scales, vocabulary
from audit.finding import Finding
from audit.scale import Scale
from audit.view import Item, NotMeasurable, View

__all__ = ["Gap", "domain_gap", "mmd2"]


@dataclass(frozen=True)
class Gap:
    """What was found.

    Attributes
    ----------
    findings : list of Finding
    scales : list of Scale
        Those that the findings' positions were read from, then more of them: ``frechet``, and what the tokenizer does.
    limits : list of str
        What could not be measured, and why.
    drivers : DataFrame or None
        The words and texts that tell the sides apart (see `audit.audits.gap.drivers`).
    """

    findings: list[Finding]
    scales: list[Scale]
    limits: list[str] = field(default_factory=list)
    drivers: pd.DataFrame | None = None


def domain_gap(
    base: View,
    task: Sequence[Item],
    reference: Sequence[Item],
    ceiling: Sequence[Item],
    *,
    margin: float,
    alpha: float = 0.05,
    note: str = "",
    keep: KeepSide | None = None,
) -> Gap:
    """Place the task's texts on a scale from the reference (0) to unrelated text (1), in the base's own space.

    Parameters
    ----------
    base : View
        Answers ``embedding``, ``log_likelihood`` or ``masked_log_likelihood``, and ``token_ids``, or some of these.
    task, reference, ceiling : sequence of Item
        Texts of the task, of the domain that the base is assumed to know, and unrelated ones; cluster = document.
    margin : float
        The position up to which a task counts as the same domain.
    keep : callable, optional
        Takes what the base scored on each text.

    Returns
    -------
    Gap
        ``representation``: position by MMD (RBF kernel, median bandwidth, unbiased), with a permutation p.
        ``separability``: position by the held-out accuracy of a linear domain classifier, with a p from exact
        binomial ones;
        ``separability_length_matched``: again, of documents equally long on both sides.
        ``surprise``: position by the bits that a byte costs. ``tokens``: position by the divergence of tokens.
        Only ``adapted`` is filled: the base is what measures.

    Raises
    ------
    NotMeasurable
        If a sample has too few documents, or nothing could be measured.
    """
    samples = Samples.of(reference, task, ceiling)
    features: list[NDArray[np.float64]] = []
    placed: list[Placed] = []
    scales: list[Scale] = []
    driving: list[pd.DataFrame] = []
    limits: list[str] = []
    failed: list[NotMeasurable] = []
    if samples.left_out:
        limits.append(f"{samples.left_out} reference documents that are also in the task were left out.")

    def attempt(where: str, measure: Callable[[], None]) -> None:
        try:
            measure()
        except NotMeasurable as reason:
            limits.append(f"The gap {where} was not measured: {reason}.")
            failed.append(reason)

    def tokenized() -> None:
        more, without = token_scales(samples, base)
        scales.extend(more)
        limits.extend(without)

    attempt("in the base's space", lambda: features.extend([base.ask("embedding", one.items) for one in samples.all]))
    if features:
        attempt("in the base's space", lambda: placed.append(representation(samples, features)))
        attempt("in separability", lambda: placed.extend(separability(samples, features)))
        with suppress(NotMeasurable):  # few documents for many features: it would say nothing
            scales.append(frechet(samples, features))
        with suppress(NotMeasurable):  # images have no words
            driving.append(drivers(samples, features))
    attempt("in surprise", lambda: placed.append(surprise(samples, base, keep)))
    attempt("in tokens", lambda: placed.append(vocabulary(samples, base)))
    attempt("in what the tokenizer makes of words", tokenized)
    if not placed:
        raise failed[0]
    found = findings_of(placed, samples.items, margin=margin, alpha=alpha, note=note)
    return Gap(found, [*(one.scale for one in placed), *scales], limits, next(iter(driving), None))
