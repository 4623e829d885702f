"""Views of real models: company does not change an answer, a pair differs by its adaptation only."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from audit.errors import InputError, Unavailable
from audit.items import passages
from audit.models.ask import ModelView, Readout
from audit.models.load import Pair, load_base, load_pair
from audit.models.source import resolve
from audit.recipe import Full, Head, Peft
from audit.view import Item, NotMeasurable
from tests import tiny

TEXTS = list(passages()[::30])
LABELS = ("complaint", "praise")
READOUT = Readout("Feedback: {text}\nThis is", LABELS)
QUESTIONS = {
    "encoder": ["embedding", "layer_means"],
    "causal": ["log_likelihood", "embedding", "layer_means", "probabilities", "logits"],
}


def view_of(kind: str, folder: Path) -> ModelView:
    return load_base(resolve(str(folder)), kind, READOUT if kind == "causal" else None)  # type: ignore[arg-type]


@pytest.fixture(scope="module", params=["encoder", "causal"])
def view(request: pytest.FixtureRequest) -> ModelView:
    return view_of(request.param, request.getfixturevalue(f"tiny_{request.param}"))


def test_company_does_not_change_an_answer(view: ModelView) -> None:
    """One at a time or together, in either order: within 1e-5·max(1, |x|)."""
    for question in QUESTIONS[view.kind]:
        together = view.ask(question, TEXTS)
        backwards = view.ask(question, TEXTS[::-1])[::-1]
        alone = np.concatenate([view.ask(question, [item]) for item in TEXTS])
        for other in (backwards, alone):
            assert np.all(np.abs(together - other) <= 1e-5 * np.maximum(1, np.abs(together))), question


def test_an_embedding_is_the_mean_of_the_last_hidden_states(tiny_encoder: Path) -> None:
    from transformers import AutoModel, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(tiny_encoder), AutoModel.from_pretrained(tiny_encoder)
    with torch.no_grad():
        naive = [model(**tokenizer(item.text, return_tensors="pt")).last_hidden_state[0].mean(0) for item in TEXTS]
    answers = view_of("encoder", tiny_encoder).ask("embedding", TEXTS)
    assert answers == pytest.approx(torch.stack(naive).numpy(), abs=1e-5)


def test_a_log_likelihood_is_the_sum_of_naive_steps(tiny_causal: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(tiny_causal), AutoModelForCausalLM.from_pretrained(tiny_causal)
    answers = view_of("causal", tiny_causal).ask("log_likelihood", TEXTS[:3])
    for item, answer in zip(TEXTS, answers, strict=False):
        ids = [tokenizer.bos_token_id, *tokenizer(item.text)["input_ids"]]
        with torch.no_grad():
            steps = torch.log_softmax(model(torch.tensor([ids])).logits[0].double(), -1)
        assert answer == pytest.approx(sum(float(steps[i, ids[i + 1]]) for i in range(len(ids) - 1)), abs=1e-3)


def test_options_are_scored_given_their_prompt(tiny_causal: Path) -> None:
    view = view_of("causal", tiny_causal)
    item = Item(id="a", cluster="a", prompt="The shop was", options=(" open", " shut again"))
    whole = [Item(id=o, cluster=o, text=f"The shop was{o}") for o in item.options or ()]
    prompt = Item(id="p", cluster="p", text="The shop was")
    options = view.ask("option_log_likelihood", [item])[0]
    # the tiny tokenizer has no prefix space trouble: log P(prompt + option) - log P(prompt), up to the start token
    assert options.shape == (2,)
    assert np.all(options < 0)
    assert np.argmax(options) == np.argmax(view.ask("log_likelihood", whole) - view.ask("log_likelihood", [prompt]))


def test_a_question_a_model_has_no_answer_to_is_no_number(tiny_encoder: Path, tiny_causal: Path) -> None:
    encoder, causal = view_of("encoder", tiny_encoder), view_of("causal", tiny_causal)
    with pytest.raises(NotMeasurable, match="no trained classification head"):
        encoder.ask("probabilities", TEXTS)
    with pytest.raises(NotMeasurable, match="kind 'encoder' does not answer it"):
        encoder.ask("log_likelihood", TEXTS)
    with pytest.raises(NotMeasurable, match="has not the content"):
        causal.ask("log_likelihood", [Item(id="a", cluster="a", prompt="x", options=("y",))])
    with pytest.raises(NotMeasurable, match="item 'a' has an empty text"):
        causal.ask("log_likelihood", [Item(id="a", cluster="a", text="")])


# --- adaptation -------------------------------------------------------------------------------------------------------

TRAIN = [
    Item(id=f"i{i}", cluster=f"i{i}", text=text, label=label)
    for i, (text, label) in enumerate(
        [("kind and thorough, thank you", "praise"), ("rude and late, never again", "complaint")] * 12
    )
]
FULL = Full(method="full", epochs=2, batch_size=8, learning_rate=1e-3)
LORA = Peft(method="peft", epochs=2, batch_size=8, learning_rate=1e-2, config={"r": 2})


def adapted(base: Path, method: Head | Full | Peft, folder: Path, kind: str = "encoder", seed: int = 0) -> Path:
    return tiny.trained(base, kind, method, TRAIN, LABELS, folder, seed)


def pair_of(base: Path, folder: Path, kind: str = "encoder") -> Pair:
    readout = READOUT if kind == "causal" else None
    return load_pair(resolve(str(base)), resolve(str(folder)), kind, readout)  # type: ignore[arg-type]


@pytest.mark.parametrize("method", [Head(method="head"), FULL, LORA], ids=["head", "full", "lora"])
def test_the_same_seed_gives_the_same_weights(method: Head | Full | Peft, tiny_encoder: Path, tmp_path: Path) -> None:
    names = ("model.safetensors", "adapter_model.safetensors", "head.safetensors")
    first, second, other = (
        next(load_file(folder / name) for name in names if (folder / name).is_file())
        for folder in (
            adapted(tiny_encoder, method, tmp_path / "a"),
            adapted(tiny_encoder, method, tmp_path / "b"),
            adapted(tiny_encoder, method, tmp_path / "c", seed=1),
        )
    )
    assert all(torch.equal(first[name], second[name]) for name in first)
    if not isinstance(method, Head):  # which draws nothing
        assert not all(torch.equal(first[name], other[name]) for name in first)


@pytest.mark.parametrize("kind", ["encoder", "causal"])
def test_an_adapter_switched_off_is_the_base_bit_for_bit(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    base = request.getfixturevalue(f"tiny_{kind}")
    folder = adapted(base, LORA, tmp_path / "lora", kind)
    pair, alone = pair_of(base, folder, kind), view_of(kind, base)
    question = "log_likelihood" if kind == "causal" else "embedding"
    before = pair.base.ask(question, TEXTS)
    moved = pair.adapted.ask(question, TEXTS)
    assert np.array_equal(before, alone.ask(question, TEXTS))
    assert np.array_equal(pair.base.ask(question, TEXTS), before)  # also after the adapter was on
    assert not np.allclose(moved, before, atol=1e-3)
    assert pair.base.id == alone.id.split("/")[0] or pair.base.id == alone.id
    assert pair.adapted.id != pair.base.id


def test_an_adapter_names_its_base_and_carries_its_labels(tiny_encoder: Path, tmp_path: Path) -> None:
    folder = adapted(tiny_encoder, LORA, tmp_path / "lora")
    config = json.loads((folder / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == str(tiny_encoder)
    assert pair_of(tiny_encoder, folder).adapted.labels == LABELS
    (folder / "config.json").unlink()  # as other trainers leave it
    assert pair_of(tiny_encoder, folder).adapted.labels == ("LABEL_0", "LABEL_1")


def test_new_layers_travel_with_the_adapter(tmp_path: Path) -> None:
    """A base without its pooler: the classifier needs one, so the adapter must bring it, not a random one each time."""
    base = tiny.encoder(tmp_path / "base")
    weights = load_file(base / "model.safetensors")
    save_file(
        {k: v for k, v in weights.items() if not k.startswith("pooler.")}, base / "model.safetensors", {"format": "pt"}
    )
    folder = adapted(base, LORA, tmp_path / "lora")
    first, second = (pair_of(base, folder).adapted.ask("probabilities", TEXTS) for _ in range(2))
    assert np.array_equal(first, second)


def test_a_causal_base_learns_the_completion(tiny_causal: Path, tmp_path: Path) -> None:
    folder = adapted(tiny_causal, LORA, tmp_path / "lora", "causal")
    pair = pair_of(tiny_causal, folder, "causal")
    truth = np.array([LABELS.index(item.label or "") for item in TRAIN])
    assert (pair.adapted.ask("probabilities", TRAIN).argmax(1) == truth).mean() == 1.0


# --- what is refused --------------------------------------------------------------------------------------------------


def copied(folder: Path, target: Path) -> Path:
    shutil.copytree(folder, target)
    return target


def test_a_corrupt_weight_file_is_named(tiny_encoder: Path, tmp_path: Path) -> None:
    folder = copied(tiny_encoder, tmp_path / "corrupt")
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=r"model\.safetensors: not a valid safetensors file"):
        resolve(str(folder))


def test_a_base_without_a_tokenizer_is_named(tiny_encoder: Path, tmp_path: Path) -> None:
    folder = copied(tiny_encoder, tmp_path / "mute")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink(missing_ok=True)
    with pytest.raises(InputError, match="no usable tokenizer"):
        load_base(resolve(str(folder)), "encoder")


def test_pickled_weights_are_not_loaded(tiny_encoder: Path, tmp_path: Path) -> None:
    folder = copied(tiny_encoder, tmp_path / "pickled")
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(InputError, match="no safetensors weights in it; other formats are not loaded"):
        resolve(str(folder))


def test_a_model_that_is_partly_made_up_is_refused(tiny_encoder: Path, tmp_path: Path) -> None:
    folder = copied(tiny_encoder, tmp_path / "holes")
    weights = load_file(folder / "model.safetensors")
    weights.pop("encoder.layer.1.output.dense.weight")
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(InputError, match=r"lacks 1 tensors .*encoder\.layer\.1\.output\.dense\.weight"):
        load_base(resolve(str(folder)), "encoder")


def test_a_config_that_an_adaptation_cannot_explain_is_refused(tiny_encoder: Path, tmp_path: Path) -> None:
    folder = copied(tiny_encoder, tmp_path / "other")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "layer_norm_eps": 1e-5}))
    with pytest.raises(InputError, match=r"layer_norm_eps = 1e-05 where the base .* has 1e-12"):
        pair_of(tiny_encoder, folder)


def test_a_model_is_not_asked_through_a_class_it_was_not_made_for(tiny_encoder: Path, tiny_causal: Path) -> None:
    with pytest.raises(InputError, match="its architecture is BertModel, which is not of kind 'causal'"):
        load_base(resolve(str(tiny_encoder)), "causal")
    with pytest.raises(InputError, match="its architecture is LlamaForCausalLM, which is not of kind 'encoder'"):
        load_base(resolve(str(tiny_causal)), "encoder")


def test_another_vocabulary_is_refused(tiny_encoder: Path, tmp_path: Path) -> None:
    folder = copied(tiny_encoder, tmp_path / "words")
    path = folder / "tokenizer.json"
    path.write_text(path.read_text().replace('"the":', '"thee":'))
    with pytest.raises(InputError, match="its vocabulary is not that of the base"):
        pair_of(tiny_encoder, folder)


def test_an_adapter_that_changes_biases_is_refused(tiny_encoder: Path, tmp_path: Path) -> None:
    folder = adapted(tiny_encoder, LORA, tmp_path / "lora")
    path = folder / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "bias": "all"}))
    with pytest.raises(InputError, match="bias = 'all' changes the base's own weights"):
        pair_of(tiny_encoder, folder)


def test_targets_that_match_nothing_are_named(tiny_encoder: Path, tmp_path: Path) -> None:
    method = Peft(method="peft", config={"target_modules": ["qurey"]})
    with pytest.raises(InputError, match=r"not for BertFor.*target_modules.* query"):
        adapted(tiny_encoder, method, tmp_path / "lora")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("./nothing", "no such folder, GGUF file or Hub id"),
        ("package:nothing/model", "the package 'nothing' is not installed"),
        ("package:audit/nothing", "the package 'audit' has no folder 'nothing'"),
    ],
)
def test_a_base_that_is_not_there_is_named(name: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        resolve(name)


def test_the_hub_without_a_network_is_unavailable() -> None:
    with pytest.raises(Unavailable, match="distilbert/distilbert-base-uncased: the Hub cannot be reached"):
        resolve("distilbert/distilbert-base-uncased")
