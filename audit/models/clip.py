"""A model of images and texts in one space as a view."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoModel, PreTrainedTokenizerBase

from audit.errors import InputError
from audit.models.ask import ModelView, Readout, softmax
from audit.models.batch import padded
from audit.models.embed import text_rows
from audit.models.images import image_rows, load_processor
from audit.models.source import Source
from audit.models.tokens import load_tokenizer, tokenizer_hash
from audit.models.vision import refuse_other_processor
from audit.models.weights import Dtype, load_weights, refuse_made_up
from audit.view import Item, NotMeasurable, answer_texts

__all__ = ["ClipView", "directions", "load_clip"]

Array = NDArray[np.float64]


def load_clip(source: Source, dtype: Dtype = "float32") -> Any:
    """Load a model of images and texts.

    Raises
    ------
    InputError
        If tensors are missing, or it has no towers that can be asked alone.
    """
    model, missing = load_weights(AutoModel, source, dtype)
    refuse_made_up(source, missing)
    if not (hasattr(model, "get_text_features") and hasattr(model, "get_image_features")):
        raise InputError(f"{source.id}: {type(model).__name__} has no separate towers for images and texts")
    return model


class ClipView(ModelView):
    """A model of images and texts as a view.

    Parameters
    ----------
    model
        With two towers.
    source : Source
        Where it came from; holds tokenizer and image processor.
    readout : Readout, optional
        Zero-shot classes: the prompt's ``{label}`` is filled with how each label is said, and an image belongs to the
        label whose prompt lies nearest, at the model's own temperature.

    Notes
    -----
    ``embedding`` is the projected vector of an image or of a text, of length 1. A pair is of texts there, and of
    paths of images where classes are asked.
    """

    def __init__(self, model: Any, source: Source, readout: Readout | None = None) -> None:
        self.model, self._processor = model, load_processor(source)
        self._tokenizer: PreTrainedTokenizerBase = load_tokenizer(source)
        self._readout = readout
        parts = [source.sha256, str(model.dtype).removeprefix("torch.")]
        if readout is not None:
            parts.append(readout.id)
        super().__init__(id="/".join(parts), kind="clip", labels=readout.labels if readout is not None else ())
        text = self.model.config.get_text_config()
        self._longest = min(text.max_position_embeddings, self._tokenizer.model_max_length)
        pad = text.pad_token_id if text.pad_token_id is not None else self._tokenizer.pad_token_id
        self._pad = 0 if pad is None else pad
        self._full: bool | None = None

    def refuse_other_input(self, adapted: ClipView, adapted_id: str) -> None:
        """Refuse an adapted model that prepares images or texts otherwise.

        Raises
        ------
        InputError
            Names what differs.
        """
        if tokenizer_hash(self._tokenizer) != tokenizer_hash(adapted._tokenizer):
            raise InputError(f"{adapted_id}: its tokenizer is not that of the base; answers are not comparable")
        refuse_other_processor(self._processor, adapted._processor, adapted_id)

    def treatment(self, question: str, items: Sequence[Item]) -> str:
        """Say how many texts were cut at the context."""
        if question != "embedding":
            return ""  # classes are asked of images
        texts = [text for item in items for text in (item.pair or (item.text,)) if text]
        if not texts:
            return ""
        lengths = [len(ids) for ids in self._tokenizer(texts, verbose=False)["input_ids"]]
        longer = sum(length > self._longest for length in lengths)
        if not longer:
            return ""
        return (
            f"{longer} of {len(texts)} texts are longer than the {self._longest} tokens that this model reads: "
            "what is beyond was cut off."
        )

    def _answer(self, question: str, items: Sequence[Item]) -> Array:
        images = items[0].image is not None
        if question == "embedding":
            return self._images(question, items) if images else answer_texts(question, items, self._texts)
        if question in ("probabilities", "logits"):
            if self._readout is None:
                raise NotMeasurable(question, "it needs names of classes and a prompt")
            anchors = self._texts([self._readout.named(label) for label in self.labels])
            logits = float(self.model.logit_scale.exp()) * self._images(question, items) @ anchors.T
            return logits if question == "logits" else softmax(logits)
        raise NotMeasurable(question, "a model of kind 'clip' does not answer it")

    def _images(self, question: str, items: Sequence[Item]) -> Array:
        def answer(pixels: torch.Tensor) -> torch.Tensor:
            return directions(self.model.get_image_features(pixel_values=pixels))

        device, dtype = self.model.device, self.model.dtype
        return image_rows(question, items, self._processor, answer, device, dtype, self.progress)

    def _texts(self, texts: list[str]) -> Array:
        sequences = self._tokenizer(texts, truncation=True, max_length=self._longest)["input_ids"]
        if self._full is None:
            self._full = self._looks_at_padding(min(sequences, key=len))
        if self._full:
            sequences = [one + [self._pad] * (self._longest - len(one)) for one in sequences]
        return text_rows(self._tower, sequences, self._pad, self.model.device, self.progress)

    def _tower(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return directions(self.model.get_text_features(input_ids=ids, attention_mask=mask))

    def _looks_at_padding(self, ids: list[int]) -> bool:
        """Tell whether padding changes a text's vector, as in SigLIP: then every text is padded to the full length."""
        ids = ids[: self._longest - 1]
        alone, beside = (
            self._tower(*padded(texts, self._pad, self.model.device)) for texts in ([ids], [ids, [*ids, self._pad]])
        )
        return not torch.allclose(alone[0], beside[0], atol=1e-5)


def directions(output: Any) -> torch.Tensor:
    """The projected vector of a tower's output, at length 1."""
    vectors = output if isinstance(output, torch.Tensor) else output.pooler_output
    return torch.nn.functional.normalize(vectors, dim=-1)
