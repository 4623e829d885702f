"""Comparing, copying and pinning recipes."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from audit import cli
from audit.errors import InputError
from audit.items.packs import read_labelled
from audit.recipe import find_recipe, load_recipe, parse_recipe, shipped_recipes
from audit.recipe.compared import compared
from audit.recipe.pinned import pinned, unpinned
from tests import tiny
from tests.hub import Hub

A, B = "a" * 40, "b" * 40
TEXT = """\
# A comment with base = "owner/other" in it.\r
name = "pins"\r
base   =   "owner/base"   # the base\r
kind = "encoder"\r
\r
[task] # labelled
dataset = 'owner/texts'
labels = ["no", "yes"]

[domain]
texts = "owner/domain:abstracts"

[adapt]
method = "full"
[adapt.protect]
items = "owner/general@main"

[audit.gap]
margin = 0.1
reference = "owner/domain:abstracts"

[audit.forgetting]
labelled = [
    "shipped:tenses",
    'owner/kinds', # two of them
    "owner/more",
]
"""


def called(*arguments: str) -> int:
    with pytest.raises(SystemExit) as done:
        cli.main(arguments)
    return int(done.value.code or 0)


# --- diff -------------------------------------------------------------------------------------------------------------


def test_two_recipes_differ_in_what_they_mean_and_not_in_how_they_say_it() -> None:
    table = tiny.recipe(Path("base"))
    said = {**table, "adapt": {**table["adapt"], "weight_decay": 0.01, "seeds": [0]}}  # the defaults, written out
    plain = parse_recipe(table, "a.toml")
    assert compared(plain, parse_recipe(said, "b.toml")) == []
    lora = {
        "method": "peft",
        "learning_rate": 1e-3,
        "batch_size": 16,
        "epochs": 1,
        "max_length": 48,
        "config": {"r": 4},
    }
    assert compared(plain, parse_recipe({**table, "adapt": lora}, "b.toml")) == [
        ("adapt.method", "full", "peft"),
        ("adapt.tuner", None, "LORA"),
        ("adapt.config.r", None, 4),
    ]


@pytest.mark.parametrize("name", shipped_recipes())
def test_a_recipe_differs_from_itself_in_nothing(name: str) -> None:
    recipe = load_recipe(find_recipe(name))
    assert compared(recipe, recipe) == []


def test_of_several_tables_the_one_that_differs_is_named() -> None:
    pairs = {"file": "a.csv", "form": "csv", "scorer": "log_likelihood", "margins": {"nats": 0.1, "share": 0.05}}
    one, two = (
        parse_recipe(tiny.recipe(Path("x"), audit={"bias": {"items": [], "minimal_pairs": [pairs, other]}}), "f.toml")
        for other in ({**pairs, "file": "b.csv"}, {**pairs, "file": "c.csv"})
    )
    assert compared(one, two) == [("audit.bias.minimal_pairs.1.file", "b.csv", "c.csv")]


def test_diff_prints_a_table_or_an_object(capsys: pytest.CaptureFixture[str]) -> None:
    assert called("diff", "sst2_head", "sst2_lora") == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == ["key", "sst2_head", "sst2_lora"]
    assert ["adapt.method", '"head"', '"peft"'] in lines
    assert ["adapt.regularisation", "1.0"] in lines
    assert called("diff", "sst2_head", "sst2_lora", "--json") == 0
    found = {one["key"]: one for one in json.loads(capsys.readouterr().out)["differences"]}
    assert found["adapt.learning_rate"] == {"key": "adapt.learning_rate", "first": None, "second": 0.0005}
    assert called("diff", "sst2_head", "sst2_head") == 0
    assert capsys.readouterr().out == "no key differs\n"


# --- cp ---------------------------------------------------------------------------------------------------------------


def test_cp_writes_the_text_and_says_what_is_next(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "own.toml"
    assert called("cp", "quickstart", str(path)) == 0
    assert capsys.readouterr().out == f"next: transfer-audit validate {path}\n"
    assert path.read_bytes() == find_recipe("quickstart").read_bytes()
    path.write_text("mine")
    assert called("cp", "quickstart", str(path)) == 2
    assert capsys.readouterr().err == f"{path}: exists; --force writes over it\n"
    assert path.read_text() == "mine"
    assert called("cp", "sst2_head", str(path), "--force", "--json") == 0
    assert json.loads(capsys.readouterr().out)["recipe"] == str(path)
    assert path.read_bytes() == find_recipe("sst2_head").read_bytes()
    assert called("cp", "quickstart", str(tmp_path), "--force") == 2
    assert capsys.readouterr().err == f"{tmp_path}: is a folder\n"
    assert called("cp", "nothing", str(path)) == 2


# --- pin --------------------------------------------------------------------------------------------------------------


def commits(name: str, type_: str, revision: str | None) -> str:
    """A Hub on which the branch main of a data set is one commit and all else another."""
    assert (type_ == "model") == (name == "owner/base")
    return B if revision == "main" else A


def test_every_place_gets_its_commit_and_all_else_stays_byte_for_byte() -> None:
    recipe = parse_recipe(tomllib.loads(TEXT), "pins.toml")
    assert unpinned(recipe) == [
        "base owner/base",
        "[task] dataset owner/texts",
        "[domain] texts owner/domain:abstracts",
        "[adapt.protect] items owner/general@main",
        "[audit.gap] reference owner/domain:abstracts",
        "[audit.forgetting] labelled owner/kinds",
        "[audit.forgetting] labelled owner/more",
    ]
    text, found = pinned(TEXT, recipe, commits, "pins.toml")
    assert list(found) == unpinned(recipe)
    assert found["[adapt.protect] items owner/general@main"] == B
    expected = (
        TEXT.replace("# the base\r\n", f'# the base\r\nrevision = "{A}"\r\n')
        .replace("dataset = 'owner/texts'\n", f"dataset = 'owner/texts'\nrevision = \"{A}\"\n")
        .replace("owner/domain:abstracts", f"owner/domain:abstracts@{A}")
        .replace("owner/general@main", f"owner/general@{B}")
        .replace("owner/kinds", f"owner/kinds@{A}")
        .replace("owner/more", f"owner/more@{A}")
    )
    assert text == expected
    again = parse_recipe(tomllib.loads(text), "pins.toml")
    assert unpinned(again) == []
    assert pinned(text, again, commits, "pins.toml") == (text, {})  # and the Hub is not asked


def test_a_branch_becomes_the_commit_that_it_is_now() -> None:
    text = TEXT.replace("# the base\r\n", "\r\nrevision='main' # for now\r\n")
    after, found = pinned(text, parse_recipe(tomllib.loads(text), "f.toml"), lambda name, *_: B, "f.toml")
    assert f'\r\nrevision="{B}" # for now\r\n' in after
    assert found["base owner/base"] == B


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('base = """owner/base"""', None),  # a new line below it will do
        (
            'base = """\nowner/base"""',
            f'base is written in a way that is not edited here; write revision = "{A}" there',
        ),
        ('"base" = "owner/base"', "base is written in a way that is not edited here"),
        ('base = "owner/b\\u0061se"\nrevision = """main"""', "base is written in a way that is not edited here"),
    ],
)
def test_what_is_not_found_in_the_text_is_not_guessed(text: str, said: str | None) -> None:
    whole = f'name = "x"\nkind = "encoder"\n{text}\n\n[task]\ndataset = "shipped:feedback"\nlabels = ["no", "yes"]\n'
    recipe = parse_recipe(tomllib.loads(whole), "x.toml")
    if said is None:
        assert unpinned(parse_recipe(tomllib.loads(pinned(whole, recipe, commits, "x.toml")[0]), "x.toml")) == []
        return
    with pytest.raises(InputError) as refused:
        pinned(whole, recipe, commits, "x.toml")
    assert str(refused.value).startswith("x.toml: ")
    assert said in str(refused.value)


@pytest.mark.parametrize("name", shipped_recipes())
def test_every_shipped_recipe_can_be_pinned_and_none_is(name: str) -> None:
    path = find_recipe(name)
    text, recipe = path.read_text(encoding="utf-8"), load_recipe(path)
    assert (recipe.revision, recipe.task.revision) == (None, None)
    after, found = pinned(text, recipe, lambda *_: A, path.name)
    assert list(found) == unpinned(recipe)
    assert unpinned(parse_recipe(tomllib.loads(after), path.name)) == []
    left = [line.replace(f"@{A}", "") for line in after.splitlines() if line != f'revision = "{A}"']
    assert left == text.splitlines()


def test_a_folder_and_a_package_need_no_pin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "owner" / "base").mkdir(parents=True)
    table = tiny.recipe(Path("owner/base"))
    assert unpinned(parse_recipe(table, "f.toml")) == []
    assert unpinned(parse_recipe({**table, "base": "owner/elsewhere"}, "f.toml")) == ["base owner/elsewhere"]
    for data in ("texts.csv", "folder/", "./texts", "a/b/c", "shipped:feedback"):
        assert unpinned(parse_recipe({**table, "task": {**table["task"], "dataset": data}}, "f.toml")) == []
    task = {**table["task"], "dataset": "imdb"}  # data sets of the Hub's first years have no owner
    assert unpinned(parse_recipe({**table, "task": task}, "f.toml")) == ["[task] dataset imdb"]


# --- the Hub ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "pins.toml"
    path.write_bytes(TEXT.encode())
    return path


def test_pin_asks_the_hub_once_and_for_all(hub: Hub, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base = hub.add("owner/base", {"config.json": "{}"}).history()[0].sha
    sets = {}
    for name in ("texts", "domain", "general", "kinds", "more"):
        repo = hub.add(f"owner/{name}", {"README.md": "---\nlicense: mit\n---\n"}, "dataset")
        sets[name] = repo.history()[0].sha
    assert called("pin", str(file), "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["pinned"]["base owner/base"] == base
    assert found["pinned"]["[domain] texts owner/domain:abstracts"] == sets["domain"]
    recipe = load_recipe(file)
    assert (recipe.revision, recipe.task.revision) == (base, sets["texts"])
    assert unpinned(recipe) == []
    before = file.read_bytes()
    hub.commit("owner/base", {"config.json": '{"a": 1}'})
    assert called("pin", str(file)) == 0
    assert capsys.readouterr().out == "nothing to pin\n"
    assert file.read_bytes() == before


def test_what_the_hub_does_not_have_is_one_line(hub: Hub, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert called("pin", str(file)) == 2
    said = "owner/base: no such model on the Hub (or it is private), and nothing here has the name\n"
    assert capsys.readouterr().err == said
    hub.add("owner/base", {"config.json": "{}"})
    file.write_bytes(TEXT.replace("# the base", '\r\nrevision = "v9"').encode())
    assert called("pin", str(file)) == 2
    assert capsys.readouterr().err == "owner/base: no revision 'v9' on the Hub\n"
    assert file.read_bytes() == TEXT.replace("# the base", '\r\nrevision = "v9"').encode()


def test_without_the_hub_nothing_is_written(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert called("pin", str(file)) == 3
    assert capsys.readouterr().err == (
        "owner/base: the Hub cannot be reached, and only it knows the newest commit; "
        f"to go on: transfer-audit pin {file}\n"
    )
    assert file.read_bytes() == TEXT.encode()


def test_a_shipped_recipe_is_copied_before_it_is_pinned(capsys: pytest.CaptureFixture[str]) -> None:
    assert called("pin", "sst2_head") == 2
    assert "sst2_head is a shipped recipe: copy it first: transfer-audit cp sst2_head" in capsys.readouterr().err


def test_a_pinned_set_is_read_at_its_commit(hub: Hub) -> None:
    def rows(label: str) -> str:
        return "".join(json.dumps({"text": f"Text {n}.", "label": f"{label}{n % 2}"}) + "\n" for n in range(6))

    repo = hub.add("owner/kinds", {"train.jsonl": rows("old")}, "dataset")
    commit = repo.history()[0].sha
    hub.commit("owner/kinds", {"train.jsonl": rows("new")}, "dataset")
    assert {item.label for item in read_labelled("owner/kinds")} == {"new0", "new1"}
    assert {item.label for item in read_labelled(f"owner/kinds@{commit}")} == {"old0", "old1"}
