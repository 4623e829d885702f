"""Where in a model a tensor belongs: the layers of every architecture, found by the names of their tensors."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import NamedTuple

from audit.models.stored import HEAD
from audit.view import Kind

__all__ = ["Place", "is_embedding", "places"]


class Place(NamedTuple):
    """Where a tensor belongs, in the order in which a model reads.

    ``rank`` is 0 for embeddings, 1 for layers (``numbers`` says which: of a stage, then within it), 2 for a pooler, 3
    for what is none of these, 4 for a head.
    """

    tower: int
    rank: int
    numbers: tuple[int, ...]
    name: str


def places(names: Collection[str], kind: Kind) -> dict[str, Place]:
    """Find the layer of every tensor: the first number in its name whose neighbours count from 0 without a gap."""
    counted: dict[tuple[str, ...], set[int]] = defaultdict(set)
    for name in names:
        parts = name.split(".")
        for place, part in enumerate(parts):
            if part.isdigit():
                counted[*parts[:place]].add(int(part))
    lists = {begin for begin, numbers in counted.items() if numbers == set(range(len(numbers)))}
    return {name: _place(name, lists, kind) for name in names}


def _place(name: str, lists: set[tuple[str, ...]], kind: Kind) -> Place:
    said = {"vis": "vision ", "tex": "text "}.get(name[:3], "") if kind == "clip" else ""
    tower = ("vision ", "text ", "").index(said)
    if name.startswith(HEAD):
        return Place(tower, 4, (), f"{said}head")
    parts = name.split(".")
    for place, part in enumerate(parts):
        if is_embedding(part):
            return Place(tower, 0, (), f"{said}embeddings")
        if "pooler" in part:
            return Place(tower, 2, (), f"{said}pooler")
        if part.isdigit() and (*parts[:place],) in lists:
            numbers = (int(part), *_within(parts[place + 1 :]))
            return Place(tower, 1, numbers, f"{said}layer {'.'.join(map(str, numbers))}")
    return Place(tower, 3, (), f"{said}other")


def _within(behind: Sequence[str]) -> tuple[int, ...]:
    """Return the layer within a stage, where what is numbered is a stage: ``stages.1.layers.2``, ``block.1.2``."""
    if behind and behind[0].isdigit():
        return (int(behind[0]),)
    if len(behind) > 1 and behind[0].endswith(("layers", "blocks")) and behind[1].isdigit():
        return (int(behind[1]),)
    return ()


def is_embedding(name: str) -> bool:
    """Tell whether a tensor, or a module on the way to it, is a table of embeddings by its name."""
    return "embed" in name or bool({"wte", "wpe"} & set(name.split(".")))
