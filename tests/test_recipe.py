"""A recipe is closed: every mistake is one line that names table, key and what would do."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from audit.errors import InputError
from audit.recipe import find_recipe, load_recipe, parse_recipe, shipped_recipes
from tests import tiny

MISTAKES = [
    ("adapt={method='unfreeze', epochs=1}", "epochs = 1: the first trains the head alone; 'unfreeze' needs 2 or more"),
    ("adapt.max_length=1", "[adapt] max_length = 1: input should be greater than or equal to 4"),
    ("adapt.lerning_rate=1", "[adapt] no such key 'lerning_rate'; did you mean 'learning_rate'?"),
    ("bass='x'", "no such key 'bass'; did you mean 'base'?"),
    ("audit.bais={}", "[audit] no such key 'bais'; did you mean 'bias'?"),
    ("audit.gap.margn=1", "[audit.gap] no such key 'margn'; did you mean 'margin'?"),
    ("audit.bias.margins.probabilty=1", "[audit.bias.margins] no such key 'probabilty'; did you mean 'probability'?"),
    ("adapt.rank=3", "[adapt] no such key 'rank'; choose from epochs, batch_size"),
    ("adapt.method='ful'", "[adapt] method = 'ful': did you mean 'full'?"),
    ("adapt={}", "[adapt] the key 'method' is missing; choose from prompt, head, full, lp_ft, partial, unfreeze, peft"),
    ("adapt.epochs=0", "[adapt] epochs = 0: input should be greater than or equal to 1"),
    ("adapt.learning_rate='1e-4'", "[adapt] learning_rate = '1e-4': input should be a valid number"),
    ("adapt.learning_rate=-1", "[adapt] learning_rate = -1: input should be greater than 0"),
    ("adapt.learning_rate=nan", "[adapt] learning_rate = nan: input should be a finite number"),
    ("adapt.seeds=[]", "[adapt] seeds = []: tuple should have at least 1 item"),
    ("adapt.seeds=[-1]", "[adapt] seeds = [-1]: input should be greater than or equal to 0"),
    ("adapt.seeds=[0, 0]", "[adapt] seeds = [0, 0]: something is named twice"),
    ("adapt.weight_decay=inf", "[adapt] weight_decay = inf: input should be a finite number"),
    ("audit.forgetting.margins.probe=5", "[audit.forgetting.margins] probe = 5: input should be less than 1"),
    ("kind='vison'", "kind = 'vison': did you mean 'vision'?"),
    ("name='../up'", "name = '../up': string should match pattern"),
    ("task.labels=['praise', 'praise']", "[task] labels = ['praise', 'praise']: something is named twice"),
    ("task.labels=['praise']", "[task] labels = ['praise']: tuple should have at least 2 items"),
    ("task.prompt='no slot'", "[task] prompt = 'no slot': for a base of kind 'encoder' it holds {text} exactly once"),
    ("task.metric='acuracy'", "[task] metric = 'acuracy': did you mean 'accuracy'?"),
    ("audit.bias.label='prise'", "[audit.bias] label = 'prise' is none of the labels complaint, praise"),
    ("audit.bias.swaps=['gendre']", "no such swap 'gendre'; choose from gender, name_origin"),
    ("audit.bias.items=['texts']", "[audit.bias] items = 'texts': choose from task, templates"),
    ("audit.bias={label='praise'}", "[audit.bias] the key 'margins' is missing"),
    ("audit.gap.margin=0", "[audit.gap] margin = 0: input should be greater than 0"),
    ("publish.evidence='all'", "[publish] evidence = 'all': choose from none, values, full"),
    ("task='shipped:feedback'", "task = 'shipped:feedback': expected a table, [task]"),
    # methods
    ("adapt.method='lora'", "[adapt] method = 'lora': choose from prompt, head, full, lp_ft, partial, unfreeze, peft"),
    ("adapt={method='prompt', shots=-1}", "[adapt] shots = -1: input should be greater than or equal to 0"),
    ("adapt={method='prompt', epochs=3}", "[adapt] no such key 'epochs'; choose from method, shots, calibrate"),
    ("adapt={method='head', hidden=[0]}", "[adapt] hidden = [0]: input should be greater than or equal to 1"),
    ("adapt={method='head', hidden=64}", "[adapt] hidden = 64: expected a list"),
    ("adapt={method='lp_ft', regularisation=0}", "[adapt] regularisation = 0: input should be greater than 0"),
    ("adapt={method='partial', layers=0}", "[adapt] layers = 0: input should be greater than or equal to 1"),
    ("adapt={method='unfreeze', decay=0.5}", "[adapt] decay = 0.5: input should be greater than or equal to 1"),
    ("adapt={method='unfreeze', group=3}", "[adapt] no such key 'group'; did you mean 'groups'?"),
    ("adapt={method='peft', rank=8}", "[adapt] no such key 'rank'; choose from epochs, batch_size"),
    ("adapt={method='peft', config=8}", "[adapt] config = 8: input should be a valid dictionary"),
    ("adapt.warmup_ratio=0.1", "[adapt] no such key 'warmup_ratio'; did you mean 'warmup'?"),
    ("adapt.warmup=1.0", "[adapt] warmup = 1.0: input should be less than 1"),
    # protections
    ("adapt.protect.l2=1", "[adapt.protect] no such key 'l2'; did you mean 'l2sp'?"),
    ("adapt.protect.ewc=-1", "[adapt.protect] ewc = -1: input should be greater than or equal to 0"),
    ("adapt.protect.replay=1.0", "[adapt.protect] replay = 1.0: input should be less than 1"),
    ("adapt.protect.wise=0", "[adapt.protect] wise = 0: input should be greater than 0"),
    ("adapt.protect.wise=1.5", "[adapt.protect] wise = 1.5: input should be less than or equal to 1"),
    ("adapt.protect.stop=0", "[adapt.protect] stop = 0: input should be greater than 0"),
    ("adapt.protect.kl=inf", "[adapt.protect] kl = inf: input should be a finite number"),
    ("adapt.protect=true", "[adapt] protect = True: expected a table, [adapt.protect]"),
    ("adapt={method='head', protect={ewc=1.0}}", "[adapt] no such key 'protect'; choose from method, regularisation"),
    # pretraining on the domain
    ("domain.mask_share=1.5", "[domain] mask_share = 1.5: input should be less than 1"),
    ("domain.text='x'", "[domain] no such key 'text'; did you mean 'texts'?"),
    ("domain.texts=''", "[domain] texts = '': string should have at least 1 character"),
    ("domain=true", "domain = True: expected a table, [domain]"),
    # types of task
    ("task.type='singel_label'", "[task] type = 'singel_label': did you mean 'single_label'?"),
    ("task.type='regression'", "[task] labels: a task of type 'regression' has none; leave the key out"),
    ("task={dataset='x.csv'}", "[task] the key 'labels' is missing; a task of type 'single_label' names its classes"),
    (
        "task.metric='mae'",
        "a task of type 'single_label' is measured by accuracy, balanced_accuracy, macro_f1, matthews",
    ),
    ("task.overlap='delete'", "[task] overlap = 'delete': choose from drop, refuse, keep"),
    ("task.words={prise='good'}", "[task] words for 'prise', none of the labels complaint, praise"),
    ("task.words={praise=''}", "[task.words] praise = '': string should have at least 1 character"),
    ("task.image='file'", "[task] image = 'file': a base of kind 'encoder' reads texts; leave it out"),
]


@pytest.mark.parametrize(("override", "line"), MISTAKES, ids=[override for override, _ in MISTAKES])
def test_every_mistake_is_one_line(override: str, line: str) -> None:
    with pytest.raises(InputError) as caught:
        load_recipe(find_recipe("quickstart"), [override])
    message = str(caught.value)
    assert message.startswith("quickstart.toml: ")
    assert line in message
    assert "\n" not in message


TOKENS = "task.type='tokens'"
STARS = "task={type='regression', dataset='x.csv'}"
NEXT = "task={type='completion', dataset='x.csv'}"
MISFITS = [
    (
        [TOKENS, "kind='vision'"],
        "[task] type = 'tokens': a base of kind 'vision' is adapted to single_label, multi_label, reg",
    ),
    (
        [TOKENS, "kind='causal'"],
        "[task] type = 'tokens': a base of kind 'causal' is adapted to single_label, completion",
    ),
    (
        [NEXT],
        "[task] type = 'completion': a base of kind 'encoder' is adapted to single_label, multi_label, regression",
    ),
    (
        [TOKENS, "adapt={method='head'}"],
        "[adapt] method = 'head': it fits a head to whole texts, and the task is of type 'tokens'; choose from full,",
    ),
    ([TOKENS, "adapt={method='lp_ft'}"], "[adapt] method = 'lp_ft': it fits a head to whole texts"),
    (
        [STARS, "adapt={method='prompt'}"],
        "[adapt] method = 'prompt': it chooses one of the labels, and the task is of type",
    ),
    ([STARS, "task.metric='accuracy'"], "a task of type 'regression' is measured by mae, mse, spearman"),
    ([TOKENS, "task.metric='micro_f1'"], "a task of type 'tokens' is measured by entity_f1, token_accuracy"),
    ([TOKENS, "audit.transfer={margin=0.1}"], "[audit.transfer] asks for classes; a task of type 'tokens' has none"),
    (["kind='causal'", "adapt={method='lp_ft'}"], "[adapt] method = 'lp_ft': a causal base has no head to begin with"),
    (
        ["kind='vision'", "adapt={method='prompt'}"],
        "a base of kind 'vision' reads no prompt; choose from head, full, lp_ft, partial, unfreeze, peft",
    ),
    (["kind='vision'", "audit={gap={margin=0.1}}"], "[audit.gap] compares texts; a base of kind 'vision' reads images"),
    (
        ["kind='clip'", "audit={bias={label='praise', margins={probability=0.1, flips=0.1}}}"],
        "[audit.bias] items, minimal_pairs and questions are texts; of a base of kind 'clip' ask groups",
    ),
    (["kind='clip'", "domain={}"], "[domain] needs a language-model head, which a base of kind 'clip' has not"),
    (
        ["kind='clip'", "adapt={method='peft'}"],
        "[adapt] method = 'peft': not for a base of kind 'clip' yet; choose from",
    ),
    (["kind='clip'", "task.prompt='a photo'"], "for a base of kind 'clip' it holds {label} exactly once"),
    (["task.prompt='{text} is {text}'"], "for a base of kind 'encoder' it holds {text} exactly once"),
    (["task.prompt='{text} is good'"], "for a base of kind 'encoder' it holds {mask} exactly once"),
    (["kind='causal'", "task.prompt='Good?'"], "for a base of kind 'causal' it holds {text} exactly once"),
    (
        ["adapt={method='head'}", "audit={forgetting={strengths=[0.5]}}"],
        "'head' leaves the base as it is; nothing lies",
    ),
]


@pytest.mark.parametrize(("overrides", "line"), MISFITS, ids=[" ".join(overrides) for overrides, _ in MISFITS])
def test_what_does_not_go_together_is_one_line(overrides: list[str], line: str) -> None:
    with pytest.raises(InputError) as caught:
        load_recipe(find_recipe("quickstart"), ["audit={}", *overrides])
    assert str(caught.value).startswith("quickstart.toml: [")
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_toml_is_named(tmp_path: Path) -> None:
    path = tmp_path / "broken.toml"
    path.write_text("name = ")
    with pytest.raises(InputError, match=r"broken\.toml: not valid TOML: Invalid value"):
        load_recipe(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match=r"broken\.toml: cannot be read"):
        load_recipe(path)


def test_a_recipe_that_does_not_exist_names_the_shipped_ones() -> None:
    with pytest.raises(InputError, match=r"quickstrat: no such recipe file; shipped recipes: .*quickstart"):
        find_recipe("quickstrat")


@pytest.mark.parametrize("name", shipped_recipes())
def test_every_shipped_recipe_is_valid_and_says_what_it_teaches(name: str) -> None:
    path = find_recipe(name)
    assert load_recipe(path).name == name
    first, second = path.read_text(encoding="utf-8").splitlines()[:2]
    assert re.fullmatch(r"# [A-Z].{20,110}[.?]", first)  # what the command recipes prints
    assert second.startswith("# ")  # and a paragraph that says what it teaches


def test_the_fingerprint_covers_what_is_said_and_not_how() -> None:
    path = find_recipe("quickstart")
    plain = load_recipe(path)
    assert load_recipe(path, ["adapt.epochs=4"]).fingerprint == plain.fingerprint  # said already
    assert load_recipe(path, ["adapt.epochs=5"]).fingerprint != plain.fingerprint
    assert load_recipe(path, ["audit.gap.limit=600"]).fingerprint == plain.fingerprint  # the default


@pytest.mark.parametrize("override", ["adapt.epochs", "=3", "name.x=3"])
def test_an_override_is_table_key_value(override: str) -> None:
    with pytest.raises(InputError, match="-o "):
        load_recipe(find_recipe("quickstart"), [override])


PAIRS = {"form": "csv", "scorer": "log_likelihood", "margins": {"nats": 0.1, "share": 0.05}}


@pytest.mark.parametrize(
    ("bias", "said"),
    [
        ({"items": ["task"]}, r"[audit.bias] the key 'margins' is missing; swaps need it"),
        ({"items": [], "groups": {"columns": ["a"], "margin": 0.1}}, "the key 'label' is missing"),
        (
            {"items": [], "minimal_pairs": [{"file": "x/a.csv", **PAIRS}, {"file": "y/a.csv", **PAIRS}]},
            "two minimal_pairs or questions are called 'a'",
        ),
        ({"items": [], "swaps": ["x/a.toml", "y/a.toml"]}, "two swaps are called 'a'"),
        (
            {"label": "praise", "items": [], "origin": True, "groups": {"columns": ["a"], "margin": 0.1}},
            "no [audit.bias.groups] lexicon says which swap speaks of a column",
        ),
        (
            {"label": "praise", "items": [], "groups": {"columns": ["a"], "margin": 0.1, "lexicon": {"a": "age"}}},
            "lexicon for 'a' is 'age', none of swaps = gender, name_origin",
        ),
        (
            {"items": [], "minimal_pairs": [{"file": "a.csv", **PAIRS, "form": "crows"}]},
            "[audit.bias.minimal_pairs] form = 'crows': did you mean 'crows_pairs'?",
        ),
        (
            {"items": [], "minimal_pairs": [{"file": "a.csv", **PAIRS, "scorers": "x"}]},
            "[audit.bias.minimal_pairs] no such key 'scorers'; did you mean 'scorer'?",
        ),
    ],
)
def test_what_is_asked_about_bias_is_checked_as_a_whole(bias: dict[str, Any], said: str) -> None:
    table = tiny.recipe(Path("base"), audit={"bias": bias})
    with pytest.raises(InputError, match=re.escape(said)):
        parse_recipe(table, "f.toml")
