"""The surprise gap: how many more bits a byte of the task's texts costs the base than a byte of the reference."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from audit.audits.gap.placed import Placed, Samples
from audit.audits.unknown import unknown_tokens
from audit.stats import deal_clusters, permutation_p
from audit.view import Item, NotMeasurable, View

__all__ = ["KeepSide", "cut_alike", "surprise"]

PERMUTATIONS = 999
LOST = 0.01  # of the tokens, that may stand for characters they lose

Array = NDArray[np.float64]
KeepSide = Callable[[str, Sequence[Item], Array], None]
"""Takes what the base scored on each item under a question: the evidence."""


def surprise(samples: Samples, base: View, keep: KeepSide | None = None) -> Placed:
    """Place the task by the bits a byte of its texts costs, with a permutation p over whole clusters (upper tail).

    Parameters
    ----------
    samples : Samples
    base : View
        Answers ``log_likelihood`` if it is causal, else ``masked_log_likelihood``; and ``unknown_tokens`` with
        ``token_ids``, unless it is a record without them.
    keep : callable, optional
        Takes the bits per byte of every text: of the task, ``gap/surprise``; of the others with the side's name behind.

    Raises
    ------
    NotMeasurable
        If the base has no language-model head, a text is empty, unrelated text surprises it no more, or more than
        ``LOST`` of the tokens of a sample are the unknown one: a word of another script is then one token, which is
        soon guessed and tells nothing of the word. Bytes that a character falls into lose nothing.

    Notes
    -----
    Bits per byte are all bits of a sample over all of its bytes (UTF-8), which no tokenizer changes. A short text has
    little context, so that each of its bytes costs more: before they are asked, task and reference (and the unrelated
    texts, which are the reference's twins) are cut to the same lengths.
    """
    if any(item.text is None for item in samples.items):
        raise NotMeasurable("surprise", "it is asked of texts")
    question = "log_likelihood" if base.kind == "causal" else "masked_log_likelihood"
    for name, one in zip(("reference", "task", "unrelated"), samples.all, strict=True):
        lost = _lost(base, one.items)
        if lost > LOST:
            raise NotMeasurable(
                "surprise",
                f"{lost:.1%} of the tokens of the {name} texts are the unknown token, which loses the characters that "
                "it stands for: bits per byte are no code length",
            )
    sides = cut_alike(*(one.items for one in samples.all))
    bits, sizes = [], []
    for name, items in zip(("/reference", "", "/ceiling"), sides, strict=True):
        size = np.array([len((item.text or "").encode()) for item in items], dtype=np.float64)
        if not size.all():
            empty = items[int(np.flatnonzero(size == 0)[0])]
            raise NotMeasurable("surprise", f"item {empty.id!r} has an empty text")
        bits.append(-base.ask(question, items) / math.log(2))
        sizes.append(size)
        if keep is not None:
            keep(f"gap/surprise{name}", items, bits[-1] / size)
    reference, task, unrelated = (
        b @ weights / (size @ weights) for b, size, weights in zip(bits, sizes, samples.weights, strict=True)
    )
    dealt = deal_clusters(samples.documents, len(sides[0]), PERMUTATIONS, samples.rng("surprise"))
    both, size = np.concatenate(bits[:2]), np.concatenate(sizes[:2])
    permuted = both @ (1 - dealt) / (size @ (1 - dealt)) - both @ dealt / (size @ dealt)
    measured = task - reference
    masked = "15 % of a text's tokens, masked together, stand for all of it. " if base.kind != "causal" else ""
    return Placed.read(
        "surprise",
        "bits per byte of the task's texts under the base, above those of the reference",
        "bits per byte",
        measured,
        unrelated - reference,
        0.0,
        p=permutation_p(float(measured[0]), permuted),
        n_items=len(samples.items),
        n_clusters=min(one.n_clusters for one in samples.all),
        note=f"{masked}A byte of the reference costs {reference[0]:.2f} bits. Texts were cut, at word ends where "
        "there are some, so that task and reference are of the same lengths, rank by rank; p is of the upper tail.",
    )


def _lost(base: View, items: Sequence[Item]) -> float:
    """Share of tokens that are the unknown one; 0 of a view that does not say."""
    unknown, tokens = unknown_tokens(base, items)
    return float(unknown.sum() / tokens.sum())


def cut_alike(reference: Sequence[Item], task: Sequence[Item], ceiling: Sequence[Item]) -> list[list[Item]]:
    """Cut texts to the same lengths in bytes, rank by rank.

    Parameters
    ----------
    reference, task, ceiling : sequence of Item

    Returns
    -------
    list of list of Item
        In their order. Of a text and the text of the other side that holds the same rank, the longer one is cut; the
        ceiling is cut as the reference. The cut is at the nearest word end, or, if that is off by half of the wanted
        length or more (a script without spaces), at the nearest character.

    Examples
    --------
    >>> long = [Item(id="r", cluster="r", text="A long text, of many words.")]
    >>> short = [Item(id="t", cluster="t", text="A short one.")]
    >>> [items[0].text for items in cut_alike(long, short, long)]
    ['A long text,', 'A short one.', 'A long text,']
    """
    lengths = [np.array([len((item.text or "").encode()) for item in items]) for items in (reference, task, ceiling)]
    targets = [
        _at_rank(lengths[0], lengths[1]),
        _at_rank(lengths[1], lengths[0]),
        _at_rank(lengths[2], lengths[1]),
    ]
    return [
        [
            item.model_copy(update={"text": _cut(item.text or "", target)})
            for item, target in zip(items, wanted, strict=True)
        ]
        for items, wanted in zip((reference, task, ceiling), targets, strict=True)
    ]


def _at_rank(own: NDArray[np.int64], other: NDArray[np.int64]) -> Array:
    """For each length, the other side's at the same rank (ties share their middle rank)."""
    order = np.sort(own)
    middle = (np.searchsorted(order, own, "left") + np.searchsorted(order, own, "right")) / 2
    lengths: Array = np.quantile(other, middle / len(own), method="hazen")
    return lengths


def _cut(text: str, target: float) -> str:
    """Keep the words up to the word end that lies nearest to a length in bytes, or characters if no end lies near."""
    places = [place for place in range(1, len(text) + 1) if not text[place - 1].isspace()]
    if not places:
        return text
    sizes = np.cumsum([len(character.encode()) for character in text])

    def off(place: int) -> float:
        return float(abs(sizes[place - 1] - target))

    at_word = min((place for place in places if place == len(text) or text[place].isspace()), key=off, default=0)
    return text[: at_word if at_word and off(at_word) < target / 2 else min(places, key=off)]
