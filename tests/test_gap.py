"""The domain gap in known numbers: closed forms, mixtures, domains that everybody can tell apart, and bad samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from scipy.spatial.distance import pdist, squareform

from audit.audits.gap import Gap, domain_gap, mmd2
from audit.audits.gap.drivers import log_odds
from audit.audits.gap.frechet import frechet, frechet_distance
from audit.audits.gap.mmd import representation
from audit.audits.gap.placed import Placed, Sample, Samples, findings_of
from audit.audits.gap.separability import Told, separability, told_apart
from audit.finding import Estimate, Finding
from audit.items import reversed_words
from audit.scale import Scale
from audit.stats import deal_clusters, permutation_p
from audit.view import Item, Kind, NotMeasurable

Array = NDArray[np.float64]
DOMAINS = ("amazon", "imdb", "yelp", "sms")
REVIEWS = DOMAINS[:3]
N = 500  # texts of a domain


class Known:
    """A view that knows the embedding of some contents, and counts what it is asked."""

    id = "known"
    kind: Kind = "encoder"
    labels: tuple[str, ...] = ()

    def __init__(self, vectors: Mapping[str, Array]) -> None:
        self.vectors = vectors
        self.asked: list[str] = []

    def ask(self, question: str, items: Sequence[Item]) -> Array:
        if question != "embedding":
            raise NotMeasurable(question, "this base has embeddings only")
        contents = [item.text or item.image or "" for item in items]
        self.asked += contents
        return np.array([self.vectors[content] for content in contents])

    def treatment(self, question: str, items: Sequence[Item]) -> str:
        return ""


def written(name: str, values: Array, clusters: Sequence[int] | None = None) -> list[Item]:
    """Texts of equal length, one a row."""
    rows = range(len(values)) if clusters is None else clusters
    return [Item(id=f"{name}{i}", cluster=f"{name}{row}", text=f"{name:>9} {i:06}") for i, row in enumerate(rows)]


def gap_of(task: Array, reference: Array, ceiling: Array, margin: float = 0.1) -> Gap:
    samples = {"task": task, "reference": reference, "ceiling": ceiling}
    items = {name: written(name, values) for name, values in samples.items()}
    vectors = {
        item.text or "": value for name in samples for item, value in zip(items[name], samples[name], strict=True)
    }
    return domain_gap(Known(vectors), items["task"], items["reference"], items["ceiling"], margin=margin)


def by_name(gap: Gap) -> dict[str, Finding]:
    return {finding.name: finding for finding in gap.findings}


# --- closed forms -----------------------------------------------------------------------------------------------------


def kernel_of(points: Array, clusters: NDArray[np.int64], bandwidth: float | None = None) -> Array:
    squares = squareform(pdist(points, "sqeuclidean"))
    values: Array = np.exp(-squares / (2 * (bandwidth or float(np.median(squares)))))
    values *= clusters[:, None] != clusters
    return values


def test_mmd_of_a_shifted_gaussian_is_its_closed_form() -> None:
    """K = exp(-|x - y|²/2s²), unit covariance, shift m: MMD² = 2·(s²/(s² + 2))^(d/2)·(1 - exp(-m²/2(s² + 2)))."""
    rng = np.random.default_rng(2)
    d, n, s2 = 4, 1500, 6.0
    first = (np.arange(2 * n) < n).astype(float)[:, None]
    for shift in (0.0, 1.0):
        points = rng.normal(size=(2 * n, d)) + np.eye(d)[0] * shift * (1 - first)
        value = mmd2(kernel_of(points, np.arange(2 * n), s2), np.arange(2 * n), first)[0]
        expected = 2 * (s2 / (s2 + 2)) ** (d / 2) * (1 - np.exp(-(shift**2) / (2 * (s2 + 2))))
        assert value == pytest.approx(expected, rel=0.1, abs=2e-4)  # a biased one is off by 2·(1 - E[k])/n = 6e-4


def test_mmd_leaves_out_pairs_of_a_document() -> None:
    """One matrix product and sizes of clusters, against sums over pairs written out."""
    rng = np.random.default_rng(0)
    clusters = np.array([0, 0, 1, 2, 3, 3, 3, 4, 5, 5])
    kernel = kernel_of(rng.normal(size=(10, 3)), clusters)
    first = np.isin(clusters, [[0, 1, 3]]).astype(float)

    def mean(one: float, other: float) -> float:
        pairs = [
            (i, j)
            for i in range(10)
            for j in range(10)
            if clusters[i] != clusters[j] and first[i] == one and first[j] == other
        ]
        return float(np.mean([kernel[pair] for pair in pairs]))

    expected = mean(1, 1) + mean(0, 0) - 2 * mean(1, 0)
    assert mmd2(kernel, clusters, first[:, None])[0] == pytest.approx(expected, abs=1e-12)
    assert mmd2(kernel.astype(np.float32), clusters, first[:, None])[0] == pytest.approx(expected, abs=1e-6)


def test_the_position_is_that_of_a_plain_computation() -> None:
    """Blocks in single precision, far from the origin, against one plain mean over pairs in double precision."""
    rng = np.random.default_rng(1)
    reference, task, far = rng.normal(size=(80, 5)), rng.normal(size=(70, 5)) + 0.4, rng.normal(size=(60, 5)) + 2
    bandwidth = float(np.median(pdist(np.concatenate([reference, task]), "sqeuclidean")))

    def plain(other: Array) -> float:
        both = np.concatenate([reference, other])
        side = (np.arange(len(both)) < 80).astype(float)[:, None]
        return float(mmd2(kernel_of(both, np.arange(len(both)), bandwidth), np.arange(len(both)), side)[0])

    scale = gap_of(task + 1000, reference + 1000, far + 1000).scales[0]
    assert scale.measured.value == pytest.approx(plain(task), abs=1e-5)
    assert scale.ceiling == pytest.approx(plain(far), abs=1e-5)


def test_a_domain_classifier_comes_near_the_best_there_can_be() -> None:
    """Unit Gaussians whose means lie δ apart: no classifier is right more often than Φ(δ/2)."""
    rng = np.random.default_rng(3)
    n, shift = 3000, 1.5
    sides = [(Sample.of(written("a", np.empty(n))), rng.normal(size=(n, 4)) + k * shift * np.eye(4)[0]) for k in (0, 1)]
    accuracy = told_apart(sides[0], sides[1], n, rng).accuracy(rng)
    assert accuracy[0] == pytest.approx(stats.norm.cdf(shift / 2), abs=0.02)
    assert np.std(accuracy[1:]) == pytest.approx(np.sqrt(0.773 * 0.227 / n), rel=0.1)  # binomial, n held-out items


def test_a_document_counts_once_whatever_it_holds() -> None:
    sides, clusters, second = np.array([0, 0, 0, 1]), np.array([0, 0, 1, 2]), np.array([0.9, 0.1, 0.2, 0.8])
    told = Told(sides, np.arange(4), clusters, second)
    assert told.accuracy(np.random.default_rng(0))[0] == pytest.approx((0.5 + 1 + 1) / 3)
    rng = np.random.default_rng(1)
    short, long = (Sample(written("d", np.empty(400 * k), [i // k for i in range(400 * k)])) for k in (1, 5))
    near, apart = rng.normal(size=(400, 2)), rng.normal(size=(2000, 2)) + 1
    right, side = told_apart((short, near), (long, apart), 400, rng).by_document()
    assert right[side == 0].mean() == pytest.approx(right[side == 1].mean(), abs=0.15)  # neither side is the likelier


def test_frechet_of_gaussians_is_its_closed_form() -> None:
    """|μ|² for a shift; Σ(sᵢ - tᵢ)² for diagonal covariances s², t² (Dowson and Landau 1982)."""
    rng = np.random.default_rng(4)
    x = rng.normal(size=(20000, 4))
    shift, widths = np.array([1.0, 0.5, 0, 0]), np.array([1.0, 2, 0.5, 1])
    y = rng.normal(size=(20000, 4))
    assert frechet_distance(x, y + shift) == pytest.approx(1.25, rel=0.05)
    assert frechet_distance(x, y * widths) == pytest.approx(1.25, rel=0.05)
    turned = np.linalg.qr(rng.normal(size=(4, 4)))[0]
    assert frechet_distance(x @ turned, y * widths @ turned) == pytest.approx(1.25, rel=0.05)


def test_frechet_is_read_from_its_own_null() -> None:
    """Of few documents it is far above 0 within one domain; its scale says 0 there, and half for half the shift."""
    rng = np.random.default_rng(5)
    n, d = 300, 40
    reference, far = rng.normal(size=(n, d)), rng.normal(size=(n, d)) + 1
    near, half = (gap_of(rng.normal(size=(n, d)) + shift, reference, far).scales for shift in (0, 0.5))
    [same], [between] = ([scale for scale in scales if scale.name == "frechet"] for scales in (near, half))
    assert same.null > 4
    assert abs(same.position) < 0.15
    assert between.position == pytest.approx(0.5, abs=0.03)
    assert same.measured.low is not None


def test_frechet_says_nothing_of_fewer_documents_than_features() -> None:
    rng = np.random.default_rng(6)
    features = [rng.normal(size=(40, 30)) for _ in range(3)]
    samples = Samples.of(*(written(name, one) for name, one in zip("abc", features, strict=True)))
    with pytest.raises(NotMeasurable, match="20 documents, no more than the 30 features"):
        frechet(samples, features)
    assert "frechet" not in [scale.name for scale in gap_of(features[1], features[0], features[2] + 3).scales]


# --- the scale --------------------------------------------------------------------------------------------------------


def test_the_scale_has_its_zero_and_its_one() -> None:
    rng = np.random.default_rng(0)
    reference, same, far = rng.normal(size=(300, 16)), rng.normal(size=(300, 16)), rng.normal(size=(300, 16)) + 2
    near, there = gap_of(same, reference, far).findings, gap_of(far[::-1].copy(), reference, far)
    apart = there.findings
    assert abs(near[0].adapted.value) < 0.1
    assert near[0].verdict == "same"
    assert near[0].p is not None
    assert near[0].p > 0.05
    assert apart[0].adapted.value == pytest.approx(1, abs=0.02)
    assert {finding.verdict for finding in apart} == {"worse"}
    assert apart[0].p == 0.001
    assert apart[1].adapted.value == pytest.approx(1, abs=0.02)
    assert "Proxy A-distance 2.00 of 2, from 150 held-out documents a side" in there.scales[1].note


@pytest.mark.parametrize("share", [0.25, 0.5, 0.75])
def test_a_mixture_lies_where_its_share_says(share: float) -> None:
    """MMD((1 - λ)P + λQ, P) = λ·MMD(P, Q): the position of a mixture is the share of unrelated text in it."""
    rng = np.random.default_rng(1)
    reference, far = rng.normal(size=(400, 16)), rng.normal(size=(400, 16)) + 1.5
    mixed = rng.normal(size=(400, 16)) + 1.5 * (np.arange(400) < share * 400)[:, None]
    assert gap_of(mixed, reference, far).findings[0].adapted.value == pytest.approx(share, abs=0.05)


def test_a_scale_without_a_ceiling_is_no_scale() -> None:
    rng = np.random.default_rng(5)
    with pytest.raises(NotMeasurable, match="no scale"):
        gap_of(rng.normal(size=(60, 8)), rng.normal(size=(60, 8)), rng.normal(size=(60, 8)))


def test_a_long_document_is_one_witness() -> None:
    """Five texts a document on one side, one on the other, and nothing to tell: neither side wins by length."""
    rng = np.random.default_rng(7)
    reference, far = rng.normal(size=(200, 6)), rng.normal(size=(200, 6)) + 4
    task = np.repeat(rng.normal(size=(200, 6)), 5, axis=0) + 0.05 * rng.normal(size=(1000, 6))
    items = [written("r", reference), written("t", task, [i // 5 for i in range(1000)]), written("u", far)]
    vectors = {
        item.text or "": value
        for part, values in zip(items, (reference, task, far), strict=True)
        for item, value in zip(part, values, strict=True)
    }
    found = by_name(domain_gap(Known(vectors), items[1], items[0], items[2], margin=0.2))
    assert abs(found["separability"].adapted.value) < 0.2
    assert found["separability"].n_clusters == 100
    assert (found["separability"].p or 0) > 0.05
    assert (found["representation"].p or 0) > 0.05


def test_the_permutation_test_has_its_size_with_documents_and_not_without() -> None:
    """Each document says nearly the same six times: whole documents must be permuted."""
    rng = np.random.default_rng(3)
    rejected = {"grouped": 0, "naive": 0}
    repeats = 60
    far = written("u", np.empty(90))
    for _ in range(repeats):
        values = np.repeat(rng.normal(size=(30, 4)), 6, axis=0) + 0.05 * rng.normal(size=(180, 4))
        for name in rejected:
            items = written("t", values, [i // 6 if name == "grouped" else i for i in range(180)])
            features = [values[:90], values[90:], values[90:] + 5]
            found = representation(Samples.of(items[:90], items[90:], far), features)
            rejected[name] += (found.p or 1) <= 0.05
    assert rejected["grouped"] / repeats <= 0.15
    assert rejected["naive"] / repeats > 0.5  # the mutant


@pytest.mark.parametrize("alike", [0.0, 0.7])
def test_one_document_that_holds_most_of_the_texts_breaks_nothing(alike: float) -> None:
    """250 of 300 texts in one document; whether or not they are alike, they are one witness: size .05, not more."""
    rng, rejected = np.random.default_rng(15), 0
    items = [written(name, np.empty(n), rows) for name, n, rows in (
        ("r", 300, [max(0, i - 249) for i in range(300)]), ("t", 60, range(60)), ("u", 60, range(60)))]  # fmt: skip
    samples = Samples.of(*items)
    for _ in range(20):
        reference, task, far = rng.normal(size=(300, 4)), rng.normal(size=(60, 4)), rng.normal(size=(60, 4)) + 5
        large = samples.reference.codes == np.bincount(samples.reference.codes).argmax()
        reference[large] = alike * rng.normal(size=4) + (1 - alike**2) ** 0.5 * reference[large]
        found = representation(samples, [reference, task, far])
        assert np.isfinite(found.draws).all()
        assert np.isfinite(found.scale.null)
        rejected += (found.p or 0) <= 0.05
    assert rejected <= 4


def test_either_sample_of_a_deal_has_two_clusters() -> None:
    dealt = deal_clusters([0] * 50 + list(range(1, 10)), 30, 200, np.random.default_rng(0))
    clusters = dealt[49:].sum(axis=0)
    assert (clusters.min(), clusters.max()) == (2, 8)
    assert set(deal_clusters([0, 0, 0, 1, 2], 3, 50, np.random.default_rng(0))[2:].sum(axis=0)) <= {1, 2}


def test_documents_of_the_task_are_no_reference_for_it() -> None:
    """Half of the reference is the task's own: without it, the task lies at 0 again; with nothing else, nowhere."""
    rng = np.random.default_rng(16)
    values = rng.normal(size=(300, 6))
    far = rng.normal(size=(150, 6)) + 3
    every = written("d", values)
    vectors = {item.text or "": value for item, value in zip(every, values, strict=True)}
    unrelated = written("u", far)
    vectors |= {item.text or "": value for item, value in zip(unrelated, far, strict=True)}
    task = [item.model_copy(update={"id": f"own {item.id}"}) for item in every[:150]]  # content tells, not ids
    gap = domain_gap(Known(vectors), task, every[75:], unrelated, margin=0.2)
    assert gap.limits[0] == "75 reference documents that are also in the task were left out."
    alone = domain_gap(Known(vectors), task, every[150:], unrelated, margin=0.2)
    assert [one.adapted for one in gap.findings] == [one.adapted for one in alone.findings]
    assert "better" not in {one.verdict for one in gap.findings}
    assert not alone.limits or "left out" not in alone.limits[0]
    with pytest.raises(
        NotMeasurable, match="145 of the reference's documents are also in the task, which leaves 5; 10"
    ):
        domain_gap(Known(vectors), task, every[5:155], unrelated, margin=0.2)


def test_a_document_is_left_out_whole() -> None:
    items = written("r", np.empty(60), [i // 3 for i in range(60)])
    samples = Samples.of(items, [items[0], items[4], *written("t", np.empty(20))], written("u", np.empty(20)))
    assert (samples.left_out, samples.reference.n_clusters, len(samples.reference.items)) == (2, 18, 54)


def test_what_things_are_called_says_nothing() -> None:
    """Ids, clusters and rows are renamed and shuffled; who shares a document, and who says what, is kept."""
    rng = np.random.default_rng(17)
    values = [rng.normal(size=(120, 6)) + shift for shift in (0, 0.3, 3)]
    parts = [written(name, some, [i // 2 for i in range(120)]) for name, some in zip("rtu", values, strict=True)]
    parts[0][9] = parts[0][9].model_copy(update={"text": parts[0][0].text})  # said in two documents
    vectors = {
        item.text or "": value
        for part, some in zip(parts, values, strict=True)
        for item, value in zip(part, some, strict=True)
    }

    def renamed(part: list[Item]) -> list[Item]:
        names, ids = rng.permutation(60).tolist(), rng.permutation(120).tolist()
        return [
            part[i].model_copy(update={"id": f"n{ids[i]}", "cluster": f"c{names[i // 2]}"})
            for i in rng.permutation(120).tolist()
        ]

    def measured(task: list[Item], reference: list[Item], ceiling: list[Item]) -> Gap:
        return domain_gap(Known(vectors), task, reference, ceiling, margin=0.2)

    once, again = measured(parts[1], parts[0], parts[2]), measured(*(renamed(parts[i]) for i in (1, 0, 2)))
    assert [(one.name, one.adapted, one.decision, one.p) for one in again.findings] == [
        (one.name, one.adapted, one.decision, one.p) for one in once.findings
    ]
    assert again.scales == once.scales
    twice = [part + [item.model_copy(update={"id": f"z {item.id}"}) for item in part] for part in parts]
    assert measured(twice[1][::-1], twice[0][::-1], twice[2][::-1]).findings == once.findings  # the same ids are kept


@pytest.mark.parametrize("names", ["12", "21"])
def test_a_text_of_two_documents_is_known_by_its_company(names: str) -> None:
    said = [(names[0], "x"), (names[0], "a"), (names[1], "x"), (names[1], "b")]
    sample = Sample.of([Item(id=f"{names}{i}", cluster=cluster, text=text) for i, (cluster, text) in enumerate(said)])
    assert [item.text for item in sample.items] == ["a", "b", "x", "x"]
    assert sample.codes.tolist() == [0, 1, 0, 1]


def test_the_split_of_the_documents_moves_the_position_little() -> None:
    """Other words with the same features change nothing but the chance of the splits."""
    rng = np.random.default_rng(18)
    features = [rng.normal(size=(300, 40)) + shift for shift in (0, 0.06, 1)]
    found = []
    for salt in range(8):
        samples = Samples.of(*(written(f"{name}{salt}", some) for name, some in zip("rtu", features, strict=True)))
        found.append(separability(samples, features))
    for name in range(2):
        assert np.std([one[name].scale.position for one in found], ddof=1) < 0.035  # of one split: .046
    draws = found[0][0].draws
    one_split = 2 * np.sqrt(0.25 / 300) * 2 * 1.96  # of the position, 300 held-out documents told apart or not by coin
    assert np.diff(np.quantile(draws[1:], [0.025, 0.975])) == pytest.approx(one_split, rel=0.15)
    assert all(0 < (one[0].p or 0) <= 1 for one in found)


def test_the_p_is_twice_the_median_of_the_splits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Meinshausen, Meier and Bühlmann 2009, at a half: 2 · .03; and never more than 1."""
    features = [np.random.default_rng(side).normal(size=(60, 5)) + 4 * (side == 2) for side in range(3)]
    samples = Samples.of(*(written(name, np.empty(60)) for name in "rtu"))
    for splits, expected in (([0.5, 0.01, 0.03, 0.9, 0.02], 0.06), ([0.6] * 5, 1.0)):
        each = iter(splits * 2)
        monkeypatch.setattr(Told, "p", lambda _, each=each: next(each))
        assert [one.p for one in separability(samples, features)] == pytest.approx([expected] * 2)


def test_a_measure_that_fails_does_not_take_another_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_scale(*_: object) -> list[Placed]:
        raise NotMeasurable("separability", "there is no scale")

    monkeypatch.setattr("audit.audits.gap.separability", no_scale)
    rng = np.random.default_rng(20)
    gap = gap_of(rng.normal(size=(60, 4)), rng.normal(size=(60, 4)), rng.normal(size=(60, 4)) + 4)
    assert [one.name for one in gap.findings] == ["representation"]
    assert "frechet" in [one.name for one in gap.scales]
    assert gap.drivers is not None
    assert [one for one in gap.limits if "base's space" in one or "separability" in one] == [
        "The gap in separability was not measured: separability: there is no scale."
    ]


def test_a_base_without_embeddings_says_so_once() -> None:
    class Mute(Known):
        def ask(self, question: str, items: Sequence[Item]) -> Array:
            if question == "token_ids":
                return np.array(
                    [[len(item.text or "") % 7, int(item.id[1:]) % 5 + 9 * (item.id[0] == "u")] for item in items]
                )
            raise NotMeasurable(question, "it has none")

    gap = domain_gap(Mute({}), *(written(name, np.empty(60)) for name in "tru"), margin=0.2)
    assert [one.name for one in gap.findings] == ["tokens"]
    assert sum("embedding" in one for one in gap.limits) == 1


def test_a_draw_of_the_ceiling_near_the_null_is_no_infinite_position() -> None:
    """A reach of 1, and of a billionth in 4 of 100 draws: no draw lies farther out than ten times the position."""
    ceiling = np.where(np.arange(1001) % 25 == 1, 1e-9, 1.0)
    found = Placed.read("x", "how far", "m", np.full(1001, 0.5), ceiling, 0.0, p=None, n_items=9, n_clusters=9)
    assert found.scale.position == 0.5
    assert found.draws.max() == pytest.approx(5.0)


def test_findings_share_their_error() -> None:
    """Draws on a grid from 0 to 1, at .05: alone 5 % are cut off either end; of two findings 2.5 % (Bonferroni)."""
    draws = np.concatenate([[0.5], np.linspace(0, 1, 1001)])
    one = Placed(
        Scale(name="x", question="", unit="", null=0, measured=Estimate(value=0.5), ceiling=1), draws, None, 9, 9
    )
    for family, level in ((1, 0.05), (2, 0.025), (5, 0.01)):
        for found in findings_of([one] * family, written("t", np.empty(3)), margin=0.1, alpha=0.05, note=""):
            assert found.decision.same == pytest.approx((0.05, 0.95))
            assert found.decision.beyond == pytest.approx((level, 1 - level))


def test_few_texts_are_unclear_and_very_few_are_not_placed() -> None:
    rng = np.random.default_rng(4)
    reference, far = rng.normal(size=(50, 8)), rng.normal(size=(50, 8)) + 3
    few = gap_of(rng.normal(size=(12, 8)), reference, far).findings
    assert {finding.verdict for finding in few} == {"unclear"}
    assert all(finding.n_needed for finding in few)
    with pytest.raises(NotMeasurable, match="5 distinct documents are too few to place"):
        gap_of(rng.normal(size=(5, 8)), reference, far)


def test_texts_that_all_say_the_same_are_far_and_do_not_break_anything() -> None:
    rng = np.random.default_rng(8)
    reference, far = rng.normal(size=(60, 8)), rng.normal(size=(60, 8)) + 3
    found = by_name(gap_of(np.ones((60, 8)), reference, far))
    assert found["representation"].verdict == "worse"
    assert all(0 < (finding.p or 0) <= 1 for finding in found.values())
    with pytest.raises(NotMeasurable, match="no scale"):
        gap_of(np.ones((60, 8)), np.ones((60, 8)), np.ones((60, 8)))


# --- length, words ----------------------------------------------------------------------------------------------------


def texts_of_length(name: str, lengths: Sequence[int]) -> list[Item]:
    return [Item(id=f"{name}{i}", cluster=f"{name}{i}", text=name * length) for i, length in enumerate(lengths)]


def lengths_told(reference: Sequence[int], task: Sequence[int]) -> Gap:
    """A base that knows nothing of a text but how long it is."""
    samples = [texts_of_length(name, lengths) for name, lengths in (("r", reference), ("t", task), ("u", reference))]
    vectors = {
        one.text or "": np.array([len(one.text or "") / 20, 9.0 * (side == 2)])
        for side, some in enumerate(samples)
        for one in some
    }
    return domain_gap(Known(vectors), samples[1], samples[0], samples[2], margin=0.2)


def test_what_length_alone_tells_apart_is_gone_at_equal_lengths() -> None:
    rng = np.random.default_rng(9)
    short, long = (rng.triangular(20, most, 80, 900).astype(int).tolist() for most in (20, 80))
    found = by_name(lengths_told(short, long))
    as_it_is, matched = found["separability"], found["separability_length_matched"]
    assert as_it_is.verdict == "worse"
    assert as_it_is.adapted.value == pytest.approx(
        0.5, abs=0.1
    )  # half of either sample is as long as half of the other
    assert matched.verdict == "same"
    assert abs(matched.adapted.value) < 0.1
    assert "of the same length" in matched.question
    assert matched.n_clusters < as_it_is.n_clusters


def test_lengths_that_do_not_meet_are_said_to() -> None:
    found = lengths_told(list(range(20, 60)), list(range(100, 180)))
    assert "separability_length_matched" not in by_name(found)
    [scale] = [scale for scale in found.scales if scale.name == "separability"]
    assert "Not repeated at equal lengths: 0 documents a side are as long as one of the other" in scale.note


def test_texts_of_one_length_are_matched_as_they_are() -> None:
    rng = np.random.default_rng(10)
    found = by_name(gap_of(rng.normal(size=(80, 4)), rng.normal(size=(80, 4)), rng.normal(size=(80, 4)) + 4))
    assert found["separability_length_matched"].n_clusters == found["separability"].n_clusters


def test_log_odds_are_those_of_the_formula() -> None:
    """Monroe et al. 2008 by pencil: "film" 12 of 100 words here and 2 of 200 there, with a tenth of both on top."""
    here, there = {"film": 12, "the": 88}, {"film": 2, "the": 198}
    film, other = (13.4, 3.4), (116.6, 226.6)
    expected = (np.log(film[0] / other[0]) - np.log(film[1] / other[1])) / np.sqrt(
        1 / film[0] + 1 / other[0] + 1 / film[1] + 1 / other[1]
    )
    assert log_odds(here, there)["film"] == pytest.approx(expected)
    assert log_odds(there, here)["film"] == pytest.approx(-expected)


def test_long_documents_do_not_make_words_telling() -> None:
    """One vocabulary, one side eight times as long: it holds more of all words, and none of them tells anything."""
    rng = np.random.default_rng(12)
    chances = 1 / np.arange(1, 61)
    items = {
        name: [
            Item(id=f"{name}{i}", cluster=f"{name}{i}", text=" ".join("w" + "x" * k for k in said))
            for i, said in enumerate(rng.choice(60, (150, n), p=chances / chances.sum()))
        ]
        for name, n in (("task", 10), ("reference", 80), ("ceiling", 80))
    }  # fmt: skip
    vectors = {
        one.text or "": rng.normal(size=3) + 9 * (name == "ceiling") for name, some in items.items() for one in some
    }
    told = domain_gap(Known(vectors), items["task"], items["reference"], items["ceiling"], margin=0.2).drivers
    assert told is not None
    assert len(told[told.kind == "word"]) <= 1


def test_the_words_that_tell_are_counted_once_a_document() -> None:
    rng = np.random.default_rng(11)
    common = [f"w{i}" for i in range(30)]

    def texts(name: str, own: str, shouted: str) -> list[Item]:
        lines = [(f"{own} " if i % 2 else "") + " ".join(rng.choice(common, 8)) for i in range(200)]
        lines[0] += f" {shouted}" * 50  # by one document
        return [Item(id=f"{name}{i}", cluster=f"{name}{i}", text=line) for i, line in enumerate(lines)]

    items = [texts("r", "plate", "loud"), texts("t", "Camera", "noise"), texts("u", "", "x")]
    vectors = {one.text or "": rng.normal(size=3) + 3 * k for k, part in enumerate(items) for one in part}
    told = domain_gap(Known(vectors), items[1], items[0], items[2], margin=0.2).drivers
    assert told is not None
    words = told[told.kind == "word"]
    assert list(zip(words.side, words.value, words.n, strict=True)) == [
        ("task", "camera", 100),
        ("reference", "plate", 100),
    ]
    typical = told[told.kind == "text"]
    assert typical.side.value_counts().to_dict() == {"task": 5, "reference": 5}
    assert list(typical.item_id.str[0]) == list(typical.side.str[0])
    assert (typical.score > 0.5).all()
    assert set(typical.n) == {100}


# --- images -----------------------------------------------------------------------------------------------------------


def test_images_are_placed_like_texts() -> None:
    """Scans of digits (Alpaydin and Kaynak 1998): their halves are one domain, digits on their side are not."""
    from sklearn.datasets import load_digits

    rng = np.random.default_rng(12)
    drawn = load_digits().images[rng.permutation(1797)]
    domains = {
        "reference": drawn[:600],
        "same": drawn[600:1200],
        "turned": drawn[1200:].swapaxes(1, 2),
        "shuffled": np.stack([rng.permutation(one.ravel()) for one in drawn[:600]]),
    }
    items = {
        name: [Item(id=f"{name}{i}", cluster=f"{name}{i}", image=f"{name}/{i}.png") for i in range(len(images))]
        for name, images in domains.items()
    }
    pixels = {
        item.image or "": image.ravel() / 16.0
        for name, images in domains.items()
        for item, image in zip(items[name], images, strict=True)
    }
    same, turned = (
        domain_gap(Known(pixels), items[name], items["reference"], items["shuffled"], margin=0.2)
        for name in ("same", "turned")
    )
    assert [finding.name for finding in same.findings] == ["representation", "separability"]
    assert [finding.verdict for finding in same.findings] == ["same", "same"]
    assert [finding.verdict for finding in turned.findings] == ["worse", "worse"]
    assert "images" in turned.findings[0].question
    assert same.drivers is None
    positions = [next(one.position for one in gap.scales if one.name == "frechet") for gap in (same, turned)]
    assert abs(positions[0]) < 0.2 < positions[1]


# --- real text --------------------------------------------------------------------------------------------------------

Embedded = tuple[dict[str, list[Item]], Known]


@pytest.fixture(scope="module")
def sentences(minilm: str) -> Embedded:
    """Texts of every domain, the first half of each with reversed letters, and a view that knows their embeddings."""
    from audit.models.load import load_base
    from audit.models.source import resolve
    from tests.conftest import SHARED

    if not SHARED.is_dir():
        pytest.skip("the public data sets are not beside this checkout (../shared/data)")
    items = {name: _read(SHARED, name) for name in DOMAINS}
    items |= {f"reversed {name}": reversed_words(items[name][: N // 2]) for name in DOMAINS}
    every = [item for part in items.values() for item in part]
    vectors = load_base(resolve(minilm), "encoder").ask("embedding", every)
    return items, Known({item.text or "": vector for item, vector in zip(every, vectors, strict=True)})


def _read(folder: Path, name: str) -> list[Item]:
    """Distinct texts, N at random (Kotzias et al. 2015; Almeida et al. 2011)."""
    file = "sms_spam" if name == "sms" else f"sentences_{name}"
    lines = [line for line in (folder / f"{file}.tsv").read_text(encoding="utf-8").split("\n") if line]
    texts = (
        [line.split("\t", 1)[1] for line in lines[1:]] if name == "sms" else [line.rsplit("\t", 1)[0] for line in lines]
    )
    once = list(dict.fromkeys(text.strip() for text in texts))
    chosen = np.random.default_rng(0).permutation(len(once))[:N]
    return [Item(id=f"{name}{i}", cluster=f"{name}{i}", text=once[i]) for i in chosen.tolist()]


def embedded(sentences: Embedded, names: Sequence[str]) -> Array:
    items, view = sentences
    return np.concatenate([view.ask("embedding", items[name]) for name in names])


@pytest.mark.shared_data
def test_the_permutation_test_has_its_size_on_real_embeddings(sentences: Embedded) -> None:
    """2,000 random splits of one domain; and with every text said three times, as documents and as if they were not."""
    rng = np.random.default_rng(0)
    points = embedded(sentences, REVIEWS)
    kernel = kernel_of(points, np.arange(len(points))).astype(np.float32)

    def rejected(documents: int, copies: int, grouped: bool, splits: int) -> float:
        """Share of p ≤ .05 with so many documents a side; the deals of the cards are the same for all splits."""
        n = 2 * documents * copies
        clusters = np.arange(n) // (copies if grouped else 1)
        split = (np.arange(n) < n // 2).astype(float)[:, None]
        dealt = np.concatenate([split, deal_clusters(clusters, n // 2, 999, rng)], axis=1)
        met = (clusters[:, None] != clusters).astype(np.float32)
        found = []
        for _ in range(splits):
            rows = np.repeat(rng.permutation(len(points))[: 2 * documents], copies)
            between = np.where(rows[:, None] == rows, np.float32(1), kernel[np.ix_(rows, rows)]) * met
            value = mmd2(between, clusters, dealt)
            found.append(permutation_p(float(value[0]), value[1:]))
        assert min(found) >= 0.001
        return float(np.mean(np.array(found) <= 0.05))

    assert 0.035 <= rejected(30, 1, grouped=True, splits=2000) <= 0.065
    assert 0.03 <= rejected(15, 3, grouped=True, splits=600) <= 0.075
    assert rejected(15, 3, grouped=False, splits=100) > 0.9  # the mutant: texts are permuted, not documents


@pytest.mark.shared_data
@pytest.mark.parametrize("share", [0.25, 0.5, 0.75, 1.0])
def test_a_mixture_of_real_texts_lies_where_its_share_says(sentences: Embedded, share: float) -> None:
    items, view = sentences
    reference = [item for name in REVIEWS for item in items[name][: N // 2]]
    others = [item for name in REVIEWS for item in items[name][N // 2 :]]
    unrelated = [item for name in REVIEWS for item in items[f"reversed {name}"]]
    found = []
    for seed in range(3):
        rng = np.random.default_rng(seed)
        order, n = rng.permutation(len(unrelated)), len(unrelated) // 2
        mixed = [unrelated[i] for i in order[: round(share * n)]]
        mixed += [others[i] for i in rng.permutation(len(others))[: n - len(mixed)]]
        ceiling = [unrelated[i] for i in order[n:]]
        found.append(domain_gap(view, mixed, reference, ceiling, margin=0.2).findings[0].adapted.value)
    assert np.mean(found) == pytest.approx(share, abs=0.05)


@pytest.mark.shared_data
def test_domains_lie_where_everybody_knows_them_to(sentences: Embedded) -> None:
    """Halves of a domain are the same; seen from reviews of all three kinds, text messages are the farthest."""
    items, view = sentences
    for name in DOMAINS:
        order = np.random.default_rng(0).permutation(N // 2)
        halves = items[name][: N // 2], items[name][N // 2 :]
        gap = domain_gap(view, halves[1], halves[0], items[f"reversed {name}"], margin=0.2)
        found = by_name(gap)
        assert found["representation"].verdict == "same", name
        assert "worse" not in {finding.verdict for finding in found.values()}, name
        again = domain_gap(
            view,
            [halves[1][i] for i in order],
            [halves[0][i] for i in order],
            [items[f"reversed {name}"][i] for i in order],
            margin=0.2,
        )
        assert again.findings == gap.findings  # their order says nothing
    reference = [item for name in REVIEWS for item in items[name][: N // 2]]
    ceiling = [item for name in REVIEWS for item in items[f"reversed {name}"]]
    positions = {
        name: [
            found.adapted.value
            for found in domain_gap(view, items[name][N // 2 :], reference, ceiling, margin=0.2).findings
        ]
        for name in DOMAINS
    }
    assert max(positions, key=lambda name: positions[name][0]) == "sms"
    assert max(positions, key=lambda name: positions[name][1]) == "sms"


@pytest.mark.shared_data
def test_the_position_does_not_depend_on_who_was_drawn(sentences: Embedded) -> None:
    items, view = sentences
    pool, found = items["amazon"], []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        task = [items["sms"][i] for i in rng.permutation(N)[:400]]
        reference = [pool[i] for i in rng.permutation(N)[:400]]
        gap = domain_gap(view, task, reference, items["reversed amazon"], margin=0.2)
        found.append(gap.findings[0].adapted.value)
    assert np.ptp(found) <= 0.1  # ±.05


@pytest.mark.shared_data
def test_what_tells_films_from_goods_is_what_one_would_say(sentences: Embedded) -> None:
    items, view = sentences
    gap = domain_gap(view, items["imdb"], items["amazon"], items["reversed amazon"], margin=0.2)
    assert gap.drivers is not None
    words = {side: set(rows.value) for side, rows in gap.drivers[gap.drivers.kind == "word"].groupby("side")}
    assert {"movie", "film"} <= words["task"]
    assert "phone" in words["reference"]
    same = domain_gap(view, items["imdb"][: N // 2], items["imdb"][N // 2 :], items["reversed amazon"], margin=0.2)
    assert same.drivers is not None
    assert len(same.drivers[same.drivers.kind == "word"]) <= 1


@pytest.mark.shared_data
def test_another_script_is_far(sentences: Embedded, minilm: str) -> None:
    from audit.models.load import load_base
    from audit.models.source import resolve

    items, view = sentences
    latin, greek = "abcdefghijklmnopqrstuvwxyz", "αβγδεφγηιθκλμνοπχρστυβωξψζ"
    written = str.maketrans(latin + latin.upper(), greek + greek.upper())
    foreign = [
        item.model_copy(update={"text": (item.text or "").translate(written)}) for item in items["yelp"][N // 2 :][:100]
    ]
    vectors = load_base(resolve(minilm), "encoder").ask("embedding", foreign)
    known = Known({**view.vectors, **{item.text or "": one for item, one in zip(foreign, vectors, strict=True)}})
    found = by_name(domain_gap(known, foreign, items["yelp"][: N // 2], items["reversed yelp"], margin=0.2))
    assert found["representation"].verdict == "worse"
    assert found["representation"].adapted.value > 0.8


@pytest.mark.shared_data
def test_the_base_embeds_every_text_once(sentences: Embedded) -> None:
    items, view = sentences
    counting = Known(view.vectors)
    domain_gap(counting, items["imdb"], items["yelp"], items["reversed yelp"], margin=0.2)
    assert len(counting.asked) == len(set(counting.asked)) == 2 * N + N // 2
