"""What an audit asks of a model: items, the questions that a view answers, recorded answers as a view."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Annotated, Literal, Protocol, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from audit.errors import InputError

__all__ = [
    "Item",
    "Kind",
    "NotMeasurable",
    "View",
    "answer_texts",
    "fingerprint",
    "read_items",
    "record",
    "remember",
    "replay",
]

Array = NDArray[np.float64]
Kind = Literal["encoder", "sentence_encoder", "causal", "vision", "clip"]


class NotMeasurable(Exception):
    """A view cannot answer a question, and a number in its place would be an invention."""

    def __init__(self, question: str, reason: str) -> None:
        super().__init__(f"{question}: {reason}")
        self.question, self.reason = question, reason


class Item(BaseModel):
    """One thing a model is asked: exactly one of a text, an image path, a minimal pair, or a prompt with options.

    Examples
    --------
    >>> Item(id="t1", cluster="t1", pair=("He is late.", "She is late.")).pair
    ('He is late.', 'She is late.')
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: Annotated[str, Field(min_length=1)]
    cluster: Annotated[str, Field(min_length=1)]
    text: str | None = None
    image: str | None = None
    pair: tuple[str, str] | None = None
    prompt: str | None = None
    options: tuple[str, ...] | None = None
    label: str | None = None
    groups: dict[str, str] = {}
    source: str | None = None

    @model_validator(mode="after")
    def _one_content(self) -> Item:
        if (self.prompt is None) != (self.options is None):
            raise ValueError("a prompt needs options, and options need a prompt")
        if sum(x is not None for x in (self.text, self.image, self.pair, self.prompt)) != 1:
            raise ValueError("an item is exactly one of text, image, pair, prompt + options")
        return self


class View(Protocol):
    """A model as a function from items to an array.

    Questions and the shape of their answers for n items (d features, k labels, m layers):
    ``probabilities`` (n, k), for pairs (n, 2, k); ``embedding`` (n, d); ``layer_means`` (n, m + 1, d);
    ``log_likelihood`` (n,) in nats; ``token_count`` (n,) of the tokens it is a sum over;
    ``option_log_likelihood`` (n, options) in nats.
    """

    @property
    def id(self) -> str:
        """Hash of the weights and of everything else that an answer depends on."""

    @property
    def kind(self) -> Kind:
        """What sort of model answers."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the classes behind ``probabilities``, in order; empty where there are none."""

    def ask(self, question: str, items: Sequence[Item]) -> Array:
        """Answer one question about each item, in item order.

        Raises
        ------
        NotMeasurable
            If this model has no answer to the question.
        """


def answer_texts(question: str, items: Sequence[Item], answer: Callable[[list[str]], Array]) -> Array:
    """Answer items that are texts or pairs through a function of distinct texts.

    Parameters
    ----------
    question : str
        For the error.
    items : sequence of Item
        All texts, or all pairs.
    answer : callable
        From n distinct texts to an array of shape (n, ...).

    Returns
    -------
    ndarray, shape (n_items, ...) for texts and (n_items, 2, ...) for pairs

    Raises
    ------
    NotMeasurable
        If there are no items, or one is neither a text nor a pair.
    """
    pairs = bool(items) and items[0].pair is not None
    contents = [item.pair if pairs else (item.text,) for item in items]
    texts = [text for content in contents for text in content or () if text is not None]
    if not items or len(texts) < len(items) * (2 if pairs else 1):
        raise NotMeasurable(question, "it is asked of texts, or of pairs of texts")
    unique = list(dict.fromkeys(texts))
    position = {text: row for row, text in enumerate(unique)}
    answers = answer(unique)[[position[text] for text in texts]]
    return answers.reshape(len(items), 2, *answers.shape[1:]) if pairs else answers


def fingerprint(items: Iterable[Item]) -> str:
    """Hash a set of items; the order does not matter.

    Examples
    --------
    >>> a, b = Item(id="1", cluster="1", text="x"), Item(id="2", cluster="2", text="y")
    >>> fingerprint([a, b]) == fingerprint([b, a])
    True
    """
    lines = sorted(item.model_dump_json() for item in items)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def read_items(path: Path) -> list[Item]:
    """Read items from JSON lines or parquet.

    Parameters
    ----------
    path : Path
        One item a row, with the fields of `Item`; ``cluster`` defaults to the id.

    Raises
    ------
    InputError
        If the file cannot be read, is empty, repeats an id, or a row is not an item; names the row.
    """
    try:
        if path.suffix == ".parquet":
            rows = pd.read_parquet(path).to_dict(orient="records")
        else:
            rows = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line.strip()]
    except FileNotFoundError:
        raise InputError(f"{path}: no such file of items") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not JSON lines or parquet: {error}") from None
    items, seen = [], set()
    for number, row in enumerate(rows, start=1):
        try:
            fields = {str(key): value for key, value in row.items() if value is not None}
            item = Item.model_validate({"cluster": fields.get("id"), **fields})
        except (ValidationError, AttributeError) as error:
            reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else "not an object"
            raise InputError(f"{path}: row {number} is not an item: {reason}") from None
        if item.id in seen:
            raise InputError(f"{path}: row {number} repeats the id {item.id!r}; ids are unique in a set of items")
        seen.add(item.id)
        items.append(item)
    if not items:
        raise InputError(f"{path}: no items")
    return items


# --- recorded answers ---------------------------------------------------------------------------------------------


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
        if question == "probabilities" and items and items[0].pair is not None:
            return values.reshape(len(items), 2, -1)
        return values[:, 0] if values.shape[1] == 1 else values


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
    """Ask a view and write its answers as a table that `replay` reads."""
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


# --- remembered answers -------------------------------------------------------------------------------------------


class _Remembered:
    """A view whose answers are kept in a folder."""

    def __init__(self, view: View, folder: Path) -> None:
        self._view, self._folder = view, folder
        self.id, self.kind, self.labels = view.id, view.kind, view.labels

    def ask(self, question: str, items: Sequence[Item]) -> Array:
        contents = "\n".join(item.model_dump_json() for item in items)
        key = hashlib.sha256(f"{self.id}\n{question}\n{contents}".encode()).hexdigest()
        path = self._folder / f"{key}.npy"
        known = _load_answer(path, len(items))
        if known is not None:
            return known
        answer = self._view.ask(question, items)
        self._folder.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=self._folder, suffix=".tmp")
        try:
            with os.fdopen(handle, "wb") as file:
                np.save(file, answer, allow_pickle=False)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        return answer


def _load_answer(path: Path, n_items: int) -> Array | None:
    try:
        answer: Array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None  # absent or torn: asked again
    return answer if answer.dtype == np.float64 and answer.shape[:1] == (n_items,) else None


def remember(view: View, folder: Path) -> View:
    """Keep a view's answers in a folder, by (view, question, items): asked once, read ever after.

    A torn or foreign file counts as absent. The same view, so the same id.
    """
    return _Remembered(view, folder)
