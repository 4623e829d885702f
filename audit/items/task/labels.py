"""What a label is, by type of task: read from a cell, refused in one line, written as a string."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Sequence
from numbers import Integral
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from audit.errors import InputError
from audit.view import Item

if TYPE_CHECKING:
    from audit.recipe import Task

__all__ = ["content", "labels", "refuse_alike", "unseen"]


def labels(rows: pd.DataFrame, task: Task, where: str) -> list[str]:
    """Read the labels of a table, as `audit.view.Item` holds them.

    A class by its name; several as a JSON list of names in the recipe's order; a number as Python writes it; tags as a
    JSON list of one name a token; the text that completes a prompt as it is.

    Raises
    ------
    InputError
        If a cell holds something else; names row, column, and what was found.
    """
    if task.type == "tokens" and task.measure == "entity_f1":
        strange = next((name for name in task.names if not re.fullmatch("O|[BI]-.+", name)), None)
        if strange is not None:
            raise InputError(
                f"[task] metric = 'entity_f1': the label {strange!r} is none of O, B-TYPE, I-TYPE; "
                "choose metric = 'token_accuracy'"
            )
    if task.type == "tokens":
        pairs = zip(rows[task.text].tolist(), rows[task.label].tolist(), strict=True)
        return [_tags(text, value, number, where, task) for number, (text, value) in enumerate(pairs)]
    read: dict[str, Callable[[object, str, Task], str]] = {
        "single_label": _one,
        "multi_label": _several,
        "regression": _number,
        "completion": _target,
    }
    values = enumerate(rows[task.label].tolist())
    return [read[task.type](value, f"{where}: row {number} of column {task.label!r}", task) for number, value in values]


def content(rows: pd.DataFrame, task: Task, where: str) -> list[str]:
    """Read the texts of a table; of tokens, one space between each two.

    Raises
    ------
    InputError
        If one is no text, or empty.
    """
    texts = []
    for number, value in enumerate(rows[task.text].tolist()):
        cell = f"{where}: row {number} of column {task.text!r}"
        if task.type == "tokens":
            value = " ".join(_tokens(value, cell))
        if not isinstance(value, str):
            raise InputError(f"{cell} is {value!r}, not a text")
        if not value.strip():
            raise InputError(f"{cell} is an empty text")
        texts.append(value)
    return texts


def refuse_alike(items: Sequence[Item], task: Task) -> None:
    """Refuse training items from which nothing can be learnt: all labelled alike."""
    if task.type == "completion":
        return
    present = {item.label for item in items}
    if task.type == "tokens":
        present = {tag for item in items for tag in json.loads(item.label or "[]")}
    if len(present) < 2:
        what = "image" if items[0].image is not None else "token" if task.type == "tokens" else "text"
        needs = "a regression needs two numbers at least"
        if task.type != "regression":
            needs = "a classifier needs at least two labels"
        raise InputError(
            f"{task.dataset}: every {what} of split {task.train_split!r} is labelled {next(iter(present))!r}; {needs}"
        )


def unseen(items: Sequence[Item], task: Task) -> list[str]:
    """Name the classes that no training item has: a model cannot learn them.

    Examples
    --------
    >>> from audit.recipe import Task
    >>> unseen([Item(id="1", cluster="1", text="x", label="a")], Task(dataset="d", labels=("a", "b")))
    ['b']
    """
    if task.type == "single_label":
        present = {item.label for item in items}
    else:
        present = {name for item in items for name in (json.loads(item.label or "[]") if task.names else [])}
    return [name for name in task.names if name not in present]


def _missing(value: object) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value)) or value is pd.NA


def _one(value: object, cell: str, task: Task) -> str:
    if _missing(value) or value == "":
        raise InputError(f"{cell} has no label (missing or NaN)")
    name = _named(value, task)
    if name is None:
        raise InputError(f"{cell} is {value!r}, none of the labels {', '.join(task.names)}")
    return name


def _named(value: object, task: Task) -> str | None:
    """Name of a class that is given by its name or its number; None where it is neither."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool | np.bool_):
        return None
    if str(value) in task.names:
        return str(value)
    numbered = not any(label.isdigit() for label in task.names)  # else a number is a name, or a mistake
    if isinstance(value, Integral) and numbered and 0 <= int(value) < len(task.names):
        return task.names[int(value)]
    return None


def _several(value: object, cell: str, task: Task) -> str:
    if _missing(value):
        raise InputError(f"{cell} has no label (missing or NaN); an item without any is an empty list")
    names: list[str] = []
    for one in _list(value, "|", cell):
        name = _named(int(one) if isinstance(one, str) and one.isdigit() and one not in task.names else one, task)
        if name is None:
            raise InputError(f"{cell} names {one!r}, none of the labels {', '.join(task.names)}")
        if name in names:
            raise InputError(f"{cell} names {name!r} twice")
        names.append(name)
    return json.dumps([name for name in task.names if name in names], ensure_ascii=False)


def _list(value: object, between: str | None, cell: str) -> list[object]:
    """Members of a list, of a JSON list, or of a text with something between them."""
    if isinstance(value, np.ndarray | list | tuple):
        return list(value)
    if not isinstance(value, str):
        return [value]
    if between == "|" and value.lstrip().startswith("["):
        try:
            members: list[object] = json.loads(value)
        except ValueError:
            raise InputError(f"{cell} is {value!r:.80}, which begins like a JSON list and is none") from None
        return members
    return [one for one in (part.strip() for part in value.split(between)) if one]


def _number(value: object, cell: str, task: Task) -> str:
    try:
        if isinstance(value, bool | np.bool_):
            raise ValueError
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise InputError(f"{cell} is {value!r:.80}, not a number") from None
    if not math.isfinite(number):
        raise InputError(f"{cell} is {number}, not a finite number")
    return repr(number)


def _target(value: object, cell: str, task: Task) -> str:
    if not isinstance(value, str):
        raise InputError(f"{cell} is {value!r:.80}, not a text that completes the prompt")
    if not value.strip():
        raise InputError(f"{cell} is an empty text; a prompt is completed by one")
    return value


def _tokens(value: object, cell: str) -> list[str]:
    if not isinstance(value, np.ndarray | list | tuple | str):
        raise InputError(f"{cell} is {value!r:.80}, not a list of tokens")
    tokens = _list(value, None, cell)
    for one in tokens:
        if not isinstance(one, str) or not one.strip() or " " in one:
            raise InputError(f"{cell} holds {one!r:.80}, not a token (a text without spaces)")
    return [str(one) for one in tokens]


def _tags(text: object, value: object, number: int, where: str, task: Task) -> str:
    cell = f"{where}: row {number} of column {task.label!r}"
    if _missing(value):
        raise InputError(f"{cell} has no label (missing or NaN)")
    tokens, tags = _tokens(text, f"{where}: row {number} of column {task.text!r}"), _list(value, None, cell)
    if len(tokens) != len(tags):
        raise InputError(
            f"{where}: row {number} has {len(tokens)} tokens in column {task.text!r} and {len(tags)} labels in column "
            f"{task.label!r}"
        )
    names = []
    for one in tags:
        name = _named(int(one) if isinstance(one, str) and one.isdigit() and one not in task.names else one, task)
        if name is None:
            raise InputError(f"{cell} holds {one!r}, none of the labels {', '.join(task.names)}")
        names.append(name)
    return json.dumps(names, ensure_ascii=False)
