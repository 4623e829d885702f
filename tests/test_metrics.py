"""Task metrics: values that others published, what is not defined, and intervals that hold the truth."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from scipy import stats as scipy_stats
from sklearn import metrics as sklearn_metrics

from audit import metrics
from audit.errors import InputError
from audit.metrics import METRICS, measured
from audit.metrics.tagged import entities
from audit.recipe import Task
from audit.recipe.task import Metric
from audit.stats import compare, mean_interval, pseudo_values
from audit.view import NotMeasurable


def names(n: int) -> list[str]:
    return [str(i) for i in range(n)]


# --- values -----------------------------------------------------------------------------------------------------------

CATS = [*["cat"] * 8, *["dog"] * 4], [*["cat"] * 6, *["dog"] * 2, "cat", *["dog"] * 3]
"""Truth and prediction of 12 pictures: Wikipedia, "Phi coefficient" (Matthews): .478."""
IQ = [106, 100, 86, 101, 99, 103, 97, 113, 112, 110]
HOURS = [7, 27, 2, 50, 28, 29, 20, 12, 6, 17]
"""Wikipedia, "Spearman's rank correlation coefficient": -29/165."""
SEQEVAL = (
    [["O", "O", "O", "B-MISC", "I-MISC", "I-MISC", "O"], ["B-PER", "I-PER", "O"]],
    [["O", "O", "B-MISC", "I-MISC", "I-MISC", "I-MISC", "O"], ["B-PER", "I-PER", "O"]],
)
"""Truth and prediction of seqeval's README: F1 .50, accuracy .80."""


@pytest.mark.parametrize(
    ("name", "references", "predictions", "value"),
    [
        ("accuracy", *CATS, 9 / 12),
        ("matthews", *CATS, 0.478),
        ("balanced_accuracy", [0, 1, 0, 0, 1, 0], [0, 1, 0, 0, 0, 1], 0.625),  # scikit-learn's own docstring
        ("macro_f1", [0, 1, 2, 0, 1, 2], [0, 2, 1, 0, 0, 1], 0.267),  # the same
        ("micro_f1", [0, 1, 2, 0, 1, 2], [0, 2, 1, 0, 0, 1], 0.333),  # the same
        ("matthews", [0, 0, 0, 1], [0, 1, 0, 0], -1 / 3),  # the same: [+1, +1, +1, -1], [+1, -1, +1, +1] gives -0.33
        ("matthews", [0, 1, 0], [1, 1, 1], 0.0),  # Chicco and Jurman 2020: a row of zeros is a guess
        ("matthews", [0, 1, 2], [1, 1, 1], 0.0),
        ("micro_f1", [["a", "b"], [], ["c"]], [["a"], ["b"], ["c"]], 2 * 2 / (3 + 3)),  # by hand
        ("macro_f1", [["a", "b"], [], ["c"]], [["a"], ["b"], ["c"]], (1 + 0 + 1) / 3),  # by hand
        ("exact_match", [["a", "b"], [], ["c"]], [["b", "a"], ["b"], ["c"]], 2 / 3),  # by hand
        ("mae", [3, -0.5, 2, 7], [2.5, 0.0, 2, 8], 0.5),  # scikit-learn's own docstring
        ("mse", [3, -0.5, 2, 7], [2.5, 0.0, 2, 8], 0.375),  # the same
        ("spearman", IQ, HOURS, -29 / 165),
        ("entity_f1", *SEQEVAL, 0.5),
        ("token_accuracy", *SEQEVAL, 0.8),
        ("entity_f1", [["B-NP", "I-NP", "O"]], [["I-NP", "I-NP", "O"]], 1.0),  # the README on its default mode
        ("nats_per_byte", ["ab", "éa"], [1.0, 1.5], 0.5),  # 2.5 nats, 2 + 3 bytes
    ],
)
def test_values_are_the_published_ones(name: str, references: Any, predictions: Any, value: float) -> None:
    computed = METRICS[name]().compute(predictions=predictions, references=references)
    assert computed == {name: pytest.approx(value, abs=5e-4)}


def test_f1_of_counts_is_what_conlleval_prints() -> None:
    # CoNLL-2000 shared task, sample run of the script: 459 phrases, 539 found, 371 correct: FB1 74.35
    assert float(metrics.entity_f1().of(np.array([2 * 371.0, 459 + 539]))) == pytest.approx(0.7435, abs=5e-5)


def test_entities_are_read_as_the_conll_script_reads_them() -> None:
    tags = ["I-PER", "I-PER", "O", "B-PER", "B-PER", "I-PER", "I-LOC", "O", "I-LOC", "B-LOC"]
    expected = {("PER", 0, 2), ("PER", 3, 4), ("PER", 4, 6), ("LOC", 6, 7), ("LOC", 8, 9), ("LOC", 9, 10)}
    assert entities(tags) == expected
    assert entities([]) == entities(["O"]) == set()
    assert entities(["B-A-B", "I-A-B"]) == {("A-B", 0, 2)}
    with pytest.raises(InputError, match=r"tag 'NOUN' is none of O, B-TYPE, I-TYPE; .* token_accuracy"):
        entities(["NOUN"])


def test_counts_say_what_scikit_learn_says() -> None:
    rng = np.random.default_rng(0)
    for classes in (2, 3, 7):
        truth, said = rng.integers(0, classes, 60), rng.integers(0, classes, 60)
        for name, oracle in (
            ("balanced_accuracy", sklearn_metrics.balanced_accuracy_score(truth, said)),
            ("macro_f1", sklearn_metrics.f1_score(truth, said, average="macro")),
            ("micro_f1", sklearn_metrics.f1_score(truth, said, average="micro")),
            ("matthews", sklearn_metrics.matthews_corrcoef(truth, said)),
        ):
            assert METRICS[name]().value(said.tolist(), truth.tolist()) == pytest.approx(float(oracle)), name
        several = rng.random((2, 60, classes)) < 0.3
        lists = [[[k for k in range(classes) if row[k]] for row in side] for side in several]
        for average in ("micro", "macro"):
            oracle = sklearn_metrics.f1_score(several[0], several[1], average=average)
            assert METRICS[f"{average}_f1"]().value(lists[1], lists[0]) == pytest.approx(float(oracle)), average


def test_every_metric_of_a_recipe_is_there_and_says_which_way_is_better() -> None:
    assert set(METRICS) == set(get_args(Metric)) == {name for name in metrics.__all__ if name in METRICS}
    types = ("single_label", "multi_label", "regression", "tokens", "completion")
    labels: dict[str, Any] = {one: {"labels": ("a", "b")} if one in (*types[:2], "tokens") else {} for one in types}
    for kind in types:
        for name, metric in METRICS.items():
            try:
                task = Task(dataset="x", type=kind, metric=name, **labels[kind])  # type: ignore[arg-type]
            except ValueError:
                continue
            assert (metric.better == "higher") == task.higher_is_better, name


# --- what is not defined ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "references", "predictions", "reason"),
    [
        ("matthews", [1, 1], [0, 1], "all items are of one class$"),
        ("matthews", [1, 1], [1, 1], "all items are of one class$"),
        ("balanced_accuracy", [1, 1], [0, 1], "all items are of one class"),
        ("micro_f1", [[], []], [[], []], "no class is true or predicted"),
        ("entity_f1", [["O"]], [["O"]], "there is no entity, and none is predicted"),
        ("spearman", [1.0, 2.0], [3.0, 3.0], "every prediction is the same"),
        ("spearman", [1.0, 1.0], [3.0, 4.0], "every truth is the same"),
    ],
)
def test_what_is_not_defined_is_said(name: str, references: Any, predictions: Any, reason: str) -> None:
    with pytest.raises(NotMeasurable, match=f"{name}: {reason}"):
        METRICS[name]().compute(predictions=predictions, references=references)


def test_a_metric_that_hangs_on_one_cluster_has_no_interval() -> None:
    truth, said = [["B-A"], ["O"], ["O"]], [["B-A"], ["O"], ["O"]]
    found = measured(metrics.entity_f1(), said, truth, names(3), base=[["O"], ["B-A"], ["O"]])
    assert found.base is not None
    assert found.change is not None
    assert (found.base.value, found.adapted.value, found.change.value) == (0, 1, 1)
    assert found.adapted.low is found.change.low is None
    assert found.note == "without one of the 3 clusters it is not defined"
    assert found.scores[1].tolist() == [1, 1, 1]
    assert measured(metrics.entity_f1(), [["B-A"], ["O"]] * 2, [["B-A"], ["O"]] * 2, names(4)).note == ""


def test_tags_of_another_length_are_named() -> None:
    with pytest.raises(InputError, match="item 0 has 1 predicted tags and 2 true ones"):
        metrics.token_accuracy().compute(predictions=[["O"]], references=[["O", "O"]])


# --- intervals --------------------------------------------------------------------------------------------------------


def test_the_jackknife_is_the_textbooks() -> None:
    # Efron and Tibshirani, An Introduction to the Bootstrap (1993): the law school data, correlation .776; R's
    # bootstrap::jackknife(1:15, ...) prints a standard error of 0.1425186
    lsat = np.array([576, 635, 558, 578, 666, 580, 555, 661, 651, 605, 653, 575, 545, 572, 594])
    gpa = np.array([3.39, 3.30, 2.81, 3.03, 3.44, 3.07, 3.00, 3.43, 3.36, 3.13, 3.12, 2.74, 2.76, 2.88, 2.96])
    rows = np.arange(15)
    without = [np.corrcoef(lsat[rows != k], gpa[rows != k])[0, 1] for k in rows]
    values = pseudo_values(np.corrcoef(lsat, gpa)[0, 1], without)
    assert values.mean() == pytest.approx(0.776, abs=5e-4)
    assert values.std(ddof=1) / math.sqrt(15) == pytest.approx(0.1425186, abs=1e-7)


@pytest.mark.parametrize("name", ["balanced_accuracy", "macro_f1", "micro_f1", "matthews"])
def test_scores_are_leave_one_cluster_out_of_the_metric_itself(name: str) -> None:
    rng = np.random.default_rng(1)
    truth, clusters = rng.integers(0, 3, 40), np.array(names(40)) if name == "matthews" else rng.integers(0, 12, 40)
    said = np.where(rng.random(40) < 0.7, truth, rng.integers(0, 3, 40))
    metric, kept = METRICS[name](), [clusters != one for one in np.unique(clusters)]
    without = [metric.value(said[rows].tolist(), truth[rows].tolist()) for rows in kept]
    values = pseudo_values(metric.value(said.tolist(), truth.tolist()), without)
    scores = metric.scores(said.tolist(), truth.tolist(), [str(one) for one in clusters])
    by_name = dict(zip((str(one) for one in np.unique(clusters)), values, strict=True))
    assert scores == pytest.approx([by_name[str(one)] for one in clusters])


def test_means_have_the_intervals_of_means() -> None:
    truth, base, adapted = list("aabbabab"), list("abbbaaab"), list("aabbaabb")
    found = measured(metrics.accuracy(), adapted, truth, names(8), base=base)
    hits = [[float(one == other) for one, other in zip(side, truth, strict=True)] for side in (base, adapted)]
    compared = compare(hits[0], hits[1], names(8))
    assert compared.method == "tango score"
    assert (found.base, found.adapted, found.change) == (compared.base, compared.adapted, compared.change)
    off = measured(metrics.mae(), [3.0, 4.0, 5.0], [1.0, 1.0, 1.0], names(3))
    assert (off.adapted.low, off.adapted.high) == mean_interval([2.0, 3.0, 4.0])
    assert off.base is off.change is None


def test_no_interval_leaves_the_range_of_its_metric() -> None:
    for name, (least, most) in (("macro_f1", (0, 1)), ("matthews", (-1, 1)), ("accuracy", (0, 1)), ("mae", (0, 9e9))):
        found = measured(METRICS[name](), [0, 1, 1, 0, 1, 1], [0, 1, 1, 0, 1, 0], names(6), base=[1, 1, 0, 0, 1, 0])
        for one in (found.base, found.adapted):
            assert one is not None
            assert least <= one.bounds()[0] < one.value < one.bounds()[1] <= most
    assert found.change is not None


def test_a_class_without_an_error_is_no_class_of_certainty() -> None:
    """The width comes from four more items of every class: by hand, of 10 right ones 2 of 14 wrong."""
    truth = ["a"] * 10 + ["b"] * 10
    found = measured(metrics.balanced_accuracy(), truth, truth, names(20))
    assert found.adapted.high == 1
    low = found.adapted.bounds()[0]
    spread = (2 * (12 / 14) * (2 / 14) / 14) ** 0.5 / 2  # of the mean of two shares, had all 28 been asked
    assert 1 - low == pytest.approx(2.1 * spread * (28 / 20) ** 0.5, rel=0.1)


def test_a_model_differs_from_itself_by_nothing_and_twice_proves_nothing_more() -> None:
    rng = np.random.default_rng(2)
    truth = rng.integers(0, 3, 50).tolist()
    said = [one if rng.random() < 0.8 else 2 - one for one in truth]
    for name in ("macro_f1", "matthews", "accuracy"):
        one = measured(METRICS[name](), said, truth, names(50), base=said)
        assert one.change is not None
        assert one.change.value == 0
        twice = measured(METRICS[name](), said * 2, truth * 2, names(50) * 2)
        assert twice.adapted.value == pytest.approx(one.adapted.value)
        assert twice.adapted.low == pytest.approx(one.adapted.low)
        swapped = measured(METRICS[name](), truth, truth, names(50), base=said).change
        other = measured(METRICS[name](), said, truth, names(50), base=truth).change
        assert swapped is not None
        assert other is not None
        assert swapped.value == pytest.approx(-other.value)


@pytest.mark.parametrize(("name", "values"), [("accuracy", (10 / 12, 2 / 12)), ("mae", (2 / 12, 10 / 12))])
def test_a_mean_is_over_items_whatever_their_clusters(name: str, values: tuple[float, float]) -> None:
    """Ten items of one text and two others; the width is that of the ratio's jackknife, done here by leaving out."""
    truth, said, other = [0.0] * 12, [0.0] * 10 + [1.0] * 2, [1.0] * 10 + [0.0] * 2
    clusters = ["same"] * 10 + ["x", "y"]
    if name == "accuracy":
        truth, said, other = ([int(one) for one in side] for side in (truth, said, other))  # type: ignore[assignment]
    metric = METRICS[name]()
    found = measured(metric, said, truth, clusters, base=other)
    assert found.base is not None
    assert found.change is not None
    assert [found.adapted.value, found.base.value] == pytest.approx(list(values))
    assert found.adapted.value == pytest.approx(metric.value(said, truth))
    assert found.change.value == pytest.approx(values[0] - values[1])
    for side, scores in zip((other, said), found.scores, strict=True):
        rows = [[k for k, one in enumerate(clusters) if one != name] for name in ("same", "x", "y")]
        without = [metric.value([side[k] for k in some], [truth[k] for k in some]) for some in rows]
        assert scores[[0, 10, 11]] == pytest.approx(pseudo_values(metric.value(side, truth), without))
    assert compare(found.scores[0], found.scores[1], clusters).change.value == pytest.approx(
        found.change.value
    )  # as two runs are
    if name == "mae":
        assert found.adapted.high == pytest.approx(mean_interval(found.scores[1][[0, 10, 11]])[1])


def test_intervals_of_many_classes_hold_the_truth() -> None:
    """Twenty classes of five items each, 95 % claimed: 150 draws allow .897 by chance (3 s.e.)."""
    rng, metric, held = np.random.default_rng(5), metrics.balanced_accuracy(), 0
    for _ in range(150):
        truth = np.repeat(np.arange(20), 5)
        said = np.where(rng.random(100) < 0.8, truth, (truth + 1) % 20)
        low, high = measured(metric, said.tolist(), truth.tolist(), names(100)).adapted.bounds()
        held += low <= 0.8 <= high
        assert high - low > 2 * 1.9 * (0.8 * 0.2 / 100) ** 0.5  # of a share of 100, which this is in truth
    assert held / 150 >= 0.897


def test_few_items_a_class_are_said() -> None:
    truth = [k % 20 for k in range(100)]
    assert metrics.thin(metrics.macro_f1(), truth).startswith("macro_f1 averages over 20 classes of 5.0 items each")
    assert metrics.thin(metrics.macro_f1(), truth * 2) == ""
    several = [["a", "b"]] * 9
    assert "2 classes of 9.0 items" in metrics.thin(metrics.macro_f1(), several)
    assert metrics.thin(metrics.micro_f1(), several) == ""


def test_intervals_hold_the_truth_at_200_items() -> None:
    """Coverage of macro-F1 and of its paired change, 95 % claimed: 200 draws allow .905 by chance (3 s.e.)."""
    rng, metric, share = np.random.default_rng(3), metrics.macro_f1(), np.array([0.5, 0.3, 0.2])

    def drawn(n: int) -> list[list[int]]:
        truth, ease = rng.choice(3, n, p=share), rng.normal(size=n)
        sides = [truth]
        for right in (0.7, 0.85):
            wrong = 0.7 * ease + math.sqrt(0.51) * rng.normal(size=n) > scipy_stats.norm.ppf(right)
            sides.append(np.where(wrong, (truth + rng.integers(1, 3, n)) % 3, truth))
        return [side.tolist() for side in sides]

    truth, base, adapted = drawn(100_000)
    wanted = metric.value(adapted, truth), metric.value(adapted, truth) - metric.value(base, truth)
    held = np.zeros(2)
    for _ in range(200):
        truth, base, adapted = drawn(200)
        found = measured(metric, adapted, truth, names(200), base=base)
        for k, (one, value) in enumerate(zip((found.adapted, found.change), wanted, strict=True)):
            low, high = one.bounds() if one is not None else (0.0, 0.0)
            held[k] += low <= value <= high
    assert (held / 200 >= 0.905).all(), held / 200
    assert (held / 200 <= 0.995).all(), held / 200


# --- the library ------------------------------------------------------------------------------------------------------


def test_nothing_is_left_on_the_disk(tmp_path: Path) -> None:
    """Two at a time, and one used again, with an empty home: evaluate makes no folder there."""
    script = (
        "from audit.metrics import METRICS\n"
        "one, other = METRICS['accuracy'](), METRICS['accuracy']()\n"
        "one.add_batch(predictions=['a'], references=['a'])\n"
        "other.add_batch(predictions=['a'], references=['b'])\n"
        "print(one.compute(), other.compute(), one.compute(predictions=[1], references=[1]))\n"
    )
    env = {**os.environ, "HOME": str(tmp_path), "HF_HOME": str(tmp_path / "hf"), "XDG_CACHE_HOME": str(tmp_path / "x")}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=True, env=env
    )
    assert done.stdout.split() == ["{'accuracy':", "1.0}", "{'accuracy':", "0.0}", "{'accuracy':", "1.0}"]
    assert done.stderr == ""
    assert list(tmp_path.rglob("*")) == []
