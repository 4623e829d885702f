"""The laws of views, for every family of models: the same answers in any company, and nothing but the adaptation."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from audit.errors import InputError
from audit.items import passages
from audit.models.ask import ModelView, Readout
from audit.models.load import load_base, load_pair
from audit.models.source import resolve
from audit.models.weights import model_kind
from audit.view import Item, Kind
from tests import families

TEXTS = list(passages()[::48])
PAIRS = [
    Item(id=f"p{n}", cluster="c", pair=(f"{start} and he went home", f"{start} and she went home again"))
    for n, start in enumerate(item.text[: 20 + 9 * k] for k, item in enumerate(TEXTS[:4]) if item.text)
]
OPTIONS = [
    Item(id=f"o{n}", cluster="c", prompt=(item.text or "")[: 30 + 20 * n], options=(" good", " very bad", " very nice"))
    for n, item in enumerate(TEXTS[:4])
]
READOUT = Readout("This is {text}. It was", ("bad", "very good"))
Asked = dict[str, list[Item]]


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[Item]:
    paths = families.images(tmp_path_factory.mktemp("images"))
    return [Item(id=path.stem, cluster=path.stem, image=str(path)) for path in paths]


Family = tuple[Kind, str, Callable[[Path], Path]]
FAMILIES: list[Family] = [
    *(("encoder", name, make) for name, make in families.MASKED.items()),
    *(("causal", name, make) for name, make in families.CAUSAL.items()),
    *(("sentence_encoder", name, make) for name, make in families.SENTENCE.items()),
    *(("vision", name, make) for name, make in families.VISION.items()),
    *(("clip", name, make) for name, make in families.CLIP.items()),
]
NOT_FOR_LORA = ("resnet", "convnext", "efficientnet", "mamba")  # PEFT finds no linear layer, or refuses


def of(*kinds: Kind, without: tuple[str, ...] = ()) -> pytest.MarkDecorator:
    """Run a test for the families of some kinds."""
    chosen = [one for one in FAMILIES if one[0] in kinds and one[1] not in without]
    return pytest.mark.parametrize("family", chosen, ids=[f"{kind}-{name}" for kind, name, _ in chosen], indirect=True)


every = of("encoder", "causal", "sentence_encoder", "vision", "clip")


@pytest.fixture(scope="module")
def folders() -> dict[str, Path]:
    return {}


@pytest.fixture
def family(
    request: pytest.FixtureRequest, folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Kind, Path]:
    """Kind and folder of a family, made once."""
    kind, name, make = request.param
    if name not in folders:
        folders[name] = make(tmp_path_factory.mktemp(name))
    return kind, folders[name]


def loaded(kind: Kind, folder: Path) -> ModelView:
    return load_base(resolve(str(folder)), kind, READOUT)


def questions(kind: Kind, folder: Path, images: list[Item]) -> list[tuple[str, list[Item]]]:
    """Everything that a model of a kind is asked."""
    if kind == "clip":
        return [("embedding", images), ("embedding", TEXTS), ("probabilities", images), ("logits", images)]
    if kind == "vision":
        headless = "headless" in folder.name
        return [(q, images) for q in ("embedding", "layer_means", *(() if headless else ("probabilities", "logits")))]
    features: list[tuple[str, list[Item]]] = [("embedding", TEXTS), ("embedding", PAIRS), ("layer_means", TEXTS)]
    if kind == "sentence_encoder":
        return features
    if kind == "encoder":
        return [*features, ("pseudo_log_likelihood", TEXTS[:2]), ("pll-unchanged", PAIRS), ("ll-changed", PAIRS)]
    likelihoods = [("log_likelihood", TEXTS), ("log_likelihood", PAIRS), ("probabilities", TEXTS[:4])]
    return [*features, *likelihoods, ("option_log_likelihood", OPTIONS), ("option_token_count", OPTIONS)]


@every
def test_company_does_not_change_an_answer(family: tuple[Kind, Path], images: list[Item]) -> None:
    """Law 5: one at a time or together, in either order, within 1e-5·max(1, |x|)."""
    kind, folder = family
    view = loaded(kind, folder)
    for question, items in questions(kind, folder, images):
        together = view.ask(question, items)
        backwards = view.ask(question, items[::-1])[::-1]
        alone = np.concatenate([view.ask(question, [item]) for item in items])
        for other in (backwards, alone):
            assert np.all(np.abs(together - other) <= 1e-5 * np.maximum(1, np.abs(together))), question
        if question not in ("option_token_count", "probabilities"):
            assert np.ptp(together, axis=0).max() > 1e-3, f"{question}: this model does not look at what it is asked"


@every
def test_a_model_beside_itself_answers_the_same(family: tuple[Kind, Path], images: list[Item]) -> None:
    """Law 1, and law 6 for zero steps: a copy on disk is the same model, to the last bit."""
    kind, folder = family
    pair = load_pair(resolve(str(folder)), resolve(str(folder)), kind, READOUT)
    assert pair.preflight == []
    assert pair.base.id == pair.adapted.id
    for question, items in questions(kind, folder, images):
        assert np.array_equal(pair.base.ask(question, items), pair.adapted.ask(question, items)), question


def adapter_of(kind: Kind, folder: Path, target: Path, *, strength: float) -> Path:
    """Save a LoRA adapter of every linear layer on a model, trained not at all or drawn at random."""
    import transformers
    from peft import LoraConfig, get_peft_model

    architecture = json.loads((folder / "config.json").read_text())["architectures"][0]
    auto: Any = getattr(transformers, architecture)
    torch.manual_seed(0)
    kind_of_task: Any = "CAUSAL_LM" if kind == "causal" else None
    config = LoraConfig(r=2, target_modules="all-linear", fan_in_fan_out="GPT2" in architecture, task_type=kind_of_task)
    model = get_peft_model(auto.from_pretrained(folder, dtype=torch.float32), config)
    for name, tensor in model.named_parameters():
        if "lora_B" in name:
            tensor.data.normal_(0, strength)
    model.save_pretrained(str(target))
    return target


@of("encoder", "causal", "sentence_encoder", "vision", without=NOT_FOR_LORA)
def test_an_adapter_switched_off_is_its_base(family: tuple[Kind, Path], images: list[Item], tmp_path: Path) -> None:
    """Law 6: bit for bit, before and after the adapter was on; an adapter of zeros changes nothing either."""
    kind, folder = family
    alone = loaded(kind, folder)
    for strength in (0.0, 0.5):
        adapter = adapter_of(kind, folder, tmp_path / f"lora-{strength}", strength=strength)
        pair = load_pair(resolve(str(folder)), resolve(str(adapter)), kind, READOUT)
        for question, items in questions(kind, folder, images)[:4]:
            before, with_adapter = alone.ask(question, items), pair.adapted.ask(question, items)
            assert np.array_equal(pair.base.ask(question, items), before), question
            assert np.allclose(with_adapter, before, rtol=1e-5, atol=1e-5) == (strength == 0.0), question


@of("encoder", "causal", "sentence_encoder", "vision", "clip", without=("qwen2",))  # which splits as its class says
def test_another_reading_of_the_same_items_is_refused(family: tuple[Kind, Path], tmp_path: Path) -> None:
    """Law 8: other tokens for the same text, or other pixels for the same image."""
    kind, folder = family
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    if kind in ("vision", "clip"):
        families.rewrite(
            other / "preprocessor_config.json", lambda settings: settings.update(image_mean=[0.1, 0.2, 0.3])
        )
        message = r"its image processor has image_mean = .* where the base's has"
    else:
        path = other / "tokenizer.json"
        families.rewrite(path, lambda tokenizer: tokenizer.update(normalizer=None) if kind != "causal" else
                         tokenizer["pre_tokenizer"].update(add_prefix_space=True))  # fmt: skip
        message = "its tokenizer splits text differently from the base's"
    with pytest.raises(InputError, match=message):
        load_pair(resolve(str(folder)), resolve(str(other)), kind, READOUT)


@every
def test_a_folder_says_what_kind_it_is(family: tuple[Kind, Path]) -> None:
    kind, folder = family
    assert model_kind(folder) == kind
    for other in ("encoder", "causal", "vision", "clip"):
        if other != kind and not (other == "encoder" and kind == "sentence_encoder"):
            with pytest.raises(InputError, match=f"which is not of kind '{other}'"):
                loaded(other, folder)


# --- independent references -------------------------------------------------------------------------------------------


@of("sentence_encoder")
def test_a_sentence_encoder_answers_what_its_library_does(family: tuple[Kind, Path]) -> None:
    from sentence_transformers import SentenceTransformer

    kind, folder = family
    expected = SentenceTransformer(str(folder), device="cpu").encode([item.text or "" for item in TEXTS])
    assert loaded(kind, folder).ask("embedding", TEXTS) == pytest.approx(expected, abs=1e-5)


@of("vision")
def test_a_vision_model_answers_what_its_own_forward_does(family: tuple[Kind, Path], images: list[Item]) -> None:
    from PIL import Image
    from transformers import AutoImageProcessor, AutoModel, AutoModelForImageClassification

    kind, folder = family
    headless = "headless" in folder.name
    processor: Any = AutoImageProcessor.from_pretrained(folder, backend="pil")  # type: ignore[no-untyped-call]
    auto: Any = AutoModel if headless else AutoModelForImageClassification
    model = auto.from_pretrained(folder).eval()
    view = loaded(kind, folder)
    for row, item in enumerate(images):
        with torch.no_grad():
            output = model(
                **processor(Image.open(item.image or "").convert("RGB"), return_tensors="pt"), output_hidden_states=True
            )
        if headless:
            expected, got = output.last_hidden_state[0].mean(0), view.ask("embedding", images)[row]
        else:
            expected, got = output.logits[0], view.ask("logits", images)[row]
        assert got == pytest.approx(expected.numpy(), abs=1e-5)


@of("clip")
def test_a_model_of_images_and_texts_answers_what_its_own_forward_does(
    family: tuple[Kind, Path], images: list[Item]
) -> None:
    from PIL import Image
    from transformers import AutoImageProcessor, AutoModel, AutoTokenizer

    kind, folder = family
    processor: Any = AutoImageProcessor.from_pretrained(folder, backend="pil")  # type: ignore[no-untyped-call]
    model = AutoModel.from_pretrained(folder).eval()
    prompts = [READOUT.prompt.replace("{text}", label) for label in READOUT.labels]
    length = {"padding": "max_length", "max_length": 64} if "siglip" in folder.name else {"padding": True}
    ids = AutoTokenizer.from_pretrained(folder)(prompts, return_tensors="pt", **length)["input_ids"]
    mask = torch.ones_like(ids) if "siglip" in folder.name else (ids != 0).long()
    pixels = processor([Image.open(item.image or "").convert("RGB") for item in images], return_tensors="pt")
    with torch.no_grad():
        output = model(input_ids=ids, attention_mask=mask, **pixels)
    bias = getattr(model, "logit_bias", torch.zeros(1)).detach().numpy()
    assert loaded(kind, folder).ask("logits", images) + bias == pytest.approx(output.logits_per_image.numpy(), abs=1e-4)
