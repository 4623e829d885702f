"""The reference of the gap: what it is read from, what a base writes, and which of them a run takes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from audit.errors import InputError, Unavailable
from audit.items.reference import card_datasets, hub_texts, is_local, read_reference
from audit.items.task import read_task
from audit.job import Job
from audit.models.load import load_base
from audit.models.sample import write_texts
from audit.models.source import Source, resolve
from audit.recipe import Recipe
from audit.steps import gap
from audit.view import Item, NotMeasurable
from tests import tiny

# --- files ------------------------------------------------------------------------------------------------------------


def written(path: Path, content: str) -> str:
    path.write_text(content, encoding="utf-8")
    return str(path)


@pytest.mark.parametrize(
    ("name", "content", "texts"),
    [
        ("lines.txt", "One text.\nAnother one.\n", ["One text.", "Another one."]),
        ("marked.txt", "\ufeffOne text.\r\nAnother one.\r\n", ["One text.", "Another one."]),
        ("paragraphs.txt", "One text\nof two lines.\n\n\nAnother one.\n", ["One text of two lines.", "Another one."]),
        ("table.csv", 'id,text\n1,"One, text."\n2,NA\n', ["One, text.", "NA"]),
        ("table.tsv", 'n\tsaid\n1\tThe "one" text.\n2\t"Another.\n', ['The "one" text.', '"Another.']),
        ("ids.csv", "id,review\ndoc0,A text of words.\ndoc1,Another one.\n", ["A text of words.", "Another one."]),
        ("dates.csv", "day,said\n1 2 2024,One.\n2 2 2024,Two.\n", ["One.", "Two."]),
        ("last.csv", "title,text\nA very long title,One.\nAnother,Two.\n", ["One.", "Two."]),
        ("items.jsonl", '{"id": "a", "text": "One."}\n{"id": "b", "text": "Two."}\n', ["One.", "Two."]),
    ],
)
def test_a_file_is_its_texts(name: str, content: str, texts: list[str], tmp_path: Path) -> None:
    items = read_reference(written(tmp_path / name, content))
    assert [item.text for item in items] == texts
    assert len({item.id for item in items}) == len({item.cluster for item in items}) == len(items)


def test_ids_say_the_column_unless_it_is_text(tmp_path: Path) -> None:
    one, two = (
        read_reference(written(tmp_path / "own.csv", f"{name}\nA text of words.\n"))[0].id
        for name in ("text", "review")
    )
    assert (one, two) == ("own.csv:0", "own.csv:review:0")


def test_a_table_of_items_is_its_texts(tmp_path: Path) -> None:
    pd.DataFrame({"id": ["a", "b"], "text": ["One.", "Two."]}).to_parquet(tmp_path / "items.parquet")
    assert [item.text for item in read_reference(str(tmp_path / "items.parquet"))] == ["One.", "Two."]
    assert len(read_reference("shipped:passages", 5)) == 384  # what lies here is read whole


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("none.txt", None, "no such file of texts"),
        ("empty.txt", " \n\n", "no texts in it"),
        ("bytes.txt", b"\xff\xfe\x00", "cannot be read as text in UTF-8"),
        ("numbers.csv", "a,b\n1,2\n", "no column 'text', and none that holds words; it has a, b"),
        (
            "two.csv",
            "review,id,reply\nOne two three.,a,One two.\n",
            "no column 'text', and id, reply, review all hold words; call the one that is meant 'text'",
        ),
        ("gap.csv", "id,text\n1,One.\n2,\n", "row 1 of column 'text' is '', not a text"),
        ("head.csv", "text\n", "no texts in it"),
        ("none.csv", None, "no such file of texts"),
        ("torn.csv", '"', "cannot be read as csv"),
        ("images.jsonl", '{"id": "a", "image": "a.png"}\n', "item 'a' is not a text"),
        ("blank.jsonl", '{"id": "a", "text": " "}\n', "item 'a' is not a text"),
        ("none.jsonl", None, "no such file of items"),
        ("page.html", "<p>", "no such reference; it is a file (.jsonl, .parquet, .txt, .csv, .tsv), a Hub data set"),
    ],
)
def test_what_is_no_reference_is_one_line(name: str, content: str | bytes | None, said: str, tmp_path: Path) -> None:
    path = tmp_path / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        path.write_text(content, encoding="utf-8")
    with pytest.raises(InputError) as refused:
        read_reference(str(path))
    assert said in str(refused.value)
    assert name in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_name_that_is_neither_file_nor_hub_is_one_line() -> None:
    assert is_local("passages")
    with pytest.raises(InputError, match=r"^passages: no such reference"):
        read_reference("passages")


# --- the Hub ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A Hub that is reachable and holds what a test puts there; remembers what was read."""
    import datasets

    shelf: dict[str, Any] = {"read": 0, "asked": []}

    def rows(table: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        for row in table:
            shelf["read"] += 1
            yield row

    def load(name: str, configuration: str | None = None, **settings: Any) -> Iterator[dict[str, Any]]:
        shelf["asked"].append((name, configuration, settings))
        if name not in shelf:
            raise FileNotFoundError(f"Dataset '{name}' doesn't exist on the Hub\nor cannot be accessed.")
        return rows(shelf[name])

    monkeypatch.setattr(datasets, "load_dataset", load)
    monkeypatch.setattr("audit.models.source.hub_reachable", lambda: True)
    return shelf


def test_a_data_set_of_the_hub_is_streamed_no_further_than_it_is_read(hub: dict[str, Any]) -> None:
    hub["owner/texts"] = [{"n": n, "said": f"Text {n}." if n % 3 else " "} for n in range(1000)]
    items = read_reference("owner/texts:en", 20)
    assert [item.text for item in items] == [f"Text {n}." for n in range(30) if n % 3]
    assert hub["read"] <= 31
    assert hub["asked"] == [("owner/texts", "en", {"split": "train", "streaming": True})]


def test_a_data_set_of_the_hub_may_have_ids_and_empty_rows(hub: dict[str, Any]) -> None:
    hub["owner/texts"] = [{"id": f"doc{n}", "said": None if n == 1 else f"A text of words, {n}."} for n in range(9)]
    items = hub_texts("owner/texts", 3)
    assert [item.text for item in items] == [f"A text of words, {n}." for n in (0, 2, 3)]
    assert [item.id for item in items] == [f"owner/texts:said:{n}" for n in range(3)]
    assert hub["read"] == 4
    hub["owner/pairs"] = [{"premise": "One two three.", "hypothesis": "One two."}]
    with pytest.raises(
        InputError, match=r"^owner/pairs: no column 'text', and hypothesis, premise all hold words; call"
    ):
        hub_texts("owner/pairs")


def test_what_the_hub_does_not_give_is_one_line(hub: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"owner/none: the Hub did not give its training split \(Dataset 'owner/none'"):
        hub_texts("owner/none")
    hub["owner/numbers"] = [{"n": 1}, {"n": 2}]
    with pytest.raises(InputError, match=r"^owner/numbers: no column 'text', and none that holds words; it has n"):
        hub_texts("owner/numbers")
    hub["owner/blanks"] = [{"text": " "}]
    with pytest.raises(InputError, match=r"^owner/blanks: no column of its training split holds texts"):
        hub_texts("owner/blanks")
    hub["owner/nothing"] = []
    with pytest.raises(
        InputError, match=r"^owner/nothing: no column 'text', and none that holds words; it has no rows"
    ):
        hub_texts("owner/nothing")


def test_without_a_network_it_is_unavailable() -> None:
    with pytest.raises(
        Unavailable, match="owner/texts: the Hub cannot be reached, and the data set is not in its cache"
    ):
        read_reference("owner/texts")


@pytest.mark.parametrize(
    ("front", "names"),
    [
        ("datasets:\n- owner/one\n- two", ["owner/one", "two"]),
        ("datasets: owner/one", ["owner/one"]),
        ("license: mit", []),
        ("datasets: [1", []),
    ],
)
def test_a_card_names_its_data_sets(front: str, names: list[str], tmp_path: Path) -> None:
    assert card_datasets(tmp_path) == []
    (tmp_path / "README.md").write_text(f"---\n{front}\n---\n# A model\n")
    assert card_datasets(tmp_path) == names


# --- what a base writes -----------------------------------------------------------------------------------------------


def test_a_base_writes_the_same_texts_again_and_leaves_the_dice_alone(llama: Path) -> None:
    view = load_base(resolve(str(llama)), "causal")
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    once = view.write(40)  # type: ignore[attr-defined]
    assert torch.equal(torch.rand(3), expected)
    assert once == view.write(40)  # type: ignore[attr-defined]
    assert once != view.write(40, seed=1)  # type: ignore[attr-defined]
    assert once[:10] == view.write(10)  # type: ignore[attr-defined]
    assert len(once) == len({item.id for item in once}) == 40
    assert all(item.text == (item.text or "").strip() != "" for item in once)


def test_what_a_base_repeats_is_one_document(llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = ["The same.", "Another.", "The same."] * 10
    monkeypatch.setattr("audit.models.text.write_texts", lambda *_, **__: said)
    items = load_base(resolve(str(llama)), "causal").write(30)  # type: ignore[attr-defined]
    assert [item.text for item in items] == said
    assert len({item.id for item in items}) == 30
    assert [item.cluster for item in items[:3]] == ["base:0", "base:1", "base:0"]
    assert len({item.cluster for item in items}) == 2


def test_its_words_are_as_likely_as_it_says(llama: Path) -> None:
    """First tokens of 640 texts against the model's own probabilities after the start token: Pearson's X² on 6 bins."""
    from scipy.stats import chisquare
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model: Any = AutoModelForCausalLM.from_pretrained(llama)
    tokenizer = AutoTokenizer.from_pretrained(llama)
    model.generation_config.temperature, model.generation_config.top_k = 0.1, 3  # a repository's taste is not asked
    start = tokenizer.bos_token_id
    with torch.no_grad():
        said = torch.softmax(model(torch.tensor([[start]])).logits[0, -1].double(), -1).numpy()
    seen = []
    real = model.generate

    def watched(**settings: Any) -> Any:
        rows = real(**settings)
        seen.extend(rows[:, 1].tolist())
        return rows

    model.generate = watched
    write_texts(model, tokenizer, [start], 600, tokens=2)
    order = (-said).argsort()  # six bins of like probability, from the likeliest tokens to the rarest
    bins = np.split(order, np.searchsorted(np.cumsum(said[order]), np.arange(1, 6) / 6))
    counts = [sum(token in part for token in seen) for part in (set(part.tolist()) for part in bins)]
    assert len(seen) >= 600
    assert chisquare(counts, [len(seen) * said[part].sum() for part in bins]).pvalue > 0.01
    assert len(set(seen)) > 50


def test_an_encoder_does_not_write(tiny_encoder: Path) -> None:
    view = load_base(resolve(str(tiny_encoder)), "encoder")
    with pytest.raises(NotMeasurable, match="a model of kind 'encoder' does not write"):
        view.write(3)  # type: ignore[attr-defined]


# --- which of them a run takes ----------------------------------------------------------------------------------------


def job(base: Path, folder: Path, kind: str = "encoder", reference: str | None = None, **changes: Any) -> Job:
    table = tiny.recipe(base, kind=kind, adapt={"method": "peft"} if kind == "causal" else {"method": "head"})
    table["audit"] = {"gap": {"margin": 0.1, "limit": 60, **({"reference": reference} if reference else {})}}
    recipe = Recipe.model_validate(table)
    source = resolve(str(base))
    source = Source(source.id, changes.pop("revision", None), source.folder, source.files, source.license)
    return Job(recipe, source, kind, read_task(recipe.task), folder, **changes)  # type: ignore[arg-type]


def measured(made: Job, folder: Path) -> dict[str, Any]:
    folder.mkdir(parents=True)
    made.stages = type("Now", (), {"current": "gap"})()
    gap(made, folder)
    result: dict[str, Any] = json.loads((folder / "result.json").read_text())
    return result


def copy_with_card(base: Path, folder: Path, *names: str) -> Path:
    folder.mkdir()
    for file in base.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    (folder / "README.md").write_text("\n".join(["---", "datasets:", *(f"- {name}" for name in names), "---", ""]))
    return folder


def test_an_encoder_from_a_folder_is_held_against_the_passages(tiny_encoder: Path, tmp_path: Path) -> None:
    result = measured(job(tiny_encoder, tmp_path), tmp_path / "gap")
    notes = {one["note"] for one in result["findings"]}
    wanted = "shipped:passages (60 texts; the recipe names none, the base is not from the Hub, so that no card is asked"
    assert all(wanted in note for note in notes)
    assert {one["name"] for one in result["findings"]} >= {"representation", "tokens"}
    assert {one["name"] for one in result["scales"]} >= {"representation", "tokens", "fertility"}
    assert any("in surprise was not measured" in one for one in result["limits"])
    assert not (tmp_path / "gap" / "evidence.parquet").exists()


def test_a_card_is_asked_in_its_order(tiny_encoder: Path, hub: dict[str, Any], tmp_path: Path) -> None:
    base = copy_with_card(tiny_encoder, tmp_path / "base", "owner/gone", "owner/texts")
    hub["owner/texts"] = [{"text": f"A text about the number {n} and its friends."} for n in range(90)]
    made = job(base, tmp_path, revision="0" * 40)
    before = made.fingerprint
    assert hub["asked"] == []  # which texts there will be is not asked beforehand
    note = measured(made, tmp_path / "gap")["findings"][0]["note"]
    assert "Reference: owner/texts (60 texts; the recipe names none" in note
    assert "owner/gone: the Hub did not give its training split" in note
    assert job(tiny_encoder, tmp_path, revision="0" * 40).fingerprint != before  # another card, another question


def test_without_a_network_the_card_is_passed_over(tiny_encoder: Path, tmp_path: Path) -> None:
    base = copy_with_card(tiny_encoder, tmp_path / "base", "owner/texts")
    note = measured(job(base, tmp_path, revision="0" * 40), tmp_path / "gap")["findings"][0]["note"]
    assert "Reference: shipped:passages" in note
    assert "the base's card names owner/texts: the Hub cannot be reached" in note


def test_a_causal_base_is_held_against_what_it_writes(llama: Path, tmp_path: Path) -> None:
    result = measured(job(llama, tmp_path, "causal"), tmp_path / "gap")
    said = [Item.model_validate_json(line) for line in (tmp_path / "gap" / "reference.jsonl").read_text().splitlines()]
    assert len(said) == 60
    evidence = pd.read_parquet(tmp_path / "gap" / "evidence.parquet")
    scores = {"gap/surprise", "gap/surprise/reference", "gap/surprise/ceiling"}
    assert set(evidence["question"]) == scores | {f"{one}/bytes" for one in scores} | {"gap/surprise/seeds"}
    assert set(evidence["arm"][evidence["question"].isin(scores)]) == {"base"}
    again = read_reference(str(tmp_path / "gap" / "reference.jsonl"))
    assert again == said
    notes = [one["note"] for one in result["findings"]]
    assert notes
    assert all("Reference: what the base writes by itself (60 texts; the recipe names none" in note for note in notes)


def test_a_named_reference_counts_by_what_it_holds(tiny_encoder: Path, tmp_path: Path) -> None:
    name = written(tmp_path / "own.txt", "\n".join(f"A text about {n} things." for n in range(40)))
    first = job(tiny_encoder, tmp_path, reference=name)
    before = first.fingerprint
    assert "own.txt (40 texts; as the recipe says)" in measured(first, tmp_path / "gap")["findings"][0]["note"]
    written(tmp_path / "own.txt", "\n".join(f"Another text about {n} things." for n in range(40)))
    assert job(tiny_encoder, tmp_path, reference=name).fingerprint != before
    assert job(tiny_encoder, tmp_path, reference="owner/texts").fingerprint  # by its name, without a network


def test_items_that_are_given_come_before_the_recipes(tiny_encoder: Path, tmp_path: Path) -> None:
    given = [Item(id=str(n), cluster=str(n), text=f"A given text, number {n}.") for n in range(30)]
    made = job(tiny_encoder, tmp_path, reference="owner/texts", general_items=given)
    assert (
        "the items that were given (30 texts; for this run)" in measured(made, tmp_path / "gap")["findings"][0]["note"]
    )
    assert made.fingerprint != job(tiny_encoder, tmp_path, reference="owner/texts").fingerprint


def test_an_encoder_that_should_write_is_refused_before_anything_is_done(tiny_encoder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="reference = 'base': a base of kind 'encoder' does not write; name a file"):
        job(tiny_encoder, tmp_path, reference="base").check()


def test_five_texts_are_too_few(tiny_encoder: Path, tmp_path: Path) -> None:
    name = written(tmp_path / "own.txt", "\n".join(f"A text about {n} things." for n in range(5)))
    result = measured(job(tiny_encoder, tmp_path, reference=name), tmp_path / "gap")
    assert result["findings"] == []
    assert "5 distinct documents are too few to place; 10 are the least" in result["limits"][0]


def test_identical_texts_are_one(tiny_encoder: Path, tmp_path: Path) -> None:
    name = written(tmp_path / "own.txt", "The same text.\n" * 50)
    result = measured(job(tiny_encoder, tmp_path, reference=name), tmp_path / "gap")
    assert "1 distinct documents are too few" in result["limits"][0]


def test_another_script_comes_to_a_finding_or_a_line(tiny_encoder: Path, tmp_path: Path) -> None:
    name = written(tmp_path / "own.txt", "\n".join(f"Καλημέρα κόσμε, αριθμός {'λ' * n}" for n in range(1, 60)))
    result = measured(job(tiny_encoder, tmp_path, reference=name), tmp_path / "gap")
    assert any("no scale" in one for one in result["limits"])  # Greek spelt backwards is as unknown as Greek
    assert all("\n" not in one for one in result["limits"])
