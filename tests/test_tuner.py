"""Tuners of PEFT: each trains, saves, loads and leaves the base alone; each mistake is one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

from audit.adapt import Plan, adapt
from audit.adapt.outline import trained_of
from audit.adapt.trainee import trainee
from audit.adapt.tuner import UNMERGED, merged, targets_of, with_tuner
from audit.errors import InputError
from audit.models.adapters import load_adapter
from audit.models.source import resolve
from audit.recipe import Peft, Task
from audit.view import Item, Kind
from tests import families

TASK = Task(dataset="none", labels=("plain", "striped", "dotted"))
TEXTS = [
    Item(id=str(n), cluster=str(n), text=text, label=TASK.names[n % 3])
    for n, text in enumerate(("late again", "very good", "it broke", "we like it", "no answer", "thank you"))
]
CONFIGS: dict[str, dict[str, Any]] = {
    "DORA": {"use_dora": True},
    "C3A": {"block_size": 8},
    "MISS": {"r": 8},
    "ROAD": {"group_size": 8},
    "TRAINABLE_TOKENS": {"token_indices": list(range(300))},
    "ADAPTION_PROMPT": {"adapter_len": 4, "adapter_layers": 1},
}
BASES: dict[str, Any] = {
    "causal": families.CAUSAL["llama"],
    "encoder": families.MASKED["bert"],
    "gpt2": families.CAUSAL["gpt2"],
    "vit": families.VISION["vit-headless"],
    "resnet": families.VISION["resnet"],
    "roberta": families.MASKED["roberta"],
}
KINDS: dict[str, Kind] = {"gpt2": "causal", "vit": "vision", "resnet": "vision", "roberta": "encoder"}
NAMES = {
    "encoder": "LORA DORA IA3 LOHA LOKR VERA OFT LN_TUNING BEFT",
    "causal": "DORA PREFIX_TUNING PROMPT_TUNING P_TUNING HRA LILY C3A MISS ROAD TRAINABLE_TOKENS ADAPTION_PROMPT",
    "gpt2": "LORA",
    "vit": "LORA",
    "resnet": "LORA LOKR",
    "roberta": "LORA",
}
CASES = [(base, name) for base, names in NAMES.items() for name in names.split()]


def method(name: str, **settings: Any) -> Peft:
    config = CONFIGS.get(name, {}) | settings
    tuner = "LORA" if name == "DORA" else name.lower()
    return Peft(method="peft", tuner=tuner, config=config, epochs=2, batch_size=3, learning_rate=0.02, warmup=0.0)


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {name: build(tmp_path_factory.mktemp(name)) for name, build in BASES.items()}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Item]:
    paths = families.images(tmp_path_factory.mktemp("pictures"), 6)
    return [Item(id=str(n), cluster=str(n), image=str(path), label=TASK.names[n % 3]) for n, path in enumerate(paths)]


def said(model: Any) -> torch.Tensor:
    """What a model answers to something."""
    model.eval()
    with torch.no_grad():
        if "pixel_values" in model.main_input_name:
            side = getattr(model.config, "image_size", None) or 32
            logits: torch.Tensor = model(
                pixel_values=torch.linspace(-1, 1, 3 * side**2).reshape(1, 3, side, side)
            ).logits
        else:
            ids = torch.arange(5, 15)[None]
            logits = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[:, -10:]
    return logits


@pytest.mark.filterwarnings("ignore:Unsupported layer type", "ignore:Detected that the base layer has no bias")
@pytest.mark.parametrize(("base", "name"), CASES)
def test_a_tuner_trains_saves_loads_and_restores_the_base(
    base: str, name: str, bases: dict[str, Path], pictures: list[Item], tmp_path: Path
) -> None:
    kind = KINDS.get(base, base)
    source, items = resolve(str(bases[base])), pictures if kind == "vision" else TEXTS
    plan = Plan(source, kind, TASK, method(name))  # type: ignore[arg-type]
    trained = adapt(plan, items, 0, tmp_path)
    loaded = load_adapter(source, resolve(str(tmp_path)), kind)  # type: ignore[arg-type]
    own, whole = trainee(plan, 0)[0], loaded.peft.get_base_model()
    mine, theirs = (dict(one.base_model.named_parameters()) for one in (own, whole))
    before = said(own)
    after = said(loaded.peft)
    assert not torch.allclose(before, after, atol=1e-3)
    with loaded.peft.disable_adapter():
        if kind == "causal":
            assert torch.equal(said(loaded.peft), before)
        shared = mine.keys() & theirs.keys()
        assert all(torch.equal(mine[one], theirs[one]) for one in shared if "pooler" not in one)
        if kind != "causal":
            assert torch.equal(*(_hidden(model) for model in (own, whole)))
    counted = trained_of(source, kind, TASK, plan.method)[1]  # type: ignore[arg-type]
    assert counted == trained.parameters > 0
    assert json.loads((tmp_path / "adapter_config.json").read_text())["base_model_name_or_path"] == source.id


def _hidden(model: Any) -> torch.Tensor:
    body = model.base_model
    body.eval()
    with torch.no_grad():
        if "pixel_values" in model.main_input_name:
            side = getattr(model.config, "image_size", None) or 32
            hidden: torch.Tensor = body(pixel_values=torch.linspace(-1, 1, 3 * side**2).reshape(1, 3, side, side))[0]
        else:
            hidden = body(input_ids=torch.arange(5, 15)[None])[0]
    return hidden


@pytest.mark.parametrize("name", ["LORA", "IA3", "LOHA", "VERA", "OFT", "LN_TUNING"])
def test_a_merged_tuner_is_a_plain_model_that_says_the_same(name: str, bases: dict[str, Path]) -> None:
    plan = Plan(resolve(str(bases["encoder"])), "encoder", TASK, method(name))
    model, new = trainee(plan, 0)
    names = {one for one, _ in model.named_parameters()}
    tuned = with_tuner(model, "encoder", method(name), new, merge=True)
    with torch.no_grad():
        for one in tuned.parameters():
            if one.requires_grad:
                one.add_(torch.randn_like(one) * 0.1)
    wanted = said(tuned)
    plain = merged(tuned)
    assert {one for one, _ in plain.named_parameters()} == names
    assert torch.allclose(said(plain), wanted, atol=1e-5)


def test_what_is_not_merged_cannot_be(bases: dict[str, Path]) -> None:
    """Held against PEFT itself: merging says nothing, or raises, or leaves another model."""
    for name in UNMERGED:
        model = AutoModelForCausalLM.from_pretrained(bases["causal"])
        tuned = with_tuner(model, "causal", method(name), set())
        with pytest.raises((AttributeError, NotImplementedError, ValueError)):
            tuned.merge_and_unload()
        with pytest.raises(InputError, match="this one cannot be; choose LORA"):
            merged(tuned)


def test_the_same_seed_gives_the_same_adapter(bases: dict[str, Path], tmp_path: Path) -> None:
    files = []
    for number, seed in enumerate((1, 1, 2)):
        (tmp_path / str(number)).mkdir()
        adapt(
            Plan(resolve(str(bases["encoder"])), "encoder", TASK, method("LORA")), TEXTS, seed, tmp_path / str(number)
        )
        files.append((tmp_path / str(number) / "adapter_model.safetensors").read_bytes())
    assert files[0] == files[1] != files[2]


def test_targets_are_the_linear_layers_below_the_head(bases: dict[str, Path]) -> None:
    """By the architectures' own source: GPT-2's are Conv1D, ResNet has convolutions only."""
    wanted = {
        "causal": ["down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj"],
        "encoder": ["dense", "key", "query", "value"],
        "gpt2": ["c_attn", "c_fc", "c_proj"],
        "vit": ["fc1", "fc2", "k_proj", "o_proj", "q_proj", "v_proj"],
        "resnet": ["convolution"],
    }
    for base, names in wanted.items():
        kind: Kind = KINDS.get(base, base)  # type: ignore[arg-type]
        model, new = trainee(Plan(resolve(str(bases[base])), kind, TASK, method("LORA")), 0)
        tuned = with_tuner(model, kind, method("LORA"), new)
        assert targets_of(tuned) == names
        heads = {name for name, one in tuned.named_parameters() if one.requires_grad and "lora_" not in name}
        assert all(".modules_to_save." in name for name in heads)
        assert len(heads) == len(new)
        assert not any(
            "lora_" in name and ("classifier" in name or "lm_head" in name) for name in dict(tuned.named_parameters())
        )


def test_what_the_recipe_targets_is_what_is_adapted(bases: dict[str, Path]) -> None:
    model = AutoModelForCausalLM.from_pretrained(bases["causal"])
    tuned = with_tuner(model, "causal", method("LORA", target_modules=["q_proj", "v_proj"], r=2), set())
    assert targets_of(tuned) == ["q_proj", "v_proj"]
    assert sum(one.numel() for one in tuned.parameters() if one.requires_grad) == 2 * 2 * (32 + 32 + 32 + 16)


REFUSALS: list[tuple[Kind, str, dict[str, Any], str]] = [
    ("encoder", "LORRA", {}, "tuner = 'LORRA': the installed PEFT has no such tuner; did you mean"),
    ("encoder", "zzz", {}, "the installed PEFT has no such tuner; choose from ADALORA,"),
    ("encoder", "dora", {}, "it is LORA with config = { use_dora = true }"),
    (
        "encoder",
        "LORA",
        {"lora_alfa": 4},
        "[adapt.config] no such key 'lora_alfa' for the tuner LORA; did you mean 'lora_alpha'?",
    ),
    ("encoder", "IA3", {"r": 4}, "[adapt.config] no such key 'r' for the tuner IA3; choose from"),
    ("encoder", "LORA", {"r": 0}, "`r` should be a positive integer value but the value passed is 0"),
    ("encoder", "LORA", {"r": "8"}, "tuner = 'LORA': not for BertForSequenceClassification ("),
    ("encoder", "LORA", {"target_modules": ["q_proj"]}, "target_modules: choose from dense, key, query, value, or"),
    ("encoder", "LORA", {"bias": "all"}, "bias = 'all': it trains the base's own weights"),
    (
        "encoder",
        "LORA",
        {"init_lora_weights": "pissa"},
        "init_lora_weights = 'pissa': it changes the base's own weights",
    ),
    ("encoder", "LORA", {"modules_to_save": ["x"]}, "modules_to_save: it follows from base, task and tuner"),
    ("encoder", "LORA", {"task_type": "CAUSAL_LM"}, "task_type: it follows from base, task and tuner"),
    ("encoder", "PREFIX_TUNING", {}, "it learns a prompt, which is audited for completions of causal bases only"),
    ("vision", "PROMPT_TUNING", {}, "it learns a prompt, which is audited for completions of causal bases only"),
    ("vision", "VERA", {}, "it stands beside linear layers, and ResNetForImageClassification has none below its head"),
    ("encoder", "TRAINABLE_TOKENS", {}, "it keeps no new head beside it; choose LORA"),
    ("causal", "TRAINABLE_TOKENS", {}, "as [adapt.config] says it, nothing beside the head is trained"),
    ("causal", "ADALORA", {}, "its ranks are pruned while it trains, which this training does not do; choose LORA"),
    ("causal", "POLY", {}, "it wants to know the task of every row"),
    ("causal", "XLORA", {}, "it mixes adapters that are there already"),
]


@pytest.mark.parametrize(("kind", "tuner", "config", "line"), REFUSALS)
def test_every_mistake_is_one_line_before_anything_is_trained(
    kind: Kind, tuner: str, config: dict[str, Any], line: str, bases: dict[str, Path]
) -> None:
    asked = Peft(method="peft", tuner=tuner, config=config)
    source = resolve(str(bases["resnet" if kind == "vision" else kind]))
    with pytest.raises(InputError) as at_check:
        trained_of(source, kind, TASK, asked)
    model, new = trainee(Plan(source, kind, TASK, asked), 0)
    with pytest.raises(InputError) as at_training:
        with_tuner(model, kind, asked, new)
    assert str(at_check.value) == str(at_training.value)
    assert line in str(at_check.value)
    assert "\n" not in str(at_check.value)


@pytest.mark.parametrize("tuner", ["LILY", "PROMPT_TUNING"])
def test_after_a_domain_a_tuner_must_be_one_that_merges(tuner: str, bases: dict[str, Path]) -> None:
    source = resolve(str(bases["causal"]))
    with pytest.raises(InputError, match=f"tuner = '{tuner}': after .domain. an adapter is merged"):
        trained_of(source, "causal", TASK, Peft(method="peft", tuner=tuner), merge=True)


def test_a_classifier_under_a_tuner_is_what_its_class_says(bases: dict[str, Path]) -> None:
    tokens = Task(dataset="none", type="tokens", labels=("O", "B"))
    for task, type in ((tokens, "TOKEN_CLS"), (TASK, "SEQ_CLS")):
        model, new = trainee(Plan(resolve(str(bases["encoder"])), "encoder", task, method("LORA")), 0)
        assert with_tuner(model, "encoder", method("LORA"), new).active_peft_config.task_type == type
    model = AutoModelForSequenceClassification.from_pretrained(bases["encoder"])
    assert with_tuner(model, "encoder", method("LORA"), set()).active_peft_config.task_type == "SEQ_CLS"
