"""A quick grid of the calibration (``make calibration`` runs the full one), and the mutants that must fail it."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from scipy import stats as scipy_stats

from audit.stats import (
    clusters_needed,
    compare,
    contrasts,
    discordant_needed,
    group_rates,
    mean_interval,
    over_seeds,
    permutation_p,
    simultaneous_level,
)
from audit.stats.clusters import cluster_weights
from tests.calibration.simulate import DESIGNS, SHARE, Design, power, simulate

REPEATS = 300
HELD = [design for design in DESIGNS if design.held]
by_name = pytest.mark.parametrize("design", HELD, ids=[design.name for design in HELD])


def at_most(rate: float, repeats: int = REPEATS) -> float:
    """A rate plus its Monte-Carlo error."""
    return rate + 3 * math.sqrt(rate * (1 - rate) / repeats)


@by_name
@pytest.mark.parametrize("n", [20, 100])
def test_verdicts_are_seldom_wrong(design: Design, n: int) -> None:
    nothing, edge = simulate(design, n, False, REPEATS), simulate(design, n, True, REPEATS)
    assert nothing.wrong <= at_most(0.05)
    assert edge.wrong <= at_most(0.05)
    assert edge.same <= at_most(0.05)
    for rates in (nothing, edge):
        if not math.isnan(rates.covered):
            assert rates.covered >= 0.93 - 3 * math.sqrt(0.95 * 0.05 / REPEATS)


def test_always_unclear_would_fail() -> None:
    """The planner's n gives the planner's power, within five points."""
    designs = {design.name: design for design in DESIGNS}
    mean = clusters_needed(1.0, designs["continuous"].margin)
    pairs = discordant_needed(SHARE, designs["binary"].margin)
    assert mean is not None
    assert pairs is not None
    for name, n in (("continuous", mean), ("binary", pairs)):
        assert power(designs[name], n, 1000) == pytest.approx(0.80, abs=0.05), name


def test_groups_under_five_clusters_are_unclear() -> None:
    design = next(design for design in DESIGNS if design.name == "binary, 9 groups")
    assert simulate(design, 20, True, 20).unclear == 1.0


# --- mutants: what peers do, and what it costs ------------------------------------------------------------------------


def test_mutant_largest_minus_smallest_always_finds_a_disparity() -> None:
    """A bootstrap of max - min excludes 0 on data without any; signed contrasts do so in at most 10 % of families."""
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(4), 100)
    names = [str(i) for i in range(400)]
    found = {"max - min": 0, "signed": 0}
    for _ in range(60):
        right = (rng.random(400) < 0.8).astype(float)
        drawn = group_rates(right, groups, cluster_weights(names, 300, rng, groups))
        found["max - min"] += float(np.quantile(np.ptp(drawn, axis=1), 0.025)) > 0
        family = list(contrasts(np.zeros(400), right, groups.astype(str).tolist(), names, reference="0").values())
        level = simultaneous_level(family, draws=4000)
        bounds = [one.interval(1 - 2 * level) for one in family]
        found["signed"] += any(low is not None and high is not None and (low > 0 or high < 0) for low, high in bounds)
    assert found["max - min"] == 60
    assert found["signed"] / 60 <= at_most(0.10, 60)


def test_mutant_permutation_p_of_k_over_b_can_be_zero() -> None:
    rng = np.random.default_rng(1)
    draws = rng.normal(size=99)
    assert np.mean(draws >= 10.0) == 0.0  # the mutant
    assert permutation_p(10.0, draws) == 0.01
    null = [permutation_p(float(x[0]), x[1:]) for x in rng.normal(size=(2000, 21))]
    mutant = [float(np.mean(x[1:] >= x[0])) for x in rng.normal(size=(2000, 21))]
    assert np.mean(np.array(null) <= 0.05) <= at_most(0.05, 2000)
    assert np.mean(np.array(mutant) <= 0.05) > at_most(0.05, 2000)


def test_mutant_one_sided_margin_calls_a_gain_beyond_the_margin_the_same() -> None:
    """`same` if the loss is surely below the margin: a change of twice the margin the other way would pass."""
    rng = np.random.default_rng(2)
    names = [str(i) for i in range(200)]
    mutant = ours = 0
    for _ in range(100):
        one = compare(np.zeros(200), rng.normal(-0.6, 1, 200), names)
        low, high = one.interval(0.90)
        assert low is not None
        assert high is not None
        mutant += high < 0.3
        ours += low > -0.3 and high < 0.3
    assert mutant == 100
    assert ours == 0


def test_mutant_no_difference_found_is_not_no_difference() -> None:
    """`same` if p > .05: at twenty items it is said of a change as large as the margin more often than not."""
    rng = np.random.default_rng(3)
    said = [
        (compare(np.zeros(20), rng.normal(0.3, 1, 20), [str(i) for i in range(20)]).p_value() or 1) > 0.05
        for _ in range(300)
    ]
    assert np.mean(said) > 0.5


def test_mutant_bootstrap_over_three_seeds_covers_two_thirds() -> None:
    rng = np.random.default_rng(4)
    covered = {"percentile": 0, "student": 0}
    for _ in range(1500):
        effects = rng.normal(size=3)
        means = effects[rng.integers(0, 3, (500, 3))].mean(axis=1)
        low, high = np.quantile(means, [0.025, 0.975])
        covered["percentile"] += low <= 0 <= high
        estimate = over_seeds(effects)
        assert estimate.low is not None
        assert estimate.high is not None
        covered["student"] += estimate.low <= 0 <= estimate.high
    assert covered["percentile"] / 1500 < 0.80
    assert covered["student"] / 1500 == pytest.approx(0.95, abs=0.02)


def test_mutant_percentile_bootstrap_of_small_groups_is_too_narrow() -> None:
    """Why contrasts of groups join the groups' own intervals: 8 clusters a group, continuous scores."""
    rng = np.random.default_rng(5)
    groups, names = ["a"] * 8 + ["b"] * 8, [str(i) for i in range(16)]
    covered = {"bootstrap": 0, "ours": 0}
    for _ in range(600):
        change = rng.normal(size=16)
        drawn = group_rates(change, groups, cluster_weights(names, 400, rng, groups))
        low, high = np.quantile(drawn[:, 0] - drawn[:, 1], [0.025, 0.975])
        covered["bootstrap"] += low <= 0 <= high
        estimate = contrasts(np.zeros(16), change, groups, names, reference="b")["a"].change
        assert estimate.low is not None
        assert estimate.high is not None
        covered["ours"] += estimate.low <= 0 <= estimate.high
    assert covered["bootstrap"] / 600 < 0.93
    assert covered["ours"] / 600 >= 0.93


def test_mutant_normal_quantile_is_too_narrow_for_few_clusters() -> None:
    rng = np.random.default_rng(6)
    covered = {"z": 0, "t": 0}
    for _ in range(2000):
        x = rng.normal(size=6)
        half = 1.959964 * x.std(ddof=1) / math.sqrt(6)
        covered["z"] += abs(x.mean()) <= half
        low, high = mean_interval(x)
        covered["t"] += low is not None and high is not None and low <= 0 <= high
    assert covered["z"] / 2000 < 0.93
    assert covered["t"] / 2000 == pytest.approx(0.95, abs=0.015)
    assert float(scipy_stats.t.ppf(0.975, 5)) == pytest.approx(2.571, abs=5e-4)  # any table


def test_the_committed_table_keeps_the_bounds() -> None:
    """The full grid, as it was last run: 2,000 audits a row."""
    page = (Path(__file__).parent / "calibration" / "README.md").read_text(encoding="utf-8")
    rows = [
        [cell.strip() for cell in line.strip("| ").split("|")] for line in page.splitlines() if line.startswith("| ")
    ]
    grid = [row for row in rows if len(row) == 8 and row[1].isdigit() and "stress" not in row[0]]
    assert len(grid) == len(HELD) * 5 * 2
    slack = 3 * math.sqrt(0.05 * 0.95 / 2000)
    for name, n, change, _, wrong, same, covered, _ in grid:
        assert float(wrong) <= 0.05 + slack, (name, n)
        assert change == "0" or float(same) <= 0.05 + slack, (name, n)
        if covered:
            assert float(covered) >= 0.93, (name, n)
            if name in ("continuous", "clustered, ICC .3") and int(n) >= 50:
                assert float(covered) <= 0.97, (name, n)
    powers = [float(row[3]) for row in rows if len(row) == 4 and row[2].isdigit()]
    assert len(powers) == 6
    assert all(abs(power - 0.80) <= 0.05 for power in powers)


def test_the_committed_table_of_the_gap_keeps_its_bounds() -> None:
    """Of representation; 3 standard errors of the repeats of a row on top of .05, and .93 of the intervals."""
    text = (Path(__file__).parent / "calibration" / "gap.md").read_text(encoding="utf-8")
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ") and line[2].isdigit()]
    repeats = {30: 200, 100: 200, 200: 150, 500: 80}
    assert len(rows) == 16
    for n, share, position, coverage, same, worse, *_ in rows:
        slack = 3 * math.sqrt(0.05 * 0.95 / repeats[int(n)])
        assert float(coverage) >= 0.95 - slack
        if share == "0.2":  # the margin: neither may be said
            assert max(float(same), float(worse)) <= 0.05 + slack
        if share == "0":
            assert float(worse) <= 0.05 + slack
        if int(n) >= 100:
            assert float(position.split()[0]) == pytest.approx(float(share), abs=0.015)
    assert float(rows[-4][4]) > 0.9  # 500 texts of one domain are called so: "always unclear" fails


def test_no_twin_that_knows_nothing_is_ranked_above_its_base() -> None:
    text = (Path(__file__).parent / "calibration" / "choose.md").read_text(encoding="utf-8")
    assert "it would have ranked 0 of 550 twins above MiniLM" in text
