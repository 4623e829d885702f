"""What the encoder still makes of general text: masked words, read by the base's own head on both sides."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from audit.audits import Question, distinct, measured
from audit.audits.forgetting.readable import readable
from audit.view import Item, NotMeasurable, View

__all__ = ["masked_text"]

HEAD = "Both sides are read by the base's own masked-word head, which stays as it was pretrained."


def masked_text(
    base: View, adapted: View, items: Sequence[Item], *, margin: float, group: str | None = None
) -> list[Question]:
    """Ask how surprised both sides are at masked words of general text.

    Parameters
    ----------
    base, adapted : View
        Answer ``masked_log_likelihood``: 15 % of a text's tokens, the same ones on both sides.
    items : sequence of Item
        Texts; cluster = document. Empty ones are left out.
    margin : float
        In nats per byte of text (UTF-8).
    group : str, optional
        Of the finding.

    Returns
    -------
    list of Question
        ``masked_text``: nats per byte.

    Raises
    ------
    NotMeasurable
        If a side has no masked-word head, or there is no text.

    Notes
    -----
    Fine-tuning drops the head that pretraining left, so the models graft the base's on the adapted encoder. A masked
    word is guessed from what the head reads in the features: what moved out of its sight counts as lost, even where
    another head could read it (the refit probe forgives that).

    Examples
    --------
    >>> from audit.view import replay
    >>> import pandas as pd
    >>> items = [Item(id=str(n), cluster=str(n), text=f"ten bytes{n % 10}") for n in range(3)]
    >>> def view(*nats):
    ...     return replay(pd.DataFrame({"id": ["0", "1", "2"], "question": "masked_log_likelihood", "value": nats}))
    >>> [found] = masked_text(view(-20.0, -30.0, -40.0), view(-25.0, -30.0, -60.0), items, margin=0.01)
    >>> found.base.tolist(), found.adapted.tolist()
    ([2.0, 3.0, 4.0], [2.5, 3.0, 6.0])
    """
    items = [item for item in distinct(items) if item.text and not item.text.isspace()]
    if not items:
        raise NotMeasurable("masked_log_likelihood", "there is no text to mask")
    items, unread = readable(base, items)
    sizes = np.array([len((item.text or "").encode()) for item in items])
    question = "masked_log_likelihood"
    return [
        Question(
            audit="forgetting",
            name="masked_text",
            unit="nats per byte",
            base=-base.ask(question, items) / sizes,
            adapted=-adapted.ask(question, items) / sizes,
            items=items,
            margin=margin,
            group=group,
            by=measured,
            question="mean negative log-likelihood of a byte of text, from a fixed 15 % of its tokens, masked",
            note=" ".join(filter(None, (base.treatment(question, items), HEAD, unread))),
        )
    ]
