"""The laws that hold for every audit, on recorded tables: what an audit says must not depend on what it should not."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from audit.audits import Question, binary, findings
from audit.audits.bias import PairSet, counterfactual
from audit.audits.forgetting import Probe, compared
from audit.audits.forgetting.choice import multiple_choice
from audit.audits.forgetting.features import neighbours, probes
from audit.audits.forgetting.language import general_text
from audit.finding import Finding
from audit.view import Item, View, replay

Array = NDArray[np.float64]
Audit = Callable[[View, View, list[Item]], list[Finding]]
Items = Callable[[], list[Item]]
Answers = Callable[..., dict[str, Array]]
LABELS = ["no", "yes"]


def table(answers: dict[str, Array], items: list[Item]) -> pd.DataFrame:
    parts = []
    for question, values in answers.items():
        flat = values.reshape(len(items), -1)
        parts.append(
            pd.DataFrame(
                {
                    "id": np.repeat([item.id for item in items], flat.shape[1]),
                    "question": question,
                    "index": np.tile(np.arange(flat.shape[1]), len(items)),
                    "value": flat.ravel(),
                }
            )
        )
    return pd.concat(parts)


def recorded(name: str, answers: dict[str, Array], items: list[Item]) -> View:
    return replay(table(answers, items), id=name, labels=LABELS)


def bias_audit(base: View, adapted: View, items: list[Item]) -> list[Finding]:
    sets = [PairSet("demo", ("a", "b"), items, slices=True)]
    return counterfactual(base, adapted, sets, label="yes", margins=(0.05, 0.05))


def causal_audit(base: View, adapted: View, items: list[Item]) -> list[Finding]:
    return compared(base, adapted, [Probe("text", partial(general_text, items=items, margin=0.05))]).findings


def choice_audit(base: View, adapted: View, items: list[Item]) -> list[Finding]:
    return compared(base, adapted, [Probe("choice", partial(multiple_choice, items=items, margin=0.05))]).findings


def encoder_audit(base: View, adapted: View, items: list[Item]) -> list[Finding]:
    asked = [
        Probe("probes", partial(probes, items=items, name="texts", margin=0.05)),
        Probe("neighbours", partial(neighbours, items=items, margin=0.2)),
    ]
    return compared(base, adapted, asked).findings


def bias_items(n: int = 60) -> list[Item]:
    return [
        Item(id=f"i{i}", cluster=f"c{i // 2}", pair=(f"she {i}", f"he {i}"), groups={"pair": f"p{i % 2}"})
        for i in range(n)
    ]


def choice_items(n: int = 60) -> list[Item]:
    options = (" one", " two", " six", " ten")
    return [
        Item(id=f"i{i}", cluster=f"c{i}", prompt=f"prompt {i}", options=options, label=options[i % 4]) for i in range(n)
    ]


def text_items(n: int = 60) -> list[Item]:
    return [Item(id=f"i{i}", cluster=f"c{i}", text=f"text {i}", label=f"t{i % 3}") for i in range(n)]


def bias_answers(rng: np.random.Generator, items: list[Item], harm: float = 0.0) -> dict[str, Array]:
    first = np.clip(rng.normal(0.5, 0.02, len(items)) + harm, 0, 1)
    second = np.clip(rng.normal(0.5, 0.02, len(items)), 0, 1)
    return {"probabilities": np.stack([1 - first, first, 1 - second, second], axis=1)}


def causal_answers(rng: np.random.Generator, items: list[Item], harm: float = 0.0) -> dict[str, Array]:
    surprise = 3 + 0.01 * rng.normal(size=len(items)) + harm
    return {"log_likelihood": -surprise * [len(item.text or "") for item in items]}


def choice_answers(rng: np.random.Generator, items: list[Item], harm: float = 0.0) -> dict[str, Array]:
    nats = rng.normal(-9, 0.5, (len(items), 4))
    for number, (row, item) in enumerate(zip(nats, items, strict=True)):
        assert item.options is not None
        row[item.options.index(item.label or "")] += 5 if number >= harm * len(items) else -5
    return {"option_log_likelihood": nats}


def encoder_answers(rng: np.random.Generator, items: list[Item], harm: float = 0.0) -> dict[str, Array]:
    centres = np.eye(3, 8) * 4
    told = np.array([int((item.label or "t0")[1:]) for item in items])
    return {"embedding": centres[told] * (1 - harm) + rng.normal(size=(len(items), 8))}


CASES = {
    "bias": (bias_audit, bias_items, bias_answers, 0.3),
    "forgetting of a causal model": (causal_audit, text_items, causal_answers, 0.3),
    "forgetting of choices": (choice_audit, choice_items, choice_answers, 0.3),
    "forgetting of an encoder": (encoder_audit, text_items, encoder_answers, 1.0),
}
every_audit = pytest.mark.parametrize(("audit", "items", "answers", "harm"), CASES.values(), ids=CASES)


@every_audit
def test_a_model_differs_from_itself_by_exactly_nothing(
    audit: Audit, items: Items, answers: Answers, harm: float
) -> None:
    asked = items()
    view = recorded("base", answers(np.random.default_rng(0), asked), asked)
    for finding in audit(view, view, asked):
        assert finding.change is not None
        assert finding.change.value == 0.0
        assert finding.verdict in ("same", "unclear")
        assert finding.method != "student-t over cluster means" or (finding.change.low, finding.change.high) == (
            None,
            None,
        )


@every_audit
def test_a_planted_harm_is_found(audit: Audit, items: Items, answers: Answers, harm: float) -> None:
    asked = items()
    base = recorded("base", answers(np.random.default_rng(0), asked), asked)
    adapted = recorded("adapted", answers(np.random.default_rng(0), asked, harm), asked)
    declared = [finding for finding in audit(base, adapted, asked) if finding.group is None]
    assert declared[0].verdict == "worse"
    if audit is not encoder_audit:  # its harm is planted in features; the others' size is known
        change = declared[0].change
        assert change is not None
        assert change.value == pytest.approx(harm, abs=0.02)


@every_audit
def test_swapping_the_models_negates_the_change(audit: Audit, items: Items, answers: Answers, harm: float) -> None:
    if audit is encoder_audit:
        pytest.skip("the frozen probe and the neighbours are the base's own: they have a direction")
    asked = items()
    base = recorded("base", answers(np.random.default_rng(0), asked), asked)
    adapted = recorded("adapted", answers(np.random.default_rng(1), asked, harm), asked)
    for there, back in zip(audit(base, adapted, asked), audit(adapted, base, asked), strict=True):
        assert there.change is not None
        assert back.change is not None
        assert back.change.value == pytest.approx(-there.change.value, abs=1e-12)
        assert back.change.bounds() == pytest.approx(there.change.negated().bounds(), abs=1e-9)


@every_audit
def test_saying_everything_twice_proves_nothing_more(audit: Audit, items: Items, answers: Answers, harm: float) -> None:
    asked = items()
    again = [item.model_copy(update={"id": f"again {item.id}"}) for item in asked]
    order = np.random.default_rng(2).permutation(2 * len(asked))
    twice = [[*asked, *again][i] for i in order]
    sides = []
    for seed, name in ((0, "base"), (1, "adapted")):
        known = answers(np.random.default_rng(seed), asked, harm * seed)
        doubled = {question: np.concatenate([value, value])[order] for question, value in known.items()}
        sides.append((recorded(name, known, asked), recorded(name, doubled, twice)))
    once = audit(sides[0][0], sides[1][0], asked)
    for first, second in zip(once, sorted(audit(sides[0][1], sides[1][1], twice), key=_order(once)), strict=True):
        assert second.n_items == first.n_items
        assert second.n_clusters == first.n_clusters
        assert second.change is not None
        assert first.change is not None
        assert second.change.value == pytest.approx(first.change.value, abs=1e-12)
        assert second.change.bounds() == pytest.approx(first.change.bounds(), abs=1e-12)


def _order(findings: list[Finding]) -> Callable[[Finding], int]:
    place = {finding.id: i for i, finding in enumerate(findings)}
    return lambda finding: place[finding.id]


def test_ten_items_without_a_flip_are_unclear() -> None:
    asked = [Item(id=f"i{i}", cluster=f"c{i}", pair=(f"she {i}", f"he {i}")) for i in range(10)]
    view = recorded("base", {"probabilities": np.tile([0.1, 0.9, 0.1, 0.9], (10, 1))}, asked)
    sets = [PairSet("demo", ("a", "b"), asked)]
    [preference, flips] = counterfactual(view, view, sets, label="yes", margins=(0.05, 0.05))
    assert flips.verdict == "unclear"
    assert flips.n_needed is not None
    assert flips.n_needed > 50
    assert preference.verdict == "unclear"  # a mean needs 30 clusters


def test_a_change_inside_the_floor_of_null_copies_is_no_finding() -> None:
    asked = text_items()
    known = [causal_answers(np.random.default_rng(0), asked, harm) for harm in (0.0, 0.3)]
    surprise = [-one["log_likelihood"] / 6 for one in known]
    question = Question("forgetting", "general_text", "nats", surprise[0], surprise[1], asked, 0.05, "surprise")
    [without] = findings([question], family="f")
    [inside] = findings([question], family="f", floor={"forgetting/general_text": 0.4})
    assert (without.verdict, inside.verdict) == ("worse", "unclear")
    assert inside.floor == 0.4


def test_clusters_that_flip_as_a_whole_are_not_forgotten() -> None:
    """One flipped pair in 60 clusters says as little as none: neither may prove less than five points."""
    asked = [Item(id=f"i{i}", cluster=f"c{i // 4}", text=f"text {i}") for i in range(160)]
    flips = np.zeros(160)
    none = Question("bias", "flips", "share", flips, flips, asked, 0.05, "", by=binary)
    flips = flips.copy()
    flips[0] = 1
    one = Question("bias", "flips", "share", flips, flips, asked, 0.05, "", by=binary)
    for question in (none, one):
        [found] = findings([question], family="f")
        assert found.verdict == "unclear"
        assert found.change is not None
        assert found.change.low is not None
