"""Which probes of forgetting a kind of base is asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from audit.audits import Question
from audit.audits.forgetting import IN_DOMAIN, Probe
from audit.audits.forgetting.choice import multiple_choice
from audit.audits.forgetting.features import neighbours, probes
from audit.audits.forgetting.language import divergence, end_of_turn, general_text, next_token
from audit.audits.forgetting.masked import masked_text
from audit.audits.forgetting.similarity import retrieval, similarity
from audit.audits.forgetting.zero_shot import zero_shot
from audit.items import thinned
from audit.items.general import Packs
from audit.items.witnesses import joined
from audit.models.text import DoesNotFit
from audit.recipe import Forgetting
from audit.view import Item, Kind, View

__all__ = ["probes_of"]

SKETCHED = 128  # texts whose distributions are looked at: 256 KiB each


def probes_of(
    kind: Kind, packs: Packs, asked: Forgetting, inside: Sequence[Item] = (), prompts: Sequence[Item] = ()
) -> list[Probe]:
    """List what a kind of base is asked.

    Parameters
    ----------
    kind : {"encoder", "sentence_encoder", "causal", "vision", "clip"}
    packs : Packs
        General items.
    asked : Forgetting
        For the margins.
    inside : sequence of Item
        The task's own texts; what they show is reported apart.
    prompts : sequence of Item
        The same as a causal model is asked for their class.

    Returns
    -------
    list of Probe
    """
    inside = joined(inside)
    if kind == "causal":
        return _causal(packs, asked, inside, joined(prompts))
    return _of_features(kind, packs, asked, inside)


def fitting(
    ask: Callable[[View, View, Sequence[Item]], list[Question]], items: Sequence[Item]
) -> Callable[[View, View], list[Question]]:
    """Leave out items that a side cannot read, and say how many; where half of them are, none is asked.

    Parameters
    ----------
    ask : callable
        A probe.
    items : sequence of Item

    Returns
    -------
    callable
        From base and adapted to questions.
    """

    def asked(base: View, adapted: View) -> list[Question]:
        kept = list(items)
        while True:
            try:
                questions = ask(base, adapted, kept)
            except DoesNotFit as reason:
                fewer = [item for item in kept if item.id not in reason.ids]
                if len(fewer) == len(kept) or 2 * len(fewer) < len(items):
                    raise
                kept = fewer
                continue
            if not (out := len(items) - len(kept)):
                return questions
            note = f"{out} of {len(items)} items were left out: an option is longer than a side reads, or has no token."
            return [replace(one, note=f"{one.note} {note}".strip()) for one in questions]

    return asked


def _causal(packs: Packs, asked: Forgetting, inside: Sequence[Item], prompts: Sequence[Item]) -> list[Probe]:
    margins, general = asked.margins, packs.general
    found = [
        # first of all: what it reads along answers the others too
        Probe("next tokens", partial(next_token, items=general, margin=margins.next_token)),
        Probe("general text", partial(general_text, items=general, margin=margins.nats_per_byte)),
        Probe(
            "the next token's distribution",
            partial(divergence, items=thinned(general, SKETCHED), margin=margins.divergence),
        ),
    ]
    if packs.choices:
        found.append(Probe("multiple choice", fitting(partial(multiple_choice, margin=margins.choices), packs.choices)))
    if packs.turns:
        found.append(Probe("the end of a turn", partial(end_of_turn, items=packs.turns, margin=margins.end_of_turn)))
    if inside:
        own = partial(general_text, items=inside, margin=margins.nats_per_byte, group=IN_DOMAIN)
        found.append(Probe("the task's own texts", own))
    if prompts:
        own = partial(divergence, items=thinned(prompts, SKETCHED), margin=margins.divergence, group=IN_DOMAIN)
        found.append(Probe("the distribution after the task's own prompts", own))
    return found


def _of_features(kind: Kind, packs: Packs, asked: Forgetting, inside: Sequence[Item]) -> list[Probe]:
    margins, general = asked.margins, packs.general
    found: list[Probe] = []
    for name, items in packs.tasks.items():
        found.append(Probe(f"probes of {name}", partial(probes, items=items, name=name, margin=margins.probe)))
    found.append(Probe("neighbours", partial(neighbours, items=general, margin=margins.neighbours)))
    if kind in ("encoder", "sentence_encoder"):
        found.append(Probe("masked text", partial(masked_text, items=general, margin=margins.nats_per_byte)))
    pairs, grades = packs.similarity
    if pairs:
        graded = partial(similarity, pairs=pairs, scores=grades, margin=margins.similarity)
        found.append(Probe("graded similarity", graded))
        found.append(Probe("retrieval", partial(retrieval, items=general, margin=margins.retrieval)))
    if kind == "clip" and asked.prompts:
        shot = partial(zero_shot, images=general, prompts=asked.prompts, margin=margins.zero_shot)
        found.append(Probe("zero-shot classes", shot))
    if inside:
        own = partial(neighbours, items=inside, margin=margins.neighbours, group=IN_DOMAIN)
        found.append(Probe("the neighbours of the task's own texts", own))
    return found
