"""A prompt in place of training: what is asked, word for word, and a base that nobody touched."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from transformers import AutoModel, AutoModelForCausalLM, AutoModelForMaskedLM, AutoTokenizer

from audit.adapt import Plan, adapt
from audit.adapt.prompt import drawn_examples
from audit.adapt.soften import soften
from audit.errors import InputError
from audit.models.ask import Readout
from audit.models.cloze import word_tokens
from audit.models.drift import unshared, weight_drift
from audit.models.images import load_processor
from audit.models.lineage import base_of
from audit.models.load import Pair, load_base, load_pair
from audit.models.prompt import TaskPrompt, read_prompt
from audit.models.prompted import PromptedView
from audit.models.source import resolve
from audit.recipe import Prompt, Task
from audit.view import Item, Kind, NotMeasurable
from tests import families

Array = NDArray[np.float64]
LABELS = ("bad", "good")
NAMES = ("dull", "late", "rude", "plain", "kind", "warm", "calm", "bright")
TRAIN = [
    Item(id=f"t{n}", cluster=f"t{n}", text=f"{name} {what}", label=LABELS[n % 2])
    for n, (name, what) in enumerate((name, what) for what in ("work", "food", "place") for name in NAMES)
]
NOTHING = ("N/A", "", "[MASK]")  # Zhao et al., ICML 2021, section 5
KINDS: dict[Kind, Any] = {
    "causal": families.CAUSAL["llama"],
    "encoder": families.MASKED["bert"],
    "sentence_encoder": families.sentence,
    "clip": families.clip,
}


def task(**keys: Any) -> Task:
    return Task(dataset="none", labels=keys.pop("labels", LABELS), **keys)


def prompted(
    base: Path, folder: Path, kind: Kind, train: Sequence[Item] = TRAIN, asked: Task | None = None, seed: int = 0,
    **keys: Any,
) -> Path:  # fmt: skip
    folder.mkdir(parents=True)
    plan = Plan(resolve(str(base)), kind, asked or task(), Prompt(method="prompt", **keys))
    assert adapt(plan, train, seed, folder).parameters == 0
    return folder


def pair_of(base: Path, folder: Path, kind: Kind) -> Pair:
    return load_pair(resolve(str(base)), resolve(str(folder)), kind)


def texts(*said: str) -> list[Item]:
    return [Item(id=f"{n}", cluster=f"{n}", text=text) for n, text in enumerate(said)]


def log_softmax(logits: Array) -> Array:
    shares: Array = torch.from_numpy(logits).log_softmax(-1).numpy()
    return shares


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[Kind, Path]:
    """A base of every kind that reads a prompt."""
    return {kind: make(tmp_path_factory.mktemp(kind)) for kind, make in KINDS.items()}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Item]:
    paths = families.images(tmp_path_factory.mktemp("images"))
    return [Item(id=f"{n}", cluster=f"{n}", image=str(p), label=LABELS[n % 2]) for n, p in enumerate(paths)]


# --- the base ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_no_weight_is_touched(kind: Kind, made: dict[Kind, Path], pictures: list[Item], tmp_path: Path) -> None:
    base, items = made[kind], pictures if kind == "clip" else TRAIN
    before = {path: path.read_bytes() for path in base.rglob("*") if path.is_file()}
    folder = prompted(base, tmp_path / "prompt", kind, items)
    assert [path.name for path in folder.iterdir()] == ["prompt.json"]
    pair = pair_of(base, folder, kind)
    assert isinstance(pair.base, PromptedView)
    assert isinstance(pair.adapted, PromptedView)
    assert pair.adapted.view is pair.base.view  # one network
    model: Any = pair.base.view
    weights = model.model if kind == "clip" else model._network.model
    kept = {name: one.clone() for name, one in weights.state_dict().items()}
    assert not np.allclose(pair.base.ask("probabilities", items), pair.adapted.ask("probabilities", items), atol=1e-4)
    assert np.array_equal(pair.base.ask("embedding", items), pair.adapted.ask("embedding", items))
    assert all(torch.equal(one, kept[name]) for name, one in weights.state_dict().items())
    assert {path: path.read_bytes() for path in base.rglob("*") if path.is_file()} == before
    drift = weight_drift(resolve(str(base)), resolve(str(folder)), kind)
    assert drift
    assert all(one.identical == one.tensors and one.relative == 0 for one in drift)
    assert unshared(resolve(str(base)), resolve(str(folder))) == ([], [])
    assert [row["field"] for row in pair.preflight] == ["weights", "prompt"]
    assert base_of(str(folder)) == str(base)
    with pytest.raises(InputError, match="there is nothing between the two"):
        soften(resolve(str(base)), resolve(str(folder)), 0.5, tmp_path / "soft")


@pytest.mark.parametrize("kind", KINDS)
def test_without_shots_and_calibration_both_sides_are_one(
    kind: Kind, made: dict[Kind, Path], pictures: list[Item], tmp_path: Path
) -> None:
    items = pictures if kind == "clip" else TRAIN
    pair = pair_of(made[kind], prompted(made[kind], tmp_path / "prompt", kind, items, calibrate=False), kind)
    assert pair.base.id == pair.adapted.id
    for question in ("probabilities", "logits"):
        assert np.array_equal(pair.base.ask(question, items), pair.adapted.ask(question, items))


def test_the_prompt_is_in_the_id_and_in_the_files(made: dict[Kind, Path], tmp_path: Path) -> None:
    prompts = [{"shots": 2}, {"shots": 2, "seed": 1}, {"calibrate": False}, {"asked": task(prompt="{text} is a")}]
    folders = [
        prompted(made["causal"], tmp_path / f"{n}", "causal", **keys)  # type: ignore[arg-type]
        for n, keys in enumerate(prompts)
    ]
    assert len({pair_of(made["causal"], folder, "causal").adapted.id for folder in folders}) == 4
    assert len({resolve(str(folder)).sha256 for folder in folders}) == 4
    again = prompted(made["causal"], tmp_path / "again", "causal", shots=2)
    assert (again / "prompt.json").read_bytes() == (folders[0] / "prompt.json").read_bytes()


# --- what is asked ----------------------------------------------------------------------------------------------------


def by_completion(folder: Path, prompt: str, words: Sequence[str]) -> Array:
    """Log-likelihood of each word behind a prompt, token by token, by transformers alone."""
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    sums = []
    for word in words:
        before, whole = (tokenizer(text)["input_ids"] for text in (prompt, f"{prompt} {word}"))
        with torch.no_grad():
            nats = model(input_ids=torch.tensor([whole])).logits[0].double().log_softmax(-1)
        sums.append(sum(float(nats[place - 1, whole[place]]) for place in range(len(before), len(whole))))
    return np.array(sums)


def test_a_causal_base_is_asked_for_the_likelihood_of_each_label(made: dict[Kind, Path], tmp_path: Path) -> None:
    asked = task(prompt="Review: {text}\nIt is", words={"bad": "not good at all"})
    folder = prompted(made["causal"], tmp_path / "prompt", "causal", asked=asked, shots=3, calibrate=False)
    said = json.loads((folder / "prompt.json").read_text())
    words = {"bad": "not good at all", "good": "good"}
    examples = "".join(f"Review: {text}\nIt is {words[label]}\n\n" for text, label in said["examples"])
    assert said["words"] == ["not good at all", "good"]
    assert len(said["examples"]) == 3
    pair = pair_of(made["causal"], folder, "causal")
    for view, before in ((pair.adapted, examples), (pair.base, "")):
        want = by_completion(made["causal"], f"{before}Review: warm soup\nIt is", list(words.values()))
        assert view.ask("logits", texts("warm soup"))[0] == pytest.approx(want, abs=1e-4)
        assert view.ask("probabilities", texts("warm soup"))[0] == pytest.approx(np.exp(log_softmax(want)), abs=1e-5)


def by_cloze(folder: Path, text: str, words: Sequence[str]) -> Array:
    """Log-probability of each word at the one mask, by transformers alone."""
    model, tokenizer = AutoModelForMaskedLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    ids = tokenizer(text, return_tensors="pt")["input_ids"]
    [place] = (ids[0] == tokenizer.mask_token_id).nonzero()[:, 0].tolist()
    with torch.no_grad():
        nats = model(input_ids=ids).logits[0, place].double().log_softmax(-1)
    return np.array([float(nats[tokenizer.convert_tokens_to_ids(word)]) for word in words])


@pytest.mark.parametrize("prompt", ["{text} It was {mask}.", "{mask}: {text}"])
def test_a_masked_base_fills_the_mask(prompt: str, made: dict[Kind, Path], tmp_path: Path) -> None:
    asked = task(prompt=prompt, words={"bad": "late"})
    folder = prompted(made["encoder"], tmp_path / "prompt", "encoder", asked=asked, shots=2, calibrate=False)
    examples = json.loads((folder / "prompt.json").read_text())["examples"]
    words = {"bad": "late", "good": "good"}
    before = "".join(
        prompt.replace("{text}", text).replace("{mask}", words[label]) + "\n\n" for text, label in examples
    )
    pair = pair_of(made["encoder"], folder, "encoder")
    for view, shown in ((pair.adapted, before), (pair.base, "")):
        for text in ("warm soup", "warm [MASK] soup"):  # a mask of the text's own is none
            whole = prompt.replace("{text}", text.replace("[MASK]", "")).replace("{mask}", "[MASK]")
            want = by_cloze(made["encoder"], shown + whole, list(words.values()))
            assert view.ask("logits", texts(text))[0] == pytest.approx(want, abs=1e-4)
    company = texts(*(item.text or "" for item in TRAIN), "warm soup " * 9)
    alone = np.concatenate([pair.adapted.ask("logits", [one]) for one in company])
    assert pair.adapted.ask("logits", company) == pytest.approx(alone, abs=1e-4)


@pytest.mark.parametrize("prompt", ["{text} It was {mask}.", "{mask}: {text}"])
def test_an_example_with_a_mask_of_its_own_is_not_what_is_asked(
    prompt: str, made: dict[Kind, Path], tmp_path: Path
) -> None:
    masked = [item.model_copy(update={"text": f"[MASK] {item.text}"}) for item in TRAIN]
    asked = task(prompt=prompt)
    clean, noisy = (
        prompted(made["encoder"], tmp_path / name, "encoder", train, asked, shots=2, calibrate=False)
        for name, train in (("clean", TRAIN), ("noisy", masked))
    )
    examples = json.loads((noisy / "prompt.json").read_text())["examples"]
    assert [(text.strip(), label) for text, label in examples] == [
        tuple(one) for one in json.loads((clean / "prompt.json").read_text())["examples"]
    ]
    view = pair_of(made["encoder"], clean, "encoder").adapted
    want = view.ask("logits", texts("warm soup"))
    said = json.loads((clean / "prompt.json").read_text())
    said["examples"] = [[f"[MASK] {text}", label] for text, label in said["examples"]]  # of a prompt written elsewhere
    (clean / "prompt.json").write_text(json.dumps(said))
    other = pair_of(made["encoder"], clean, "encoder").adapted
    whole = other.prompt.filled("warm soup", "[MASK]")  # type: ignore[attr-defined]
    assert other.ask("logits", texts("warm soup"))[0] == pytest.approx(
        by_last_mask(made["encoder"], whole, LABELS), abs=1e-4
    )
    assert np.abs(other.ask("logits", texts("warm soup")) - want).max() < 5


def by_last_mask(folder: Path, text: str, words: Sequence[str]) -> Array:
    """Log-probability of each word at the last of several masks, by transformers alone."""
    model, tokenizer = AutoModelForMaskedLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    ids = tokenizer(text, return_tensors="pt")["input_ids"]
    places = (ids[0] == tokenizer.mask_token_id).nonzero()[:, 0].tolist()
    assert len(places) == 3
    with torch.no_grad():
        nats = model(input_ids=ids).logits[0, places[-1]].double().log_softmax(-1)
    return np.array([float(nats[tokenizer.convert_tokens_to_ids(word)]) for word in words])


def test_labels_are_refused_for_how_they_are_said(llama: Path) -> None:
    """Names that begin one another may be said apart; and the other way round."""
    source, prompt = resolve(str(llama)), "{text} It is"
    view = load_base(source, "causal", Readout(prompt, ("good", "good food"), ("the", "and")))
    assert view.labels == ("good", "good food")
    with pytest.raises(InputError, match="the label 'the' begins the label 'the and'"):
        load_base(source, "causal", Readout(prompt, ("bad", "good"), ("the", "the and")))


def test_a_word_behind_a_space_is_another_token_than_one_without(tmp_path: Path) -> None:
    """RoBERTa's tokenizer is byte-level: `` good`` is ``Ġgood``."""
    base = families.causal(tmp_path / "inner", "LlamaConfig", **families.GROUPED)
    tokenizer = AutoTokenizer.from_pretrained(base)
    view = load_base(resolve(str(families.MASKED["bert"](tmp_path / "bert"))), "encoder")
    tokenizer.add_special_tokens({"mask_token": "<mask>"})
    view.tokenizer = tokenizer  # type: ignore[attr-defined]
    found = word_tokens(view, Readout("{text} is {mask}", ("the", "and")), "base")  # type: ignore[arg-type]
    assert tokenizer.convert_ids_to_tokens(found) == ["Ġthe", "Ġand"]


def test_a_sentence_encoder_compares_with_the_names(made: dict[Kind, Path], tmp_path: Path) -> None:
    """The cosines are those of sentence-transformers."""
    from sentence_transformers import SentenceTransformer

    asked = task(prompt="it was {label}", words={"good": "very good"})
    folder = prompted(made["sentence_encoder"], tmp_path / "prompt", "sentence_encoder", asked=asked, calibrate=False)
    view = pair_of(made["sentence_encoder"], folder, "sentence_encoder").adapted
    model = SentenceTransformer(str(made["sentence_encoder"]), device="cpu")
    ours, names = (model.encode(some) for some in (["warm soup", "rude"], ["it was bad", "it was very good"]))
    want = model.similarity(ours, names).numpy() / 0.05
    assert view.ask("logits", texts("warm soup", "rude")) == pytest.approx(want, abs=1e-3)


def test_a_model_of_images_and_texts_answers_as_transformers_does(
    made: dict[Kind, Path], pictures: list[Item], tmp_path: Path
) -> None:
    from PIL import Image

    folder = prompted(made["clip"], tmp_path / "prompt", "clip", pictures, calibrate=False)
    said = pair_of(made["clip"], folder, "clip").adapted.ask("probabilities", pictures)
    model, tokenizer = AutoModel.from_pretrained(made["clip"]), AutoTokenizer.from_pretrained(made["clip"])
    pixels = load_processor(resolve(str(made["clip"])))(
        images=[Image.open(item.image or "").convert("RGB") for item in pictures], return_tensors="pt"
    )["pixel_values"]
    named = tokenizer([f"a photo of a {label}." for label in LABELS], padding=True, return_tensors="pt")
    with torch.no_grad():
        logits = model(pixel_values=pixels, **{k: named[k] for k in ("input_ids", "attention_mask")}).logits_per_image
    assert said == pytest.approx(logits.softmax(-1).numpy(), abs=1e-4)


# --- calibration ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "shots"), [("causal", 2), ("encoder", 2), ("sentence_encoder", 0)])
def test_calibrated_a_text_that_says_nothing_gets_equal_shares(
    kind: Kind, shots: int, made: dict[Kind, Path], tmp_path: Path
) -> None:
    """W = diag(p_cf)^-1 with p_cf the mean over the content-free inputs (Zhao et al., ICML 2021, equation 2)."""
    plain, calibrated = (
        pair_of(made[kind], prompted(made[kind], tmp_path / f"{on}", kind, shots=shots, calibrate=on), kind).adapted
        for on in (False, True)
    )
    nothing = NOTHING[:2] if kind == "encoder" else NOTHING  # without its mask, "[MASK]" is "": it counts once
    free = plain.ask("probabilities", texts(*nothing)).mean(axis=0)
    shares = plain.ask("probabilities", TRAIN) / free
    want = shares / shares.sum(axis=1, keepdims=True)
    assert calibrated.ask("probabilities", TRAIN) == pytest.approx(want, abs=1e-6)
    one = texts("N/A")
    alone = replace(calibrated.prompt, prior=tuple(np.log(plain.ask("probabilities", one)[0])))  # type: ignore[attr-defined]
    view = PromptedView(calibrated.view, alone)  # type: ignore[attr-defined]
    assert view.ask("probabilities", one)[0] == pytest.approx([0.5, 0.5], abs=1e-9)


def test_calibrated_images_have_equal_shares_on_the_whole(
    made: dict[Kind, Path], pictures: list[Item], tmp_path: Path
) -> None:
    """Batch calibration (Zhou et al., ICLR 2024, equation 3): the prior is the mean probability over the images."""
    pair = pair_of(made["clip"], prompted(made["clip"], tmp_path / "prompt", "clip", pictures), "clip")
    plain = pair.base.ask("probabilities", pictures)
    shares = plain / plain.mean(axis=0)
    want = shares / shares.sum(axis=1, keepdims=True)
    assert pair.adapted.ask("probabilities", pictures) == pytest.approx(want, abs=1e-6)


def test_a_label_that_always_wins_wins_no_more_once_calibrated(made: dict[Kind, Path], tmp_path: Path) -> None:
    """The head's bias of one label's token is raised by 9 nats, whatever is read."""
    base = tmp_path / "biased"
    shutil.copytree(made["encoder"], base)
    tensors = load_file(base / "model.safetensors")
    token = AutoTokenizer.from_pretrained(base).convert_tokens_to_ids("good")
    tensors["cls.predictions.bias"][token] += 9
    save_file(tensors, base / "model.safetensors", {"format": "pt"})
    pair = pair_of(base, prompted(base, tmp_path / "prompt", "encoder"), "encoder")
    assert pair.base.ask("probabilities", TRAIN).argmax(axis=1).tolist() == [1] * len(TRAIN)
    fair = pair_of(made["encoder"], prompted(made["encoder"], tmp_path / "fair", "encoder"), "encoder").adapted
    said = pair.adapted.ask("probabilities", TRAIN)
    assert 0 < said.argmax(axis=1).mean() < 1
    assert np.abs(said - fair.ask("probabilities", TRAIN)).max() < 0.3


# --- examples ---------------------------------------------------------------------------------------------------------

ASKED = TaskPrompt("causal", "{text} is", ("a", "b", "c"), (), (), (), 100, "base", None, "")
MANY = [Item(id=f"{n}", cluster=f"{n}", text="w " * (n % 11) + str(n), label="abc"[n % 3]) for n in range(90)]


def words(text: str) -> int:
    return len(text.split())


def test_examples_are_balanced_short_and_drawn_by_the_seed() -> None:
    told = {(item.text, item.label) for item in MANY}
    firsts, favoured = set(), set()
    for seed in range(12):
        drawn = drawn_examples(MANY, ASKED, 7, seed, words, 100)
        assert drawn == drawn_examples(list(MANY), ASKED, 7, seed, words, 100)
        counts = [sum(label == one for _, label in drawn) for one in "abc"]
        assert sorted(counts) == [2, 2, 3]
        assert set(drawn) <= told
        assert len(set(drawn)) == 7
        assert all(words(ASKED.example(*one)) <= 50 // 7 for one in drawn)
        firsts.add(drawn[0][1])
        favoured.add("abc"[counts.index(3)])
    assert firsts == favoured == set("abc")  # no label is always the first, or the one with one more
    assert len({drawn_examples(MANY, ASKED, 7, seed, words, 100) for seed in range(12)}) == 12


def test_too_few_short_texts_is_one_line() -> None:
    said = r"shots = 30: of the label 'a' 0 training texts fit into 1 tokens each, and 10 are needed; take fewer shots"
    with pytest.raises(InputError, match=said):
        drawn_examples(MANY, ASKED, 30, 0, words, 60)


@pytest.mark.parametrize("kind", ["causal", "encoder"])
def test_a_long_text_is_cut_and_the_examples_stay(kind: Kind, made: dict[Kind, Path], tmp_path: Path) -> None:
    view: Any = pair_of(made[kind], prompted(made[kind], tmp_path / "p", kind, shots=2, max_length=80), kind).adapted
    long, kept = "warm soup " * 200, view._cut("warm soup " * 200)
    assert long.startswith(kept)
    assert kept != long
    assert view.fits(kept)
    assert not view.fits(long[: len(kept) + 10])
    assert np.array_equal(view.ask("logits", texts(long)), view.ask("logits", texts(kept)))
    said = view.treatment("probabilities", texts(long, "warm soup"))
    assert said == "1 of 2 texts did not fit beside the 2 examples of the prompt into 80 tokens: their end was cut off."
    assert view.treatment("probabilities", texts("warm soup")) == ""


# --- a backbone of its own --------------------------------------------------------------------------------------------


def test_a_prompt_on_a_pretrained_backbone_brings_it_along(made: dict[Kind, Path], tmp_path: Path) -> None:
    domain, folder = tmp_path / "domain", tmp_path / "prompt"
    shutil.copytree(made["causal"], domain)
    tensors = load_file(domain / "model.safetensors")
    tensors["model.layers.1.mlp.down_proj.weight"] *= -1
    save_file(tensors, domain / "model.safetensors", {"format": "pt"})
    folder.mkdir()
    method = Prompt(method="prompt", calibrate=False)
    base = resolve(str(made["causal"]))
    adapt(Plan(base, "causal", task(prompt="{text} is"), method, start=resolve(str(domain))), TRAIN, 0, folder)
    pair = pair_of(made["causal"], folder, "causal")
    for view, model in ((pair.base, made["causal"]), (pair.adapted, domain)):
        want = by_completion(model, "warm soup is", LABELS)
        assert view.ask("logits", texts("warm soup"))[0] == pytest.approx(want, abs=1e-4)
    assert [one.layer for one in weight_drift(base, resolve(str(folder)), "causal") if one.relative] == ["layer 1"]


# --- refused ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "keys", "said"),
    [
        ("sentence_encoder", {"shots": 2}, r"shots = 2: a base of kind 'sentence_encoder' compares with the names"),
        ("clip", {"shots": 2}, r"shots = 2: a base of kind 'clip' compares with the names"),
        (
            "encoder",
            {"asked": task(words={"bad": "utterly dreadful"})},
            r"the label 'bad' is said 'utterly dreadful', which is \d+ tokens of .* \(\S+, .*\); a mask holds one",
        ),
        ("encoder", {"asked": task(words={"bad": "☃"})}, r"'bad' is said '☃', which is not in the vocabulary of"),
        ("encoder", {"asked": task(words={"bad": "good"})}, r"which is the token 'good' of .*, as is the label 'bad'"),
        ("causal", {"asked": task(words={"bad": "good indeed"})}, r"'good' begins the label 'good indeed'"),
    ],
    ids=["sentence", "clip", "pieces", "unknown", "same", "begins"],
)
def test_what_cannot_be_asked_is_one_line(
    kind: Kind, keys: Any, said: str, made: dict[Kind, Path], pictures: list[Item], tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=said) as caught:
        prompted(made[kind], tmp_path / "prompt", kind, pictures if kind == "clip" else TRAIN, **keys)
    assert "\n" not in str(caught.value)


def test_an_encoder_without_a_masked_head_reads_no_prompt(tiny_encoder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"it has no masked language-model head, so that no prompt can be asked"):
        prompted(tiny_encoder, tmp_path / "prompt", "encoder")


def test_texts_are_no_images(made: dict[Kind, Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a base of kind 'clip' is asked about images; the task has none"):
        prompted(made["clip"], tmp_path / "prompt", "clip")


def test_a_prompt_is_asked_of_its_own_base_alone(made: dict[Kind, Path], llama: Path, tmp_path: Path) -> None:
    folder = prompted(made["encoder"], tmp_path / "prompt", "encoder")
    with pytest.raises(InputError, match="a head or a prompt is no base by itself"):
        load_base(resolve(str(folder)), "encoder")
    with pytest.raises(InputError, match=r"a prompt for a base of kind 'encoder', not 'causal'"):
        pair_of(llama, folder, "causal")
    families.rewrite(folder / "prompt.json", lambda said: said.update(base_sha256="0" * 64))
    with pytest.raises(InputError, match=r"it was made for the base .* \(its files hash to 000000000000…\), not for"):
        pair_of(made["encoder"], folder, "encoder")


@pytest.mark.parametrize(
    "edit",
    [
        lambda said: said.update(version=2),
        lambda said: said.update(prior=[0.0]),
        lambda said: said.update(prior=[0.0, "x"]),
        lambda said: said.update(labels=["bad"]),
        lambda said: said.update(examples=[["text", "other"]]),
        lambda said: said.update(prompt="no slot"),
        lambda said: said.update(more=1),
        lambda said: said.pop("kind"),
    ],
)
def test_a_broken_prompt_is_refused(edit: Any, made: dict[Kind, Path], tmp_path: Path) -> None:
    folder = prompted(made["encoder"], tmp_path / "prompt", "encoder")
    families.rewrite(folder / "prompt.json", edit)
    with pytest.raises(InputError):
        read_prompt(resolve(str(folder)))


def test_other_questions_pass_through_with_their_refusals(made: dict[Kind, Path], tmp_path: Path) -> None:
    view = pair_of(made["encoder"], prompted(made["encoder"], tmp_path / "p", "encoder"), "encoder").adapted
    assert view.ask("pseudo_log_likelihood", TRAIN[:2]).shape == (2,)
    with pytest.raises(NotMeasurable, match="a model of kind 'encoder' does not answer it"):
        view.ask("log_likelihood", TRAIN[:2])
    pairs = [Item(id="p", cluster="p", pair=("warm soup", "rude"))]
    assert view.ask("logits", pairs)[0] == pytest.approx(view.ask("logits", texts("warm soup", "rude")), abs=1e-5)
