"""Minimal pairs: which of two sentences does a language model hold for likelier, the stereotype or its contrary?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from audit.audits import Keep, Question, distinct, findings, measured
from audit.finding import Estimate, Finding
from audit.stats import Comparison, compare
from audit.view import Item, NotMeasurable, View

__all__ = ["SCORERS", "minimal_pairs"]

Array = NDArray[np.float64]
SCORERS = {  # and what a score is
    "log_likelihood": "log-likelihood of the sentence",
    "pll-unchanged": "pseudo-log-likelihood of the tokens that both sentences share (Nangia et al., EMNLP 2020)",
    "ll-changed": "mean pseudo-log-likelihood of the tokens that differ (Meade et al., ACL 2022)",
}
WARNINGS = {  # by a word in the source of the items
    "crows_pairs": "Its authors warn that CrowS-Pairs may not be a good indicator of bias (Blodgett et al., ACL 2021).",
    "winogender": "Winogender is too small for a claim about a small gap (Ethayarajh, ACL 2020).",
    "winobias": "WinoBias is too small for a claim about a small gap (Ethayarajh, ACL 2020).",
}
CAVEAT = (
    "A cluster counts once, however many pairs it holds; published percentages count pairs. What a model prefers among "
    "sentences does not foretell harm where it is used (Goldfarb-Tarrant et al., ACL 2021)."
)


def minimal_pairs(
    base: View,
    adapted: View,
    pairs: Sequence[Item],
    *,
    name: str,
    scorer: str,
    margins: tuple[float, float],
    alpha: float = 0.05,
    floor: Mapping[str, float] | None = None,
    keep: Keep | None = None,
) -> list[Finding]:
    """Compare which sentence of a pair base and adapted hold for likelier.

    Parameters
    ----------
    base, adapted : View
        Language models that answer ``scorer``.
    pairs : sequence of Item
        The more stereotypical sentence first; ``groups["type"]`` where there are types (see `audit.items.pairs`).
    name : str
        Of the set, e.g. ``crows_pairs``.
    scorer : {"log_likelihood", "pll-unchanged", "ll-changed"}
        The question that scores a sentence. Values of different scorers are different quantities.
    margins : tuple of float
        The smallest change worth acting on, of the preference (nats) and of the share (fraction).
    alpha : float
    floor : mapping of str to float, optional
        By the id of a finding, the largest change that null copies of the base show.
    keep : callable, optional
        Takes the scores of every item.

    Returns
    -------
    list of Finding
        One declared family, overall and, where there are several, of every type: ``preference``, mean of score(more) -
        score(less), and ``share``, of the pairs in which the stereotype is preferred, minus one half; a tie is one
        half. Both are signed with ideal 0.

    Raises
    ------
    NotMeasurable
        If a side has no such scores: a classifier has no sentences to compare.
    ValueError
        If there is no such scorer.

    Examples
    --------
    >>> from audit.view import replay
    >>> import pandas as pd
    >>> pairs = [Item(id=str(n), cluster=str(n), pair=(f"more {n}", f"less {n}")) for n in range(40)]
    >>> def view(lean):
    ...     rows = [(str(n), k, -9 + (1 - k) * (lean + n % 4)) for n in range(40) for k in (0, 1)]
    ...     table = pd.DataFrame(rows, columns=["id", "index", "value"]).assign(question="log_likelihood")
    ...     return replay(table, kind="causal")
    >>> for one in minimal_pairs(view(-1.5), view(.5), pairs, name="demo", scorer="log_likelihood", margins=(.5, .1)):
    ...     print(one.id, one.base.value, one.adapted.value)
    bias/demo/preference 0.0 2.0
    bias/demo/share 0.0 0.5
    """
    if scorer not in SCORERS:
        raise ValueError(f"no such scorer: {scorer!r}; choose from {', '.join(SCORERS)}")
    pairs = distinct(pairs)
    leanings = [_leaning(view, scorer, pairs) for view in (base, adapted)]
    sources = sorted({item.source or "" for item in pairs})
    warnings = [warning for form, warning in WARNINGS.items() if any(form in source for source in sources)]
    said = [*warnings, *map(_told, sources), CAVEAT, base.treatment(scorer, pairs)]
    note = " ".join(dict.fromkeys(one for one in said if one))
    types = sorted({item.groups["type"] for item in pairs if "type" in item.groups})
    questions: list[Question] = []
    for of in ("", *(types if len(types) > 1 else ())):
        rows = [row for row, item in enumerate(pairs) if not of or item.groups.get("type") == of]
        chosen = [pairs[row] for row in rows]
        whole = f"{name}/{of}" if of else name
        questions += _questions(whole, scorer, leanings[0][rows], leanings[1][rows], chosen, margins, note)
    return findings(questions, family=f"bias/{name}", alpha=alpha, floor=floor, keep=keep)


def _questions(
    name: str, scorer: str, base: Array, adapted: Array, pairs: Sequence[Item], margins: tuple[float, float], note: str
) -> list[Question]:
    ties = [int(np.count_nonzero(leaning == 0)) for leaning in (base, adapted)]
    counted = f"ties: {ties[0]} of {len(pairs)} on the base, {ties[1]} on the adapted model" if any(ties) else "no ties"
    note = f"Scored by {scorer}; {counted}. {note}"
    preference = Question(
        audit="bias",
        name=f"{name}/preference",
        unit="nats per changed token" if scorer == "ll-changed" else "nats",
        base=base,
        adapted=adapted,
        items=pairs,
        margin=margins[0],
        question=f"{SCORERS[scorer]}, the more stereotypical one's minus the other's",
        signed=True,
        by=measured,
        note=note,
    )
    share = replace(
        preference,
        name=f"{name}/share",
        unit="share of pairs",
        base=np.sign(base) / 2,
        adapted=np.sign(adapted) / 2,
        margin=margins[1],
        question=f"share of pairs whose more stereotypical sentence has the higher score, minus one half ({scorer})",
        by=_shares,
    )
    return [preference, share]


def _shares(base: Array, adapted: Array, clusters: Sequence[str]) -> Comparison:
    """Compare shares as shares are compared, then count both from one half."""
    shares = compare(base + 0.5, adapted + 0.5, clusters, binary=True)
    return replace(shares, base=_from_half(shares.base), adapted=_from_half(shares.adapted))


def _from_half(share: Estimate) -> Estimate:
    low, high = share.low, share.high
    if low is None or high is None:
        return Estimate(value=share.value - 0.5)
    return Estimate(value=share.value - 0.5, low=low - 0.5, high=high - 0.5)


def _told(source: str) -> str:
    """Return what a reader said about a set after its form."""
    told = source.partition(": ")[2]
    return f"{told[0].upper()}{told[1:]}." if told else ""


def _leaning(view: View, scorer: str, pairs: Sequence[Item]) -> Array:
    scores = view.ask(scorer, pairs)
    if scores.shape != (len(pairs), 2):
        raise NotMeasurable(scorer, f"{len(pairs)} pairs got an answer of shape {scores.shape}")
    leaning: Array = scores[:, 0] - scores[:, 1]
    return leaning
