"""What a view is: a model as a function from items to an array, or a reason why there is none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from audit.view.item import Item

__all__ = ["Kind", "NotMeasurable", "View", "answer_texts", "option_scores"]

Array = NDArray[np.float64]
Kind = Literal["encoder", "sentence_encoder", "causal", "vision", "clip"]


class NotMeasurable(Exception):
    """A view cannot answer a question, and a number in its place would be an invention."""

    def __init__(self, question: str, reason: str) -> None:
        super().__init__(question, reason)
        self.question, self.reason = question, reason

    def __str__(self) -> str:
        return f"{self.question}: {self.reason}"


class View(Protocol):
    """A model as a function from items to an array.

    Questions, and the shape of their answers for n items (d features, k labels, m layers); where an item is a pair,
    an axis of length 2 follows the first:

    ``probabilities``, ``logits``
        (n, k), of the labels; of a model that gives any number of labels to an item, each label's own probability. A
        model that says numbers has ``logits`` alone, (n, 1): the number.
    ``tag_probabilities``
        (n, longest, k), of the labels of each token of a text (what stands between two spaces); filled up with -1,
        which also stands for a token that is beyond what the model reads.
    ``embedding``, ``layer_means``
        (n, d) of the last layer, or as a sentence encoder pools; (n, m + 1, d) of every layer.
    ``log_likelihood``
        (n,) in nats, of a whole text under a causal model.
    ``next_tokens``
        (n, longest, 2), of each token of a text under a causal model: its log-probability in nats, and 1 if no other
        token was likelier, else 0; filled up with 0 and -1.
    ``next_token_sketch``
        (n, 8, 4096) in nats: the distribution of the next token before 8 tokens of a text (which ones, the text itself
        decides; a text of fewer repeats some), summed over cells of the vocabulary (token id modulo 4096). Of prompts
        with options (n, 1, 4096), after the prompt. What is below -100 counts as -100. A divergence of two sketches
        is a lower bound of that of the distributions.
    ``end_of_turn``
        (n,) in nats, of prompts with one option: that a chat turn ends right after this answer, in the model's own
        template.
    ``option_log_likelihood``, ``option_token_count``
        (n, options) in nats, of each option as the continuation of the item's prompt, its tokens after the prompt's
        own; and the number of those tokens, to divide by.
    ``pseudo_log_likelihood``
        (n,) in nats: the tokens of a text, masked one at a time, under a masked model.
    ``masked_log_likelihood``
        (n,) in nats: a fixed 15 % of a text's tokens (which ones, the text itself decides), all masked at once, scaled
        to the whole text. One forward pass a text where ``pseudo_log_likelihood`` takes one a token.
    ``pll-unchanged``, ``ll-changed``
        (n, 2) of pairs: the sum over the tokens that both sentences share (Nangia et al., EMNLP 2020), and the mean
        over those that they do not (Meade et al., ACL 2022), each masked by itself.
    ``token_ids``
        (n, longest) the tokens of each text as it stands behind a space in running text, without special tokens; rows
        are filled up with -1.
    ``unknown_tokens``
        (n,) how many of these stand for no whole character: the unknown token, and bytes of a character that has no
        token.
    """

    @property
    def id(self) -> str:
        """Hash of the weights and of everything else that an answer depends on."""

    @property
    def kind(self) -> Kind:
        """What sort of model answers."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the classes behind ``probabilities``, in order; empty where there are none."""

    def ask(self, question: str, items: Sequence[Item]) -> Array:
        """Answer one question about each item, in item order.

        Raises
        ------
        NotMeasurable
            If this model has no answer to the question.
        """

    def treatment(self, question: str, items: Sequence[Item]) -> str:
        """Say what is done to items that this model cannot read as they are; empty where nothing is."""


def answer_texts(question: str, items: Sequence[Item], answer: Callable[[list[str]], Array]) -> Array:
    """Answer items that are texts or pairs through a function of distinct texts.

    Parameters
    ----------
    question : str
        For the error.
    items : sequence of Item
        All texts, or all pairs.
    answer : callable
        From n distinct texts to an array of shape (n, ...).

    Returns
    -------
    ndarray, shape (n_items, ...) for texts and (n_items, 2, ...) for pairs

    Raises
    ------
    NotMeasurable
        If there are no items, or one is neither a text nor a pair.
    """
    pairs = bool(items) and items[0].pair is not None
    contents = [item.pair if pairs else (item.text,) for item in items]
    texts = [text for content in contents for text in content or () if text is not None]
    if not items or len(texts) < len(items) * (2 if pairs else 1):
        raise NotMeasurable(question, "it is asked of texts, or of pairs of texts")
    unique = list(dict.fromkeys(texts))
    position = {text: row for row, text in enumerate(unique)}
    answers = answer(unique)[[position[text] for text in texts]]
    return answers.reshape(len(items), 2, *answers.shape[1:]) if pairs else answers


def option_scores(view: View, items: Sequence[Item], per: Literal["option", "token", "byte"] = "byte") -> Array:
    """Log-likelihoods of options on a scale on which long and short ones can be compared.

    Parameters
    ----------
    view : View
        Answers ``option_log_likelihood`` (and ``option_token_count``).
    items : sequence of Item
        With a prompt and options.
    per : {"option", "token", "byte"}
        What the nats are divided by: nothing, the option's tokens, or its bytes (UTF-8, without the space in front).
        Only the last is the same on two sides whose tokenizers differ.

    Returns
    -------
    ndarray, shape (n_items, options)

    Raises
    ------
    NotMeasurable
        If the view has no such answer, or an option has no text.

    Examples
    --------
    >>> import pandas as pd
    >>> from audit.view import replay
    >>> rows = {"id": "a", "question": "option_log_likelihood", "index": [0, 1], "value": [-6.0, -8.0]}
    >>> item = Item(id="a", cluster="a", prompt="It was", options=(" bad", " very bad"))
    >>> option_scores(replay(pd.DataFrame(rows), kind="causal"), [item])
    array([[-2., -1.]])
    """
    nats = view.ask("option_log_likelihood", items)
    if per == "option":
        return nats
    if per == "token":
        return nats / view.ask("option_token_count", items)
    sizes = np.array([[len(option.strip().encode()) for option in item.options or ()] for item in items])
    if (sizes == 0).any():
        raise NotMeasurable("option_log_likelihood", "an option has no text")
    scores: Array = nats / sizes
    return scores
