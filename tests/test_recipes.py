"""Every shipped recipe runs all the way to a report, on a tiny random model of its base's architecture."""

from __future__ import annotations

import json
import re
from io import BytesIO
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from audit import cli, relay
from audit.recipe import Audits, Protect, Recipe, Task, find_recipe, load_recipe, recipes_folder, shipped_recipes
from audit.recipe.adapt import METHODS
from audit.recipe.fits import TYPES, misfit
from audit.recipe.pinned import unpinned
from audit.recipe.task import METRICS
from audit.report import Report, load_report
from tests import tiny
from tests.hub import Hub
from tests.stand_in import BASES, stand_in

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
# PEFT 0.21 asks transformers 5 by the old name

NAMES = shipped_recipes()
RUN = [name for name in NAMES if load_recipe(find_recipe(name)).base is not None]
AUDITED = [name for name in NAMES if name not in RUN]


@pytest.fixture(scope="module")
def bases() -> dict[str, Path]:
    """Folders of the bases that stand in, made once."""
    return {}


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("recipes")


def told(recipe: Recipe, out: Path) -> Report:
    """Load a report, which is about what the recipe declares."""
    report = load_report(out)
    assert report.recipe.name == recipe.name
    declared = {audit for audit in ("bias", "gap", "transfer", "forgetting") if getattr(recipe.audit, audit)}
    assert {one.audit for one in report.findings} == declared, report.limits
    assert report.broken == []
    return report


@pytest.mark.parametrize("name", RUN)
def test_every_shipped_recipe_runs_to_a_report(name: str, room: Path, bases: dict[str, Path], tmp_path: Path) -> None:
    recipe = stand_in(name, room / name, bases)
    assert recipe.adapt is not None
    relay.run(recipe, find_recipe(name).read_text(encoding="utf-8"), tmp_path)
    report = told(recipe, tmp_path)
    assert report.adapted is not None
    assert report.adapted.method == recipe.adapt.method
    assert report.adapted.seeds == list(recipe.adapt.seeds)
    assert report.task is not None
    assert report.task.metric == recipe.task.measure
    assert report.task.better == ("higher" if recipe.task.higher_is_better else "lower")


@pytest.mark.parametrize("name", AUDITED)
def test_a_recipe_without_a_base_audits_a_model_that_exists(
    name: str, room: Path, bases: dict[str, Path], tiny_causal: Path, tmp_path: Path
) -> None:
    recipe = stand_in(name, room / name, bases)
    other = tiny.causal(tmp_path / "other", seed=1)
    text = find_recipe(name).read_text(encoding="utf-8")
    relay.audit_model(recipe, text, str(tiny_causal), str(other), tmp_path / "run")
    report = told(recipe, tmp_path / "run")
    assert report.task is not None
    assert report.task.metric == recipe.task.measure


def test_a_recipe_runs_as_it_is_once_the_hub_has_what_it_names(
    hub: Hub, room: Path, bases: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Copied, pinned and run by its user, with nothing changed but how many rows are read."""
    small = stand_in("beans_resnet_head", tmp_path / "beans", bases)
    base = Path(small.base or "")
    hub.add("microsoft/resnet-50", {path.name: path.read_bytes() for path in base.iterdir()})
    beans = {f"data/{split}-0.parquet": as_parquet(small.task, split) for split in ("train", "test")}
    hub.add("AI-Lab-Makerere/beans", beans, "dataset")
    general = Task(dataset=str(tmp_path / "general"), image="image", labels=("0", "1"))
    hub.add("zh-plus/tiny-imagenet", {"data/train-0.parquet": as_parquet(general, "general")}, "dataset")
    own = str(tmp_path / "own.toml")
    fewer = [
        f"-o{key}"
        for key in ("audit.transfer.seeds=3", "audit.transfer.sizes=[24, 48]", "audit.forgetting.floor=false")
    ]
    for command in (
        ("cp", "beans_resnet_head", own),
        ("pin", own),
        ("run", own, "--out", str(tmp_path / "run"), *fewer),
    ):
        with pytest.raises(SystemExit) as done:
            cli.main(command)
        assert done.value.code == 0, capsys.readouterr().err
    recipe = load_recipe(Path(own))
    assert unpinned(recipe) == []
    report = told(recipe, tmp_path / "run")
    assert (report.base.id, report.base.revision) == ("microsoft/resnet-50", recipe.revision)
    assert report.task is not None
    assert report.task.base is not None


def as_parquet(task: Task, split: str) -> bytes:
    """Turn the rows that stand in for a split into what the Hub has: images as bytes, classes as numbers with names."""
    from datasets import ClassLabel, Dataset, Features, Image

    folder = Path(task.dataset)
    rows = [json.loads(line) for line in (folder / f"{split}.jsonl").read_text().splitlines()]
    image = task.image or ""
    table = {
        image: [{"bytes": (folder / row[image]).read_bytes(), "path": f"{n}.png"} for n, row in enumerate(rows)],
        task.label: [int(row[task.label]) for row in rows],
    }
    features = Features({image: Image(), task.label: ClassLabel(names=list(task.names))})
    file = BytesIO()
    Dataset.from_dict(table, features=features).to_parquet(file)
    return file.getvalue()


def test_every_base_that_is_named_has_a_stand_in() -> None:
    named = {load_recipe(find_recipe(name)).base for name in shipped_recipes()} - {None}
    assert named == set(BASES)


# --- the tables of recipes/README.md ----------------------------------------------------------------------------------

README = recipes_folder() / "README.md"
Keys = dict[tuple[str, str], set[object]]


def inside(annotation: Any) -> list[type[BaseModel]]:
    """Tables within an annotation."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [table for part in get_args(annotation) for table in inside(part)]


def declared(model: type[BaseModel] = Recipe, table: str = "top") -> Keys:
    """Every key that a recipe may hold: (table, key), and its defaults as TOML has them."""
    keys: Keys = {}
    for key, field in model.model_fields.items():
        inner = f"{'' if table in ('top', 'adapt') and key != 'protect' else f'{table}.'}{key}"
        for found in inside(field.annotation):
            for name, defaults in declared(found, inner).items():
                keys[name] = keys.get(name, set()) | defaults
        if not inside(field.annotation):
            keys[table, key] = {"required" if field.is_required() else json.dumps(field.default).replace("null", "–")}
    return keys


def documented() -> Keys:
    """Keys and defaults of the tables under the last heading."""
    keys: Keys = {}
    for part in README.read_text(encoding="utf-8").split("\n### ")[1:]:
        table = part.splitlines()[0].strip("`[]")
        for line in part.splitlines():
            if row := re.match(r"\| `(\w+)` \| `?(.*?)`? \|", line):
                keys[table, row[1]] = keys.get((table, row[1]), set()) | {row[2]}
    return keys


def test_the_table_of_keys_is_the_schema() -> None:
    assert documented() == declared()


def test_the_defaults_of_every_method_are_in_its_rows() -> None:
    part = README.read_text(encoding="utf-8").split("\n### `[adapt]`")[1].split("\n### ")[0]
    rows = re.findall(r"\| `(\w+)` \| `?(.*?)`? \| ([\w, ]+) \|", part)
    for name, method in METHODS.items():
        said = {key: default for key, default, methods in rows if name in methods.split(", ") or methods == "all"}
        fields = {key: field for key, field in method.model_fields.items() if key != "protect"}
        meant = {
            key: "required" if field.is_required() else json.dumps(field.default).replace("null", "–")
            for key, field in fields.items()
        }
        assert said == meant, name


def test_the_table_of_recipes_has_them_all() -> None:
    text = README.read_text(encoding="utf-8")
    assert sorted(re.findall(r"^\| \[(\w+)\]\(\1\.toml\) \|", text, re.MULTILINE)) == shipped_recipes()
    for name in shipped_recipes():
        recipe = load_recipe(find_recipe(name))
        row = next(line for line in text.splitlines() if line.startswith(f"| [{name}]"))
        method = row.split(" | ")[2].split(": ")[0].split(", ")
        assert (method[-1] if method[0] == "domain" else method[0]) == (recipe.adapt.method if recipe.adapt else "none")
        assert (method[0] == "domain") == (recipe.domain is not None)
        assert ("protected" in row.split(" | ")[2]) == (getattr(recipe.adapt, "protect", Protect()) != Protect())


def test_the_tables_of_what_goes_with_what_are_what_the_schema_lets_through() -> None:
    text = README.read_text(encoding="utf-8")
    kinds = re.findall(r"^\| `(\w+)` \| (`.*?`) \| all(?: but `(\w+)`)? \|$", text, re.MULTILINE)
    for kind, types, without in kinds:
        assert tuple(re.findall(r"\w+", types)) == TYPES[kind]
        for name, method in METHODS.items():
            task = Task(dataset="x.csv", labels=("a", "b"))
            adapt: Any = method(method=name)
            refused = misfit(kind, task, adapt, None, Audits())
            assert (refused is not None) == (name == without), refused
    assert [kind for kind, _, _ in kinds] == list(TYPES)
    for type_, metrics in METRICS.items():
        assert f"| {', '.join(f'`{one}`' for one in metrics)} |" in text, type_
