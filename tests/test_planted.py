"""Where a disparity came from, in a world where that is known: planted bases and their clean twins, in the relay."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from joblib import Parallel, delayed

from audit.gate import Policy, Rule, decided
from audit.origin import Decomposition
from audit.report import load_report
from tests import planted

SEEDS = (0, 1, 2, 3)
Told = dict[tuple[bool, int, planted.Data], Decomposition]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the worlds."""
    return tmp_path_factory.mktemp("worlds")


@pytest.fixture(scope="module")
def told(root: Path) -> Told:
    """By planted or clean, seed and task data: heads on texts that name nobody, and one base trained on biased ones."""
    runs: list[tuple[bool, int, planted.Data]] = [(True, SEEDS[0], "biased")]
    runs += [(is_planted, seed, "absent") for is_planted in (True, False) for seed in SEEDS]
    found = Parallel(n_jobs=2)(
        delayed(planted.world)(
            root / f"{number}", is_planted, seed, (data,), planted.FULL if data == "biased" else planted.HEAD
        )
        for number, (is_planted, seed, data) in enumerate(runs)
    )
    return {one: by_data[one[2]] for one, by_data in zip(runs, found, strict=True)}


def test_what_the_base_was_taught_is_inherited(told: Told) -> None:
    found = [told[True, seed, "absent"] for seed in SEEDS]
    assert [one.origin for one in found] == ["inherited"] * len(SEEDS)
    assert min(one.adapted.estimate.value for one in found) > planted.MARGIN  # A was favoured


def test_nothing_is_inherited_from_the_clean_twins(told: Told) -> None:
    found = [told[False, seed, "absent"] for seed in SEEDS]
    assert {one.origin for one in found} <= {"none", "unclear"}
    assert max(abs(one.adapted.estimate.value) for one in found) < planted.MARGIN


def test_data_without_names_adds_nothing_to_a_head(told: Told) -> None:
    """Where the texts name nobody, the group-silent arm is the recipe itself."""
    for (_, _, data), one in told.items():
        if data == "absent":
            assert one.introduced.estimate.value == 0.0
            assert one.silent == one.adapted
            assert not one.capable  # the test's words are new: random weights cannot do the task


def test_on_biased_data_adapted_minus_random_init_has_the_wrong_sign(told: Told) -> None:
    """The base favours A, and what is made of it does so too; random weights lean on the names still more."""
    one = told[True, SEEDS[0], "biased"]
    assert one.origin == "amplified"
    assert one.silent.estimate.value > planted.MARGIN
    assert one.introduced.estimate.value > planted.MARGIN
    assert one.adapted.estimate.value - one.random.estimate.value < -planted.MARGIN  # the naive attribution


def test_a_policy_that_forbids_what_training_introduced_tells_the_planted_model_from_its_clean_twin(
    told: Told, root: Path
) -> None:
    verdicts, origins = ("same", "better", "worse", "unclear"), ("none", "mitigated", "inherited", "unclear")
    rule = Rule.model_validate({"finding": "bias/*", "verdicts": verdicts, "origins": origins})
    policy = Policy(name="nothing of ours", task="any", rule=(Rule.model_validate({"verdicts": verdicts}), rule))
    passed = {}
    for folder in sorted(root.glob("*/*/report.json")):
        report = load_report(folder)
        [one] = report.decompositions
        named = report.model_copy(update={"findings": [each for each in report.findings if each.id == one.finding]})
        found = decided(named, policy, "", date(2026, 1, 1))
        passed[folder.parent.parent.name] = found.passed
        stopped = [each.subject for each in found.rulings if each.outcome == "fail"]
        assert stopped == ([one.finding] if one.origin in ("introduced", "amplified") else [])
    assert not passed["0"]  # whose texts favoured one group
    assert all(passed[str(5 + number)] for number in range(len(SEEDS)))  # the clean twins
