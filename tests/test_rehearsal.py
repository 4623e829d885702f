"""The passages that a training may rehearse: varied, and not what any audit asks."""

from __future__ import annotations

import itertools
import json
import re
from collections import Counter
from importlib import resources
from pathlib import Path

import pytest

from audit.items import rehearsal, shipped
from audit.items.packs import read_texts
from audit.recipe import Protect
from tests.test_items import near_duplicates, shingles

ASKED = [
    path
    for path in Path(str(resources.files("audit.items"))).iterdir()
    if path.suffix == ".jsonl" and path != shipped("rehearsal")
]
TEXTS = [item.text or "" for item in rehearsal()]


def said(path: Path) -> list[str]:
    """Every text of a shipped pack, whatever its column is called."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    values = [value for row in rows for value in row.values()]
    flat = itertools.chain.from_iterable(value if isinstance(value, list) else [value] for value in values)
    return [value for value in flat if isinstance(value, str) and len(value.split()) > 3]


def sentences(text: str) -> set[str]:
    return {part.strip().lower() for part in re.split(r"(?<=[.!?;:])\s+", text)}


def overlapping(texts: list[str], others: list[str]) -> list[tuple[str, str]]:
    """Pairs that share a sentence, or a fifth of the three-word sequences of both."""
    known = [(other, shingles(other, 3), sentences(other)) for other in others]
    found = []
    for text in texts:
        own, spoken = shingles(text, 3), sentences(text)
        found += [
            (text, other)
            for other, theirs, theirs_spoken in known
            if spoken & theirs_spoken or len(own & theirs) >= 0.2 * len(own | theirs)
        ]
    return found


@pytest.mark.parametrize("path", ASKED, ids=[path.stem for path in ASKED])
def test_nothing_that_is_asked_is_rehearsed(path: Path) -> None:
    asked = said(path)
    assert asked
    assert overlapping(TEXTS, asked) == []
    planted = TEXTS[0].split(". ")[0] + "."
    assert overlapping(TEXTS[:1], [*asked, planted]) == [(TEXTS[0], planted)]


def test_there_are_a_hundred_and_sixty_of_sixteen_topics() -> None:
    assert len(rehearsal()) == 160
    assert set(Counter(item.label for item in rehearsal()).values()) == {10}
    assert len({item.id for item in rehearsal()} | {item.cluster for item in rehearsal()}) == 160
    assert all(40 <= len(text.split()) <= 90 for text in TEXTS)
    assert all(3 <= len(re.findall(r"[.!?](?=\s|$)", text)) <= 5 for text in TEXTS)


def test_no_two_of_them_say_nearly_the_same() -> None:
    assert near_duplicates(TEXTS, 4, 0.05) == []
    assert max(Counter(" ".join(text.split()[:2]).lower() for text in TEXTS).values()) <= 3


def test_a_recipe_rehearses_them_unless_it_names_others() -> None:
    read = read_texts(Protect().items, Protect().limit)
    assert len(read) == 128
    assert {item.text for item in read} <= set(TEXTS)
    assert len({item.label for item in read}) == 16  # evenly spaced, so every topic is there
