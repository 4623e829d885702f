"""What to do with a base: advice from what was measured here, and from a grid of adaptations that were carried out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from importlib import resources
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from audit.finding import Estimate

__all__ = ["Action", "Advice", "Cell", "Grid", "Situation", "advise", "grid"]

Action = Literal["prompt", "head", "lora", "full", "domain-adaptive pretraining first", "change the base", "no advice"]
Basis = Literal["measured here", "measured elsewhere", "published"]
FAR = 0.4  # of the position: from here on Gururangan et al. (ACL 2020) found further pretraining to pay
SPLIT = 1.5  # tokens per word, against the reference
CLOSE = 0.02  # of an accuracy: what a smaller method may lose
MATTERS = 0.05  # of an accuracy: a difference that surely is smaller is none


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Advice(_Record):
    """One thing to do, and why.

    Attributes
    ----------
    action : str
    reason : str
        In numbers.
    basis : {"measured here", "measured elsewhere", "published"}
        On this task; on the grid of other tasks that is shipped; or on what others report, without a regret of ours.
    """

    action: Action
    reason: str
    basis: Basis


class Situation(_Record):
    """What is known of a base and a task before anything is adapted.

    Attributes
    ----------
    kind : str
    parameters, n_texts : int
    layers : int or None
        Depth, as the config says.
    majority : float
        Share of the most frequent label.
    accuracy : Estimate
        Of a probe of the base's features, on texts that it was not fitted to.
    lift : Estimate
        That accuracy minus the same on random initial weights, texts and folds paired.
    prompted : Estimate or None
        Accuracy without any training minus the probe's, texts paired; of a causal base.
    reference : str
        What the texts are placed by.
    position : Estimate or None
        Of the task's texts between the reference (0) and unrelated text (1), in the base's space.
    split : float or None
        Tokens per word, as a multiple of the reference's.
    """

    kind: str
    parameters: int
    n_texts: int
    layers: int | None = None
    majority: float
    accuracy: Estimate
    lift: Estimate
    prompted: Estimate | None = None
    reference: str = "shipped:passages"
    position: Estimate | None = None
    split: float | None = None


class Cell(_Record):
    """Bases of some depths × tasks of one size: every method's mean regret in accuracy, with its 95 % interval."""

    texts: int
    layers: tuple[int, int]
    settings: int
    head: Estimate
    lora: Estimate
    full: Estimate


class Grid(_Record):
    """Adaptations that were carried out, with what was known before, summed up (`tests/calibration/advice.py`).

    Attributes
    ----------
    kind : str
    parameters, position, accuracy : tuple of float
        Ranges of the bases and tasks in it: outside them it says nothing.
    cells : list of Cell
    regret, of_best_constant : float
        Mean regret of this rule on tasks that it was not made from, and of always taking the one best method.
    """

    kind: str
    parameters: tuple[float, float]
    position: tuple[float, float]
    accuracy: tuple[float, float]
    cells: list[Cell] = Field(min_length=1)
    regret: float
    of_best_constant: float


@cache
def grid() -> Grid:
    """Read the shipped grid."""
    return Grid.model_validate_json((resources.files("audit.choose") / "grid.json").read_bytes())


def advise(seen: Situation, known: Grid, raced: Advice | None = None) -> list[Advice]:
    """Say what to do, the most urgent first.

    Parameters
    ----------
    seen : Situation
    known : Grid
        See `grid`.
    raced : Advice, optional
        The method that won a race on this base: it stands in place of what the grid says.

    Returns
    -------
    list of Advice
        At least one: where nothing supports another, ``no advice``.

    Notes
    -----
    A base that surely beats its own architecture with random weights by less than .05 is not worth adapting; of one of
    which that is unclear nothing is said. Otherwise: a prompt, where it surely is at most .05 worse than a probe of all
    training texts; further pretraining first, where the texts surely lie far, on the word of others; and the method of
    least regret on the grid, a smaller one where it loses at most .02 more.

    Examples
    --------
    >>> sure = Estimate(value=0.8, low=0.75, high=0.85)
    >>> seen = Situation(kind="encoder", parameters=22_000_000, n_texts=300, majority=0.5, accuracy=sure,
    ...                  lift=Estimate(value=0.0, low=-0.04, high=0.04))
    >>> print(advise(seen, grid())[0].action)
    change the base
    """
    low, high = seen.lift.bounds()
    against = (
        f"a probe of its features is right on {seen.accuracy.value:.3f} of unseen texts, {_signed(seen.lift)} against "
        f"random weights of the same architecture; the most frequent label is {seen.majority:.3f}"
    )
    if high < MATTERS:
        return [Advice(action="change the base", reason=against, basis="measured here")]
    if low <= 0:
        said = f"whether this base knows more than random weights is unclear: {against}; more labelled texts would tell"
        return [Advice(action="no advice", reason=said, basis="measured here")]
    return [*_prompt(seen), *_further(seen), raced or _method(seen, known)]


def _prompt(seen: Situation) -> list[Advice]:
    if seen.prompted is None or seen.prompted.bounds()[0] < -MATTERS:
        return []
    said = (
        f"without any training the base answers as well as a probe of {seen.n_texts} texts, or at most {MATTERS:g} "
        f"worse: {_signed(seen.prompted)} in accuracy"
    )
    return [Advice(action="prompt", reason=said, basis="measured here")]


def _further(seen: Situation) -> list[Advice]:
    far = seen.position is not None and seen.position.bounds()[0] > FAR
    split = seen.split is not None and seen.split > SPLIT
    if not (far or split):
        return []
    where = (
        f"the texts lie at {_bounded(seen.position)} of the way from {seen.reference} to unrelated ones"
        if seen.position
        else ""
    )
    words = f"a word takes {seen.split:.2f} times the tokens of the reference's" if seen.split else ""
    said = (
        f"{' and '.join(part for part in (where, words) if part)}; further pretraining on texts of the task, if there "
        "are many without labels, paid most for distant domains (Gururangan et al., ACL 2020); not measured here"
    )
    return [Advice(action="domain-adaptive pretraining first", reason=said, basis="published")]


def _method(seen: Situation, known: Grid) -> Advice:
    outside = _outside(seen, known)
    if outside:
        said = f"head, LoRA or full: {outside}; --race measures it here"
        return Advice(action="no advice", reason=said, basis="measured elsewhere")
    cell = min(_alike(seen, known), key=lambda one: abs(math.log(one.texts / seen.n_texts)))
    best = choice(cell)
    others = ", ".join(f"{name} {_bounded(regret)}" for name, regret in _regrets(cell).items() if name != best)
    said = (
        f"after about {cell.texts} texts its accuracy was {_bounded(_regrets(cell)[best])} below the best method's on "
        f"{cell.settings} pairs of base and task ({others}); on tasks that the rule was not made from it lost "
        f"{known.regret:.3f}; --race measures it here"
    )
    return Advice(action=best, reason=said, basis="measured elsewhere")


def _outside(seen: Situation, known: Grid) -> str:
    """Say in which way a situation is unlike all of the grid; empty where it is not."""
    sizes = [cell.texts for cell in known.cells]
    if seen.kind != known.kind:
        return f"the grid holds models of kind {known.kind!r} only, this is {seen.kind!r}"
    checks: Sequence[tuple[str, float | None, tuple[float, float], str]] = (
        ("training texts", seen.n_texts, (min(sizes) / 2, max(sizes) * 2), ".0f"),
        ("parameters", seen.parameters, (known.parameters[0] / 2, known.parameters[1] * 2), ",.0f"),
        ("accuracy of a probe", seen.accuracy.value, known.accuracy, ".2f"),
        ("position", seen.position.value if seen.position else None, known.position, ".2f"),
    )
    for what, value, (low, high), form in checks:
        if value is not None and not low <= value <= high:
            return f"{what} {value:{form}}, the grid goes from {low:{form}} to {high:{form}}"
    if not _alike(seen, known):
        depths = ", ".join(dict.fromkeys("{} to {}".format(*cell.layers) for cell in known.cells))
        return f"{seen.layers or 'an unknown number of'} layers, the grid holds bases of {depths}"
    return ""


def _alike(seen: Situation, known: Grid) -> list[Cell]:
    """Cells of bases as deep, or up to twice as deep as the deepest."""
    deepest = max(cell.layers[1] for cell in known.cells)
    return [
        cell
        for cell in known.cells
        if seen.layers is not None
        and cell.layers[0] <= seen.layers <= (2 * deepest if cell.layers[1] == deepest else cell.layers[1])
    ]


def choice(cell: Cell) -> Literal["head", "lora", "full"]:
    """Return the method with the fewest trained weights among those that lose little more than the best."""
    regrets = _regrets(cell)
    least = min(regret.value for regret in regrets.values())
    return next(name for name, regret in regrets.items() if regret.value <= least + CLOSE)


def _regrets(cell: Cell) -> dict[Literal["head", "lora", "full"], Estimate]:
    return {"head": cell.head, "lora": cell.lora, "full": cell.full}  # the fewest trained weights first


def _bounded(estimate: Estimate | None) -> str:
    assert estimate is not None
    low, high = estimate.bounds()
    return f"{estimate.value:.3f} [{low:.3f}, {high:.3f}]"


def _signed(estimate: Estimate) -> str:
    low, high = estimate.bounds()
    return f"{estimate.value:+.3f} [{low:+.3f}, {high:+.3f}]"
