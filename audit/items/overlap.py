"""What is both trained on and asked: the same item, or nearly the same, so that an answer may be remembered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from audit.errors import InputError
from audit.items.alike import alike
from audit.items.content import Content, fitting, held
from audit.items.general import Packs
from audit.view import Item

__all__ = ["Shared", "asked_sets", "cleaned", "overlap", "overlap_limits"]


@dataclass(frozen=True)
class Shared:
    """One training row that is asked, too.

    Attributes
    ----------
    row : str
        Id of the training row.
    asked : str
        Set of items that asks it.
    item : str
        Id of the item in it.
    kind : {"exact", "near"}
    jaccard : float
        Share of common shingles, 1 for exact ones.
    """

    row: str
    asked: str
    item: str
    kind: Literal["exact", "near"]
    jaccard: float


def overlap(training: Sequence[Item], asked: Mapping[str, Sequence[Item]], *, completion: bool = False) -> list[Shared]:
    """Find training rows that are also asked.

    Parameters
    ----------
    training : sequence of Item
        Texts or images.
    asked : mapping of str to sequence of Item
        By the name of a set its items. Of a pair each text counts, of a prompt itself and with each of its options.
    completion : bool
        Labels are texts that complete a prompt: two such items are alike if prompt and target are, or, of 29 words and
        more, the target alone.

    Returns
    -------
    list of Shared
        In the order of the training rows, then of what is asked: of every row the closest item in each set, and of
        every item the closest row, so that all rows and items that have any are there.

    Raises
    ------
    InputError
        If an image cannot be read.

    Notes
    -----
    *Exact* texts are equal after `folded`; images, if their files hold the same. *Near* texts have a Jaccard index of
    at least .8 over shingles (Broder, 1997): of 3 words, or of 4 characters where one text has fewer than 29 words. The
    index is computed, not estimated: only pairs that share one of their rarest shingles can reach it (prefix filter,
    Bayardo et al., WWW 2007). A text that merely stands inside a longer one is not found, nor is an edited image.

    Examples
    --------
    >>> def said(id, text):
    ...     return Item(id=id, cluster=id, text=text)
    >>> rows = [said("a", "The kettle never boils."), said("b", "A sound choice.")]
    >>> overlap(rows, {"test": [said("t", "the kettle never boils!")]})
    [Shared(row='a', asked='test', item='t', kind='exact', jaccard=1.0)]
    """
    places = [(which, item) for which, items in enumerate(asked.values()) for item in items]
    ours, theirs = held(training, completion), held([item for _, item in places], completion)
    names = list(asked)
    return [
        Shared(
            training[row].id, names[places[place][0]], places[place][1].id,
            "exact" if closest > 1 else "near", min(closest, 1.0),
        )
        for (row, place), closest in sorted(_closest(ours, theirs, [which for which, _ in places]).items())
    ]  # fmt: skip


def _closest(
    ours: Mapping[Content, list[int]], theirs: Mapping[Content, list[int]], sets: Sequence[int]
) -> dict[tuple[int, int], float]:
    """How alike every row and its closest place in each set are, and every place and its closest row; above 1 if equal.

    What is said often is compared once, and no list of all pairs is kept: there may be as many as rows times places.
    """
    fits, rows = fitting(ours, theirs), list(ours.items())
    first = np.full((max(sets, default=0) + 1, len(theirs)), len(sets))  # the first place of a set that says a content
    for content, places in enumerate(theirs.values()):
        for place in reversed(places):
            first[sets[place], content] = place
    known: dict[str, int] = {}
    text = np.array([known.setdefault(said, len(known)) for said, _ in theirs], dtype=np.int64)
    by_row: dict[tuple[int, int], tuple[float, int]] = {}
    score, said_by = np.zeros(len(theirs)), np.zeros(len(theirs), dtype=np.int64)
    for our, near, jaccard in alike([said for said, _ in ours], [said for said, _ in theirs]):
        (said, target), own = rows[our]
        scores = (jaccard + (text[near] == known.get(said, -1))) * fits(target, near)
        better = scores > score[near]
        score[near[better]], said_by[near[better]] = scores[better], own[0]
        for which, there in enumerate(first):
            inside = np.where(there[near] < len(sets), scores, 0.0)
            closest = float(inside.max())
            if closest:
                best = (closest, -int(there[near[inside == closest]].min()))
                for row in own:
                    by_row[row, which] = max(by_row.get((row, which), best), best)
    by_place: dict[int, tuple[float, int]] = {}
    for content, places in enumerate(theirs.values()):
        best = (float(score[content]), -int(said_by[content]))
        for place in places if score[content] else ():
            by_place[place] = max(by_place.get(place, best), best)
    found = {(row, -place): closest for (row, _), (closest, place) in by_row.items()}
    return found | {(-row, place): closest for place, (closest, row) in by_place.items()}


def cleaned(
    training: Sequence[Item],
    found: Sequence[Shared],
    how: Literal["drop", "refuse", "keep"],
    *,
    asked: Sequence[str],
    where: str = "[task] dataset",
) -> tuple[list[Item], list[dict[str, Any]]]:
    """Do with the training rows that are also asked what the recipe says.

    Parameters
    ----------
    training : sequence of Item
    found : sequence of Shared
    how : {"drop", "refuse", "keep"}
    asked : sequence of str
        Names of all sets that were looked through.
    where : str
        What the rows are, for an error and the record.

    Returns
    -------
    kept : list of Item
    record : list of dict
        One a set: ``rows`` (what they are), ``asked`` (its name), how many of them are in it ``exact`` or only
        ``near``, how many of its ``items`` they say, how many were ``dropped``.

    Raises
    ------
    InputError
        If there are any and they are refused, or what is left cannot be trained on.

    Examples
    --------
    >>> rows = [Item(id=one, cluster=one, text=one, label=one[0]) for one in ("a1", "a2", "b1")]
    >>> kept, record = cleaned(rows, [Shared("a2", "test", "t", "near", 0.9)], "drop", asked=["test"])
    >>> [item.id for item in kept], record[0]["near"], record[0]["dropped"]
    (['a1', 'b1'], 1, 1)
    """
    gone = {one.row for one in found}
    if found and how == "refuse":
        first = found[0]
        raise InputError(
            f"{where}: row {first.row!r} is also asked in {first.asked} as {first.item!r} ({first.kind}, "
            f"{first.jaccard:.2f} of it alike), and so are {len(gone) - 1} more rows; take them out, or set [task] "
            'overlap = "drop"'
        )
    dropped = gone if how == "drop" else set()
    kept = [item for item in training if item.id not in dropped]
    left, labels = {item.label for item in kept}, {item.label for item in training}
    if dropped and (not kept or len(left) < min(2, len(labels))):
        raise InputError(
            f"{where}: {len(dropped)} of {len(training)} rows are also asked ({found[0].row!r} in {found[0].asked} as "
            f"{found[0].item!r}), and without them {'one label' if kept else 'nothing'} is left to train on; use other "
            'data, or set [task] overlap = "keep"'
        )
    return kept, [_counted(name, [one for one in found if one.asked == name], dropped, where) for name in asked]


def _counted(name: str, found: Sequence[Shared], dropped: set[str], where: str) -> dict[str, Any]:
    exact = {one.row for one in found if one.kind == "exact"}
    rows = {one.row for one in found}
    return {
        "rows": where,
        "asked": name,
        "exact": len(exact),
        "near": len(rows - exact),
        "items": len({one.item for one in found}),
        "dropped": len(rows & dropped),
    }


def overlap_limits(record: Sequence[Mapping[str, Any]]) -> list[str]:
    """Say in sentences for the report what the records of `cleaned` hold."""
    said = []
    for one in record:
        if one["exact"] or one["near"]:
            done = "all were left out of training" if one["dropped"] else "they were trained on all the same"
            said.append(
                f"Overlap: {one['exact']} rows of {one['rows']} are asked word for word in {one['asked']} and "
                f"{one['near']} nearly so ({one['items']} items of it); {done}."
            )
    if record:
        said.append(
            "Overlap was looked for between whole items only: a text inside a longer one, a translation, or an edited "
            "image is not found; nor is what the base itself was pretrained on."
        )
    return said


def asked_sets(
    test: Sequence[Item], packs: Packs | None = None, others: Mapping[str, Sequence[Item]] | None = None
) -> dict[str, Sequence[Item]]:
    """Name everything that a recipe asks: its test split, what forgetting is found by, and other sets; no empty ones.

    Examples
    --------
    >>> list(asked_sets([Item(id="t", cluster="t", text="Yes.")], None, {"minimal pairs": []}))
    ['the test split']
    """
    named: dict[str, Sequence[Item]] = {"the test split": test}
    if packs is not None:
        named |= {
            "[audit.forgetting] items": packs.general,
            "[audit.forgetting] choices": packs.choices,
            "[audit.forgetting] turns": packs.turns,
            **{f"[audit.forgetting] labelled {name!r}": items for name, items in packs.labelled.items()},
            "[audit.forgetting] similarity": packs.similarity[0],
        }
    return {name: items for name, items in (named | dict(others or {})).items() if items}
