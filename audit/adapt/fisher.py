"""How much each weight of a base matters to what it says about general items: its Fisher information."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from audit.adapt.body import quiet
from audit.adapt.general import General
from audit.models.source import Source, cache_folder
from audit.view import fingerprint

__all__ = ["fisher", "fisher_of_base", "mean_squares"]

VERSION = 1  # of what is computed: a stored one of another version is not read

Drawn = Callable[[int, torch.Generator], torch.Tensor]
"""From an item's number to the log-likelihood of an answer drawn from the model itself, a scalar."""


def mean_squares(
    model: torch.nn.Module, log_likelihood: Drawn, count: int, generator: torch.Generator
) -> dict[str, torch.Tensor]:
    """Diagonal of the Fisher information: squares of the gradients of one example at a time, averaged.

    Parameters
    ----------
    model : Module
    log_likelihood : callable
        Of an answer that the model itself gave (drawn with the generator) to an example; differentiable.
    count : int
        Examples.
    generator : Generator

    Returns
    -------
    dict of str to tensor
        A value a parameter, in its shape, 0 where it has no say in the answers.

    Notes
    -----
    With answers drawn from the model this estimates the Fisher information itself; with the true labels it would be the
    "empirical" one, which is another thing (Kunstner et al., NeurIPS 2019). The square of a batch's mean gradient is
    smaller, by about the size of the batch.
    """
    parameters = dict(model.named_parameters())
    squares = {name: torch.zeros_like(one) for name, one in parameters.items()}
    with quiet(model), torch.enable_grad():
        for number in range(count):
            said = log_likelihood(number, generator)
            gradients = torch.autograd.grad(said, list(parameters.values()), allow_unused=True)
            for square, gradient in zip(squares.values(), gradients, strict=True):
                if gradient is not None:
                    square.addcmul_(gradient, gradient, value=1 / count)
    return squares


def fisher(general: General, seed: int) -> dict[str, torch.Tensor]:
    """Fisher information of a base on general items, of mean 1 over all its parameters.

    Of a base with a language-model head, about its tokens: the next ones of a text, or the hidden ones, each drawn from
    what the base expects there. Of a base with a trained head for classes, about its classes. Of any other, about the
    vector h(x) of an item, as the mean of a Gaussian of unit variance: the gradient of ε · h(x) with ε ~ N(0, I), whose
    expected square is Σ_k (∂h_k / ∂w)².

    Parameters
    ----------
    general : General
        With the base.
    seed : int
        Of what is hidden and what is drawn.

    Returns
    -------
    dict of str to tensor
        By the names of the base's own parameters.
    """
    base: Any = general.base
    said = {"words": _words, "classes": _classes, "vectors": _vectors}[general.says]
    generator = torch.Generator().manual_seed(seed)
    squares = mean_squares(base, lambda row, draw: said(general, row, seed, draw), len(general.items), generator)
    total = sum(float(one.double().sum()) for one in squares.values())
    mean = total / sum(one.numel() for one in squares.values())
    return {name: one / mean if mean else one for name, one in squares.items()}


def _words(general: General, row: int, seed: int, generator: torch.Generator) -> torch.Tensor:
    asked = general.questions([row], (seed,))
    return _own_answer(general.words(general.base, asked.ids, asked.mask, asked.at), generator)


def _classes(general: General, row: int, seed: int, generator: torch.Generator) -> torch.Tensor:
    return _own_answer(general.classes(general.base, [row]), generator)


def _vectors(general: General, row: int, seed: int, generator: torch.Generator) -> torch.Tensor:
    vector = general.vectors(general.base, [row])[0]
    return vector @ torch.randn(vector.shape, generator=generator).to(vector)


def _own_answer(logits: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Log-likelihood of answers drawn from logits, shape (m, choices), added up."""
    sure = logits.log_softmax(-1)
    answers = torch.multinomial(sure.detach().exp().cpu(), 1, generator=generator).to(sure.device)
    return sure.gather(-1, answers).sum()


# --- remembered -------------------------------------------------------------------------------------------------------


def fisher_of_base(base: Source, general: General, seed: int) -> tuple[dict[str, torch.Tensor], str]:
    """Compute the Fisher information of a base, or read the one that was computed before.

    Returns
    -------
    importance : dict of str to tensor
        As `fisher`.
    sha256 : str
        Of the file that holds it.
    """
    read = "images" if general.images else str(general.sequences)
    parts = [base.sha256, fingerprint(general.items), general.kind, str(seed), read, str(VERSION)]
    key = hashlib.sha256("\n".join(parts).encode()).hexdigest()
    path = cache_folder() / "fisher" / f"{key}.safetensors"
    if not path.is_file():
        _write({name: one.cpu().contiguous() for name, one in fisher(general, seed).items()}, path)
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return load_file(path, device=str(general.device)), digest


def _write(tensors: dict[str, torch.Tensor], path: Path) -> None:
    """Write it whole or not at all; another process may write the same."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".tmp-")
    os.close(handle)
    try:
        save_file(tensors, temporary)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
