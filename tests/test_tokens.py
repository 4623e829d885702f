"""The tokenizer gap: divergences with a zero of their own size, and what a tokenizer makes of words."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.distance import jensenshannon
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from audit.audits.gap.placed import Placed, Samples
from audit.audits.gap.tokens import jensen_shannon, token_scales, vocabulary
from audit.items import passages, reversed_words
from audit.models.load import load_base
from audit.models.pieces import broken_tokens
from audit.models.source import resolve
from audit.models.tokens import continuation
from audit.view import Item, NotMeasurable, View

Array = NDArray[np.float64]


class Numbers:
    """A view whose texts are the numbers of their tokens."""

    id, kind, labels = "numbers", "encoder", ()

    def ask(self, question: str, items: Sequence[Item]) -> Array:
        if question != "token_ids":
            raise NotMeasurable(question, "not answered")
        rows = [[int(one) for one in (item.text or "").split()] for item in items]
        return np.array([[*row, *[-1] * (max(map(len, rows)) - len(row))] for row in rows], dtype=np.float64)

    def treatment(self, question: str, items: Sequence[Item]) -> str:
        return ""


NUMBERS: View = Numbers()  # type: ignore[assignment]


def drawn(rng: np.random.Generator, name: str, count: int, first: int = 0, kinds: int = 2000) -> list[Item]:
    """Texts of 12 tokens whose frequencies fall as Zipf says, from a vocabulary that begins at ``first``."""
    frequencies = 1 / np.arange(1, kinds + 1)
    rows = rng.choice(kinds, (count, 12), p=frequencies / frequencies.sum()) + first
    return [Item(id=f"{name}{n}", cluster=f"{name}{n}", text=" ".join(map(str, row))) for n, row in enumerate(rows)]


def placed(seed: int, sizes: tuple[int, int] = (200, 200), share: float = 0.0, kinds: int = 2000) -> Placed:
    """A task of which every text is, with probability ``share``, one of unrelated text."""
    rng = np.random.default_rng(seed)
    own, other = drawn(rng, "t", sizes[1], 0, kinds), drawn(rng, "u", sizes[1], 5000, kinds)
    task = [
        two[int(chosen)] for two, chosen in zip(zip(own, other, strict=True), rng.random(sizes[1]) < share, strict=True)
    ]
    return vocabulary(
        Samples.of(drawn(rng, "r", sizes[0], 0, kinds), task, drawn(rng, "c", sizes[0], 5000, kinds)), NUMBERS
    )


# --- divergence -------------------------------------------------------------------------------------------------------


def test_the_divergence_is_one_bit_for_strangers_and_nothing_for_proportions() -> None:
    """Lin (1991): 0 ≤ JS ≤ 1 bit; (1/2, 1/2) from (1, 0): H(3/4, 1/4) - H(1/2, 1/2)/2 = .8113 - .5 bits."""
    counts = np.array([[3.0, 1, 0, 0], [3.0, 1, 0, 0], [2.0, 2, 0, 0]])
    others = np.array([[0, 0, 2.0, 5], [6.0, 2, 0, 0], [7.0, 0, 0, 0]])
    assert jensen_shannon(counts, others) == pytest.approx([1.0, 0.0, 0.3112781], abs=1e-7)


def test_the_divergence_is_scipys() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.poisson(2, (4, 30)).astype(np.float64), rng.poisson(1, (4, 30)).astype(np.float64)
    expected = [jensenshannon(p, q, base=2) ** 2 for p, q in zip(first, second, strict=True)]
    assert jensen_shannon(first, second) == pytest.approx(expected, abs=1e-12)


# --- the position -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sizes", "rough"), [((200, 200), 0.02), ((400, 60), 0.02), ((60, 400), 0.02), ((12, 100), 0.06)]
)
def test_one_source_lies_at_zero_however_many_texts_speak_for_it(sizes: tuple[int, int], rough: float) -> None:
    """The divergence itself does not: two samples of one source differ, and the more so the smaller they are."""
    found = [placed(seed, sizes) for seed in range(6)]
    assert np.mean([one.draws[0] for one in found]) == pytest.approx(0, abs=rough)
    for one in found:
        assert np.quantile(one.draws[1:], 0.05) < 0.05  # not ``worse`` at a margin of .1, by far
        assert one.scale.null > 0.02
    covered = [np.quantile(one.draws[1:], 0.025) < 0 < np.quantile(one.draws[1:], 0.975) for one in found]
    assert sum(covered) >= 4
    assert sum(one.p is not None and one.p <= 0.05 for one in found) <= 2


def test_strangers_lie_at_one_and_a_mixture_where_its_closed_form_says() -> None:
    """P and Q disjoint, T = (1 - λ)·P + λ·Q: JS(P, T) = h(λ/2) - h(λ)/2, with h the entropy of a coin; JS(P, Q) = 1."""
    share = 0.5

    def coin(p: float) -> float:
        return float(-p * np.log2(p) - (1 - p) * np.log2(1 - p))

    found = [placed(seed, (1000, 1000), share, kinds=100) for seed in range(4)]
    expected = coin(share / 2) - coin(share) / 2
    assert np.mean([one.draws[0] for one in found]) == pytest.approx(expected, abs=0.02)
    assert placed(3, share=1.0).draws[0] == pytest.approx(1, abs=0.02)
    assert found[0].p == 0.001


def test_its_interval_is_as_wide_as_the_estimates_vary() -> None:
    repeats = 25
    found = [placed(100 + seed, (150, 150), 0.3) for seed in range(repeats)]
    spread = np.std([one.draws[0] for one in found], ddof=1)
    width = np.mean([np.subtract(*np.quantile(one.draws[1:], [0.975, 0.025])) for one in found]) / (2 * 1.96)
    assert 0.75 < width / spread < 1.6


def test_whole_documents_are_permuted() -> None:
    """Each document says one thing over and over: of texts that are dealt one by one, the samples seem to differ."""
    rng = np.random.default_rng(5)
    rejected = {"grouped": 0, "naive": 0}
    repeats = 20
    for _ in range(repeats):
        topics = rng.integers(0, 300, (40, 1)) * 6 + rng.integers(0, 6, (40, 60))  # 40 documents of 60 tokens
        rows = topics.reshape(200, 12)
        for name in rejected:
            items = [
                Item(
                    id=str(i), cluster=str(i // 5 if name == "grouped" else i), text=" ".join([*map(str, row), "9999"])
                )
                for i, row in enumerate(rows)
            ]
            far = drawn(rng, "c", 100, 20_000)
            found = vocabulary(Samples.of(items[:100], items[100:], far), NUMBERS)
            rejected[name] += (found.p or 1) <= 0.05
    assert rejected["grouped"] <= 4
    assert rejected["naive"] > 10  # the mutant


def test_characters_have_no_order_and_so_no_ceiling() -> None:
    rng = np.random.default_rng(6)
    reference = drawn(rng, "r", 60)
    backwards = [
        item.model_copy(update={"id": f"{item.id}/b", "text": " ".join(reversed((item.text or "").split()))})
        for item in reference
    ]
    with pytest.raises(NotMeasurable, match="cannot tell unrelated items from the reference: there is no scale"):
        vocabulary(Samples.of(reference, drawn(rng, "t", 60), backwards), NUMBERS)


# --- tokens of real tokenizers ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def words(tiny_encoder: Path) -> View:
    return load_base(resolve(str(tiny_encoder)), "encoder")


@pytest.fixture(scope="module")
def in_bytes(tiny_causal: Path) -> View:
    return load_base(resolve(str(tiny_causal)), "causal")


def text(said: str) -> list[Item]:
    return [Item(id=said, cluster=said, text=said)]


@pytest.mark.parametrize("kind", ["words", "in_bytes"])
def test_tokens_are_those_of_a_text_behind_a_space(kind: str, request: pytest.FixtureRequest) -> None:
    view = request.getfixturevalue(kind)
    tokenizer = AutoTokenizer.from_pretrained(
        request.getfixturevalue("tiny_encoder" if kind == "words" else "tiny_causal")
    )
    asked = [*passages()[:3], *text("The"), *text("n't")]
    together = view.ask("token_ids", asked)
    for item, row in zip(asked, together, strict=True):
        alone = view.ask("token_ids", [item])[0]
        assert row[row >= 0].tolist() == alone.tolist() == continuation(tokenizer, f" {item.text}")
    assert together.shape[1] == max((row >= 0).sum() for row in together)


def test_greek_is_unknown_to_english_words_and_emoji_are_bytes(words: View, in_bytes: View) -> None:
    greek, emoji = text("Καλημέρα σας κόσμε"), text("fine 🙂")
    assert words.ask("unknown_tokens", greek)[0] == (words.ask("token_ids", greek) >= 0).sum() == 3
    assert words.ask("unknown_tokens", text("The shop was open"))[0] == 0
    assert in_bytes.ask("unknown_tokens", emoji)[0] == 4  # U+1F642 is four bytes in UTF-8, none a character
    assert in_bytes.ask("unknown_tokens", text("The shop was open"))[0] == 0
    assert in_bytes.ask("unknown_tokens", text("naïve"))[0] == 2


def test_a_byte_that_is_a_character_is_no_broken_one() -> None:
    from tokenizers import Tokenizer, models

    pieces = ["<unk>", "</s>", "<0x0A>", "<0xC3>", "a", "b"]
    raw = Tokenizer(models.BPE({piece: n for n, piece in enumerate(pieces)}, [], byte_fallback=True, unk_token="<unk>"))
    fast: Any = PreTrainedTokenizerFast
    assert broken_tokens(fast(tokenizer_object=raw, unk_token="<unk>", eos_token="</s>")) == {0, 3}


def test_fertility_is_counted_by_hand(words: View) -> None:
    """WordPiece: a word in its vocabulary is one token, a word that is spelt backwards is its pieces."""
    task = [Item(id=f"t{n}", cluster=f"t{n}", text=f"The shop {'was ' * n}open xq") for n in range(1, 13)]
    reference = list(passages()[:40])
    samples = Samples.of(reference, task, reversed_words(reference))
    pieces = (words.ask("token_ids", text("xq")) >= 0).sum()
    assert [int((words.ask("token_ids", text(one)) >= 0).sum()) for one in ("the", "shop", "was", "open")] == [1] * 4
    scales = {one.name: one for one in token_scales(samples, words)[0]}
    of_words = sum(range(1, 13)) + 12 * 4
    tokens = of_words - 12 + 12 * pieces
    assert pieces > 1
    assert scales["fertility"].measured.value == pytest.approx(tokens / of_words)
    sizes = sum(len((item.text or "").encode()) for item in task)
    assert scales["tokens_per_byte"].measured.value == pytest.approx(tokens / sizes)
    assert 0 < scales["split_words"].measured.value <= 0.25
    assert scales["split_words"].null < 0.5 < scales["split_words"].ceiling


def test_unknown_tokens_are_placed_though_unrelated_text_has_none(words: View) -> None:
    """Two words a text: the first is unknown in all 12 texts, the second in 3."""
    half = [
        Item(id=f"g{n}", cluster=f"g{n}", text=f"Καλημέρα{'λ' * n} {'κόσμε' if n < 3 else 'shop'}") for n in range(12)
    ]
    reference = list(passages()[:40])
    scales, limits = token_scales(Samples.of(reference, half, reversed_words(reference)), words)
    [unknown] = [one for one in scales if one.name == "unknown_tokens"]
    assert (unknown.null, unknown.ceiling) == (0, 1)
    assert unknown.position == pytest.approx((12 + 3) / 24)
    assert limits == []


def test_what_unrelated_text_shows_no_more_has_no_scale_and_is_said(words: View) -> None:
    greek = [Item(id=f"g{n}", cluster=f"g{n}", text=f"{'Καλημέρα ' * n}κόσμε") for n in range(12)]
    limits = token_scales(Samples.of(greek, list(passages()[:40]), reversed_words(greek)), words)[1]
    assert (
        "The share of tokens for no whole character has no scale: 0 in the task's texts, 1 in the reference and 1 in "
        "unrelated text."
    ) in limits


def test_reviews_lie_between_themselves_and_messages(words: View, shared_data: Path) -> None:
    lines = (shared_data / "sentences_yelp.tsv").read_text(encoding="utf-8").splitlines()[:600]
    yelp = [Item(id=f"y{n}", cluster=f"y{n}", text=line.split("\t")[0]) for n, line in enumerate(lines)]
    lines = (shared_data / "sms_spam.tsv").read_text(encoding="utf-8").splitlines()[1:301]
    sms = [Item(id=f"s{n}", cluster=f"s{n}", text=line.split("\t")[1]) for n, line in enumerate(lines)]
    reference = yelp[::2]
    same, apart = (
        vocabulary(Samples.of(reference, one, reversed_words(reference)), words) for one in (yelp[1::2], sms)
    )
    assert np.quantile(same.draws[1:], 0.95) < 0.1
    assert np.quantile(apart.draws[1:], 0.05) > 0.1
    assert (same.p or 0) > 0.05
    assert apart.p == 0.001
