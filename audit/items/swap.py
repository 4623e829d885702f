"""Counterfactual pairs: the same text about another person.

A text is swapped as a whole or not at all. It is left out, and counted, where it names nobody the lexicon knows, where
it speaks of both groups (then no side of the pair is either), or where a pronoun cannot be resolved.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Literal

from audit.errors import InputError
from audit.items import templates
from audit.view import Item

__all__ = ["AXES", "Axis", "Swap", "axis", "fill", "neutralise", "swap", "task_pairs", "template_pairs"]

AXES = ("gender", "name_origin")

_WORD = re.compile(r"[^\W\d_]+")
_SLOTS = {
    "they": ("she", "he"),
    "them": ("her", "him"),
    "their": ("her", "his"),
    "theirs": ("hers", "his"),
    "themself": ("herself", "himself"),
}


@dataclass(frozen=True)
class Axis:
    """One way in which a text can be about somebody else: two groups, paired names and paired words."""

    name: str
    groups: tuple[str, str]
    names: tuple[tuple[str, str], ...]
    words: tuple[tuple[str, str], ...]
    women: frozenset[str]


@dataclass(frozen=True)
class Swap:
    """What became of a text: the pair (first group, second group), or the reason why there is none."""

    pair: tuple[str, str] | None
    by: str
    outcome: Literal["swapped", "nobody named", "both groups", "unresolved pronoun"]


@cache
def axis(name: str) -> Axis:
    """Read an axis from the shipped lexicon.

    Raises
    ------
    InputError
        If there is no such axis; names the choices.

    Examples
    --------
    >>> axis("gender").groups
    ('a woman', 'a man')
    """
    if name not in AXES:
        raise InputError(f"no such swap {name!r}; choose from {', '.join(AXES)}")
    table = _lexicon()[name]
    return Axis(
        name=name,
        groups=tuple(table["groups"]),
        names=tuple(tuple(pair) for pair in table["names"]),
        words=tuple(tuple(pair) for pair in table["words"]),
        women=frozenset(table.get("women", [first for first, _ in table["names"]])),
    )


@cache
def _resolution() -> dict[str, frozenset[str]]:
    """Closed classes of words by which "her" and "his" are told apart."""
    return {name: frozenset(words.split()) for name, words in _lexicon()["resolution"].items()}


@cache
def _lexicon() -> dict[str, Any]:
    return tomllib.loads((resources.files("audit.items") / "swaps.toml").read_text(encoding="utf-8"))


def swap(text: str, by: Axis) -> Swap:
    """Say the same about a person of the other group.

    Parameters
    ----------
    text : str
    by : Axis

    Returns
    -------
    Swap
        ``pair`` holds the text as about the first group and as about the second; one of them is the text itself.

    Examples
    --------
    >>> swap("Megan lost her keys; I told her where they were.", axis("gender")).pair[1]
    'Andrew lost his keys; I told him where they were.'
    >>> swap("He told his sister.", axis("gender")).outcome
    'both groups'
    """
    names = {name: (side, pair[1 - side]) for pair in by.names for side, name in enumerate(pair)}
    words: dict[str, tuple[int, str]] = {}
    for pair in by.words:
        for side, word in enumerate(pair):
            words.setdefault(word, (side, pair[1 - side]))
    sides: set[int] = set()
    used: list[str] = []
    pieces: list[str] = []
    end = 0
    for match in _WORD.finditer(text):
        word = match.group()
        found = names.get(word) or words.get(word.lower()) or _pronoun(match, by)
        if found is None:
            continue
        side, other = found
        if not other:
            return Swap(None, by.name, "unresolved pronoun")
        if word in names:
            pair_name = f"{word} / {other}" if side == 0 else f"{other} / {word}"
            if pair_name not in used:
                used.append(pair_name)
        else:
            other = _like(word, other)
        sides.add(side)
        pieces += [text[end : match.start()], other]
        end = match.end()
    if not sides:
        return Swap(None, by.name, "nobody named")
    if len(sides) > 1:
        return Swap(None, by.name, "both groups")
    swapped = "".join([*pieces, text[end:]])
    which = " + ".join(used) or f"{by.groups[0]} / {by.groups[1]} (pronouns, nouns)"
    return Swap((text, swapped) if sides == {0} else (swapped, text), which, "swapped")


def _pronoun(match: re.Match[str], by: Axis) -> tuple[int, str] | None:
    """Resolve her, him, his, hers on the gender axis (her -> him | his, his -> her | hers); "" where it is open."""
    word, text = match.group().lower(), match.string
    if by.name != "gender" or word not in ("her", "him", "his", "hers"):
        return None
    if word in ("him", "hers"):
        return (1, "her") if word == "him" else (0, "his")
    side, (alone, owning) = (0, ("him", "his")) if word == "her" else (1, ("hers", "her"))
    rest = text[match.end() :]
    following = _WORD.match(rest, 1) if rest[:1] == " " else None
    if following is None:  # a quotation or a number may follow either
        return side, "" if re.match(r"\s*[\"'(\d]", rest) else alone
    after = following.group().lower()
    if after in _resolution()["after_object"]:
        return side, alone
    before = _WORD.findall(text[: match.start()])[-1:]
    sensed = word == "her" and bool(before) and before[0].lower() in _resolution()["sense_verbs"]
    if after in _resolution()["open"] or sensed or (word == "her" and after.endswith(("ing", "ly"))):
        return side, ""
    return side, owning


def _like(pattern: str, word: str) -> str:
    if pattern.isupper() and len(pattern) > 1:
        return word.upper()
    return word.capitalize() if pattern[0].isupper() else word


def fill(template: str, name: str, woman: bool) -> str:
    """Fill the slots of a template with a first name and the pronouns that go with it.

    Examples
    --------
    >>> fill("{They} said {name} did it {themself}.", "Megan", woman=True)
    'She said Megan did it herself.'
    """
    slots = {"name": name}
    for slot, forms in _SLOTS.items():
        slots[slot] = forms[0 if woman else 1]
        slots[slot.capitalize()] = slots[slot].capitalize()
    return template.format(**slots)


def template_pairs(by: Axis, limit: int | None = None) -> list[Item]:
    """Fill every shipped template with every name pair of an axis: cluster = template, group ``pair`` = the names.

    Parameters
    ----------
    by : Axis
    limit : int, optional
        Use the first so many name pairs.
    """
    items = []
    for template in templates():
        for first, second in by.names[:limit]:
            pair = (
                fill(template["text"], first, first in by.women),
                fill(template["text"], second, second in by.women),
            )
            items.append(
                Item(
                    id=f"{by.name}/{template['id']}/{first}-{second}",
                    cluster=template["id"],
                    pair=pair,
                    groups={"pair": f"{first} / {second}", "tone": template["tone"]},
                    source="shipped:templates",
                )
            )
    return items


def task_pairs(texts: Iterable[Item], by: Axis) -> tuple[list[Item], dict[str, int]]:
    """Swap the task's own texts.

    Returns
    -------
    pairs : list of Item
        One a text that could be swapped; cluster = the cluster of the text.
    outcomes : dict
        How many texts ended in which outcome.
    """
    pairs, outcomes = [], {"swapped": 0, "nobody named": 0, "both groups": 0, "unresolved pronoun": 0}
    for item in texts:
        result = swap(item.text or "", by)
        outcomes[result.outcome] += 1
        if result.pair is not None:
            pairs.append(
                Item(
                    id=f"{by.name}/{item.id}",
                    cluster=item.cluster,
                    pair=result.pair,
                    groups={"pair": result.by},
                    source=item.source,
                )
            )
    return pairs, outcomes


def neutralise(text: str, axes: Sequence[Axis]) -> str:
    """Silence who a text is about: names become "Person", gendered words a neutral one.

    Examples
    --------
    >>> neutralise("Megan lost her keys; she told him.", [axis("gender")])
    'Person lost their keys; they told them.'
    """
    silent = {
        "she": "they",
        "he": "they",
        "herself": "themself",
        "himself": "themself",
        "him": "them",
        "hers": "theirs",
    }
    names = {name for one in axes for pair in one.names for name in pair}
    words = {word for one in axes for pair in one.words for word in pair}
    gendered = any(one.name == "gender" for one in axes)

    def replace(match: re.Match[str]) -> str:
        word = match.group()
        lower = word.lower()
        if word in names:
            return "Person"
        if gendered and lower in silent:
            return _like(word, silent[lower])
        if gendered and lower in ("her", "his"):
            resolved = _pronoun(match, axis("gender"))
            alone = resolved is not None and resolved[1] in ("him", "hers")
            return _like(word, ("them" if lower == "her" else "theirs") if alone else "their")
        return _like(word, "person") if lower in words else word

    return _WORD.sub(replace, text)
