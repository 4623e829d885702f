"""Which kinds of base, types of task, methods and audits go together."""

from __future__ import annotations

from audit.recipe.adapt import GRADIENT, METHODS, Adapt, Domain, Gradient, Peft, Prompt
from audit.recipe.audits import Audits
from audit.recipe.task import SLOTS, Task, TaskType
from audit.view import Kind

__all__ = ["misfit"]

IMAGES: tuple[Kind, ...] = ("vision", "clip")
TYPES: dict[Kind, tuple[TaskType, ...]] = {
    "encoder": ("single_label", "multi_label", "regression", "tokens"),
    "sentence_encoder": ("single_label", "multi_label", "regression"),
    "causal": ("single_label", "completion"),
    "vision": ("single_label", "multi_label", "regression"),
    "clip": ("single_label", "multi_label", "regression"),
}


def misfit(kind: Kind | None, task: Task, adapt: Adapt | None, domain: Domain | None, audits: Audits) -> str | None:
    """Say in one line what does not go together; None where all does.

    Examples
    --------
    >>> from audit.recipe import Full, Task
    >>> task = Task(dataset="x.csv", type="tokens", labels=("O", "B-GENE"))
    >>> misfit("vision", task, Full(method="full"), None, Audits())
    "[task] type = 'tokens': a base of kind 'vision' is adapted to single_label, multi_label, regression"
    """
    asked = [name for name in ("bias", "transfer") if getattr(audits, name) is not None]
    if asked and task.type not in ("single_label", "multi_label"):
        return f"[audit.{asked[0]}] asks for classes; a task of type {task.type!r} has none"
    if kind is None:
        return None
    if task.type not in TYPES[kind]:
        return f"[task] type = {task.type!r}: a base of kind {kind!r} is adapted to {', '.join(TYPES[kind])}"
    unfilled = next((slot for slot in SLOTS[kind] if task.prompt and task.prompt.count(slot) != 1), None)
    if unfilled:
        return f"[task] prompt = {task.prompt!r}: for a base of kind {kind!r} it holds {unfilled} exactly once"
    if task.image is not None and kind not in IMAGES:
        return (
            f"[task] image = {task.image!r}: a base of kind {kind!r} reads texts; leave it out, or choose another base"
        )
    if kind in IMAGES:
        if audits.gap is not None:
            return f"[audit.gap] compares texts; a base of kind {kind!r} reads images"
        if audits.bias is not None and (audits.bias.items or audits.bias.minimal_pairs or audits.bias.questions):
            return f"[audit.bias] items, minimal_pairs and questions are texts; of a base of kind {kind!r} ask groups"
    if domain is not None and kind not in ("encoder", "causal"):
        return f"[domain] needs a language-model head, which a base of kind {kind!r} has not"
    if adapt is None:
        return None
    if audits.bias is not None and audits.bias.origin and isinstance(adapt, Prompt):
        return "[audit.bias] origin = true: 'prompt' trains nothing, so no arm tells where a disparity came from"
    if audits.transfer is not None and audits.transfer.fine_tune and (domain or isinstance(adapt, Prompt)):
        return "[audit.transfer] fine_tune = true: not with [domain] or 'prompt', which train no control alike"
    if isinstance(adapt, Prompt) and adapt.shots and kind in ("clip", "sentence_encoder"):
        return f"[adapt] shots = {adapt.shots}: a base of kind {kind!r} compares with names and reads no examples"
    reason = _unfit(kind, task, adapt.method)
    if reason is not None:
        others = [name for name in METHODS if _unfit(kind, task, name) is None]
        return f"[adapt] method = {adapt.method!r}: {reason}; choose from {', '.join(others)}"
    return _unprotected(kind, adapt) if isinstance(adapt, GRADIENT) else None


def _unfit(kind: Kind, task: Task, method: str) -> str | None:
    """Say why a method is none for a kind of base and a type of task."""
    if method == "prompt" and kind == "vision":
        return "a base of kind 'vision' reads no prompt"
    if method == "prompt" and task.type != "single_label":
        return f"it chooses one of the labels, and the task is of type {task.type!r}"
    if method == "lp_ft" and kind == "causal":
        return "a causal base has no head to begin with"
    if method == "peft" and kind in ("clip", "sentence_encoder"):
        return f"not for a base of kind {kind!r} yet"
    if method in ("head", "lp_ft") and task.type in ("tokens", "completion"):
        return f"it fits a head to whole texts, and the task is of type {task.type!r}"
    return None


def _unprotected(kind: Kind, adapt: Gradient) -> str | None:
    """Say which protection cannot hold what this method trains."""
    asked = adapt.protect
    if isinstance(adapt, Peft):
        pulled = next((name for name in ("l2sp", "ewc") if getattr(asked, name)), None)
        if pulled is not None:
            return (
                f"[adapt.protect] {pulled}: it holds weights near the base's, and method = 'peft' leaves those as they "
                "are; choose from kl, replay, wise, stop"
            )
        if asked.wise < 1 and adapt.tuner.upper() != "LORA":
            return f"[adapt.protect] wise = {asked.wise:g}: of all tuners only LORA is weakened, not {adapt.tuner!r}"
    if kind in IMAGES and asked.reads and asked.items.startswith("shipped:"):
        return f"[adapt.protect] items = {asked.items!r}: these are texts; a base of kind {kind!r} reads images"
    return None
