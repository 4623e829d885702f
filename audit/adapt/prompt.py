"""A prompt in place of training: examples that are drawn, and the prior of the labels, which is measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from audit.adapt.plan import Plan, Trained
from audit.errors import InputError
from audit.models.ask import ModelView
from audit.models.batch import Progress
from audit.models.load import load_base
from audit.models.prompt import TaskPrompt, write_prompt
from audit.models.prompted import PromptedView
from audit.models.text import TextView
from audit.recipe import Prompt
from audit.view import Item, View

__all__ = ["SILENT", "drawn_examples", "fit_prompt"]

Array = NDArray[np.float64]
SILENT = ("N/A", "", "[MASK]")  # texts that say nothing (Zhao et al., ICML 2021)
HALF = 2  # of the room is for examples, so that as much is left for a text


def fit_prompt(plan: Plan, items: Sequence[Item], seed: int, folder: Path, progress: Progress | None = None) -> Trained:
    """Draw the examples, measure the prior of the labels, and write both; no weight is trained.

    Parameters
    ----------
    plan : Plan
        Of method ``prompt``.
    items : sequence of Item
        Labelled texts or images.
    seed : int
        Draws the examples.
    folder : Path
        Receives ``prompt.json``, and what was pretrained on a domain before, where that is what is asked.
    progress : callable, optional

    Raises
    ------
    InputError
        If this kind reads no examples, a label has too few short texts, or a masked model has no word for it.

    Notes
    -----
    The prior is the logarithm of the mean probability of each label over texts that say nothing (contextual
    calibration, Zhao et al., ICML 2021); images that say nothing there are none, and the mean is over those of training
    (batch calibration, Zhou et al., ICLR 2024).
    """
    method, base = plan.method, plan.base
    assert isinstance(method, Prompt)
    images = items[0].image is not None
    if plan.kind == "clip" and not images:
        raise InputError("[adapt] method = 'prompt': a base of kind 'clip' is asked about images; the task has none")
    if method.shots and plan.kind in ("clip", "sentence_encoder"):
        raise InputError(
            f"[adapt] shots = {method.shots}: a base of kind {plan.kind!r} compares with the names of the labels and "
            "reads no examples; leave the key out"
        )
    readout = plan.readout
    view = load_base(plan.begins, plan.kind, readout if plan.kind == "clip" else None)
    view.progress = progress
    prompt = TaskPrompt(
        plan.kind, readout.prompt, readout.labels, readout.words, (), (), method.max_length,
        base.id, base.revision, base.sha256,
    )  # fmt: skip
    asked = PromptedView(view, prompt)
    if method.shots:
        cleaned = [item.model_copy(update={"text": asked.clean(item.text or "")}) for item in items]
        examples = drawn_examples(cleaned, prompt, method.shots, seed, _length(view), asked.room)
        prompt = replace(prompt, examples=examples)
    if method.calibrate:
        prompt = replace(prompt, prior=_prior(plan, view, prompt, items if images else ()))
    plan.copy_start(folder)
    write_prompt(folder, prompt)
    return Trained(0)


def drawn_examples(
    items: Sequence[Item], prompt: TaskPrompt, count: int, seed: int, length: Callable[[str], int], room: int
) -> tuple[tuple[str, str], ...]:
    """Draw examples, as many of every label, in random order.

    Parameters
    ----------
    items : sequence of Item
    prompt : TaskPrompt
    count : int
        Where the labels do not divide it, the seed says which of them have one more.
    seed : int
    length : callable
        Tokens of a text.
    room : int
        Tokens of the whole prompt. Examples may take half of it, each an equal share: longer ones are not drawn.

    Returns
    -------
    tuple of (text, label)

    Raises
    ------
    InputError
        If a label has too few texts that are short enough.
    """
    rng, labels = np.random.default_rng(seed), prompt.labels
    most = room // HALF // count
    wanted = np.full(len(labels), count // len(labels))
    wanted[rng.permutation(len(labels))[: count % len(labels)]] += 1
    examples: list[tuple[str, str]] = []
    for label, number in zip(labels, wanted, strict=True):
        texts = dict.fromkeys(item.text for item in items if item.label == label and item.text)
        short = [text for text in texts if length(prompt.example(text, label)) <= most]
        if len(short) < number:
            raise InputError(
                f"[adapt] shots = {count}: of the label {label!r} {len(short)} training texts fit into {most} tokens "
                f"each, and {number} are needed; take fewer shots, or raise max_length = {prompt.max_length}"
            )
        examples += [(short[row], label) for row in rng.choice(len(short), number, replace=False)]
    return tuple(examples[row] for row in rng.permutation(len(examples)))


def _prior(plan: Plan, view: ModelView, prompt: TaskPrompt, images: Sequence[Item]) -> tuple[float, ...]:
    """Log of the mean probability of each label."""
    prompted = PromptedView(view, prompt)
    asked: View = prompted
    if images:
        asked, items = plan.remembered(asked) if plan.remembered else asked, list(images)
    else:
        read = view.kind != "sentence_encoder" or _length(view)("")
        silent = dict.fromkeys(map(prompted.clean, SILENT))  # without its mask, one of them is another
        items = [Item(id=repr(text), cluster=repr(text), text=text) for text in silent if text or read]
    mean: Array = asked.ask("probabilities", items).mean(axis=0)
    return tuple(float(value) for value in np.log(np.maximum(mean, np.finfo(float).tiny)))


def _length(view: ModelView) -> Callable[[str], int]:
    assert isinstance(view, TextView)
    return lambda text: len(view.ids([text])[0])
