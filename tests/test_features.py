"""What features still tell: probes, neighbours, masked text, prompts; harms are planted in vectors that are known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import ortho_group

from audit.audits import Question, findings
from audit.audits.forgetting import features
from audit.audits.forgetting.features import lost_neighbours, neighbours, probes
from audit.audits.forgetting.masked import masked_text
from audit.audits.forgetting.zero_shot import zero_shot
from audit.errors import InputError
from audit.finding import Estimate
from audit.items import passages
from audit.models.load import load_base
from audit.models.source import resolve
from audit.stats import compare
from audit.view import Item, NotMeasurable
from tests.space import Space

Array = NDArray[np.float64]


def space(items: Sequence[Item], rows: Array) -> Space:
    return Space({item.text or item.image or "": row for item, row in zip(items, rows, strict=True)})


def texts(n: int, classes: int = 3, per_cluster: int = 1) -> list[Item]:
    return [
        Item(id=f"i{i}", cluster=f"c{i // per_cluster}", text=f"text {i}", label=f"t{i // per_cluster % classes}")
        for i in range(n)
    ]


def classes_apart(items: Sequence[Item], apart: float = 6.0, width: int = 16, seed: int = 0) -> Array:
    centres = np.eye(width) * apart
    told = [int((item.label or "")[1:]) for item in items]
    return centres[told] + np.random.default_rng(seed).normal(size=(len(items), width))


def by_text(question: Question, side: Array) -> dict[str, float]:
    return dict(zip([item.text or "" for item in question.items], side.tolist(), strict=True))


# --- probes -----------------------------------------------------------------------------------------------------------


def test_a_rotation_is_forgiven_by_the_refit_probe_and_breaks_the_frozen_one() -> None:
    items = texts(240)
    known = classes_apart(items)
    rotation = ortho_group.rvs(16, random_state=1)
    refit, frozen = probes(space(items, known), space(items, known @ rotation), items, name="topics", margin=0.05)
    assert (refit.name, frozen.name) == ("topics/refit_probe", "topics/frozen_probe")
    assert refit.base.mean() < 0.02
    first, second = findings([refit, frozen], family="f")
    assert (first.verdict, second.verdict) == ("same", "worse")
    assert frozen.adapted.mean() > 0.4


def test_planted_flips_are_found_one_by_one() -> None:
    items = texts(150)
    known = classes_apart(items, apart=12.0)
    moved = [3, 40, 77, 101, 149]
    changed = known.copy()
    changed[moved] = known[[row - 1 for row in moved]]  # each lies where a text of another label lies
    _, frozen = probes(space(items, known), space(items, changed), items, name="topics", margin=0.05)
    assert not frozen.base.any()
    assert {text for text, wrong in by_text(frozen, frozen.adapted).items() if wrong} == {f"text {i}" for i in moved}


def test_the_frozen_probe_standardises_as_the_base_does() -> None:
    """One feature of -1 or 1, moved by 10: to the base's eyes all is one class; by its own mean nothing changed."""
    items = texts(60, classes=2)
    sign = np.array([[-1.0] if item.label == "t0" else [1.0] for item in items])
    refit, frozen = probes(space(items, sign), space(items, sign + 10), items, name="signs", margin=0.05)
    assert (refit.base.mean(), refit.adapted.mean(), frozen.adapted.mean()) == (0.0, 0.0, 0.5)


def test_no_document_is_both_fitted_and_asked() -> None:
    """Every document has its own place and a label drawn at random: known by heart it is told, else it is a guess."""
    rng = np.random.default_rng(0)
    drawn = rng.permuted(np.repeat([0, 1], 20))
    items = [Item(id=f"i{i}", cluster=f"c{i // 6}", text=f"text {i}", label=f"t{drawn[i // 6]}") for i in range(240)]
    places = np.repeat(rng.normal(size=(40, 64)), 6, axis=0) + 0.01 * rng.normal(size=(240, 64))
    view = space(items, places)
    refit, _ = probes(view, view, items, name="documents", margin=0.05)
    assert 0.3 < refit.base.mean() < 0.8


def test_what_is_said_decides_not_order_ids_or_names_of_clusters_nor_saying_it_twice() -> None:
    items = texts(90, per_cluster=2)
    known, changed = classes_apart(items, 2.0), classes_apart(items, 1.0, seed=1)
    sides = space(items, known), space(items, changed)
    renamed = [
        item.model_copy(update={"id": f"{copy}{i}", "cluster": f"document {(int(item.cluster[1:]) * 37) % 101}"})
        for copy in "ab"
        for i, item in enumerate(items)
    ]
    shuffled = [renamed[row] for row in np.random.default_rng(3).permutation(len(renamed))]
    for first, second in zip(
        [*probes(*sides, items, name="x", margin=0.1), *neighbours(*sides, items, margin=0.1)],
        [*probes(*sides, shuffled, name="x", margin=0.1), *neighbours(*sides, shuffled, margin=0.1)],
        strict=True,
    ):
        assert by_text(first, first.base) == by_text(second, second.base)
        assert by_text(first, first.adapted) == by_text(second, second.adapted)
        assert first.compared().n_clusters == second.compared().n_clusters == 45
        assert first.compared().change.bounds() == pytest.approx(second.compared().change.bounds(), abs=1e-12)


def test_labels_that_cannot_be_tried_are_left_out_and_counted() -> None:
    items = texts(60)
    alone = Item(id="x", cluster="x", text="text x", label="t7")
    silent = Item(id="y", cluster="y", text="text y")
    asked = [*items, alone, silent]
    view = space(asked, np.random.default_rng(0).normal(size=(62, 8)))
    refit, _ = probes(view, view, asked, name="topics", margin=0.05)
    assert len(refit.items) == 60
    assert "2 items were left out" in refit.note
    assert "Guessing the commonest class errs in 67%." in refit.note
    with pytest.raises(NotMeasurable, match="two labels that stand in two clusters each"):
        probes(view, view, [*items[::3], alone, silent], name="topics", margin=0.05)


def test_one_probe_does_not_fit_two_widths() -> None:
    items = texts(60)
    sides = space(items, classes_apart(items)), space(items, classes_apart(items, width=8))
    with pytest.raises(NotMeasurable, match="the sides have 16 and 8 features"):
        probes(*sides, items, name="topics", margin=0.05)


def test_guessing_is_no_knowledge_of_the_base() -> None:
    items = texts(90)
    noise, told = np.random.default_rng(0).normal(size=(90, 8)), classes_apart(items)
    for base, no_better in ((noise, True), (told, False)):
        for found in probes(space(items, base), space(items, noise[:, : base.shape[1]] if no_better else told), items,
                            name="topics", margin=0.05):  # fmt: skip
            assert "Guessing the commonest class errs in 67%." in found.note
            assert ("The base itself does no better than chance here" in found.note) == no_better


# --- texts that the base cannot read ----------------------------------------------------------------------------------


def test_texts_that_the_base_cannot_read_are_left_out_of_every_probe() -> None:
    items = texts(90)
    gone = frozenset(f"text {i}" for i in range(20))
    rows = classes_apart(items)
    reads, blind = space(items, rows), space(items, rows)
    blind.unread = gone
    nats = Space(dict.fromkeys(blind.vectors, np.array(-10.0)), gone)
    for found in (
        *probes(blind, reads, items, name="topics", margin=0.05),
        *neighbours(blind, reads, items, margin=0.2),
        *masked_text(nats, nats, items, margin=0.05),
    ):
        assert {item.text for item in found.items} == {item.text for item in items} - gone, found.id
        assert "20 of 90 items were left out: the base's tokenizer cannot read them." in found.note
    assert len(neighbours(reads, blind, items, margin=0.2)[0].items) == 90  # what the base reads is asked
    blind.unread = frozenset(f"text {i}" for i in range(46))
    with pytest.raises(NotMeasurable, match="cannot read 46 of 90 items"):
        probes(blind, reads, items, name="topics", margin=0.05)
    with pytest.raises(NotMeasurable, match="cannot read 46 of 90 items"):
        neighbours(blind, reads, items, margin=0.2)


# --- neighbours -------------------------------------------------------------------------------------------------------


def by_sorting(rows: Array, k: int) -> list[set[int]]:
    """The k nearest others, the plain way: one sorted list a row."""
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return [
        set(sorted(set(range(len(rows))) - {i}, key=lambda j: -float(unit[j] @ unit[i]))[:k]) for i in range(len(rows))
    ]


def test_lost_neighbours_are_those_of_two_sorted_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    base, adapted = rng.normal(size=(2, 50, 6))
    adapted += 2 * base
    expected = [len(a - b) / 10 for a, b in zip(by_sorting(base, 10), by_sorting(adapted, 10), strict=True)]
    lost, as_neighbour = lost_neighbours(base, adapted, 10)
    assert lost == pytest.approx(expected)
    monkeypatch.setattr(features, "BLOCK", 7)
    assert lost_neighbours(base, adapted, 10)[0] == pytest.approx(lost)
    assert lost_neighbours(base, adapted, 10)[1] == pytest.approx(as_neighbour)


def test_leaving_an_item_out_of_all_pairs_is_tukeys_jackknife_of_the_mean_over_pairs() -> None:
    """To first order; the pairs are listed one by one, and those of an item struck out."""
    rng = np.random.default_rng(1)
    base = rng.normal(size=(200, 6))
    adapted = base + 0.3 * rng.normal(size=base.shape)
    lost, as_neighbour = lost_neighbours(base, adapted, 10)
    near = by_sorting(base, 10), by_sorting(adapted, 10)
    pairs = np.array([(i, j, j not in near[1][i]) for i in range(200) for j in near[0][i]])
    without = np.array([pairs[(pairs[:, 0] != i) & (pairs[:, 1] != i), 2].mean() for i in range(200)])
    pseudo = lost.mean() + 199 * (lost.mean() - without)
    ours = lost + 200 * as_neighbour
    assert as_neighbour.sum() == pytest.approx(0, abs=1e-12)
    assert ours.std() == pytest.approx(pseudo.std(), rel=0.03)
    assert np.corrcoef(ours, pseudo)[0, 1] > 0.999


def test_chance_keeps_k_of_n() -> None:
    """Of unrelated features a neighbour is kept with probability k/(n - 1)."""
    items = texts(400)
    first, second = np.random.default_rng(0).normal(size=(2, 400, 40))
    [found] = neighbours(space(items, first), space(items, second), items, margin=0.1)
    assert 1 - found.adapted.mean() == pytest.approx(10 / 399, abs=0.008)
    assert "lose 97.5%" in found.note
    assert not found.base.any()
    [judged] = findings([found], family="f")
    assert judged.verdict == "worse"


def test_rotation_and_scale_lose_no_neighbour() -> None:
    items = texts(60)
    known = classes_apart(items)
    turned = -3 * known @ ortho_group.rvs(16, random_state=2)
    [found] = neighbours(space(items, known), space(items, turned), items, margin=0.1)
    assert not found.adapted.any()


def test_a_text_in_two_documents_is_no_neighbour_of_itself() -> None:
    items = texts(40)
    again = [item.model_copy(update={"id": f"again {item.id}", "cluster": f"again {item.cluster}"}) for item in items]
    first, second = np.random.default_rng(0).normal(size=(2, 40, 5))
    sides = space(items, first), space(items, second)
    [once], [twice] = (neighbours(*sides, asked, margin=0.1) for asked in (items, [*items, *again]))
    assert twice.compared().n_clusters == 80
    assert twice.adapted.mean() == pytest.approx(once.adapted.mean())
    assert by_text(twice, twice.adapted) == pytest.approx(by_text(once, once.adapted))


def test_every_cluster_counts_the_same_among_neighbours() -> None:
    items = [Item(id=f"i{i}", cluster=f"c{min(i, 20)}", text=f"text {i:02}") for i in range(60)]  # one of 40 texts
    first, second = np.random.default_rng(0).normal(size=(2, 60, 5))
    second[20:] = first[20:]
    [found] = neighbours(space(items, first), space(items, second), items, margin=0.1)
    shares = [len(a - b) / 10 for a, b in zip(by_sorting(first, 10), by_sorting(second, 10), strict=True)]
    mean = (sum(shares[:20]) + np.mean(shares[20:])) / 21
    assert found.compared().change.value == pytest.approx(mean)
    weights = [1 / 21] * 20 + [1 / 840] * 40
    near = by_sorting(first, 10), by_sorting(second, 10)
    lost_of_3 = [((3 not in near[1][i]) - mean) * weights[i] / 10 for i in range(60) if 3 in near[0][i]]
    assert by_text(found, found.adapted)["text 03"] == pytest.approx(shares[3] + 21 * sum(lost_of_3))


def test_where_all_is_equally_near_the_first_in_content_count() -> None:
    """A model that says the same of everything: every item's neighbours are the first ten others."""
    items = texts(40)
    order = sorted(range(40), key=lambda i: items[i].text or "")
    first = {i: set(order[: 10 + (i in order[:10])]) - {i} for i in range(40)}
    known = np.random.default_rng(0).normal(size=(40, 5))
    lost = np.mean([len(near - first[i]) / 10 for i, near in enumerate(by_sorting(known, 10))])
    [found] = neighbours(space(items, known), space(items, np.ones((40, 5))), items, margin=0.1)
    assert found.adapted.mean() == pytest.approx(lost)


def test_few_items_have_no_neighbours_to_speak_of() -> None:
    items = texts(20)
    view = space(items, np.eye(20))
    with pytest.raises(NotMeasurable, match="20 distinct items; 21 are the least, chance keeps half"):
        neighbours(view, view, items, margin=0.1)


def test_the_interval_of_neighbours_holds_the_truth() -> None:
    """The spread of own shares alone is too narrow: each item is a neighbour of others too."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(12, 20)) * 1.5
    names = [str(i) for i in range(100)]
    found: dict[str, list[tuple[float, float, float]]] = {"ours": [], "own shares alone": []}
    for _ in range(300):
        base = centres[rng.integers(0, 12, 100)] + rng.normal(size=(100, 20))
        lost, as_neighbour = lost_neighbours(base, base + rng.normal(size=base.shape), 10)
        for which, values in (("ours", lost + 100 * as_neighbour), ("own shares alone", lost)):
            change = compare(np.zeros(100), values, names).change
            found[which].append((change.value, *change.bounds()))
    covered = {}
    for which, rows in found.items():
        value, low, high = np.array(rows).T
        covered[which] = float(np.mean((low <= value.mean()) & (value.mean() <= high)))
    assert covered["ours"] >= 0.93
    assert covered["own shares alone"] < 0.9


@pytest.mark.parametrize("n", [22, 30])
def test_neighbours_that_all_stay_are_no_variation(n: int) -> None:
    items = texts(n)
    view = space(items, np.random.default_rng(0).normal(size=(n, 5)))
    [found] = findings(neighbours(view, view, items, margin=0.2), family="f")
    assert found.method == "student-t over cluster means"
    assert (found.change, found.p) == (Estimate(value=0.0), None)
    assert found.verdict == ("same" if n >= 30 else "unclear")


def test_that_neighbours_moved_at_all_is_no_detection() -> None:
    items = texts(60)
    known = np.random.default_rng(0).normal(size=(60, 5))
    other = known + 0.1 * np.random.default_rng(1).normal(size=known.shape)
    [found] = findings(neighbours(space(items, known), space(items, other), items, margin=0.9), family="f")
    assert found.change is not None
    assert found.change.low is not None
    assert found.p is None


# --- masked text, prompts, a real model -------------------------------------------------------------------------------


def test_masked_text_is_nats_a_byte_and_says_whose_head_reads() -> None:
    items = [Item(id="a", cluster="a", text="müde"), Item(id="b", cluster="b", text=" \n")]
    base, adapted = Space({"müde": np.float64(-10)}), Space({"müde": np.float64(-15)})  # type: ignore[dict-item]
    [found] = masked_text(base, adapted, items, margin=0.05, group="in domain")
    assert (found.base.tolist(), found.adapted.tolist()) == ([2.0], [3.0])  # five bytes in UTF-8
    assert found.id == "forgetting/masked_text/in domain"
    assert "the base's own masked-word head" in found.note
    some = [Item(id=str(n), cluster=str(n), text=f"{n:02}") for n in range(10)]
    sure = Space({item.text or "": np.array(0.0) for item in some})
    [flat] = findings(masked_text(sure, sure, some, margin=0.05), family="f")
    assert (flat.method, flat.change) == ("student-t over cluster means", Estimate(value=0.0))
    with pytest.raises(NotMeasurable, match="no text to mask"):
        masked_text(base, adapted, items[1:], margin=0.05)


def test_prompts_are_the_bases_on_both_sides() -> None:
    prompts = {"cat": "a cat", "dog": "a dog"}
    images = [Item(id=f"i{i}", cluster=f"i{i}", image=f"{i}.png", label=("cat", "dog")[i % 2]) for i in range(40)]
    seen = {f"{i}.png": np.array([1.0 + i, 0.5]) if i % 2 == 0 else np.array([0.5, 1.0 + i]) for i in range(40)}
    base = Space({**seen, "a cat": np.array([2.0, 0.0]), "a dog": np.array([0.0, 0.1])})
    turned = Space({**seen, "a cat": np.array([0.0, 2.0]), "a dog": np.array([0.1, 0.0])})  # its text tower only
    [found] = zero_shot(base, turned, images, prompts, margin=0.05)
    assert found.note.endswith("Naming the commonest label errs in 50%.")
    assert not found.base.any()
    assert not found.adapted.any()
    [found] = zero_shot(turned, base, images, prompts, margin=0.05)
    assert found.note.endswith("The base itself does no better than chance here: there is little to forget.")
    assert found.base.all()
    assert found.adapted.all()
    [planted] = zero_shot(base, Space({**seen, "3.png": np.array([1.0, 0.2])}), images, prompts, margin=0.05)
    assert [item.id for item, wrong in zip(planted.items, planted.adapted, strict=True) if wrong] == ["i3"]
    between = Space({**base.vectors, **dict.fromkeys(seen, np.array([1.0, 1.0]))})
    orders = prompts, dict(reversed(prompts.items()))
    first, second = (zero_shot(base, between, images, order, margin=0.05)[0].adapted.tolist() for order in orders)
    assert first == second  # as near to both: the order of the prompts does not decide


def test_a_label_without_a_prompt_is_refused() -> None:
    images = [Item(id="i1", cluster="i1", image="1.png", label="cow")]
    view = Space({})
    with pytest.raises(InputError, match="image 'i1' is labelled 'cow', which has no prompt; there are 'cat', 'dog'"):
        zero_shot(view, view, images, {"dog": "a dog", "cat": "a cat"}, margin=0.05)
    with pytest.raises(InputError, match="have the same prompt"):
        zero_shot(view, view, images, {"cow": "an animal", "cat": "an animal"}, margin=0.05)
    with pytest.raises(NotMeasurable, match="it takes two prompts"):
        zero_shot(view, view, images, {"cow": "a cow"}, margin=0.05)


def test_a_real_encoder_differs_from_itself_by_exactly_nothing(minilm: str) -> None:
    view = load_base(resolve(minilm), "sentence_encoder")
    items = list(passages()[::6])
    asked = [*probes(view, view, items, name="topics", margin=0.05), *neighbours(view, view, items, margin=0.1)]
    for question in asked:
        assert (question.adapted - question.base).tolist() == [0.0] * len(question.items)
    assert asked[0].base.mean() < 0.7  # guessing one of twelve topics errs in eleven of twelve


def test_a_dead_feature_that_moved_by_a_hair_breaks_no_frozen_probe() -> None:
    """MiniLM has features whose spread is rounding: divided by it, noise of 1e-4 of the weights broke every probe."""
    items = texts(60)
    base = classes_apart(items)
    base[:, -1] = 1e-33 * np.random.default_rng(1).normal(size=60)
    moved = base.copy()
    moved[:, -1] += 1e-5
    refit, frozen = probes(space(items, base), space(items, moved), items, name="x", margin=0.05)
    assert np.array_equal(frozen.adapted, frozen.base)
    assert np.array_equal(refit.adapted, refit.base)
