"""The reference of the gap: text that a base is assumed to know, from a file, the Hub or the shipped passages."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any

import pandas as pd

from audit.errors import InputError, Unavailable
from audit.items import passages, rehearsal
from audit.view import Item, read_items

__all__ = ["card_datasets", "hub_rows", "hub_texts", "is_local", "numbered", "read_reference"]

ITEMS = (".jsonl", ".parquet")
TABLES = {".csv": ",", ".tsv": "\t"}
SHIPPED = "shipped:passages"
LOOKED = 100  # rows of a stream that tell which column is its text
FAR = 2  # times the words a row of any other column: ids and titles are not meant


def read_reference(name: str, limit: int | None = None) -> list[Item]:
    """Read the texts of a reference corpus.

    Parameters
    ----------
    name : str
        ``shipped:passages`` or ``shipped:rehearsal``; a file of items (.jsonl, .parquet); a .txt with a text a line, or
        paragraphs that blank lines separate; a .csv or .tsv; or a Hub data set (``owner/name``, or
        ``owner/name:configuration``; ``@`` and a revision may follow). Of these two the column ``text`` is read, else
        the only one that holds words, or that holds more than twice the words of any other, a row; the ids then say
        which.
    limit : int, optional
        Texts that are taken from the Hub; what lies here is read whole.

    Raises
    ------
    InputError
        One line: the name, the row, what was found and what would do.
    Unavailable
        If the Hub cannot be reached.
    """
    path = Path(name).expanduser()
    if name == SHIPPED:
        return list(passages())
    if name == "shipped:rehearsal":
        return list(rehearsal())
    if not is_local(name):
        return hub_texts(name, limit)
    if path.suffix in ITEMS:
        items = read_items(path)
        without = next((item.id for item in items if not (item.text or "").strip()), None)
        if without is not None:
            raise InputError(f"{name}: item {without!r} is not a text")
        return items
    if path.suffix == ".txt":
        return _items(_said(path), path.name, path)
    if path.suffix in TABLES:
        texts, column = _column(path)
        return _items(texts, _called(path.name, column), path)
    raise InputError(
        f"{name}: no such reference; it is a file ({', '.join((*ITEMS, '.txt', *TABLES))}), a Hub data set "
        f"(owner/name), 'base' or '{SHIPPED}'"
    )


def is_local(name: str) -> bool:
    """Tell whether a reference is read from here: anything that is not the name of a Hub data set.

    Examples
    --------
    >>> is_local("shipped:passages"), is_local("texts/general.txt"), is_local("owner/texts"), is_local("owner/texts:en")
    (True, True, False, False)
    """
    path = Path(name).expanduser()
    known = path.suffix in (*ITEMS, ".txt", *TABLES)
    hub = r"[\w-][\w.-]*/[\w-][\w.-]*(:[\w.-]+)?(@[\w.-]+)?"
    return known or path.exists() or re.fullmatch(hub, name) is None


def hub_texts(name: str, limit: int | None = None) -> list[Item]:
    """Read the first texts of the training split of a Hub data set, as a stream: no more is fetched than is read.

    Parameters
    ----------
    name : str
        Of the data set; its configuration may follow a colon, and a revision ``@``.
    limit : int, optional
        At most so many. Empty rows are passed over.

    Raises
    ------
    InputError
        If the Hub does not give it, it holds no texts, or it does not say in which column.
    Unavailable
        If the Hub cannot be reached and its cache has no such data set.
    """
    rows = hub_rows(name, "train")
    first = list(islice(rows, min(limit or LOOKED, LOOKED)))
    column = _text_column({key: [row.get(key) for row in first] for row in first[:1] for key in row}, name)
    said = (row[column] for row in chain(first, rows) if isinstance(row.get(column), str) and row[column].strip())
    texts = list(islice(said, limit))
    if not texts:
        raise InputError(f"{name}: no column of its training split holds texts")
    return numbered(texts, _called(name, column))


def hub_rows(name: str, split: str | None = None) -> Iterator[dict[str, Any]]:
    """Read a split of a Hub data set row by row, as a stream: no more is fetched than is read.

    Parameters
    ----------
    name : str
        Of the data set; its configuration may follow a colon, and a revision ``@``.
    split : str, optional
        Default: the first of validation, train and test that it has. Test splits are often published without answers.

    Raises
    ------
    InputError
        If the Hub does not give it.
    Unavailable
        If the Hub cannot be reached and its cache has no such data set.
    """
    import datasets

    from audit.models.source import hub_reachable

    datasets.disable_progress_bars()
    plain, _, revision = name.partition("@")
    repository, _, configuration = plain.partition(":")
    load = partial(datasets.load_dataset, revision=revision) if revision else datasets.load_dataset
    reachable = hub_reachable()
    try:
        rows = load(repository, configuration or None, split=split, streaming=reachable)
        if split is None:
            rows = rows[next((one for one in ("validation", "train", "test") if one in rows), next(iter(rows)))]
        yield from _undecoded(rows)
    except Exception as error:  # noqa: BLE001 (scripts, schemas, transports: whatever it is, the rows are not there)
        if not reachable:
            raise Unavailable(
                f"{name}: the Hub cannot be reached, and the data set is not in its cache; name a local file, or "
                f"shipped data such as '{SHIPPED}'"
            ) from None
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        which = "its training split" if split == "train" else "its rows"
        raise InputError(f"{name}: the Hub did not give {which} ({reason})") from None


def _undecoded(rows: Any) -> Any:
    """Leave images as the bytes that they are; where one is wanted, `audit.items.task.images` keeps it as a file."""
    import datasets

    for column, feature in (getattr(rows, "features", None) or {}).items():
        if isinstance(feature, datasets.Image):
            rows = rows.cast_column(column, datasets.Image(decode=False))
    return rows


def card_datasets(folder: Path) -> list[str]:
    """Return the data sets that the card of a model names as what it was trained on, in its order.

    Parameters
    ----------
    folder : Path
        With a ``README.md``, whose front matter may have ``datasets``.
    """
    import yaml  # type: ignore[import-untyped]
    from huggingface_hub import ModelCard

    card = folder / "README.md"
    try:
        named = ModelCard.load(card, ignore_metadata_errors=True).data.to_dict().get("datasets")
    except (ValueError, OSError, yaml.YAMLError):
        return []
    names = [named] if isinstance(named, str) else named if isinstance(named, list) else []
    return [name for name in names if isinstance(name, str) and name.strip()]


def _text_column(columns: Mapping[str, Sequence[object]], name: str) -> str:
    """The column ``text``, else the only one that holds words, else the one that holds far more of them than others."""
    if "text" in columns:
        return "text"
    words: dict[str, float] = {}
    for column, values in columns.items():
        said = [value or "" for value in values if isinstance(value, str | None)]
        if len(said) == len(values) and any(character.isalpha() for value in said for character in value):
            words[column] = sum(len(value.split()) for value in said) / len(said)
    most, *others = sorted(words, key=lambda column: -words[column]) or [""]
    if not most:
        raise InputError(
            f"{name}: no column 'text', and none that holds words; it has {', '.join(columns) or 'no rows'}"
        )
    if others and words[most] <= FAR * words[others[0]]:
        raise InputError(
            f"{name}: no column 'text', and {', '.join(sorted(words))} all hold words; "
            "call the one that is meant 'text'"
        )
    return most


def _said(path: Path) -> list[str]:
    """Paragraphs where blank lines stand between lines, else lines."""
    try:
        content = path.read_text(encoding="utf-8-sig").strip()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file of texts") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as text in UTF-8 ({str(error).splitlines()[0]})") from None
    paragraphs = [" ".join(one.split()) for one in re.split(r"\n\s*\n", content)]
    return paragraphs if len(paragraphs) > 1 else [line.strip() for line in content.splitlines() if line.strip()]


def _column(path: Path) -> tuple[list[str], str]:
    """The texts of a table, and the name of their column."""
    plain = path.suffix == ".tsv"  # where a quotation mark is a character like any other
    try:
        table = pd.read_csv(path, sep=TABLES[path.suffix], quoting=3 if plain else 0, keep_default_na=False)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file of texts") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as {path.suffix[1:]} ({str(error).splitlines()[0]})") from None
    columns = {str(name): values.tolist() for name, values in table.items()}
    column = _text_column(columns, str(path))
    for number, value in enumerate(columns[column]):
        if not isinstance(value, str) or not value.strip():
            raise InputError(f"{path}: row {number} of column {column!r} is {value!r}, not a text")
    return columns[column], column


def _called(name: str, column: str) -> str:
    return name if column == "text" else f"{name}:{column}"


def _items(texts: Sequence[str], name: str, path: Path) -> list[Item]:
    if not texts:
        raise InputError(f"{path}: no texts in it")
    return numbered(texts, name)


def numbered(texts: Sequence[str], name: str) -> list[Item]:
    """Make items of texts; the same text is one witness, however often it is said.

    Examples
    --------
    >>> [(item.id, item.cluster) for item in numbered(["Yes.", "No.", "Yes."], "said")]
    [('said:0', 'said:0'), ('said:1', 'said:1'), ('said:2', 'said:0')]
    """
    ids = [f"{name}:{number}" for number in range(len(texts))]
    first: dict[str, str] = {}
    clusters = [first.setdefault(text, one) for text, one in zip(texts, ids, strict=True)]
    return [Item(id=one, cluster=cluster, text=text) for one, cluster, text in zip(ids, clusters, texts, strict=True)]
