"""Advice: what follows from which numbers, and that nothing follows from numbers that do not carry it."""

from __future__ import annotations

from typing import Any

import pytest

from audit.choose.advice import Advice, Cell, Grid, Situation, advise, choice, grid
from audit.finding import Estimate
from tests.calibration import advice as carried


def at(value: float, half: float = 0.02) -> Estimate:
    return Estimate(value=value, low=value - half, high=value + half)


KNOWN = Grid(
    kind="encoder",
    parameters=(1e7, 2e7),
    position=(0.1, 0.6),
    accuracy=(0.6, 0.95),
    cells=[
        Cell(texts=50, layers=(6, 6), settings=9, head=at(0.01), lora=at(0.1), full=at(0.1)),
        Cell(texts=400, layers=(6, 6), settings=9, head=at(0.2), lora=at(0.02), full=at(0.01)),
    ],
    regret=0.01,
    of_best_constant=0.05,
)
USUAL: dict[str, Any] = {
    "kind": "encoder", "parameters": 15_000_000, "layers": 6, "n_texts": 300, "majority": 0.5, "accuracy": at(0.8),
    "lift": at(0.2), "position": at(0.3),
}  # fmt: skip


def told(**changes: Any) -> list[str]:
    return [one.action for one in advise(Situation(**{**USUAL, **changes}), KNOWN)]


@pytest.mark.parametrize(
    ("changes", "actions"),
    [
        ({}, ["lora"]),  # full loses less, by .01: the smaller one
        ({"n_texts": 60}, ["head"]),
        ({"lift": at(0.0)}, ["change the base"]),
        ({"lift": at(-0.2)}, ["change the base"]),
        ({"lift": at(0.0, 0.2)}, ["no advice"]),  # too few texts to say that it is no better
        ({"lift": at(0.06, 0.1)}, ["no advice"]),
        ({"position": at(0.5)}, ["domain-adaptive pretraining first", "lora"]),
        ({"position": at(0.5, 0.2)}, ["lora"]),  # it may lie near
        ({"split": 1.8}, ["domain-adaptive pretraining first", "lora"]),
        ({"position": at(0.9)}, ["domain-adaptive pretraining first", "no advice"]),
        ({"n_texts": 10_000}, ["no advice"]),
        ({"parameters": 7_000_000_000}, ["no advice"]),
        ({"accuracy": at(0.4)}, ["no advice"]),
        ({"layers": 12}, ["lora"]),
        ({"layers": 13}, ["no advice"]),
        ({"layers": 3}, ["no advice"]),
        ({"layers": None}, ["no advice"]),
        ({"kind": "causal", "prompted": at(0.0)}, ["prompt", "no advice"]),
        ({"kind": "causal", "prompted": at(0.0, 0.2)}, ["no advice"]),  # not seen to be worse is not as good
        ({"kind": "causal", "prompted": at(-0.2)}, ["no advice"]),
    ],
)
def test_what_follows_from_what(changes: dict[str, Any], actions: list[str]) -> None:
    assert told(**changes) == actions


def test_a_race_on_this_base_stands_before_the_grid() -> None:
    won = Advice(action="full", reason="Won: base, full", basis="measured here")
    assert advise(Situation(**USUAL), KNOWN, won) == [won]
    assert [one.action for one in advise(Situation(**{**USUAL, "lift": at(0.0)}), KNOWN, won)] == ["change the base"]


def test_every_piece_of_advice_says_its_numbers() -> None:
    for changes, numbers in (
        ({}, ("400", "0.020", "0.200", "9 pairs")),
        ({"lift": at(0.0)}, ("0.800", "+0.000 [-0.020, +0.020]", "0.500")),
        ({"position": at(0.5), "split": 1.8}, ("0.500 [0.480, 0.520]", "1.80 times", "Gururangan")),
        ({"n_texts": 10_000}, ("10000", "from 25 to 800")),
    ):
        said = advise(Situation(**{**USUAL, **changes}), KNOWN)[0].reason
        assert all(number in said for number in numbers), said


def test_the_shipped_grid_is_what_was_carried_out() -> None:
    """Summed up anew from every single training: the package ships no number that the table does not give."""
    settings = carried.load()
    assert len(settings) >= 20
    anew, shipped = (_numbers(one.model_dump()) for one in (carried.summed(settings), grid()))
    assert anew == pytest.approx(shipped)


def _numbers(tree: Any, where: str = "") -> dict[str, float]:
    """Return every number of a nested structure under its place; what is none stands for itself."""
    if isinstance(tree, dict | list | tuple):
        pairs = tree.items() if isinstance(tree, dict) else enumerate(tree)
        return {key: value for name, one in pairs for key, value in _numbers(one, f"{where}/{name}").items()}
    return {where: float(tree)} if isinstance(tree, int | float) else {f"{where}={tree}": 0.0}


def test_the_best_constant_is_known_afterwards() -> None:
    """What the rule is held against is the method that turned out best: no choice could have known it."""
    shipped = grid()
    assert shipped.regret >= 0
    assert {choice(cell) for cell in shipped.cells} <= {"head", "lora", "full"}
    settings = carried.load()
    lost = [one.regrets() for one in settings if one.lift_low > 0]
    constant = min(sum(one[method] for one in lost) / len(lost) for method in ("head", "lora", "full"))
    assert shipped.of_best_constant == pytest.approx(constant)
