"""Between base and adapted: exact at both ends, linear between them, and refused where there is nothing between."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from audit.adapt.soften import soften
from audit.errors import InputError
from audit.models.ask import Readout
from audit.models.load import load_pair
from audit.models.source import Source, file_hashes, resolve
from audit.recipe import Full, Head, Peft
from audit.view import Item
from tests import families, tiny

WORDS = ("kind", "late", "prompt", "rude", "thorough", "slow", "clean", "loud")
ITEMS = [
    Item(id=f"t{i}", cluster=f"t{i}", text=f"The {WORDS[i % 8]} clerk was {WORDS[i // 8]}.", label="ab"[i % 2])
    for i in range(32)
]
READOUT = Readout("{text} It is", ("a", "b"))
FULL = Full(method="full", epochs=2, batch_size=8, learning_rate=1e-3, max_length=32)
LORA = Peft(method="peft", epochs=4, batch_size=8, learning_rate=1e-2, max_length=32, config={"r": 4})
HEAD = Head(method="head", max_length=32)


def made(base: Path, kind: Any, method: Any, folder: Path) -> tuple[Source, Source]:
    return resolve(str(base)), at(tiny.trained(base, kind, method, ITEMS, READOUT.labels, folder))


def at(folder: Path) -> Source:
    return Source(folder.name, None, folder, file_hashes(folder), None)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return {name: tensor for file in sorted(folder.glob("*.safetensors")) for name, tensor in load_file(file).items()}


@pytest.fixture(scope="module")
def full(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Source, Source]:
    """An encoder that was saved without a head, fully fine-tuned to a classifier."""
    return made(tiny_encoder, "encoder", FULL, tmp_path_factory.mktemp("full") / "adapted")


@pytest.fixture(scope="module")
def lora(llama: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Source, Source]:
    """A causal base under a LoRA."""
    return made(llama, "causal", LORA, tmp_path_factory.mktemp("lora") / "adapted")


def edited(pair: tuple[Source, Source], folder: Path, edit: Callable[[dict[str, torch.Tensor]], Any]) -> Source:
    """A copy of the adapted model whose file of weights was edited."""
    shutil.copytree(pair[1].folder, folder)
    file = next(folder.glob("*.safetensors"))
    tensors = load_file(file)
    edit(tensors)
    save_file(tensors, file, metadata={"format": "pt"})
    return at(folder)


# --- a checkpoint -----------------------------------------------------------------------------------------------------


def test_the_ends_are_base_and_adapted_bit_for_bit(full: tuple[Source, Source], tmp_path: Path) -> None:
    base, adapted = full
    ours, theirs = weights(base.folder), weights(adapted.folder)
    start, end = (weights(soften(*full, alpha, tmp_path / f"{alpha}")) for alpha in (0, 1))
    assert start.keys() == end.keys() == theirs.keys()
    for name, tensor in theirs.items():
        assert torch.equal(end[name], tensor), name
        bare = name.removeprefix("bert.")
        assert torch.equal(start[name], ours.get(bare, tensor)), name
    assert {name for name in theirs if name.removeprefix("bert.") not in ours} == {
        "classifier.weight",
        "classifier.bias",
    }


@pytest.mark.parametrize("alpha", [0.1, 0.5, 0.6])
def test_the_distance_is_linear_in_the_strength(full: tuple[Source, Source], tmp_path: Path, alpha: float) -> None:
    """WiSE-FT's own definition: theta(a) - theta_0 = a (theta_1 - theta_0), so the distance is a times the whole."""
    ours, theirs = weights(full[0].folder), weights(full[1].folder)
    soft = weights(soften(*full, alpha, tmp_path / "soft"))
    for bare, tensor in ours.items():
        name = f"bert.{bare}"
        expected = (1 - alpha) * tensor.double() + alpha * theirs[name].double()
        assert torch.allclose(soft[name].double(), expected, rtol=0, atol=1e-7)
        whole, part = ((one[name].double() - tensor.double()).norm().item() for one in (theirs, soft))
        assert part == pytest.approx(alpha * whole, rel=1e-4, abs=1e-7)
    assert torch.equal(soft["classifier.weight"], theirs["classifier.weight"])


def test_what_was_frozen_stays_bit_for_bit(full: tuple[Source, Source], tmp_path: Path) -> None:
    """(1 - a) x + a x is not always x in float32; the base's own tensors must be."""
    ours = weights(full[0].folder)
    name = "embeddings.word_embeddings.weight"
    adapted = edited(full, tmp_path / "frozen", lambda tensors: tensors.update({f"bert.{name}": ours[name]}))
    for alpha in (0.1, 0.3, 0.7):
        assert torch.equal(weights(soften(full[0], adapted, alpha, tmp_path / f"{alpha}"))[f"bert.{name}"], ours[name])


def test_a_softened_model_says_what_it_is(full: tuple[Source, Source], tmp_path: Path) -> None:
    folder = soften(*full, 0.3, tmp_path / "soft")
    said = json.loads((folder / "softened.json").read_text())
    assert (said["alpha"], said["base"]) == (0.3, full[0].id)
    assert not (folder / "seconds").exists()  # how long the stage took that made the other


def test_a_ruined_model_at_0_is_the_base(full: tuple[Source, Source], tmp_path: Path) -> None:
    """0 x infinity is no number: the ends are copied, not computed."""
    name = "embeddings.LayerNorm.weight"
    adapted = edited(full, tmp_path / "ruined", lambda tensors: tensors[f"bert.{name}"].fill_(torch.inf))
    soft = weights(soften(full[0], adapted, 0, tmp_path / "soft"))
    assert torch.equal(soft[f"bert.{name}"], weights(full[0].folder)[name])


def test_half_precision_is_computed_in_float32(full: tuple[Source, Source], tmp_path: Path) -> None:
    def rounded(tensors: dict[str, torch.Tensor]) -> None:
        tensors.update({name: tensor.bfloat16() for name, tensor in tensors.items()})

    adapted = edited(full, tmp_path / "half", rounded)
    soft, ours = weights(soften(full[0], adapted, 0.3, tmp_path / "soft")), weights(full[0].folder)
    for bare, tensor in ours.items():
        theirs = weights(adapted.folder)[f"bert.{bare}"]
        assert torch.equal(soft[f"bert.{bare}"], torch.lerp(tensor, theirs.float(), 0.3))  # as fine as the base's file
    at_base = weights(soften(full[0], adapted, 0, tmp_path / "base"))
    assert all(torch.equal(at_base[f"bert.{bare}"], tensor) for bare, tensor in ours.items())


def test_shards_are_read_and_written_one_by_one(full: tuple[Source, Source], tmp_path: Path) -> None:
    from transformers import AutoModel, AutoModelForSequenceClassification

    parts = tmp_path / "base", tmp_path / "adapted"
    for source, folder, auto in zip(full, parts, (AutoModel, AutoModelForSequenceClassification), strict=True):
        shutil.copytree(source.folder, folder, ignore=shutil.ignore_patterns("*.safetensors"))
        auto.from_pretrained(source.folder).save_pretrained(
            folder, max_shard_size="60KB" if auto is AutoModel else "90KB"
        )
        assert len(list(folder.glob("*.safetensors"))) > 2
    whole = weights(soften(*full, 0.3, tmp_path / "whole"))
    soft = soften(at(parts[0]), at(parts[1]), 0.3, tmp_path / "soft")
    assert {path.name for path in soft.iterdir()} == {path.name for path in parts[1].iterdir()} | {"softened.json"}
    assert weights(soft).keys() == whole.keys()
    assert all(torch.equal(tensor, whole[name]) for name, tensor in weights(soft).items())


def test_weights_that_are_saved_twice_stay_tied(llama: Path, tmp_path: Path) -> None:
    """A base with tied embeddings saves them once; where the adapted file holds both, both are interpolated."""
    from transformers import AutoModelForCausalLM

    base, adapted = tmp_path / "base", tmp_path / "adapted"
    for folder, shift in ((base, 0.0), (adapted, 0.01)):
        shutil.copytree(llama, folder)
        model = AutoModelForCausalLM.from_pretrained(llama)
        model.config.tie_word_embeddings = True
        model.tie_weights()
        with torch.no_grad():
            model.model.embed_tokens.weight += shift
        model.save_pretrained(folder)
    file = adapted / "model.safetensors"
    tensors = load_file(file)
    tied = tensors["model.embed_tokens.weight"]
    save_file({**tensors, "lm_head.weight": tied.clone()}, file, metadata={"format": "pt"})
    assert "lm_head.weight" not in weights(base)
    soft = weights(soften(at(base), at(adapted), 0.5, tmp_path / "soft"))
    assert torch.equal(soft["lm_head.weight"], soft["model.embed_tokens.weight"])
    assert not torch.equal(soft["lm_head.weight"], tied)


def test_a_sentence_encoder_keeps_its_modules(tmp_path: Path) -> None:
    """Two dense layers call their tensors alike."""
    pytest.importorskip("sentence_transformers")
    base = families.sentence(tmp_path / "base", dense=16)
    modules = json.loads((base / "modules.json").read_text())
    inner = next(path.parent.name for path in base.glob("*/model.safetensors") if "Dense" in path.parent.name)
    (base / "modules.json").write_text(json.dumps([*modules, {**modules[-1], "path": "9_Dense"}]))
    shutil.copytree(base / inner, base / "9_Dense")
    shifted(base / "9_Dense", 5)
    adapted = tmp_path / "adapted"
    shutil.copytree(base, adapted)
    for place in (".", inner, "9_Dense"):
        shifted(adapted / place, 1)
    soft = soften(at(base), at(adapted), 0.5, tmp_path / "soft")
    for place in (".", inner, "9_Dense"):
        for name, tensor in weights(base / place).items():
            assert torch.allclose(weights(soft / place)[name], tensor + 0.5, atol=1e-6), name
    assert json.loads((soft / "modules.json").read_text()) == json.loads((base / "modules.json").read_text())
    assert file_hashes(soft).keys() == file_hashes(base).keys() | {"softened.json"}


def shifted(folder: Path, shift: float) -> None:
    """Add a number to every tensor of a file."""
    tensors = {name: tensor + shift for name, tensor in load_file(folder / "model.safetensors").items()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def test_a_dense_layer_that_only_the_base_has_asks_for_nothing(tmp_path: Path) -> None:
    """A classifier made of a sentence encoder keeps its transformer, and not what came behind."""
    base = families.sentence(tmp_path / "base", dense=16)
    adapted = tmp_path / "adapted"
    shutil.copytree(base, adapted, ignore=shutil.ignore_patterns("[0-9]_*", "modules.json"))
    shifted(adapted, 1)
    soft = weights(soften(at(base), at(adapted), 0.5, tmp_path / "soft"))
    assert all(torch.allclose(soft[name], tensor + 0.5, atol=1e-6) for name, tensor in weights(base).items())


def test_a_pooler_that_one_side_lacks_asks_for_nothing(full: tuple[Source, Source], tmp_path: Path) -> None:
    def without(tensors: dict[str, torch.Tensor]) -> None:
        for name in [name for name in tensors if "pooler" in name]:
            del tensors[name]

    adapted = edited(full, tmp_path / "adapted", without)
    assert weights(soften(full[0], adapted, 0.5, tmp_path / "soft")).keys() == weights(adapted.folder).keys()


def test_a_head_beside_a_body_without_its_prefix_is_the_same_head(llama: Path, tmp_path: Path) -> None:
    base, adapted = tmp_path / "base", tmp_path / "adapted"
    own = weights(llama)
    for folder, tensors in (
        (base, {name.removeprefix("model."): tensor for name, tensor in own.items()}),
        (adapted, {name: tensor + 1 for name, tensor in own.items()}),
    ):
        shutil.copytree(llama, folder)
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    soft = weights(soften(at(base), at(adapted), 0, tmp_path / "soft"))
    assert soft.keys() == own.keys()
    assert all(torch.equal(soft[name], tensor) for name, tensor in own.items())


def test_all_but_weights_is_copied(full: tuple[Source, Source], tmp_path: Path) -> None:
    copy = tmp_path / "adapted"
    shutil.copytree(full[1].folder, copy)
    (copy / "notes.txt").write_text("kept")
    (copy / "pytorch_model.bin").write_text("the adapted model at full strength")
    (copy / "checkpoint-3").mkdir()
    soft = soften(full[0], at(copy), 0.5, tmp_path / "out" / "soft")
    assert (soft / "notes.txt").read_text() == "kept"
    assert (soft / "config.json").read_bytes() == (copy / "config.json").read_bytes()
    assert not (soft / "pytorch_model.bin").exists()
    assert not (soft / "checkpoint-3").exists()


# --- an adapter -------------------------------------------------------------------------------------------------------


def test_a_lora_at_0_is_the_base_and_at_1_the_adapter(lora: tuple[Source, Source], tmp_path: Path) -> None:
    base, adapted = lora
    whole, start, end = (
        load_pair(base, one, "causal", READOUT).adapted.ask("option_log_likelihood", ASKED)
        for one in (adapted, *(at(soften(*lora, alpha, tmp_path / f"{alpha}")) for alpha in (0, 1)))
    )
    own = load_pair(base, adapted, "causal", READOUT).base.ask("option_log_likelihood", ASKED)
    assert (start == own).all()
    assert (end == whole).all()
    assert abs(whole - own).max() > 1e-3


ASKED = [Item(id="q", cluster="q", prompt="The clerk was", options=(" kind", " late", " slow"))]


def test_the_update_of_a_lora_is_scaled(lora: tuple[Source, Source], tmp_path: Path) -> None:
    theirs, soft = weights(lora[1].folder), weights(soften(*lora, 0.25, tmp_path / "soft"))
    scaled = [name for name in theirs if "lora_B" in name]
    assert scaled
    for name, tensor in theirs.items():
        assert torch.equal(soft[name], tensor * 0.25 if name in scaled else tensor), name
    assert (tmp_path / "soft" / "adapter_config.json").read_bytes() == (
        lora[1].folder / "adapter_config.json"
    ).read_bytes()


def test_a_module_that_an_adapter_brings_whole(tiny_encoder: Path, tmp_path: Path) -> None:
    """Its head stays; a module that the base has, too, is interpolated, so that 0 is the base."""
    pair = made(tiny_encoder, "encoder", LORA, tmp_path / "adapted")
    theirs = weights(pair[1].folder)
    head, pooler = (
        {name for name in theirs if part in name and "lora" not in name} for part in ("classifier", "pooler")
    )
    assert head
    assert not pooler
    own = weights(tiny_encoder)["embeddings.LayerNorm.weight"]
    name = "base_model.model.bert.embeddings.LayerNorm.weight"
    adapted = edited(pair, tmp_path / "whole", lambda tensors: tensors.update({name: own + 1}))
    config = json.loads((adapted.folder / "adapter_config.json").read_text())
    config["modules_to_save"].append("LayerNorm")
    (adapted.folder / "adapter_config.json").write_text(json.dumps(config))
    soft = [weights(soften(pair[0], adapted, alpha, tmp_path / f"{alpha}")) for alpha in (0, 0.5)]
    assert all(torch.equal(soft[0][one], theirs[one]) for one in head)
    assert torch.equal(soft[0][name], own)
    assert torch.allclose(soft[1][name], own + 0.5, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"peft_type": "LOHA"}, "an adapter of type LOHA; only a LoRA's update can be scaled; merge it"),
        ({"use_dora": True}, "a LoRA with use_dora is not linear in its strength"),
        ({"bias": "all"}, "a LoRA with bias = 'all' changes the base's own weights"),
        ({"init_lora_weights": "pissa_niter_4"}, "init_lora_weights = 'pissa_niter_4' changes the base's own weights"),
    ],
)
def test_other_adapters_are_refused(
    lora: tuple[Source, Source], tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    shutil.copytree(lora[1].folder, tmp_path / "other")
    path = tmp_path / "other" / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(InputError, match=said):
        soften(lora[0], at(tmp_path / "other"), 0.5, tmp_path / "soft")
    assert not (tmp_path / "soft").exists()


def test_a_tensor_beside_the_lora_is_refused(lora: tuple[Source, Source], tmp_path: Path) -> None:
    name = "base_model.model.model.embed_tokens.weight"
    adapted = edited(lora, tmp_path / "other", lambda tensors: tensors.update({name: torch.zeros(3, 32)}))
    with pytest.raises(InputError, match=f"holds '{name}', which is no part of a plain LoRA"):
        soften(lora[0], adapted, 0.5, tmp_path / "soft")


# --- refused ----------------------------------------------------------------------------------------------------------


def test_a_head_on_a_frozen_base_leaves_nothing_between(tiny_encoder: Path, tmp_path: Path) -> None:
    pair = made(tiny_encoder, "encoder", HEAD, tmp_path / "adapted")
    with pytest.raises(InputError, match=r"every tensor that it shares with the base .* is the base's own"):
        soften(*pair, 0.5, tmp_path / "soft")
    assert [path.name for path in tmp_path.iterdir()] == ["adapted"]


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (
            lambda tensors: tensors.update({"bert.embeddings.word_embeddings.weight": torch.zeros(9, 32)}),
            r"'bert.embeddings.word_embeddings.weight' has shape \[9, 32\], in the base .* \(did the vocabulary grow",
        ),
        (
            lambda tensors: tensors.pop("bert.encoder.layer.1.output.dense.weight"),
            "adapted2: has no tensor 'encoder.layer.1.output.dense.weight', which .*encoder.* has",
        ),
        (
            lambda tensors: tensors.update({"bert.encoder.layer.2.output.dense.weight": torch.zeros(2, 2)}),
            "has no tensor 'encoder.layer.2.output.dense.weight', which adapted2 has",
        ),
    ],
)
def test_models_of_other_tensors_are_refused(
    full: tuple[Source, Source], tmp_path: Path, edit: Callable[[dict[str, torch.Tensor]], Any], said: str
) -> None:
    adapted = edited(full, tmp_path / "adapted2", edit)
    with pytest.raises(InputError, match=said):
        soften(full[0], adapted, 0.5, tmp_path / "soft")
    assert [path.name for path in tmp_path.iterdir()] == ["adapted2"]


@pytest.mark.parametrize("alpha", [-0.1, 1.1, float("nan")])
def test_nothing_is_extrapolated(full: tuple[Source, Source], tmp_path: Path, alpha: float) -> None:
    with pytest.raises(InputError, match="a strength lies between 0"):
        soften(*full, alpha, tmp_path / "soft")


def test_a_folder_that_exists_is_left_alone(full: tuple[Source, Source], tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("mine")
    with pytest.raises(InputError, match="exists already; choose another folder"):
        soften(*full, 0.5, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_quantised_weights_are_refused(full: tuple[Source, Source], tmp_path: Path) -> None:
    shutil.copytree(full[1].folder, tmp_path / "packed")
    config = tmp_path / "packed" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"quantization_config": {"quant_method": "x"}}))
    with pytest.raises(InputError, match="its weights are quantised"):
        soften(full[0], at(tmp_path / "packed"), 0.5, tmp_path / "soft")
