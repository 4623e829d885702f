"""Pairs that would be confidently wrong are refused, pairs as fine-tuning leaves them are not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM, AutoTokenizer

from audit.errors import InputError
from audit.items import passages
from audit.models.ask import Readout
from audit.models.load import load_base, load_pair
from audit.models.source import resolve
from audit.models.tokens import continuation
from audit.view import Item, Kind, NotMeasurable, record, remember
from tests import families

TEXTS = list(passages()[::80])


def pair_of(base: Path, adapted: Path, kind: Kind) -> Any:
    return load_pair(resolve(str(base)), resolve(str(adapted)), kind)


def with_config(folder: Path, target: Path, **changes: Any) -> Path:
    shutil.copytree(folder, target)
    families.rewrite(target / "config.json", lambda config: config.update(changes))
    return target


# --- adapters that do not give their base back ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings",
    [{"init_lora_weights": "pissa"}, {"init_lora_weights": "olora"}, {"layer_replication": [[0, 2], [0, 2]]}],
    ids=["pissa", "olora", "layer_replication"],
)
def test_an_adapter_that_rewrites_its_base_is_refused(settings: dict[str, Any], llama: Path, tmp_path: Path) -> None:
    """PEFT changes the base's weights while it loads these: switched off, the adapter leaves another model."""
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_pretrained(llama, dtype=torch.float32)
    config = LoraConfig(r=2, target_modules=["q_proj"], task_type="CAUSAL_LM", **settings)
    get_peft_model(model, config).save_pretrained(str(tmp_path))
    with pytest.raises(InputError, match="changes the base's own weights"):
        pair_of(llama, tmp_path, "causal")


def test_an_adapter_of_the_output_matrix_is_read(llama: Path, tmp_path: Path) -> None:
    """PEFT keeps a copy of the adapted embedding beside the adapter; it is the base's own, so nothing is lost."""
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_pretrained(llama, dtype=torch.float32)
    peft = get_peft_model(model, LoraConfig(r=2, target_modules=["lm_head"], task_type="CAUSAL_LM"))
    for name, tensor in peft.named_parameters():
        if "lora_B" in name:
            tensor.data.normal_(0, 0.5)
    peft.save_pretrained(str(tmp_path), save_embedding_layers=True)
    pair = pair_of(llama, tmp_path, "causal")
    base, adapted = (view.ask("log_likelihood", TEXTS) for view in (pair.base, pair.adapted))
    assert np.array_equal(base, load_base(resolve(str(llama)), "causal").ask("log_likelihood", TEXTS))
    assert not np.allclose(base, adapted, atol=1e-2)


# --- what is remembered under which name ------------------------------------------------------------------------------


def test_what_a_side_borrows_from_its_base_is_part_of_its_name(bert: Path, tmp_path: Path) -> None:
    """One encoder under the heads of two bases: two views, whose answers are not each other's."""
    other = with_config(bert, tmp_path / "other")
    model = AutoModelForMaskedLM.from_pretrained(bert)
    torch.nn.init.normal_(model.cls.predictions.transform.dense.weight)
    model.save_pretrained(other)
    headless = with_config(bert, tmp_path / "headless", architectures=["BertModel"])
    views = [pair_of(base, headless, "encoder").adapted for base in (bert, other)]
    answers = [remember(view, tmp_path / "kept").ask("pseudo_log_likelihood", TEXTS[:2]) for view in views]
    assert views[0].id != views[1].id
    assert not np.allclose(answers[0], answers[1], atol=1e-2)


def test_how_much_is_read_and_how_classes_are_named_is_part_of_a_name(llama: Path, tmp_path: Path) -> None:
    short = tmp_path / "short"
    shutil.copytree(llama, short)
    families.rewrite(short / "tokenizer_config.json", lambda config: config.update(model_max_length=32))
    assert (
        load_base(resolve(str(llama)), "causal").id.split("/")[1:]
        != load_base(resolve(str(short)), "causal").id.split("/")[1:]
    )
    readouts = [Readout("{text} is", labels) for labels in (("good,bad", "ugly"), ("good", "bad,ugly"))]
    ids = {load_base(resolve(str(llama)), "causal", readout).id for readout in readouts}
    assert len(ids) == 2
    clip = families.CLIP["clip"](tmp_path / "clip")
    assert len({load_base(resolve(str(clip)), "clip", readout).id for readout in readouts}) == 2


# --- what is asked ----------------------------------------------------------------------------------------------------


def test_a_model_that_looks_back_a_little_is_packed_only_as_far_as_it_was_checked(tmp_path: Path) -> None:
    """GPT-Neo's local layers see 16 positions; rows of short options fit into that, rows of long ones do not."""
    folder = families.CAUSAL["gpt_neo"](tmp_path / "neo")
    view, tokenizer = load_base(resolve(str(folder)), "causal"), AutoTokenizer.from_pretrained(folder)
    model: Any = AutoModelForCausalLM.from_pretrained(folder)
    short = Item(id="s", cluster="s", prompt="It", options=(" is early", " was early"))
    endings = ("went home early", "stayed until the evening", "sold the boat to a friend", "never came back again",
               "wrote a letter to the council", "asked for his money", "laughed and paid")  # fmt: skip
    long = Item(id="l", cluster="l", prompt="The old man", options=tuple(f" {ending}" for ending in endings))
    for item in (short, long):
        prompt = tokenizer(item.prompt)["input_ids"]
        for option, got in zip(item.options or (), view.ask("option_log_likelihood", [item])[0], strict=True):
            ids = [*prompt, *tokenizer(option)["input_ids"]]
            with torch.no_grad():
                steps = torch.log_softmax(model(torch.tensor([ids])).logits[0].double(), -1)
            assert got == pytest.approx(
                sum(float(steps[i - 1, ids[i]]) for i in range(len(prompt), len(ids))), abs=1e-3
            )


def test_a_model_that_stretches_its_positions_is_asked_without_company(tmp_path: Path) -> None:
    """With longrope the longest text of a batch decides how all of it is turned: a short one is not asked beside it."""
    folder = families.CAUSAL["phi3"](tmp_path / "phi3")
    view, tokenizer = load_base(resolve(str(folder)), "causal"), AutoTokenizer.from_pretrained(folder)
    text = TEXTS[0].text or ""
    words = tokenizer(text)["input_ids"]
    parts = [Item(id=str(n), cluster="c", text=tokenizer.decode(words[:n])) for n in (50, 60, 70, 80)]
    for question in ("log_likelihood", "embedding"):
        together = view.ask(question, parts)
        alone = np.concatenate([view.ask(question, [item]) for item in parts])
        assert np.allclose(together, alone, rtol=1e-5, atol=1e-5), question


def test_what_closes_a_text_does_not_stand_before_an_option(llama: Path, tmp_path: Path) -> None:
    folder = tmp_path / "closing"
    shutil.copytree(llama, folder)
    start, end = ({"SpecialToken": {"id": token, "type_id": 0}} for token in ("<s>", "</s>"))
    first, second = ({"Sequence": {"id": name, "type_id": 0}} for name in "AB")
    known = {token: {"id": token, "ids": [number], "tokens": [token]} for number, token in enumerate(("<s>", "</s>"))}
    closing = {
        "type": "TemplateProcessing",
        "single": [start, first, end],
        "pair": [first, second],
        "special_tokens": known,
    }
    families.rewrite(folder / "tokenizer.json", lambda content: content.update(post_processor=closing))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    prompt = tokenizer("The shop was")["input_ids"]
    assert prompt[-1] == tokenizer.eos_token_id
    item = Item(id="a", cluster="a", prompt="The shop was", options=(" open",))
    option = tokenizer(" open", add_special_tokens=False)["input_ids"]
    ids = [*prompt[:-1], *option]
    model: Any = AutoModelForCausalLM.from_pretrained(llama)
    with torch.no_grad():
        steps = torch.log_softmax(model(torch.tensor([ids])).logits[0].double(), -1)
    expected = sum(float(steps[i - 1, ids[i]]) for i in range(len(prompt) - 1, len(ids)))
    view = load_base(resolve(str(folder)), "causal")
    assert view.ask("option_log_likelihood", [item])[0, 0] == pytest.approx(expected, abs=1e-4)
    nothing, text = item.model_copy(update={"prompt": ""}), Item(id="t", cluster="t", text=" open")
    assert view.ask("option_log_likelihood", [nothing])[0, 0] == pytest.approx(
        view.ask("log_likelihood", [text])[0], abs=1e-4
    )


def test_a_continuation_has_the_space_it_was_given_and_no_second_one(llama: Path) -> None:
    from tokenizers import Tokenizer, models, normalizers, trainers
    from transformers import PreTrainedTokenizerFast

    raw: Any = Tokenizer(models.BPE())
    prepended = [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]  # as Llama 2 has it
    raw.normalizer = normalizers.Sequence(prepended)
    raw.train_from_iterator(["the shop was a shop", "it is open"], trainers.BpeTrainer(vocab_size=1))  # letters alone
    fast: Any = PreTrainedTokenizerFast
    prepending = fast(tokenizer_object=raw)
    whole, prompt = (prepending(text)["input_ids"] for text in ("the shop was open", "the shop was"))
    assert whole == [*prompt, *continuation(prepending, " open")]
    assert whole != [*prompt, *prepending(" open", add_special_tokens=False)["input_ids"]]
    bytes_ = AutoTokenizer.from_pretrained(llama)
    for text in (" open", "ly", " very good"):
        assert bytes_.decode(continuation(bytes_, text)) == text


def test_a_label_that_begins_another_is_refused(llama: Path) -> None:
    with pytest.raises(InputError, match="the label 'good' begins the label 'good indeed'"):
        load_base(resolve(str(llama)), "causal", Readout("{text} is", ("good", "good indeed")))
    with pytest.raises(InputError, match=r"does not hold \{text\} \(or \{label\}\) exactly once"):
        Readout("It is", ("good", "bad"))


def test_items_of_two_sorts_are_not_asked_together(llama: Path) -> None:
    view = load_base(resolve(str(llama)), "causal")
    pair = Item(id="p", cluster="p", pair=("one", "two"))
    for items in ([TEXTS[0], pair], [], [Item(id=str(n), cluster="c", prompt="x", options=("a",) * n) for n in (1, 2)]):
        with pytest.raises(NotMeasurable, match="items of one sort"):
            view.ask("log_likelihood", items)
    with pytest.raises(NotMeasurable, match="vectors, not layers"):
        record(view, "layer_means", TEXTS)


# --- settings ---------------------------------------------------------------------------------------------------------


def test_settings_that_change_an_answer_are_refused(bert: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is_decoder = True where the base"):
        pair_of(bert, with_config(bert, tmp_path / "decoder", is_decoder=True), "encoder")
    with pytest.raises(InputError, match="position_embedding_type = 'relative_key' where the base"):
        pair_of(bert, with_config(bert, tmp_path / "relative", position_embedding_type="relative_key"), "encoder")
    roberta = families.MASKED["roberta"](tmp_path / "roberta")
    with pytest.raises(InputError, match="the place of the padding"):
        pair_of(roberta, with_config(roberta, tmp_path / "padding", pad_token_id=5), "encoder")


HABITS = {
    "position_embedding_type": "absolute",
    "finetuning_task": "sst-2",
    "unsloth_version": "2024.8",
    "task_specific_params": {"x": 1},
    "initializer_range": 0.01,
    "hidden_dropout_prob": 0.3,
    "classifier_dropout": 0.2,
    "problem_type": "single_label_classification",
    "torchscript": True,
    "tokenizer_class": "BertTokenizerFast",
    "pretraining_tp": 2,
    "auto_map": {"AutoModel": "modeling.Model"},
    "use_cache": False,
    "transformers_version": "4.6.1",
}


def test_settings_as_fine_tuning_leaves_them_are_named_and_not_refused(bert: Path, tmp_path: Path) -> None:
    adapted = with_config(bert, tmp_path / "tuned", **HABITS)
    pair = pair_of(bert, adapted, "encoder")
    named = {row["field"].split(".")[0]: row["outcome"] for row in pair.preflight}
    assert named["unsloth_version"] == "not read by the installed version of transformers"
    assert named["hidden_dropout_prob"] == "explained by adaptation"
    assert np.array_equal(pair.base.ask("embedding", TEXTS), pair.adapted.ask("embedding", TEXTS))


def test_tokenizers_that_treat_other_text_differently_are_named(bert: Path, tmp_path: Path) -> None:
    folder = with_config(bert, tmp_path / "accents")
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text())
    content["normalizer"] = {"type": "Sequence", "normalizers": [content["normalizer"], {"type": "NFC"}]}
    path.write_text(json.dumps(content))
    assert "tokenizer rules" in {row["field"] for row in pair_of(bert, folder, "encoder").preflight}


# --- what cannot be read ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("mode", "message"), [("I;16", "of mode I;16, not 8 bits"), ("F", "of mode F, not 8 bits")])
def test_images_of_more_than_8_bits_are_not_clipped(mode: str, message: str, tmp_path: Path) -> None:
    from PIL import Image

    folder = families.VISION["vit"](tmp_path / "vit")
    path = tmp_path / "deep.tiff"
    Image.new(mode, (16, 16)).save(path)
    with pytest.raises(InputError, match=message):
        load_base(resolve(str(folder)), "vision").ask("embedding", [Item(id="a", cluster="a", image=str(path))])


def test_an_image_is_seen_upright(tmp_path: Path) -> None:
    from PIL import Image

    folder = families.VISION["vit"](tmp_path / "vit")
    upright = Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter to the right
    upright.save(tmp_path / "upright.png")
    upright.rotate(90, expand=True).save(tmp_path / "turned.png", exif=exif)
    items = [Item(id=name, cluster=name, image=str(tmp_path / f"{name}.png")) for name in ("upright", "turned")]
    first, second = load_base(resolve(str(folder)), "vision").ask("embedding", items)
    assert np.allclose(first, second, atol=1e-5)


def test_half_a_character_is_no_text(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="lone surrogate"):
        Item(id="a", cluster="a", text="half \ud800")
    with pytest.raises(ValueError, match="at least one option"):
        Item(id="a", cluster="a", prompt="x", options=())
