"""A masked model asked for one word: what it expects at the mask of a sentence."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from audit.errors import InputError
from audit.models.ask import Readout
from audit.models.score import hidden_log_likelihoods
from audit.models.text import TextView
from audit.models.tokens import continuation

__all__ = ["cloze", "word_tokens"]

Array = NDArray[np.float64]


def word_tokens(view: TextView, readout: Readout, name: str) -> list[int]:
    """Find the one token that says each label at the mask of a prompt.

    Parameters
    ----------
    view : TextView
        Of a masked model.
    readout : Readout
        Its prompt holds ``{mask}``; the word is tokenised as it stands there, behind a space or not.
    name : str
        Of the model, for errors.

    Returns
    -------
    list of int

    Raises
    ------
    InputError
        If there is no mask, or a word is several tokens, unknown, or another label's; names the label and its pieces.
    """
    tokenizer = view.tokenizer
    if view._network.words is None or tokenizer.mask_token_id is None:
        raise InputError(
            f"{name}: it has no masked language-model head, so that no prompt can be asked of it; use method = 'head', "
            "or a base that was saved with that head"
        )
    before = readout.prompt.split("{mask}")[0]
    space = " " if before[-1:].isspace() else ""
    known: dict[int, str] = {}
    for label in readout.labels:
        word = readout.said(label)
        ids = continuation(tokenizer, space + word) if before else view.ids([word], special=False)[0]
        pieces = tokenizer.convert_ids_to_tokens(ids)
        where = f"[task] words: the label {label!r} is said {word!r}, which is"
        if len(ids) != 1:
            raise InputError(
                f"{where} {len(ids)} tokens of {name} ({', '.join(pieces)}); a mask holds one: choose a word that is "
                "one token"
            )
        if ids[0] == tokenizer.unk_token_id:
            raise InputError(f"{where} not in the vocabulary of {name}; choose a word that is one token of it")
        if ids[0] in known:
            raise InputError(f"{where} the token {pieces[0]!r} of {name}, as is the label {known[ids[0]]!r}")
        known[ids[0]] = label
    return list(known)


def cloze(view: TextView, texts: Sequence[str], tokens: Sequence[int]) -> Array:
    """Log-probability in nats of each token at the last mask of each text.

    Parameters
    ----------
    view : TextView
    texts : sequence of str
        Each with a mask, and no longer than the model reads; examples before it may hold others.
    tokens : sequence of int

    Returns
    -------
    ndarray, shape (n, tokens)
    """
    question = "probabilities"
    words, mask = view._words(question), view._mask(question)
    sequences = view.ids(texts)
    places = [len(ids) - 1 - ids[::-1].index(mask) for ids in sequences]
    view._look_at_padding(sequences[0])
    nats = hidden_log_likelihoods(
        words,
        sequences,
        [[place] * len(tokens) for place in places],
        [list(tokens)] * len(sequences),
        view._pad,
        view.progress,
        alike=bool(view._alike),
    )
    return np.stack(nats)
