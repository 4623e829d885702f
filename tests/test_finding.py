"""A verdict is a property of interval and margin, and of nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from audit.finding import Decision, Estimate, Finding


def finding(
    change: tuple[float, float | None, float | None],
    *,
    base: tuple[float, float | None, float | None] = (0.1, 0.05, 0.15),
    width: float = 0.01,
    half: float = 0.8,
    **fields: Any,
) -> Finding:
    """Build a finding whose adapted side is base + change, and whose 90 % interval is ``half`` of the 95 % one."""
    value, low, high = change
    decides = (
        (None, None) if low is None or high is None else (value - half * (value - low), value + half * (high - value))
    )
    adapted = base[0] + value
    known: dict[str, Any] = {
        "id": "bias/x",
        "audit": "bias",
        "name": "x",
        "question": "q",
        "unit": "share",
        "base": Estimate(value=base[0], low=base[1], high=base[2]),
        "adapted": Estimate(value=adapted, low=adapted - width, high=adapted + width),
        "change": Estimate(value=value, low=low, high=high),
        "margin": 0.05,
        "family": "f",
        "adjustment": "none",
        "method": "student-t over cluster means",
        "decision": Decision(same=decides, beyond=decides),
        "n_items": 100,
        "n_clusters": 100,
        "items": "0" * 64,
    }
    return Finding(**{**known, **fields})


@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        ((0.0, -0.02, 0.02), "same"),
        ((0.03, 0.01, 0.05), "same"),  # detectable, and within the margin
        ((0.0, -0.10, 0.10), "unclear"),
        ((0.06, 0.02, 0.10), "unclear"),  # beyond the margin, not surely
        ((0.20, 0.10, 0.30), "worse"),
        ((-0.20, -0.30, -0.10), "better"),
        ((0.0, None, None), "same"),  # no variation, at 100 clusters
        ((0.2, None, None), "worse"),
    ],
)
def test_a_harm_is_judged_by_where_its_interval_lies(
    change: tuple[float, float | None, float | None], verdict: str
) -> None:
    assert finding(change).verdict == verdict


@pytest.mark.parametrize(("clusters", "verdict"), [(4, "unclear"), (29, "unclear"), (30, "same")])
def test_a_mean_needs_thirty_clusters_to_be_the_same(clusters: int, verdict: str) -> None:
    assert finding((0.0, -0.02, 0.02), n_clusters=clusters).verdict == verdict
    assert finding((0.0, None, None), n_clusters=clusters).verdict == verdict


def test_a_score_interval_needs_only_to_lie_inside_the_margin() -> None:
    assert finding((0.0, -0.02, 0.02), n_clusters=10, method="tango score").verdict == "same"
    assert finding((0.2, 0.1, 0.3), n_clusters=4, method="tango score").verdict == "unclear"


@pytest.mark.parametrize(
    ("base", "change", "verdict"),
    [
        ((0.10, 0.08, 0.12), (0.20, 0.18, 0.22), "worse"),  # further from 0
        ((-0.10, -0.12, -0.08), (-0.20, -0.22, -0.18), "worse"),
        ((0.20, 0.18, 0.22), (-0.15, -0.17, -0.13), "better"),  # towards 0, same side
        ((0.20, 0.18, 0.22), (-0.20, -0.22, -0.18), "better"),  # to 0
        ((0.20, 0.18, 0.22), (-0.23, -0.25, -0.21), "better"),  # across 0, by less than the margin
        ((0.20, 0.18, 0.22), (-0.25, -0.27, -0.23), "unclear"),  # across 0, perhaps by the margin
        ((0.05, 0.04, 0.06), (-0.35, -0.37, -0.33), "worse"),  # far across 0
        ((0.20, 0.18, 0.22), (-0.40, -0.42, -0.38), "worse"),  # as far on the other side
        ((0.00, -0.02, 0.02), (0.20, 0.18, 0.22), "worse"),  # from nothing, either way
        ((0.00, -0.02, 0.02), (-0.20, -0.22, -0.18), "worse"),
        ((0.20, None, None), (-0.15, -0.17, -0.13), "better"),  # a base without variation still has a side
    ],
)
def test_a_signed_quantity_is_judged_by_its_distance_from_zero(
    base: tuple[float, float | None, float | None], change: tuple[float, float, float], verdict: str
) -> None:
    assert finding(change, base=base, ideal=0).verdict == verdict


def test_a_change_inside_the_floor_is_no_finding() -> None:
    assert finding((0.20, 0.10, 0.30), floor=0.25).verdict == "unclear"
    assert finding((0.20, 0.10, 0.30), floor=0.15).verdict == "worse"
    assert finding((0.0, -0.02, 0.02), floor=0.04).verdict == "same"
    assert finding((0.0, -0.02, 0.02), floor=0.06).verdict == "unclear"  # null copies differ by more than the margin


def test_a_wide_interval_does_not_exclude_a_reversal() -> None:
    assert finding((-0.35, -0.64, -0.06), base=(0.05, 0.04, 0.06), width=0.35, ideal=0).verdict == "unclear"


def test_a_gap_is_judged_by_its_position() -> None:
    far = finding((0.20, 0.10, 0.30)).model_dump(mode="json") | {"verdict": "worse", "base": None, "change": None}
    far |= {
        "adapted": {"value": 0.5, "low": 0.4, "high": 0.6},
        "decision": {"same": [0.42, 0.58], "beyond": [0.42, 0.58]},
    }
    assert Finding.model_validate(far).verdict == "worse"
    assert Finding.model_validate(far | {"margin": 0.6, "verdict": "same"}).verdict == "same"


def test_a_report_on_disk_cannot_claim_what_its_numbers_deny() -> None:
    written = finding((0.20, 0.10, 0.30)).model_dump(mode="json")
    assert Finding.model_validate(written).verdict == "worse"
    with pytest.raises(ValidationError, match="'bias/x' says 'same', but its numbers say 'worse'"):
        Finding.model_validate({**written, "verdict": "same"})


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"margin": 0.0}, "a margin is above 0"),
        ({"margin": float("nan")}, "not a finite number"),
        ({"p": 0.0}, r"a p-value lies in \(0, 1\]"),
        ({"n_clusters": 200}, "200 clusters of 100 items"),
        ({"adapted": Estimate(value=0.9)}, "is not adapted - base"),
        ({"decision": Decision()}, "both have an interval or neither"),
        ({"decision": Decision(same=(-0.9, 0.9), beyond=(-0.9, 0.9))}, "wider than the 95 % interval"),
        ({"decision": Decision(same=(0.15, 0.25), beyond=(0.5, 0.6))}, "an adjusted interval is not narrower"),
        ({"decision": Decision(same=(0.25, 0.28), beyond=(0.24, 0.29))}, "does not hold 0.2"),
        ({"base": Estimate(value=0.1, low=0.3, high=0.4)}, "does not hold its own value 0.1"),
        ({"base": None}, "both given or both null"),
        ({"verdikt": "same"}, "Extra inputs are not permitted"),
    ],
)
def test_a_finding_that_contradicts_itself_is_refused(fields: dict[str, Any], message: str) -> None:
    written = finding((0.20, 0.10, 0.30)).model_dump()
    with pytest.raises(ValidationError, match=message):
        Finding.model_validate(written | fields)


@pytest.mark.parametrize("bounds", [(0.1, 0.1), (0.2, 0.1), (None, 0.1), (0.1, None)])
def test_an_interval_has_two_ends_and_a_width(bounds: tuple[float | None, float | None]) -> None:
    with pytest.raises(ValidationError, match="interval"):
        Estimate(value=0.1, low=bounds[0], high=bounds[1])
