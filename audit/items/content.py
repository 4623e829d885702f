"""What is compared of an item: its texts, an image's hash, a prompt and the target that completes it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from audit.items.alike import SHORT, Numbers, alike, folded
from audit.view import Item
from audit.view.item import content_hash

__all__ = ["Content", "fitting", "held"]

PROMPT = "\0"  # in place of a target: a prompt alone is compared with texts, not with another prompt and its target

Content = tuple[str, str]
"""A folded text, or the hash of an image; and the short target that it ends with, if it completes a prompt."""


def held(items: Sequence[Item], completion: bool) -> dict[Content, list[int]]:
    """All that items say, each content once, and the places of those that say it."""
    found: dict[Content, list[int]] = {}
    for place, item in enumerate(items):
        for content in dict.fromkeys(_contents(item, completion)):
            found.setdefault(content, []).append(place)
    return found


def _contents(item: Item, completion: bool) -> list[Content]:
    """What is compared of an item; of an image its hash, behind a character that no folded text holds."""
    if item.image is not None:
        return [(f"\0{content_hash(item)}", "")]
    asked = (item.prompt or "").removeprefix("Question: ").removesuffix("\nAnswer:")  # as a pack of questions asks
    target = folded(item.label or "") if completion and item.text is not None else ""
    if target:
        whole, prompt = (folded(text) for text in (f"{item.text} {item.label}", item.text or ""))
        long = [(target, "")] if target.count(" ") + 1 >= SHORT else []
        return [(whole, target), *([(prompt, PROMPT)] if prompt else []), *long]
    texts = item.pair or (item.text or asked, *(f"{asked} {option}" for option in item.options or ()))
    return [(said, "") for said in map(folded, texts) if said]


def fitting(ours: Iterable[Content], theirs: Iterable[Content]) -> Callable[[str, Numbers], NDArray[np.bool_]]:
    """Return what tells of a target of ours with which contents of theirs it goes: those without one, or one alike."""
    mine = list(dict.fromkeys(target for _, target in ours if target not in ("", PROMPT)))
    number: dict[str, int] = {}
    targets = np.array([number.setdefault(target, len(number)) for _, target in theirs], dtype=np.int64)
    known: dict[str, list[Numbers]] = {}
    for our, near, _ in alike(mine, list(number)):
        known.setdefault(mine[our], []).append(near)
    free = np.array([number.get("", -1)])

    def fits(target: str, near: Numbers) -> NDArray[np.bool_]:
        if not target:
            return np.ones(len(near), dtype=bool)
        return np.isin(targets[near], np.concatenate([free, *known.get(target, ())]))

    return fits
