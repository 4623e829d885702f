"""Known answers from outside, and what the wrong formulas would have said."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import stats as scipy_stats

from audit.stats import (
    cluster_means,
    clusters_needed,
    compare,
    discordant_needed,
    mcnemar,
    mean_interval,
    newcombe,
    permutation_p,
    proportion_interval,
    simultaneous_level,
    tango,
)

# Student (1908), additional hours of sleep of ten patients under two drugs; R: t.test(..., paired = TRUE)
SLEEP_1 = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
SLEEP_2 = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]


def wald(b: int, c: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """The interval that peers use, and this project does not."""
    z = scipy_stats.norm.ppf((1 + confidence) / 2)
    half = z * math.sqrt(b + c - (b - c) ** 2 / n) / n
    return (b - c) / n - half, (b - c) / n + half


def test_students_sleep_data() -> None:
    result = compare(SLEEP_1, SLEEP_2, [str(i) for i in range(10)])
    assert result.method == "student-t over cluster means"
    assert result.change.value == pytest.approx(1.58)
    assert result.change.low == pytest.approx(0.70, abs=0.005)
    assert result.change.high == pytest.approx(2.46, abs=0.005)
    assert result.p_value() == pytest.approx(0.00283, abs=0.00001)  # R prints p-value = 0.002833


def test_mcnemar_is_the_binomial_tail() -> None:
    assert mcnemar(12, 4, "greater") == pytest.approx(0.03841, abs=5e-6)
    assert mcnemar(12, 4) == pytest.approx(2 * 2517 / 65536, abs=1e-12)  # R: binom.test(12, 16)
    assert mcnemar(0, 0) == 1.0


@pytest.mark.parametrize(
    ("b", "c", "n", "low", "high"),
    [
        (1, 7, 21, -0.517, -0.026),  # Fagerland, Lydersen and Laake (2014), airway data
        (0, 0, 100, -0.0370, 0.0370),  # z²/(n + z²), by hand
    ],
)
def test_tango_against_published_values(b: int, c: int, n: int, low: float, high: float) -> None:
    assert tango(b, c, n) == pytest.approx((low, high), abs=5e-4)


def test_newcombe_against_published_values() -> None:
    assert newcombe(1, 1, 7, 12) == pytest.approx((-0.507, -0.026), abs=5e-4)  # Fagerland et al. (2014)


@pytest.mark.parametrize(("b", "c", "n"), [(3, 1, 50), (10, 20, 100), (0, 5, 30), (7, 7, 200), (50, 0, 60)])
def test_tango_is_where_the_score_test_stops_rejecting(b: int, c: int, n: int) -> None:
    """Independent check: maximise the multinomial likelihood under a fixed difference numerically."""
    from scipy.optimize import minimize_scalar

    def score(delta: float) -> float:
        def unlikely(q: float) -> float:  # q = P(c-type discordance); b-type is q + delta
            terms = [(b, q + delta), (c, q), (n - b - c, 1 - 2 * q - delta)]
            return -sum(count * math.log(max(p, 1e-300)) for count, p in terms if count)

        bounds = (max(0.0, -delta) + 1e-12, (1 - delta) / 2 - 1e-12)
        q = float(minimize_scalar(unlikely, bounds=bounds, method="bounded", options={"xatol": 1e-13}).x)
        return (b - c - n * delta) / math.sqrt(n * (2 * q + delta - delta**2))

    low, high = tango(b, c, n)
    assert low is not None
    assert high is not None
    assert abs(score(low)) == pytest.approx(1.959964, abs=2e-3)
    assert abs(score(high)) == pytest.approx(1.959964, abs=2e-3)


def test_ten_items_without_a_flip_prove_little() -> None:
    low, high = tango(0, 0, 10, confidence=0.90)
    assert high == pytest.approx(0.213, abs=5e-4)
    assert low == pytest.approx(-0.213, abs=5e-4)
    assert wald(0, 0, 10) == (0.0, 0.0)  # the mutant: certainty from ten items


@pytest.mark.parametrize(("n", "margin"), [(50, 0.02), (100, 0.02)])
def test_wald_calls_a_loss_at_the_margin_the_same_and_tango_does_not(n: int, margin: float) -> None:
    rng = np.random.default_rng(1)
    losses = rng.binomial(n, margin, size=4000)  # true loss = margin, no gains
    said = {name: np.mean([interval(b, n) < margin for b in losses]) for name, interval in UPPER.items()}
    assert said["tango"] <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 4000)
    assert said["wald"] > 0.10


UPPER: dict[str, Callable[[int, int], float]] = {
    "tango": lambda b, n: tango(int(b), 0, n, 0.90)[1] or 0.0,
    "wald": lambda b, n: wald(int(b), 0, n, 0.90)[1],
}


def test_intervals_of_clustered_items_hold_and_unclustered_ones_do_not() -> None:
    """Intra-class correlation .3, 40 clusters of 1 to 9 items, true change 0."""
    rng = np.random.default_rng(2)
    covered = {"clustered": 0, "unclustered": 0}
    repeats = 1000
    for _ in range(repeats):
        sizes = rng.integers(1, 10, 40)
        clusters = np.repeat(np.arange(40), sizes).astype(str)
        change = np.repeat(rng.normal(0, math.sqrt(0.3), 40), sizes) + rng.normal(0, math.sqrt(0.7), sizes.sum())
        means, _ = cluster_means(change, clusters.tolist())
        for name, values in (("clustered", means), ("unclustered", change)):
            low, high = mean_interval(values)
            assert low is not None
            assert high is not None
            covered[name] += low <= 0 <= high
    assert covered["clustered"] / repeats >= 0.93
    assert covered["unclustered"] / repeats < 0.90  # the mutant


def test_a_family_is_wrong_no_more_often_than_one_finding() -> None:
    """Nine correlated quantities without a change: some interval at 90 % excludes 0 in at most 10 % of the runs."""
    rng = np.random.default_rng(3)
    names = [str(i) for i in range(60)]
    wrong = {"max-T": 0, "unadjusted": 0}
    repeats = 300
    for _ in range(repeats):
        common = rng.normal(size=60)
        family = [compare(np.zeros(60), 0.5 * common + rng.normal(size=60), names) for _ in range(9)]
        level = simultaneous_level(family, draws=4000)
        for name, alpha in (("max-T", level), ("unadjusted", 0.05)):
            intervals = [one.interval(1 - 2 * alpha) for one in family]
            wrong[name] += any(
                low is not None and high is not None and (low > 0 or high < 0) for low, high in intervals
            )
    slack = 3 * math.sqrt(0.1 * 0.9 / repeats)
    assert wrong["max-T"] / repeats <= 0.10 + slack
    assert wrong["unadjusted"] / repeats > 0.30  # the mutant


def test_max_t_does_not_depend_on_which_eigenvectors_a_processor_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    """LAPACK leaves their signs open, and other processors find others; -0 and 0 have different bytes."""
    rng = np.random.default_rng(7)
    shared = rng.normal(size=60)
    family = [
        compare(np.zeros(60), share * shared + rng.normal(size=60), [f"c{i}" for i in range(60)])
        for share in (0.0, 0.4, 0.8, 1.2)
    ]
    level, eigh, rounded = simultaneous_level(family), np.linalg.eigh, np.round

    def turned(matrix: Any) -> Any:
        values, vectors = eigh(matrix)
        return values, vectors * [1, -1, -1, 1]

    monkeypatch.setattr(np.linalg, "eigh", turned)
    assert simultaneous_level(family) == pytest.approx(level, rel=1e-12)
    monkeypatch.setattr(np, "round", lambda numbers, digits: np.where((z := rounded(numbers, digits)) == 0, -0.0, z))
    assert simultaneous_level(family) == pytest.approx(level, rel=1e-12)


def test_max_t_lies_between_bonferroni_and_nothing() -> None:
    rng = np.random.default_rng(4)
    names = [str(i) for i in range(50)]
    shared = rng.normal(size=50)
    apart = [compare(np.zeros(50), rng.normal(size=50), names) for _ in range(5)]
    alike = [compare(np.zeros(50), shared + 0.05 * rng.normal(size=50), names) for _ in range(5)]
    assert 0.05 / 5 <= simultaneous_level(apart) < 0.0125
    assert 0.03 < simultaneous_level(alike) <= 0.05
    assert simultaneous_level([]) == 0.05


def test_the_planner_keeps_its_promise() -> None:
    """Power of `same` at the planned n is 80 %: for means and for binary outcomes."""
    rng = np.random.default_rng(5)
    n = clusters_needed(spread=1.0, margin=0.5)
    assert n is not None
    hits = 0
    for _ in range(1500):
        low, high = mean_interval(rng.normal(size=n), 0.90)
        hits += low is not None and high is not None and low > -0.5 and high < 0.5
    assert hits / 1500 == pytest.approx(0.80, abs=0.05)
    share, margin = 0.10, 0.05
    n = discordant_needed(share, margin)
    assert n is not None
    hits = 0
    for _ in range(1500):
        b, c, _ = rng.multinomial(n, [share / 2, share / 2, 1 - share])
        low, high = tango(int(b), int(c), n, 0.90)
        hits += low is not None and high is not None and -margin < low and high < margin
    assert hits / 1500 == pytest.approx(0.80, abs=0.05)


def test_a_permutation_p_is_never_zero() -> None:
    assert permutation_p(10.0, np.zeros(999)) == 0.001
    assert permutation_p(0.0, np.zeros(999)) == 1.0
    with pytest.raises(ValueError, match="finite"):
        permutation_p(0.0, [])


def test_saying_everything_twice_changes_nothing() -> None:
    rng = np.random.default_rng(6)
    for base, adapted in (
        (rng.normal(size=40), rng.normal(size=40)),
        (rng.integers(0, 2, 40), rng.integers(0, 2, 40)),
    ):
        names = [str(i) for i in range(40)]
        order = rng.permutation(80)
        twice = [np.concatenate([side, side])[order] for side in (base, adapted)]
        once, again = compare(base, adapted, names), compare(twice[0], twice[1], [(names + names)[i] for i in order])
        assert (again.change, again.base, again.adapted) == (once.change, once.base, once.adapted)
        assert again.n_clusters == once.n_clusters
        assert again.method == once.method


def test_swapping_the_models_negates_the_change() -> None:
    rng = np.random.default_rng(7)
    names = [str(i) for i in range(40)]
    for sides in ((rng.normal(size=40), rng.normal(size=40)), (rng.integers(0, 2, 40), rng.integers(0, 2, 40))):
        there, back = compare(sides[0], sides[1], names).change, compare(sides[1], sides[0], names).change
        assert back.value == -there.value
        assert back.bounds() == pytest.approx(there.negated().bounds(), abs=1e-9)


@pytest.mark.parametrize(
    ("values", "message"),
    [([], "no items"), ([0.0, math.nan], "not finite"), ([0.0, math.inf], "not finite")],
)
def test_what_cannot_be_compared_is_an_error(values: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        compare(values, values, [str(i) for i in range(len(values))])


def test_lengths_must_agree() -> None:
    with pytest.raises(ValueError, match="2 clusters for values of shape"):
        compare([1.0], [2.0], ["a", "b"])


@pytest.mark.parametrize("n", [1, 2, 3])
def test_few_items_never_give_a_zero_width_interval(n: int) -> None:
    names = [str(i) for i in range(n)]
    for sides in (([0] * n, [0] * n), ([0.5] * n, [0.7] * n), ([0] * n, [1] * n)):
        change = compare(sides[0], sides[1], names).change
        assert change.low is None or (change.high is not None and change.high > change.low)


def test_proportions_and_counts_are_checked() -> None:
    assert proportion_interval(0, 0) == (None, None)
    assert tango(0, 0, 0) == (None, None)
    with pytest.raises(ValueError, match="3 of 2 is not a proportion"):
        proportion_interval(3, 2)
    for b, c in ((-1, 0), (3, 3)):
        with pytest.raises(ValueError, match="discordant pairs of 5"):
            tango(b, c, 5)
    with pytest.raises(ValueError, match="margin"):
        clusters_needed(1.0, -0.1)


def test_thousands_of_flips_one_way_leave_a_p_above_0() -> None:
    found = compare(np.zeros(5000), np.ones(5000), [str(n) for n in range(5000)])
    p = found.p_value()
    assert p is not None
    assert 0 < p < 1e-300
