"""Recorded answers as a view: an audit runs on a table as it does on a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from audit.errors import InputError
from audit.view.item import Item
from audit.view.question import Kind, NotMeasurable, View

__all__ = ["record", "replay"]

Array = NDArray[np.float64]
VECTORS = ("probabilities", "logits", "embedding", "option_log_likelihood", "option_token_count")
ROWS = {"next_tokens": 2, "next_token_sketch": 4096}  # numbers of a token, or of a place (fewer are one place)


class _Replay:
    """Answers looked up in a table."""

    def __init__(self, table: pd.DataFrame, id: str, kind: Kind, labels: tuple[str, ...]) -> None:
        self.id, self.kind, self.labels = id, kind, labels
        self._answers = {str(question): rows for question, rows in table.groupby("question")}

    def ask(self, question: str, items: Sequence[Item]) -> Array:
        if question not in self._answers:
            recorded = ", ".join(sorted(self._answers)) or "nothing"
            raise NotMeasurable(question, f"not recorded; the table has {recorded}")
        rows = self._answers[question].pivot(index="id", columns="index", values="value").sort_index(axis=1)
        missing = [item.id for item in items if item.id not in rows.index]
        if missing:
            raise NotMeasurable(question, f"no answer recorded for item {missing[0]!r} and {len(missing) - 1} more")
        values: Array = rows.loc[[item.id for item in items]].to_numpy(dtype=np.float64)
        if not np.isfinite(values).all():
            raise NotMeasurable(question, "a recorded answer is missing or not finite")
        if question in ROWS:
            size = min(ROWS[question], values.shape[1])
            if values.shape[1] % size:
                raise NotMeasurable(question, f"{values.shape[1]} numbers an item are no rows of {size}")
            return values.reshape(len(items), -1, size)
        if question in VECTORS:  # however short
            return values.reshape(len(items), 2, -1) if items and items[0].pair is not None else values
        return values[:, 0] if values.shape[1] == 1 else values

    def treatment(self, question: str, items: Sequence[Item]) -> str:
        return ""


def replay(table: pd.DataFrame, *, id: str = "replay", kind: Kind = "encoder", labels: Sequence[str] = ()) -> View:
    """Make a view of a recorded table.

    Parameters
    ----------
    table : DataFrame
        Columns ``id``, ``question``, ``value``, and ``index`` (position in the flattened answer) for vectors.
    id, kind, labels
        Of the view.

    Raises
    ------
    InputError
        If a column is missing or an answer is given twice.

    Examples
    --------
    >>> table = pd.DataFrame({"id": ["a", "b"], "question": "log_likelihood", "value": [-3.0, -5.0]})
    >>> view = replay(table, kind="causal")
    >>> view.ask("log_likelihood", [Item(id="b", cluster="b", text="...")])
    array([-5.])
    """
    missing = [column for column in ("id", "question", "value") if column not in table]
    if missing:
        raise InputError(f"a recorded table needs the columns id, question, value; {missing[0]!r} is missing")
    table = table.assign(index=table.get("index", 0), id=table["id"].astype(str))
    twice = table.duplicated(["id", "question", "index"])
    if twice.any():
        row = table[twice].iloc[0]
        raise InputError(f"a recorded table answers {row['question']!r} for item {row['id']!r} twice")
    if kind not in get_args(Kind):
        raise InputError(f"no such kind of view: {kind!r}; choose from {', '.join(get_args(Kind))}")
    return _Replay(table, id, kind, tuple(labels))


def record(view: View, question: str, items: Sequence[Item]) -> pd.DataFrame:
    """Ask a view and write its answers as a table that `replay` reads.

    Raises
    ------
    NotMeasurable
        If the view has no answer, or the answer is no vector an item (``layer_means``).
    """
    if question == "layer_means":
        raise NotMeasurable(question, "a table holds vectors, not layers of them; use remember")
    answers = view.ask(question, items).reshape(len(items), -1)
    width = answers.shape[1]
    return pd.DataFrame(
        {
            "id": np.repeat([item.id for item in items], width),
            "question": question,
            "index": np.tile(np.arange(width), len(items)),
            "value": answers.ravel(),
        }
    )
