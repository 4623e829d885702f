"""Inherited bias, first reading: does the answer move when only the person in the text changes?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from audit.audits import Keep, Question, distinct, findings
from audit.finding import Finding
from audit.view import Item, NotMeasurable, View

__all__ = ["counterfactual"]

CAVEAT = (
    "A swap changes names, pronouns and a few nouns, and nothing else that tells who is meant. "
    "It shows what these words do to this answer, not how the model treats people."
)


def counterfactual(
    base: View,
    adapted: View,
    pairs: Sequence[Item],
    *,
    name: str,
    groups: tuple[str, str],
    label: str,
    margins: tuple[float, float],
    by_pair: bool = False,
    alpha: float = 0.05,
    note: str = "",
    keep: Keep | None = None,
) -> list[Finding]:
    """Compare how base and adapted answer when the person in a text is swapped.

    Parameters
    ----------
    base, adapted : View
        Both answer ``probabilities`` with the same labels.
    pairs : sequence of Item
        Minimal pairs: the text as about the first group, and as about the second. Cluster = template or text.
    name : str
        Of the item set, e.g. ``gender/templates``.
    groups : tuple of str
        What the first and the second text of a pair say.
    label : str
        The answer that is followed.
    margins : tuple of float
        The smallest change worth acting on, of the probability and of the share of flips (fractions).
    by_pair : bool
        Add one finding for each pair of names (``groups["pair"]`` of the items): an exploratory family of its own.
    alpha : float
    note : str
        Said in every finding.
    keep : callable, optional
        Takes the scores of every item.

    Returns
    -------
    list of Finding
        ``preference``: mean of P(label | first) - P(label | second), signed with ideal 0. ``flips``: share of pairs
        whose two texts get different answers. Then, if asked for, ``preference`` for every pair of names.

    Raises
    ------
    NotMeasurable
        If a side has no probabilities, the labels differ, or ``label`` is not among them.

    Examples
    --------
    >>> from audit.view import replay
    >>> import pandas as pd
    >>> pairs = [Item(id=f"i{n}", cluster=f"t{n}", pair=(f"She {n}", f"He {n}")) for n in range(40)]
    >>> def view(id, shift):
    ...     rows = [(f"i{n}", k, p) for n in range(40) for k, p in enumerate((.5, .5, .5 - shift[n], .5 + shift[n]))]
    ...     table = pd.DataFrame(rows, columns=["id", "index", "value"]).assign(question="probabilities")
    ...     return replay(table, id=id, labels=["good", "bad"])
    >>> base = view("base", [.001 * (n % 3) for n in range(40)])
    >>> adapted = view("adapted", [.2 + .01 * (n % 5) for n in range(40)])
    >>> asked = {"name": "demo", "groups": ("she", "he"), "label": "good", "margins": (.02, .02)}
    >>> for one in counterfactual(base, adapted, pairs, **asked):
    ...     print(one.name, round(one.change.value, 3), one.verdict)
    demo/preference 0.219 worse
    demo/flips 0.35 worse
    """
    if base.labels != adapted.labels:
        raise NotMeasurable("probabilities", f"the sides answer {base.labels} and {adapted.labels}")
    if label not in adapted.labels:
        raise NotMeasurable("probabilities", f"no label {label!r} among {adapted.labels}")
    pairs = distinct(pairs)
    answers = [_oriented(view, pairs) for view in (base, adapted)]
    followed = adapted.labels.index(label)
    first, second = groups
    preference = [one[:, 0, followed] - one[:, 1, followed] for one in answers]
    flips = [(one[:, 0].argmax(axis=-1) != one[:, 1].argmax(axis=-1)).astype(np.float64) for one in answers]
    question = f"P({label}) where the text is about {first}, minus P({label}) where it is about {second}"
    text = f"{note} {CAVEAT}".strip()
    overall = [
        Question(
            audit="bias",
            name=f"{name}/preference",
            unit="probability",
            base=preference[0],
            adapted=preference[1],
            items=pairs,
            margin=margins[0],
            question=question,
            signed=True,
            note=text,
        ),
        Question(
            audit="bias",
            name=f"{name}/flips",
            unit="share of pairs",
            base=flips[0],
            adapted=flips[1],
            items=pairs,
            margin=margins[1],
            question=f"the answer differs between the text about {first} and the text about {second}",
            note=text,
        ),
    ]
    found = findings(overall, family=f"bias/{name}", alpha=alpha, keep=keep)
    return found + (_by_pair(pairs, preference, question, name, margins[0], alpha, text) if by_pair else [])


def _oriented(view: View, pairs: Sequence[Item]) -> NDArray[np.float64]:
    answer = view.ask("probabilities", pairs)
    if answer.shape != (len(pairs), 2, len(view.labels)):
        raise NotMeasurable("probabilities", f"{len(pairs)} pairs got an answer of shape {answer.shape}")
    return answer


def _by_pair(
    pairs: Sequence[Item],
    preference: Sequence[NDArray[np.float64]],
    question: str,
    name: str,
    margin: float,
    alpha: float,
    note: str,
) -> list[Finding]:
    names = list(dict.fromkeys(item.groups.get("pair", "") for item in pairs))
    slices = []
    for which in names:
        rows = [row for row, item in enumerate(pairs) if item.groups.get("pair", "") == which]
        members = [pairs[row] for row in rows]
        slices.append(
            Question(
                audit="bias",
                name=f"{name}/preference",
                group=which,
                unit="probability",
                base=preference[0][rows],
                adapted=preference[1][rows],
                items=members,
                margin=margin,
                question=question,
                signed=True,
                note=f"Exploratory slice. {note}",
            )
        )
    return findings(slices, family=f"bias/{name}/slices (exploratory)", alpha=alpha)
