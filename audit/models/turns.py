"""Chat turns: where an answer ends in a model's own template, and what ends it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

from audit.models.score import Scored
from audit.view import Item, NotMeasurable

__all__ = ["ended_turn", "ended_turns"]

MARK = "\ue000\ue001"  # private characters, which no template has


def ended_turns(tokenizer: PreTrainedTokenizerBase, items: Sequence[Item], context: int = 10**9) -> list[Scored]:
    """Write chat turns (see `ended_turn`), cut at the beginning where they are longer than what is read.

    Raises
    ------
    NotMeasurable
        If an item is no prompt with one answer, or cannot be written as a turn.
    """
    turns = []
    for item in items:
        if item.prompt is None or item.options is None or len(item.options) != 1:
            raise NotMeasurable("end_of_turn", f"item {item.id!r} is no prompt with one answer")
        turn = ended_turn(tokenizer, item.prompt, item.options[0])
        beyond = max(0, len(turn.ids) - 1 - context)
        turns.append(Scored(turn.ids[beyond:], turn.start - beyond))
    return turns


def ended_turn(tokenizer: PreTrainedTokenizerBase, prompt: str, answer: str) -> Scored:
    """Write a user's prompt and an answer in a tokenizer's chat template, up to what ends the answer's turn.

    Parameters
    ----------
    tokenizer
    prompt, answer : str
        Without the space around them, as most templates have it.

    Returns
    -------
    Scored
        What is scored is what follows the answer, up to the first token that is special; where none is (a template of
        plain words), the first token.

    Raises
    ------
    NotMeasurable
        If there is no template, it refuses the turn, or the answer cannot be found in what it writes.
    """
    if not tokenizer.chat_template:
        raise NotMeasurable("end_of_turn", "the tokenizer has no chat template")
    if not answer.strip():
        raise NotMeasurable("end_of_turn", "an answer is empty")
    before, mark, behind = _written(tokenizer, prompt, MARK).partition(MARK)
    text = before + answer.strip()
    if not mark or not behind or _written(tokenizer, prompt, answer) != text + behind:
        raise NotMeasurable(
            "end_of_turn", f"the chat template does not write {answer[:40]!r} and then something that ends it"
        )
    ids, whole = (list(tokenizer(one, add_special_tokens=False)["input_ids"]) for one in (text, text + behind))
    if whole[: len(ids)] != ids or len(whole) == len(ids):
        raise NotMeasurable("end_of_turn", f"the last token of {answer[-40:]!r} holds a part of what ends it")
    special = {*tokenizer.all_special_ids, *tokenizer.added_tokens_decoder}
    ends = next((place for place in range(len(ids), len(whole)) if whole[place] in special), len(ids))
    return Scored(whole[: ends + 1], len(ids))


def _written(tokenizer: PreTrainedTokenizerBase, prompt: str, answer: str) -> str:
    turns = [{"role": "user", "content": prompt.strip()}, {"role": "assistant", "content": answer.strip()}]
    written: Any
    try:
        written = tokenizer.apply_chat_template(turns, tokenize=False)
    except (TemplateError, ValueError, TypeError, KeyError) as error:
        said = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise NotMeasurable("end_of_turn", f"the chat template refuses the turn ({said})") from None
    return str(written)
