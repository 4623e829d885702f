"""Items shipped with the package: general passages, others to rehearse, labelled feedback, templates and lexicons."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TypeVar

import numpy as np

from audit.errors import InputError
from audit.view import Item

__all__ = ["SHIPPED", "passages", "rehearsal", "reversed_words", "shipped", "templates", "thinned"]

T = TypeVar("T")
SHIPPED = ("feedback", "passages", "rehearsal")  # what a recipe may name as "shipped:NAME"


def shipped(name: str) -> Path:
    """Return the file of a shipped set.

    Raises
    ------
    InputError
        If there is no such set; names the sets.
    """
    if name not in SHIPPED:
        raise InputError(f"shipped:{name}: no such shipped data; choose from {', '.join(SHIPPED)}")
    return Path(str(resources.files("audit.items") / f"{name}.jsonl"))


def _rows(name: str) -> list[dict[str, str]]:
    file = resources.files("audit.items") / f"{name}.jsonl"
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


@cache
def passages() -> tuple[Item, ...]:
    """General passages over 12 topics and 8 registers; the label is the topic.

    Examples
    --------
    >>> len(passages()), len({item.label for item in passages()})
    (384, 12)
    """
    return _topics("passages")


@cache
def rehearsal() -> tuple[Item, ...]:
    """Further general passages over 16 topics, which training may rehearse since no audit asks them.

    Examples
    --------
    >>> len(rehearsal()), len({item.label for item in rehearsal()})
    (160, 16)
    """
    return _topics("rehearsal")


def _topics(name: str) -> tuple[Item, ...]:
    return tuple(
        Item(
            id=row["id"],
            cluster=row["id"],
            text=row["text"],
            label=row["topic"],
            groups={"register": row["register"]},
            source=f"shipped:{name}",
        )
        for row in _rows(name)
    )


@cache
def templates() -> tuple[dict[str, str], ...]:
    """Counterfactual templates: ``id``, ``tone``, ``setting`` and a ``text`` with slots for one person.

    Examples
    --------
    >>> len(templates()) >= 60
    True
    """
    return tuple(_rows("templates"))


def thinned(items: Sequence[T], limit: int | None) -> list[T]:
    """Evenly spaced items, at most so many.

    Examples
    --------
    >>> [item.id for item in thinned(passages(), 2)] == [passages()[0].id, passages()[-1].id]
    True
    """
    if limit is None or len(items) <= limit:
        return list(items)
    return [items[i] for i in np.linspace(0, len(items) - 1, limit).round().astype(int)]


def reversed_words(items: tuple[Item, ...] | list[Item]) -> list[Item]:
    """Spell every word of the items backwards: text that no base knows, of the same lengths and punctuation.

    Examples
    --------
    >>> reversed_words([Item(id="a", cluster="a", text="The cat's asleep.")])[0].text
    "ehT tac's peelsa."
    """
    return [
        item.model_copy(update={"id": f"{item.id}/reversed", "text": _reverse_letters(item.text or "")})
        for item in items
    ]


def _reverse_letters(text: str) -> str:
    out: list[str] = []
    word: list[str] = []
    for character in text + "\0":
        if character.isalpha():
            word.append(character)
            continue
        out.extend(reversed(word))
        word.clear()
        out.append(character)
    return "".join(out[:-1])
