"""The training itself: rows, groups of parameters and penalties in, trained weights and a loss curve out."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pandas as pd
import torch
from transformers import PrinterCallback, TrainingArguments

from audit.adapt.loop import Course, Fit, Report
from audit.adapt.resume import Checkpoints
from audit.models.batch import Progress
from audit.models.ranks import launched
from audit.models.weights import best_device
from audit.recipe import Gradient
from audit.recipe.adapt import Domain

__all__ = ["Group", "Penalty", "Stop", "fit"]


@dataclass(frozen=True)
class Group:
    """Parameters that are trained at one rate, from one epoch on.

    Attributes
    ----------
    names : tuple of str
        As in ``model.named_parameters()``.
    learning_rate : float
    from_epoch : int
        Until then they stay bit for bit.
    """

    names: tuple[str, ...]
    learning_rate: float
    from_epoch: int = 0


class Penalty(Protocol):
    """What is added to the loss of a batch; ``weight_of_task`` (of replay below 1) scales the task's own loss."""

    @property
    def name(self) -> str:
        """Its column in the loss curve."""

    @property
    def weight_of_task(self) -> float:
        """By what the loss of the task is multiplied; where it is 1, nothing is."""

    def __call__(self, model: Any, step: int) -> torch.Tensor:
        """Return a scalar; whatever it draws depends on the step alone, so that a resumed training draws the same."""


class Stop(Protocol):
    """What is asked at the end of every epoch whether training went too far."""

    def __call__(self, model: Any, epoch: int) -> bool:
        """Return whether the weights of the epoch before are kept, and training ends; epochs count from 0."""


def fit(
    model: Any,
    rows: Sequence[Any],
    collate: Callable[[Sequence[Any]], dict[str, torch.Tensor]],
    settings: Gradient | Domain,
    groups: Sequence[Group],
    *,
    seed: int,
    penalties: Sequence[Penalty] = (),
    stop: Stop | None = None,
    anchored: Collection[str] = (),
    fingerprint: str = "",
    checkpoints: Path | None = None,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Train a model in place and return its loss curve.

    Parameters
    ----------
    model
        What it returns has a ``loss``. Its parameters in no group stay bit for bit, and so does what a batch norm of
        them remembers.
    rows : sequence
        Those that have a method ``set_epoch`` are told the epoch before they are read.
    collate : callable
        From rows to a batch.
    settings : Gradient or Domain
        Epochs, batch size (over all ranks), weight decay (none on biases and norms), warm-up.
    groups : sequence of Group
    seed : int
        Of the order of rows and of dropout.
    penalties : sequence of Penalty
    stop : Stop, optional
    anchored : collection of str
        Parameters that a penalty holds where they were: it stands in place of the decay to 0, which they have not.
    fingerprint : str
        Of what is trained, and on what: a checkpoint of another is not gone on with.
    checkpoints : Path, optional
        Where a training that is called again with the same arguments finds how far it came; it ends with the same
        weights and the same curve, bit for bit, as one that was never interrupted. Gone when training is done.
    progress : callable, optional
        Told steps done and steps in all.

    Returns
    -------
    DataFrame
        One row a step: ``step``, ``epoch`` (how many are done), ``loss`` of the task, ``learning_rate`` (the highest),
        and the value of each penalty under its name.

    Raises
    ------
    InputError
        If the loss is not finite.

    Notes
    -----
    The rate rises linearly over the share ``warmup`` of the steps, then falls linearly to 0; gradients are clipped to
    length 1. On several ranks each takes its share of a batch; where tokens have labels of their own, each share
    counts by how many it has, so that the loss is the mean over the tokens of the batch, as on one rank.
    """
    ranks = 1 if launched() is None else launched().num_processes
    with tempfile.TemporaryDirectory() as scratch:
        arguments = TrainingArguments(
            output_dir=scratch,
            per_device_train_batch_size=-(-settings.batch_size // ranks),
            num_train_epochs=settings.epochs,
            learning_rate=settings.learning_rate,
            weight_decay=settings.weight_decay,
            warmup_steps=settings.warmup,
            max_grad_norm=1.0,
            seed=seed,
            data_seed=seed,
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            logging_strategy="no",
            logging_nan_inf_filter=False,  # a loss that is not finite ends the training
            average_tokens_across_devices=False,  # it would multiply penalties, and losses that count no tokens
            use_cpu=best_device().type == "cpu",
            dataloader_pin_memory=False,
            remove_unused_columns=False,
        )
        said = [fingerprint, seed, len(rows), ranks, settings, groups, sorted(anchored)]
        said += [[one.name for one in penalties], stop is not None]
        kept = None if checkpoints is None else Checkpoints(checkpoints, said)
        config: Any = getattr(model, "config", None)
        cached = getattr(config, "use_cache", None)  # which a Trainer switches off, for the checkpoint as well
        trainer = Fit(
            groups, penalties, kept, anchored, model=model, args=arguments, train_dataset=rows, data_collator=collate
        )
        trainer.remove_callback(PrinterCallback)
        trainer.add_callback(Course(trainer, rows, stop))
        trainer.add_callback(Report(progress))
        found = None if kept is None else kept.latest()
        trainer.train(resume_from_checkpoint=None if found is None else str(found))
    if cached is not None:
        config.use_cache = cached
    model.zero_grad()
    model.cpu()
    if kept is not None:
        kept.remove()
    columns = ["step", "epoch", "loss", "learning_rate", *(one.name for one in penalties)]
    return pd.DataFrame(trainer.state.log_history, columns=columns)
