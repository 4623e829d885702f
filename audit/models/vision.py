"""A vision model as a view."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoModel, AutoModelForImageClassification

from audit.errors import InputError
from audit.models.ask import ModelView
from audit.models.images import image_rows, load_processor
from audit.models.network import Network
from audit.models.outputs import shares
from audit.models.source import Source
from audit.models.weights import Dtype, labels_of, load_config, load_weights, refuse_made_up
from audit.view import Item, NotMeasurable

__all__ = ["ImageView", "load_vision", "patch_means"]

Array = NDArray[np.float64]


def load_vision(source: Source, dtype: Dtype = "float32") -> Network:
    """Load a vision model through the class that its file was saved from.

    Raises
    ------
    InputError
        If tensors are missing.
    """
    if any(name.endswith("ForImageClassification") for name in load_config(source).architectures or []):
        model, missing = load_weights(AutoModelForImageClassification, source, dtype)
        refuse_made_up(source, missing)
        return Network(model.base_model, classes=model)
    model, missing = load_weights(AutoModel, source, dtype)
    refuse_made_up(source, {name for name in missing if not name.startswith("pooler.")})
    return Network(model)


class ImageView(ModelView):
    """A vision model as a view.

    Parameters
    ----------
    network : Network
    source : Source
        Where it came from; holds the image processor.
    labels : sequence of str, optional
        Of the classification head; by default those of the source's config.
    switched : callable, optional
        See `ModelView`.
    id : str, optional
        Hash of the weights, where they are not the source's alone.

    Notes
    -----
    ``embedding`` is the mean of the last hidden state over patches (or over the feature map), ``layer_means`` the same
    of every layer. Layers of a convolutional network differ in width: narrower ones are filled with zeros, which
    changes no distance, angle or kernel.
    """

    def __init__(
        self,
        network: Network,
        source: Source,
        labels: Sequence[str] | None = None,
        switched: Callable[[], AbstractContextManager[Any]] = nullcontext,
        id: str | None = None,
    ) -> None:
        self._network, self._processor = network, load_processor(source)
        dtype = str(network.model.dtype).removeprefix("torch.")
        labels = labels_of(source) if labels is None else labels
        super().__init__(id=f"{id or source.sha256}/{dtype}", kind="vision", labels=labels, switched=switched)

    @property
    def model(self) -> Any:
        """The loaded model."""
        return self._network.model

    def refuse_other_pixels(self, adapted: ImageView, adapted_id: str) -> None:
        """Refuse an adapted model that prepares its images otherwise.

        Raises
        ------
        InputError
            Names the first setting that differs.
        """
        refuse_other_processor(self._processor, adapted._processor, adapted_id)

    def _answer(self, question: str, items: Sequence[Item]) -> Array:
        if question in ("probabilities", "logits"):
            if not self.labels:
                raise NotMeasurable(question, "this model has no trained classification head")
            logits = self._rows(question, items, lambda pixels: self._network.classes(pixel_values=pixels).logits)
            return logits if question == "logits" else shares(logits, self._network.classes.config)
        if question == "embedding":
            return self._rows(
                question,
                items,
                lambda pixels: patch_means(self._network.backbone(pixel_values=pixels).last_hidden_state),
            )
        if question == "layer_means":
            return self._rows(question, items, self._layers)
        raise NotMeasurable(question, "a model of kind 'vision' does not answer it")

    def _rows(self, question: str, items: Sequence[Item], answer: Any) -> Array:
        model = self._network.model
        return image_rows(question, items, self._processor, answer, model.device, model.dtype, self.progress)

    def _layers(self, pixels: torch.Tensor) -> torch.Tensor:
        layers = self._network.backbone(pixel_values=pixels, output_hidden_states=True).hidden_states
        means = [patch_means(layer) for layer in layers]
        widest = max(layer.shape[-1] for layer in means)
        return torch.stack([torch.nn.functional.pad(layer, (0, widest - layer.shape[-1])) for layer in means], dim=1)


def patch_means(hidden: torch.Tensor) -> torch.Tensor:
    """Average over patches (n, s, d), or over the places of a feature map (n, d, height, width)."""
    return hidden.mean(1) if hidden.ndim == 3 else hidden.flatten(2).mean(2)


def refuse_other_processor(base: Any, adapted: Any, adapted_id: str) -> None:
    """Refuse image processors that prepare an image differently.

    Raises
    ------
    InputError
        Names the first setting that differs.
    """
    ours, theirs = base.to_dict(), adapted.to_dict()
    for field in sorted(ours.keys() | theirs.keys()):
        if not field.endswith(("processor_type", "processor_class")) and ours.get(field) != theirs.get(field):
            raise InputError(
                f"{adapted_id}: its image processor has {field} = {theirs.get(field)!r} where the base's has "
                f"{ours.get(field)!r}; answers would not be comparable"
            )
