"""Everything general that one kind of base is asked: by what a model forgot is found."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from audit.errors import InputError
from audit.items.packs import few, read_choices, read_labelled, read_similarity, read_texts, read_turns
from audit.items.rows import on_hub
from audit.view import Item, Kind, fingerprint

if TYPE_CHECKING:
    from audit.recipe import Forgetting

__all__ = ["Packs", "read_packs"]

IMAGES = ("vision", "clip")


@dataclass(frozen=True)
class Packs:
    """The sets of items that a kind of base is asked; what does not concern it is empty.

    ``general`` are texts, or labelled images, and ``name`` is what findings call them; ``labelled`` has a set a task;
    ``similarity`` has pairs and their grades.
    """

    general: list[Item]
    choices: list[Item] = field(default_factory=list)
    turns: list[Item] = field(default_factory=list)
    labelled: dict[str, list[Item]] = field(default_factory=dict)
    similarity: tuple[list[Item], NDArray[np.float64]] = field(default_factory=lambda: ([], np.zeros(0)))
    name: str = "general"

    @property
    def tasks(self) -> dict[str, list[Item]]:
        """All that is labelled, general items included, by what findings call it."""
        return {**({self.name: self.general} if _has_labels(self.general) else {}), **self.labelled}

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

    Returns
    -------
    Packs
        Items of one set that say the same are one cluster (see `audit.items.witnesses.joined`).

    Raises
    ------
    InputError
        If a set cannot be read, holds texts where images are asked, two sets have one name, or prompts do not name the
        images' classes.
    Unavailable
        If the Hub cannot be reached.
    """
    limit = asked.limit
    name = _stem(asked.items) if given is None else "general"
    if asked.prompts and kind != "clip":
        raise InputError(
            f"[audit.forgetting] prompts: they are for a model of images and texts, and this base is of kind {kind!r}; "
            "leave them out"
        )
    if kind in IMAGES:
        images = _images(asked, given)
        _refuse_prompts(asked.prompts, images)
        return Packs(images, name=name)
    if kind == "causal":
        return Packs(
            _texts(asked, given),
            choices=read_choices(asked.choices, limit) if asked.choices else [],
            turns=read_turns(asked.turns, limit) if asked.turns else [],
            name=name,
        )
    general = _texts(asked, given)
    _refuse_one_name([*([asked.items if given is None else name] if _has_labels(general) else []), *asked.labelled])
    labelled = {_stem(one): read_labelled(one, limit) for one in asked.labelled}
    if kind == "encoder" or not asked.similarity:
        return Packs(general, labelled=labelled, name=name)
    return Packs(general, labelled=labelled, similarity=read_similarity(asked.similarity, limit), name=name)


def _texts(asked: Forgetting, given: Sequence[Item] | None) -> list[Item]:
    items = given if given is not None else read_texts(asked.items, asked.limit)
    without = next((item.id for item in items if not (item.text or "").strip()), None)
    if without is not None:
        raise InputError(f"{_said(asked, given)}: item {without!r} is not a text")
    return few(items, asked.limit) if given is not None else list(items)


def _images(asked: Forgetting, given: Sequence[Item] | None) -> list[Item]:
    if given is None and asked.items.startswith("shipped:"):
        raise InputError(
            "[audit.forgetting] items: no images are shipped; name a file of items with 'image' and 'label', or give "
            "it with --items"
        )
    items = given if given is not None else read_labelled(asked.items, asked.limit)
    without = next((item.id for item in items if item.image is None), None)
    if without is not None:
        raise InputError(f"{_said(asked, given)}: item {without!r} is not an image, which is what this base reads")
    return few(items, asked.limit) if given is not None else list(items)


def _has_labels(items: Sequence[Item]) -> bool:
    return len({item.label for item in items} - {None}) > 1


def _refuse_prompts(prompts: Mapping[str, str], images: Sequence[Item]) -> None:
    """Refuse prompts by which the images cannot be told apart; none at all ask for no classes."""
    if not prompts:
        return
    where = "[audit.forgetting] prompts"
    other = next((item for item in images if item.label not in prompts), None)
    if other is not None:
        said = "has no label" if other.label is None else f"is labelled {other.label!r}, which has no prompt"
        raise InputError(f"{where}: image {other.id!r} {said}; prompts are there for {', '.join(map(repr, prompts))}")
    if len(set(prompts.values())) < max(2, len(prompts)):
        raise InputError(f"{where}: it takes two prompts at least, each of its own words")


def _refuse_one_name(sets: Sequence[str]) -> None:
    """Refuse sets that findings could not tell apart."""
    known: dict[str, str] = {}
    for one in sets:
        name = _stem(one)
        if name in known:
            raise InputError(
                f"[audit.forgetting]: two sets are called {name!r} ({known[name]} and {one}); leave one out, or rename "
                "its file"
            )
        known[name] = one


def _said(asked: Forgetting, given: Sequence[Item] | None) -> str:
    return asked.items if given is None else "the items that were given"


def _stem(name: str) -> str:
    """What findings call a set: a file without its ending, a Hub data set without its owner."""
    if on_hub(name):
        return Path(name.partition("@")[0]).name  # without a revision
    return Path(name.removeprefix("shipped:")).stem
