"""Label fit: exact evidence, H-score above shuffled labels, probes that never see a document twice."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import optimize, stats
from scipy.linalg import helmert
from sklearn.covariance import ledoit_wolf

from audit.audits.fit import (
    deal_folds,
    folds,
    h_score,
    h_score_excess,
    label_fit,
    log_evidence,
    log_evidence_at,
    permuted_labels,
    probe_hits,
)
from audit.view import Item, NotMeasurable

Array = NDArray[np.float64]
SHAPES = [(40, 100), (100, 40), (30, 29), (30, 30)]


def problem(n: int, d: int, seed: int = 0) -> tuple[Array, Array]:
    """Features of unequal scale about a mean that is not 0, and targets that owe something to them."""
    rng = np.random.default_rng([n, d, seed])
    features = rng.normal(size=(n, d)) * rng.exponential(size=d) + 3
    return features, features @ rng.normal(size=d) * 0.2 + rng.normal(size=n) + 5


def dense(features: Array, y: Array, alpha: float, beta: float) -> float:
    """The density of the contrasts of y (Helmert's), from their full covariance: scipy's, not ours."""
    n = len(y)
    contrasts = helmert(n)
    covariance = contrasts @ (features @ features.T / alpha + np.eye(n) / beta) @ contrasts.T
    return float(stats.multivariate_normal(np.zeros(n - 1), covariance).logpdf(contrasts @ y))


# --- evidence ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "d"), SHAPES)
@pytest.mark.parametrize(("alpha", "beta"), [(1.0, 1.0), (0.1, 5.0), (30.0, 0.2)])
def test_the_evidence_is_the_dense_density(n: int, d: int, alpha: float, beta: float) -> None:
    features, y = problem(n, d)
    assert log_evidence_at(features, y, alpha, beta) == pytest.approx(dense(features, y, alpha, beta), abs=1e-8)


@pytest.mark.parametrize(("n", "d"), SHAPES)
def test_the_intercept_has_a_flat_prior(n: int, d: int) -> None:
    """Bayes with a weight of variance v on a constant feature, as v grows: an n × n solve without any centring."""
    features, y = problem(n, d)
    wide = 1e6
    covariance = features @ features.T / 0.5 + np.eye(n) / 2 + wide
    whole = stats.multivariate_normal(np.zeros(n), covariance).logpdf(y) + 0.5 * np.log(2 * np.pi * wide * n)
    assert log_evidence_at(features, y, 0.5, 2.0) == pytest.approx(float(whole), abs=1e-3)


@pytest.mark.parametrize(("n", "d"), SHAPES)
def test_the_maximum_is_that_of_a_search_over_both_precisions(n: int, d: int) -> None:
    features, y = problem(n, d)
    labels = y > np.median(y)
    targets = labels.astype(np.float64)

    def loss(logs: Any) -> float:
        return -dense(features, targets, *np.exp(logs)) / (n - 1)

    starts = [(0.0, 0.0), (4.0, 1.0), (8.0, 2.0), (2.0, 4.0)]
    found = -min(
        float(optimize.fmin(loss, start, xtol=1e-10, ftol=1e-13, full_output=True, disp=False)[1]) for start in starts
    )
    assert log_evidence(features, labels) == pytest.approx(found, abs=1e-8)


def test_the_evidence_has_no_unit_and_two_classes_are_one_question() -> None:
    features, y = problem(50, 20)
    names = np.where(y > np.median(y), "good", "bad")
    once = log_evidence(features, names)
    for other in (features * 1e-6, features * 1e6, features + 100, features[:, ::-1]):
        assert log_evidence(other, names) == pytest.approx(once, abs=1e-7)
    assert log_evidence(features, np.where(names == "good", "a", "z")) == pytest.approx(once, abs=1e-12)


def test_features_that_hold_the_labels_have_a_finite_evidence() -> None:
    labels = np.arange(40) % 2
    assert np.isfinite(log_evidence(labels[:, None] * np.ones(3), labels))
    rng = np.random.default_rng(0)
    assert log_evidence(rng.normal(size=(40, 3)), labels) < log_evidence(labels[:, None] * np.ones(3), labels)


# --- H-score ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "d"), [(200, 10), (60, 90)])
def test_the_h_score_is_the_trace_of_its_definition(n: int, d: int) -> None:
    features, y = problem(n, d)
    labels = np.digitize(y, np.quantile(y, [1 / 3, 2 / 3]))
    scaled = features - features.mean(axis=0)
    covariance, shrinkage = ledoit_wolf(scaled, assume_centered=True)
    means = np.stack([scaled[labels == label].mean(axis=0) for label in range(3)])[labels]
    between = (1 - shrinkage) * means.T @ means / n
    assert h_score(features, labels) == pytest.approx(float(np.trace(np.linalg.solve(covariance, between))), rel=1e-6)


@pytest.mark.parametrize("d", [64, 384, 1024])
@pytest.mark.parametrize("n", [100, 500, 2000])
def test_labels_that_mean_nothing_score_zero(n: int, d: int) -> None:
    rng = np.random.default_rng([n, d])
    labels = rng.integers(0, 4, n)
    scores = [h_score_excess(rng.normal(size=(n, d)), labels, permutations=49) for _ in range(2)]
    assert all(abs(one.excess) <= 0.02 for one in scores)


def test_on_features_that_vary_as_real_ones_do_noise_scores_zero_where_the_raw_score_does_not() -> None:
    """Few strong directions, as in a transformer: there the shrinkage is small, and the raw score of noise large."""
    rng = np.random.default_rng(3)
    excess, raw = [], []
    for _ in range(30):
        features = rng.normal(size=(300, 200)) * np.arange(1, 201) ** -0.8
        one = h_score_excess(features, rng.integers(0, 4, 300), permutations=99)
        excess.append(one.excess)
        raw.append(one.score)
    assert abs(np.mean(excess)) < 0.02
    assert np.mean(raw) > 0.5


def test_labels_are_shuffled_by_documents() -> None:
    """Every document five times, labels drawn a document: shuffled text by text, noise looks like a finding."""
    rng = np.random.default_rng(5)
    by_document, by_text = [], []
    for _ in range(40):
        documents = rng.normal(size=(40, 10))
        features = np.repeat(documents, 5, axis=0) + 0.01 * rng.normal(size=(200, 10))
        labels, clusters = np.repeat(rng.permutation(40) % 2, 5), np.repeat(np.arange(40), 5)
        by_document.append(h_score_excess(features, labels, clusters, permutations=99).p)
        by_text.append(h_score_excess(features, labels, permutations=99).p)
    assert np.mean(np.array(by_document) <= 0.05) <= 0.15
    assert np.mean(np.array(by_text) <= 0.05) >= 0.8
    assert min(by_document) > 0


@pytest.mark.parametrize("size", [lambda rng: np.full(24, 15), lambda rng: rng.integers(1, 30, 24)])
def test_one_label_out_of_line_does_not_split_the_documents(size: Any) -> None:
    """Labels drawn a document, but for one text: a test at .05 rejects in 1 of 20 (3 standard errors: 2 of 20)."""
    rng, p = np.random.default_rng(7), []
    for _ in range(60):
        clusters = np.repeat(np.arange(24), size(rng))
        features = rng.normal(size=(24, 10))[clusters] + 0.2 * rng.normal(size=(len(clusters), 10))
        labels = (rng.permutation(24) % 2)[clusters]
        labels[rng.integers(len(labels))] ^= 1
        p.append(h_score_excess(features, labels, clusters, permutations=99).p)
    assert np.mean(np.array(p) <= 0.05) <= 0.15


def test_a_document_gets_the_labels_of_another_one() -> None:
    """Documents of equal size swap their labels whole; the mixture of a larger or smaller one is kept."""
    labels, clusters = list("aaabaabbcccc"), np.repeat([0, 1, 2], 4)
    shuffled = permuted_labels(labels, clusters, 99)
    counts = np.stack(
        [shuffled[clusters == one].sum(axis=0).T for one in range(3)], axis=1
    )  # (draws, documents, labels)
    assert {tuple(sorted(map(tuple, draw))) for draw in counts.tolist()} == {((0, 0, 4), (2, 2, 0), (3, 1, 0))}
    assert len({tuple(map(tuple, draw)) for draw in counts.tolist()}) == 6  # every order of three documents
    assert len({tuple(shuffled[:4, 0, draw]) for draw in range(99)}) > 3  # and any order within
    labels, clusters = list("ababccccc"), np.repeat([0, 1, 2], [4, 1, 4])
    uneven = permuted_labels(labels, clusters, 99)
    assert {tuple(one) for one in uneven[:4].sum(axis=0).T.tolist()} == {(2, 2, 0), (0, 0, 4)}
    assert h_score_excess(np.random.default_rng(0).normal(size=(9, 3)), labels, clusters).p


# --- probes -----------------------------------------------------------------------------------------------------------


def test_folds_keep_documents_whole_and_labels_in_proportion() -> None:
    rng = np.random.default_rng(0)
    clusters = np.repeat(np.arange(60), rng.integers(1, 5, 60))
    labels = (np.arange(60) % 3 == 0)[clusters]
    fold = deal_folds(labels, clusters, 5, rng)
    assert all(len(set(fold[clusters == one])) == 1 for one in range(60))
    shares = [labels[fold == one].mean() for one in range(5)]
    assert np.ptp(shares) < 0.15
    assert np.ptp(np.bincount(fold)) <= 8


def test_a_probe_is_never_asked_about_a_document_that_it_was_fitted_to() -> None:
    """Ten copies of each of 40 documents with random labels: whoever has seen a copy is always right."""
    rng = np.random.default_rng(1)
    features, clusters = np.repeat(rng.normal(size=(40, 60)), 10, axis=0), np.repeat(np.arange(40), 10)
    labels = np.repeat(rng.permutation(40) % 2, 10)
    assert probe_hits(features, labels, clusters).mean() == pytest.approx(0.5, abs=0.2)
    assert probe_hits(features, labels, np.arange(400)).mean() > 0.95


def test_a_rare_label_is_dealt_to_more_folds_than_one() -> None:
    """The rarer of two labels is the minority in two of 12 documents: fold by fold, a probe must see both labels."""
    clusters, rng = np.repeat(np.arange(12), 6), np.random.default_rng(8)
    labels = np.where(np.isin(np.arange(72), [1, 8, 9]), "b", "a")
    for seed in range(20):
        fold = deal_folds(labels, clusters, 5, np.random.default_rng(seed))
        assert len(set(fold[labels == "b"])) == 2
        assert probe_hits(rng.normal(size=(72, 4)), labels, clusters, repeats=1, seed=seed).shape == (1, 72)


def test_a_deal_that_leaves_one_label_is_dealt_again(monkeypatch: pytest.MonkeyPatch) -> None:
    labels, clusters, features = np.arange(12) % 2, np.arange(12), np.random.default_rng(0).normal(size=(12, 2))
    by_label, anew = [labels], deal_folds
    monkeypatch.setattr(folds, "deal_folds", lambda *args: by_label.pop() if by_label else anew(*args))
    assert probe_hits(features, labels, clusters, repeats=1).shape == (1, 12)
    assert not by_label
    monkeypatch.setattr(folds, "deal_folds", lambda *args: labels)
    with pytest.raises(NotMeasurable, match="some classifier saw one label only"):
        probe_hits(features, labels, clusters)


def test_a_probe_reaches_the_accuracy_of_bayes() -> None:
    """Two Gaussians whose means lie 2 apart: no classifier beats the normal distribution's .8413 at 1."""
    rng = np.random.default_rng(2)
    labels = np.arange(4000) % 2
    features = rng.normal(size=(4000, 4))
    features[:, 0] += 2 * labels
    hits = probe_hits(features, labels, np.arange(4000), repeats=1)
    assert hits.mean() == pytest.approx(stats.norm.cdf(1), abs=0.015)  # 2.6 standard errors


# --- scales -----------------------------------------------------------------------------------------------------------


def labelled(labels: list[str], texts: list[str] | None = None) -> list[Item]:
    return [
        Item(id=str(row), cluster=str(row), text=texts[row] if texts else f"text {row}", label=label)
        for row, label in enumerate(labels)
    ]


def test_the_scales_place_noise_at_zero_and_a_signal_above() -> None:
    rng = np.random.default_rng(4)
    items = labelled(["a" if row % 2 else "b" for row in range(300)])
    noise = rng.normal(size=(300, 50))
    signal = noise.copy()
    signal[::2, :10] += 0.8
    for scale in label_fit(noise, items):
        assert scale.measured.low is None or scale.measured.low <= scale.null <= (scale.measured.high or 0)
        assert abs(scale.position) < 0.12
    for scale in label_fit(signal, items):
        assert scale.measured.low is not None
        assert scale.measured.low > scale.null
        assert 0.15 < scale.position < 1
    assert [scale.name for scale in label_fit(signal, items)] == ["fit/probe", "fit/h_score"]


def test_names_of_documents_say_nothing_of_a_fit() -> None:
    rng = np.random.default_rng(9)
    items, features = labelled(["a" if row % 3 else "b" for row in range(90)]), rng.normal(size=(90, 12))
    renamed = [item.model_copy(update={"id": f"{hash_}", "cluster": f"{hash_ % 45}"}) for item, hash_ in
               zip(items, rng.permutation(90).tolist(), strict=True)]  # fmt: skip
    other = [item.model_copy(update={"id": f"n{item.id}", "cluster": f"{97 - int(item.cluster)}"}) for item in renamed]
    assert label_fit(features, other) == label_fit(features, renamed)


def test_separable_features_do_not_lie_beyond_the_ceiling() -> None:
    rng, labels = np.random.default_rng(10), ["a" if row % 2 else "b" for row in range(200)]
    features = rng.normal(size=(200, 20)) * 0.01
    features[::2] += 1
    assert all(scale.position <= 1 for scale in label_fit(features, labelled(labels)))


def test_saying_it_twice_proves_nothing_more() -> None:
    rng = np.random.default_rng(6)
    items, features = labelled(["a" if row % 3 else "b" for row in range(90)]), rng.normal(size=(90, 12))
    features[::3] += 0.7
    again = [item.model_copy(update={"id": f"again {item.id}"}) for item in items]
    order = rng.permutation(180)
    both = np.concatenate([features, features])[order]
    shuffled = [[*items, *again][row] for row in order]
    for once, twice in zip(label_fit(features, items), label_fit(both, shuffled), strict=True):
        assert twice.measured.value == pytest.approx(once.measured.value, abs=1e-9)
        assert twice.measured.bounds() == pytest.approx(once.measured.bounds(), abs=1e-9)


def test_a_classifier_that_is_never_wrong_is_not_believed() -> None:
    items = labelled(["a" if row % 2 else "b" for row in range(100)])
    features = np.random.default_rng(0).normal(size=(100, 3))
    features[::2] += 50
    probe = label_fit(features, items)[0]
    assert probe.measured.value == 1
    assert "do labels stand in the text?" in probe.note


@pytest.mark.parametrize(
    ("features", "labels", "message"),
    [
        (np.eye(20), ["a"] * 20, "every text is labelled 'a'"),
        (np.eye(5), list("ababa"), "5 distinct documents are too few"),
        (np.ones((20, 4)), list("ab") * 10, "features do not vary"),
        (np.full((20, 4), np.nan), list("ab") * 10, "no finite table"),
        (np.eye(20), ["a"] * 19 + ["b"], "fewer than two labels stand in two documents"),
    ],
)
def test_what_cannot_be_measured_says_why(features: Array, labels: list[str], message: str) -> None:
    with pytest.raises(NotMeasurable, match=message):
        label_fit(features, labelled(labels))
