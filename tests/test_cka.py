"""Drift of features: closed forms, a brute-force U-statistic, scipy's Procrustes, and a real model against itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import permutations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.linalg import orthogonal_procrustes
from scipy.stats import ortho_group

from audit.audits.forgetting import cka
from audit.audits.forgetting.cka import aligned, feature_drift, hsic, linear_cka
from audit.items import passages
from audit.models.load import load_base
from audit.models.source import resolve
from audit.retention import FeatureDrift
from audit.view import Item, Kind, NotMeasurable

Array = NDArray[np.float64]


@dataclass
class Layers:
    """A view that looks up the layers, or the one vector, of each text."""

    vectors: dict[str, Array]
    id: str = "layers"
    kind: Kind = "encoder"
    labels: tuple[str, ...] = ()
    asked: list[int] = field(default_factory=list)
    unread: frozenset[str] = frozenset()  # texts that are two unknown tokens; the others are two that are known

    def ask(self, question: str, items: Sequence[Item]) -> Array:
        if question in ("token_ids", "unknown_tokens") and self.unread:
            lost = np.array([item.text in self.unread for item in items])
            return 2.0 * lost if question == "unknown_tokens" else np.where(lost, 0.0, 1.0)[:, None].repeat(2, axis=1)
        rows = np.stack([self.vectors[item.text or ""] for item in items])
        if question != ("layer_means" if rows.ndim == 3 else "embedding"):
            raise NotMeasurable(question, "not here")
        self.asked.append(len(items))
        return rows

    def treatment(self, question: str, items: Sequence[Item]) -> str:
        return ""


def texts(n: int) -> list[Item]:
    return [Item(id=f"i{i}", cluster=f"c{i}", text=f"text {i:04}") for i in range(n)]


def layers(items: Sequence[Item], rows: Array) -> Layers:
    return Layers({item.text or "": row for item, row in zip(items, rows, strict=True)})


def normal(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(size=shape)


# --- CKA --------------------------------------------------------------------------------------------------------------


def test_hsic_is_the_mean_over_all_four_distinct_items() -> None:
    """Its definition: the U-statistic k(i,j)·[l(i,j) + l(q,r) - 2·l(i,q)] over ordered fours (Song et al. 2012)."""
    x, y = normal(7, 3), normal(7, 2, seed=1) + 2
    k, m = x @ x.T, y @ y.T
    terms = [k[i, j] * (m[i, j] + m[q, r] - 2 * m[i, q]) for i, j, q, r in permutations(range(7), 4)]
    assert hsic(k, m) == pytest.approx(float(np.mean(terms)))
    centred = x - x.mean(axis=0)
    assert hsic(centred @ centred.T, m) == pytest.approx(float(np.mean(terms)))


def test_independent_features_are_not_alike() -> None:
    """64 items of 384 features: the biased form of the first papers says .86 (Murphy et al., arXiv 2405.01012)."""
    x, y = normal(64, 384), normal(64, 384, seed=1)
    found = linear_cka(x, y)
    assert found is not None
    assert abs(found) < 0.15
    a, b = ((one - one.mean(axis=0)) @ (one - one.mean(axis=0)).T for one in (x, y))
    assert np.vdot(a, b) / (np.linalg.norm(a) * np.linalg.norm(b)) == pytest.approx(0.86, abs=0.01)


def test_independent_features_are_unalike_on_average() -> None:
    found = [linear_cka(normal(16, 50, seed=s), normal(16, 50, seed=1000 + s)) for s in range(300)]
    values = np.array([one for one in found if one is not None])
    assert abs(values.mean()) < 4 * values.std() / np.sqrt(len(values))


@pytest.mark.parametrize("scale", [1e-8, 1.0, 1e8])
def test_rotation_scale_and_shift_are_forgiven(scale: float) -> None:
    x = normal(50, 12)
    assert linear_cka(x, scale * (x @ ortho_group.rvs(12, random_state=0) + 3)) == pytest.approx(1, abs=1e-9)


def test_the_same_features_are_alike_to_the_last_bit() -> None:
    for shape in ((50, 12), (12, 50), (301, 384)):
        x = normal(*shape)
        assert linear_cka(x, x.copy()) == 1.0
        assert aligned(x, x.copy()) == (1.0, 0.0, 0.0)


def test_noise_lowers_cka_as_its_formula_says() -> None:
    """Y = X + s·E in d independent features: CKA is 1/(1 + s²) without bias, as n grows.

    With C the covariances, CKA = ||C_xy||²/(||C_x||·||C_y||) = d/√(d · d(1 + s²)²).
    """
    x = normal(2000, 20)
    assert linear_cka(x, x + normal(2000, 20, seed=1)) == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize(
    "adapted",
    [np.zeros((40, 8)), np.ones((40, 8)), 5 + 1e-8 * normal(40, 8), np.full((40, 8), 1e300), np.full((40, 8), np.nan)],
    ids=["zero", "one", "rounding", "huge", "no number"],
)
def test_collapsed_features_have_no_cka(adapted: Array) -> None:
    assert linear_cka(normal(40, 8), adapted) is None
    assert linear_cka(adapted, adapted) is None


def test_one_item_apart_is_no_geometry() -> None:
    """All others are alike, so no pair is nearer than another: HSIC1 of it is 0 by its definition, to rounding."""
    apart = np.ones((40, 8))
    apart[3] = normal(8)
    assert linear_cka(apart, normal(40, 8)) is None
    assert linear_cka(normal(40, 8), apart) is None
    apart[4] = normal(8, seed=1)  # a second one is enough
    assert linear_cka(apart, apart) == 1.0


# --- aligned drift ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(60, 10), (10, 60)])
def test_what_is_left_after_rotation_is_scipys(shape: tuple[int, int]) -> None:
    base = normal(*shape)
    adapted = base @ ortho_group.rvs(shape[1], random_state=0) + 0.3 * normal(*shape, seed=1)
    rotation, _ = orthogonal_procrustes(adapted, base)
    cosine, relative, rotated = aligned(base, adapted)
    assert rotated == pytest.approx(np.linalg.norm(adapted @ rotation - base) / np.linalg.norm(base), rel=1e-6)
    assert relative == pytest.approx(np.linalg.norm(adapted - base) / np.linalg.norm(base))
    rows = [a @ b / (np.linalg.norm(a) * np.linalg.norm(b)) for a, b in zip(adapted, base, strict=True)]
    assert cosine == pytest.approx(np.mean(rows))


def test_a_rotation_is_drift_to_the_aligned_measures_alone() -> None:
    items = texts(60)
    rows = normal(60, 2, 12)
    turned = np.stack([rows[:, 0], rows[:, 1] @ ortho_group.rvs(12, random_state=0)], axis=1)
    first, second = feature_drift(layers(items, rows), layers(items, turned), items, "general")
    assert first == FeatureDrift(layer=0, where="general", cka=1, cosine=1, relative=0, rotated=0)
    assert second.cka == pytest.approx(1, abs=1e-9)
    assert second.rotated == pytest.approx(0, abs=1e-6)
    assert abs(second.cosine) < 0.3
    assert second.relative > 1


def test_growth_is_drift_that_cka_and_cosine_forgive() -> None:
    """Twice the features: distance 1, and no rotation makes it less."""
    items = texts(30)
    rows = normal(30, 8)
    [found] = feature_drift(layers(items, rows), layers(items, 2 * rows), items, "in domain")
    assert [found.cka, found.cosine, found.relative, found.rotated] == pytest.approx([1, 1, 1, 1])


# --- the items, and what is refused -----------------------------------------------------------------------------------


def test_order_names_and_repetition_say_nothing() -> None:
    items = texts(50)
    rows = normal(50, 3, 8)
    sides = layers(items, rows), layers(items, rows + 0.3 * normal(50, 3, 8, seed=1))
    again = [
        item.model_copy(update={"id": f"{c}{i}", "cluster": f"{c}{i}"}) for c in "ba" for i, item in enumerate(items)
    ]
    shuffled = [again[row] for row in np.random.default_rng(2).permutation(100)]
    assert feature_drift(*sides, shuffled, "general") == feature_drift(*sides, items, "general")
    assert set(sides[0].asked) == {50}


def test_texts_that_the_base_cannot_read_do_not_count_as_features_that_stayed() -> None:
    items = texts(50)
    rows = normal(50, 8)
    moved = rows + np.r_[np.zeros((20, 8)), normal(30, 8, seed=1)]
    blind, adapted = layers(items, rows), layers(items, moved)
    blind.unread = frozenset(item.text or "" for item in items[:20])
    assert feature_drift(blind, adapted, items, "general") == feature_drift(
        layers(items, rows), adapted, items[20:], "general"
    )
    blind.unread = frozenset(item.text or "" for item in items[:26])
    with pytest.raises(NotMeasurable, match="cannot read 26 of 50 items"):
        feature_drift(blind, adapted, items, "general")


def test_many_items_are_thinned_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cka, "LARGEST", 40)
    items = texts(300)
    rows = normal(300, 8)
    base, adapted = layers(items, rows), layers(items, rows + normal(300, 8, seed=1))
    [thinned] = feature_drift(base, adapted, items, "general")
    assert base.asked == [40]
    monkeypatch.undo()
    [whole] = feature_drift(base, adapted, items, "general")
    assert thinned.cka is not None
    assert thinned.cka == pytest.approx(whole.cka, abs=0.15)


def test_a_collapsed_layer_is_reported_and_the_others_measured() -> None:
    items = texts(30)
    rows = normal(30, 2, 8)
    changed = rows.copy()
    changed[:, 1] = 1.0
    first, second = feature_drift(layers(items, rows), layers(items, changed), items, "general")
    assert (first.cka, second.cka) == (1.0, None)
    assert np.isfinite([second.cosine, second.relative, second.rotated]).all()


def test_what_cannot_be_compared_is_refused() -> None:
    items = texts(30)
    view = layers(items, normal(30, 8))
    with pytest.raises(NotMeasurable, match="3 distinct items; similarities are compared from four on"):
        feature_drift(view, view, [*items[:3], *items[:3]], "general")
    with pytest.raises(NotMeasurable, match=r"of shape \(30, 1, 8\) and \(30, 1, 9\)"):
        feature_drift(view, layers(items, normal(30, 9)), items, "general")
    with pytest.raises(NotMeasurable, match="features of layer 0 are all 0"):
        feature_drift(layers(items, np.zeros((30, 8))), view, items, "general")


def test_a_real_encoder_has_not_drifted_from_itself(minilm: str) -> None:
    view = load_base(resolve(minilm), "sentence_encoder")
    found = feature_drift(view, view, passages()[::8], "general")
    assert [one.layer for one in found] == list(range(7))
    for one in found:
        assert (one.cka, one.cosine, one.relative, one.rotated) == (1.0, 1.0, 0.0, 0.0)
