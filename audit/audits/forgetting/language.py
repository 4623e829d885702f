"""Probes of a causal model: surprise at text, the likeliest token, its whole distribution, the end of a turn."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from audit.audits import Question, distinct, measured
from audit.audits.forgetting.readable import readable
from audit.stats import compare_skewed
from audit.view import Item, NotMeasurable, View

__all__ = ["divergence", "end_of_turn", "general_text", "next_token"]

MOST = 512  # documents whose distributions are compared: a sketch takes 256 KiB

Array = NDArray[np.float64]


def general_text(
    base: View, adapted: View, items: Sequence[Item], *, margin: float, group: str | None = None
) -> list[Question]:
    """Compare the surprise of base and adapted at text.

    Parameters
    ----------
    base, adapted : View
        Answer ``log_likelihood``. Their tokenizers may differ: the unit is a byte of the text.
    items : sequence of Item
        Texts; cluster = document.
    margin : float
        In nats per byte of text (UTF-8); a token of English has about 4.5.
    group : str, optional
        Of the texts, where they are not general.

    Returns
    -------
    list of Question
        One: nats per byte of each text.

    Raises
    ------
    NotMeasurable
        If a side is no language model, or a text is empty.

    Examples
    --------
    >>> from audit.audits import findings
    >>> from audit.view import replay
    >>> import pandas as pd
    >>> items = [Item(id=str(n), cluster=str(n), text=f"ten bytes{n % 10}") for n in range(40)]
    >>> def view(added):
    ...     nats = [-(8. + n / 40 + added * 10 * (1 + n % 2 / 10)) for n in range(40)]
    ...     rows = {"id": [item.id for item in items], "question": "log_likelihood", "value": nats}
    ...     return replay(pd.DataFrame(rows), kind="causal")
    >>> [found] = findings(general_text(view(0.), view(.05), items, margin=.01), family="forgetting")
    >>> print(round(found.change.value, 4), found.verdict)
    0.0525 worse
    """
    items, unread = readable(base, _texts("log_likelihood", items))
    sizes = np.array([len((item.text or "").encode()) for item in items])
    surprise = [-view.ask("log_likelihood", items) / sizes for view in (base, adapted)]
    question = Question(
        audit="forgetting",
        name="general_text",
        unit="nats per byte",
        base=surprise[0],
        adapted=surprise[1],
        items=items,
        margin=margin,
        question=f"mean negative log-likelihood of a byte of {_of(group)}",
        group=group,
        by=measured,
        note=_joined(base.treatment("log_likelihood", items), unread),
    )
    return [question]


def next_token(
    base: View, adapted: View, items: Sequence[Item], *, margin: float, group: str | None = None
) -> list[Question]:
    """Compare how often base and adapted would have written another token than the one that stands there.

    Parameters
    ----------
    base, adapted : View
        Answer ``next_tokens``, about the same tokens.
    items : sequence of Item
        Texts; cluster = document.
    margin : float
        Of the error rate (fraction).
    group : str, optional
        Of the texts, where they are not general.

    Returns
    -------
    list of Question
        One: the share of each text's tokens where another token was likelier. How many single tokens were lost and
        gained stands in the note; the unit of the interval is the document.

    Raises
    ------
    NotMeasurable
        If a side is no language model, or the sides split the texts into other tokens.

    Examples
    --------
    >>> from audit.view import replay
    >>> import pandas as pd
    >>> items = [Item(id="a", cluster="a", text="one two")]
    >>> def view(first, second):
    ...     rows = {"id": "a", "question": "next_tokens", "index": range(4), "value": [-1., first, -1., second]}
    ...     return replay(pd.DataFrame(rows), kind="causal")
    >>> [question] = next_token(view(1, 1), view(1, 0), items, margin=.02)
    >>> print(question.base, question.adapted, question.note)
    [0.] [0.5] Of 2 tokens, 1 that were the base's likeliest no longer are, and 0 have become so.
    """
    items, unread = readable(base, _texts("next_tokens", items))
    _same_tokens("next_tokens", base, adapted, items)
    was, now = (view.ask("next_tokens", items)[..., 1] for view in (base, adapted))
    there = was >= 0
    if was.shape != now.shape or not np.array_equal(there, now >= 0):
        raise NotMeasurable("next_tokens", "the two sides split the texts into other tokens")
    lost, gained = int(((was == 1) & (now == 0)).sum()), int(((was == 0) & (now == 1)).sum())
    said = (
        f"Of {there.sum():,} tokens, {lost:,} that were the base's likeliest no longer are, "
        f"and {gained:,} have become so."
    )
    wrong = [((side == 0).sum(axis=1) / there.sum(axis=1)) for side in (was, now)]
    question = Question(
        audit="forgetting",
        name="next_token",
        unit="error rate",
        base=wrong[0],
        adapted=wrong[1],
        items=items,
        margin=margin,
        question=f"share of the tokens of {_of(group)} where another one was likelier",
        group=group,
        by=measured,
        note=_joined(said, base.treatment("next_tokens", items), unread),
    )
    return [question]


def divergence(
    base: View, adapted: View, items: Sequence[Item], *, margin: float, group: str | None = None
) -> list[Question]:
    """Measure how far the adapted model's distribution of the next token lies from the base's.

    Parameters
    ----------
    base, adapted : View
        Answer ``next_token_sketch``, over the same tokens.
    items : sequence of Item
        Texts, or prompts with options; cluster = document. Of more than ``MOST``, so many are asked.
    margin : float
        In nats.
    group : str, optional
        Of the texts, where they are not general.

    Returns
    -------
    list of Question
        One: KL(base || adapted) of each text, in nats, mean over its places; the base scores 0. On the task's own
        prompts it is what tells best how much an adaptation forgets (Shenfeld et al., arXiv 2509.04259).

    Raises
    ------
    NotMeasurable
        If a side is no language model, or the sides split the texts into other tokens.

    Notes
    -----
    The distributions are summed over cells of the vocabulary, so that each side can be asked by itself. No such sum
    adds to a divergence (the data-processing inequality): what is reported is a lower bound. The terms are those of
    the generalised divergence, p ln(p/q) - p + q, none of which is below 0 and whose rounding errors are of second
    order; where both sides sum to 1 the total is the same. A few texts diverge far more than most: the interval is
    corrected for skewness (`audit.stats.skewed`).

    Examples
    --------
    >>> from audit.view import replay
    >>> import pandas as pd
    >>> items = [Item(id="a", cluster="a", text="heads or")]
    >>> def view(heads):
    ...     rows = {"id": "a", "question": "next_token_sketch", "index": [0, 1], "value": np.log([heads, 1 - heads])}
    ...     return replay(pd.DataFrame(rows), kind="causal")
    >>> [question] = divergence(view(.5), view(.9), items, margin=.1)
    >>> question.adapted.round(4)  # ln(.5/.9)/2 + ln(.5/.1)/2
    array([0.5108])
    """
    asked, unread = readable(base, _one_sort("next_token_sketch", items))
    items = (
        asked if len(asked) <= MOST else [asked[i] for i in np.linspace(0, len(asked) - 1, MOST).round().astype(int)]
    )
    after = items[0].prompt is not None
    _same_tokens("next_token_sketch", base, adapted, items)
    before, now = (view.ask("next_token_sketch", items) for view in (base, adapted))
    if before.shape != now.shape:
        raise NotMeasurable("next_token_sketch", "the two sides were looked at in different places")
    places, cells = before.shape[1:]
    where = "after the prompt" if after else f"before {places} tokens drawn from each text"
    few = f" {len(items)} of {len(asked)} texts were asked." if len(items) < len(asked) else ""
    said = (
        f"A lower bound: distributions {where}, summed over {cells:,} cells of the vocabulary (token id modulo); about "
        f"nine tenths of the whole divergence where that was measured.{few}"
    )
    question = Question(
        audit="forgetting",
        name="divergence",
        unit="nats",
        base=np.zeros(len(items)),
        adapted=np.array([_kl(p, q).mean() for p, q in zip(before, now, strict=True)]),
        items=items,
        margin=margin,
        question=f"Kullback-Leibler divergence of the next token of {_of(group)} from the base's, over {cells:,} cells "
        "of the vocabulary (a lower bound)",
        group=group,
        by=compare_skewed,
        note=_joined(said, base.treatment("next_token_sketch", items), unread),
        detectable=False,
    )
    return [question]


def end_of_turn(base: View, adapted: View, items: Sequence[Item], *, margin: float) -> list[Question]:
    """Compare how surely base and adapted end a chat turn where its answer is complete.

    Parameters
    ----------
    base, adapted : View
        Answer ``end_of_turn``.
    items : sequence of Item
        A user's prompt, and one complete answer as its only option.
    margin : float
        Of the probability (fraction).

    Returns
    -------
    list of Question
        One: the probability that the turn does not end there.

    Raises
    ------
    NotMeasurable
        If a side has no chat template that shows where an answer ends.

    Examples
    --------
    >>> from audit.view import replay
    >>> import pandas as pd
    >>> items = [Item(id="a", cluster="a", prompt="What is ice?", options=("Frozen water.",))]
    >>> def view(ends):
    ...     rows = pd.DataFrame({"id": ["a"], "question": "end_of_turn", "value": np.log([ends])})
    ...     return replay(rows, kind="causal")
    >>> [question] = end_of_turn(view(.9), view(.2), items, margin=.1)
    >>> print(question.base.round(3), question.adapted.round(3))
    [0.1] [0.8]
    """
    items, unread = readable(base, _one_sort("end_of_turn", items))
    goes_on = [-np.expm1(np.minimum(view.ask("end_of_turn", items), 0.0)) for view in (base, adapted)]
    question = Question(
        audit="forgetting",
        name="end_of_turn",
        unit="probability",
        base=goes_on[0],
        adapted=goes_on[1],
        items=items,
        margin=margin,
        question="probability that a chat turn goes on where its answer is complete",
        by=measured,
        note=_joined(base.treatment("end_of_turn", items), unread),
    )
    return [question]


def _kl(before: Array, now: Array) -> Array:
    """Divergence of two log-distributions along the last axis, in nats."""
    p, q = np.exp(before), np.exp(now)
    nats: Array = (p * (before - now) - p + q).sum(axis=-1)
    return np.maximum(nats, 0.0)


def _same_tokens(question: str, base: View, adapted: View, items: Sequence[Item]) -> None:
    """Refuse sides whose tokens differ; a record that does not hold them is believed."""
    texts = [Item(id=item.id, cluster=item.cluster, text=item.text or item.prompt or "") for item in items]
    try:
        ours, theirs = (view.ask("token_ids", texts) for view in (base, adapted))
    except NotMeasurable:
        return
    if not np.array_equal(ours, theirs):
        raise NotMeasurable(question, "the two sides split the texts into other tokens")


def _one_sort(question: str, items: Sequence[Item]) -> list[Item]:
    if not items:
        raise NotMeasurable(question, "there are no items")
    return distinct(items)


def _texts(question: str, items: Sequence[Item]) -> list[Item]:
    empty = next((item.id for item in items if not item.text), None)
    if empty is not None:
        raise NotMeasurable(question, f"item {empty!r} has no text")
    return _one_sort(question, items)


def _of(group: str | None) -> str:
    return "general text" if group is None else f"text: {group}"


def _joined(*parts: str) -> str:
    return " ".join(part for part in parts if part)
