"""What is trained, of every kind of base and type of task: loaded under a fresh head, and written as others load it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoModelForImageClassification,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    set_seed,
)
from transformers.modeling_outputs import SequenceClassifierOutput

from audit.adapt.plan import Plan
from audit.adapt.rows import Units
from audit.errors import InputError
from audit.models.clip import load_clip
from audit.models.headed import write_head
from audit.models.network import load_network
from audit.models.pooling import read_pooling
from audit.models.source import Source, module_folders
from audit.models.tokens import load_tokenizer
from audit.models.weights import load_weights, refuse_made_up
from audit.recipe.task import Task, TaskType
from audit.view import Kind

__all__ = ["OnEmbedding", "on_embedding", "trainee", "write_trained"]

PROBLEM = {
    "single_label": "single_label_classification",
    "multi_label": "multi_label_classification",
    "regression": "regression",
}
IMAGES = ("preprocessor_config.json", "processor_config.json")
SENTENCES = ("modules.json", "sentence_bert_config.json", "config_sentence_transformers.json")


def trainee(plan: Plan, seed: int) -> tuple[Any, set[str]]:
    """Load what is trained, under a fresh head where the task needs one.

    Parameters
    ----------
    plan : Plan
    seed : int
        Of the head's initial values.

    Returns
    -------
    model
        What it returns has a ``loss``.
    new : set of str
        Names of the tensors that the base did not have.

    Raises
    ------
    InputError
        If weights are missing, or the architecture has no such head.
    """
    set_seed(seed)
    if plan.kind in ("sentence_encoder", "clip"):
        loaded = load_clip(plan.begins) if plan.kind == "clip" else load_network(plan.begins, plan.kind).model
        model = on_embedding(loaded, plan.begins, plan.kind, plan.task)
        return model, {name for name, _ in model.named_parameters() if name.startswith("head.")}
    if plan.kind == "causal":
        model, missing = load_weights(AutoModelForCausalLM, plan.begins)
        refuse_made_up(plan.begins, missing)
        return model, set()
    auto: Any = AutoModelForImageClassification if plan.kind == "vision" else AutoModelForSequenceClassification
    if plan.task.type == "tokens":
        auto = AutoModelForTokenClassification
    settings: dict[str, Any] = {"num_labels": 1}
    if plan.task.names:
        names = dict(enumerate(plan.task.names))
        settings = {"num_labels": len(names), "id2label": names, "label2id": {one: at for at, one in names.items()}}
    if plan.task.type in PROBLEM and plan.task.type != "single_label":
        settings["problem_type"] = PROBLEM[plan.task.type]
    return load_weights(auto, plan.begins, ignore_mismatched_sizes=True, **settings)


class OnEmbedding(torch.nn.Module):
    """A backbone under one linear layer on its embedding of a text or an image: for kinds without a class of their own.

    Parameters
    ----------
    backbone
        A transformers model.
    embed : callable
        From the backbone and a batch to vectors (n, d), as the kind's view answers ``embedding``.
    width : int
        d.
    unit : bool
        The vectors have length 1. They are multiplied by the root of d, so that a number of them is of size 1, for
        which a linear layer's initial values and learning rates are made.
    outputs : int
    task : {"single_label", "multi_label", "regression"}
    """

    base_model_prefix = "backbone"
    accepts_loss_kwargs = False  # of a Trainer: the loss is the mean of a batch

    def __init__(
        self,
        backbone: Any,
        embed: Callable[[Any, dict[str, torch.Tensor]], torch.Tensor],
        width: int,
        unit: bool,
        outputs: int,
        task: TaskType,
    ) -> None:
        super().__init__()
        self.backbone, self.task = backbone, task
        self.scale = width**0.5 if unit else 1.0
        self._embed = embed
        self.head = torch.nn.Linear(width, outputs).to(backbone.device)

    @property
    def config(self) -> Any:
        """The backbone's."""
        return self.backbone.config

    @property
    def base_model(self) -> Any:
        """The backbone."""
        return self.backbone

    @property
    def device(self) -> torch.device:
        """Where it is."""
        device: torch.device = self.head.weight.device
        return device

    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        pixel_values: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
    ) -> SequenceClassifierOutput:
        """Answer a batch of texts or images."""
        given = {"input_ids": input_ids, "attention_mask": attention_mask, "pixel_values": pixel_values}
        batch = {name: value for name, value in given.items() if value is not None}
        logits: torch.Tensor = self.head(self._embed(self.backbone, batch) * self.scale)
        loss: Any = None if labels is None else self._loss(logits, labels)
        return SequenceClassifierOutput(loss=loss, logits=logits)

    def _loss(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        if self.task == "regression":
            return torch.nn.functional.mse_loss(logits[:, 0], labels)
        if self.task == "multi_label":
            return torch.nn.functional.binary_cross_entropy_with_logits(logits, labels)
        return torch.nn.functional.cross_entropy(logits, labels)


def on_embedding(model: Any, base: Source, kind: Kind, task: Task) -> OnEmbedding:
    """Put a fresh head on a model of a kind without a class for it, and freeze what its embedding does not come of.

    Parameters
    ----------
    model
        With or without numbers: on the device ``meta`` it answers nothing.
    base : Source
        Whose pooling it has.
    kind : {"sentence_encoder", "clip"}
    task : Task
    """
    outputs = len(task.names) or 1
    if kind == "clip":
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(name.startswith(("vision_model.", "visual_projection.")))
        projected = getattr(model, "visual_projection", None)
        width = model.config.vision_config.hidden_size if projected is None else projected.out_features
        return OnEmbedding(model, _image_vectors, width, True, outputs, task.type)
    headed = model.base_model is not model
    for name, parameter in model.named_parameters():  # a pooler of its own, a head: no embedding comes of them
        below = name.removeprefix(f"{model.base_model_prefix}.")
        parameter.requires_grad_(not below.startswith("pooler.") and not (headed and below == name))
    device = torch.device("cpu") if model.device.type == "meta" else model.device
    pool = read_pooling(base, device)
    hidden = torch.ones(1, 2, model.config.get_text_config().hidden_size, device=device)
    made = pool(hidden, torch.ones(1, 2, dtype=torch.long, device=device))[0]
    unit = abs(float(made.norm()) - 1) < 1e-4

    def embed(under: Any, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        body = under.base_model if headed else under
        return pool(body(**batch).last_hidden_state, batch["attention_mask"])

    return OnEmbedding(model, embed, len(made), unit, outputs, task.type)


def _image_vectors(model: Any, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    made = model.get_image_features(**batch)
    return torch.nn.functional.normalize(made if isinstance(made, torch.Tensor) else made.pooler_output, dim=-1)


# --- writing ----------------------------------------------------------------------------------------------------------


def write_trained(plan: Plan, model: Any, folder: Path, units: Units | None = None) -> None:
    """Write what was trained, with all that it is read through, so that it loads as its base does.

    Parameters
    ----------
    plan : Plan
    model
        From `trainee`, on the CPU; or a PEFT model around it.
    folder : Path
        Exists and is empty. A model on an embedding is written as the checkpoint that its backbone was, with a head
        beside it (see `audit.models.headed`).
    units : Units, optional
        In which numbers were learnt: the head that is written answers in the data's own.
    """
    mean, scale = units or Units(0.0, 1.0)
    if isinstance(model, OnEmbedding):
        weight, bias = (part.detach().double() for part in (model.head.weight, model.head.bias))
        layer = (weight * model.scale * scale).numpy(), (bias * scale + mean).numpy()
        write_head(folder, plan.base, plan.kind, plan.task.type, plan.task.names, [layer])
        model.backbone.save_pretrained(folder)
    else:
        if units is not None:
            with torch.no_grad():
                last = last_layer(model, 1)
                last.weight.mul_(scale)
                last.bias.mul_(scale).add_(mean)
        model.save_pretrained(folder)
    if plan.kind != "vision":
        load_tokenizer(plan.base).save_pretrained(folder)
    _copy(plan.base, folder, SENTENCES if plan.kind == "sentence_encoder" else ())
    _copy(plan.base, folder, IMAGES if plan.kind in ("vision", "clip") else ())
    for name in module_folders(plan.base.folder) if plan.kind == "sentence_encoder" else ():
        shutil.copytree(plan.base.folder / name, folder / name, dirs_exist_ok=True)


def last_layer(model: Any, outputs: int) -> torch.nn.Linear:
    """Find the last linear layer with so many outputs and a bias.

    Raises
    ------
    InputError
        If the architecture has none.
    """
    layers = [part for part in model.modules() if isinstance(part, torch.nn.Linear) and part.out_features == outputs]
    if not layers or layers[-1].bias is None:
        raise InputError(f"[adapt]: {type(model).__name__} has no linear layer with {outputs} outputs and a bias")
    return layers[-1]


def _copy(source: Source, folder: Path, names: Sequence[str]) -> None:
    for name in names:
        if (source.folder / name).is_file():
            shutil.copy(source.folder / name, folder / name)
