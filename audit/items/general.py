"""Everything general that one kind of base is asked: by what a model forgot is found."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from audit.errors import InputError
from audit.items import thinned
from audit.items.packs import read_choices, read_labelled, read_similarity, read_texts, read_turns
from audit.view import Item, Kind, fingerprint

if TYPE_CHECKING:
    from audit.recipe import Forgetting

__all__ = ["Packs", "read_packs"]

IMAGES = ("vision", "clip")


@dataclass(frozen=True)
class Packs:
    """The sets of items that a kind of base is asked; what does not concern it is empty.

    ``general`` are texts, or labelled images; ``labelled`` has a set a task; ``similarity`` has pairs and their grades.
    """

    general: list[Item]
    choices: list[Item] = field(default_factory=list)
    turns: list[Item] = field(default_factory=list)
    labelled: dict[str, list[Item]] = field(default_factory=dict)
    similarity: tuple[list[Item], NDArray[np.float64]] = field(default_factory=lambda: ([], np.zeros(0)))

    @property
    def fingerprint(self) -> str:
        """Hash of all items and grades."""
        sets = [self.general, self.choices, self.turns, *self.labelled.values(), self.similarity[0]]
        parts = [*map(fingerprint, sets), *self.labelled, self.similarity[1].tobytes().hex()]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def read_packs(asked: Forgetting, kind: Kind, given: Sequence[Item] | None = None) -> Packs:
    """Read the sets that a recipe names, as far as they concern a kind of base.

    Parameters
    ----------
    asked : Forgetting
        The recipe's table.
    kind : {"encoder", "sentence_encoder", "causal", "vision", "clip"}
    given : sequence of Item, optional
        General items in place of the recipe's.

    Raises
    ------
    InputError
        If a set cannot be read, or holds texts where images are asked.
    Unavailable
        If the Hub cannot be reached.
    """
    limit = asked.limit
    if kind in IMAGES:
        return Packs(thinned(_images(asked, given), limit))
    general = thinned(_texts(asked, given), limit)
    if kind == "causal":
        return Packs(
            general,
            choices=read_choices(asked.choices, limit) if asked.choices else [],
            turns=read_turns(asked.turns, limit) if asked.turns else [],
        )
    labelled = {_stem(name): read_labelled(name, limit) for name in asked.labelled}
    if kind == "encoder" or not asked.similarity:
        return Packs(general, labelled=labelled)
    return Packs(general, labelled=labelled, similarity=read_similarity(asked.similarity, limit))


def _texts(asked: Forgetting, given: Sequence[Item] | None) -> Sequence[Item]:
    items = given if given is not None else read_texts(asked.items, asked.limit)
    without = next((item.id for item in items if not (item.text or "").strip()), None)
    if without is not None:
        raise InputError(f"{_said(asked, given)}: item {without!r} is not a text")
    return items


def _images(asked: Forgetting, given: Sequence[Item] | None) -> Sequence[Item]:
    if given is None and asked.items.startswith("shipped:"):
        raise InputError(
            "[audit.forgetting] items: no images are shipped; name a file of items with 'image' and 'label', or give "
            "it with --items"
        )
    items = given if given is not None else read_labelled(asked.items)
    without = next((item.id for item in items if item.image is None), None)
    if without is not None:
        raise InputError(f"{_said(asked, given)}: item {without!r} is not an image, which is what this base reads")
    return items


def _said(asked: Forgetting, given: Sequence[Item] | None) -> str:
    return asked.items if given is None else "the items that were given"


def _stem(name: str) -> str:
    return Path(name.removeprefix("shipped:")).stem
