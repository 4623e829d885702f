"""What each side answers to the task's items, in the form that its metric takes."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audit.adapt.linear import fit_linear, truth_of
from audit.job import Job
from audit.recipe import Task
from audit.steps.written import Evidence
from audit.view import Item, NotMeasurable, View

__all__ = ["QUESTIONS", "answers", "as_asked", "asked_how", "base_answers", "constant", "keep_answers", "truth"]

Array = NDArray[np.float64]
QUESTIONS = {
    "single_label": "probabilities",
    "multi_label": "probabilities",
    "regression": "logits",
    "tokens": "tag_probabilities",
    "completion": "option_log_likelihood",
}
RIDGE = 1.0  # of the base's read-out of numbers: weight of half the squared coefficients beside the mean squared error
UNTAGGED = "O"  # what a token beyond what the model reads counts as
MOST = 52  # classes of which a float holds any set


def truth(items: Sequence[Item], task: Task) -> list[Any]:
    """Return the references: names, lists of names, numbers, or texts."""
    said = [item.label or "" for item in items]
    if task.type in ("multi_label", "tokens"):
        return [json.loads(one) for one in said]
    return [float(one) for one in said] if task.type == "regression" else said


def answers(view: View, items: Sequence[Item], task: Task) -> list[Any]:
    """Ask a model the task.

    Returns
    -------
    list
        One a item: the likeliest class; all classes with a probability of at least a half; a number; a tag a token; or
        the nats of surprise at the text that completes the prompt, which is read right behind it as it stands.

    Raises
    ------
    NotMeasurable
        If the model cannot answer.
    """
    said = view.ask(QUESTIONS[task.type], as_asked(items, task))
    if task.type == "single_label":
        return [view.labels[k] for k in said.argmax(axis=1)]
    if task.type == "multi_label":
        return [[name for name, share in zip(view.labels, row, strict=True) if share >= 0.5] for row in said]
    if task.type == "tokens":
        return [
            _tags(row[: len((item.text or "").split(" "))], view.labels) for row, item in zip(said, items, strict=True)
        ]
    if said.shape[1] != 1:
        raise NotMeasurable("logits", f"the model's head has {said.shape[1]} outputs, and the task asks for one number")
    numbers = said[:, 0] if task.type == "regression" else -said[:, 0]
    return [float(one) for one in numbers]


def as_asked(items: Sequence[Item], task: Task) -> Sequence[Item]:
    """Return items as models are asked them: of a completion, the prompt with its one option."""
    if task.type != "completion":
        return items
    return [
        Item(id=item.id, cluster=item.cluster, prompt=item.text, options=(item.label or "",), source=item.source)
        for item in items
    ]


def _tags(row: Array, names: Sequence[str]) -> list[str]:
    return [names[k] if read else UNTAGGED for k, read in zip(row.argmax(axis=1), row[:, 0] >= 0, strict=True)]


def base_answers(job: Job) -> list[Any]:
    """Ask the base the task, as far as it can be asked.

    Classes as the job reads them out; numbers by a ridge regression on its features, fitted to the training items.

    Raises
    ------
    NotMeasurable
        If there is no way: tags of tokens need a trained head.
    """
    task, items = job.recipe.task, job.data.test
    if task.type == "tokens":
        raise NotMeasurable("tag_probabilities", "the base has no head for these tags")
    if task.type == "regression":
        view = job.remembered(job.pair.base)
        weight, bias = fit_linear(view.ask("embedding", job.data.train), truth_of(job.data.train, task), task, RIDGE)
        return [float(one) for one in view.ask("embedding", items) @ weight[0] + bias[0]]
    return answers(job.pair.base if task.type == "completion" else job.classifiers[0], items, task)


def asked_how(job: Job) -> str:
    """Say in a sentence how the two sides were asked."""
    return {
        "regression": "The adapted model is asked through its own head; the base through a ridge regression on its "
        "features, fitted to the training items.",
        "tokens": "The adapted model alone is asked: a base has no head for the tags.",
        "completion": "Both sides are asked how likely the true text is right after the prompt.",
    }.get(job.recipe.task.type) or job.read_out


def constant(job: Job) -> list[Any] | None:
    """Return the answer of somebody who knows the training labels and looks at no item; None of completions.

    The most frequent class, set of classes or tag of training, or the mean of its numbers.
    """
    task, items = job.recipe.task, job.data.test
    if task.type == "completion":
        return None
    known = truth(job.data.train, task)
    if task.type == "regression":
        return [float(np.mean(known))] * len(items)
    if task.type == "tokens":
        tag = Counter(tag for tags in known for tag in tags).most_common(1)[0][0]
        return [[tag] * len(tags) for tags in truth(items, task)]
    most = Counter(item.label or "" for item in job.data.train).most_common(1)[0][0]
    return [json.loads(most) if task.type == "multi_label" else most] * len(items)


def keep_answers(evidence: Evidence, arm: str, said: Sequence[Any], job: Job, *, true: bool = False) -> None:
    """Keep answers (or, if ``true``, references) as numbers, from which the metric follows without any text.

    A class is its place among the recipe's labels in the order of their names, a set of classes the sum of 2 to the
    power of each place, a tag a row a token; of a completion the reference is its length in bytes. Answers that no
    such number can say (more classes than a float holds sets of) are not kept.
    """
    task = job.recipe.task
    place = {name: float(k) for k, name in enumerate(sorted({*task.names, UNTAGGED}))}
    rows: list[tuple[Item, float]] = []
    for item, one in zip(job.data.test, said, strict=True):
        if task.type in ("regression", "completion"):
            numbers = [float(len(one.encode())) if true and task.type == "completion" else float(one)]
        elif not set([one] if isinstance(one, str) else one) <= place.keys() or len(place) > MOST:
            return
        elif task.type == "multi_label":
            numbers = [sum(2.0 ** place[name] for name in one)]
        else:
            numbers = [place[name] for name in ([one] if isinstance(one, str) else one)]
        rows += [(item, number) for number in numbers]
    items, values = [item for item, _ in rows], np.array([number for _, number in rows])
    evidence.keep_arm(arm, "task/answers", items, values)
