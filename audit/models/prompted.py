"""A prompted model as a view: labels by what it says itself, after examples and without their prior."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from audit.models.ask import ModelView, softmax
from audit.models.batch import Progress
from audit.models.cloze import cloze, word_tokens
from audit.models.prompt import TaskPrompt
from audit.models.text import TextView
from audit.view import Item, answer_texts

__all__ = ["PromptedView"]

Array = NDArray[np.float64]
SPREAD = 0.05  # of cosines: sentence-transformers trains with their 20-fold (its ranking losses), as all-MiniLM was


class PromptedView(ModelView):
    """A view whose classes are what it says itself to a prompt; everything else passes through.

    Parameters
    ----------
    view : ModelView
        A clip view is asked through its own read-out, which is the prompt's.
    prompt : TaskPrompt

    Raises
    ------
    InputError
        If a masked model's word is not one token, or a causal model's label begins another.

    Notes
    -----
    ``logits`` of a label: under a causal model the log-likelihood of its completion, summed over tokens; under a masked
    one the log-probability of its word at the mask; of a sentence encoder the cosine of text and label divided by
    ``SPREAD``; of a model of images and texts its own. From these the label's ``prior`` is taken away, so that what
    says nothing gets equal ``probabilities``: their softmax (contextual calibration, Zhao et al., ICML 2021).

    A text that does not fit beside the examples is cut at its end.
    """

    def __init__(self, view: ModelView, prompt: TaskPrompt) -> None:
        self.view, self.prompt = view, prompt
        super().__init__(id=f"{view.id}/prompt {prompt.digest}", kind=view.kind, labels=prompt.labels)
        self._switched = view._switched
        self._tokens: list[int] = []
        self._after = 0  # tokens that a causal model would have to write
        if view.kind == "causal" and isinstance(view, TextView):
            view._refuse_labels_that_begin_another([prompt.readout.said(label) for label in self.labels])
            endings = view.ids([prompt.readout.completion(label) for label in self.labels], special=False)
            self._after = max(map(len, endings))
        if view.kind == "encoder" and isinstance(view, TextView):
            self._tokens = word_tokens(view, prompt.readout, prompt.base)

    @property
    def progress(self) -> Progress | None:
        """Told how much is done; so is the model's own view."""
        return self.view.progress

    @progress.setter
    def progress(self, told: Progress | None) -> None:
        self.view.progress = told

    def ask(self, question: str, items: Sequence[Item]) -> Array:
        """Answer one question about each item, in item order (see `audit.view.View`)."""
        if question not in ("probabilities", "logits"):
            return self.view.ask(question, items)
        if self.kind == "encoder":
            logits = super().ask(question, items)  # within memory, over the ranks
        elif self.kind == "clip":
            logits = self.view.ask("logits", items)
        else:
            logits = answer_texts(question, items, self._similarity if self.kind != "causal" else self._completed)
        logits = logits - np.array(self.prompt.prior) if self.prompt.prior else logits
        return logits if question == "logits" else softmax(logits)

    def treatment(self, question: str, items: Sequence[Item]) -> str:
        """Say what was done to items that could not be asked as they are; empty where nothing was."""
        if question not in ("probabilities", "logits"):
            return self.view.treatment(question, items)
        if not isinstance(self.view, TextView) or self.kind == "sentence_encoder":
            return self.view.treatment("embedding" if self.kind == "sentence_encoder" else question, items)
        texts = [text for item in items for text in item.pair or (item.text or "",)]
        longer = sum(self._cut(text) != self.clean(text) for text in texts)
        if not longer:
            return ""
        beside = f" beside the {len(self.prompt.examples)} examples of the prompt" if self.prompt.examples else ""
        return f"{longer} of {len(texts)} texts did not fit{beside} into {self.room} tokens: their end was cut off."

    @property
    def room(self) -> int:
        """Tokens of a prompt, with what follows it."""
        view = self.view
        return min(self.prompt.max_length, view.context) if isinstance(view, TextView) else self.prompt.max_length

    def _answer(self, question: str, items: Sequence[Item]) -> Array:
        view = self.view
        assert isinstance(view, TextView)
        mask = str(view.tokenizer.mask_token)
        return answer_texts(
            question,
            items,
            lambda texts: cloze(view, [self.prompt.filled(self._cut(text), mask) for text in texts], self._tokens),
        )

    def _completed(self, texts: list[str]) -> Array:
        options = tuple(self.prompt.readout.completion(label) for label in self.labels)
        asked = [
            Item(id=str(row), cluster=str(row), prompt=self.prompt.filled(self._cut(text)), options=options)
            for row, text in enumerate(texts)
        ]
        return self.view.ask("option_log_likelihood", asked)

    def _similarity(self, texts: list[str]) -> Array:
        named = [self.prompt.readout.named(label) for label in self.labels]
        ours, theirs = (
            self.view.ask("embedding", [Item(id=str(n), cluster=str(n), text=text) for n, text in enumerate(some)])
            for some in (texts, named)
        )
        return _unit(ours) @ _unit(theirs).T / SPREAD

    # --- what fits ---

    def clean(self, text: str) -> str:
        """Return a text without mask tokens of its own."""
        view = self.view
        mask = view.tokenizer.mask_token if isinstance(view, TextView) and self.kind == "encoder" else None
        return text.replace(str(mask), "") if mask else text

    def _cut(self, text: str) -> str:
        """As much of the beginning of a text as fits."""
        text = self.clean(text)
        if self.fits(text):
            return text
        fitting, beyond = 0, len(text)
        while beyond - fitting > 1:
            middle = (fitting + beyond) // 2
            fitting, beyond = (middle, beyond) if self.fits(text[:middle]) else (fitting, middle)
        return text[:fitting]

    def fits(self, text: str) -> bool:
        """Tell whether a text fits into a prompt, and what must follow it."""
        view = self.view
        if not isinstance(view, TextView):
            return True
        whole = self.prompt.filled(text, str(view.tokenizer.mask_token))
        return len(view.ids([whole])[0]) + self._after <= self.room


def _unit(vectors: Array) -> Array:
    lengths: Array = np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)
    return vectors / lengths
