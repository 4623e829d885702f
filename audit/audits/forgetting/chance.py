"""What guessing scores: a base that does no better has nothing to forget."""

from __future__ import annotations

from dataclasses import replace

from audit.audits import Question

__all__ = ["NO_BETTER", "against_chance"]

NO_BETTER = "The base itself does no better than chance here: there is little to forget."


def against_chance(question: Question, chance: float, said: str) -> Question:
    """Add to a question's note what guessing scores, and whether the base's own 95 % interval reaches it.

    Parameters
    ----------
    question : Question
        Of a harm: larger is worse.
    chance : float
        In its unit.
    said : str
        One sentence that names it.

    Examples
    --------
    >>> import numpy as np
    >>> from audit.audits import binary
    >>> from audit.view import Item
    >>> items = [Item(id=str(n), cluster=str(n), text=str(n)) for n in range(40)]
    >>> wrong = np.arange(40) % 2.0
    >>> one = Question("forgetting", "coins", "error rate", wrong, wrong, items, 0.05, "", by=binary)
    >>> print(against_chance(one, 0.5, "Guessing errs in 50%.").note)
    Guessing errs in 50%. The base itself does no better than chance here: there is little to forget.
    >>> print(against_chance(one, 0.75, "Guessing errs in 75%.").note)
    Guessing errs in 75%.
    """
    notes = [question.note, said]
    if question.compared().base.bounds()[1] >= chance:
        notes.append(NO_BETTER)
    return replace(question, note=" ".join(filter(None, notes)))
