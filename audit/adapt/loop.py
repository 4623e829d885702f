"""The loop of a training: transformers' Trainer, with groups that thaw, penalties, and checkpoints to go on from."""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file, save_file
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from audit.adapt.resume import Checkpoints, put_back, weights_of
from audit.adapt.rows import SILENT
from audit.errors import InputError
from audit.models.batch import Progress
from audit.models.ranks import agreed

if TYPE_CHECKING:
    from audit.adapt.fit import Group, Penalty, Stop

__all__ = ["Course", "Fit", "Report"]

SECONDS = 60.0
"""Wall time between two checkpoints; an epoch that takes longer ends with one."""
NOW, BEFORE = "trained.safetensors", "epoch-before.safetensors"


class Fit(Trainer):
    """A Trainer with groups, penalties and checkpoints; with one group and nothing else, the Trainer itself.

    The loss curve is the log of its state: it is saved, and resumed, with it.
    """

    def __init__(
        self,
        groups: Sequence[Group],
        penalties: Sequence[Penalty],
        checkpoints: Checkpoints | None,
        anchored: Collection[str] = (),
        **settings: Any,
    ) -> None:
        super().__init__(**settings)
        self.network: Any = settings["model"]  # which is never wrapped
        self.groups, self.penalties, self.checkpoints, self.anchored = groups, penalties, checkpoints, set(anchored)
        self.names = [name for group in groups for name in group.names]
        self.before: dict[str, torch.Tensor] = {}  # the weights of the epoch before, where training may go back
        self._said: dict[str, torch.Tensor] = {}
        self._share: torch.Tensor | None = None
        self._still: list[Any] = []
        self._writing: Path | None = None
        trained = set(self.names)
        for name, parameter in self.network.named_parameters():
            parameter.requires_grad_(name in trained)

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """Build the groups of all epochs at once: what is added to an optimizer's model later is not trained."""
        named = dict(self.network.named_parameters())
        decaying = set(self.get_decay_parameter_names(self.network)) - self.anchored
        parts: list[dict[str, Any]] = []
        for group in self.groups:
            inside = [named[name] for name in named if name in set(group.names) & decaying]
            beside = [named[name] for name in named if name in set(group.names) - decaying]
            for chosen, decay in ((inside, self.args.weight_decay), (beside, 0.0)):
                parts += [{"params": chosen, "weight_decay": decay, "lr": group.learning_rate}] if chosen else []
        made, settings = self.get_optimizer_cls_and_kwargs(self.args, self.network)
        self.optimizer: Any = made(parts, **settings)
        return self.optimizer  # type: ignore[no-any-return]

    def thaw(self, epoch: int) -> None:
        """Let train what trains in an epoch; all else has no gradients, and a batch norm of it no batch statistics."""
        named = dict(self.network.named_parameters())
        for group in self.groups:
            for name in group.names:
                named[name].requires_grad_(epoch >= group.from_epoch)
        normed = [part for part in self.network.modules() if getattr(part, "running_mean", None) is not None]
        own = [(part, list(part.parameters())) for part in normed]
        self._still = [part for part, some in own if some and not any(one.requires_grad for one in some)]

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Compute the loss of a batch and log it; refuse one that is not finite before a weight has changed."""
        for part in self._still:
            part.eval()
        self._said, self._share = {}, self._tokens(inputs["labels"], num_items_in_batch)
        # inside of whatever wraps the model, so that gradients of penalties are averaged over ranks like all others
        asked = bool(self.penalties) or self._share is not None
        hook = self.network.register_forward_hook(self._penalise) if asked else None
        try:
            loss: Any = super().compute_loss(model, inputs, num_items_in_batch=num_items_in_batch)
        finally:
            if hook is not None:
                hook.remove()
        said = self._said or {"loss": loss.detach()}
        values: torch.Tensor = self.accelerator.reduce(torch.stack(list(said.values())), "mean")
        logged = dict(zip(said, values.tolist(), strict=True))  # the same on every rank: all of them stop, or none
        step, rate = self.state.global_step + 1, max(group["lr"] for group in self.optimizer.param_groups)
        if not all(map(math.isfinite, logged.values())):
            raise InputError(
                f"seed {self.args.seed}: the loss is not finite at step {step}: "
                f"lower [adapt] learning_rate = {self.args.learning_rate:g}"
            )
        epoch = step * self.args.num_train_epochs / self.state.max_steps
        row = {"step": step, "epoch": epoch, "loss": logged.pop("loss"), "learning_rate": rate}
        self.state.log_history.append(row | logged)
        return (loss, None) if return_outputs else loss

    def _tokens(self, labels: torch.Tensor, counted: Any) -> torch.Tensor | None:
        """How many labelled tokens this rank has to its mean over the ranks; None where each counts alike."""
        if self.accelerator.num_processes == 1 or labels.ndim < 2 or labels.is_floating_point():
            return None
        own = torch.as_tensor((labels != SILENT).sum() if counted is None else counted, device=labels.device).float()
        mean: torch.Tensor = self.accelerator.reduce(own, "mean")
        return own / mean

    def _penalise(self, model: Any, _: Any, output: Any) -> None:
        """Add the penalties to the loss that a model is about to return; what they ask the model is not penalised."""
        if self._said:
            return
        if self._share is not None:
            output["loss"] = self._share * output["loss"]
        self._said = {"loss": output["loss"].detach()}
        for penalty in self.penalties:
            if penalty.weight_of_task != 1:
                output["loss"] = penalty.weight_of_task * output["loss"]
        for penalty in self.penalties:
            added = penalty(model, self.state.global_step)
            self._said[penalty.name] = added.detach()
            output["loss"] = output["loss"] + added

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Keep summaries out of the loss curve."""

    # --- checkpoints: the Trainer's own, but for the weights, of which only those are written that training changes ---

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        assert self.checkpoints is not None
        with self.checkpoints.writing(self.state.global_step) as self._writing:
            super()._save_checkpoint(model, trial)

    def _get_output_dir(self, trial: Any) -> str:
        return str(self._writing or self.args.output_dir)

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        assert output_dir is not None
        folder = Path(output_dir)
        folder.mkdir(exist_ok=True)
        save_file(weights_of(self.network, self.names), folder / NOW)
        save_file(self.before, folder / BEFORE)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        folder = Path(resume_from_checkpoint)
        put_back(self.network, load_file(folder / NOW))
        self.before = load_file(folder / BEFORE)


class Course(TrainerCallback):
    """What happens between steps: groups thaw, rows are told the epoch, training is saved, or goes back and stops."""

    def __init__(self, fit: Fit, rows: Any, stop: Stop | None) -> None:
        self.fit, self.rows, self.stop = fit, rows, stop
        self.saved = self.began = time.monotonic()

    def on_epoch_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Begin an epoch, or go on with it."""
        epoch, done = divmod(state.global_step, _steps(state))
        self.began = time.monotonic()
        self.fit.thaw(epoch)
        if hasattr(self.rows, "set_epoch"):
            self.rows.set_epoch(epoch)
        if self.stop is not None and not done:
            self.fit.before = weights_of(self.fit.network, self.fit.names)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Save now and then, but what ends an epoch only once it is known whether training goes on."""
        if self.fit.checkpoints is not None and state.global_step % _steps(state):
            control.should_save = agreed(time.monotonic() - self.saved >= SECONDS)

    def on_epoch_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Ask whether the epoch went too far; save if it was long."""
        if self.stop is not None and agreed(self.stop(self.fit.network, state.global_step // _steps(state) - 1)):
            put_back(self.fit.network, self.fit.before)
            control.should_training_stop = True
        elif self.fit.checkpoints is not None:
            control.should_save = agreed(time.monotonic() - min(self.saved, self.began) >= SECONDS)

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Count from here to the next."""
        self.saved = time.monotonic()


class Report(TrainerCallback):
    """Tell how many steps are done."""

    def __init__(self, progress: Progress | None) -> None:
        self.progress = progress

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Tell it after every step."""
        if self.progress is not None:
            self.progress(state.global_step, state.max_steps)


def _steps(state: TrainerState) -> int:
    """Return how many steps an epoch has."""
    return state.max_steps // state.num_train_epochs
