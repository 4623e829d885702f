"""Chat turns: where an answer ends in a model's own template, and what ends it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

from audit.models.score import Scored
from audit.view import Item, NotMeasurable

__all__ = ["ended_turns"]

MARK = "\ue000\ue001"  # private characters, which no template has


def ended_turns(tokenizer: PreTrainedTokenizerBase, items: Sequence[Item], context: int = 10**9) -> list[Scored]:
    """Write prompts and answers in a tokenizer's chat template, up to what ends the answer's turn.

    Parameters
    ----------
    tokenizer
    items : sequence of Item
        Prompts with one answer; both are written without the space around them, as most templates have it.
    context : int
        Tokens that are read: of what is longer, the beginning is cut off.

    Returns
    -------
    list of Scored
        What is scored is what follows the answer, up to the first token that is special; where none is (a template of
        plain words), the first token.

    Raises
    ------
    NotMeasurable
        If an item is no prompt with one answer, there is no template, it refuses the turn, or the answer cannot be
        found in what it writes. No word of the item is repeated: the reason is published.
    """
    if not tokenizer.chat_template:
        raise NotMeasurable("end_of_turn", "the tokenizer has no chat template")
    turns = []
    for item in items:
        if item.prompt is None or item.options is None or len(item.options) != 1:
            raise NotMeasurable("end_of_turn", f"item {item.id!r} is no prompt with one answer")
        turn = _ended(tokenizer, item.id, item.prompt.strip(), item.options[0].strip())
        beyond = max(0, len(turn.ids) - 1 - context)
        turns.append(Scored(turn.ids[beyond:], turn.start - beyond))
    return turns


def _ended(tokenizer: PreTrainedTokenizerBase, id: str, prompt: str, answer: str) -> Scored:
    if not answer:
        raise NotMeasurable("end_of_turn", f"the answer of item {id!r} is empty")
    before, mark, behind = _written(tokenizer, id, prompt, MARK).partition(MARK)
    text = before + answer
    if not mark or not behind or _written(tokenizer, id, prompt, answer) != text + behind:
        raise NotMeasurable(
            "end_of_turn", f"the chat template does not write the answer of item {id!r} and then something that ends it"
        )
    ids, whole = (list(tokenizer(one, add_special_tokens=False)["input_ids"]) for one in (text, text + behind))
    if whole[: len(ids)] != ids or len(whole) == len(ids):
        raise NotMeasurable("end_of_turn", f"the last token of the answer of item {id!r} holds a part of what ends it")
    special = {*tokenizer.all_special_ids, *tokenizer.added_tokens_decoder}
    ends = next((place for place in range(len(ids), len(whole)) if whole[place] in special), len(ids))
    return Scored(whole[: ends + 1], len(ids))


def _written(tokenizer: PreTrainedTokenizerBase, id: str, prompt: str, answer: str) -> str:
    turns = [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]
    written: Any
    try:
        written = tokenizer.apply_chat_template(turns, tokenize=False)
    except (TemplateError, ValueError, TypeError, KeyError) as error:
        said = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        if prompt[:20] in said or answer[:20] in said:
            said = type(error).__name__
        raise NotMeasurable("end_of_turn", f"the chat template refuses the turn of item {id!r} ({said})") from None
    return str(written)
