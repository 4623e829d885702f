"""What keeps a model near its base: penalties on its weights and on what it says, and a step back afterwards."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from audit.adapt.body import weights_by_name
from audit.adapt.fisher import fisher_of_base
from audit.adapt.fit import Penalty
from audit.adapt.general import General, base_network
from audit.adapt.plan import Plan
from audit.adapt.rehearse import Distillation, Rehearsal
from audit.adapt.soften import soften
from audit.errors import InputError
from audit.models.source import Source, file_hashes
from audit.models.stored import weight_files
from audit.recipe import Gradient, Peft

__all__ = ["Pull", "notes_of", "penalties", "softened_in_place"]


class Pull:
    """Half the strength times the squared distance of the weights from the base's, each weighed or all alike.

    Parameters
    ----------
    name : str
    strength : float
    anchors : mapping of str to tensor
        The base's weights, by name (see `audit.adapt.general.weights_by_name`). What the base has not, a new head, is
        free, and so is what is frozen at the time.
    importance : mapping of str to tensor, optional
        Weight of each; without, 1.
    notes : mapping of str to str, optional
        What must be known of it afterwards.

    Notes
    -----
    λ/2 Σ (w - w₀)²: L2-SP, Li et al., ICML 2018. λ/2 Σ F (w - w₀)²: elastic weight consolidation, Kirkpatrick et al.,
    PNAS 2017.

    Examples
    --------
    >>> from transformers import BertConfig, BertModel
    >>> model = BertModel(BertConfig(vocab_size=8, hidden_size=4, num_hidden_layers=1, num_attention_heads=1))
    >>> pull = Pull("l2sp", 2.0, {"pooler.dense.bias": torch.full((4,), 0.5)})
    >>> pull(model, 0).item()  # its biases are 0: 2 / 2 x 4 x 0.25
    1.0
    """

    weight_of_task = 1.0

    def __init__(
        self,
        name: str,
        strength: float,
        anchors: Mapping[str, torch.Tensor],
        importance: Mapping[str, torch.Tensor] | None = None,
        notes: Mapping[str, str] | None = None,
    ) -> None:
        self.name, self.notes = name, dict(notes or {})
        self._strength, self.anchors, self._importance = strength, anchors, importance

    def __call__(self, model: Any, step: int) -> torch.Tensor:
        """Penalty of the weights as they are; a scalar."""
        terms = []
        for name, weight in weights_by_name(model).items():
            if name in self.anchors and weight.requires_grad:
                squares = (weight - self.anchors[name]).square()
                terms.append((squares if self._importance is None else squares * self._importance[name]).sum())
        return self._strength / 2 * torch.stack(terms).sum() if terms else torch.zeros(())


def penalties(plan: Plan, model: Any, seed: int) -> list[Penalty]:
    """List what the method's ``protect`` adds to the loss, anchored at the plan's base; nothing of strength 0.

    Parameters
    ----------
    plan : Plan
        ``general`` holds the items where ``ewc``, ``kl`` or ``replay`` reads some.
    model
        What is trained, as it is before the first step.
    seed : int
        Of all that is drawn. Nothing is taken from torch's own random numbers.

    Returns
    -------
    list of Penalty

    Raises
    ------
    InputError
        If weights are to be held that the method leaves as they are, or items are missing or not what the base reads.
    """
    method = plan.method
    assert isinstance(method, Gradient)
    protect, size = method.protect, method.batch_size
    if not (protect.l2sp or protect.ewc or protect.kl or protect.replay):
        return []
    _refuse_tuner(plan, model)
    found: list[Penalty] = []
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices):
        network = base_network(plan)
        general = General(plan, network) if protect.ewc or protect.kl or protect.replay else None
        anchors = _anchors(plan.base, network.model, model) if protect.l2sp or protect.ewc else {}
        if protect.l2sp:
            found.append(Pull("l2sp", protect.l2sp, anchors))
        if general is not None and protect.ewc:
            importance, digest = fisher_of_base(plan.base, general, seed)
            names = {own: name for name, own in _names(network.model).items()}
            named = {names[own]: one for own, one in importance.items()}
            found.append(Pull("ewc", protect.ewc, anchors, named, {"fisher_sha256": digest}))
        if general is not None and protect.kl:
            found.append(Distillation(general, protect.kl, protect.temperature, size, seed))
        if general is not None and protect.replay:
            found.append(Rehearsal(general, protect.replay, size, seed))
    if general is not None:
        general.let_go()
    return found


def notes_of(penalties: Sequence[Penalty]) -> dict[str, str]:
    """Collect what must be known of penalties afterwards: the hash of a Fisher information."""
    return {key: value for one in penalties for key, value in getattr(one, "notes", {}).items()}


def _refuse_tuner(plan: Plan, model: Any) -> None:
    method = plan.method
    if not isinstance(method, Peft):
        return
    held = next((name for name in ("l2sp", "ewc") if getattr(method.protect, name)), None)
    if held is not None:
        raise InputError(
            f"[adapt.protect] {held}: it holds weights near the base's, and method = 'peft' leaves those as they are; "
            "choose from kl, replay, wise, stop"
        )
    if plan.kind != "causal" and model.active_peft_config.is_prompt_learning:
        raise InputError(
            f"[adapt.protect] kl, replay: tuner = {method.tuner!r} lives in the prompt, and what it does to general "
            f"texts is asked of causal bases only; this one is of kind {plan.kind!r}"
        )


def _names(base: Any) -> dict[str, str]:
    """Names of the base's own, by those that do not depend on its head."""
    own = {id(one): name for name, one in base.named_parameters()}
    return {name: own[id(one)] for name, one in weights_by_name(base).items()}


def _anchors(source: Source, base: Any, model: Any) -> dict[str, torch.Tensor]:
    """The base's weights, as far as the trained model has them, in its shape, and the base's file holds them."""
    held: list[str] = []
    for file in weight_files(source.folder):
        with safe_open(file, framework="pt") as tensors:
            held += tensors.keys()
    theirs = weights_by_name(model)
    return {
        name: one.detach()
        for name, one in weights_by_name(base).items()
        if name in theirs and theirs[name].shape == one.shape and not _made_up(name, held)
    }


def _made_up(name: str, held: Sequence[str]) -> bool:
    """Tell a pooler that no file holds: it was drawn at random when the base was loaded."""
    return "pooler" in name.split(".") and not any(one.endswith(name) for one in held)


# --- afterwards -------------------------------------------------------------------------------------------------------


def softened_in_place(plan: Plan, folder: Path, alpha: float) -> None:
    """Put what was trained at a strength between base (0) and itself (1); at 1 nothing is touched.

    Parameters
    ----------
    plan : Plan
    folder : Path
        A checkpoint, or a LoRA; its head stays as it was trained.
    alpha : float

    Raises
    ------
    InputError
        As `audit.adapt.soften.soften`: if the adapter is no plain LoRA, say.
    """
    if alpha == 1:
        return
    place = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".tmp-"))
    try:
        trained = Source(folder.name, None, folder, file_hashes(folder), None)
        made = soften(plan.base, trained, alpha, place / folder.name)
        for path in made.rglob("*"):
            if path.is_file() and path.name != "softened.json":
                os.replace(path, folder / path.relative_to(made))
    finally:
        shutil.rmtree(place, ignore_errors=True)
