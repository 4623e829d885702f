"""Which kinds of base, types of task, methods and audits go together."""

from __future__ import annotations

from audit.recipe.adapt import GRADIENT, Adapt, Domain, Gradient, LpFt, Peft, Prompt
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
    if isinstance(adapt, Prompt):
        if audits.bias is not None and audits.bias.origin:
            return "[audit.bias] origin = true: 'prompt' trains nothing, so no arm tells where a disparity came from"
        if kind == "vision":
            return "[adapt] method = 'prompt': a base of kind 'vision' reads no prompt; choose from head, full, peft"
        if adapt.shots and kind in ("clip", "sentence_encoder"):
            return f"[adapt] shots = {adapt.shots}: a base of kind {kind!r} compares with names and reads no examples"
        if task.type != "single_label":
            return f"[adapt] method = 'prompt': it chooses one of the labels; the task is of type {task.type!r}"
    if kind == "causal" and isinstance(adapt, LpFt):
        return "[adapt] method = 'lp_ft': a causal base has no head to begin with; choose from full, peft"
    if isinstance(adapt, Peft) and kind in ("clip", "sentence_encoder"):
        return f"[adapt] method = 'peft': not for a base of kind {kind!r} yet; choose from head, full, partial, lp_ft"
    if audits.transfer is not None and audits.transfer.fine_tune and (domain or isinstance(adapt, Prompt)):
        return "[audit.transfer] fine_tune = true: not with [domain] or 'prompt', which train no control alike"
    if isinstance(adapt, GRADIENT) and (wrong := _unprotected(kind, adapt)):
        return wrong
    if task.type in ("tokens", "completion") and not isinstance(adapt, GRADIENT):
        return f"[adapt] method = {adapt.method!r}: a task of type {task.type!r} is trained by full, partial or peft"
    if task.type == "tokens" and isinstance(adapt, LpFt):
        return "[adapt] method = 'lp_ft': its first step fits a head to whole texts; the task is of type 'tokens'"
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
