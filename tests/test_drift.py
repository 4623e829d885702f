"""Drift of weights: what is frozen is equal, and what moved moved by what was planted."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from audit.errors import InputError
from audit.models.ask import Readout
from audit.models.drift import unshared, weight_drift
from audit.models.source import resolve
from audit.recipe import Full, Peft
from audit.retention import WeightDrift
from audit.view import Item, Kind, NotMeasurable
from tests import families, tiny

Weights = dict[str, torch.Tensor]
READOUT = Readout("Feedback: {text}\nThis is", ("complaint", "praise"))
TRAIN = [
    Item(id=f"i{i}", cluster=f"i{i}", text=text, label=label)
    for i, (text, label) in enumerate([("kind, thank you", "praise"), ("rude and late", "complaint")] * 8)
]


def drift(base: Path | str, adapted: Path | str, kind: Kind = "encoder") -> dict[str, WeightDrift]:
    return {one.layer: one for one in weight_drift(resolve(str(base)), resolve(str(adapted)), kind)}


def changed(base: Path, folder: Path, change: Callable[[Weights], object], file: str = "model.safetensors") -> Path:
    """Copy a model and change its tensors."""
    shutil.copytree(base, folder)
    weights = load_file(folder / file)
    change(weights)
    save_file({name: one.contiguous() for name, one in weights.items()}, folder / file, metadata={"format": "pt"})
    return folder


def still(found: dict[str, WeightDrift]) -> bool:
    return all(one.identical == one.tensors and one.relative == one.changed == 0 for one in found.values())


# --- full checkpoints -------------------------------------------------------------------------------------------------

EVERY: dict[str, tuple[Kind, Callable[[Path], Path]]] = {
    **{name: ("encoder", make) for name, make in families.MASKED.items()},
    **{name: ("causal", make) for name, make in families.CAUSAL.items()},
    **{name: ("sentence_encoder", make) for name, make in families.SENTENCE.items()},
    **{name: ("vision", make) for name, make in families.VISION.items()},
    **{name: ("clip", make) for name, make in families.CLIP.items()},
}


@pytest.mark.parametrize("family", EVERY)
def test_a_model_has_not_moved_from_itself_layer_by_layer(family: str, tmp_path: Path) -> None:
    """Every tensor of the file is found in one layer, once; layers are numbered from 0 as the config counts them."""
    kind, make = EVERY[family]
    folder = make(tmp_path / "base")
    found = drift(folder, folder, kind)
    assert still(found)
    stored = load_file(folder / "model.safetensors")
    dense = 2 if family == "max-dense" else 0
    assert sum(one.tensors for one in found.values()) == sum(one.is_floating_point() for one in stored.values()) + dense
    assert unshared(resolve(str(folder)), resolve(str(folder))) == ([], [])
    layers = [name for name in found if "layer" in name]
    assert layers == {
        "clip": ["vision layer 0", "vision layer 1", "text layer 0", "text layer 1"],
        "siglip": ["vision layer 0", "vision layer 1", "text layer 0", "text layer 1"],
        "resnet": ["layer 0.0", "layer 1.0"],
        "convnext": ["layer 0.0", "layer 1", "layer 1.0"],  # the second stage begins by sampling down
        "efficientnet": [f"layer {row}" for row in range(len(layers))],
    }.get(family, ["layer 0", "layer 1"])
    assert sum(name.endswith("embeddings") for name in found) == (2 if kind == "clip" else 1)


def test_one_tensor_that_moved_is_measured_in_its_layer(bert: Path, tmp_path: Path) -> None:
    """A tenth of one matrix is added to it: |0.1 W| over the size of its layer, and the rest stays."""
    name = "bert.encoder.layer.1.attention.self.query.weight"
    moved = changed(bert, tmp_path / "moved", lambda weights: weights[name].mul_(1.1))
    stored = {name: one.double() for name, one in load_file(bert / "model.safetensors").items()}
    layer = [one for name, one in stored.items() if ".layer.1." in name]
    found = drift(bert, moved)
    one = found.pop("layer 1")
    assert still(found)
    size = math.sqrt(sum(float((tensor**2).sum()) for tensor in layer))
    assert one.relative == pytest.approx(0.1 * float(stored[name].norm()) / size, rel=1e-5)
    assert one.changed == pytest.approx(stored[name].numel() / sum(tensor.numel() for tensor in layer), rel=1e-3)
    assert (one.tensors, one.identical) == (len(layer), len(layer) - 1)


def test_one_number_of_one_tensor_is_seen(bert: Path, tmp_path: Path) -> None:
    def nudge(weights: Weights) -> None:
        weights["bert.embeddings.word_embeddings.weight"][-1, -1] += 0.5

    found = drift(bert, changed(bert, tmp_path / "moved", nudge))["embeddings"]
    embeddings = [one for name, one in load_file(bert / "model.safetensors").items() if "embeddings" in name]
    assert found.changed == 1 / sum(one.numel() for one in embeddings)
    assert found.relative == pytest.approx(
        0.5 / math.sqrt(sum(float((one.double() ** 2).sum()) for one in embeddings)), rel=1e-5
    )


def test_a_tensor_is_compared_beyond_the_first_block(
    bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "bert.encoder.layer.0.intermediate.dense.weight"
    moved = changed(bert, tmp_path / "moved", lambda weights: weights[name].mul_(1.1))
    whole = drift(bert, moved)["layer 0"]
    monkeypatch.setattr("audit.models.drift.BLOCK", 100)
    in_blocks = drift(bert, moved)["layer 0"]
    assert in_blocks.relative == pytest.approx(whole.relative, rel=1e-12)
    assert in_blocks.changed == whole.changed


def test_a_classifier_on_an_encoder_that_stayed_leaves_every_tensor(tiny_encoder: Path, tmp_path: Path) -> None:
    """The base has no head and says ``encoder.layer``; the classifier says ``bert.encoder.layer``."""
    from transformers import AutoModelForSequenceClassification

    folder = tmp_path / "classifier"
    AutoModelForSequenceClassification.from_pretrained(tiny_encoder).save_pretrained(folder)
    found = drift(tiny_encoder, folder)
    assert still(found)
    assert list(found) == ["embeddings", "layer 0", "layer 1", "pooler"]
    assert sum(one.tensors for one in found.values()) == len(load_file(tiny_encoder / "model.safetensors"))
    only_base, only_adapted = unshared(resolve(str(tiny_encoder)), resolve(str(folder)))
    assert only_base == []
    assert only_adapted == ["head/classifier.bias", "head/classifier.weight"]


def test_a_full_fine_tune_moves_every_layer(tiny_encoder: Path, tmp_path: Path) -> None:
    full = Full(method="full", epochs=1, batch_size=8, learning_rate=1e-3)
    folder = tiny.trained(tiny_encoder, "encoder", full, TRAIN, READOUT.labels, tmp_path / "full")
    found = drift(tiny_encoder, folder)
    assert all(one.relative > 0 and one.identical < one.tensors for one in found.values())


def test_a_body_is_the_same_with_a_head_on_it_and_without(bert: Path, tmp_path: Path) -> None:
    """A base with a masked head, adapted without one, and the reverse."""
    from transformers import AutoModel, AutoTokenizer

    body = tmp_path / "body"
    AutoModel.from_pretrained(bert).save_pretrained(body)
    AutoTokenizer.from_pretrained(bert).save_pretrained(body)
    for base, adapted in ((bert, body), (body, bert)):
        found = drift(base, adapted)
        assert still(found)
        assert "head" not in found  # it is on one side only
        assert {"embeddings", "layer 0", "layer 1"} <= found.keys()
    assert drift(bert, bert)["head"].tensors == 5  # bias; dense and norm of the transform


def test_an_old_checkpoint_calls_its_norms_otherwise(bert: Path, tmp_path: Path) -> None:
    """The first BERT checkpoints on the Hub say gamma and beta."""

    def rename(weights: Weights) -> None:
        for name in [name for name in weights if "LayerNorm" in name]:
            weights[name.replace("weight", "gamma").replace("bias", "beta")] = weights.pop(name)

    found = drift(changed(bert, tmp_path / "old", rename), bert)
    assert still(found)
    assert sum(one.tensors for one in found.values()) == len(load_file(bert / "model.safetensors"))


def test_shards_are_one_model(bert: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForMaskedLM

    shutil.copytree(bert, tmp_path / "shards", ignore=shutil.ignore_patterns("*.safetensors"))
    AutoModelForMaskedLM.from_pretrained(bert).save_pretrained(tmp_path / "shards", max_shard_size="60KB")
    assert len(list((tmp_path / "shards").glob("*.safetensors"))) > 2
    assert drift(bert, tmp_path / "shards") == drift(bert, bert) == drift(tmp_path / "shards", bert)


def test_a_shard_that_is_missing_is_named(bert: Path, tmp_path: Path) -> None:
    folder = changed(bert, tmp_path / "shards", lambda weights: None)
    (folder / "model.safetensors").rename(folder / "model-2.safetensors")
    index = {"weight_map": {"bert.pooler.dense.bias": "model-1.safetensors", "cls.bias": "model-2.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(InputError, match=r"index\.json: names model-1\.safetensors, which is not there"):
        drift(bert, folder)


def test_a_head_beside_a_body_without_its_prefix_is_the_same_head(llama: Path, tmp_path: Path) -> None:
    """Transformers loads such files, too: it knows what the body is called."""

    def bare(weights: Weights) -> None:
        for name in [name for name in weights if name.startswith("model.")]:
            weights[name.removeprefix("model.")] = weights.pop(name)

    base = changed(llama, tmp_path / "bare", bare)
    assert drift(base, llama, "causal") == drift(llama, base, "causal") == drift(llama, llama, "causal")
    assert unshared(resolve(str(base)), resolve(str(llama))) == ([], [])


def test_precision_on_disk_is_no_drift_where_the_numbers_are_kept(bert: Path, tmp_path: Path) -> None:
    """A base in bfloat16 and what was made of it in float32; rounding a float32 base is a change, and it is seen."""

    def low(weights: Weights) -> None:
        weights.update({name: one.bfloat16() for name, one in weights.items()})

    def back(weights: Weights) -> None:
        weights.update({name: one.float() for name, one in weights.items()})

    base = changed(bert, tmp_path / "low", low)
    assert still(drift(base, changed(base, tmp_path / "back", back)))
    rounded = drift(bert, base)["layer 0"]
    assert 0 < rounded.relative < 2**-8  # half of the spacing of 8 bits


def test_rows_of_embeddings_that_grew_moved_from_nothing(llama: Path, tmp_path: Path) -> None:
    def grow(weights: Weights) -> None:
        table = weights["model.embed_tokens.weight"]
        weights["model.embed_tokens.weight"] = torch.cat([table, torch.ones(7, table.shape[1])])
        weights["lm_head.weight"] = torch.cat([weights["lm_head.weight"], torch.ones(7, table.shape[1])])

    grown = changed(llama, tmp_path / "grown", grow)
    found = drift(llama, grown, "causal")
    table = load_file(llama / "model.safetensors")["model.embed_tokens.weight"]
    assert found["embeddings"].relative == pytest.approx((7 * table.shape[1]) ** 0.5 / float(table.norm()))
    assert found["embeddings"].changed == pytest.approx(7 / (len(table) + 7))
    assert not found.pop("embeddings").frozen
    assert still(found)
    assert unshared(resolve(str(llama)), resolve(str(grown))) == (["head/lm_head.weight"], ["head/lm_head.weight"])


def test_layers_that_were_all_zeros_moved_by_their_whole_size(llama: Path, tmp_path: Path) -> None:
    base = changed(llama, tmp_path / "zeros", lambda weights: weights["model.norm.weight"].zero_())
    found = drift(base, llama, "causal")["other"]
    assert (found.relative, found.changed) == (1.0, 1.0)


def test_a_tower_that_moved_is_not_the_other(tmp_path: Path) -> None:
    base = families.CLIP["clip"](tmp_path / "base")

    def tune(weights: Weights) -> None:
        for name, one in weights.items():
            if name.startswith(("vision_model.", "visual_projection")):
                one.mul_(1.01)

    found = drift(base, changed(base, tmp_path / "tuned", tune), "clip")
    assert {name.split()[0] for name, one in found.items() if one.changed > 0} == {"vision"}
    assert found["vision layer 1"].relative == pytest.approx(0.01, rel=1e-3)
    assert {"text embeddings", "text layer 0", "text other", "other"} <= {
        name for name, one in found.items() if one.changed == 0
    }


def test_a_number_that_counts_nothing_is_no_layer(bert: Path, tmp_path: Path) -> None:
    """Two matrices with an activation between them are numbered 0 and 2, and are no layers of the model."""

    def project(weights: Weights) -> None:
        weights |= {f"bert.projector.{number}.weight": torch.ones(4, 4) for number in (0, 2)}

    base = changed(bert, tmp_path / "base", project)
    found = drift(base, base)
    assert found["other"].tensors == 2
    assert found["layer 0"].tensors == drift(bert, bert)["layer 0"].tensors


def test_the_dense_layer_of_a_sentence_encoder_counts(tmp_path: Path) -> None:
    base = families.SENTENCE["max-dense"](tmp_path / "base")
    tuned = changed(
        base, tmp_path / "tuned", lambda weights: weights["linear.weight"].mul_(2), "2_Dense/model.safetensors"
    )
    found = drift(base, tuned, "sentence_encoder")
    other = found.pop("other")
    assert still(found)
    assert (other.tensors, other.identical) == (2, 1)


def test_weights_that_are_not_finite_are_no_number(bert: Path, tmp_path: Path) -> None:
    name = "bert.encoder.layer.0.output.dense.weight"
    broken = changed(bert, tmp_path / "broken", lambda weights: weights[name].fill_(torch.nan))
    with pytest.raises(NotMeasurable, match=r"broken: 'encoder\.layer\.0\.output\.dense\.weight' is not finite"):
        drift(bert, broken)


def test_files_that_do_not_meet_are_not_compared(bert: Path, tmp_path: Path) -> None:
    other = families.MASKED["distilbert"](tmp_path / "other")
    with pytest.raises(NotMeasurable, match=r"has 0 of the 37 tensors .* of different architectures"):
        drift(bert, other)


# --- adapters ---------------------------------------------------------------------------------------------------------


def lora(base: Path, folder: Path, seed: int = 0, **settings: Any) -> Path:
    """Save a LoRA whose A and B are drawn."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(seed)
    peft: Any = get_peft_model(
        AutoModelForCausalLM.from_pretrained(base), LoraConfig(r=2, task_type="CAUSAL_LM", **settings)
    )
    for name, one in peft.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(one, std=0.1)
    peft.save_pretrained(folder, save_embedding_layers=False)
    return folder


@pytest.mark.parametrize("rank_stabilised", [False, True])
def test_an_adapter_moves_its_layers_by_its_own_product(rank_stabilised: bool, llama: Path, tmp_path: Path) -> None:
    """‖BA‖ · scale / ‖W‖ from the file, where scale is alpha / r, or alpha / √r (Kalajdzievski 2023)."""
    folder = lora(
        llama, tmp_path / "lora", lora_alpha=6, target_modules=["q_proj", "v_proj"], use_rslora=rank_stabilised
    )
    scale = 6 / math.sqrt(2) if rank_stabilised else 6 / 2
    file, stored = load_file(folder / "adapter_model.safetensors"), load_file(llama / "model.safetensors")
    found = drift(llama, folder, "causal")
    for number in (0, 1):
        begin = f"base_model.model.model.layers.{number}.self_attn"
        deltas = [
            scale * file[f"{begin}.{which}.lora_B.weight"].double() @ file[f"{begin}.{which}.lora_A.weight"].double()
            for which in ("q_proj", "v_proj")
        ]
        layer = [one.double() for name, one in stored.items() if f"layers.{number}." in name]
        moved, size = (math.sqrt(sum(float((one**2).sum()) for one in some)) for some in (deltas, layer))
        one = found.pop(f"layer {number}")
        assert one.relative == pytest.approx(moved / size, rel=1e-5)
        assert (one.tensors, one.identical) == (len(layer), len(layer) - 2)
    assert still(found)
    assert list(found) == ["embeddings", "other", "head"]


@pytest.mark.parametrize("settings", [{"use_dora": True}, {"target_modules": ["q_proj", "embed_tokens"]}])
def test_an_adapter_has_moved_as_far_as_its_merged_checkpoint(
    settings: dict[str, Any], llama: Path, tmp_path: Path
) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = lora(llama, tmp_path / "lora", **{"target_modules": "all-linear", **settings})
    merged: Any = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(llama), str(folder))
    merged.merge_and_unload().save_pretrained(tmp_path / "merged")
    AutoTokenizer.from_pretrained(llama).save_pretrained(tmp_path / "merged")
    ours, theirs = drift(llama, folder, "causal"), drift(llama, tmp_path / "merged", "causal")
    assert ours.keys() == theirs.keys()
    for name, one in ours.items():
        assert one.relative == pytest.approx(theirs[name].relative, rel=1e-5)
        assert (one.tensors, one.identical) == (theirs[name].tensors, theirs[name].identical)
    assert any(one.relative > 0.01 for one in ours.values())


TUNERS: dict[str, dict[str, Any]] = {
    "IA3Config": {"target_modules": ["k_proj"], "feedforward_modules": []},
    "LNTuningConfig": {"target_modules": ["ln_1"]},
    "HRAConfig": {"target_modules": ["q_proj"], "r": 2},
    "OFTConfig": {"target_modules": ["q_proj"], "oft_block_size": 4},
    "VeraConfig": {"target_modules": ["q_proj"], "r": 2},
}


@pytest.mark.filterwarnings("ignore:Unsupported layer type")  # PEFT says so of every norm
@pytest.mark.parametrize("tuner", TUNERS)
def test_other_tuners_have_moved_as_far_as_their_merged_checkpoints(tuner: str, tmp_path: Path) -> None:
    """Factors, swapped norms, reflections, rotations and shared random matrices: only merging knows them all."""
    import peft
    from transformers import AutoModelForCausalLM, AutoTokenizer

    base = families.CAUSAL["gpt_neo"](tmp_path / "base")
    torch.manual_seed(0)
    model: Any = peft.get_peft_model(
        AutoModelForCausalLM.from_pretrained(base), getattr(peft, tuner)(task_type="CAUSAL_LM", **TUNERS[tuner])
    )
    for one in model.parameters():
        if one.requires_grad:
            one.data.add_(0.05 * torch.randn_like(one))
    model.save_pretrained(tmp_path / "adapter")
    model.merge_and_unload().save_pretrained(tmp_path / "merged")
    AutoTokenizer.from_pretrained(base).save_pretrained(tmp_path / "merged")
    ours, theirs = drift(base, tmp_path / "adapter", "causal"), drift(base, tmp_path / "merged", "causal")
    for name in ("layer 0", "layer 1"):
        assert ours[name].relative == pytest.approx(theirs[name].relative, rel=1e-4)
        assert ours[name].relative > 1e-4
        assert ours[name].identical == theirs[name].identical < theirs[name].tensors
    assert sum(one.tensors for one in ours.values()) == sum(one.tensors for one in theirs.values())


def test_an_untrained_adapter_has_not_moved(llama: Path, tmp_path: Path) -> None:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    peft: Any = get_peft_model(
        AutoModelForCausalLM.from_pretrained(llama), LoraConfig(task_type="CAUSAL_LM", target_modules="all-linear")
    )
    peft.save_pretrained(tmp_path / "zero")
    assert still(drift(llama, tmp_path / "zero", "causal"))


def test_a_learnt_prompt_leaves_every_weight(llama: Path, tmp_path: Path) -> None:
    from peft import PromptTuningConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    peft: Any = get_peft_model(
        AutoModelForCausalLM.from_pretrained(llama), PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3)
    )
    peft.save_pretrained(tmp_path / "prompt")
    found = drift(llama, tmp_path / "prompt", "causal")
    assert still(found)
    assert sum(one.tensors for one in found.values()) == len(load_file(llama / "model.safetensors"))


def test_the_head_of_an_adapter_is_not_the_base_s(tiny_encoder: Path, tmp_path: Path) -> None:
    method = Peft(method="peft", epochs=1, batch_size=8, learning_rate=1e-2, config={"r": 2})
    folder = tiny.trained(tiny_encoder, "encoder", method, TRAIN, READOUT.labels, tmp_path / "lora")
    found = drift(tiny_encoder, folder)
    assert list(found) == ["embeddings", "layer 0", "layer 1", "pooler"]
    assert sum(one.tensors for one in found.values()) == len(load_file(tiny_encoder / "model.safetensors"))
    assert found["layer 0"].relative > 0
    assert found["embeddings"].changed == 0
    _, brought = unshared(resolve(str(tiny_encoder)), resolve(str(folder)))
    assert brought == ["head/classifier.bias", "head/classifier.weight"]


def test_a_pooler_that_the_base_lacks_is_not_compared(tmp_path: Path) -> None:
    def without(weights: Weights) -> None:
        for name in [name for name in weights if name.startswith("pooler.")]:
            del weights[name]

    base = changed(tiny.encoder(tmp_path / "whole"), tmp_path / "base", without)
    method = Peft(method="peft", epochs=1, batch_size=8, learning_rate=1e-2, config={"r": 2})
    folder = tiny.trained(base, "encoder", method, TRAIN, READOUT.labels, tmp_path / "lora")
    assert "pooler" not in drift(base, folder)


def test_an_adapter_that_cannot_be_merged_has_no_drift(llama: Path, tmp_path: Path) -> None:
    folder = lora(llama, tmp_path / "lora", target_modules=["q_proj"])
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps({**config, "alora_invocation_tokens": [5]}))
    with pytest.raises(NotMeasurable, match="it cannot be merged"):
        drift(llama, folder, "causal")


def test_an_adapter_on_two_towers_is_refused(tmp_path: Path) -> None:
    base = families.CLIP["clip"](tmp_path / "base")
    shutil.copytree(base, tmp_path / "adapter")
    (tmp_path / "adapter" / "adapter_config.json").write_text("{}")
    with pytest.raises(InputError, match="audited as a merged checkpoint"):
        drift(base, tmp_path / "adapter", "clip")


# --- real weights -----------------------------------------------------------------------------------------------------


def test_the_real_minilm_has_not_moved_from_itself(minilm: str) -> None:
    found = drift(minilm, minilm, "sentence_encoder")
    assert still(found)
    assert list(found) == ["embeddings", *(f"layer {number}" for number in range(6)), "pooler"]
    assert [found[f"layer {number}"].tensors for number in range(6)] == [16] * 6  # of a BERT block
