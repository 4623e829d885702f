"""Null copies of a base: changed by nothing that anybody would call a change, so that what they show is the floor."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import torch

from audit.models.ask import ModelView, Readout
from audit.models.clip import ClipView
from audit.models.headed import HeadedView
from audit.models.load import load_base
from audit.models.source import Source
from audit.models.text import TextView
from audit.models.vision import ImageView
from audit.models.weights import Dtype
from audit.view import Kind

__all__ = ["COPIES", "null_copies"]

SPREADS = 1e-4  # of the standard deviation of a tensor
RANK = 8  # of the zero adapter


def null_copies(
    source: Source, kind: Kind, readout: Readout | None = None, dtype: Dtype = "float32"
) -> Iterator[tuple[str, ModelView]]:
    """Load null copies of a base, one after another.

    Parameters
    ----------
    source : Source
    kind : {"encoder", "sentence_encoder", "causal", "vision", "clip"}
    readout : Readout, optional
        How a model without a head is asked for a class.
    dtype : {"float32", "bfloat16"}

    Yields
    ------
    name : str
        One of ``COPIES``. The zero adapter is left out where there is no linear layer that takes one.
    view : ModelView
        Asked before the next copy is drawn: one model is in memory at a time, and a copy that has been passed is
        emptied. Its id is the base's and the copy's name.

    Raises
    ------
    InputError
        If weights are missing, or the model is of another kind.

    Notes
    -----
    Parameters change, one that is tied to another once; buffers (positions, running means), and the dense layer that
    a sentence encoder may have behind its pooling, stay. Noise is drawn from the weights' own hash.
    """
    for name, change in _CHANGES.items():
        view = load_base(source, kind, readout, dtype)
        view.id = f"{view.id}/null: {name}"
        model = _model(view)
        if change(model, source.sha256):
            try:
                yield name, view
            finally:
                _empty(view, model)
        else:
            _empty(view, model)


def _model(view: ModelView) -> Any:
    """All that a view asks."""
    if isinstance(view, HeadedView):
        return _model(view.view)
    assert isinstance(view, (TextView, ImageView, ClipView))
    return view._network.model if isinstance(view, TextView) else view.model


def _empty(view: ModelView, model: torch.nn.Module) -> None:
    """Give the memory back, though whoever drew the copy may still hold it, and let it answer nothing more."""
    model.to("meta")
    for one in (view, view.view, view.reader) if isinstance(view, HeadedView) else (view,):
        one._switched = _passed


def _passed() -> AbstractContextManager[Any]:
    raise RuntimeError("this null copy has been passed: its weights are gone")


# --- what is done to a copy: whether it could be ----------------------------------------------------------------------


def _nothing(model: torch.nn.Module, seed: str) -> bool:
    return True


def _rounded(model: torch.nn.Module, seed: str) -> bool:
    for tensor in _tensors(model).values():
        tensor.copy_(tensor.to(torch.bfloat16))
    return True


def _noisy(model: torch.nn.Module, seed: str) -> bool:
    for name, tensor in _tensors(model).items():
        spread = tensor.float().std(correction=0)
        if spread > 0:
            digest = hashlib.sha256(f"{seed} {name}".encode()).digest()
            drawn = torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)
            noise = torch.randn(tensor.shape, generator=drawn).to(tensor.device)
            tensor.copy_(tensor + SPREADS * spread * noise)
    return True


def _with_zero_adapter(model: torch.nn.Module, seed: str) -> bool:
    """Put an untrained LoRA on every linear layer: what it adds is zero, but it is computed."""
    from peft import LoraConfig, inject_adapter_in_model

    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="fan_in_fan_out")  # it is set as the layers need it
        try:
            inject_adapter_in_model(LoraConfig(r=RANK, target_modules="all-linear"), model)
        except ValueError:  # there is none, or none that takes one
            return False
    model.eval()
    return True


def _tensors(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Parameters that hold numbers, each once."""
    return {name: one.detach() for name, one in model.named_parameters() if one.is_floating_point()}


_CHANGES: dict[str, Callable[[torch.nn.Module, str], bool]] = {
    "asked again": _nothing,
    "bfloat16 round trip": _rounded,
    "noise of 1e-4": _noisy,
    "zero adapter": _with_zero_adapter,
}
COPIES = tuple(_CHANGES)
"""Names of the copies, in order: what is absent from what was yielded was left out."""
