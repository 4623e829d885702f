"""The first step of lp_ft: a fitted classification layer on a base that is not touched."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from audit.adapt import Plan, adapt
from audit.adapt.lp import fit_first
from audit.adapt.rows import training_rows, units_of
from audit.adapt.trainee import trainee
from audit.errors import InputError
from audit.models.load import load_base
from audit.models.source import resolve
from audit.recipe import LpFt, Task
from audit.view import Item, Kind
from tests import families

LABELS = ("late", "rude", "broken")
WORDS = ("late again", "very rude", "it broke", "we like it", "no answer", "thank you", "on time", "kind", "new", "old")
TASKS: dict[str, Any] = {
    "single_label": Task(dataset="none", labels=LABELS),
    "multi_label": Task(dataset="none", type="multi_label", labels=LABELS),
    "regression": Task(dataset="none", type="regression"),
}
STEP = LpFt(method="lp_ft", epochs=1, batch_size=4, learning_rate=1e-12, warmup=0.0, regularisation=0.1)
FAMILIES: dict[str, tuple[Kind, Any]] = {
    "bert": ("encoder", families.MASKED["bert"]),
    "roberta": ("encoder", families.MASKED["roberta"]),
    "resnet": ("vision", families.VISION["resnet"]),
    "vit": ("vision", families.VISION["vit-headless"]),
    "mean": ("sentence_encoder", families.SENTENCE["mean"]),
    "clip": ("clip", families.CLIP["clip"]),
}


def label(type: str, n: int) -> str:
    if type == "single_label":
        return LABELS[n % 3]
    if type == "multi_label":
        return json.dumps([name for at, name in enumerate(LABELS) if n % (at + 2) == 0])
    return repr(1990.0 + 3.5 * n * n)


def asked(name: str, type: str, folder: Path) -> tuple[Plan, list[Item]]:
    kind, build = FAMILIES[name]
    plan = Plan(resolve(str(build(folder / "base"))), kind, TASKS[type], STEP)
    if kind in ("vision", "clip"):
        paths = families.images(folder / "images", 9)
        return plan, [
            Item(id=f"{n}", cluster=f"{n}", image=str(one), label=label(type, n)) for n, one in enumerate(paths)
        ]
    return plan, [Item(id=f"{n}", cluster=f"{n}", text=one, label=label(type, n)) for n, one in enumerate(WORDS)]


def last(model: Any) -> Any:
    """The classification layer, by its name."""
    if hasattr(model, "head"):
        return model.head
    return getattr(
        model.classifier, "out_proj", model.classifier[-1] if "ResNet" in type(model).__name__ else model.classifier
    )


def read(model: Any, plan: Plan, items: list[Item], layer: Any) -> tuple[Any, Any]:
    """What reaches the layer, one item at a time, and what it answers."""
    rows, collate = training_rows(plan, model, items)
    fed: list[Any] = []
    hook = layer.register_forward_pre_hook(lambda _, given: fed.append(given[0]))
    model.eval()
    with torch.no_grad():
        logits = torch.cat([model(**{**collate([row]), "labels": None}).logits for row in rows])
    hook.remove()
    return torch.cat(fed).double().numpy(), logits.double().numpy()


@pytest.mark.parametrize("type", TASKS)
@pytest.mark.parametrize("name", ["bert", "roberta", "resnet", "mean", "clip"])
def test_the_layer_is_at_the_minimum_of_its_loss(name: str, type: str, tmp_path: Path) -> None:
    """At the minimum of the mean loss plus half the squared weights the gradient is 0: cross entropy's is known."""
    plan, items = asked(name, type, tmp_path)
    model, _ = trainee(plan, 0)
    before = {path: one.clone() for path, one in model.state_dict().items()}
    layer = last(model)
    fit_first(model, plan, *training_rows(plan, model, items))
    path = next(path for path, one in model.named_modules() if one is layer)
    moved = {one for one, tensor in model.state_dict().items() if not torch.equal(tensor, before[one])}
    assert moved == {f"{path}.weight", f"{path}.bias"}

    features, logits = read(model, plan, items, layer)
    deviation = features.std(axis=0)  # of what hardly varies, a hundredth of the spread (see audit.probe)
    deviation = np.maximum(deviation, 0.01 * np.sqrt((deviation**2).mean()))
    scaled = (features - features.mean(axis=0)) / deviation
    weight = layer.weight.detach().double().numpy() * deviation
    if type == "regression":
        numbers, units = np.array([float(item.label or "") for item in items]), units_of(items)
        target = ((numbers - units.mean) / units.scale)[:, None]
        residual = logits - target
    elif type == "multi_label":
        target = np.array([[name in json.loads(item.label or "") for name in LABELS] for item in items])
        residual = 1 / (1 + np.exp(-logits)) - target
    else:
        target = np.eye(3)[[LABELS.index(item.label or "") for item in items]]
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        residual = odds / odds.sum(axis=1, keepdims=True) - target
    gradient = residual.T @ scaled / len(items) + 0.1 * weight
    assert np.abs(gradient).max() < 2e-3
    assert np.abs(residual.mean(axis=0)).max() < 2e-3
    assert np.abs(weight).max() > 0.05


def test_two_classes_share_the_log_odds(tmp_path: Path) -> None:
    """Of two classes, one logistic regression is fitted, and the softmax of the halves is its answer."""
    plan, items = asked("bert", "single_label", tmp_path)
    two = Plan(plan.base, plan.kind, Task(dataset="none", labels=("late", "rude")), STEP)
    some = [item.model_copy(update={"label": ("late", "rude")[n % 2]}) for n, item in enumerate(items)]
    model, _ = trainee(two, 0)
    fit_first(model, two, *training_rows(two, model, some))
    assert torch.allclose(model.classifier.weight[0], -model.classifier.weight[1])
    _, logits = read(model, two, some, model.classifier)
    chance = 1 / (1 + np.exp(logits[:, 0] - logits[:, 1]))
    assert float((chance - np.arange(10) % 2).mean()) == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize("name", ["bert", "vit"])
def test_a_training_that_hardly_moves_answers_as_the_probe(name: str, tmp_path: Path) -> None:
    plan, items = asked(name, "single_label", tmp_path)
    model, _ = trainee(plan, 3)
    fit_first(model, plan, *training_rows(plan, model, items))
    _, logits = read(model, plan, items, last(model))
    folder = tmp_path / "adapted"
    folder.mkdir()
    adapt(plan, items, 3, folder)
    view = load_base(resolve(str(folder)), plan.kind)
    said = np.log(view.ask("probabilities", items))
    wanted = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    assert said == pytest.approx(wanted, abs=2e-3)


def test_a_class_that_no_item_has_is_never_said(tmp_path: Path) -> None:
    plan, items = asked("bert", "single_label", tmp_path)
    some = [item for item in items if item.label != "broken"]
    model, _ = trainee(plan, 0)
    fit_first(model, plan, *training_rows(plan, model, some))
    _, logits = read(model, plan, some, model.classifier)
    assert (logits[:, 2] < logits[:, :2].min(axis=1) - 10).all()


def test_dropout_draws_nothing_and_the_mode_stays(tmp_path: Path) -> None:
    plan, items = asked("bert", "single_label", tmp_path)
    fitted = []
    for number in range(2):
        model, _ = trainee(plan, 0)
        model.train()
        torch.manual_seed(number)
        state = torch.get_rng_state()
        fit_first(model, plan, *training_rows(plan, model, items))
        assert torch.equal(torch.get_rng_state(), state)
        assert all(part.training for part in model.modules())
        fitted.append(model.classifier.weight.detach().clone())
    assert torch.equal(*fitted)


def test_a_model_without_such_a_layer_is_refused(tmp_path: Path) -> None:
    plan, items = asked("bert", "single_label", tmp_path)
    model, _ = trainee(plan, 0)
    rows, collate = training_rows(plan, model, items)
    model.classifier = torch.nn.Linear(32, 3, bias=False)
    with pytest.raises(InputError, match="has no linear layer with 3 outputs and a bias"):
        fit_first(model, plan, rows, collate)
