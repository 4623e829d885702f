"""General items asked again while a model is trained: what the base says to them, and what it read in them."""

from __future__ import annotations

from typing import Any

import torch

from audit.adapt.body import quiet
from audit.adapt.general import TOGETHER, General, drawn
from audit.errors import InputError

__all__ = ["Distillation", "Rehearsal", "divergence"]

PLACES = 8  # of a text at which the base's whole distribution is kept: 4 bytes a token of the vocabulary and place
SHARP = 20.0  # times a cosine is a logit: the scale at which sentence encoders are trained
KL, REPLAY = 1, 2  # two draws of one step are not the same


def divergence(base: torch.Tensor, model: torch.Tensor, temperature: float) -> torch.Tensor:
    """Divergence of what a model says from what its base says, at a temperature T: T² KL(base || model), in nats.

    Parameters
    ----------
    base, model : tensor, shape (n, choices)
        Logits, or log-probabilities.
    temperature : float
        Above 1, what is unlikely counts for more; the factor T² keeps the gradient's size.

    Returns
    -------
    tensor
        Mean over the rows.

    Notes
    -----
    Hinton et al., arXiv 1503.02531; Li & Hoiem, ECCV 2016. As T grows it becomes half the variance of the difference of
    the logits over the choices.

    Examples
    --------
    >>> one, other = torch.tensor([[[0.0, 2.0]], [[0.0, 1.0]]], dtype=torch.float64)
    >>> [round(divergence(one, other, temperature).item(), 3) for temperature in (1, 1000)]
    [0.067, 0.125]
    """
    ours, theirs = ((logits / temperature).log_softmax(-1) for logits in (base, model))
    return temperature**2 * torch.nn.functional.kl_div(theirs, ours, reduction="batchmean", log_target=True)


class Distillation:
    """Strength times the divergence of what the model says to general items from what the base says.

    Parameters
    ----------
    general : General
        With the base, which is asked once: about a text's `PLACES` tokens (next ones, or hidden ones), about classes,
        or for vectors. Of vectors, what is compared is which other item of the draw is nearest: a softmax of 20 times
        the cosines.
    strength, temperature : float
    size : int
        Items of every step, drawn by seed and step.
    seed : int

    Notes
    -----
    Li & Hoiem, ECCV 2016 (the base as the teacher of itself); Fang et al., ICLR 2021 (similarities). Both sides are
    asked without dropout, so that a model that is still the base is at 0 and nothing is drawn from the training's
    random numbers.
    """

    name, weight_of_task = "kl", 1.0

    def __init__(self, general: General, strength: float, temperature: float, size: int, seed: int) -> None:
        self._general, self._strength, self._temperature = general, strength, temperature
        self._size, self._seed = size, seed
        if general.says == "vectors" and min(size, len(general.items)) < 3:
            raise InputError("[adapt.protect] kl: it asks which of two other items is nearer, which takes 3 a batch")
        with torch.no_grad():
            self._base = [self._said(general.base, [row]).cpu() for row in range(len(general.items))]

    def _said(self, model: Any, rows: list[int]) -> torch.Tensor:
        """Logits of tokens or classes, or vectors; those of words are asked at the same places every time."""
        if self._general.says == "classes":
            return self._general.classes(model, rows)
        if self._general.says == "vectors":
            return self._general.vectors(model, rows)
        asked = self._general.questions(rows, (self._seed,), PLACES)
        return self._general.words(model, asked.ids, asked.mask, asked.at)

    def __call__(self, model: Any, step: int) -> torch.Tensor:
        """Divergence on the items of one step, times the strength; a scalar in nats."""
        rows = drawn(self._seed, step, len(self._general.items), self._size, KL)
        with quiet(model):
            said = self._said(model, rows)
        base = torch.cat([self._base[row] for row in rows]).to(said.device)
        if self._general.says == "vectors":
            base, said = _nearness(base), _nearness(said)
        return self._strength * divergence(base, said, self._temperature)


def _nearness(vectors: torch.Tensor) -> torch.Tensor:
    """Logits of which other item is nearest, (n, d) -> (n, n - 1)."""
    directions = torch.nn.functional.normalize(vectors, dim=-1)
    others = ~torch.eye(len(vectors), dtype=torch.bool, device=vectors.device)
    return (SHARP * directions @ directions.T)[others].view(len(vectors), -1)


class Rehearsal:
    """A share of every batch that is general items, learnt as the base once learnt such.

    What is learnt is the next token, or tokens that are hidden anew in every step under the base's own head, which
    stays as it is. A base without a language-model head has no such lesson: its vectors are rehearsed in its place,
    by the mean squared distance from what they were, in units of the base's mean squared length.

    Parameters
    ----------
    general : General
        With the base.
    share : float
        Of a batch of ``size`` items of the task and as many general ones as that takes; the loss is
        (1 - share) x task + share x rehearsal.
    size : int
        Items of the task in a batch.
    seed : int

    Notes
    -----
    Robins, Connection Science 1995 (rehearsal, and pseudo-rehearsal of a model's own answers). Asked without dropout,
    as `Distillation`.
    """

    name = "replay"

    def __init__(self, general: General, share: float, size: int, seed: int) -> None:
        self._general, self._share, self._seed = general, share, seed
        self.weight_of_task = 1 - share
        self.size = max(1, round(size * share / (1 - share)))
        if general.says != "words":
            with torch.no_grad():
                rows = range(len(general.items))
                parts = [general.vectors(general.base, rows[at : at + TOGETHER]) for at in rows[::TOGETHER]]
            self._base = torch.cat(parts).float()
            self._length = self._base.square().sum(-1).mean()

    def rows(self, step: int) -> list[int]:
        """Items of one step."""
        return drawn(self._seed, step, len(self._general.items), self.size, REPLAY)

    def __call__(self, model: Any, step: int) -> torch.Tensor:
        """Loss of the rehearsal at one step, times its share; a scalar, in nats a token where it is of words."""
        rows = self.rows(step)
        with quiet(model):
            if self._general.says != "words":
                moved = self._general.vectors(model, rows).float() - self._base[rows].to(self._base.device)
                return self._share * moved.square().sum(-1).mean() / self._length
            asked = self._general.questions(rows, (self._seed, step))
            logits = self._general.words(model, asked.ids, asked.mask, asked.at)
        return self._share * torch.nn.functional.cross_entropy(logits, asked.answers)
