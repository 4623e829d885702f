"""Data savings: known multipliers, honest bounds, and records that refuse what was not measured."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError
from scipy import optimize
from scipy.special import expit, logit

from audit.audits.transfer.multiplier import draw, monotone, needed, reached, savings
from audit.audits.transfer.power_law import beyond, power_law
from audit.finding import Estimate
from audit.publish.card.transfer import headlines, saving_sentence
from audit.savings import Curve, Needed, Point, Saving, Texts

Array = NDArray[np.float64]
SIZES = np.array([30, 60, 120, 240, 480, 960, 1920])


# --- known answers ----------------------------------------------------------------------------------------------------


def pretrained_and_not(n0: int, replicates: int = 200, features: int = 40, tests: int = 200) -> tuple[Array, Array]:
    """Excess losses of ridge regression on n rows, "pretrained" on n0 rows of the same source, and without them."""
    rng = np.random.default_rng(n0)
    asked = rng.standard_normal((tests, features))
    losses = np.zeros((2, replicates, len(SIZES), tests))
    for replicate in range(replicates):
        truth = rng.standard_normal(features) / features**0.5
        x = rng.standard_normal((n0 + SIZES[-1], features))
        y = x @ truth + rng.standard_normal(len(x))
        before = x[:n0].T @ x[:n0], x[:n0].T @ y[:n0]
        for place, n in enumerate(SIZES):
            rows = slice(n0, n0 + n)
            gram, moment = features * np.eye(features) + x[rows].T @ x[rows], x[rows].T @ y[rows]
            for arm, (a, b) in enumerate(((gram + before[0], moment + before[1]), (gram, moment))):
                losses[arm, replicate, place] = (asked @ (np.linalg.solve(a, b) - truth)) ** 2
    return losses[0], losses[1]


@pytest.mark.parametrize("n0", [100, 400, 1000])
def test_pretraining_on_n0_rows_of_the_same_source_transfers_n0(n0: int) -> None:
    """The sufficient statistics of n + n0 rows are those of n + n0 rows, wherever these came from: D_T = n0 exactly."""
    base, control = pretrained_and_not(n0)
    found = {one.n: one for one in savings(draw({"base": base, "random_init": control}, SIZES.tolist()), "probe")}
    for n in (30, 120, 480):
        one = found[n]
        assert one.censored is None
        assert one.transferred == pytest.approx(n0, rel=0.15)
        assert one.value == pytest.approx((n + n0) / n, rel=0.15)


@pytest.mark.parametrize(("a", "b", "c"), [(1.0, 1.0, 0.0), (1.0, 0.5, 0.05), (0.5, 0.3, 0.1)])
def test_between_the_sizes_a_power_law_is_followed(a: float, b: float, c: float) -> None:
    truth = np.linspace(35, 1900, 40)
    curve = np.repeat((a * (SIZES / 30) ** -b + c)[:, None], 40, axis=1)
    assert reached(SIZES.astype(float), curve, a * (truth / 30) ** -b + c, 1.0) == pytest.approx(truth, rel=0.025)


def test_isotonic_regression_is_scipys() -> None:
    curves = np.random.default_rng(0).standard_normal((7, 50))
    expected = [optimize.isotonic_regression(curve, increasing=False).x for curve in curves.T]
    assert monotone(curves) == pytest.approx(np.array(expected).T, abs=1e-12)


def simulated(rng: np.random.Generator, clusters: int) -> tuple[dict[str, Array], dict[int, float]]:
    """Errors of five seeds on items that differ in difficulty, and the texts that the control truly needs."""
    sizes = np.array([16, 32, 64, 128, 256, 512])

    def base_law(n: Any) -> Any:
        return 0.45 * (n / 16) ** -0.6 + 0.05

    def control_law(n: Any) -> Any:
        return 0.5 * (n / 16) ** -0.25

    nodes, weights = np.polynomial.hermite_e.hermegauss(60)

    def expected(rate: float) -> float:  # over items and seeds
        return float(weights @ expit(logit(rate) + np.sqrt(1 + 0.15**2 + 0.1**2) * nodes) / weights.sum())

    def gap(log_n: float, n: int) -> float:
        return expected(control_law(np.exp(log_n))) - expected(base_law(n))

    truth = {int(n): float(np.exp(optimize.brentq(gap, 1.0, 12.0, args=(n,)))) for n in (32, 64, 128)}
    difficulty, tables = rng.standard_normal(clusters), {}
    for arm, law in (("base", base_law), ("random_init", control_law)):
        of_seed = 0.15 * rng.standard_normal((5, 1, 1)) + 0.1 * rng.standard_normal((5, len(sizes), 1))
        rates = expit(logit(law(sizes))[None, :, None] + difficulty + of_seed)
        tables[arm] = (rng.random((5, 1, clusters)) < rates).astype(float)
    return tables, truth


def test_the_interval_covers() -> None:
    """At 32 and 64 texts the control needs 69 and 274 (within its curve), at 128 it needs 969 (beyond its end)."""
    rng, repeats = np.random.default_rng(5), 150
    held = {32: 0, 64: 0, 128: 0}
    ended = 0
    for _ in range(repeats):
        tables, truth = simulated(rng, 400)
        for one in savings(draw(tables, [16, 32, 64, 128, 256, 512], counts=True), "probe"):
            if one.n in held:
                low, high = one.texts_low, one.texts_high
                above = low.only == "at most" or low.n <= truth[one.n]
                below = high.only == "at least" or truth[one.n] <= high.n
                held[one.n] += above and below
                ended += one.n == 128 and one.texts_high.only == "at least"
    assert 0.9 <= held[32] / repeats <= 1
    assert 0.9 <= held[64] / repeats <= 1
    assert held[128] / repeats >= 0.975
    assert ended / repeats >= 0.975
    assert (held[32] + held[64]) / (2 * repeats) <= 0.99, "an interval that always covers says nothing"


def test_draws_spread_as_students_t() -> None:
    """What varies over five seeds alone, or over clusters alone: the published t interval (R's ``t.test``)."""
    values = np.random.default_rng(3).standard_normal(5)
    mean, half = values.mean(), 2.776445 * values.std(ddof=1) / 5**0.5  # t(.975) with 4 degrees of freedom
    for shape in ((5, 1, 1), (1, 1, 5)):
        table = np.broadcast_to(values.reshape(shape), (5, 2, 5))
        drawn = [
            draw({"base": table + 1e-3 * n}, [16, 32]).curves["base"][0, 1:] for n in range(20)
        ]  # the data seed the draws
        low, high = np.quantile(np.concatenate(drawn) - 0.0095, [0.025, 0.975])
        assert (low, high) == pytest.approx((mean - half, mean + half), abs=0.05 * half)


def test_both_arms_are_drawn_together() -> None:
    table = around(0.4 * (SIZES / 30) ** -0.5)
    drawn = draw({"base": table, "random_init": table}, SIZES.tolist()).curves
    assert (drawn["base"] == drawn["random_init"]).all()


def test_no_error_seen_is_no_proof_that_there_is_none() -> None:
    never = np.zeros((5, 2, 50))
    assert draw({"base": never}, [16, 32], counts=True).curves["base"][1, 1:].std() == pytest.approx(1 / 50, rel=0.1)
    assert draw({"base": never}, [16, 32]).curves["base"].std() == 0


# --- censoring --------------------------------------------------------------------------------------------------------


def around(law: Array, spread: float = 0.01, seed: int = 0) -> Array:
    """Losses of five seeds on 60 clusters whose mean is a curve exactly."""
    rng = np.random.default_rng(seed)
    of_seeds, of_clusters = rng.standard_normal((5, 1, 1)), rng.standard_normal((1, 1, 60))
    table: Array = law[None, :, None] + spread * (of_seeds - of_seeds.mean() + of_clusters - of_clusters.mean())
    return table


def test_a_control_that_never_gets_there_gives_a_bound() -> None:
    base, plateau = around(0.4 * (SIZES / 30) ** -0.5), around(0.2 * (SIZES / 30) ** -1.0 + 0.3)
    found = savings(draw({"base": base, "random_init": plateau}, SIZES.tolist()), "probe")
    first, last = found[0], found[-1]
    assert first.censored is None
    assert last.censored == "above"
    assert last.texts == last.texts_low == last.texts_high == Texts(n=1920, only="at least")
    assert (last.value, str(last)) == (1.0, "> 1.0x (more than 1.0)")
    assert last.extrapolated is None, "no power law reaches below its floor"
    assert found[3].texts == Texts(n=1920, only="at least")
    assert found[3].value == pytest.approx(8)


def test_what_a_power_law_says_beyond_the_end_stands_apart() -> None:
    """The control needs four times the texts; at the end of both curves that is out of its reach."""
    base, control = around(0.4 * (SIZES / 30) ** -0.5, 0.001), around(0.4 * (SIZES / 120) ** -0.5, 0.001, seed=1)
    found = savings(draw({"base": base, "random_init": control}, SIZES.tolist()), "probe")
    assert [one.extrapolated for one in found[:5]] == [None] * 5
    assert [one.value for one in found[:5]] == pytest.approx([4.0] * 5)
    last = found[-1]
    assert last.censored == "above"
    assert last.value == 1.0
    assert last.extrapolated is not None
    assert last.extrapolated.low is not None
    assert last.extrapolated.high is not None
    assert last.extrapolated.low <= 4 <= last.extrapolated.high
    assert last.extrapolated.value == pytest.approx(4, rel=0.1)


def test_a_control_that_starts_below_gives_a_bound_too() -> None:
    tables = {"base": around(0.5 * (SIZES / 30) ** -0.1), "random_init": around(0.1 * (SIZES / 30) ** -0.1)}
    first = savings(draw(tables, SIZES.tolist()), "probe")[0]
    assert first.censored == "below"
    assert str(first) == "< 1.0x (less than 1.0)"


def test_a_bound_among_censored_draws_is_a_bound() -> None:
    base, control = around(0.4 * (SIZES / 30) ** -0.5, 0.05), around(0.4 * (SIZES / 70) ** -0.5, 0.05, seed=1)
    found = savings(draw({"base": base, "random_init": control}, SIZES.tolist()), "probe")
    mixed = [one for one in found if one.censored is None and one.texts_high.only == "at least"]
    assert mixed
    assert all(one.texts_high.n == 1920 and one.texts_low.only is None for one in mixed)


def test_against_itself_a_text_is_worth_a_text() -> None:
    noise = np.random.default_rng(1).integers(0, 2, (5, len(SIZES), 50)).astype(float)
    found = savings(draw({"base": noise, "random_init": noise}, SIZES.tolist(), counts=True), "probe")
    assert [one.value for one in found] == [1.0] * len(SIZES)
    assert all(one.transferred == 0 for one in found)


def test_few_test_clusters_say_nothing() -> None:
    tables = {arm: around(0.4 * (SIZES / n) ** -0.5)[:, :, :4] for arm, n in (("base", 30), ("random_init", 120))}
    for one in savings(draw(tables, SIZES.tolist()), "probe"):
        assert one.texts_low == Texts(n=30, only="at most")
        assert one.texts_high == Texts(n=1920, only="at least")


def test_the_price_of_a_target() -> None:
    drawn = draw({"base": around(0.4 * (SIZES / 30) ** -0.5), "random_init": around(0.5 + 0 * SIZES)}, SIZES.tolist())
    base, control = needed(drawn, "probe", 0.1)
    assert base.texts.n == pytest.approx(480)
    assert base.texts_low.n < 480 < base.texts_high.n
    assert str(control.texts) == "at least 1920"
    assert control.extrapolated is None


# --- the power law ----------------------------------------------------------------------------------------------------


def test_a_power_law_is_found_again() -> None:
    law = np.array([[0.4, 0.5, 0.0], [0.3, 1.0, 0.1], [0.2, 0.25, 0.2]]).T
    curves = law[0] * (SIZES[:, None] / 30.0) ** -law[1] + law[2]
    assert np.stack(power_law(SIZES.astype(float), curves)) == pytest.approx(law, abs=1e-6)


def test_a_fit_that_carries_nothing_is_not_shown() -> None:
    sizes, rng = SIZES.astype(float), np.random.default_rng(0)
    curves = (0.3 * (sizes / 30) ** -0.5 + 0.1)[:, None] + 0.02 * rng.standard_normal((7, 501))
    assert beyond(sizes, curves, np.full(501, 0.05)) is None, "below its floor"
    assert beyond(sizes, curves, np.full(501, 0.105)) is None, "further than ten times the curve"
    law = (0.3 * (sizes / 30) ** -0.5)[:, None] + 0.0001 * rng.standard_normal((7, 501))
    for count, carried in ((4, True), (3, False)):  # three sizes for three parameters carry nothing
        aim = np.full(501, 0.3 * (2 * sizes[count - 1] / 30) ** -0.5)
        assert (beyond(sizes[:count], law[:count], aim) is not None) == carried


def test_no_error_rate_falls_below_nothing() -> None:
    straight = (0.5 - 0.08 * np.log(SIZES / 30.0))[:, None]  # by a law with a floor below 0
    a, _, c = power_law(SIZES.astype(float), straight)
    assert c[0] >= 0
    assert a[0] > 0


# --- records ----------------------------------------------------------------------------------------------------------


def saving(**changes: Any) -> dict[str, Any]:
    written: dict[str, Any] = Saving(
        control="random_init", how="probe", n=100, smallest=16, largest=800, texts=Texts(n=400),
        texts_low=Texts(n=200), texts_high=Texts(n=800, only="at least"),
    ).model_dump(mode="json")  # fmt: skip
    return {**written, **changes}


def test_a_saving_survives_the_file() -> None:
    one = Saving.model_validate(saving())
    assert (one.value, one.low, one.high, one.transferred, one.censored) == (4.0, 2.0, 8.0, 300.0, None)
    assert Saving.model_validate(one.model_dump(mode="json")) == one


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"value": 14.6}, "says value = 14.6, but its numbers say 4.0"),
        ({"censored": "above"}, "says censored = 'above', but its numbers say None"),
        ({"transferred": 5.0}, "says transferred = 5.0, but its numbers say 300.0"),
        ({"texts": {"n": 5000.0}}, "5000 texts were not measured, the curve goes from 16 to 800"),
        ({"texts": {"n": 500.0, "only": "at least"}}, "at least 500 texts were not measured"),
        ({"texts_high": {"n": 8000.0}}, "8000 texts were not measured"),
        ({"texts_low": {"n": 800.0, "only": "at least"}, "texts_high": {"n": 700.0}}, "an interval from at least 800"),
        ({"extrapolated": {"value": 9.0, "low": 8.0, "high": 10.0}}, "extrapolated, though it was measured"),
    ],
)
def test_a_saving_refuses_what_its_numbers_deny(changes: dict[str, Any], message: str) -> None:
    derived = ("value", "low", "high", "censored", "transferred")
    kept = {key: value for key, value in saving().items() if key not in derived or key in changes}
    with pytest.raises(ValidationError, match=message):
        Saving.model_validate({**kept, **changes})


def test_an_extrapolation_has_an_interval_and_lies_beyond() -> None:
    kept = {key: saving()[key] for key in ("control", "how", "n", "smallest", "largest")}
    ends = {key: {"n": 800.0, "only": "at least"} for key in ("texts", "texts_low", "texts_high")}
    for law in ({"value": 9.0}, {"value": 7.0, "low": 6.0, "high": 10.0}):
        with pytest.raises(ValidationError, match="without an interval, or to less than what was measured"):
            Saving.model_validate({**kept, **ends, "extrapolated": law})
    assert Saving.model_validate({**kept, **ends, "extrapolated": {"value": 9, "low": 6, "high": 10}}).value == 8


def test_a_price_and_a_curve_refuse_too() -> None:
    ends = dict.fromkeys(("texts", "texts_low", "texts_high"), Texts(n=40))
    with pytest.raises(ValidationError, match="extrapolated, though it was measured"):
        Needed(
            arm="base", how="probe", target=0.1, smallest=16, largest=800,
            extrapolated=Estimate(value=900, low=850, high=950), **ends,
        )  # fmt: skip
    with pytest.raises(ValidationError, match="two sizes that grow"):
        Curve(arm="base", how="probe", points=[Point(n=16, error=Estimate(value=0.1))] * 2)


def test_the_headline_is_what_the_interval_promises_most_of() -> None:
    def saving(n: int, at: Texts, low: Texts, high: Texts) -> Saving:
        return Saving(
            control="random_init", how="probe", n=n, smallest=16, largest=600, texts=at, texts_low=low, texts_high=high
        )

    end, start = Texts(n=600, only="at least"), Texts(n=16, only="at most")
    wide = saving(16, Texts(n=440), start, end)  # from nothing to everything
    firm = saving(64, end, Texts(n=256), end)
    weak = saving(256, end, Texts(n=300), end)
    below = saving(32, start, start, Texts(n=40))
    assert headlines([wide, firm, weak, below]) == [firm]
    assert headlines([below, saving(100, Texts(n=100), Texts(n=90), Texts(n=120))])[0].n == 100
    assert "more than 9.4" in saving_sentence(firm)
