"""Ranking pairs and finding what belongs: against textbook values, scipy, and the closed form of the normal law."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from scipy.stats import ortho_group

from audit.audits import findings
from audit.audits.forgetting import similarity as module
from audit.audits.forgetting.similarity import pseudo_values, retrieval, similarity, spearman
from audit.errors import InputError
from audit.items import passages
from audit.models.load import load_base
from audit.models.source import resolve
from audit.stats import compare
from audit.view import Item, NotMeasurable
from tests.space import Space

Array = NDArray[np.float64]


def pairs(n: int, per_cluster: int = 1) -> list[Item]:
    return [Item(id=f"p{i}", cluster=f"c{i // per_cluster}", pair=(f"left {i}", f"right {i}")) for i in range(n)]


def at_cosines(items: Sequence[Item], cosines: Array) -> Space:
    """Place the texts of each pair in the plane, at a given cosine."""
    vectors = {}
    for item, cosine in zip(items, cosines.tolist(), strict=True):
        left, right = item.pair or ("", "")
        vectors[left] = np.array([3.0, 0.0])  # lengths say nothing
        vectors[right] = np.array([cosine, math.sqrt(1 - cosine**2)]) * (1 + len(vectors) % 5)
    return Space(vectors)


# --- graded similarity ------------------------------------------------------------------------------------------------


def test_spearman_is_the_textbooks_and_scipys() -> None:
    """IQ and hours of television, the worked example of the encyclopaedias: rho = -29/165."""
    iq = [106, 100, 86, 101, 99, 103, 97, 113, 112, 110]
    hours = [7, 27, 2, 50, 28, 29, 20, 12, 6, 17]
    assert spearman(iq, hours) == pytest.approx(-29 / 165)
    rng = np.random.default_rng(0)
    tied, other = rng.integers(0, 5, 60), rng.normal(size=60)
    assert spearman(tied, other) == pytest.approx(float(stats.spearmanr(tied, other).statistic))


def test_jackknife_values_have_the_coefficient_as_mean_and_tukeys_spread() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 40))
    clusters = [f"c{i // 4}" for i in range(40)]
    rho = [
        float(stats.spearmanr(np.delete(x, np.s_[4 * k : 4 * k + 4]), np.delete(y, np.s_[4 * k : 4 * k + 4])).statistic)
        for k in range(10)
    ]
    tukey = 10 * float(stats.spearmanr(x, y).statistic) - 9 * np.array(rho)
    ours = pseudo_values(x, y, clusters).reshape(10, 4)
    assert (ours == ours[:, :1]).all()
    assert ours.mean() == pytest.approx(float(stats.spearmanr(x, y).statistic))
    assert ours[:, 0] - ours.mean() == pytest.approx(tukey - tukey.mean())


def test_the_interval_holds_the_coefficient_of_the_normal_law() -> None:
    """Spearman's coefficient of a bivariate normal is 6/π·asin(rho/2) (Pearson 1907); 50 pairs, 300 samples."""
    first, second = 0.9, 0.3
    truth = 6 / math.pi * (math.asin(first / 2) - math.asin(second / 2))
    lower = np.linalg.cholesky(np.array([[1, first, second], [first, 1, 0.5], [second, 0.5, 1]]))
    rng, names = np.random.default_rng(0), [str(i) for i in range(50)]
    held = 0
    for _ in range(300):
        grade, x, y = (rng.normal(size=(50, 3)) @ lower.T).T
        change = compare(1 - pseudo_values(x, grade, names), 1 - pseudo_values(y, grade, names), names).change
        low, high = change.bounds()
        held += low <= truth <= high
    assert 0.925 <= held / 300 <= 0.98


def test_pairs_of_one_document_are_one_witness() -> None:
    """Four pairs a document that share its error: clusters hold the truth, pairs as if independent do not."""
    rng = np.random.default_rng(0)
    held = {"documents": 0, "pairs": 0}
    clusters = {"documents": [str(i // 4) for i in range(120)], "pairs": [str(i) for i in range(120)]}
    truth = 6 / math.pi * math.asin(0.8 / 2)
    for _ in range(100):
        grade, other = np.repeat(rng.normal(size=(2, 30)), 4, axis=1)
        x = 0.8 * grade + 0.6 * other
        for unit, names in clusters.items():
            values = pseudo_values(x + 1e-9 * rng.normal(size=120), grade + 1e-9 * rng.normal(size=120), names)
            low, high = compare(np.zeros(120), values, names).adapted.bounds()
            held[unit] += low <= truth <= high
    assert held["documents"] >= 90
    assert held["pairs"] < 80


def test_a_planted_loss_is_one_minus_scipys_rho_on_both_sides() -> None:
    items = pairs(120)
    rng = np.random.default_rng(0)
    grades = rng.integers(0, 6, 120) / 2
    good = np.clip(grades / 4 + 0.1 * rng.normal(size=120), -1, 1)
    bad = np.clip(grades / 9 + 0.4 * rng.normal(size=120), -1, 1)
    [found] = similarity(at_cosines(items, good), at_cosines(items, bad), items, grades, margin=0.05)
    compared = found.compared()
    for estimate, cosines in ((compared.base, good), (compared.adapted, bad)):
        assert estimate.value == pytest.approx(1 - float(stats.spearmanr(cosines, grades).statistic))
    [judged] = findings([found], family="f")
    assert (judged.verdict, judged.method) == ("worse", "student-t over cluster means")
    [back] = similarity(at_cosines(items, bad), at_cosines(items, good), items, grades, margin=0.05)
    assert back.compared().change.value == pytest.approx(-compared.change.value)
    assert back.compared().change.bounds() == pytest.approx(compared.change.negated().bounds())


def test_order_ids_and_repetition_of_pairs_say_nothing() -> None:
    items = pairs(40, per_cluster=2)
    rng = np.random.default_rng(0)
    grades, first, second = rng.uniform(-0.9, 0.9, size=(3, 40))
    sides = at_cosines(items, first), at_cosines(items, second)
    [once] = similarity(*sides, items, grades, margin=0.05)
    again = [item.model_copy(update={"id": f"{copy}{i}"}) for copy in "ab" for i, item in enumerate(items)]
    order = rng.permutation(80)
    [twice] = similarity(*sides, [again[row] for row in order], np.tile(grades, 2)[order], margin=0.05)
    assert len(twice.items) == 40
    assert twice.compared().change.value == once.compared().change.value
    assert twice.compared().change.bounds() == once.compared().change.bounds()


def test_a_model_that_says_the_same_of_everything_ranks_nothing() -> None:
    items = pairs(40)
    grades = np.linspace(-0.9, 0.9, 40)
    collapsed = Space({text: np.array([1.0, 1.0]) for item in items for text in item.pair or ()})
    [found] = similarity(at_cosines(items, grades), collapsed, items, grades, margin=0.05)
    compared = found.compared()
    assert (compared.base.value, compared.adapted.value) == (0.0, 1.0)


def test_grades_that_rank_nothing_are_refused() -> None:
    items = pairs(40)
    view = at_cosines(items, np.linspace(-0.9, 0.9, 40))
    with pytest.raises(NotMeasurable, match="40 clusters with 1 different scores"):
        similarity(view, view, items, [3.0] * 40, margin=0.05)
    with pytest.raises(InputError, match="pair 'p1' has the score nan"):
        similarity(view, view, items[:2], [1.0, math.nan], margin=0.05)
    with pytest.raises(ValueError, match="shorter"):
        similarity(view, view, items, [1.0], margin=0.05)


def test_pairs_of_which_a_text_cannot_be_read_are_left_out() -> None:
    items = pairs(40)
    grades = np.linspace(-0.9, 0.9, 40)
    cosines = grades**2 + 0.001 * grades - 0.4  # falls, and rises about as far
    view = at_cosines(items, cosines)
    view.unread = frozenset({"left 3", "right 5", "right 3"})
    [found] = similarity(view, view, items, grades, margin=0.05)
    assert {item.id for item in items} - {item.id for item in found.items} == {"p3", "p5"}
    assert found.compared().base.value == pytest.approx(
        1 - float(stats.spearmanr(np.delete(cosines, [3, 5]), np.delete(grades, [3, 5])).statistic)
    )
    assert "2 of 40 items were left out" in found.note
    assert "The base itself does no better than chance here" in found.note
    [known] = similarity(at_cosines(items, grades), view, items, grades, margin=0.05)
    assert "have nothing to do with the scores make 1." in known.note
    assert "no better than chance" not in known.note


# --- retrieval --------------------------------------------------------------------------------------------------------


def stories(n: int) -> list[Item]:
    return [Item(id=f"s{i}", cluster=f"s{i}", text=f"Opening {i}! Then {i}. And more {i}.") for i in range(n)]


def found_at(items: Sequence[Item], near: Sequence[int]) -> Space:
    """Every first sentence points exactly at the rest of the passage that is named for it."""
    n = len(items)
    vectors = {f"Opening {i}!": np.eye(n)[to] for i, to in enumerate(near)}
    return Space({**vectors, **{f"Then {i}. And more {i}.": np.eye(n)[i] for i in range(n)}})


def test_planted_misses_are_found_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    items = stories(40)
    wrong = [7, *range(1, 30), 3, *range(31, 40)]  # 0 and 30 point elsewhere
    sides = found_at(items, range(40)), found_at(items, wrong)
    [found] = retrieval(*sides, items, margin=0.05)
    assert not found.base.any()
    assert {one.id for one, missed in zip(found.items, found.adapted, strict=True) if missed} == {
        "s0/parts",
        "s30/parts",
    }
    assert found.compared().method == "tango score"
    assert "Chance misses 97.5%." in found.note
    assert "no better than chance" not in found.note
    [blind] = retrieval(found_at(items, [0] * 40), sides[1], items, margin=0.05)
    assert "The base itself does no better than chance here: there is little to forget." in blind.note
    monkeypatch.setattr(module, "BLOCK", 7)
    assert retrieval(*sides, items, margin=0.05)[0].adapted.tolist() == found.adapted.tolist()
    sides[0].unread = frozenset({"Opening 2!", "Then 4. And more 4."})
    [read] = retrieval(*sides, items, margin=0.05)
    assert {item.id for item in found.items} - {item.id for item in read.items} == {"s2/parts", "s4/parts"}
    assert "2 of 40 items were left out" in read.note
    assert "of 38 to its first sentence" in read.question


def test_a_model_that_says_the_same_of_everything_finds_nothing() -> None:
    items = stories(20)
    collapsed = Space({text: np.ones(20) / 3 for text in found_at(items, range(20)).vectors})
    [found] = retrieval(found_at(items, range(20)), collapsed, items, margin=0.05)
    assert found.adapted.all()


def test_passages_split_where_a_sentence_ends() -> None:
    whole = [
        Item(id="quote", cluster="quote", text='"Is it?" she asked. "It is." He left.'),
        Item(id="decimal", cluster="decimal", text="It costs 3.50 today. Or less."),
        Item(id="one", cluster="one", text="A heading without an end"),
        Item(id="stop", cluster="stop", text="One sentence only. "),
    ]
    said = {'"Is it?"': 1, 'she asked. "It is." He left.': 1, "It costs 3.50 today.": 2, "Or less.": 2}
    rows = {text: np.eye(23)[20 + number] for text, number in said.items()}
    stories_too = stories(20)
    placed = {text: np.pad(row, (0, 3)) for text, row in found_at(stories_too, range(20)).vectors.items()}
    view = Space({**rows, **placed})
    [found] = retrieval(view, view, [*whole, *stories_too], margin=0.05)
    assert len(found.items) == 22
    assert not found.base.any()
    assert "2 passages of one sentence were left out." in found.note
    with pytest.raises(NotMeasurable, match="9 passages have a first sentence and more; 10 are the least"):
        retrieval(view, view, stories(9), margin=0.05)


def test_the_same_ending_is_one_document() -> None:
    items = stories(20)
    ends = [item.model_copy(update={"text": f"Opening {i}! The end."}) for i, item in enumerate(items[:5])]
    vectors = found_at(items, [0] * 5 + list(range(5, 20))).vectors
    view = Space({**vectors, "The end.": np.eye(20)[0]})
    [found] = retrieval(view, view, [*ends, *items[5:]], margin=0.05)
    assert not found.base.any()
    assert "of 16 to its first sentence" in found.question


# --- a real model -----------------------------------------------------------------------------------------------------


def test_a_real_encoder_differs_from_itself_by_exactly_nothing_and_forgets_when_turned(minilm: str) -> None:
    view = load_base(resolve(minilm), "sentence_encoder")
    items = list(passages()[::6])
    [found] = retrieval(view, view, items, margin=0.05)
    assert found.adapted.tolist() == found.base.tolist()
    assert found.base.mean() < 0.6  # of 64 documents: chance misses 63
    asked = [item.model_copy(update={"id": f"g{i}", "text": None, "pair": (item.text, items[i - 1].text)})
             for i, item in enumerate(items)]  # fmt: skip
    grades = np.einsum("nd,nd->n", *np.moveaxis(view.ask("embedding", asked), 1, 0))
    [same] = similarity(view, view, asked, grades, margin=0.05)
    assert same.compared().change.value == 0.0
    assert same.compared().base.value == pytest.approx(0.0, abs=0.001)
    rotation = ortho_group.rvs(384, random_state=0)
    turned = Space({text: row @ rotation for item in asked for text, row in
                    zip(item.pair or (), view.ask("embedding", [item])[0], strict=True)})  # fmt: skip
    [rotated] = similarity(view, turned, asked, grades, margin=0.05)
    assert rotated.compared().adapted.value == pytest.approx(0.0, abs=0.001)
