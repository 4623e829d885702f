"""Packs by which forgetting is found: texts, multiple choice, graded pairs, labelled items and chat turns."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from audit.errors import InputError
from audit.items import thinned
from audit.items.reference import numbered, read_reference
from audit.items.rows import Row, on_hub, quoted, read_rows
from audit.items.task.images import kept_image
from audit.items.witnesses import joined
from audit.view import Item

__all__ = ["few", "read_choices", "read_labelled", "read_similarity", "read_texts", "read_turns"]

SPREAD = 10  # times the texts asked for are looked at on the Hub, so that they come from as many more documents
FAULTY = 0.05  # share of rows that a published set may have wrong; more of them are another set
HEADING = re.compile(r"((?:= )+)([^=\s]|[^=\s].*[^=\s])((?: =)+)")
TEXTS = ("text", "sentence")
PAIRS = (("first", "second"), ("sentence1", "sentence2"))
SCORES = ("score", "similarity_score", "label")

Make = Callable[[Row, str], dict[str, Any]]


def read_texts(name: str, limit: int | None = None) -> list[Item]:
    """Read general texts.

    Parameters
    ----------
    name : str
        What `audit.items.reference.read_reference` reads, or a .jsonl or .parquet without ids whose column ``text``
        holds them; empty rows are passed over.
    limit : int, optional
        At most so many, evenly spaced; of a Hub data set, over the first ten times as many.

    Returns
    -------
    list of Item
        Where headings stand between the texts as in WikiText (``= Title =``), these are left out, and what follows a
        title is one cluster. The same text in several clusters makes one of them, here and in all other packs.

    Raises
    ------
    InputError
        One line: the name, the row, what was found and what would do.
    Unavailable
        If the Hub cannot be reached.

    Notes
    -----
    WikiText: Merity et al., ICLR 2017. Headings of lower ranks have more signs: ``= = Section = =``.
    """
    path = Path(name).expanduser()
    table = read_rows(name) if path.suffix in (".jsonl", ".parquet") else []
    if table and "id" not in table[0]:
        number = next((n for n, row in enumerate(table, start=1) if not isinstance(row.get("text"), str)), None)
        if number is not None:
            raise InputError(f"{name}: row {number} has no text; general texts stand in the column 'text'")
        items = numbered([row["text"] for row in table if row["text"].strip()], path.name)
    else:
        items = read_reference(name, limit and SPREAD * limit)
    kept = _documents(items)
    if not kept:
        raise InputError(f"{name}: no texts in it but headings and empty rows")
    return few(kept, limit)


def _documents(items: Sequence[Item]) -> list[Item]:
    """Leave out headings, and make one cluster of what follows a title."""
    kept, title = [], None
    for item in items:
        said = (item.text or "").strip()
        found = HEADING.fullmatch(said)
        if found is None:
            kept.append(item if title is None else item.model_copy(update={"cluster": title}))
        elif len(found[1]) == 2:
            title = item.id
    return kept


def read_choices(name: str, limit: int | None = None) -> list[Item]:
    r"""Read multiple choice.

    Parameters
    ----------
    name : str
        See `audit.items.rows.read_rows`. Known rows: ``prompt``, ``options``, ``answer`` (taken as they are written);
        ``question``, ``choices``, ``answer``, also with ARC's ``choices.text``, ``choices.label`` and ``answerKey``;
        HellaSwag's ``ctx``, ``endings``, ``label``. ``label`` does for ``answer``. An answer that is a number is an
        index from 0; one that is text is an option, or an index if no option says it. In a csv a list is JSON.
    limit : int, optional
        At most so many, evenly spaced.

    Returns
    -------
    list of Item
        ``label`` is the right one of ``options``, which may differ in number between items. A question becomes
        ``Question: ...\nAnswer:``, and its options begin with a space, as do endings. ``groups["area"]`` where it is
        known (of HellaSwag, the corpus). cluster: as written, of HellaSwag the source, else the item.

    Raises
    ------
    InputError
        One line: the name, the row, its id, what was found and what would do. Up to 5 % such rows of a Hub data set
        are left out instead, and counted in ``source``: nobody can mend them here.
    Unavailable
        If the Hub cannot be reached.

    Notes
    -----
    Zellers et al., ACL 2019 (HellaSwag); Clark et al., arXiv 1803.05457 (ARC).

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "own.jsonl"
    >>> _ = path.write_text('{"question": "Two and two?", "choices": ["four", "five", "six"], "answer": 0}')
    >>> [item] = read_choices(str(path))
    >>> item.prompt, item.options, item.label
    ('Question: Two and two?\nAnswer:', (' four', ' five', ' six'), ' four')
    """
    return thinned(joined(_items(name, limit, _choice)), limit)


def read_similarity(name: str, limit: int | None = None) -> tuple[list[Item], NDArray[np.float64]]:
    """Read pairs of texts that people graded by how alike they are.

    Parameters
    ----------
    name : str
        See `audit.items.rows.read_rows`. Known rows: ``first``, ``second``, ``score``, and those of STS-B:
        ``sentence1``, ``sentence2`` and ``score``, ``similarity_score`` or ``label``.
    limit : int, optional
        At most so many, evenly over the scores.

    Returns
    -------
    items : list of Item
        Pairs, whose label is the score. Pairs that share a text, also by way of others, are one cluster.
    scores : ndarray, shape (n,)
        On the scale of the pack.

    Raises
    ------
    InputError
        As `read_choices`; also if a score is not finite, or all are the same.
    Unavailable
        If the Hub cannot be reached.

    Notes
    -----
    Cer et al., SemEval 2017 (STS-B).
    """
    items = _items(name, limit, _pair)
    if len(set(map(_score, items))) < 2:
        raise InputError(f"{name}: every pair has the score {_score(items[0]):g}; graded pairs differ")
    kept = few(items, limit, _score)
    return kept, np.array([_score(item) for item in kept])


def _score(item: Item) -> float:
    return float(item.label or "nan")


def read_labelled(name: str, limit: int | None = None) -> list[Item]:
    """Read labelled texts or images.

    Parameters
    ----------
    name : str
        See `audit.items.rows.read_rows`. Known rows: ``text`` (or ``sentence``) or ``image``, and ``label``. An image
        is a path; those of a Hub data set are kept as files.
    limit : int, optional
        At most so many, evenly over the labels.

    Returns
    -------
    list of Item
        cluster: as written, or that of the first item which says the same.

    Raises
    ------
    InputError
        As `read_choices`; also if there are fewer than two labels.
    Unavailable
        If the Hub cannot be reached.
    """
    items = _items(name, limit, _labelled)
    if len({item.label for item in items}) < 2:
        raise InputError(f"{name}: every item is labelled {quoted(items[0].label)}; a probe needs at least two labels")
    return few(items, limit)


def read_turns(name: str, limit: int | None = None) -> list[Item]:
    """Read chat turns: what somebody asks, and an answer that is finished.

    Parameters
    ----------
    name : str
        See `audit.items.rows.read_rows`. Known rows: ``prompt``, ``answer``.
    limit : int, optional
        At most so many, evenly spaced.

    Returns
    -------
    list of Item
        The answer is the only one of ``options``.

    Raises
    ------
    InputError
        As `read_choices`.
    Unavailable
        If the Hub cannot be reached.
    """
    return thinned(joined(_items(name, limit, _turn)), limit)


def _label(item: Item) -> str:
    return item.label or ""


def few(items: Sequence[Item], limit: int | None, by: Callable[[Item], Any] = _label) -> list[Item]:
    """At most so many items, evenly over their sorted labels, so that none is lost; what says the same is one cluster.

    Examples
    --------
    >>> labels = "ababa"
    >>> [item.label for item in few([Item(id=str(n), cluster="c", text="x", label=a) for n, a in enumerate(labels)], 2)]
    ['a', 'b']
    """
    if any(item.image is not None for item in items):  # no file is read but those that are asked
        return joined(_spread(items, limit, by))
    return _spread(joined(items), limit, by)


def _spread(items: Sequence[Item], limit: int | None, by: Callable[[Item], Any]) -> list[Item]:
    return list(items) if limit is None or len(items) <= limit else thinned(sorted(items, key=by), limit)


def _items(name: str, limit: int | None, make: Make) -> list[Item]:
    rows = _wanted(read_rows(name, limit), limit)
    published = on_hub(name)
    called = name if published or name.startswith("shipped:") else Path(name).name
    items: dict[str, Item] = {}
    faulty: list[InputError] = []
    for number, row in rows:
        given = row.get("id") not in (None, "")
        one = str(row["id"]) if given else f"{called}:{number}"
        where = f"{name}: row {number} ({quoted(one)})"
        try:
            if one in items:
                raise InputError(f"{where} repeats an id; ids are unique in a pack")
            items[one] = _item({"id": one, "cluster": one, "source": called, **make(row, where)}, where)
        except InputError as error:
            if not published:
                raise
            faulty.append(error)
    if len(faulty) > FAULTY * len(rows):
        raise faulty[0]
    if not faulty:
        return list(items.values())
    said = f"{name}, {len(faulty)} of {len(rows)} rows left out (the first: {str(faulty[0]).removeprefix(f'{name}: ')})"
    return [item.model_copy(update={"source": said}) for item in items.values()]


def _wanted(rows: Sequence[Row], limit: int | None) -> list[tuple[int, Row]]:
    """Number rows; of images that come as bytes keep those that will be asked, for each becomes a file."""
    numbers = list(enumerate(rows, start=1))
    if limit is None or not isinstance(rows[0].get("image"), dict):
        return numbers
    by_label = sorted(numbers, key=lambda one: str(one[1].get("label")))
    return sorted(thinned(by_label, limit), key=lambda one: one[0])


def _item(fields: dict[str, Any], where: str) -> Item:
    try:
        return Item.model_validate(fields)
    except ValidationError as error:
        raise InputError(f"{where}: {error.errors()[0]['msg']}") from None


def _choice(row: Row, where: str) -> dict[str, Any]:
    columns = row.keys()
    answer = row.get("answer", row.get("label"))
    options = row.get("options", row.get("choices"))
    if {"ctx", "endings", "label"} <= columns:
        corpus, _, _ = str(row.get("source_id") or "").partition("~")
        options = [f" {_unmarked(one)}" for one in _texts(row["endings"], "endings", where)]
        prompt = _unmarked(_text(row, "ctx", where))
        known = {"cluster": str(row["source_id"]), "groups": {"area": corpus}} if corpus else {}
    elif {"question", "choices", "answerKey"} <= columns:
        choices = _list(row["choices"])
        if not isinstance(choices, dict) or not {"text", "label"} <= choices.keys():
            raise InputError(f"{where}: its choices are {quoted(choices)}, not lists of 'text' and 'label'")
        options, keys = _texts(choices["text"], "choices", where), [str(one) for one in choices["label"]]
        if len(keys) != len(options) or str(row["answerKey"]) not in keys:
            raise InputError(
                f"{where}: the answerKey is {quoted(row['answerKey'])}, none of its {len(keys)} labels {quoted(keys)}"
            )
        answer, prompt, known = keys.index(str(row["answerKey"])), None, _known(row)
    elif ("prompt" in row or "question" in row) and options is not None and {"answer", "label"} & columns:
        options, known = _texts(options, "options", where), _known(row)
        prompt = _text(row, "prompt", where) if "prompt" in row else None
    else:
        raise _unknown(row, where, "prompt|question, options|choices, answer|label", "ctx, endings, label (HellaSwag)")
    if prompt is None:
        prompt = f"Question: {_text(row, 'question', where).strip()}\nAnswer:"
        options = [f" {one.strip()}" for one in options]
    twice = next(
        (one for n, one in enumerate(options) if one.strip() in [other.strip() for other in options[:n]]), None
    )
    if twice is not None:
        raise InputError(f"{where}: the option {quoted(twice)} stands in it twice")
    if len(options) < 2:
        raise InputError(f"{where}: {len(options)} option; a choice has at least two")
    return {"prompt": prompt, "options": tuple(options), "label": _right(options, answer, where), **known}


def _right(options: Sequence[str], answer: object, where: str) -> str:
    """The option that an answer names, by its text or its place."""
    place = answer
    if isinstance(answer, str):
        same = [option for option in options if option.strip() == answer.strip()]
        if same:
            return same[0]
        place = int(answer) if answer.isdecimal() else None
    if isinstance(place, int | float) and not isinstance(place, bool) and place in range(len(options)):
        return options[int(place)]
    raise InputError(
        f"{where}: the answer is {quoted(answer)}, none of its {len(options)} options (or their places from 0)"
    )


def _pair(row: Row, where: str) -> dict[str, Any]:
    sides = next((both for both in PAIRS if set(both) <= row.keys()), None)
    score = next((column for column in SCORES if column in row), None)
    if sides is None or score is None:
        raise _unknown(row, where, "first, second, score", "sentence1, sentence2, score|label|similarity_score (STS-B)")
    try:
        value = float(row[score])
    except (TypeError, ValueError):
        value = math.nan
    if not math.isfinite(value):
        raise InputError(f"{where}: its {score} is {quoted(row[score])}, not a finite number")
    return {"pair": tuple(_text(row, side, where) for side in sides), "label": repr(value), **_known(row)}


def _labelled(row: Row, where: str) -> dict[str, Any]:
    column = next((one for one in ("image", *TEXTS) if row.get(one) is not None), None)
    if column is None or "label" not in row:
        raise _unknown(row, where, "text|sentence, label", "image, label")
    label = row["label"]
    if isinstance(label, float) and label.is_integer():
        label = int(label)
    if label is None or label != label or not str(label).strip():
        raise InputError(f"{where}: it has no label (missing or NaN)")
    image = row[column] if column == "image" else None
    said = kept_image(image, where) if isinstance(image, dict) else _text(row, column, where)
    return {"image" if column == "image" else "text": said, "label": str(label), **_known(row)}


def _turn(row: Row, where: str) -> dict[str, Any]:
    if not {"prompt", "answer"} <= row.keys():
        raise _unknown(row, where, "prompt, answer")
    return {"prompt": _text(row, "prompt", where), "options": (_text(row, "answer", where),), **_known(row)}


def _known(row: Row) -> dict[str, Any]:
    """Cluster and groups, where a row says them."""
    groups = _list(row.get("groups") or {})
    groups = dict(groups) if isinstance(groups, dict) else {}
    if row.get("area"):
        groups["area"] = row["area"]
    found: dict[str, Any] = {"groups": {key: str(value) for key, value in groups.items() if value is not None}}
    return {**found, "cluster": str(row["cluster"])} if row.get("cluster") else found


def _unmarked(text: str) -> str:
    """WikiHow's texts in HellaSwag mark their parts ([header], [title], [step], [substeps])."""
    return " ".join(re.sub(r"\[\w+\]", " ", text).split())


def _text(row: Row, column: str, where: str) -> str:
    value = row[column]
    if not isinstance(value, str):
        raise InputError(f"{where}: its {column} is {quoted(value)}, not a text")
    if not value.strip():
        raise InputError(f"{where}: its {column} is an empty text")
    return value


def _texts(value: object, column: str, where: str) -> list[str]:
    values = _list(value)
    if not isinstance(values, list):
        raise InputError(f"{where}: its {column} are {quoted(value)}, not a list (in a csv, a list is JSON)")
    return [_text({column: one}, column, where) for one in values]


def _list(value: object) -> object:
    """A list or an object; in a table of plain texts it is written as JSON."""
    try:
        return json.loads(value) if isinstance(value, str) else value
    except ValueError:
        return value


def _unknown(row: Row, where: str, *shapes: str) -> InputError:
    known = "; ".join(shapes)
    return InputError(
        f"{where}: columns {quoted(', '.join(map(str, row)))[1:-1]} are no known shape; known are: {known}"
    )
