"""The causal probes of forgetting on recorded answers, whose truth is a closed form or was planted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.stats import entropy, t

from audit.audits import Question, findings
from audit.audits.forgetting import IN_DOMAIN, Probe, compared
from audit.audits.forgetting import language as probes
from audit.audits.forgetting.choice import multiple_choice
from audit.audits.forgetting.language import divergence, end_of_turn, general_text, next_token
from audit.errors import InputError
from audit.finding import MIN_CLUSTERS_FOR_SAME, Estimate, Verdict
from audit.items import passages
from audit.models.load import load_base
from audit.models.source import resolve
from audit.stats import compare, compare_skewed, skewed_interval
from audit.view import Item, Kind, NotMeasurable, View, replay
from tests import families

Array = NDArray[Any]  # numbers, or right and wrong

TEXTS = [Item(id=f"t{n}", cluster=f"d{n}", text=f"a text of number {n:03d}") for n in range(40)]
TEXT_BYTES = 20
PROMPTS = [Item(id=f"p{n}", cluster=f"p{n}", prompt=f"Sort number {n}:", options=(" a", " b")) for n in range(40)]


def answering(question: str, values: Array, items: Sequence[Item] = TEXTS, **more: Array) -> View:
    """A record of one row of values an item."""
    tables = []
    for name, rows in {question: values, **more}.items():
        flat = np.asarray(rows, dtype=np.float64).reshape(len(items), -1)
        width = flat.shape[1]
        ids, index = np.repeat([item.id for item in items], width), np.tile(np.arange(width), len(items))
        tables.append(pd.DataFrame({"id": ids, "question": name, "index": index, "value": flat.ravel()}))
    return replay(pd.concat(tables), kind="causal")


def scores(question: Question) -> dict[str, tuple[float, float]]:
    return {
        item.id: (float(was), float(now))
        for item, was, now in zip(question.items, question.base, question.adapted, strict=True)
    }


# --- surprise ---------------------------------------------------------------------------------------------------------


def test_nats_per_byte_are_nats_over_bytes() -> None:
    nats = np.linspace(20, 60, 40)
    base, adapted = (answering("log_likelihood", -nats * factor) for factor in (1, 1.5))
    [question] = general_text(base, adapted, TEXTS, margin=0.02)
    for n, item in enumerate(TEXTS):
        assert scores(question)[item.id] == pytest.approx((nats[n] / TEXT_BYTES, 1.5 * nats[n] / TEXT_BYTES))
    assert (question.id, question.unit, question.margin) == ("forgetting/general_text", "nats per byte", 0.02)
    [inside] = general_text(base, adapted, TEXTS, margin=0.02, group=IN_DOMAIN)
    assert inside.id == "forgetting/general_text/in domain"


def test_a_byte_is_a_byte_and_not_a_character() -> None:
    item = Item(id="a", cluster="a", text="größer")  # 6 characters, 8 bytes
    view = answering("log_likelihood", np.array([-16.0]), [item])
    assert general_text(view, view, [item], margin=0.1)[0].base.tolist() == [2.0]


# --- the likeliest token ----------------------------------------------------------------------------------------------


def tokens(right: Array, there: Array) -> Array:
    """Answers to ``next_tokens``: whether each token was the likeliest, filled up."""
    nats = np.where(there, -1.0, 0.0)
    return np.stack([nats, np.where(there, right, -1)], axis=-1)


def test_planted_flips_of_tokens_are_counted_and_scored_by_document() -> None:
    rng = np.random.default_rng(0)
    there = np.arange(30) < rng.integers(5, 31, 40)[:, None]
    right = (rng.random((40, 30)) < 0.5) & there
    now = right.copy()
    knew, did_not = np.argwhere(right), np.argwhere(~right & there)
    lost, gained = knew[rng.permutation(len(knew))[:23]], did_not[rng.permutation(len(did_not))[:9]]
    now[tuple(lost.T)], now[tuple(gained.T)] = False, True
    base, adapted = (answering("next_tokens", tokens(side, there)) for side in (right, now))
    [question] = next_token(base, adapted, TEXTS, margin=0.02)
    said = f"Of {there.sum():,} tokens, 23 that were the base's likeliest no longer are, and 9 have become so."
    assert question.note == said
    for n, item in enumerate(TEXTS):
        size = there[n].sum()
        expected = [1 - side[n].sum() / size for side in (right, now)]
        assert scores(question)[item.id] == pytest.approx(tuple(expected))
    [back] = next_token(adapted, base, TEXTS, margin=0.02)
    assert back.note.startswith(f"Of {there.sum():,} tokens, 9 that")
    assert np.array_equal(back.base, question.adapted)


def test_sides_that_split_texts_into_other_tokens_are_not_compared_by_token() -> None:
    long, short = np.ones((40, 4), dtype=bool), np.arange(4) < np.where(np.arange(40) == 7, 3, 4)[:, None]
    base = answering("next_tokens", tokens(long, long))
    for other in (tokens(long, short), tokens(long, long)[:, :3]):
        with pytest.raises(NotMeasurable, match="split the texts into other tokens"):
            next_token(base, answering("next_tokens", other), TEXTS, margin=0.02)
    ids = np.arange(160).reshape(40, 4)
    sketch = np.log(np.full((40, 2), 0.5))
    ours, theirs = (
        answering("next_tokens", tokens(long, long), next_token_sketch=sketch, token_ids=one)
        for one in (ids, ids[::-1])
    )
    for probe in (next_token, divergence):
        assert np.all(probe(ours, ours, TEXTS, margin=0.02)[0].adapted == 0)
        with pytest.raises(NotMeasurable, match="split the texts into other tokens"):
            probe(ours, theirs, TEXTS, margin=0.02)


# --- the whole distribution -------------------------------------------------------------------------------------------


def drawn(seed: int, shape: tuple[int, ...]) -> Array:
    """Distributions over a vocabulary of 3 x 4096 tokens, as skewed as those of language."""
    logits = np.random.default_rng(seed).normal(0, 3, (*shape, 3 * 4096))
    weights = np.exp(logits)
    shares: Array = weights / weights.sum(-1, keepdims=True)
    return shares


def test_a_divergence_of_sketches_is_that_of_summed_cells_and_a_lower_bound() -> None:
    """By scipy, entropy(p, q) is the Kullback-Leibler divergence, of the cells and of the whole vocabulary."""
    some = TEXTS[:6]
    base, adapted = drawn(0, (6, 2)), drawn(1, (6, 2))
    mixed = 0.7 * base + 0.3 * adapted
    cells = [side.reshape(6, 2, 3, 4096).sum(axis=2) for side in (base, mixed)]  # token id modulo 4096
    ours, theirs = (answering("next_token_sketch", np.log(side), some) for side in cells)
    [question] = divergence(ours, theirs, some, margin=0.1)
    summed, whole = entropy(cells[0], cells[1], axis=-1).mean(1), entropy(base, mixed, axis=-1).mean(1)
    for n, item in enumerate(some):
        assert scores(question)[item.id] == pytest.approx((0.0, summed[n]), rel=1e-9)
    assert np.all(summed < whole)
    assert np.all(summed > 0.5 * whole)
    [back] = divergence(theirs, ours, some, margin=0.1)
    swapped = entropy(cells[1], cells[0], axis=-1).mean(1)
    assert {name: now for name, (_, now) in scores(back).items()} == pytest.approx(
        dict(zip([item.id for item in some], swapped, strict=True))
    )
    assert "A lower bound: distributions before 2 tokens drawn from each text, summed over 4,096 cells" in question.note
    assert question.question.endswith("over 4,096 cells of the vocabulary (a lower bound)")


def test_a_divergence_of_two_coins_is_the_closed_form() -> None:
    """KL of fair from biased: -ln(2) - (ln h + ln(1 - h)) / 2."""
    heads = np.linspace(0.1, 0.9, 40)
    base = answering("next_token_sketch", np.log(np.full((40, 2), 0.5)), PROMPTS)
    adapted = answering("next_token_sketch", np.log(np.stack([heads, 1 - heads], 1)), PROMPTS)
    [question] = divergence(base, adapted, PROMPTS, margin=0.1, group=IN_DOMAIN)
    expected = -np.log(2) - (np.log(heads) + np.log(1 - heads)) / 2
    for n, item in enumerate(PROMPTS):
        assert scores(question)[item.id] == pytest.approx((0, expected[n]), abs=1e-12)
    assert question.id == "forgetting/divergence/in domain"
    assert "after the prompt" in question.note


def test_what_one_side_never_says_costs_much_and_not_infinitely_much() -> None:
    sure = np.tile([0.0, -100.0], (40, 1))
    ours, theirs = (answering("next_token_sketch", side) for side in (sure, sure[:, ::-1]))
    assert divergence(ours, theirs, TEXTS, margin=0.1)[0].adapted == pytest.approx(np.full(40, 100.0))


def test_rounding_does_not_bring_a_divergence_below_zero_or_far_above() -> None:
    """In float32 the terms p ln(p/q) alone come out at 1e-8 on either side; the truth here is about 1e-13."""
    exact = np.log(drawn(2, (40,)).reshape(40, 3, 4096).sum(1))
    rng = np.random.default_rng(3)
    ours, theirs = (
        answering("next_token_sketch", (exact * (1 + 1e-7 * rng.standard_normal(exact.shape))).astype(np.float32))
        for _ in range(2)
    )
    nats = divergence(ours, theirs, TEXTS, margin=0.1)[0].adapted
    assert np.all(nats >= 0)
    assert nats.max() < 1e-11


def test_of_many_texts_some_are_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "MOST", 10)
    view = answering("next_token_sketch", np.log(np.full((40, 2), 0.5)))
    [question] = divergence(view, view, TEXTS[::-1], margin=0.1)
    assert len(question.items) == 10
    assert {"t0", "t9"} < {item.id for item in question.items}
    assert "10 of 40 texts were asked." in question.note
    assert divergence(view, view, TEXTS, margin=0.1)[0].items == question.items


def skewed(law: str, rng: np.random.Generator, n: int) -> tuple[Array, float]:
    """A sample of a law of skewness 2, and its mean; the lognormal's s solves (e^s² + 2)·√(e^s² - 1) = 2."""
    if law == "exponential":
        return rng.exponential(size=n), 1.0
    s = brentq(lambda s: (np.exp(s * s) + 2) * np.sqrt(np.exp(s * s) - 1) - 2, 0.1, 1)
    return np.exp(s * rng.normal(size=n)), float(np.exp(s * s / 2))


@pytest.mark.parametrize(("law", "n"), [(law, n) for law in ("lognormal", "exponential") for n in (60, 128)])
def test_a_skewed_divergence_at_the_margin_is_seldom_called_the_same(law: str, n: int) -> None:
    """5 in 100 are allowed; of Student's intervals, 7 to 9 in 100 end below the truth."""
    rng, draws = np.random.default_rng(0), 800
    names = [str(i) for i in range(n)]
    below = {"skewed": 0, "student": 0}
    for _ in range(draws):
        nats, truth = skewed(law, rng, n)
        below["skewed"] += (compare_skewed(np.zeros(n), nats, names).interval(0.9)[1] or 0.0) < truth
        below["student"] += (compare(np.zeros(n), nats, names, binary=False).interval(0.9)[1] or 0.0) < truth
    assert below["skewed"] / draws <= 0.06 + 1.6 * np.sqrt(0.06 * 0.94 / draws)
    assert below["student"] >= 1.2 * below["skewed"]


def test_the_interval_of_skewed_scores_solves_halls_cubic() -> None:
    """Hall (1992), solved by bisection: u + g·u²/3 + g²·u³/27 + g/(6n) at both quantiles, g as Fisher's G1."""
    nats = np.random.default_rng(5).exponential(size=40)
    for x in (nats, -nats, nats**3):
        n, mean, s = len(x), x.mean(), x.std(ddof=1)
        g = n * ((x - mean) ** 3).sum() / ((n - 1) * (n - 2) * s**3)
        at = t.ppf(0.975, n - 1) / np.sqrt(n)
        ends = [
            mean - s * brentq(lambda u: u + g * u**2 / 3 + g**2 * u**3 / 27 + g / (6 * n) - end, -99, 99)  # noqa: B023
            for end in (at, -at)
        ]
        assert skewed_interval(x) == pytest.approx(tuple(ends))
    low, high = skewed_interval([1.0, 2.0, 3.0, 4.0, 5.0])  # no skewness: 3 ± 2.776·√(2.5/5)
    assert (low, high) == pytest.approx((3 - 2.7764451 * np.sqrt(0.5), 3 + 2.7764451 * np.sqrt(0.5)))


def test_skewed_intervals_are_nested_and_plan_by_the_half_that_faces_the_margin() -> None:
    nats = np.random.default_rng(1).exponential(size=40)
    found = compare_skewed(np.zeros(40), nats, [str(i) for i in range(40)])
    bounds = [found.interval(confidence) for confidence in (0.5, 0.9, 0.95, 0.999)]
    flat = np.array([*[low for low, _ in reversed(bounds)], found.change.value, *[high for _, high in bounds]], float)
    assert np.all(np.diff(flat) > 0)
    assert (found.base.low, found.base.high) == (None, None)
    assert found.change == found.adapted
    plain = compare(np.zeros(40), nats, [str(i) for i in range(40)], binary=False)
    inside, beyond = 1.3 * found.change.value, found.change.value / 1.3
    assert (found.needed(inside) or 0) > (plain.needed(inside) or 0)
    assert (found.needed(beyond) or 0) < (plain.needed(beyond) or 0)


def test_a_divergence_is_never_negative_so_that_detecting_it_says_nothing() -> None:
    heads = np.random.default_rng(0).uniform(0.4, 0.6, 40)
    base = answering("next_token_sketch", np.log(np.full((40, 2), 0.5)))
    adapted = answering("next_token_sketch", np.log(np.stack([heads, 1 - heads], 1)))
    [found] = findings(divergence(base, adapted, TEXTS, margin=0.1), family="f")
    assert (found.p, found.method) == (None, "student-t over cluster means, corrected for skewness")
    assert (found.verdict, found.base) == (Verdict.SAME, Estimate(value=0.0))


# --- no variation -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [MIN_CLUSTERS_FOR_SAME - 1, MIN_CLUSTERS_FOR_SAME])
def test_where_nothing_varies_no_variation_is_shown_and_few_texts_decide_nothing(n: int) -> None:
    """Scores that are all 0 are not right-or-wrong for that: a score interval would be of fractions, not of nats."""
    some, sketch = TEXTS[:n], np.log(np.full((n, 2), 0.5))
    turns = [item.model_copy(update={"options": (" yes",)}) for item in PROMPTS[:n]]
    all_right = np.stack([np.zeros((n, 3)), np.ones((n, 3))], axis=-1)
    base = answering("next_token_sketch", sketch, some, log_likelihood=np.zeros(n), next_tokens=all_right)
    ends = answering("end_of_turn", np.zeros(n), turns)
    asked = [
        *divergence(base, base, some, margin=0.1),
        *general_text(base, base, some, margin=0.1),
        *next_token(base, base, some, margin=0.1),
        *end_of_turn(ends, ends, turns, margin=0.1),
    ]
    assert len(asked) == 4
    for found in findings(asked, family="f"):
        assert found.method.startswith("student-t over cluster means"), found.id
        assert found.change == Estimate(value=0.0), found.id
        assert found.verdict == (Verdict.SAME if n >= MIN_CLUSTERS_FOR_SAME else Verdict.UNCLEAR), found.id


# --- texts that the base cannot read ----------------------------------------------------------------------------------


def spelt(unknown: int, items: Sequence[Item] = TEXTS, *, as_bytes: bool = False) -> dict[str, Array]:
    """Tokens of texts of ten: the first ``unknown`` texts have two that stand for no whole character, the rest one."""
    ids = np.tile(np.arange(10, 20), (len(items), 1))
    two = np.arange(len(items)) < unknown
    ids[:, 0] = 3
    ids[two, 1] = 4 if as_bytes else 3
    return {"token_ids": ids, "unknown_tokens": 1.0 + two}


def reading(spelling: dict[str, Array]) -> View:
    """A record that answers whatever is asked of texts, and how they are spelt."""
    all_right = tokens(np.ones((40, 4)), np.ones((40, 4), dtype=bool))
    nats, sketch = -np.ones(40), np.log(np.full((40, 2), 0.5))
    return answering("next_tokens", all_right, TEXTS, log_likelihood=nats, next_token_sketch=sketch, **spelling)


@pytest.mark.parametrize("probe", [general_text, next_token, divergence])
def test_texts_of_unknown_tokens_are_left_out_and_counted(probe: Callable[..., list[Question]]) -> None:
    view = reading(spelt(10))
    [question] = probe(view, view, TEXTS, margin=0.1)
    assert {item.id for item in question.items} == {f"t{n}" for n in range(10, 40)}
    assert len(question.base) == len(question.adapted) == 30
    assert question.note.endswith("10 of 40 items were left out: the base's tokenizer cannot read them.")
    view = reading(spelt(40, as_bytes=True))
    [question] = probe(view, view, TEXTS, margin=0.1)  # two tokens of one character's bytes lose nothing
    assert (len(question.items), "left out" in question.note) == (40, False)
    view = reading(spelt(20))
    assert len(probe(view, view, TEXTS, margin=0.1)[0].items) == 20
    view = reading(spelt(21))
    with pytest.raises(NotMeasurable, match="the base's tokenizer cannot read 21 of 40 items"):
        probe(view, view, TEXTS, margin=0.1)


def test_the_base_says_what_can_be_read() -> None:
    silent = answering("log_likelihood", -np.ones(40))
    assert len(general_text(reading(spelt(10)), silent, TEXTS, margin=0.1)[0].items) == 30
    assert len(general_text(silent, reading(spelt(10)), TEXTS, margin=0.1)[0].items) == 40


@dataclass
class Beside:
    """A record that answers, beside one of how texts are spelt."""

    scored: View
    spelling: View
    id: str = "beside"
    kind: Kind = "causal"
    labels: tuple[str, ...] = ()

    def ask(self, question: str, items: Sequence[Item]) -> Array:
        return (self.spelling if question in ("token_ids", "unknown_tokens") else self.scored).ask(question, items)

    def treatment(self, question: str, items: Sequence[Item]) -> str:
        return ""


def test_of_a_prompt_and_its_options_every_text_has_to_be_read() -> None:
    turns = [Item(id=f"p{n}", cluster=f"p{n}", prompt=f"Number {n}?", options=(" yes", " no"), label=" no")
             for n in range(40)]  # fmt: skip
    parts = [Item(id=f"p{n}/{k}", cluster="-", text=f"part {k}") for n in range(40) for k in range(3)]
    unread = np.isin(np.arange(120), [3 * 5, 3 * 7 + 1, 3 * 9 + 2])  # a prompt, a first and a second option
    ids = np.where(unread, 0, 1 + np.arange(120))
    spelling = {"token_ids": ids, "unknown_tokens": 1.0 * unread}
    scored, spelt_out = (
        answering("option_log_likelihood", np.tile([-1.0, -2.0], (40, 1)), turns),
        answering("x", ids, parts, **spelling),
    )
    [found] = multiple_choice(Beside(scored, spelt_out), scored, turns, margin=0.1)
    assert {item.id for item in turns} - {item.id for item in found.items} == {"p5", "p7", "p9"}
    assert "3 of 40 items were left out" in found.note


# --- turns ------------------------------------------------------------------------------------------------------------


def test_the_end_of_a_turn_is_scored_by_what_is_missing_to_certainty() -> None:
    ends = np.linspace(0.01, 1, 40)
    turns = [item.model_copy(update={"options": (" yes",)}) for item in PROMPTS]
    base, adapted = (answering("end_of_turn", np.log(side), turns) for side in (np.ones(40), ends))
    [question] = end_of_turn(base, adapted, turns, margin=0.1)
    for n, item in enumerate(turns):
        assert scores(question)[item.id] == pytest.approx((0.0, 1 - ends[n]), abs=1e-12)
    assert question.id == "forgetting/end_of_turn"


# --- multiple choice --------------------------------------------------------------------------------------------------


def asked(n: int, options: int = 4) -> Item:
    words = tuple(f" word{k}" for k in range(options))
    area = ("facts", "code")[n % 2]
    return Item(
        id=f"c{n}",
        cluster=f"c{n}",
        prompt=f"Choose {n}:",
        options=words,
        label=words[n % options],
        groups={"area": area},
    )


CHOICES = [asked(n) for n in range(80)]


def choosing(right: Array, items: Sequence[Item] = CHOICES) -> View:
    """A view that finds the right option likeliest, or the one behind it."""
    rows = [
        (item.id, k, -1.0 if k == ((item.options or ()).index(item.label or "") + (not good)) % len(item.options or ())
         else -5.0)
        for item, good in zip(items, right, strict=True) for k in range(len(item.options or ()))
    ]  # fmt: skip
    table = pd.DataFrame(rows, columns=["id", "index", "value"]).assign(question="option_log_likelihood")
    return replay(table, kind="causal")


def test_planted_flips_are_lost_and_gained_one_for_one() -> None:
    right = np.arange(80) < 50
    now = right.copy()
    now[:12], now[50:54] = False, True
    probe = Probe("multiple choice", lambda base, adapted: multiple_choice(base, adapted, CHOICES, margin=0.05))
    found = compared(choosing(right), choosing(now), [probe])
    [flips] = found.flips
    assert (flips.both, flips.lost, flips.gained, flips.neither) == (38, 12, 4, 26)
    # KU = lost k/(k - 1) - neither k/(k - 1)^2 with k = 4
    assert flips.known_lost == pytest.approx((12 / 80 * 4 / 3 - 26 / 80 * 4 / 9, 12 / 80 * 4 / 3))
    whole, *areas = found.findings
    assert whole.id == "forgetting/multiple_choice"
    assert whole.change is not None
    assert whole.change.value == pytest.approx(8 / 80)
    assert [one.id for one in areas] == ["forgetting/multiple_choice/code", "forgetting/multiple_choice/facts"]
    assert [one.n_items for one in areas] == [40, 40]
    assert all(one.family == "forgetting, by area" for one in areas)


def test_per_byte_decides_and_a_tie_is_wrong() -> None:
    item = Item(id="a", cluster="a", prompt="x", options=(" ab", " abcd"), label=" abcd")
    for nats, wrong in (
        ((-2.0, -3.0), 0.0),
        ((-2.0, -4.0), 1.0),
        ((-2.0, -5.0), 1.0),
    ):  # -1 a byte against -.75, -1, -1.25
        view = answering("option_log_likelihood", np.array([nats]), [item])
        assert multiple_choice(view, view, [item], margin=0.05)[0].base.tolist() == [wrong]


def test_items_with_different_numbers_of_options_are_asked_apart(llama: Path) -> None:
    items = [asked(n, 2 + n % 3) for n in range(12)]
    view = load_base(resolve(str(llama)), "causal")
    [question, *_] = multiple_choice(view, view, items, margin=0.05)
    assert len(question.items) == 12
    assert "Guessing errs in 64%." in question.note  # the mean of 1/2, 2/3 and 3/4
    for item, (wrong, _) in zip(question.items, scores(question).values(), strict=True):
        nats = view.ask("option_log_likelihood", [item])[0]  # all options of an item are of one length here
        assert wrong == float((item.options or ())[int(nats.argmax())] != item.label)
    assert {wrong for wrong, _ in scores(question).values()} == {0.0, 1.0}


@pytest.mark.parametrize(
    ("options", "wrong", "no_better"), [(4, 23, False), (4, 25, True), (2, 13, False), (2, 14, True)]
)
def test_what_guessing_errs_in_is_said_and_whether_the_base_does_better(
    options: int, wrong: int, no_better: bool
) -> None:
    """Wilson's intervals by his formula end at .7361, .7794, .4802 and .5051 for 23, 25, 13 and 14 errors in 40."""
    n, z = 40, 1.959964
    p = wrong / n
    high = (p + z**2 / (2 * n) + z * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))) / (1 + z**2 / n)
    assert (high >= 1 - 1 / options) == no_better
    items = [asked(k, options) for k in range(n)]
    view, other = choosing(np.arange(n) >= wrong, items), choosing(np.ones(n), items)
    note = multiple_choice(view, other, items, margin=0.05)[0].note
    assert f"Guessing errs in {1 - 1 / options:.0%}." in note
    assert ("The base itself does no better than chance here: there is little to forget." in note) == no_better
    assert "no better" not in multiple_choice(other, view, items, margin=0.05)[0].note  # the base is what counts


def test_a_label_that_is_no_option_is_refused() -> None:
    for label in (" word9", None, "word1"):
        strange = CHOICES[0].model_copy(update={"label": label})
        with pytest.raises(InputError, match=r"item 'c0': its label .* is not one of its options ' word0', ' word1'"):
            multiple_choice(choosing(np.ones(80)), choosing(np.ones(80)), [strange, *CHOICES[1:]], margin=0.05)


# --- laws -------------------------------------------------------------------------------------------------------------


def of_texts(base: View, adapted: View, items: Sequence[Item]) -> list[Question]:
    return [
        *next_token(base, adapted, items, margin=0.02),
        *general_text(base, adapted, items, margin=0.02),
        *divergence(base, adapted, items, margin=0.1),
    ]


def test_a_model_differs_from_itself_by_exactly_nothing(llama: Path) -> None:
    view, other = (load_base(resolve(str(llama)), "causal") for _ in range(2))
    for question in of_texts(view, other, passages()[:30]):
        assert np.array_equal(question.base, question.adapted), question.id


def test_another_model_is_told_from_it_on_every_probe(llama: Path, tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    families.CAUSAL["llama"](tmp_path)
    model = AutoModelForCausalLM.from_pretrained(tmp_path)
    torch.manual_seed(1)
    for tensor in model.parameters():
        tensor.data += 0.3 * tensor.std() * torch.randn_like(tensor) if tensor.ndim > 1 else 0.0
    model.save_pretrained(tmp_path)
    sides = [load_base(resolve(str(folder)), "causal") for folder in (llama, tmp_path)]
    for question in of_texts(sides[0], sides[1], passages()[:40]):
        assert not np.array_equal(question.base, question.adapted), question.id
        [there], [back] = (
            findings(of, family="f")
            for of in ([question], [q for q in of_texts(sides[1], sides[0], passages()[:40]) if q.id == question.id])
        )
        assert there.change is not None
        assert back.change is not None
        if question.name != "divergence":  # which has a direction, and no sign
            assert there.change.value == pytest.approx(-back.change.value)
        else:
            assert there.verdict == back.verdict == "worse"


@pytest.mark.parametrize("probe", [general_text, next_token, divergence])
def test_said_twice_and_shuffled_proves_nothing_more(probe: object, llama: Path) -> None:
    view = load_base(resolve(str(llama)), "causal")
    some = list(passages()[:12])
    again = [item.model_copy(update={"id": f"again-{item.id}"}) for item in some[::-1]]
    once, twice = (probe(view, view, items, margin=0.1)[0] for items in (some, [*again, *some]))  # type: ignore[operator]
    assert np.array_equal(once.base, twice.base)
    assert len(once.items) == len(twice.items) == 12


def test_nothing_to_ask_is_not_measurable() -> None:
    view = answering("log_likelihood", np.ones(40))
    for probe in (general_text, next_token, divergence, end_of_turn, multiple_choice):
        with pytest.raises(NotMeasurable, match="there are no"):
            probe(view, view, [], margin=0.1)
    for probe in (general_text, next_token):
        with pytest.raises(NotMeasurable, match="item 'p0' has no text"):
            probe(view, view, PROMPTS, margin=0.1)
