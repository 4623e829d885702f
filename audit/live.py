"""Ask the two models of a run what somebody types, and the same about somebody else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audit.errors import InputError
from audit.items.swap import AXES, Axis, axis, swap
from audit.items.task import read_task
from audit.job import Job
from audit.models.source import Source, file_hashes, resolve
from audit.recipe import Recipe, overrides_of, read_recipe
from audit.report import Report, load_report
from audit.steps import set_apart
from audit.view import Item, NotMeasurable, View

__all__ = ["Answer", "live", "sides"]

Answer = Callable[[str, str | None], list[dict[str, Any]]]
"""Asks both sides a text, and if an axis is named the same about somebody else.

A dictionary a text: ``text``, ``base`` and ``adapted`` (what each says, by name), and ``note`` where the text was not
read as it stands.
"""


def live(run: Path) -> tuple[Answer, tuple[str, ...]]:
    """Load both models of a run to be asked: class probabilities, or how likely a language model finds a text.

    Both are asked as the run asked them. What is typed is kept nowhere.

    Parameters
    ----------
    run : Path
        Run folder.

    Returns
    -------
    answer : callable
        Raises InputError where a text cannot be asked, or speaks of nobody who could be somebody else.
    axes : tuple of str
        Names of what can be exchanged: the shipped axes, and those that the recipe declares.

    Raises
    ------
    InputError
        If base or adapted model are not there as the report names them, or they do not read texts.
    Unavailable
        If the Hub is needed and cannot be reached.
    """
    report = load_report(run)
    if report.base.kind in ("vision", "clip"):
        raise InputError(
            f"{run}: the base is of kind {report.base.kind!r}; only models that read texts can be asked live"
        )
    recipe = _recipe(report)
    base, adapted = sides(run, report)
    kind: Any = report.base.kind
    job = _Asked(recipe, base, kind, read_task(recipe.task, recipe.columns), run, adapted)
    set_apart(job)
    ask = _classes(job) if recipe.task.type in ("single_label", "multi_label") else _surprise(job)
    axes = {one.name: one for one in [*(axis(name) for name in AXES), *job.axes]}

    def answer(text: str, by: str | None) -> list[dict[str, Any]]:
        if any("\ud800" <= one <= "\udfff" for one in text):
            raise InputError("the text holds half a character (a lone surrogate): it is not Unicode")
        texts = [text] if by is None else [text, _about_another(text, axes[by])]
        try:
            return ask([Item(id=str(row), cluster=str(row), text=one) for row, one in enumerate(texts)])
        except NotMeasurable as reason:
            raise InputError(f"it cannot be asked: {reason}") from None

    return answer, tuple(axes)


def sides(run: Path, report: Report) -> tuple[Source, Source]:
    """Find base and adapted model of a run.

    Raises
    ------
    InputError
        If one is not there, or its files are no longer those that the report names.
    """
    packed = [name for name in report.base.files if name.endswith(".gguf")]
    base = _as_reported(resolve(report.base.id, report.base.revision, packed[0] if packed else None), report.base.files)
    inside = (run if run.is_dir() else run.parent) / report.adapted.id
    trained = bool(report.adapted.seeds)  # here, and by this run: nowhere else
    if trained and not inside.is_dir():
        raise InputError(f"{inside}: the run's model is not there; it takes the whole run folder")
    adapted = Source(str(inside), None, inside, file_hashes(inside), None) if trained else resolve(report.adapted.id)
    return base, _as_reported(adapted, report.adapted.files)


def _as_reported(source: Source, files: dict[str, str]) -> Source:
    other = [name for name in sorted(source.files.keys() | files.keys()) if source.files.get(name) != files.get(name)]
    if other:
        raise InputError(f"{source.id}: {other[0]} is not what the report was written about; run the recipe again")
    return source


def _recipe(report: Report) -> Recipe:
    """Read the recipe of a report again, with what was overridden where it was typed."""
    recipe = read_recipe(report.recipe.text, overrides_of(report.provenance.command), f"{report.recipe.name}.toml")
    if recipe.fingerprint != report.recipe.fingerprint:
        raise InputError(
            f"{report.recipe.name}: this recipe says something else here than where it was run (another version, or "
            "overrides that the command does not name); run it again"
        )
    return recipe


class _Asked(Job):
    """A job whose models tell nobody how far they are, and remember nothing of what is typed."""

    def tell(self, done: int, total: int) -> None:
        """Tell nobody."""

    def remembered(self, view: View) -> View:
        """Remember what a probe is fitted to, and nothing after."""
        return _Once(view, super().remembered(view))


class _Once:
    """A view that keeps its first answer, to the texts that a probe is fitted to, and no other."""

    def __init__(self, view: View, first: View) -> None:
        self.id, self.kind, self.labels = view.id, view.kind, view.labels
        self._view, self._next = view, first

    def ask(self, question: str, items: Sequence[Item]) -> NDArray[np.float64]:
        view, self._next = self._next, self._view
        return view.ask(question, items)

    def treatment(self, question: str, items: Sequence[Item]) -> str:
        return self._view.treatment(question, items)


def _classes(job: Job) -> Callable[[list[Item]], list[dict[str, Any]]]:
    base, adapted = job.classifiers

    def ask(items: list[Item]) -> list[dict[str, Any]]:
        said = [view.ask("probabilities", items).tolist() for view in (base, adapted)]
        return [
            {
                "text": item.text,
                "base": dict(zip(base.labels, said[0][row], strict=True)),
                "adapted": dict(zip(adapted.labels, said[1][row], strict=True)),
                "note": adapted.treatment("probabilities", [item]),
            }
            for row, item in enumerate(items)
        ]

    return ask


def _surprise(job: Job) -> Callable[[list[Item]], list[dict[str, Any]]]:
    if job.kind != "causal":
        raise InputError(
            f"a task of type {job.recipe.task.type!r} has no classes to show for a text; there is no live mode"
        )
    pair = job.pair

    def ask(items: list[Item]) -> list[dict[str, Any]]:
        said = [view.ask("log_likelihood", items).tolist() for view in (pair.base, pair.adapted)]
        sizes = [len((item.text or "").encode()) for item in items]
        return [
            {
                "text": item.text,
                "base": {"surprise (nats a byte)": -said[0][row] / sizes[row]},
                "adapted": {"surprise (nats a byte)": -said[1][row] / sizes[row]},
                "note": pair.adapted.treatment("log_likelihood", [item]),
            }
            for row, item in enumerate(items)
        ]

    return ask


def _about_another(text: str, by: Axis) -> str:
    found = swap(text, by)
    if found.pair is None:
        raise InputError(f"the text cannot be said about somebody else by {by.name}: {found.outcome}")
    return found.pair[1] if found.pair[0] == text else found.pair[0]
