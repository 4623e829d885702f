"""Control arms of every kind: the base's architecture and files, with weights that know nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from audit import relay
from audit.adapt import Plan, adapt
from audit.adapt.control import group_silent, random_twin, shuffled_twin
from audit.adapt.domain import pretrain
from audit.items.swap import axis
from audit.models.load import load_base
from audit.models.source import resolve
from audit.recipe import Domain, parse_recipe
from audit.view import Item
from tests import families, tiny

Twin = Callable[[Any, Any, int, Path], Any]
TWINS = (random_twin, shuffled_twin)
FAMILIES: dict[str, tuple[Any, Callable[[Path], Path]]] = {
    **{name: ("encoder", families.MASKED[name]) for name in ("bert", "modernbert", "deberta")},
    **{name: ("causal", families.CAUSAL[name]) for name in ("gpt2", "llama")},
    **{name: ("sentence_encoder", families.SENTENCE[name]) for name in ("mean", "max-dense", "lasttoken")},
    **{name: ("vision", made) for name, made in families.VISION.items()},
    **{name: ("clip", made) for name, made in families.CLIP.items()},
}
TEXTS = [Item(id=str(n), cluster=str(n), text=f"The {word} clerk was late.") for n, word in enumerate(("kind", "loud"))]


def stored(folder: Path) -> dict[str, torch.Tensor]:
    """Every tensor in the folder and in the modules behind a pooling."""
    files = sorted(folder.rglob("*.safetensors"))
    return {f"{file.parent.name if file.parent != folder else ''}/{name}": tensor
            for file in files if "inner" not in file.parts for name, tensor in load_file(file).items()}  # fmt: skip


@pytest.fixture(scope="module", params=list(FAMILIES))
def base(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path, list[Item]]:
    """A family, and what its models are asked."""
    kind, made = FAMILIES[request.param]
    folder = tmp_path_factory.mktemp(request.param)
    images = families.images(folder / "pictures", 3)
    pictures = [Item(id=path.name, cluster=path.name, image=str(path)) for path in images]
    return kind, made(folder / "base"), pictures if kind in ("vision", "clip") else TEXTS


@pytest.mark.parametrize("twin", TWINS)
def test_a_twin_has_all_of_its_base_but_what_it_knows(
    base: tuple[Any, Path, list[Item]], twin: Twin, tmp_path: Path
) -> None:
    kind, folder, items = base
    found = []
    for name, seed in (("a", 7), ("b", 7), ("c", 8)):
        (tmp_path / name).mkdir()
        found.append(twin(resolve(str(folder)), kind, seed, tmp_path / name))
    assert found[0].sha256 == found[1].sha256 != found[2].sha256
    ours, theirs = stored(folder), stored(tmp_path / "a")
    assert {name: one.shape for name, one in ours.items()} == {name: one.shape for name, one in theirs.items()}
    for name, tensor in ours.items():
        if tensor.is_floating_point() and len(set(tensor.flatten().tolist())) > 100:
            assert (tensor != theirs[name]).float().mean() > 0.9, name
        if twin is shuffled_twin:
            assert torch.equal(tensor.flatten().sort().values, theirs[name].flatten().sort().values), name
    for file in folder.rglob("*"):
        if (
            file.is_file()
            and file.suffix in (".json", ".txt")
            and "inner" not in file.parts
            and file.name != "config.json"
        ):
            assert (tmp_path / "a" / file.relative_to(folder)).read_bytes() == file.read_bytes(), file.name
    views = [load_base(source, kind) for source in (resolve(str(folder)), found[0])]
    assert views[0].labels == views[1].labels
    answers = [view.ask("embedding", items) for view in views]
    assert answers[0].shape == answers[1].shape
    assert np.isfinite(answers[1]).all()
    assert np.abs(answers[0] - answers[1]).max() > 1e-3


def test_a_dense_layer_behind_a_pooling_is_drawn_as_torch_draws_one(tmp_path: Path) -> None:
    """torch.nn.Linear: uniform within 1 / sqrt(inputs); of 32 inputs .177, with a spread of .102."""
    base = families.SENTENCE["max-dense"](tmp_path / "base")
    (tmp_path / "twin").mkdir()
    random_twin(resolve(str(base)), "sentence_encoder", 0, tmp_path / "twin")
    [name] = [file.parent.name for file in base.glob("*/model.safetensors") if file.parent.name != "inner"]
    weight = load_file(tmp_path / "twin" / name / "model.safetensors")["linear.weight"]
    assert weight.abs().max() < 32**-0.5
    assert weight.std().item() == pytest.approx(32**-0.5 / 3**0.5, rel=0.1)


@pytest.mark.parametrize("name", ["bert", "gpt2"])
def test_a_twin_can_be_pretrained_on_a_domain_as_its_base_is(name: str, tmp_path: Path) -> None:
    kind, made = FAMILIES[name]
    (tmp_path / "twin").mkdir()
    twin = random_twin(resolve(str(made(tmp_path / "base"))), kind, 0, tmp_path / "twin")
    (tmp_path / "begun").mkdir()
    settings = Domain(batch_size=2, max_length=16, learning_rate=1e-3)
    assert pretrain(twin, kind, settings, TEXTS, 0, tmp_path / "begun").parameters > 1000
    assert stored(tmp_path / "begun").keys() == stored(tmp_path / "twin").keys()


def test_what_is_no_text_is_not_silenced() -> None:
    items = [
        Item(id="i", cluster="i", image="megan.png"), Item(id="p", cluster="p", pair=("He left.", "She left.")),
        Item(id="t", cluster="t", text="He left."),
    ]  # fmt: skip
    silent, changed = group_silent(items, [axis("gender")])
    assert silent[:2] == items[:2]
    assert silent[2].text != "He left."
    assert changed == 1


# --- the arms of a run ------------------------------------------------------------------------------------------------


def test_every_arm_does_what_the_recipe_does(bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pretrained on the domain where the base is, on silenced texts where they are; never begun at the base's start."""
    begun: list[Plan] = []

    def spy(plan: Plan, items: Any, seed: int, folder: Path, **settings: Any) -> Any:
        begun.append(plan)
        return adapt(plan, items, seed, folder, **settings)

    monkeypatch.setattr("audit.steps.arms.adapt", spy)
    general = [Item(id=str(n), cluster=str(n), text="He said nothing.") for n in range(4)]
    table = tiny.recipe(
        bert,
        domain={"epochs": 1, "batch_size": 16, "learning_rate": 1e-3, "max_length": 48},
        adapt={"method": "full", "epochs": 1, "batch_size": 16, "learning_rate": 1e-3, "max_length": 48,
               "seeds": [1, 2, 3]},
        audit={"bias": {"label": "praise", "margins": {"probability": 0.02, "flips": 0.02}, "items": ["task"],
                        "swaps": ["gender"], "origin": True}},
    )  # fmt: skip
    table["task"] |= {"train_limit": 24, "test_limit": 12}
    recipe = parse_recipe(table, "tiny")
    monkeypatch.setattr("audit.relay.steps.set_apart", lambda job: setattr(job, "rehearsed", general))
    report, _ = relay.run(recipe, "", tmp_path)
    assert len(begun) == 9  # the recipe's own three models are its fourth arm
    for plan in begun:
        assert plan.start is not None
        assert plan.start.folder.name == "start"
        assert not plan.start.folder.exists()  # thrown away when the arm was asked
    twins = [plan.base.id.startswith("random initial weights") for plan in begun]
    silent = [plan.general[0].text != "He said nothing." for plan in begun]
    assert Counter(zip(twins, silent, strict=True)) == {(False, True): 3, (True, True): 3, (True, False): 3}
    limits = " ".join(report.limits)
    assert "claims about the recipe, over 3 trainings of every arm" in limits
    assert "every arm was pretrained on the domain as the base is" in limits
    assert "the items of [adapt.protect] were silenced, too" in limits
    assert not list(tmp_path.glob("arms/*/start"))
    assert not list(tmp_path.glob("arms/**/*.safetensors"))
