"""Where a disparity came from: the rules on arms of a known truth, and reports that claim otherwise."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from audit.audits.bias import Arms, attribute
from audit.finding import Decision, Estimate, Finding
from audit.origin import ARMS, Arm, Decomposition, presence
from audit.publish.card.origin import checkpoints

SEEDS, CLUSTERS, MARGIN = 3, 60, 0.02
WEAK = {"adapted": 0.8, "silent": 0.8, "floor": 0.5, "random": 0.5}
ALL = {"adapted": 0.2, "base": 0.2, "silent": 0.2}
ABLE = {"adapted": 0.8, "silent": 0.8, "floor": 0.7, "random": 0.7}


def table(value: float, spread: float = 0.02, seed: int = 0) -> NDArray[np.float64]:
    """Scores of every seed and cluster around a disparity."""
    rng = np.random.default_rng(seed)
    return value + rng.normal(0, spread / 10, (SEEDS, 1)) + rng.normal(0, spread, (SEEDS, CLUSTERS))


def told(values: dict[str, float], accuracy: dict[str, float] = WEAK, spread: float = 0.02) -> Decomposition:
    """Attribute one disparity whose arms show these values (those left out show nothing)."""
    arms: dict[Arm, Any] = {name: table(values.get(name, 0.0), spread, seed) for seed, name in enumerate(ARMS)}
    [one] = attribute([Arms("bias/d", MARGIN, [], arms)], seeds=range(SEEDS), accuracy=accuracy, majority=0.5)
    return one


@pytest.mark.parametrize(
    ("values", "origin", "outcome"),
    [
        ({"adapted": 0.2, "base": 0.2, "silent": 0.2}, "inherited", None),
        ({"adapted": 0.3, "base": 0.1, "silent": 0.1}, "amplified", None),
        ({"adapted": 0.2}, "introduced", None),
        ({"adapted": 0.1, "base": 0.3, "silent": 0.3}, "mitigated", "residual"),
        ({"base": 0.3, "silent": 0.3}, "mitigated", "removed"),
        ({"adapted": -0.1, "base": 0.3, "silent": 0.3}, "mitigated", "reversed"),
        ({"adapted": MARGIN, "base": 0.3, "silent": 0.3}, "mitigated", None),
        ({"adapted": -0.6, "base": 0.1, "silent": 0.1}, "introduced", None),  # a larger harm the other way round
        ({"adapted": -0.2, "base": 0.1, "silent": -0.2}, "inherited", None),
        ({"adapted": 0.2, "silent": 0.2}, "inherited", None),  # not amplified: the base's read-out does not show it
        ({**ALL, "floor": 0.2}, "unclear", None),  # random weights show as much
        ({}, "none", None),
        ({"adapted": 0.2, "silent": MARGIN}, "unclear", None),  # introduced, unless some of it came along
        ({"silent": 0.1, "base": 0.0}, "unclear", None),  # masking made a disparity that the data had hidden
    ],
)
@pytest.mark.parametrize("sign", [1, -1])
def test_every_truth_has_its_origin(values: dict[str, float], origin: str, outcome: str | None, sign: int) -> None:
    one = told({name: sign * value for name, value in values.items()})
    assert (one.origin, one.outcome) == (origin, outcome)


def test_nothing_to_attribute_needs_no_adjustment() -> None:
    """That all of a family are within the margin is judged by intervals that are not simultaneous."""
    written = json.loads(told({}).model_dump_json())
    for arm in ("adapted", "silent"):
        written[arm]["decision"]["beyond"] = [-2 * MARGIN, 2 * MARGIN]
    assert Decomposition.model_validate(written).origin == "none"


def test_few_clusters_and_wide_intervals_are_unclear() -> None:
    assert told(ALL, spread=2.0).origin == "unclear"
    assert told({}, spread=2.0).origin == "unclear"
    few: dict[Arm, Any] = {name: table(0.5)[:, :4] for name in ARMS}
    [one] = attribute([Arms("bias/d", MARGIN, [], few)], seeds=range(3), accuracy=WEAK, majority=0.5)
    assert one.origin == "unclear"


def test_the_parts_add_up() -> None:
    one = told({"adapted": 0.31, "base": 0.2, "silent": 0.17, "floor": 0.03, "random": 0.4}, ABLE)
    parts = (one.floor, one.inherited, one.introduced)
    assert sum(part.estimate.value for part in parts) == pytest.approx(one.adapted.estimate.value, abs=1e-12)
    assert one.shares is not None
    assert sum(one.shares.values()) == pytest.approx(1)
    assert one.susceptibility is not None
    assert one.susceptibility.estimate.value == pytest.approx(0.31 - 0.17 - (0.4 - 0.03), abs=0.01)


def test_shares_need_a_disparity() -> None:
    assert told({"silent": 0.1, "base": 0.1}).shares is None


def test_a_control_that_can_do_the_task_is_subtracted() -> None:
    """Half of what the base shows, random weights show, too: with a control that can do the task that is no excuse."""
    assert told({**ALL, "floor": 0.1}, ABLE).origin == "inherited"
    assert told({**ALL, "floor": 0.2}, ABLE).origin == "unclear"
    assert told({**ALL, "floor": 0.1}, WEAK).origin == "unclear"
    assert told(ALL, WEAK).susceptibility is None
    assert set(told(ALL, WEAK).shares or ()) == {"inherited", "introduced"}


@pytest.mark.parametrize("arm", ["adapted", "silent"])
def test_a_model_that_has_not_learnt_the_task_has_no_origin(arm: str) -> None:
    assert told(ALL, {**ABLE, arm: 0.52}).origin == "unclear"
    assert told({}, {**ABLE, arm: 0.52}).origin == "unclear"


def test_a_family_is_judged_together() -> None:
    """What is beyond the margin alone need not be among twenty."""
    rng = np.random.default_rng(7)

    def arms(value: float) -> dict[Arm, Any]:
        noise = rng.normal(0, 0.1, CLUSTERS)
        noise = (noise - noise.mean()) / noise.std(ddof=1) / 10
        return {name: np.tile(value + noise, (3, 1)) for name in ARMS} | {"floor": table(0.0), "random": table(0.0)}

    edge = MARGIN + 2.0 * 0.1 / np.sqrt(CLUSTERS)  # t = 2.0 > 1.67, but not the quantile of twenty
    family = [Arms(f"bias/{n}", MARGIN, [f"{n}/{k}" for k in range(CLUSTERS)], arms(edge)) for n in range(20)]
    alone = attribute(family[:1], seeds=range(3), accuracy=WEAK, majority=0.5)
    together = attribute(family, seeds=range(3), accuracy=WEAK, majority=0.5)
    assert alone[0].origin == "inherited"
    assert {one.origin for one in together} == {"unclear"}
    assert "max-T over 20" in together[0].adjustment


def finding(base: tuple[float, float], adapted: tuple[float, float], n_clusters: int = 50) -> Finding:
    """A signed finding with these intervals."""
    sides = [Estimate(value=(low + high) / 2, low=low, high=high) for low, high in (base, adapted)]
    moved = sides[1].value - sides[0].value
    change = Estimate(value=moved, low=moved - 0.02, high=moved + 0.02)
    return Finding(
        id="bias/d", audit="bias", name="d", question="", unit="rate", ideal=0, base=sides[0], adapted=sides[1],
        change=change, margin=0.05, family="f", adjustment="none", method="student-t over cluster means",
        decision=Decision(same=(moved - 0.015, moved + 0.015), beyond=(moved - 0.015, moved + 0.015)),
        n_items=n_clusters, n_clusters=n_clusters, items="",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("base", "adapted", "said", "words"),
    [
        ((0.1, 0.2), (0.11, 0.21), "present in base", "The base shows it already."),
        ((0.1, 0.2), (0.3, 0.4), "grew", "and it grew"),
        ((0.3, 0.4), (0.1, 0.2), "shrank", "and it shrank"),
        ((-0.01, 0.01), (0.1, 0.2), "new", "The base does not show it."),
        ((0.15, 0.25), (-0.55, -0.45), "reversed", "The base shows the opposite."),
        ((-0.01, 0.01), (-0.02, 0.02), "absent", "Neither shows it"),
        ((-0.1, 0.1), (0.1, 0.2), "unclear", ""),
    ],
)
def test_two_checkpoints_say_what_they_can(
    base: tuple[float, float], adapted: tuple[float, float], said: str, words: str
) -> None:
    one = finding(base, adapted)
    assert presence(one) == said
    assert words in checkpoints(one)
    assert presence(finding((-0.01, 0.01), (-0.02, 0.02), n_clusters=10)) == "unclear"  # too few to be absent


def test_the_same_numbers_by_seed_are_no_certainty() -> None:
    """Three seeds far apart and few clusters' worth of noise: judged over clusters alone this would be inherited."""
    arms: dict[Arm, Any] = {name: table(0.0) for name in ARMS}
    by_seed = np.array([0.05, 0.3, 0.6])[:, None] + table(0.0)
    arms |= {"adapted": by_seed, "silent": by_seed, "base": table(0.3)}
    [one] = attribute([Arms("bias/d", MARGIN, [], arms)], seeds=range(3), accuracy=WEAK, majority=0.5)
    assert one.origin == "unclear"
    low, high = one.adapted.decision.beyond
    assert low is not None
    assert high is not None
    assert high - low > 0.5  # t with two degrees of freedom


def test_arms_of_other_shapes_or_too_few_seeds_are_refused() -> None:
    arms: dict[Arm, Any] = {name: table(0.1) for name in ARMS}
    with pytest.raises(ValueError, match="2 seeds, but arms of shapes"):
        attribute([Arms("bias/d", MARGIN, [], arms)], seeds=[0, 1], accuracy=WEAK, majority=0.5)
    two: dict[Arm, Any] = {name: table(0.1)[:2] for name in ARMS}
    with pytest.raises(ValueError, match="at least 3 seeds"):
        attribute([Arms("bias/d", MARGIN, [], two)], seeds=[0, 1], accuracy=WEAK, majority=0.5)


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("origin", "none", "says origin = 'none', but its numbers say"),
        ("shares", None, "says shares = None, but"),
        ("capable", True, "says capable = True, but"),
        ("margin", -1.0, "a margin is above 0"),
    ],
)
def test_a_decomposition_whose_numbers_deny_it_is_refused(field: str, value: object, said: str) -> None:
    written = json.loads(told(ALL).model_dump_json())
    assert Decomposition.model_validate(written).origin == "inherited"
    with pytest.raises(ValueError, match=said):
        Decomposition.model_validate({**written, field: value})


def test_a_part_that_is_not_the_difference_is_refused() -> None:
    written = json.loads(told(ALL).model_dump_json())
    written["introduced"]["estimate"] = {"value": 0.1, "low": 0.05, "high": 0.15}
    with pytest.raises(ValueError, match=r"introduced is 0\.1, but its parts give"):
        Decomposition.model_validate(written)
