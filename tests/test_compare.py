"""The frontier: dominance only where intervals carry it, paired where items are at hand, refused where nothing is."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy import stats

from audit.audits import Question, binary, findings
from audit.compare import _mover, compare
from audit.compare.frontier import Difference, Frontier
from audit.errors import InputError
from audit.finding import Estimate, Verdict
from audit.report import AdaptedModel, BaseModelRecord, Provenance, RecipeRecord, Report, Task
from audit.retention import Strength
from audit.stats import compare as compare_items
from audit.stats import proportion_interval
from audit.steps.written import Evidence
from audit.view import Item
from tests.test_cli import called

Array = NDArray[np.float64]
N = 400
ITEMS = [Item(id=f"q{i}", cluster=f"q{i}", text=f"question {i}") for i in range(N)]
TESTS = [Item(id=f"t{i}", cluster=f"t{i}", text=f"text {i}") for i in range(N)]
BASE = np.zeros(N)  # knows everything
GUESS = (np.arange(N) % 2).astype(float)  # and half of the task
numbers = itertools.count()


def first(count: int, of: int = N) -> Array:
    """1 for the first so many items: the same ones in every run."""
    return (np.arange(of) < count).astype(float)


def last(count: int) -> Array:
    return first(count)[::-1].copy()


def judged(wrong: Mapping[str, Array], items: list[Item], margin: float = 0.05) -> Any:
    questions = [
        Question("forgetting", name, "error rate", BASE[: len(items)], scores, items, margin, name, by=binary)
        for name, scores in wrong.items()
    ]
    return findings(questions, family="forgetting")


def run(
    folder: Path,
    right: Array,
    wrong: Mapping[str, Array],
    *,
    items: list[Item] = ITEMS,
    margin: float = 0.05,
    evidence: bool = True,
    curve: Mapping[float, tuple[Array, Mapping[str, Array]]] | None = None,
    **changes: Any,
) -> Path:
    """A run whose adapted model has these items of the task right, and of the probes wrong."""
    found = judged(wrong, items, margin)
    task = compare_items(GUESS, right, [item.cluster for item in TESTS])
    points = []
    for alpha, (scores, forgotten) in (curve or {}).items():
        point = compare_items(GUESS, scores, [item.cluster for item in TESTS])
        points.append(
            Strength(alpha=alpha, task=point.adapted, gain=point.change, findings=judged(forgotten, items, margin))
        )
    fields: dict[str, Any] = {
        "tool": "transfer-audit",
        "recipe": RecipeRecord(name=folder.name, fingerprint="f" * 64, text=""),
        "base": BaseModelRecord(id="base", revision=None, kind="encoder", license=None, files={"model": "b" * 64}),
        "adapted": AdaptedModel(
            id="models/seed-0", method="full", trainable_parameters=1, seeds=[0], files={"m": f"{next(numbers):064}"}
        ),
        "task": Task(
            name="task", metric="accuracy", better="higher", base=task.base, adapted=task.adapted, change=task.change
        ),
        "findings": found,
        "curve": points,
        "provenance": Provenance(
            created="", command="", seeds=[0], versions={}, hardware={}, data=[{"fingerprint": "d" * 64, "test": N}]
        ),
    }
    folder.mkdir()
    Report(**{**fields, **changes}).save(folder / "report.json")
    if evidence:
        for name, kept in (
            ("task", [("task/accuracy", TESTS, GUESS, right)]),
            ("forgetting", [(f"forgetting/{name}", items, BASE[: len(items)], one) for name, one in wrong.items()]),
        ):
            table = Evidence(0)
            for question, asked, ours, theirs in kept:
                table.keep(question, asked, ours, theirs)
            stage = folder / "stages" / name
            stage.mkdir(parents=True)
            table.write(stage)
    return folder


def probes(lost: int, more: int = 0) -> dict[str, Array]:
    return {"choices": first(lost), "probe": first(more)}


# --- dominance --------------------------------------------------------------------------------------------------------


def test_what_is_better_on_one_axis_and_the_same_on_the_others_dominates(tmp_path: Path) -> None:
    mild = run(tmp_path / "mild", first(300), probes(4))
    hard = run(tmp_path / "hard", first(300), probes(120))
    found = compare([mild, hard])
    assert found.axes == ["task", "forgetting/choices", "forgetting/probe"]
    assert [found.outcome("mild", "hard", axis) for axis in found.axes] == ["same", "better", "same"]
    assert found.dominated == {"mild": [], "hard": ["mild"]}
    assert found.frontier == ["mild"]
    swapped = compare([hard, mild])
    assert (swapped.dominated, swapped.frontier) == (found.dominated, ["mild"])


def test_gain_against_retention_leaves_both_on_the_frontier(tmp_path: Path) -> None:
    mild = run(tmp_path / "mild", first(280), probes(4))
    hard = run(tmp_path / "hard", first(380), probes(120))
    found = compare([mild, hard])
    assert found.outcome("mild", "hard", "task") == "worse"
    assert found.frontier == ["mild", "hard"]


def test_overlapping_intervals_are_no_dominance(tmp_path: Path) -> None:
    """Better by 20 of 400 where 180 other items flip either way: inside neither margin nor beyond 0."""
    one = run(tmp_path / "one", first(300), {"choices": first(90), "probe": first(4)})
    two = run(tmp_path / "two", first(300), {"choices": last(110), "probe": first(120)})
    found = compare([one, two])
    assert [found.outcome("one", "two", axis) for axis in found.axes] == ["same", "unclear", "better"]
    assert found.dominated == {"one": [], "two": []}
    assert found.frontier == ["one", "two"]


def test_a_detectable_difference_within_the_margin_is_the_same(tmp_path: Path) -> None:
    """5 of 400 items, all one way: Tango's interval excludes 0 and lies inside .05."""
    one = run(tmp_path / "one", first(300), probes(0))
    two = run(tmp_path / "two", first(300), probes(8))
    found = compare([one, two])
    difference = found.differences[1]
    assert difference.beyond[0] is not None
    assert difference.beyond[0] > 0
    assert difference.outcome == "same"
    assert found.dominated == {"one": [], "two": []}
    assert found.frontier == ["one", "two"]


def test_three_runs_are_held_to_a_stricter_level(tmp_path: Path) -> None:
    """Bonferroni by hand: level .05 / 3 for same, .05 / (3 pairs x 3 axes) for better, in Tango's own interval."""
    from audit.stats import tango

    runs = [run(tmp_path / f"{lost}", first(300 - lost), probes(lost)) for lost in (0, 20, 40)]
    found = compare(runs)
    one = next(one for one in found.differences if (one.first, one.second, one.axis[-7:]) == ("0", "20", "choices"))
    assert one.same == pytest.approx(tango(20, 0, N, 1 - 0.1 / 3))
    assert one.beyond == pytest.approx(tango(20, 0, N, 1 - 0.1 / 9))
    assert (one.value.low, one.value.high) == pytest.approx(tango(20, 0, N, 0.95))
    assert found.adjustment == "Bonferroni: same over 3 pairs, better and worse over 9 differences"
    two = compare(runs[:2]).differences[1]
    assert two.beyond == pytest.approx(tango(20, 0, N, 1 - 0.1 / 3))


def test_runs_that_dominate_each_other_in_a_circle_are_one() -> None:
    """Margins are not transitive: a over b, b over c, c over a; d is dominated by all of them."""

    def difference(one: str, two: str, axis: str, by: float) -> Difference:
        bounds = (by - 0.01, by + 0.01)
        return Difference(
            first=one, second=two, axis=axis, value=Estimate(value=by), same=bounds, beyond=bounds, margin=0.05,
            paired=True, method="tango score", n_clusters=100,
        )  # fmt: skip

    axes = ["task", "x", "y"]
    wins = {("a", "b"): "task", ("b", "c"): "x", ("a", "c"): "y"}
    signs = {("a", "c"): -1}
    differences = [
        difference(one, two, axis, 0.1 * signs.get((one, two), 1) * (wins.get((one, two), "task") == axis))
        for one, two in itertools.combinations("abcd", 2)
        for axis in axes
    ]
    place = {"alpha": 1, "task": {"value": 0}, "gain": None, "retained": []}
    runs = [{"name": name, "method": "full", "recipe": "", "final": place} for name in "abcd"]
    found = Frontier.model_validate(
        {"schema": 1, "base": "", "task": "", "metric": "", "better": "higher", "axes": axes, "adjustment": "",
         "runs": runs, "differences": [one.model_dump() for one in differences]}
    )  # fmt: skip
    assert found.dominated == {"a": ["c"], "b": ["a"], "c": ["b"], "d": ["a", "b", "c"]}
    assert found.frontier == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("change", "outcome"),
    [
        ({}, "better"),
        ({"beyond": (-0.01, 0.3)}, "unclear"),
        ({"same": (-0.04, 0.04), "beyond": (-0.045, 0.045)}, "same"),
        ({"same": (0.01, 0.04), "beyond": (0.005, 0.045)}, "same"),
        ({"same": (-0.3, -0.1), "beyond": (-0.4, -0.05)}, "worse"),
        ({"n_clusters": 4}, "unclear"),
        ({"n_clusters": 29, "same": (-0.04, 0.04), "beyond": (-0.045, 0.045), "method": "mover"}, "unclear"),
        ({"n_clusters": 29, "same": (-0.04, 0.04), "beyond": (-0.045, 0.045)}, "same"),
        ({"floor": 0.25}, "unclear"),
        ({"floor": 0.06, "same": (-0.04, 0.04), "beyond": (-0.045, 0.045)}, "unclear"),
        ({"same": (None, None), "beyond": (None, None)}, "better"),
        ({"same": (None, None), "beyond": (None, None), "n_clusters": 29}, "unclear"),
        ({"same": (None, None), "beyond": (None, None), "value": Estimate(value=0.0)}, "same"),
    ],
)
def test_what_an_outcome_rests_on(change: dict[str, Any], outcome: str) -> None:
    fields: dict[str, Any] = {
        "first": "a", "second": "b", "axis": "x", "value": Estimate(value=0.2), "same": (0.15, 0.25),
        "beyond": (0.1, 0.3), "margin": 0.05, "paired": True, "method": "tango score", "n_clusters": 100,
    }  # fmt: skip
    assert Difference(**{**fields, **change}).outcome == outcome


def test_a_run_that_lacks_a_probe_dominates_no_run_that_has_it(tmp_path: Path) -> None:
    """On what is common ``mute`` is the better one: it lost nothing, for it no longer answers the other probe."""
    hard = run(tmp_path / "hard", first(300), {"choices": first(120), "probe": first(0)})
    mute = run(tmp_path / "mute", first(300), {"choices": first(4)}, broken=["forgetting/probe"])
    unasked = run(tmp_path / "unasked", first(300), {"choices": first(4)})
    found = compare([hard, mute])
    assert [found.outcome("mute", "hard", axis) for axis in found.axes] == ["same", "better"]
    assert (found.dominated["hard"], found.frontier) == ([], ["hard", "mute"])
    assert found.left_out[0].reason == "not answered by the adapted model of mute, though by its base"
    assert any("dominates no run that may have retained it" in limit for limit in found.limits)
    assert compare([hard, unasked]).dominated["hard"] == []
    both = compare([mute, run(tmp_path / "other", first(300), {"choices": first(120)}, broken=["forgetting/probe"])])
    assert both.dominated == {"mute": [], "other": ["mute"]}  # as bad as can be, both
    assert compare([hard, mute, unasked]).dominated == {"hard": [], "mute": [], "unasked": []}
    lost = run(tmp_path / "lost", first(300), {"choices": first(120)}, broken=["forgetting/probe"])
    assert compare([lost, unasked]).dominated == {"lost": ["unasked"], "unasked": []}  # it is no worse, whatever it is


# --- paired or not ----------------------------------------------------------------------------------------------------


def test_items_at_hand_pair_the_differences(tmp_path: Path) -> None:
    """Both runs lose the same 100 items and one of them 16 more: paired that is plain, by itself it is not."""
    paired = [run(tmp_path / f"a{lost}", first(300), probes(lost)) for lost in (100, 116)]
    bare = [run(tmp_path / f"b{lost}", first(300), probes(lost), evidence=False) for lost in (100, 116)]
    with_items, without = (compare(runs) for runs in (paired, bare))
    assert [one.paired for one in with_items.differences] == [True] * 3
    assert [one.paired for one in without.differences] == [False] * 3
    assert [one.method for one in without.differences] == ["mover of two intervals"] * 3
    assert with_items.differences[1].value.value == pytest.approx(0.04)
    assert without.differences[1].value.value == pytest.approx(0.04)
    assert with_items.differences[1].outcome == "better"
    assert without.differences[1].outcome == "unclear"
    assert any("as if the runs were independent" in limit for limit in without.limits)
    assert not any("as if the runs were independent" in limit for limit in with_items.limits)


def test_the_unpaired_interval_is_that_of_two_independent_means() -> None:
    """MOVER of two Student-t intervals of the same n is the interval of both standard errors added in squares."""
    rng = np.random.default_rng(0)
    one, two, n = rng.normal(0.3, 1, 50), rng.normal(0, 2, 50), 50
    sides = []
    for x in (one, two):
        half = stats.t.ppf(0.975, n - 1) * x.std(ddof=1) / math.sqrt(n)
        sides.append(Estimate(value=x.mean(), low=x.mean() - half, high=x.mean() + half))
    spread = math.sqrt(one.var(ddof=1) / n + two.var(ddof=1) / n)
    for level in (0.025, 0.05, 0.001):
        half = stats.t.isf(level, n - 1) * spread
        point = one.mean() - two.mean()
        assert _mover(sides[0], sides[1], n, level) == pytest.approx((point - half, point + half))
    alone = Estimate(value=0.1)
    assert _mover(sides[0], alone, n, 0.025) == pytest.approx((sides[0].low - 0.1, sides[0].high - 0.1))  # type: ignore[operator]
    assert _mover(sides[0], alone, 29, 0.025) == (None, None)
    assert _mover(alone, alone, n, 0.025) == (None, None)


def test_the_unpaired_interval_of_two_proportions_is_newcombes() -> None:
    """56 of 70 against 48 of 80: .0524 to .3339 (Newcombe, Statistics in Medicine 17 (1998) 873-890, method 10)."""
    sides = []
    for successes, n in ((56, 70), (48, 80)):
        low, high = proportion_interval(successes, n)
        sides.append(Estimate(value=successes / n, low=low, high=high))
    assert _mover(sides[0], sides[1], 70, 0.025) == pytest.approx((0.0524, 0.3339), abs=5e-5)


@pytest.mark.parametrize("what", ["missing item", "other cluster", "other values"])
def test_items_that_are_not_the_report_s_are_not_paired(tmp_path: Path, what: str) -> None:
    import pandas as pd

    one, two = (run(tmp_path / name, first(300), {"choices": first(lost)}) for name, lost in (("a", 10), ("b", 60)))
    path = two / "stages" / "forgetting" / "evidence.parquet"
    table = pd.read_parquet(path)
    if what == "missing item":
        table = table[table["item_id"] != "q7"]
    elif what == "other cluster":
        table.loc[table["item_id"] == "q7", "cluster"] = "q8"
    else:
        table["value"] = 1 - table["value"]
    table.to_parquet(path)
    task, probe = compare([one, two]).differences
    assert task.paired
    assert not probe.paired


def test_a_base_that_was_read_out_otherwise_is_left_out_of_the_difference(tmp_path: Path) -> None:
    """Gains over two read-outs of one base are no common scale: then the scores themselves are compared."""
    one, two = (run(tmp_path / name, first(300), probes(4), evidence=False) for name in ("a", "b"))
    path = two / "report.json"
    report = json.loads(path.read_text())
    report["task"]["base"] = {"value": 0.7, "low": 0.6, "high": 0.8}
    report["task"]["change"] = {"value": 0.05, "low": 0.0, "high": 0.1}
    path.write_text(json.dumps(report))
    value = compare([one, two]).differences[0].value
    assert value.value == 0
    assert value.low is not None
    assert value.low == pytest.approx(-(value.high or 0))


# --- matched task score -----------------------------------------------------------------------------------------------


def test_the_mildest_strength_that_reaches_the_weakest_score_is_compared(tmp_path: Path) -> None:
    curve = {
        0.0: (first(200), {"choices": first(0)}),
        0.5: (first(290), {"choices": first(8)}),
        0.75: (first(310), {"choices": first(60)}),
        1.0: (first(340), {"choices": first(120)}),
    }
    hard = run(tmp_path / "hard", first(340), {"choices": first(120)}, curve=curve)
    mild = run(tmp_path / "mild", first(290), {"choices": first(30)})
    found = compare([hard, mild])
    assert found.target == 290 / N
    assert [(one.run, one.place.alpha) for one in found.matched] == [("hard", 0.5), ("mild", 1)]
    assert [one.place.retained[0].change.value for one in found.matched] == [8 / N, 30 / N]
    assert [place.alpha for place in found.runs[0].curve] == [0, 0.5, 0.75, 1]
    assert found.runs[0].curve[2].retained[0].verdict == Verdict.WORSE
    without = compare([mild, run(tmp_path / "other", first(280), {"choices": first(30)})])
    assert (without.target, without.matched) == (None, [])
    assert "no run has a strength curve" in without.limits[-1]


# --- what is compared -------------------------------------------------------------------------------------------------


def test_probes_that_were_not_asked_alike_are_left_out(tmp_path: Path) -> None:
    one = run(tmp_path / "one", first(300), {"choices": first(4), "probe": first(4), "turns": first(4)})
    two = run(tmp_path / "two", first(300), {"choices": first(4), "probe": first(4)})
    path = two / "report.json"
    report = json.loads(path.read_text())
    report["findings"][1]["margin"] = 0.06
    path.write_text(json.dumps(report))
    found = compare([one, two])
    assert found.axes == ["task", "forgetting/choices"]
    assert [(left.finding, left.reason) for left in found.left_out] == [
        ("forgetting/probe", "another margin in two than in one"),
        ("forgetting/turns", "not asked in two"),
    ]
    assert [kept.finding for kept in found.runs[0].final.retained] == ["forgetting/choices"]
    other = run(tmp_path / "other", first(300), {"choices": first(4, 200)}, items=ITEMS[:200])
    with pytest.raises(
        InputError, match=r"no probe of forgetting is common to all .*another items in other than in one"
    ):
        compare([one, other])


def test_runs_of_one_name_go_by_their_place(tmp_path: Path) -> None:
    for place in ("x", "y"):
        (tmp_path / place).mkdir()
    runs = [run(tmp_path / place / "same", first(300), probes(4)) for place in ("x", "y")]
    assert [one.name for one in compare(runs).runs] == [str(one) for one in runs]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"base": {"id": "other", "files": {}}}, "the base is 'other', in .*one it is 'base'; compare runs of one"),
        ({"base": {"files": {"model": "c" * 64}}}, "the sha256 of the base's model is 'cccccccccccc', in .* 'bbbbbb"),
        ({"base": {"revision": "1a", "files": {}}}, "the revision of the base is '1a', in .* it is None"),
        ({"task": {"metric": "f1"}}, "the task metric is 'f1'"),
        ({"provenance": {"data": [{"fingerprint": "e" * 64, "test": N}]}}, "fingerprint of the task's data is 'eeee"),
        ({"findings": []}, "two: forgetting was not measured; run its recipe with"),
        ({"task": None}, "two: its task was not measured"),
    ],
)  # fmt: skip
def test_runs_that_cannot_be_compared(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    one, two = (run(tmp_path / name, first(300), probes(4)) for name in ("one", "two"))
    path = two / "report.json"
    report = json.loads(path.read_text())
    for key, change in changes.items():
        report[key] = report[key] | change if isinstance(change, dict) else change
    path.write_text(json.dumps(report))
    with pytest.raises(InputError, match=said):
        compare([one, two])


def test_one_run_or_one_run_twice_is_nothing_to_compare(tmp_path: Path) -> None:
    one = run(tmp_path / "one", first(300), probes(4))
    with pytest.raises(InputError, match="1 run to compare; name at least two"):
        compare([one])
    with pytest.raises(InputError, match=r"report.json: the same model as .*one; name every run once"):
        compare([one, one / "report.json"])
    two = run(tmp_path / "two", first(300), probes(4))
    with pytest.raises(InputError, match="--margin 0: give the smallest difference"):
        compare([one, two], margin=0)
    report = json.loads((two / "report.json").read_text())
    report["adapted"]["files"] = json.loads((one / "report.json").read_text())["adapted"]["files"]
    (two / "report.json").write_text(json.dumps(report))
    with pytest.raises(InputError, match="two: the same model as"):
        compare([one, two])


# --- the command ------------------------------------------------------------------------------------------------------


def test_the_command_prints_the_frontier_and_writes_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    curve = {0.5: (first(300), probes(2)), 1.0: (first(300), probes(120))}
    mild = run(tmp_path / "mild", first(300), probes(4))
    hard = run(tmp_path / "hard", first(300), probes(120), curve=curve)
    out = tmp_path / "out"
    assert called("compare", str(mild), str(hard), "--out", str(out)) == 0
    printed = capsys.readouterr().out
    for piece in (
        "mild: on the frontier",
        "hard: dominated by mild",
        "forgetting/choices",
        "hard at 0.5",
        "lost",
        "retained",
        "change",
    ):
        assert piece in printed
    assert "worse" not in printed.split("Bonferroni")[0]
    written = json.loads((out / "compare.json").read_text())
    assert written["frontier"] == ["mild"]
    assert Frontier.model_validate(written) == compare([mild, hard])
    assert called("compare", str(mild), str(hard), "--out", str(out), "--json") == 0
    assert json.loads(capsys.readouterr().out)["dominated"] == {"mild": [], "hard": ["mild"]}
    assert called("compare", str(mild), "--out", str(out)) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_base_that_was_moved_is_the_same_base(tmp_path: Path) -> None:
    files = {"model": "b" * 64}
    runs = [run(tmp_path / "one", first(80), probes(4))]
    moved = BaseModelRecord(id="/elsewhere/base", revision=None, kind="encoder", license=None, files=files)
    runs.append(run(tmp_path / "two", first(70), probes(8), base=moved))
    assert len(compare(runs).runs) == 2


def test_evidence_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    runs = [run(tmp_path / "one", first(80), probes(4)), run(tmp_path / "two", first(70), probes(8))]
    for content in (b"not parquet", pd.DataFrame({"arm": ["adapted"]}).to_parquet()):
        (tmp_path / "two" / "stages" / "task" / "evidence.parquet").write_bytes(content)
        with pytest.raises(InputError, match=r"evidence\.parquet: not the evidence of a stage"):
            compare(runs)
