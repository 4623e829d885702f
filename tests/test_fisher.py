"""Fisher information: its closed form where there is one, single examples and drawn answers, computed once."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from audit.adapt import Plan
from audit.adapt import fisher as module
from audit.adapt.fisher import fisher, fisher_of_base, mean_squares
from audit.adapt.general import General, base_network
from audit.models.source import resolve
from audit.recipe import Full, Task
from audit.view import Item

WORDS = ("kind", "late", "prompt", "rude", "thorough", "slow", "clean", "loud")
ITEMS = [
    Item(id=f"t{i}", cluster=f"t{i}", text=f"The {WORDS[i % 8]} clerk was {WORDS[i // 8]} and in time.")
    for i in range(24)
]


def general(base: Path, kind: Any, items: list[Item] = ITEMS) -> General:
    plan = Plan(resolve(str(base)), kind, Task(dataset="none", labels=("a", "b")), Full(method="full"), items)
    return General(plan, base_network(plan))


# --- a linear softmax model: F = E[(p - p²) ⊗ x²], from the definition of the softmax's variance ----------------------

COUNT = 2000
Answer = Callable[[torch.Tensor, torch.Generator], torch.Tensor]


def off_by(answer: Answer, batch: int = 1) -> float:
    """How far an estimate lies from the closed form, in its own standard errors at its worst weight."""
    torch.manual_seed(0)
    inputs, model = torch.randn(40, 5), torch.nn.Linear(5, 3, bias=False)

    def said(number: int, generator: torch.Generator) -> torch.Tensor:
        some = inputs[torch.arange(number * batch, (number + 1) * batch) % len(inputs)]
        sure = model(some).log_softmax(-1)
        nats: torch.Tensor = sure.gather(1, answer(sure.detach().exp(), generator)).mean()
        return nats

    found = mean_squares(model, said, COUNT // batch, torch.Generator().manual_seed(0))["weight"].double()
    p = model(inputs).softmax(-1).detach().double()
    squares, spread = inputs.double().square(), p - p**2
    expected = torch.einsum("nk,nj->kj", spread, squares) / len(inputs)
    fourth = p * (1 - p) ** 4 + (1 - p) * p**4  # of (1[y = k] - p_k), a Bernoulli's fourth moment
    variance = torch.einsum("nk,nj->kj", fourth - spread**2, squares**2) / len(inputs) / COUNT
    return float(((found - expected) / variance.sqrt()).abs().max())


def drawn(p: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    answers: torch.Tensor = torch.multinomial(p, 1, generator=generator)
    return answers


def test_a_linear_softmax_has_its_closed_form() -> None:
    assert off_by(drawn) < 4  # 15 weights


def test_a_squared_mean_of_a_batch_is_another_thing() -> None:
    assert off_by(drawn, batch=8) > 20


def test_the_likeliest_answers_are_no_fisher_information() -> None:
    assert off_by(lambda p, _: p.argmax(1, keepdim=True)) > 10


# --- of real architectures, one tensor of each against what is known of it --------------------------------------------


def averaged(asked: General, seeds: int) -> dict[str, torch.Tensor]:
    """Over several draws, so that little of it is chance."""
    found = [fisher(asked, seed) for seed in range(seeds)]
    return {name: torch.stack([one[name].double() for one in found]).mean(0) for name in found[0]}


def alike(found: torch.Tensor, expected: torch.Tensor, share: float = 0.05) -> None:
    """Two profiles are the same up to a factor (F is scaled to mean 1), within a share."""
    found, expected = found / found.sum(), expected / expected.sum()
    assert float((found - expected).abs().sum()) < share


def test_of_a_causal_model_it_is_of_its_next_tokens(llama: Path) -> None:
    """The head is linear in the last hidden state, so that its closed form holds, added over the places of a text."""
    asked = general(llama, "causal", ITEMS[:12])
    found = averaged(asked, 8)["lm_head.weight"]
    expected = torch.zeros_like(found)
    for ids in asked.sequences:
        with torch.no_grad():
            states = asked.base.model(torch.tensor([ids])).last_hidden_state[0, :-1].double()
            p = (states @ asked.base.lm_head.weight.double().T).softmax(-1)
        expected += torch.einsum("tv,tj->vj", p - p**2, states**2)
    alike(found.sum(0), expected.sum(0))
    assert float(found.sum() / expected.sum()) == pytest.approx(scale(asked), rel=0.1)


def scale(asked: General) -> float:
    """What a sum over items was multiplied by: 1 / items, and to mean 1 by the norm of sampled gradients."""
    total: float = 0.0
    draw = torch.Generator().manual_seed(99)
    for ids in asked.sequences:
        asked.base.zero_grad()
        sure = asked.base(torch.tensor([ids])).logits[0, :-1].log_softmax(-1)
        sure.gather(1, torch.multinomial(sure.detach().exp(), 1, generator=draw)).sum().backward()
        total += sum(float(one.grad.square().sum()) for one in asked.base.parameters() if one.grad is not None)
    return int(sum(one.numel() for one in asked.base.parameters())) / total


def test_of_a_masked_model_it_is_of_its_hidden_tokens(bert: Path) -> None:
    """A shift s before the decoder's matrix W: ∂ log p_v / ∂s = W_v - Σ p W, whose variance is that of W under p."""
    asked = general(bert, "encoder", ITEMS[:12])
    seeds = 8
    found = averaged(asked, seeds)["cls.predictions.transform.LayerNorm.bias"]
    matrix = asked.base.cls.predictions.decoder.weight.detach().double()
    expected = torch.zeros_like(found)
    for seed in range(seeds):
        for row in range(len(asked.items)):
            hidden = asked.questions([row], (seed,))
            with torch.no_grad():
                p = asked.base(input_ids=hidden.ids).logits[0, hidden.at].softmax(-1).double()
            expected += (p @ matrix**2 - (p @ matrix) ** 2).sum(0)
    alike(found, expected, 0.15)  # few tokens are hidden


def test_without_a_head_it_is_of_the_vector_under_a_unit_gaussian(tiny_encoder: Path) -> None:
    """Σ_k (∂h_k / ∂w)², from the whole Jacobian, summed a tensor."""
    asked = general(tiny_encoder, "encoder", ITEMS[:6])
    found = averaged(asked, 15)
    names = [name for name, one in found.items() if "pooler" not in name and one.ndim == 2][:8]
    parameters = dict(asked.base.named_parameters())
    expected = dict.fromkeys(names, 0.0)
    for ids in asked.sequences:
        vector = asked.base(torch.tensor([ids])).last_hidden_state[0].mean(0)
        for k in range(len(vector)):
            gradients = torch.autograd.grad(vector[k], [parameters[name] for name in names], retain_graph=True)
            for name, gradient in zip(names, gradients, strict=True):
                expected[name] += float(gradient.double().square().sum())
    alike(torch.stack([found[name].sum() for name in names]), torch.tensor(list(expected.values())).double())
    assert float(found["pooler.dense.weight"].abs().max()) == 0  # it has no say in the vector


@pytest.mark.parametrize("name", ["bert", "tiny_encoder"])
def test_its_mean_is_1_and_nothing_is_taken_from_the_random_numbers_of_others(
    name: str, request: pytest.FixtureRequest
) -> None:
    asked = general(request.getfixturevalue(name), "encoder")
    before = torch.get_rng_state()
    found = fisher(asked, 0)
    assert torch.equal(torch.get_rng_state(), before)
    assert found.keys() == dict(asked.base.named_parameters()).keys()
    count = sum(one.numel() for one in found.values())
    assert sum(float(one.double().sum()) for one in found.values()) / count == pytest.approx(1, rel=1e-6)
    assert all(math.isfinite(float(one.sum())) and float(one.min()) >= 0 for one in found.values())


# --- remembered -------------------------------------------------------------------------------------------------------


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[int]:
    """The seeds for which it was computed, with a cache of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    seeds: list[int] = []

    def noted(asked: General, seed: int) -> dict[str, torch.Tensor]:
        seeds.append(seed)
        return fisher(asked, seed)

    monkeypatch.setattr(module, "fisher", noted)
    return seeds


def test_it_is_computed_once_for_one_base_seed_and_set_of_items(bert: Path, counted: list[int]) -> None:
    asked, source = general(bert, "encoder"), resolve(str(bert))
    first, digest = fisher_of_base(source, asked, 3)
    again, same = fisher_of_base(source, asked, 3)
    assert counted == [3]
    assert digest == same
    assert all(torch.equal(first[name], again[name]) for name in first)
    fresh = fisher(asked, 3)
    assert all(torch.equal(first[name], fresh[name]) for name in fresh)
    assert fisher_of_base(source, asked, 4)[1] != digest
    assert fisher_of_base(source, general(bert, "encoder", ITEMS[:12]), 3)[1] != digest
    assert counted == [3, 4, 3]


def test_a_file_that_was_never_finished_is_not_read(
    bert: Path, counted: list[int], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked, source = general(bert, "encoder", ITEMS[:4]), resolve(str(bert))

    def full(tensors: object, path: str) -> None:
        Path(path).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(module, "save_file", full)
        with pytest.raises(OSError, match="No space"):
            fisher_of_base(source, asked, 0)
    assert list((tmp_path / "transfer-audit" / "fisher").iterdir()) == []
    fisher_of_base(source, asked, 0)
    assert counted == [0, 0]
