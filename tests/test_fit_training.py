"""The training loop: with one group a plain Trainer bit for bit; groups thaw in their epoch; penalties; stopping."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoTokenizer,
    BertConfig,
    BertForMaskedLM,
    BertForSequenceClassification,
    Trainer,
    TrainingArguments,
)

from audit.adapt.fit import Group, fit
from audit.adapt.plan import Plan
from audit.adapt.rows import training_rows
from audit.adapt.trainee import trainee
from audit.errors import InputError
from audit.models.source import resolve
from audit.recipe import Full, Task
from audit.view import Item
from tests.test_ranks import launch

SETTINGS = Full(method="full", epochs=3, batch_size=4, learning_rate=1e-2, max_length=8)
State = dict[str, torch.Tensor]


def classifier(seed: int = 0) -> Any:
    """A small BERT with dropout."""
    torch.manual_seed(seed)
    config = BertConfig(vocab_size=32, hidden_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16)
    return BertForSequenceClassification(config)


def rows(count: int = 18) -> list[dict[str, Any]]:
    """Texts of random tokens, whose class is the first one's parity."""
    drawn = torch.randint(1, 32, (count, 6), generator=torch.Generator().manual_seed(7)).tolist()
    return [{"input_ids": ids, "labels": ids[0] % 2} for ids in drawn]


def collate(batch: Sequence[Any]) -> dict[str, torch.Tensor]:
    ids = torch.tensor([row["input_ids"] for row in batch])
    return {
        "input_ids": ids,
        "attention_mask": torch.ones_like(ids),
        "labels": torch.tensor([row["labels"] for row in batch]),
    }


def everything(model: Any) -> list[Group]:
    return [Group(tuple(name for name, _ in model.named_parameters()), SETTINGS.learning_rate)]


def state(model: Any) -> State:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def same(one: State, other: State) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one.keys() | other.keys())


class Pull:
    """Half the strength times the squared length of the classifier's weights."""

    weight_of_task = 1.0

    def __init__(self, strength: float, name: str = "pull") -> None:
        self.strength, self.name, self.steps = strength, name, list[int]()

    def __call__(self, model: Any, step: int) -> torch.Tensor:
        self.steps.append(step)
        weight: torch.Tensor = model.classifier.weight
        return self.strength / 2 * weight.square().sum()


# --- plain ------------------------------------------------------------------------------------------------------------


@cache
def plain(seed: int = 0) -> tuple[State, list[float]]:
    """What transformers' own Trainer makes of it, and the losses that it logs."""
    model = classifier()
    with tempfile.TemporaryDirectory() as scratch:
        arguments = TrainingArguments(
            output_dir=scratch, per_device_train_batch_size=4, num_train_epochs=3, learning_rate=1e-2,
            weight_decay=SETTINGS.weight_decay, warmup_steps=SETTINGS.warmup, max_grad_norm=1.0, seed=seed,
            data_seed=seed, save_strategy="no", report_to=[], disable_tqdm=True, logging_steps=1, use_cpu=True,
            dataloader_pin_memory=False,
        )  # fmt: skip
        trainer = Trainer(model=model, args=arguments, train_dataset=rows(), data_collator=collate)
        trainer.pop_callback(type(trainer.callback_handler.callbacks[-1]))  # which prints
        trainer.train()
    return state(model), [row["loss"] for row in trainer.state.log_history if "loss" in row]


def test_one_group_and_nothing_else_is_a_plain_trainer_bit_for_bit() -> None:
    model = classifier()
    curve = fit(model, rows(), collate, SETTINGS, everything(model), seed=0)
    weights, losses = plain()
    assert same(state(model), weights)
    assert not same(weights, plain(seed=1)[0])  # the law could fail
    assert list(curve.columns) == ["step", "epoch", "loss", "learning_rate"]
    assert curve["loss"].tolist() == pytest.approx(losses, abs=1e-6)
    assert curve["step"].tolist() == list(range(1, 16))
    assert curve["epoch"].iloc[[4, 14]].tolist() == [1.0, 3.0]


def test_the_same_seed_gives_the_same_weights_and_another_gives_others() -> None:
    made = []
    for seed in (0, 0, 1):
        model = classifier()
        fit(model, rows(), collate, SETTINGS, everything(model), seed=seed)
        made.append(state(model))
    assert same(made[0], made[1])
    assert not same(made[0], made[2])


def test_the_rate_rises_over_the_warm_up_and_falls_to_nothing_in_every_group() -> None:
    """Linear warm-up over ceil(.1 x 15) = 2 steps, then linearly down over the 13 that are left: by hand."""
    model = classifier()
    head = tuple(name for name, _ in model.named_parameters() if name.startswith("classifier"))
    body = tuple(name for name, _ in model.named_parameters() if not name.startswith("classifier"))
    curve = fit(model, rows(), collate, SETTINGS, [Group(body, 1e-3), Group(head, 1e-2)], seed=0)
    by_hand = [1e-2 * (step / 2 if step < 2 else (15 - step) / 13) for step in range(15)]
    assert np.allclose(curve["learning_rate"], by_hand, rtol=1e-12)  # that of the head, which is the highest


def test_a_group_learns_at_its_own_rate() -> None:
    """Adam's first step moves every weight by its rate, whatever the gradient: Kingma & Ba, ICLR 2015, section 2.1."""
    model = classifier().eval()
    before = state(model)
    head, body = ("classifier.weight",), ("bert.pooler.dense.weight",)
    settings = SETTINGS.model_copy(update={"epochs": 1, "warmup": 0.0, "weight_decay": 0.0, "batch_size": 18})
    fit(model, rows(), collate, settings, [Group(head, 1e-3), Group(body, 1e-5)], seed=0)
    for (name,), rate in ((head, 1e-3), (body, 1e-5)):
        moved = (model.state_dict()[name] - before[name]).abs()
        assert np.isclose(float(moved.median()), rate, rtol=0.02)


def test_weight_decay_spares_biases_and_norms() -> None:
    """Without gradients, a step multiplies a weight by 1 - rate x decay: Loshchilov & Hutter, ICLR 2019."""

    class Silent(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.norm = torch.nn.Linear(2, 2), torch.nn.LayerNorm(2)

        def forward(self, input_ids: Any, attention_mask: Any, labels: Any) -> dict[str, Any]:
            return {"loss": sum(one.sum() * 0 for one in self.parameters())}

    model = Silent()
    before = state(model)
    settings = SETTINGS.model_copy(update={"epochs": 1, "warmup": 0.0, "weight_decay": 0.5, "batch_size": 18})
    fit(model, rows(), collate, settings, everything(model), seed=0)
    after = state(model)
    assert torch.allclose(after["layer.weight"], before["layer.weight"] * (1 - 1e-2 * 0.5), rtol=1e-6)
    for name in ("layer.bias", "norm.weight", "norm.bias"):
        assert torch.equal(after[name], before[name])
    model = Silent()
    before = state(model)
    fit(model, rows(), collate, settings, everything(model), seed=0, anchored={"layer.weight"})
    assert same(state(model), before)


# --- groups -----------------------------------------------------------------------------------------------------------

PARTS = ("classifier", "bert.pooler", "bert.encoder.layer.1")


def gradual(model: Any) -> list[Group]:
    names = [name for name, _ in model.named_parameters()]
    return [
        Group(tuple(name for name in names if name.startswith(part)), 1e-2 / 2.6**epoch, epoch)
        for epoch, part in enumerate(PARTS)
    ]


def test_groups_train_from_their_epoch_on_and_not_before_and_what_is_in_none_never() -> None:
    model = classifier()
    start, seen = state(model), list[State]()

    def look(model: Any, epoch: int) -> bool:
        assert len(seen) == epoch
        learning = {name for group in gradual(model)[: epoch + 1] for name in group.names}
        assert {name for name, one in model.named_parameters() if one.requires_grad} == learning
        seen.append(state(model))
        return False

    fit(model, rows(), collate, SETTINGS, gradual(model), seed=0, stop=look)
    for epoch, (before, after) in enumerate(zip([start, *seen], seen, strict=False)):
        for name in start:
            part = next((number for number, part in enumerate(PARTS) if name.startswith(part)), 99)
            # a key's bias moves no attention: its gradient is rounding, if anything
            assert torch.equal(before[name], after[name]) == (part > epoch) or name.endswith("key.bias"), (epoch, name)
    assert same(seen[-1], state(model))


def test_a_frozen_batch_norm_keeps_its_statistics_and_a_trained_one_does_not() -> None:
    class Normed(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.below, self.above = torch.nn.BatchNorm1d(6), torch.nn.BatchNorm1d(6)
            self.head = torch.nn.Linear(6, 2)

        def forward(self, input_ids: Any, attention_mask: Any, labels: Any) -> dict[str, Any]:
            logits = self.head(self.above(self.below(input_ids.float())))
            return {"loss": torch.nn.functional.cross_entropy(logits, labels)}

    model = Normed()
    before, seen = state(model), list[State]()

    def look(model: Any, epoch: int) -> bool:
        seen.append(state(model))
        return False

    names = [name for name, _ in model.named_parameters()]
    groups = [
        Group(tuple(name for name in names if name.startswith("head")), 1e-2),
        Group(tuple(name for name in names if name.startswith("above")), 1e-2, 1),
    ]
    fit(model, rows(), collate, SETTINGS, groups, seed=0, stop=look)
    after = state(model)
    for name in ("below.running_mean", "below.running_var", "below.num_batches_tracked"):
        assert torch.equal(after[name], before[name])
    assert torch.equal(seen[0]["above.running_mean"], before["above.running_mean"])
    assert not torch.equal(after["above.running_mean"], before["above.running_mean"])


# --- penalties --------------------------------------------------------------------------------------------------------


def test_a_penalty_is_added_to_the_loss_and_kept_in_the_curve() -> None:
    """With the task weighed at 0, a penalty on the classifier's weights moves them alone, towards 0."""
    model, pull = classifier(), Pull(3.0)
    weights = model.classifier.weight.detach().clone()
    curve = fit(model, rows(), collate, SETTINGS, everything(model), seed=0, penalties=[pull])
    assert pull.steps == list(range(15))
    assert curve["pull"].iloc[0] == pytest.approx(1.5 * float(weights.square().sum()), rel=1e-6)
    assert curve["loss"].iloc[0] == pytest.approx(plain()[1][0], abs=1e-6)  # the task's own, without the penalty
    alone = Pull(1e4)
    alone.weight_of_task = 0.0
    model = classifier()
    before = state(model)
    still = SETTINGS.model_copy(update={"weight_decay": 0.0})
    fit(model, rows(), collate, still, everything(model), seed=0, penalties=[alone])
    moved = {name for name, tensor in state(model).items() if not torch.equal(tensor, before[name])}
    assert moved == {"classifier.weight"}
    assert model.classifier.weight.detach().norm() < weights.norm()


def test_a_penalty_of_nothing_changes_nothing() -> None:
    made = []
    for penalties in ((), (Pull(0.0),), (Pull(0.5),)):
        model = classifier()
        fit(model, rows(), collate, SETTINGS, everything(model), seed=0, penalties=penalties)
        made.append(state(model))
    assert same(made[0], made[1])
    assert not same(made[0], made[2])


def test_what_a_penalty_asks_the_model_is_not_penalised_again() -> None:
    class Asks(Pull):
        def __call__(self, model: Any, step: int) -> torch.Tensor:
            with torch.random.fork_rng([]):
                heard: torch.Tensor = model(**collate(rows(4))).loss
            self.steps.append(step)
            return heard

    model, asks = classifier(), Asks(1.0, "asks")
    curve = fit(model, rows(), collate, SETTINGS, everything(model), seed=0, penalties=[asks])
    assert asks.steps == list(range(15))
    assert {"loss", "asks"} < set(curve.columns)


# --- stopping ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("last", [0, 1, 2])
def test_an_epoch_that_goes_too_far_is_taken_back_and_ends_training(last: int) -> None:
    model, seen = classifier(), []
    seen.append(state(model))

    def stop(model: Any, epoch: int) -> bool:
        seen.append(state(model))
        return epoch == last

    curve = fit(model, rows(), collate, SETTINGS, everything(model), seed=0, stop=stop)
    assert len(seen) == last + 2
    assert same(state(model), seen[last])
    assert not same(seen[last], seen[last + 1])
    assert len(curve) == 5 * (last + 1)  # what was taken back was nevertheless done


def test_a_loss_that_is_not_finite_stops_before_a_weight_is_spoilt() -> None:
    class Blows(Pull):
        def __call__(self, model: Any, step: int) -> torch.Tensor:
            return super().__call__(model, step) * (float("nan") if step == 11 else 1.0)

    model = classifier()
    with pytest.raises(InputError) as error:
        fit(model, rows(), collate, SETTINGS, everything(model), seed=4, penalties=[Blows(0.1)])
    assert str(error.value) == "seed 4: the loss is not finite at step 12: lower [adapt] learning_rate = 0.01"
    assert all(tensor.isfinite().all() for tensor in model.parameters())


def test_progress_counts_every_step_and_rows_are_told_the_epoch() -> None:
    class Rows(list[Any]):
        epochs: list[int]

        def set_epoch(self, epoch: int) -> None:
            self.epochs.append(epoch)

    told: list[tuple[int, int]] = []
    model, some = classifier(), Rows(rows())
    some.epochs = []
    cached = model.config.use_cache
    fit(model, some, collate, SETTINGS, everything(model), seed=0, progress=lambda *one: told.append(one))
    assert told == [(step, 15) for step in range(1, 16)]
    assert [one for one, _ in groupby(some.epochs)] == [0, 1, 2]  # the loader tells them as well
    assert model.config.use_cache == cached
    assert not model._forward_hooks


# --- tokens -----------------------------------------------------------------------------------------------------------


def test_a_completion_that_was_cut_is_taught_no_end(llama: Path) -> None:
    tokenizer: Any = AutoTokenizer.from_pretrained(llama)
    whole = tokenizer(" seven eight nine", add_special_tokens=False)["input_ids"]
    item = Item(id="a", cluster="a", text="one", label=" seven eight nine")
    ends = {}
    for room in (len(whole), len(whole) + 1):  # and one token of the prompt
        method = SETTINGS.model_copy(update={"max_length": room + 1})
        plan = Plan(resolve(str(llama)), "causal", Task(dataset="none", type="completion"), method)
        (row,), _ = training_rows(plan, trainee(plan, 0)[0], [item])
        ends[room] = row["cut"], row["labels"][1:]
    assert ends == {len(whole): (True, whole), len(whole) + 1: (False, [*whole, tokenizer.eos_token_id])}


def uneven() -> tuple[State, list[float]]:
    """Train a masked model on rows of one labelled token and of six, without dropout; weights, and the losses."""
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=32, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
    )  # fmt: skip
    model: Any = BertForMaskedLM(config)
    some = [
        {"input_ids": row["input_ids"], "labels": [*row["input_ids"][:1], *(row["input_ids"][1:] if n % 3 else HIDDEN)]}
        for n, row in enumerate(rows(16))
    ]
    settings = SETTINGS.model_copy(update={"epochs": 1, "learning_rate": 1e-3})
    curve = fit(model, some, collate, settings, everything(model), seed=0, penalties=[Silence()])
    return state(model), curve["loss"].tolist()


HIDDEN = [-100] * 5


class Silence(Pull):
    """Adds what is the same on all ranks, and must not be weighed by their tokens."""

    def __init__(self) -> None:
        super().__init__(0.1, "silence")

    def __call__(self, model: Any, step: int) -> torch.Tensor:
        weight: torch.Tensor = model.cls.predictions.bias
        return self.strength / 2 * (weight - 1).square().sum()


def test_on_two_ranks_every_labelled_token_counts_alike(tmp_path: Path) -> None:
    """The loss of a batch is the mean over its tokens, and not over the ranks' means: as on one rank."""
    launch("-m", "tests.test_fit_training", str(tmp_path))
    weights, losses = uneven()
    said = [float(one) for one in (tmp_path / "losses.txt").read_text().split()]
    assert said == pytest.approx(losses, rel=1e-5)
    for name, tensor in load_file(tmp_path / "weights.safetensors").items():
        if not name.endswith("key.bias"):  # it moves no attention: Adam blows its rounding up to a step
            assert torch.allclose(tensor, weights[name], atol=1e-5), name


if __name__ == "__main__":  # what that test launches
    import os

    torch.set_num_threads(1)
    made, found = uneven()
    if os.environ["RANK"] == "0":
        out = Path(sys.argv[1])
        save_file({name: one.contiguous().clone() for name, one in made.items()}, out / "weights.safetensors")
        (out / "losses.txt").write_text(" ".join(map(str, found)))
    os._exit(0)  # gloo's threads abort a process now and then as it ends
