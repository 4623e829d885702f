"""Protections: nothing at strength 0, the base at infinity, and in between what their formulas say."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from audit.adapt import Plan, adapt, protect, stopping
from audit.adapt.body import weights_by_name
from audit.adapt.general import General, base_network
from audit.adapt.protect import Pull, notes_of, penalties, softened_in_place
from audit.adapt.stopping import Stop, lost_neighbours, stopper
from audit.adapt.trainee import trainee
from audit.errors import InputError
from audit.models.source import Source, cache_folder, resolve
from audit.models.tokens import load_tokenizer
from audit.recipe import Full, Peft, Task
from audit.recipe.adapt import Protect
from audit.view import Item
from tests import families

WORDS = ("kind", "late", "prompt", "rude", "thorough", "slow", "clean", "loud")
ITEMS = [
    Item(id=f"t{i}", cluster=f"t{i}", text=f"The {WORDS[i % 8]} clerk was {WORDS[i // 8]}.", label="ab"[i % 2])
    for i in range(32)
]
OTHER = [
    Item(id=f"g{i}", cluster=f"g{i}", text=f"A {WORDS[i % 8]} river" + " ran on" * (i % 3) + f" and {WORDS[i // 8]}")
    for i in range(24)
]


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def vit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return families.VISION["vit"](tmp_path_factory.mktemp("vit") / "vit")


def plan(
    base: Path,
    kind: Any,
    general: Any = OTHER,
    start: Path | None = None,
    epochs: int = 2,
    weight_decay: float = 0.01,
    **strengths: Any,
) -> Plan:
    settings: dict[str, Any] = {"epochs": epochs, "batch_size": 8, "learning_rate": 1e-3, "max_length": 32}
    settings["weight_decay"] = weight_decay
    method = Full(method="full", **settings, protect=Protect(**strengths))
    begins = None if start is None else resolve(str(start))
    return Plan(resolve(str(base)), kind, Task(dataset="none", labels=("a", "b")), method, general, begins)


def trained(asked: Plan, folder: Path, seed: int = 0) -> dict[str, torch.Tensor]:
    folder.mkdir(parents=True)
    adapt(asked, ITEMS, seed, folder)
    return weights(folder)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def body(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """By the names of a BERT without a head."""
    return {name.removeprefix("bert."): one for name, one in tensors.items()}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.fixture(scope="module")
def plain(bert: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, torch.Tensor]:
    """What is trained without any protection; dropout draws random numbers all the while."""
    return trained(plan(bert, "encoder", ()), tmp_path_factory.mktemp("plain") / "out")


# --- the ends of each strength ----------------------------------------------------------------------------------------


def test_strength_0_adds_nothing_and_draws_nothing(bert: Path) -> None:
    asked = plan(bert, "encoder", l2sp=0.0, ewc=0.0, kl=0.0, replay=0.0)
    model, _ = trainee(asked, 0)
    before = torch.get_rng_state()
    assert penalties(asked, model, 0) == []
    assert stopper(asked, model) is None
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("what", [{}, {"l2sp": 0.0}, {"kl": 1e-30}, {"stop": 1e9}], ids=str)
def test_at_a_strength_of_nothing_training_is_plain_bit_for_bit(
    bert: Path, what: dict[str, Any], plain: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    """A strength of 1e-30 changes no float32 gradient, so that any change would be from random numbers it took."""
    assert same(trained(plan(bert, "encoder", **what), tmp_path / "out"), plain)


@pytest.mark.parametrize("held", ["l2sp", "ewc"])
def test_what_is_anchored_does_not_decay_to_0(held: str, bert: Path, tmp_path: Path) -> None:
    """At a strength of next to nothing, what is left is training without decay, but of the head."""
    one: dict[str, Any] = {held: 1e-30}
    without = trained(plan(bert, "encoder", (), weight_decay=0.0), tmp_path / "without")
    assert same(trained(plan(bert, "encoder", weight_decay=0.0, **one), tmp_path / "nothing"), without)
    decayed = trained(plan(bert, "encoder", (), epochs=1, weight_decay=50.0), tmp_path / "decayed")
    found = trained(plan(bert, "encoder", epochs=1, weight_decay=50.0, **one), tmp_path / "found")
    begun, name = weights(bert), "bert.encoder.layer.0.output.dense.weight"
    start = begun[name] if name in begun else begun[name.removeprefix("bert.")]
    assert float(decayed[name].norm()) < 0.95 * float(start.norm())
    assert float(found[name].norm()) == pytest.approx(float(start.norm()), rel=0.02)
    assert torch.allclose(decayed["classifier.weight"].norm(), found["classifier.weight"].norm(), rtol=0.1)


def test_a_strength_without_end_returns_the_base(bert: Path, tmp_path: Path) -> None:
    """Adam's steps are about the learning rate long however steep the loss, so that weights shake by as much."""
    base = body(weights(bert))
    away = {}
    for strength in (0.0, 1e6):
        found = trained(plan(bert, "encoder", epochs=8, l2sp=strength), tmp_path / f"{strength}")
        away[strength] = torch.cat([(one - base[n]).abs().flatten() for n, one in body(found).items() if n in base])
    assert float(away[1e6].max()) <= 1e-3  # the learning rate, which has come down to 0
    assert float(away[1e6].mean()) <= 0.1 * float(away[0.0].mean())


def test_gradient_descent_ends_between_what_task_and_base_want(tiny_encoder: Path) -> None:
    """(w - a)² / 2 + λ (w - w₀)² / 2 is least at (a + λ w₀) / (1 + λ)."""
    model = base_network(plan(tiny_encoder, "encoder")).model
    weight = weights_by_name(model)["pooler.dense.weight"]
    anchor, wanted = torch.randn_like(weight), torch.randn_like(weight)
    pull = Pull("l2sp", 3.0, {"pooler.dense.weight": anchor})
    optimiser = torch.optim.SGD([weight], lr=0.2)
    for step in range(60):
        optimiser.zero_grad()
        loss: Any = (weight - wanted).square().sum() / 2 + pull(model, step)
        loss.backward()
        optimiser.step()
    assert torch.allclose(weight, (wanted + 3 * anchor) / 4, atol=1e-5)


def test_elastic_weights_of_importance_1_are_l2sp_bit_for_bit(
    bert: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def ones(base: Source, general: General, seed: int) -> tuple[dict[str, torch.Tensor], str]:
        return {name: torch.ones_like(one) for name, one in general.base.named_parameters()}, "0"

    l2sp = trained(plan(bert, "encoder", l2sp=0.5), tmp_path / "l2sp")
    real = trained(plan(bert, "encoder", ewc=0.5), tmp_path / "real")
    monkeypatch.setattr(protect, "fisher_of_base", ones)
    assert same(trained(plan(bert, "encoder", ewc=0.5), tmp_path / "ewc"), l2sp)
    assert not same(real, l2sp)


# --- weights ----------------------------------------------------------------------------------------------------------


def test_all_is_anchored_at_the_base_also_where_training_begins_elsewhere(bert: Path, tmp_path: Path) -> None:
    start = tmp_path / "start"
    start.mkdir()
    for file in bert.iterdir():
        (start / file.name).write_bytes(file.read_bytes())
    moved = {name: one + 0.01 * torch.randn_like(one) for name, one in weights(bert).items()}
    save_file(moved, start / "model.safetensors", metadata={"format": "pt"})
    asked = plan(bert, "encoder", start=start, l2sp=3.0, kl=1.0)
    model, new = trainee(asked, 0)
    pull, kl = penalties(asked, model, 0)
    here = body(moved)
    held = {name.removeprefix("bert.") for name, _ in model.named_parameters() if name not in new}
    base = {name: one for name, one in body(weights(bert)).items() if name in held}
    squares = sum(float((here[name] - one).double().square().sum()) for name, one in base.items())
    assert float(pull(model, 0).detach()) == pytest.approx(1.5 * squares, rel=1e-5)
    assert float(kl(model, 0).detach()) > 1e-4


@pytest.mark.parametrize(("name", "kind"), [("bert", "encoder"), ("tiny_encoder", "encoder"), ("vit", "vision")])
def test_what_the_base_has_not_is_free_and_so_is_what_is_frozen(
    name: str, kind: str, request: pytest.FixtureRequest
) -> None:
    asked = plan(request.getfixturevalue(name), kind, l2sp=2.0)
    model, new = trainee(asked, 0)
    [pull] = penalties(asked, model, 0)
    assert float(pull(model, 0).detach()) == 0
    with torch.no_grad():
        for one in model.parameters():
            one.add_(0.5)
    held = [one for own, one in model.named_parameters() if own not in new]
    assert float(pull(model, 0).detach()) == pytest.approx(0.25 * sum(one.numel() for one in held), rel=1e-5)
    loss: Any = pull(model, 0)
    loss.backward()
    named = dict(model.named_parameters())
    assert all(named[own].grad is None for own in new)
    for one in held[1:]:
        one.requires_grad_(False)
    assert float(pull(model, 0).detach()) == pytest.approx(0.25 * held[0].numel(), rel=1e-5)
    held[0].requires_grad_(False)
    assert float(pull(model, 0)) == 0


def test_a_pooler_that_no_file_holds_is_no_anchor(bert: Path, tmp_path: Path) -> None:
    """It is drawn at random wherever such a base is loaded, which takes nothing from the training's random numbers."""
    bare = tmp_path / "bare"
    bare.mkdir()
    for file in bert.iterdir():
        (bare / file.name).write_bytes(file.read_bytes())
    families.rewrite(bare / "config.json", lambda config: config.update(architectures=["BertModel"]))
    asked = plan(bare, "encoder", l2sp=1.0, stop=0.5)
    model, _ = trainee(asked, 0)
    before = torch.get_rng_state()
    [pull] = penalties(asked, model, 0)
    assert stopper(asked, model) is not None
    assert torch.equal(torch.get_rng_state(), before)
    with torch.no_grad():
        model.bert.pooler.dense.weight.add_(1.0)
    assert float(pull(model, 0).detach()) == 0


def test_importance_weighs_each_weight_and_its_hash_is_told(tiny_encoder: Path) -> None:
    asked = plan(tiny_encoder, "encoder", ewc=2.0)
    model, new = trainee(asked, 0)
    [ewc] = penalties(asked, model, 0)
    [file] = (cache_folder() / "fisher").iterdir()
    with torch.no_grad():
        for one in model.parameters():
            one.add_(0.5)
    held = [one for name, one in load_file(file).items() if f"bert.{name}" not in new]
    assert float(ewc(model, 0).detach()) == pytest.approx(0.25 * sum(float(one.sum()) for one in held), rel=1e-4)
    assert notes_of([ewc]) == {"fisher_sha256": hashlib.sha256(file.read_bytes()).hexdigest()}


@pytest.mark.parametrize("held", ["l2sp", "ewc"])
def test_weights_that_a_tuner_leaves_alone_are_not_held(llama: Path, held: str) -> None:
    method = Peft(method="peft", protect=Protect(**{held: 0.1}))  # type: ignore[arg-type]
    asked = Plan(resolve(str(llama)), "causal", Task(dataset="none", labels=("a", "b")), method, OTHER)
    said = f"[adapt.protect] {held}: it holds weights near the base's, and method = 'peft' leaves those as they are; "
    with pytest.raises(InputError, match=re.escape(said + "choose from kl, replay, wise, stop")):
        penalties(asked, None, 0)


# --- stopping ---------------------------------------------------------------------------------------------------------


def test_lost_neighbours_are_counted_as_by_hand() -> None:
    rng = np.random.default_rng(0)
    base, model = rng.normal(size=(2, 30, 4))

    def nearest(vectors: Any) -> list[set[int]]:
        unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        return [set(sorted(set(range(30)) - {n}, key=lambda m: -unit[n] @ unit[m])[:3]) for n in range(30)]

    kept = sum(len(ours & theirs) for ours, theirs in zip(nearest(base), nearest(model), strict=True))
    assert lost_neighbours(torch.from_numpy(base), torch.from_numpy(model), 3) == pytest.approx(1 - kept / 90)


def test_training_goes_back_to_the_epoch_before_the_one_that_went_too_far(
    bert: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stops: list[Stop] = []
    after: list[dict[str, torch.Tensor]] = []

    class Watched(Stop):
        def __call__(self, model: Any, epoch: int) -> bool:
            after.append({name: one.clone() for name, one in model.state_dict().items()})
            stops[:] = [self]
            return super().__call__(model, epoch)

    monkeypatch.setattr(stopping, "Stop", Watched)
    end = trained(plan(bert, "encoder", stop=1.0), tmp_path / "end")
    first, second = (stops[0].lost[epoch] for epoch in (0, 1))
    assert 0 < first < second < 1
    assert same(end, after[1])
    back = trained(plan(bert, "encoder", stop=(first + second) / 2), tmp_path / "back")
    assert same(back, after[0])
    none = trained(plan(bert, "encoder", stop=first / 2), tmp_path / "none")
    (tmp_path / "told").mkdir()
    said = adapt(plan(bert, "encoder", stop=first / 2, epochs=1), ITEMS, 0, tmp_path / "told").notes["stopped"]
    assert "so that nothing was learnt" in said
    assert "[adapt.protect] stop" in said
    base = body(weights(bert))
    assert all(torch.equal(one, base[name]) for name, one in body(none).items() if name in base)


def test_a_causal_base_counts_nats_a_byte(llama: Path) -> None:
    asked = plan(llama, "causal", stop=0.5)
    model, _ = trainee(asked, 0)
    stop, tokenizer = stopper(asked, model), load_tokenizer(asked.base)
    assert stop is not None
    before = nats_per_byte(model, tokenizer)
    assert not stop(model, 0)
    with torch.no_grad():
        model.lm_head.weight.mul_(3.0)
    said = stop(model, 1)
    rise = nats_per_byte(model, tokenizer) - before
    assert stop.lost == pytest.approx({0: 0.0, 1: rise}, abs=1e-5)
    assert said == (rise > 0.5)


def nats_per_byte(model: Any, tokenizer: Any) -> float:
    """As transformers counts the loss, text by text."""
    nats = 0.0
    for item in OTHER:
        ids = tokenizer(item.text, return_tensors="pt")["input_ids"]
        with torch.no_grad():
            nats += float(model(input_ids=ids, labels=ids).loss) * (ids.shape[1] - 1)
    return nats / sum(len((item.text or "").encode()) for item in OTHER)


def test_what_is_no_number_went_too_far(llama: Path) -> None:
    asked = plan(llama, "causal", stop=0.5)
    model, _ = trainee(asked, 0)
    stop = stopper(asked, model)
    with torch.no_grad():
        model.lm_head.weight.fill_(float("nan"))
    assert stop is not None
    assert stop(model, 0)


@pytest.mark.parametrize(
    ("general", "said"),
    [
        ((), "[adapt.protect] items: there are none; ewc, kl, replay and stop need some"),
        (OTHER[:20], "[adapt.protect] stop: of 20 items, 10 neighbours each say little; it takes 21 items"),
        ([Item(id="p", cluster="p", image="p.png")], "[adapt.protect] items: 'p' is no text, which is what this base"),
    ],
)
def test_items_that_will_not_do_are_refused(bert: Path, general: Any, said: str) -> None:
    with pytest.raises(InputError, match=re.escape(said)):
        stopper(plan(bert, "encoder", general, stop=0.5), None)


# --- afterwards -------------------------------------------------------------------------------------------------------


def test_at_strength_1_every_byte_stays_and_below_weights_lie_between_on_a_line(bert: Path, tmp_path: Path) -> None:
    asked, folder = plan(bert, "encoder"), tmp_path / "out"
    full, base = trained(asked, folder), body(weights(bert))
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    softened_in_place(asked, folder, 1.0)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert trained(plan(bert, "encoder", wise=0.25), tmp_path / "wise").keys() == full.keys()
    softened_in_place(asked, folder, 0.25)
    assert {path.name for path in folder.iterdir()} == before.keys()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".tmp")] == []
    soft = weights(folder)
    assert same(soft, weights(tmp_path / "wise"))
    for name, one in full.items():
        own = base.get(name.removeprefix("bert."))
        between = one if own is None else own + 0.25 * (one - own)
        assert torch.allclose(soft[name], between, rtol=0, atol=1e-7), name
    assert torch.equal(soft["classifier.weight"], full["classifier.weight"])
    assert not torch.equal(
        soft["bert.embeddings.word_embeddings.weight"], full["bert.embeddings.word_embeddings.weight"]
    )
