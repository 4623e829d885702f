"""Which parameters are trained: the layers of every architecture, top layers, gradual unfreezing; and their count."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from safetensors.torch import load_file
from transformers import (
    AutoModelForCausalLM,
    AutoModelForImageClassification,
    AutoModelForSequenceClassification,
    BertConfig,
    BertForSequenceClassification,
)

from audit.adapt import Plan, adapt
from audit.adapt.fit import fit
from audit.adapt.layers import groups_of
from audit.adapt.outline import outline, trained_of
from audit.adapt.rows import training_rows
from audit.adapt.trainee import trainee
from audit.errors import InputError
from audit.models.source import resolve
from audit.recipe import Full, Head, LpFt, Partial, Peft, Task, Unfreeze
from audit.view import Item, Kind
from tests import families

TASK = Task(dataset="none", labels=("plain", "striped"))
TEXTS = [
    Item(id=str(n), cluster=str(n), text=text, label=TASK.names[n % 2])
    for n, text in enumerate(("late again", "very good", "it broke", "we like it", "no answer", "thank you"))
]

# Read from the architectures' own source: the prefix of layer 1, then what stands above the layers
TRANSFORMERS: dict[str, tuple[str, set[str]]] = {
    "bert": ("bert.encoder.layer.", {"bert.pooler", "classifier"}),
    "roberta": ("roberta.encoder.layer.", {"classifier"}),
    "distilbert": ("distilbert.transformer.layer.", {"pre_classifier", "classifier"}),
    "deberta": ("deberta.encoder.layer.", {"pooler", "classifier"}),
    "modernbert": ("model.layers.", {"model.final_norm", "head", "classifier"}),
    "electra": ("electra.encoder.layer.", {"classifier"}),
    "gpt2": ("transformer.h.", {"transformer.ln_f"}),
    "llama": ("model.layers.", {"model.norm", "lm_head"}),
    "mistral": ("model.layers.", {"model.norm", "lm_head"}),
    "falcon": ("transformer.h.", {"transformer.ln_f"}),
    "bloom": ("transformer.h.", {"transformer.ln_f"}),
    "qwen2": ("model.layers.", {"model.norm", "lm_head"}),
    "gemma2": ("model.layers.", {"model.norm"}),
    "opt": ("model.decoder.layers.", {"model.decoder.final_layer_norm"}),
    "mamba": ("backbone.layers.", {"backbone.norm_f"}),
    "vit": ("vit.layers.", {"vit.layernorm", "classifier"}),
    "resnet": ("resnet.encoder.stages.", {"classifier"}),
    "convnext": ("convnext.encoder.stages.", {"convnext.layernorm", "classifier"}),
    "efficientnet": (
        "efficientnet.encoder.blocks.",
        {"efficientnet.encoder.top_conv", "efficientnet.encoder.top_bn", "classifier"},
    ),
}


def loaded(name: str, folder: Path) -> tuple[Any, int]:
    """Build a family's model under its head; return it and how many layers or stages it has."""
    if name in families.MASKED:
        return AutoModelForSequenceClassification.from_pretrained(families.MASKED[name](folder)), 2
    if name in families.CAUSAL:
        return AutoModelForCausalLM.from_pretrained(families.CAUSAL[name](folder)), 2
    model = AutoModelForImageClassification.from_pretrained(families.VISION[name](folder))
    return model, 7 if name == "efficientnet" else 2


def below(name: str, modules: set[str]) -> bool:
    return any(name.startswith(f"{module}.") for module in modules)


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_the_layers_of_every_architecture_are_found(name: str, tmp_path: Path) -> None:
    model, count = loaded(name, tmp_path)
    prefix, above = TRANSFORMERS[name]
    names = [one for one, _ in model.named_parameters()]
    top = {one for one in names if one.startswith(f"{prefix}{count - 1}.") or below(one, above)}
    (group,) = groups_of(model, Partial(method="partial", layers=1), set())
    assert len(group.names) == len(set(group.names))
    assert set(group.names) == top == {one for one, tensor in model.named_parameters() if tensor.requires_grad}

    model.requires_grad_(True)
    head, *groups = groups_of(model, Unfreeze(method="unfreeze", epochs=count + 1), set())
    assert {*head.names} == {one for one in names if below(one, above)}
    for depth, one in enumerate(groups):  # from the top
        inside = {name for name in names if name.startswith(f"{prefix}{count - 1 - depth}.")}
        rest = {name for name in names if not name.startswith(prefix) and not below(name, above)}
        assert {*one.names} == (inside | rest if depth == count - 1 else inside)


def deep(layers: int) -> Any:
    config = BertConfig(
        vocab_size=40, hidden_size=8, num_hidden_layers=layers, num_attention_heads=2, intermediate_size=8
    )
    return BertForSequenceClassification(config)


def test_groups_are_as_even_as_they_go_and_rates_fall_by_the_decay() -> None:
    """Howard & Ruder 2018, section 3.2: the rate of a layer is that of the one above it divided by 2.6."""
    groups = groups_of(deep(5), Unfreeze(method="unfreeze", epochs=4, learning_rate=0.26, decay=2.6), set())
    assert [one.from_epoch for one in groups] == [0, 1, 2, 3]
    assert [one.learning_rate for one in groups] == pytest.approx([0.26, 0.1, 0.1 / 2.6, 0.1 / 2.6**2])
    inside = [{name.split(".")[3] for name in one.names if ".layer." in name} for one in groups]
    assert inside == [set(), {"4", "3"}, {"2", "1"}, {"0"}]
    assert [any("embeddings" in name for name in one.names) for one in groups] == [False, False, False, True]


def test_a_group_that_would_begin_after_the_last_epoch_is_never_trained() -> None:
    model = deep(5)
    groups = groups_of(model, Unfreeze(method="unfreeze", epochs=3, groups=5), set())
    assert len(groups) == 3
    still = {
        name.split(".")[3] for name, one in model.named_parameters() if ".layer." in name and not one.requires_grad
    }
    assert still == {"0", "1", "2"}
    assert not model.bert.embeddings.word_embeddings.weight.requires_grad


def test_more_epochs_than_layers_are_as_many_groups_as_layers() -> None:
    assert len(groups_of(deep(2), Unfreeze(method="unfreeze", epochs=9), set())) == 3


@pytest.mark.parametrize(
    ("method", "said"),
    [
        (
            Partial(method="partial", layers=3),
            "layers = 3: BertForSequenceClassification has 2 layers; choose 2 at most",
        ),
        (Unfreeze(method="unfreeze", groups=3), "groups = 3: BertForSequenceClassification has 2 layers"),
    ],
)
def test_what_cannot_be_divided_is_refused(method: Any, said: str) -> None:
    with pytest.raises(InputError, match=said):
        groups_of(deep(2), method, set())


def test_a_model_without_layers_is_refused() -> None:
    with pytest.raises(InputError, match="no layers are found in Linear; choose from head, full, peft"):
        groups_of(torch.nn.Linear(2, 2), Partial(method="partial"), set())


# --- trained ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Item]:
    paths = families.images(tmp_path_factory.mktemp("pictures"), 6)
    return [Item(id=str(n), cluster=str(n), image=str(path), label=TASK.names[n % 2]) for n, path in enumerate(paths)]


def plan(base: Path, kind: Kind, method: Any, task: Task = TASK) -> Plan:
    return Plan(resolve(str(base)), kind, task, method)


@pytest.mark.parametrize(("make", "kind"), [("bert", "encoder"), ("resnet", "vision"), ("llama", "causal")])
def test_what_is_frozen_stays_bit_for_bit(make: str, kind: Kind, pictures: list[Item], tmp_path: Path) -> None:
    """The statistics of a frozen batch norm are among it."""
    build = {**families.MASKED, **families.VISION, **families.CAUSAL}[make]
    base, folder = build(tmp_path / "base"), tmp_path / "adapted"
    folder.mkdir()
    method = Partial(method="partial", layers=1, epochs=2, batch_size=3, learning_rate=0.01)
    adapt(plan(base, kind, method), pictures if kind == "vision" else TEXTS, 0, folder)
    before, after = load_file(base / "model.safetensors"), load_file(folder / "model.safetensors")
    prefix = TRANSFORMERS[make][0]
    frozen = [one for one in after if one.startswith(f"{prefix}0.") or "embed" in one]
    moved = [one for one in after if one.startswith(f"{prefix}1.")]
    assert len(frozen) >= 10
    assert all(torch.equal(before[one], after[one]) for one in frozen)
    assert not any(torch.equal(before[one], after[one]) for one in moved if one.endswith("weight"))


@pytest.mark.parametrize(("make", "kind"), [("bert", "encoder"), ("vit", "vision"), ("clip", "clip")])
def test_each_group_moves_in_its_epoch_and_not_before(
    make: str, kind: Kind, pictures: list[Item], tmp_path: Path
) -> None:
    build = {**families.MASKED, **families.VISION, **families.CLIP}[make]
    method = Unfreeze(method="unfreeze", epochs=3, batch_size=3, learning_rate=0.01, warmup=0.0)
    asked = plan(build(tmp_path), kind, method)
    model, new = trainee(asked, 0)
    rows, collate = training_rows(asked, model, TEXTS if kind == "encoder" else pictures)
    groups = groups_of(model, method, new)
    known = [{name: one.detach().clone() for name, one in model.named_parameters()}]

    def look(model: Any, epoch: int) -> bool:
        known.append({name: one.detach().clone() for name, one in model.named_parameters()})
        return False

    fit(model, rows, collate, method, groups, seed=0, stop=look)
    assert [one.from_epoch for one in groups] == [0, 1, 2]
    assert {name for one in groups for name in one.names} >= {
        name for name in known[0] if "vision" in name or make != "clip"
    }
    for epoch in range(3):
        for group in groups:
            same = [torch.equal(known[epoch][name], known[epoch + 1][name]) for name in group.names]
            assert all(same) if epoch < group.from_epoch else sum(same) < len(same) / 4
    outside = set(known[0]) - {name for group in groups for name in group.names}
    assert all(torch.equal(known[0][name], known[3][name]) for name in outside)


# --- counted without weights ------------------------------------------------------------------------------------------

METHODS: dict[str, Any] = {
    "full": Full(method="full", epochs=1, batch_size=6),
    "lp_ft": LpFt(method="lp_ft", epochs=1, batch_size=6),
    "partial": Partial(method="partial", layers=1, epochs=1, batch_size=6),
    "unfreeze": Unfreeze(method="unfreeze", epochs=2, batch_size=6),
    "peft": Peft(method="peft", epochs=1, batch_size=6),
    "head": Head(method="head"),
    "hidden": Head(method="head", hidden=(5,)),
}
BASES: dict[str, tuple[Kind, Callable[[Path], Path], str]] = {
    "bert": ("encoder", families.MASKED["bert"], "full lp_ft partial unfreeze peft head"),
    "roberta": ("encoder", families.MASKED["roberta"], "partial peft"),
    "llama": ("causal", families.CAUSAL["llama"], "full unfreeze peft"),
    "vit": ("vision", families.VISION["vit-headless"], "lp_ft peft hidden"),
    "resnet": ("vision", families.VISION["resnet"], "partial peft head"),
    "clip": ("clip", families.CLIP["clip"], "full partial head"),
    "max-dense": ("sentence_encoder", families.SENTENCE["max-dense"], "full unfreeze hidden"),
}
assert set(get_args(Kind)) == {kind for kind, _, _ in BASES.values()}


@pytest.mark.parametrize("name", BASES)
def test_what_validate_counts_is_what_is_trained(name: str, pictures: list[Item], tmp_path: Path) -> None:
    kind, build, methods = BASES[name]
    base, task = build(tmp_path / "base"), Task(dataset="none", labels=("plain", "striped", "dotted"))
    source, items = resolve(str(base)), pictures if kind in ("vision", "clip") else TEXTS
    weights = (base / "model.safetensors").read_bytes()
    for called in methods.split():
        method, folder = METHODS[called], tmp_path / called
        folder.mkdir()
        trained = adapt(Plan(source, kind, task, method), items, 0, folder)
        (base / "model.safetensors").unlink()  # no weight is looked at
        model, counted, _ = trained_of(source, kind, task, method)
        (base / "model.safetensors").write_bytes(weights)
        assert counted == trained.parameters, called
        assert {one.device.type for one in model.parameters()} == {"meta"}
        assert trained_of(source, kind, task, method)[1] == counted


def test_a_file_knows_better_than_its_config_what_is_new(tmp_path: Path) -> None:
    """A checkpoint may hold a pooler though its config names a class that has none (bert-base-uncased does)."""
    import safetensors.torch

    base = families.MASKED["bert"](tmp_path)
    path = base / "model.safetensors"
    new = outline(resolve(str(base)), "encoder", TASK)[1]
    assert new == {"bert.pooler.dense.weight", "bert.pooler.dense.bias", "classifier.weight", "classifier.bias"}
    pooler = {"bert.pooler.dense.weight": torch.zeros(32, 32), "bert.pooler.dense.bias": torch.zeros(32)}
    safetensors.torch.save_file(load_file(path) | pooler, path, metadata={"format": "pt"})
    asked = plan(base, "encoder", Full(method="full"))
    assert outline(asked.base, "encoder", TASK)[1] == trainee(asked, 0)[1] == {"classifier.weight", "classifier.bias"}


@pytest.mark.parametrize(
    ("form", "kind"), [("mean", "sentence_encoder"), ("max-dense", "sentence_encoder"), ("clip", "clip")]
)
def test_an_outline_is_scaled_and_frozen_as_what_is_loaded(form: str, kind: Kind, tmp_path: Path) -> None:
    base = {**families.SENTENCE, **families.CLIP}[form](tmp_path)
    modules = base / "modules.json"
    if form == "mean":  # as they are pooled, of any length
        modules.write_text(
            json.dumps([one for one in json.loads(modules.read_text()) if "Normalize" not in one["type"]])
        )
    asked = plan(base, kind, Full(method="full"))
    loaded, bare = trainee(asked, 0)[0], outline(asked.base, kind, TASK)[0]
    assert bare.scale == loaded.scale
    assert (bare.scale == 1) == (form == "mean")
    frozen = [{name: one.requires_grad for name, one in model.named_parameters()} for model in (loaded, bare)]
    assert frozen[0] == frozen[1]
    assert len(set(frozen[0].values())) == 2
