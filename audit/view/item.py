"""One thing a model is asked, and sets of such things on disk."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from audit.errors import InputError

__all__ = ["Item", "content_hash", "fingerprint", "read_items"]


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
        said = (self.id, self.cluster, self.text, *(self.pair or ()), self.prompt, *(self.options or ()))
        if any(not _is_unicode(one) for one in said if one):
            raise ValueError("a text holds half a character (a lone surrogate); it is not Unicode")
        if self.options == ():
            raise ValueError("a prompt needs at least one option")
        if sum(x is not None for x in (self.text, self.image, self.pair, self.prompt)) != 1:
            raise ValueError("an item is exactly one of text, image, pair, prompt + options")
        return self


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def content_hash(item: Item) -> str:
    """Hash what an item says, which is all that a model is asked: its texts, or what the file of its image holds.

    Raises
    ------
    InputError
        If the image cannot be read.

    Examples
    --------
    >>> one, other = Item(id="1", cluster="1", text="x"), Item(id="2", cluster="c", text="x", label="y")
    >>> content_hash(one) == content_hash(other)
    True
    """
    if item.image is None:
        content = item.model_dump_json(include={"text", "pair", "prompt", "options"}).encode()
    else:
        try:
            content = Path(item.image).read_bytes()
        except (OSError, ValueError) as error:  # the latter: a path that holds a zero byte
            reason = error.strerror if isinstance(error, OSError) else error
            raise InputError(f"item {item.id!r}: the image {item.image!r} cannot be read ({reason})") from None
    return hashlib.sha256(content).hexdigest()


def fingerprint(items: Iterable[Item]) -> str:
    """Hash a set of items; the order does not matter, and of an image counts what its file holds, not where it lies.

    Where no file is (the answers were recorded elsewhere), its name stands for it.

    Raises
    ------
    InputError
        If an image is there and cannot be read.

    Examples
    --------
    >>> a, b = Item(id="1", cluster="1", text="x"), Item(id="2", cluster="2", text="y")
    >>> fingerprint([a, b]) == fingerprint([b, a])
    True
    """
    lines = sorted(
        (item.model_copy(update={"image": content_hash(item)}) if _lies_here(item) else item).model_dump_json()
        for item in items
    )
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _lies_here(item: Item) -> bool:
    return item.image is not None and Path(item.image).exists()


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
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: not JSON lines or parquet: {str(error).splitlines()[0]}") from None
    items, seen = [], set()
    for number, row in enumerate(rows, start=1):
        try:
            fields = {str(key): value for key, value in row.items() if value is not None and value == value}  # not NaN
            item = Item.model_validate({"cluster": fields.get("id"), **fields})
        except (ValidationError, AttributeError) as error:
            reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else "not an object"
            raise InputError(f"{path}: row {number} is not an item: {reason}") from None
        if item.id in seen:
            raise InputError(f"{path}: row {number} repeats the id {item.id!r:.80}; ids are unique in a set of items")
        seen.add(item.id)
        items.append(item)
    if not items:
        raise InputError(f"{path}: no items")
    return items
