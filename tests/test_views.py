"""What a view answers, against the plainest way to compute it; and what it does with what it cannot read."""

from __future__ import annotations

import difflib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM, AutoTokenizer

from audit.errors import InputError
from audit.items import passages
from audit.models.ask import Readout
from audit.models.batch import in_batches
from audit.models.load import load_base, load_pair
from audit.models.source import resolve
from audit.view import Item, Kind, NotMeasurable
from tests import families

TEXTS = list(passages()[::80])
PAIR = Item(
    id="p", cluster="p", pair=("The old man sold his boat to a friend.", "The old woman sold her boat to a friend.")
)


def copied(folder: Path, target: Path) -> Path:
    shutil.copytree(folder, target)
    return target


def pair_of(base: Path, adapted: Path, kind: Kind, readout: Readout | None = None) -> Any:
    return load_pair(resolve(str(base)), resolve(str(adapted)), kind, readout)


# --- masked models ----------------------------------------------------------------------------------------------------


def one_mask_at_a_time(folder: Path, text: str, chosen: set[int] | None = None) -> list[float]:
    """Log-probabilities of the tokens of a text, the plain way: a forward pass a token, all logits."""
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForMaskedLM.from_pretrained(folder).eval()
    ids = tokenizer(text, return_tensors="pt")["input_ids"]
    nats = []
    for position in range(1, ids.shape[1] - 1):
        if chosen is None or position in chosen:
            masked = ids.clone()
            masked[0, position] = tokenizer.mask_token_id
            with torch.no_grad():
                nats.append(float(torch.log_softmax(model(masked).logits[0, position].double(), -1)[ids[0, position]]))
    return nats


def test_a_pseudo_likelihood_is_the_naive_loop(bert: Path) -> None:
    view = load_base(resolve(str(bert)), "encoder")
    expected = [sum(one_mask_at_a_time(bert, item.text or "")) for item in TEXTS]
    assert view.ask("pseudo_log_likelihood", TEXTS) == pytest.approx(np.array(expected), abs=1e-4, rel=1e-6)


def test_pairs_are_scored_on_the_tokens_they_share_or_do_not(bert: Path) -> None:
    """The definitions of Nangia et al. (sum over shared tokens) and Meade et al. (mean over the others)."""
    tokenizer = AutoTokenizer.from_pretrained(bert)
    sides: list[list[int]] = [tokenizer(text)["input_ids"] for text in PAIR.pair or ()]
    shared: list[set[int]] = [set(), set()]
    for tag, a, b, c, d in difflib.SequenceMatcher(None, sides[0], sides[1], autojunk=False).get_opcodes():
        if tag == "equal":
            shared[0] |= set(range(a, b))
            shared[1] |= set(range(c, d))
    assert 0 < len(shared[0]) - 2 < len(sides[0]) - 2
    view = load_base(resolve(str(bert)), "encoder")
    for side, text in enumerate(PAIR.pair or ()):
        others = set(range(len(sides[side]))) - shared[side]
        unchanged, changed = (view.ask(question, [PAIR])[0, side] for question in ("pll-unchanged", "ll-changed"))
        assert unchanged == pytest.approx(sum(one_mask_at_a_time(bert, text, shared[side])), abs=1e-4)
        assert changed == pytest.approx(np.mean(one_mask_at_a_time(bert, text, others)), abs=1e-4)


def test_a_long_text_is_masked_in_windows_and_every_token_once(bert: Path) -> None:
    text = " ".join(item.text or "" for item in TEXTS[:5])
    long = Item(id="long", cluster="long", text=text)
    view = load_base(resolve(str(bert)), "encoder")
    tokenizer, model = AutoTokenizer.from_pretrained(bert), AutoModelForMaskedLM.from_pretrained(bert).eval()
    words = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert len(words) > 256
    total, size = 0.0, 256 - 2
    for index, word in enumerate(words):  # the window in which a token is scored, from the definition
        end = size if index < size else min(len(words), size + (1 + (index - size) // (size // 2)) * (size // 2))
        window = words[end - size : end]
        place = index - (end - size)
        masked = [tokenizer.cls_token_id, *window, tokenizer.sep_token_id]
        masked[1 + place] = tokenizer.mask_token_id
        with torch.no_grad():
            logits = model(torch.tensor([masked])).logits[0, 1 + place].double()
        total += float(torch.log_softmax(logits, -1)[word])
    assert view.ask("pseudo_log_likelihood", [long])[0] == pytest.approx(total, rel=1e-5)
    assert "1 of 1 texts are longer than the 256 tokens" in view.treatment("pseudo_log_likelihood", [long])
    assert "windows that overlap by half" in view.treatment("pseudo_log_likelihood", [long])
    assert "cut off" in view.treatment("embedding", [long])
    assert view.treatment("embedding", TEXTS) == ""


# --- causal models ----------------------------------------------------------------------------------------------------


def naive(folder: Path, ids: list[int], start: int) -> float:
    """Log-likelihood of the ids from a position on, one forward pass."""
    model: Any = AutoModelForCausalLM.from_pretrained(folder)
    with torch.no_grad():
        steps = torch.log_softmax(model(torch.tensor([ids])).logits[0].double(), -1)
    return sum(float(steps[i - 1, ids[i]]) for i in range(start, len(ids)))


def test_options_are_scored_after_their_prompt(llama: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(llama)
    view = load_base(resolve(str(llama)), "causal")
    item = Item(id="a", cluster="a", prompt="The shop was", options=(" open", " shut again", " open"))
    [nats], [counts] = view.ask("option_log_likelihood", [item]), view.ask("option_token_count", [item])
    prompt = tokenizer(item.prompt)["input_ids"]
    for option, got, count in zip(item.options or (), nats, counts, strict=True):
        ids = tokenizer(option, add_special_tokens=False)["input_ids"]
        assert got == pytest.approx(naive(llama, [*prompt, *ids], len(prompt)), abs=1e-4)
        assert count == len(ids)


def test_a_pair_is_scored_as_its_two_texts(llama: Path) -> None:
    """What two sentences share is computed once; neither sees the other's own words."""
    view = load_base(resolve(str(llama)), "causal")
    pairs = [
        Item(
            id=str(n),
            cluster="c",
            pair=(f"{(item.text or '')[: 12 * n]}he is here", f"{(item.text or '')[: 12 * n]}she"),
        )
        for n, item in enumerate(TEXTS)
    ]
    texts = [
        Item(id=f"{item.id}{n}", cluster="c", text=text) for item in pairs for n, text in enumerate(item.pair or ())
    ]
    assert view.ask("log_likelihood", pairs).ravel() == pytest.approx(view.ask("log_likelihood", texts), rel=1e-6)
    assert view._network.words.packed_length > 0  # type: ignore[attr-defined]


def test_a_long_text_is_read_in_windows_that_overlap_by_half(llama: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(llama)
    text = " ".join(item.text or "" for item in passages()[:14])
    ids = tokenizer(text)["input_ids"]
    assert len(ids) > 2 * 255
    size, start, total = 255, tokenizer.bos_token_id, 0.0
    begin, scored = 0, 0
    while scored < len(ids):  # the definition: every window is full, scores what no window did, begins with the start
        end = min(begin + size, len(ids))
        begin = max(0, end - size)
        total += naive(llama, [start, *ids[begin:end]], 1 + scored - begin)
        scored, begin = end, min(end + size // 2, len(ids)) - size
    long = Item(id="long", cluster="long", text=text)
    view = load_base(resolve(str(llama)), "causal")
    assert view.ask("log_likelihood", [long])[0] == pytest.approx(total, rel=1e-6)
    assert "windows that overlap by half" in view.treatment("log_likelihood", [long, *TEXTS])


def test_a_finding_says_what_was_done_to_long_texts(llama: Path, bert: Path) -> None:
    from audit.audits.forgetting.features import neighbours
    from audit.audits.forgetting.language import general_text

    long = [item.model_copy(update={"text": f"{item.text} " * 4}) for item in passages()[:30]]
    causal, encoder = load_base(resolve(str(llama)), "causal"), load_base(resolve(str(bert)), "encoder")
    [found] = general_text(causal, causal, long, margin=0.01)
    assert "texts are longer than the 256 tokens" in found.note
    assert "windows" in found.note
    assert all("cut off" in one.note for one in neighbours(encoder, encoder, long, margin=0.1))


def test_a_long_prompt_loses_its_beginning_and_says_so(llama: Path) -> None:
    prompt = " ".join(item.text or "" for item in passages()[:14])
    view = load_base(resolve(str(llama)), "causal")
    long, short = (Item(id="a", cluster="a", prompt=text, options=(" yes", " no")) for text in (prompt, prompt[-400:]))
    assert np.isfinite(view.ask("option_log_likelihood", [long])).all()
    assert "their beginning was cut off" in view.treatment("option_log_likelihood", [long])
    assert view.treatment("option_log_likelihood", [short]) == ""


# --- heads that are not there -----------------------------------------------------------------------------------------


def test_a_classifier_is_asked_through_its_bases_masked_head(bert: Path, tmp_path: Path) -> None:
    """An encoder that stayed as it was: under the base's head the same likelihoods, bit for bit."""
    from transformers import AutoModelForSequenceClassification

    folder = tmp_path / "classifier"
    AutoModelForSequenceClassification.from_pretrained(bert).save_pretrained(folder)
    pair = pair_of(bert, folder, "encoder")
    assert {row["field"]: row["adapted"] for row in pair.preflight}["language-model head"] == "none in its file"
    assert np.array_equal(pair.base.ask("pll-unchanged", [PAIR]), pair.adapted.ask("pll-unchanged", [PAIR]))
    weights = load_file(folder / "model.safetensors")
    weights["bert.encoder.layer.1.output.dense.weight"] *= -1  # an encoder that did change, under the same head
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    first, second = (pair_of(bert, folder, "encoder").adapted.ask("pll-unchanged", [PAIR]) for _ in range(2))
    assert np.array_equal(first, second)  # no random head
    assert not np.allclose(first, pair.base.ask("pll-unchanged", [PAIR]), atol=1e-2)


def test_a_base_without_a_masked_head_has_no_pseudo_likelihood(tiny_encoder: Path) -> None:
    with pytest.raises(NotMeasurable, match="this model has no language-model head"):
        load_base(resolve(str(tiny_encoder)), "encoder").ask("pseudo_log_likelihood", TEXTS)


def test_a_masked_head_that_the_file_does_not_hold_is_not_made_up(bert: Path, tmp_path: Path) -> None:
    folder = copied(bert, tmp_path / "headless")
    weights = load_file(folder / "model.safetensors")
    save_file(
        {k: v for k, v in weights.items() if not k.startswith("cls.")}, folder / "model.safetensors", {"format": "pt"}
    )
    view = load_base(resolve(str(folder)), "encoder")
    assert np.array_equal(
        view.ask("embedding", TEXTS), load_base(resolve(str(bert)), "encoder").ask("embedding", TEXTS)
    )
    with pytest.raises(NotMeasurable, match="this model has no language-model head"):
        view.ask("pseudo_log_likelihood", TEXTS)


def test_a_classifier_made_of_a_causal_base_keeps_its_likelihoods(llama: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForSequenceClassification

    torch.manual_seed(1)
    folder = copied(llama, tmp_path / "classifier")
    model = AutoModelForSequenceClassification.from_pretrained(llama, num_labels=2, dtype=torch.float32)
    model.config.pad_token_id = 1
    model.save_pretrained(folder)
    pair = pair_of(llama, folder, "causal", Readout("{text} is", ("bad", "good")))
    assert pair.adapted.labels == ("LABEL_0", "LABEL_1")
    assert pair.base.labels == ()
    assert np.array_equal(pair.base.ask("log_likelihood", TEXTS), pair.adapted.ask("log_likelihood", TEXTS))
    answers = pair.adapted.ask("logits", TEXTS)
    for item, got in zip(TEXTS, answers, strict=True):
        with torch.no_grad():
            expected = model(**AutoTokenizer.from_pretrained(llama)(item.text, return_tensors="pt")).logits[0]
        assert got == pytest.approx(expected.numpy(), abs=1e-5)


# --- adapters ---------------------------------------------------------------------------------------------------------


def lora(base: Path, folder: Path, **settings: Any) -> Path:
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    peft = get_peft_model(model, LoraConfig(r=2, target_modules=["q_proj"], task_type="CAUSAL_LM", **settings))
    for name, tensor in peft.named_parameters():
        if "lora_B" in name:
            tensor.data.normal_(0, 0.5)
    peft.save_pretrained(str(folder))
    return folder


def test_an_adapter_in_the_prompt_is_asked_whole(llama: Path, tmp_path: Path) -> None:
    """A learnt prompt is no part of the weights: a view that asked those alone would report no change at all."""
    from peft import PeftModel, PromptTuningConfig, get_peft_model

    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_pretrained(llama, dtype=torch.float32)
    get_peft_model(model, PromptTuningConfig(num_virtual_tokens=3, task_type="CAUSAL_LM")).save_pretrained(
        str(tmp_path)
    )
    pair = pair_of(llama, tmp_path, "causal")
    base, adapted = (view.ask("log_likelihood", TEXTS) for view in (pair.base, pair.adapted))
    assert np.array_equal(base, load_base(resolve(str(llama)), "causal").ask("log_likelihood", TEXTS))
    tokenizer = AutoTokenizer.from_pretrained(llama)
    peft = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(llama), str(tmp_path)).eval()
    for item, got, without in zip(TEXTS, adapted, base, strict=True):
        ids = [tokenizer.bos_token_id, *tokenizer(item.text)["input_ids"]]
        with torch.no_grad():
            steps = torch.log_softmax(peft(input_ids=torch.tensor([ids])).logits[0, -len(ids) :].double(), -1)
        assert got == pytest.approx(sum(float(steps[i, ids[i + 1]]) for i in range(len(ids) - 1)), abs=1e-3)
        assert abs(got - without) > 1e-2
    with pytest.raises(NotMeasurable, match="lives in the prompt"):
        pair.adapted.ask("embedding", TEXTS)


def test_an_adapter_whose_tensors_find_no_place_is_refused(llama: Path, tmp_path: Path) -> None:
    """PEFT warns and goes on with the base; every verdict would be a confident `same`."""
    folder = lora(llama, tmp_path / "lora")
    file = folder / "adapter_model.safetensors"
    save_file({name.replace("layers.0", "layers.7"): tensor for name, tensor in load_file(file).items()}, file)
    with pytest.raises(InputError, match=r"the adapter does not fit the base .* missing adapter keys"):
        pair_of(llama, folder, "causal")


def test_an_adapter_that_brings_its_own_embeddings_is_refused(llama: Path, tmp_path: Path) -> None:
    """They would replace the base's, so that switching the adapter off would not give the base back."""
    folder = lora(llama, tmp_path / "lora")
    file = folder / "adapter_model.safetensors"
    tensors = load_file(file)
    embedding = load_file(llama / "model.safetensors")["model.embed_tokens.weight"]
    save_file({**tensors, "base_model.model.model.embed_tokens.weight": embedding + 1}, file)
    with pytest.raises(InputError, match=r"holds 'base_model.*embed_tokens.*', which is no part of the adapter"):
        pair_of(llama, folder, "causal")


def test_a_classification_adapter_leaves_the_base_without_a_head(bert: Path, tmp_path: Path) -> None:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForSequenceClassification

    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_pretrained(bert, num_labels=3, dtype=torch.float32)
    get_peft_model(
        model, LoraConfig(r=2, task_type="SEQ_CLS", modules_to_save=["classifier", "pooler"])
    ).save_pretrained(str(tmp_path))
    pair = pair_of(bert, tmp_path, "encoder")
    assert pair.adapted.labels == ("LABEL_0", "LABEL_1", "LABEL_2")
    with pytest.raises(NotMeasurable, match="no trained classification head"):
        pair.base.ask("probabilities", TEXTS)
    assert np.array_equal(pair.base.ask("pll-unchanged", [PAIR]), pair.adapted.ask("pll-unchanged", [PAIR]))


# --- preflight --------------------------------------------------------------------------------------------------------


def test_another_rotary_base_under_the_same_weights_is_named(llama: Path, tmp_path: Path) -> None:
    folder = copied(llama, tmp_path / "rope")
    families.rewrite(folder / "config.json", lambda config: config["rope_parameters"].update(rope_theta=500000.0))
    with pytest.raises(InputError, match=r"rope_parameters\.rope_theta = 500000\.0 where the base .* has 10000\.0"):
        pair_of(llama, folder, "causal")


def test_a_config_as_version_4_wrote_it_is_the_same_model_or_not(llama: Path, tmp_path: Path) -> None:
    """The Hub's bases have such configs, fine-tunes the newer ones: only what they come to is compared."""
    for theta, same in ((10000.0, True), (20000.0, False)):
        folder = copied(llama, tmp_path / f"v4-{theta}")

        def older(config: dict[str, Any], theta: float = theta) -> None:
            del config["rope_parameters"]
            config.update(
                rope_theta=theta, rope_scaling=None, torch_dtype=config.pop("dtype"), transformers_version="4.45.0"
            )

        families.rewrite(folder / "config.json", older)
        if same:
            pair = pair_of(llama, folder, "causal")
            assert {row["field"] for row in pair.preflight} == {"transformers_version"}
            assert np.array_equal(pair.base.ask("log_likelihood", TEXTS), pair.adapted.ask("log_likelihood", TEXTS))
        else:
            with pytest.raises(InputError, match=r"rope_parameters\.rope_theta = 20000\.0"):
                pair_of(llama, folder, "causal")


def test_computed_frequencies_are_compared_whatever_the_config_says(llama: Path) -> None:
    from audit.models.preflight import compare_models

    first, second = (AutoModelForCausalLM.from_pretrained(llama) for _ in range(2))
    assert compare_models(first, second, "a", "b") == []
    second.model.rotary_emb.inv_freq *= 2
    with pytest.raises(InputError, match=r"rotary_emb\.inv_freq is not what it is in the base a"):
        compare_models(first, second, "a", "b")


def test_an_encoder_is_not_asked_as_a_causal_model(bert: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="its architecture is BertForMaskedLM, which is not of kind 'causal'"):
        load_base(resolve(str(bert)), "causal")
    for number, named in enumerate((None, ["BertLMHeadModel"])):  # silent or wrong papers: the model itself is asked
        folder = copied(bert, tmp_path / str(number))
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, "architectures": named}))
        with pytest.raises(InputError, match="BertModel looks ahead, so it is not of kind 'causal'"):
            load_base(resolve(str(folder)), "causal")


def test_what_does_not_decide_how_text_is_split_is_named(llama: Path, tmp_path: Path) -> None:
    folder = copied(llama, tmp_path / "settings")
    settings = folder / "tokenizer_config.json"
    families.rewrite(settings, lambda config: config.update(pad_token="<s>", chat_template="{{ messages }}"))
    pair = pair_of(llama, folder, "causal")
    named = {row["field"]: row for row in pair.preflight}
    assert (named["pad_token"]["base"], named["pad_token"]["adapted"]) == ("</s>", "<s>")
    assert (
        named["chat_template"]["outcome"]
        == "the base's frames the chat turns of both sides; texts are asked without one"
    )
    assert np.array_equal(pair.base.ask("log_likelihood", TEXTS), pair.adapted.ask("log_likelihood", TEXTS))


def test_new_tokens_are_named_and_not_asked(llama: Path, tmp_path: Path) -> None:
    folder = tmp_path / "more"
    tokenizer, model = AutoTokenizer.from_pretrained(llama), AutoModelForCausalLM.from_pretrained(llama)
    tokenizer.add_tokens(["<|turn|>"])
    model.resize_token_embeddings(len(tokenizer))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    pair = pair_of(llama, folder, "causal")
    named = {row["field"]: row["adapted"] for row in pair.preflight}
    assert named["vocabulary"].endswith("1 of them new")
    assert named["vocab_size"] == str(len(tokenizer))
    base, adapted = (view.ask("log_likelihood", TEXTS) for view in (pair.base, pair.adapted))
    assert adapted == pytest.approx(base, rel=0.01)  # the new token takes a little of the probability


def test_another_vocabulary_is_mapped_where_a_byte_is_the_unit(llama: Path, tmp_path: Path) -> None:
    """The same model under another tokenizer reads the same text: likelihoods of whole texts, each through its own."""
    folder = copied(llama, tmp_path / "vocabulary")
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text())
    content["model"]["merges"] = content["model"]["merges"][:300]
    kept = {"".join(merge) for merge in content["model"]["merges"]}
    vocabulary = [token for token in content["model"]["vocab"] if len(token) == 1 or token in kept or token[0] == "<"]
    content["model"]["vocab"] = {token: index for index, token in enumerate(vocabulary)}
    path.write_text(json.dumps(content))
    pair = pair_of(llama, folder, "causal")
    assert "compared per byte" in {row["field"]: row for row in pair.preflight}["vocabulary"]["outcome"]
    own = AutoTokenizer.from_pretrained(folder)
    ids = [own.bos_token_id, *own(TEXTS[0].text)["input_ids"]]
    assert pair.adapted.ask("log_likelihood", TEXTS[:1])[0] == pytest.approx(naive(llama, ids, 1), rel=1e-5)
    assert len(ids) > len(AutoTokenizer.from_pretrained(llama)(TEXTS[0].text)["input_ids"]) + 1


# --- what cannot be read ----------------------------------------------------------------------------------------------


def test_a_tokenizer_without_a_pad_token_changes_nothing(llama: Path, tmp_path: Path) -> None:
    folder = copied(llama, tmp_path / "padless")
    families.rewrite(folder / "tokenizer_config.json", lambda config: config.pop("pad_token"))
    assert AutoTokenizer.from_pretrained(folder).pad_token is None
    whole, without = (load_base(resolve(str(path)), "causal") for path in (llama, folder))
    for question in ("log_likelihood", "embedding"):
        assert np.array_equal(whole.ask(question, TEXTS), without.ask(question, TEXTS))


def test_positions_that_belong_to_the_padding_are_not_read(tmp_path: Path) -> None:
    """RoBERTa counts its positions from behind the padding's: with 258 rows and padding 0, 257 tokens can be read."""
    folder = families.MASKED["roberta"](tmp_path / "roberta")
    families.rewrite(folder / "tokenizer_config.json", lambda config: config.pop("model_max_length"))
    view = load_base(resolve(str(folder)), "encoder")
    long = Item(id="long", cluster="long", text=" ".join(item.text or "" for item in TEXTS))
    assert np.isfinite(view.ask("embedding", [long])).all()
    assert "longer than the 257 tokens" in view.treatment("embedding", [long])


@pytest.mark.parametrize("kind", ["encoder", "causal"])
def test_a_text_of_100_000_characters_is_read_as_documented(kind: Kind, tiny_encoder: Path, tiny_causal: Path) -> None:
    text = (" ".join(item.text or "" for item in passages()) * 2)[:100_000]
    items = [Item(id="huge", cluster="huge", text=text), *TEXTS]
    view = load_base(resolve(str(tiny_encoder if kind == "encoder" else tiny_causal)), kind)
    question = "embedding" if kind == "encoder" else "log_likelihood"
    answers = view.ask(question, items)
    assert np.array_equal(answers[1:], view.ask(question, TEXTS)) or np.allclose(answers[1:], view.ask(question, TEXTS))
    assert "1 of 6 texts are longer" in view.treatment(question, items)


def test_empty_texts_are_named(llama: Path, bert: Path) -> None:
    empty = [*TEXTS, Item(id="nothing", cluster="nothing", text="")]
    with pytest.raises(NotMeasurable, match="item 'nothing' has an empty text"):
        load_base(resolve(str(llama)), "causal").ask("log_likelihood", empty)
    with pytest.raises(NotMeasurable, match="item 'nothing' has a text without a token to mask"):
        load_base(resolve(str(bert)), "encoder").ask("pseudo_log_likelihood", empty)
    assert load_base(resolve(str(bert)), "encoder").ask("embedding", empty).shape == (6, 32)  # [CLS] [SEP]


@pytest.mark.parametrize(
    ("content", "message"), [(b"not an image", "is not an image that can be read"), (None, "there is no image")]
)
def test_a_file_that_is_no_image_is_named_with_its_item(content: bytes | None, message: str, tmp_path: Path) -> None:
    folder = families.VISION["vit"](tmp_path / "vit")
    good, bad = families.images(tmp_path / "images", 1)[0], tmp_path / "bad.png"
    if content is not None:
        bad.write_bytes(content)
    items = [Item(id=path.stem, cluster="c", image=str(path)) for path in (good, bad)]
    with pytest.raises(InputError, match=f"item 'bad': .*{message}"):
        load_base(resolve(str(folder)), "vision").ask("embedding", items)


def test_a_batch_that_does_not_fit_is_halved_and_nothing_is_lost() -> None:
    done: list[int] = []

    def work(rows: list[int]) -> None:
        if len(rows) > 3:
            raise RuntimeError(
                "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"
            )
        done.extend(rows)

    told: list[tuple[int, int]] = []
    in_batches([5] * 20, work, lambda *counts: told.append(counts), budget=100)
    assert sorted(done) == list(range(20))
    assert told[-1] == (20, 20)
    with pytest.raises(RuntimeError, match="another fault"):
        in_batches([1], lambda rows: (_ for _ in ()).throw(RuntimeError("another fault")), budget=1)


def test_one_item_that_does_not_fit_is_not_measurable(llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    view: Any = load_base(resolve(str(llama)), "causal")

    def forward(**_: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")

    monkeypatch.setattr(view._network.words.model.model, "forward", forward)
    monkeypatch.setattr(view._network.words, "_whole", False)
    with pytest.raises(NotMeasurable, match="not enough memory, even for one item at a time"):
        view.ask("log_likelihood", TEXTS)
