"""General items asked again: what is said to them, recomputed; what is drawn, by seed and step alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import rel_entr, softmax

from audit.adapt import Plan, adapt
from audit.adapt.body import backbone_of
from audit.adapt.general import MASKED, General, base_network, drawn
from audit.adapt.protect import penalties
from audit.adapt.rehearse import KL, PLACES, SHARP, Rehearsal, divergence
from audit.adapt.rows import training_rows
from audit.adapt.trainee import trainee
from audit.errors import InputError
from audit.models.load import load_base
from audit.models.source import resolve
from audit.models.tokens import load_tokenizer
from audit.recipe import Full, Peft, Task
from audit.recipe.adapt import Protect
from audit.view import Item
from tests import families

WORDS = ("kind", "late", "prompt", "rude", "thorough", "slow", "clean", "loud")
OTHER = [
    Item(id=f"g{i}", cluster=f"g{i}", text=f"{WORDS[i % 8]} river" + " ran on" * (i % 3) + f" and {WORDS[i // 8]}")
    for i in range(24)
]
KINDS = {"bert": "encoder", "tiny_encoder": "encoder", "llama": "causal", "sentences": "sentence_encoder"}
Made = Callable[..., Plan]


@pytest.fixture(scope="module")
def sentences(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return families.SENTENCE["mean"](tmp_path_factory.mktemp("sentences"))


@pytest.fixture(scope="module")
def vit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return families.VISION["vit"](tmp_path_factory.mktemp("vit") / "vit")


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[Item]:
    paths = families.images(tmp_path_factory.mktemp("images"), 9)
    return [Item(id=path.name, cluster=path.name, image=str(path)) for path in paths]


@pytest.fixture
def made(request: pytest.FixtureRequest, images: list[Item]) -> Made:
    """A plan for the base of a name."""

    def of(name: str, general: Any = None, **strengths: Any) -> Plan:
        kind: Any = KINDS.get(name, "vision")
        seen = images if name == "vit" else OTHER if general is None else general
        settings: dict[str, Any] = {"epochs": 1, "batch_size": 8, "learning_rate": 1e-3, "max_length": 32}
        method = Full(method="full", **settings, protect=Protect(**strengths))
        base = resolve(str(request.getfixturevalue(name)))
        return Plan(base, kind, Task(dataset="none", labels=("a", "b")), method, seen)

    return of


def shaken(model: Any) -> Any:
    """The same model, a little elsewhere."""
    with torch.no_grad():
        for number, one in enumerate(model.parameters()):
            one.add_(0.05 * torch.randn(one.shape, generator=torch.Generator().manual_seed(number)))
    return model.eval()


def value(penalty: Any, model: Any, step: int) -> float:
    return float(penalty(model, step).detach())


# --- the divergence ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_the_divergence_is_by_its_formula(temperature: float) -> None:
    base, model = np.random.default_rng(0).normal(size=(2, 5, 7)) * 3
    ours, theirs = softmax(base / temperature, -1), softmax(model / temperature, -1)
    expected = temperature**2 * rel_entr(ours, theirs).sum(-1).mean()
    found = divergence(torch.from_numpy(base), torch.from_numpy(model), temperature)
    assert float(found) == pytest.approx(float(expected), rel=1e-9)


def test_at_a_high_temperature_its_gradient_is_that_of_matching_logits() -> None:
    """Hinton et al. 2015, equation 4: (z - v) / N for logits z and v of mean 0, once multiplied by T²."""
    torch.manual_seed(0)
    both = torch.randn(2, 4, 6, dtype=torch.float64)
    base, model = both - both.mean(-1, keepdim=True)
    model = model.clone().requires_grad_(True)
    loss: Any = divergence(base, model, 1e4)
    loss.backward()
    assert model.grad is not None
    assert torch.allclose(model.grad * 4, (model - base).detach() / 6, atol=1e-4)


@pytest.mark.parametrize("name", ["bert", "tiny_encoder", "llama", "sentences", "vit"])
def test_a_model_that_is_still_the_base_diverges_by_nothing_and_no_random_number_is_taken(
    made: Made, name: str
) -> None:
    asked = made(name, kl=1.0, replay=0.5)
    model, _ = trainee(asked, 0)
    model.train()
    before = torch.get_rng_state()
    kl, replay = penalties(asked, model, 0)
    assert [value(kl, model, step) for step in range(3)] == pytest.approx([0, 0, 0], abs=1e-6)
    if name in ("bert", "llama"):
        assert value(replay, model, 0) > 1
    else:
        assert value(replay, model, 0) == pytest.approx(0, abs=1e-9)
    assert all(part.training for part in model.modules())
    assert torch.equal(torch.get_rng_state(), before)
    shaken(model)
    assert value(kl, model, 0) > 1e-4
    again = penalties(asked, model, 0)  # as after an interruption
    for step in (0, 5):
        assert [value(one, model, step) for one in again] == [value(one, model, step) for one in (kl, replay)]
    assert value(kl, model, 5) != value(kl, model, 6)


def test_of_a_causal_base_it_is_of_the_next_tokens(made: Made) -> None:
    """Asked of transformers itself, text by text; texts so short that every place of them is asked."""
    short = [Item(id=f"s{i}", cluster="s", text=f"{WORDS[i % 8]} {WORDS[i // 8]}") for i in range(20)]
    asked = made("llama", short, kl=2.0, temperature=3.0)
    model, tokenizer = shaken(trainee(asked, 0)[0]), load_tokenizer(asked.base)
    base, [kl] = base_network(asked).model, penalties(asked, model, 5)
    found = []
    for row in drawn(5, 7, len(short), 8, KL):
        ids = tokenizer(short[row].text, return_tensors="pt")["input_ids"]
        assert ids.shape[1] <= PLACES + 1
        with torch.no_grad():
            ours, theirs = (softmax(one(ids).logits[0, :-1].double().numpy() / 3, -1) for one in (base, model))
        found.append(9 * rel_entr(ours, theirs).sum(-1))
    assert value(kl, model, 7) == pytest.approx(2 * np.concatenate(found).mean(), rel=1e-4)


def test_of_images_it_is_of_the_classes_by_the_head_of_the_base(made: Made) -> None:
    asked = made("vit", kl=1.0)
    model = shaken(trainee(asked, 0)[0])
    base, [kl] = base_network(asked).model, penalties(asked, model, 0)
    general = General(asked, base_network(asked))
    rows = drawn(0, 3, 9, 8, KL)
    pixels = torch.cat([general._read[row] for row in rows if general.classes(base, [row]) is not None])
    with torch.no_grad():
        ours = softmax(base(pixel_values=pixels).logits.double().numpy(), -1)
        model.classifier = base.classifier
        theirs = softmax(model(pixel_values=pixels).logits.double().numpy(), -1)
    assert value(kl, model, 3) == pytest.approx(rel_entr(ours, theirs).sum(-1).mean(), rel=1e-3)


def test_without_a_head_it_is_of_which_other_item_is_nearest(made: Made) -> None:
    asked = made("tiny_encoder", kl=1.0)
    model, view = shaken(trainee(asked, 0)[0]), load_base(asked.base, "encoder")
    [kl] = penalties(asked, model, 0)
    rows = drawn(0, 3, len(OTHER), 8, KL)
    sides = [view.ask("embedding", [OTHER[row] for row in rows])]
    view._network.backbone.load_state_dict(model.bert.state_dict())  # type: ignore[attr-defined]
    sides.append(view.ask("embedding", [OTHER[row] for row in rows]))
    shares = []
    for vectors in sides:
        unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        logits = SHARP * unit @ unit.T
        np.fill_diagonal(logits, -np.inf)
        shares.append(softmax(logits, -1))
    assert value(kl, model, 3) == pytest.approx(rel_entr(*shares).sum(-1).mean(), rel=1e-4)


def test_two_items_have_no_other_to_be_nearer(made: Made) -> None:
    asked = made("tiny_encoder", OTHER[:2], kl=1.0)
    with pytest.raises(InputError, match=r"\[adapt.protect\] kl: it asks which of two other items is nearer"):
        penalties(asked, trainee(asked, 0)[0], 0)


def test_of_a_tuner_it_is_asked_with_the_tuner_on(made: Made) -> None:
    from audit.adapt.tuner import with_tuner

    asked = made("llama", kl=1.0, replay=0.5)
    method = Peft(method="peft", max_length=32, batch_size=8, protect=asked.method.protect)  # type: ignore[union-attr]
    asked = Plan(asked.base, "causal", asked.task, method, OTHER)
    model, new = trainee(asked, 0)
    model = with_tuner(model, "causal", method, new)
    kl, replay = penalties(asked, model, 0)
    before = value(replay, model, 0)
    assert value(kl, model, 0) == pytest.approx(0, abs=1e-6)
    with torch.no_grad():
        for name, one in model.named_parameters():
            if "lora_B" in name:
                one.add_(0.1)
    assert value(kl, model, 0) > 1e-3
    assert value(replay, model, 0) != before
    loss: Any = kl(model, 0) + replay(model, 0)
    loss.backward()
    assert all((one.grad is not None) == ("lora" in name) for name, one in model.named_parameters())


# --- rehearsal --------------------------------------------------------------------------------------------------------


def test_draws_depend_on_seed_and_step_and_are_even() -> None:
    draws = [drawn(0, step, 24, 6, 1) for step in range(2000)]
    assert all(len(set(one)) == 6 for one in draws)
    counts = np.bincount(np.concatenate(draws), minlength=24)
    assert np.abs(counts - 500).max() < 5 * np.sqrt(500 * 18 / 24)  # hypergeometric
    assert drawn(0, 3, 24, 6, 1) == draws[3] != drawn(1, 3, 24, 6, 1)
    assert drawn(0, 3, 24, 6, 2) != draws[3]


@pytest.mark.parametrize("share", [0.2, 0.5, 0.75])
def test_the_share_of_a_batch_is_general_items(made: Made, share: float) -> None:
    asked = made("llama", replay=share)
    [replay] = penalties(asked, trainee(asked, 0)[0], 0)
    assert isinstance(replay, Rehearsal)
    assert len(replay.rows(0)) / (len(replay.rows(0)) + 8) == pytest.approx(share)
    assert replay.weight_of_task == 1 - share


def test_of_a_causal_base_the_lesson_is_its_next_tokens(made: Made) -> None:
    asked = made("llama", replay=0.2)
    model, tokenizer = shaken(trainee(asked, 0)[0]), load_tokenizer(asked.base)
    [replay] = penalties(asked, model, 0)
    assert isinstance(replay, Rehearsal)
    nats, count = 0.0, 0
    for row in replay.rows(4):
        ids = tokenizer(OTHER[row].text, return_tensors="pt")["input_ids"]
        with torch.no_grad():
            nats += float(model(input_ids=ids, labels=ids).loss) * (ids.shape[1] - 1)
        count += ids.shape[1] - 1
    assert value(replay, model, 4) == pytest.approx(0.2 * nats / count, rel=1e-4)


def test_of_a_masked_base_it_is_hidden_tokens_under_the_head_of_the_base(made: Made) -> None:
    asked = made("bert", replay=0.5)
    model, network = shaken(trainee(asked, 0)[0]), base_network(asked)
    [replay] = penalties(asked, model, 0)
    assert isinstance(replay, Rehearsal)
    general, tokenizer = General(asked, network), load_tokenizer(asked.base)
    questions = general.questions(replay.rows(2), (0, 2))
    own = general.tokens(replay.rows(2))[0].flatten()
    hidden = questions.ids.flatten() != own
    assert hidden.nonzero()[:, 0].tolist() == questions.at.tolist()
    assert set(questions.ids.flatten()[hidden].tolist()) == {tokenizer.mask_token_id}
    assert torch.equal(own[hidden], questions.answers)
    readable = [len(general.sequences[row]) - 2 for row in replay.rows(2)]
    assert int(hidden.sum()) == sum(max(1, round(MASKED * one)) for one in readable)
    decoder = network.model.cls.predictions.decoder
    decoder.weight = torch.nn.Parameter(decoder.weight.detach().clone())  # else it would change with the embeddings
    network.model.bert.load_state_dict(model.bert.state_dict(), strict=False)
    with torch.no_grad():
        logits = network.model(input_ids=questions.ids, attention_mask=questions.mask).logits.flatten(0, 1)
    nats = torch.nn.functional.cross_entropy(logits[questions.at], questions.answers)
    assert value(replay, model, 2) == pytest.approx(0.5 * float(nats), rel=1e-4)
    assert not torch.equal(general.questions(replay.rows(2), (0, 3)).ids, questions.ids)


@pytest.mark.parametrize("name", ["tiny_encoder", "sentences"])
def test_without_a_head_it_is_the_vectors_of_the_base(made: Made, name: str) -> None:
    asked = made(name, replay=0.25)
    model = trainee(asked, 0)[0]
    [replay] = penalties(asked, model, 0)
    assert isinstance(replay, Rehearsal)
    view = load_base(asked.base, asked.kind)
    before = view.ask("embedding", OTHER)
    shaken(model)
    view._network.backbone.load_state_dict(backbone_of(model).state_dict())  # type: ignore[attr-defined]
    moved = view.ask("embedding", OTHER) - before
    expected = (moved[replay.rows(1)] ** 2).sum(1).mean() / (before**2).sum(1).mean()
    assert value(replay, model, 1) == pytest.approx(0.25 * float(expected), rel=1e-3)


def test_what_is_asked_of_an_item_does_not_depend_on_its_company(made: Made) -> None:
    asked = made("bert", kl=1.0)
    general = General(asked, base_network(asked))
    alone, among = general.questions([3], (0,)), general.questions([8, 3], (0,))
    width = alone.ids.shape[1]
    assert torch.equal(among.ids[1, :width], alone.ids[0])
    with torch.no_grad():
        one = general.words(general.base, alone.ids, alone.mask, alone.at)
        two = general.words(general.base, among.ids, among.mask, among.at)
    assert torch.allclose(two[-len(one) :], one, atol=1e-5)


def test_the_curve_holds_the_task_as_it_is_and_the_rehearsal_with_its_share(made: Made, tmp_path: Path) -> None:
    items = [Item(id=f"t{i}", cluster=f"t{i}", text=f"The {WORDS[i % 8]} clerk", label="ab"[i % 2]) for i in range(8)]
    asked = made("llama", replay=0.25)
    model, _ = trainee(asked, 0)
    [replay] = penalties(asked, model, 0)
    rows, collate = training_rows(asked, model, items)
    curve = adapt(asked, items, 0, tmp_path).curve
    assert curve["loss"].iloc[0] == pytest.approx(float(model(**collate(rows)).loss.detach()), rel=1e-5)
    assert curve["replay"].iloc[0] == pytest.approx(value(replay, model, 0), rel=1e-5)
