"""Multiple choice: which option a causal model finds likeliest."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from audit.audits import Question, binary, distinct
from audit.audits.forgetting.chance import against_chance
from audit.audits.forgetting.readable import readable
from audit.errors import InputError
from audit.view import Item, NotMeasurable, View, option_scores

__all__ = ["multiple_choice"]

Array = NDArray[np.float64]


def multiple_choice(base: View, adapted: View, items: Sequence[Item], *, margin: float) -> list[Question]:
    """Compare how often base and adapted choose a wrong option.

    Parameters
    ----------
    base, adapted : View
        Answer ``option_log_likelihood``.
    items : sequence of Item
        A prompt, its options, and as ``label`` the text of the right one; ``groups`` may name an ``area``. Items may
        have different numbers of options.
    margin : float
        Of the error rate (fraction).

    Returns
    -------
    list of Question
        Of all items; then of each area, if there are at least two.

    Raises
    ------
    InputError
        If a label is none of the options.
    NotMeasurable
        If a side does not score options, or there are no items.

    Notes
    -----
    The option with the most nats per byte is chosen (lm-eval's ``acc_norm``), and a tie is wrong. A model that finds
    every byte harder by the same amount chooses as before; by the sum of nats alone (``acc``) it would move to the
    shorter options, and what `general_text` measures would count a second time. Bytes, unlike tokens, are the same on
    both sides.

    Examples
    --------
    >>> from audit.view import replay
    >>> import pandas as pd
    >>> item = Item(id="a", cluster="a", prompt="Ice is", options=(" cold", " warm"), label=" cold")
    >>> def view(cold, warm):
    ...     rows = {"id": "a", "question": "option_log_likelihood", "index": [0, 1], "value": [cold, warm]}
    ...     return replay(pd.DataFrame(rows), kind="causal")
    >>> [question] = multiple_choice(view(-1., -2.), view(-2., -1.), [item], margin=.05)
    >>> print(question.base, question.adapted)
    [0.] [1.]
    """
    items = distinct(items)
    if not items:
        raise NotMeasurable("option_log_likelihood", "there are no questions")
    items, unread = readable(base, items)
    wrong = [_wrong(view, items) for view in (base, adapted)]
    notes = [base.treatment("option_log_likelihood", [items[row] for row in rows]) for rows in _alike(items)]
    areas = [item.groups.get("area") for item in items]
    slices = sorted({area for area in areas if area is not None})
    questions = []
    for area in (None, *(slices if len(slices) > 1 else ())):
        rows = [row for row, one in enumerate(areas) if area is None or one == area]
        question = Question(
            audit="forgetting",
            name="multiple_choice",
            unit="error rate",
            base=wrong[0][rows],
            adapted=wrong[1][rows],
            items=[items[row] for row in rows],
            margin=margin,
            question="share of questions where a wrong option is at least as likely, byte for byte, as the right one",
            group=area,
            by=binary,
            note=" ".join(filter(None, (*notes, unread))),
        )
        guess = float(np.mean([1 - 1 / len(item.options or ()) for item in question.items]))
        questions.append(against_chance(question, guess, f"Guessing errs in {guess:.0%}."))
    return questions


def _wrong(view: View, items: Sequence[Item]) -> Array:
    """1 where another option is at least as likely as the right one, shape (n,)."""
    wrong = np.zeros(len(items))
    for rows in _alike(items):
        some = [items[row] for row in rows]
        right = np.array([_right(item) for item in some])[:, None]
        scores = option_scores(view, some)
        own = np.take_along_axis(scores, right, axis=1)
        wrong[rows] = (scores >= own).sum(axis=1) > 1
    return wrong


def _alike(items: Sequence[Item]) -> list[list[int]]:
    """Rows of items with as many options: a view is asked for one number of them at a time."""
    rows: dict[int, list[int]] = defaultdict(list)
    for row, item in enumerate(items):
        rows[len(item.options or ())].append(row)
    return [rows[size] for size in sorted(rows)]


def _right(item: Item) -> int:
    options = item.options or ()
    if item.label is None or options.count(item.label) != 1:
        raise InputError(
            f"item {item.id!r}: its label {item.label!r} is not one of its options {', '.join(map(repr, options))}"
        )
    return options.index(item.label)
