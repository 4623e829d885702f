"""The training itself: rows, groups of parameters and penalties in, trained weights and a loss curve out."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pandas as pd
import torch
from transformers import (
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from audit.models.batch import Progress
from audit.models.weights import best_device
from audit.recipe import Gradient
from audit.recipe.adapt import Domain

__all__ = ["Group", "Penalty", "fit"]


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
    """What is added to the loss of a batch."""

    @property
    def name(self) -> str:
        """Its column in the loss curve."""

    def __call__(self, model: Any, step: int) -> torch.Tensor:
        """Return a scalar; whatever it draws depends on the step alone, so that a resumed training draws the same."""


def fit(
    model: Any,
    rows: Sequence[Any],
    collate: Callable[[Sequence[Any]], dict[str, torch.Tensor]],
    settings: Gradient | Domain,
    groups: Sequence[Group],
    *,
    seed: int,
    penalties: Sequence[Penalty] = (),
    checkpoints: Path | None = None,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Train a model in place and return its loss curve."""
    with tempfile.TemporaryDirectory() as scratch:
        arguments = TrainingArguments(
            output_dir=scratch,
            per_device_train_batch_size=settings.batch_size,
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
            use_cpu=best_device().type == "cpu",
            dataloader_pin_memory=False,
            remove_unused_columns=False,
        )
        trainer = Trainer(
            model=model,
            args=arguments,
            train_dataset=rows,
            data_collator=collate,
            callbacks=[_Report(progress)] if progress else None,
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    model.cpu()
    return pd.DataFrame()


class _Report(TrainerCallback):
    """Tell how many steps are done."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self.progress(state.global_step, state.max_steps)
