"""Null copies of a base: each differs from it by what it says and by nothing else."""

from __future__ import annotations

import gc
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from audit.items import passages
from audit.models.ask import ModelView, Readout
from audit.models.load import load_base
from audit.models.null import COPIES, _model, null_copies
from audit.models.source import Source, resolve
from audit.models.weights import Dtype
from audit.view import Item, Kind
from tests import families

TEXTS = list(passages()[::60])
READOUT = Readout("a photo of {text}", ("a dog", "a cat"))
CASES: dict[str, tuple[Kind, str]] = {
    "bert": ("encoder", "embedding"),
    "gpt2": ("causal", "log_likelihood"),  # its head is tied to its embeddings
    "llama": ("causal", "log_likelihood"),
    "max-dense": ("sentence_encoder", "embedding"),
    "vit": ("vision", "probabilities"),
    "clip": ("clip", "probabilities"),
    "siglip": ("clip", "embedding"),
}
MAKE = {**families.MASKED, **families.CAUSAL, **families.SENTENCE, **families.VISION, **families.CLIP}


def made(family: str, folder: Path) -> Source:
    return resolve(str(MAKE[family](folder / family)))


def items_of(kind: Kind, folder: Path) -> list[Item]:
    if kind not in ("vision", "clip"):
        return TEXTS
    return [Item(id=path.stem, cluster="c", image=str(path)) for path in families.images(folder / "images", 4)]


def readout_of(kind: Kind) -> Readout | None:
    return READOUT if kind == "clip" else None


def weights(view: ModelView) -> dict[str, torch.Tensor]:
    return {name: one.detach().clone() for name, one in _model(view).named_parameters() if "lora_" not in name}


@pytest.mark.parametrize("family", CASES)
def test_copies_differ_from_their_base_by_almost_nothing(family: str, tmp_path: Path) -> None:
    kind, question = CASES[family]
    source, items = made(family, tmp_path), items_of(kind, tmp_path)
    base = load_base(source, kind, readout_of(kind))
    before = base.ask(question, items)
    answers = {name: view.ask(question, items) for name, view in null_copies(source, kind, readout_of(kind))}
    assert tuple(answers) == COPIES
    assert np.array_equal(answers["asked again"], before)
    assert np.array_equal(answers["zero adapter"], before)
    for name in ("bfloat16 round trip", "noise of 1e-4"):
        off = np.abs(answers[name] - before).max() / np.abs(before).max()
        assert 0 < off < 0.05, name
    assert np.array_equal(base.ask(question, items), before)  # the base is not one of them


def test_a_copy_is_never_remembered_as_another(tmp_path: Path) -> None:
    source = made("bert", tmp_path)
    ids = [load_base(source, "encoder").id, *(view.id for _, view in null_copies(source, "encoder"))]
    ids += [view.id for _, view in null_copies(source, "encoder", dtype="bfloat16")]
    assert len(set(ids)) == 2 * len(COPIES) + 1
    assert all(one.startswith(source.sha256) for one in ids)


def test_the_round_trip_is_that_of_torch(tmp_path: Path) -> None:
    """Recomputed from the file: every tensor to bfloat16 and back, nothing else."""
    source = made("bert", tmp_path)
    stored = load_file(source.folder / "model.safetensors")
    for name, view in null_copies(source, "encoder"):
        if name == "bfloat16 round trip":
            held = weights(view)
            assert held.keys() <= stored.keys() | {"cls.predictions.decoder.weight", "cls.predictions.decoder.bias"}
            assert all(torch.equal(held[one], stored[one].bfloat16().float()) for one in held.keys() & stored.keys())
            assert not any(torch.equal(held[one], stored[one]) for one in held if one.endswith("query.weight"))


@pytest.mark.parametrize("family", ["gpt2", "bert"])
def test_noise_has_its_size_in_every_tensor_tied_ones_once(family: str, tmp_path: Path) -> None:
    """Each tensor moves by 1e-4 of its own spread (root mean square), within chance; without spread it stays."""
    kind: Kind = "causal" if family == "gpt2" else "encoder"
    source = made(family, tmp_path)
    before = weights(load_base(source, kind))
    [after] = [weights(view) for name, view in null_copies(source, kind) if name == "noise of 1e-4"]
    [again] = [weights(view) for name, view in null_copies(source, kind) if name == "noise of 1e-4"]
    still = 0
    for name, tensor in before.items():
        assert torch.equal(after[name], again[name])  # seeded by the weights
        moved, spread = (after[name].double() - tensor.double()).numpy(), tensor.double().numpy().std()
        if spread == 0:  # a norm that was never trained
            still += 1
            assert not moved.any()
        elif tensor.numel() >= 1000:
            assert moved.std() == pytest.approx(1e-4 * spread, rel=0.1), name  # a second helping would give 1.41
            assert abs(np.corrcoef(np.abs(moved).ravel(), np.abs(tensor.numpy()).ravel())[0, 1]) < 0.2, name
    assert still > 0
    drawn = [
        (after[name] - before[name]).flatten()[:64]
        for name in before
        if name.endswith(("query.weight", "c_attn.weight"))
    ]
    assert not torch.allclose(drawn[0] / drawn[0].norm(), drawn[1] / drawn[1].norm(), atol=0.01)  # each has its own


def test_tied_weights_stay_tied(tmp_path: Path) -> None:
    for _, view in null_copies(made("gpt2", tmp_path), "causal"):
        model = _model(view)
        assert model.lm_head.weight.data_ptr() == model.transformer.wte.weight.data_ptr()


def test_buffers_stay_as_they_are(tmp_path: Path) -> None:
    source = made("resnet", tmp_path)
    before = {name: one.clone() for name, one in _model(load_base(source, "vision")).named_buffers()}
    assert any(one.is_floating_point() for one in before.values())
    for _, view in null_copies(source, "vision"):
        assert all(torch.equal(one, before[name]) for name, one in _model(view).named_buffers())


def test_the_zero_adapter_is_really_there(tmp_path: Path) -> None:
    """Eight rows on each of Llama's 7 linear layers of 2 blocks, and none on its head."""
    [found] = [
        {name: one.shape for name, one in _model(view).named_parameters() if "lora_A" in name}
        for name, view in null_copies(made("llama", tmp_path), "causal")
        if name == "zero adapter"
    ]
    assert len(found) == 14
    assert {shape[0] for shape in found.values()} == {8}
    assert not any("lm_head" in name for name in found)


@pytest.mark.parametrize("family", ["mamba", "headless resnet"])
def test_a_model_that_takes_no_adapter_has_no_zero_adapter(family: str, tmp_path: Path) -> None:
    if family == "mamba":
        source, kind = made("mamba", tmp_path), "causal"
    else:
        folder = families.vision(
            tmp_path / "resnet", "ResNetConfig", "ViTImageProcessorPil", embedding_size=8, hidden_sizes=[8], depths=[1]
        )
        source, kind = resolve(str(folder)), "vision"
    assert [name for name, _ in null_copies(source, kind)] == [*COPIES[:-1]]  # type: ignore[arg-type]


def test_one_copy_is_in_memory_at_a_time_and_a_passed_one_says_so(tmp_path: Path) -> None:
    source = made("bert", tmp_path)
    held = []
    for _, view in null_copies(source, "encoder"):
        held.append(view)
        assert all(tensor.is_meta for old in held[:-1] for tensor in _model(old).parameters())
        assert not any(tensor.is_meta for tensor in _model(view).parameters())
    for view in held:
        with pytest.raises(RuntimeError, match="this null copy has been passed"):
            view.ask("embedding", TEXTS)
    copies = null_copies(source, "encoder")
    _, first = next(copies)
    copies.close()  # type: ignore[attr-defined]
    assert all(tensor.is_meta for tensor in _model(first).parameters())
    del copies, first, held
    gc.collect()


def test_copies_leave_the_random_state_alone(tmp_path: Path) -> None:
    source = made("llama", tmp_path)
    torch.manual_seed(1)
    load_base(source, "causal")
    base_only = torch.get_rng_state()
    torch.manual_seed(1)
    for _ in null_copies(source, "causal"):
        pass
    assert torch.equal(torch.get_rng_state(), base_only)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_in_bfloat16_the_round_trip_is_nothing(dtype: Dtype, llama: Path) -> None:
    source = resolve(str(llama))
    before = load_base(source, "causal", dtype=dtype).ask("log_likelihood", TEXTS)
    same = {
        name: np.array_equal(view.ask("log_likelihood", TEXTS), before)
        for name, view in null_copies(source, "causal", dtype=dtype)
    }
    assert same["bfloat16 round trip"] == (dtype == "bfloat16")
    assert same["asked again"]
    assert same["zero adapter"]


def test_copies_of_the_real_minilm_are_near_it(minilm: str) -> None:
    source = resolve(minilm)
    before = load_base(source, "sentence_encoder").ask("embedding", TEXTS)
    off = {
        name: float(np.linalg.norm(view.ask("embedding", TEXTS) - before, axis=1).max())
        for name, view in null_copies(source, "sentence_encoder")
    }
    assert off["asked again"] == off["zero adapter"] == 0
    assert 0 < off["noise of 1e-4"] < off["bfloat16 round trip"] < 0.05  # of vectors of length 1
