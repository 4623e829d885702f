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
    ("adapt.lerning_rate=1", "[adapt] no such key 'lerning_rate'; did you mean 'learning_rate'?"),
    ("bass='x'", "no such key 'bass'; did you mean 'base'?"),
    ("audit.bais={}", "[audit] no such key 'bais'; did you mean 'bias'?"),
    ("audit.gap.margn=1", "[audit.gap] no such key 'margn'; did you mean 'margin'?"),
    ("audit.bias.margins.probabilty=1", "[audit.bias.margins] no such key 'probabilty'; did you mean 'probability'?"),
    ("adapt.rank=3", "[adapt] no such key 'rank'; choose from epochs, batch_size"),
    ("adapt.method='ful'", "[adapt] method = 'ful': did you mean 'full'?"),
    ("adapt={}", "[adapt] the key 'method' is missing; choose from head, full, lora"),
    ("adapt.epochs=0", "[adapt] epochs = 0: input should be greater than or equal to 1"),
    ("adapt.learning_rate='1e-4'", "[adapt] learning_rate = '1e-4': input should be a valid number"),
    ("adapt.learning_rate=-1", "[adapt] learning_rate = -1: input should be greater than 0"),
    ("adapt.learning_rate=nan", "[adapt] learning_rate = nan: input should be a finite number"),
    ("adapt.seeds=[]", "[adapt] seeds = []: tuple should have at least 1 item"),
    ("adapt.seeds=[-1]", "[adapt] seeds = [-1]: input should be greater than or equal to 0"),
    ("adapt.seeds=[0, 0]", "[adapt] seeds = [0, 0]: something is named twice"),
    ("adapt.weight_decay=inf", "[adapt] weight_decay = inf: input should be a finite number"),
    ("audit.forgetting.margins.probe=5", "[audit.forgetting.margins] probe = 5: input should be less than 1"),
    ("kind='vison'", "kind = 'vison': choose from encoder, causal"),
    ("kind='causal'", "[adapt] method = 'full': a causal base is adapted by 'lora'"),
    ("name='../up'", "name = '../up': string should match pattern"),
    ("task.labels=['praise', 'praise']", "[task] labels = ['praise', 'praise']: something is named twice"),
    ("task.labels=['praise']", "[task] labels = ['praise']: tuple should have at least 2 items"),
    ("task.prompt='no slot'", "[task] prompt = 'no slot': a prompt holds {text} exactly once"),
    ("task.metric='acuracy'", "[task] metric = 'acuracy': did you mean 'accuracy'?"),
    ("audit.bias.label='prise'", "[audit.bias] label = 'prise' is none of the labels complaint, praise"),
    ("audit.bias.swaps=['gendre']", "no such swap 'gendre'; choose from gender, name_origin"),
    ("audit.bias.items=['texts']", "[audit.bias] items = 'texts': choose from task, templates"),
    ("audit.bias={label='praise'}", "[audit.bias] the key 'margins' is missing"),
    ("audit.gap.margin=0", "[audit.gap] margin = 0: input should be greater than 0"),
    ("publish.evidence='all'", "[publish] evidence = 'all': choose from none, values, full"),
    ("task='shipped:feedback'", "task = 'shipped:feedback': input should be a valid dictionary"),
]


@pytest.mark.parametrize(("override", "line"), MISTAKES, ids=[override for override, _ in MISTAKES])
def test_every_mistake_is_one_line(override: str, line: str) -> None:
    with pytest.raises(InputError) as caught:
        load_recipe(find_recipe("quickstart"), [override])
    message = str(caught.value)
    assert message.startswith("quickstart.toml: ")
    assert line in message
    assert "\n" not in message


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
    assert path.read_text(encoding="utf-8").startswith("# ")


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
