"""Data from users: read where it can be, refused in one line where it cannot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from audit.errors import InputError, Unavailable
from audit.items.task import read_task
from audit.recipe import Task

ROWS = [
    {"text": f"message {i}", "label": ("no", "yes")[i % 2], "split": ("train", "test")[i % 5 == 0]} for i in range(20)
]


def task(dataset: Path | str, **fields: Any) -> Task:
    return Task(dataset=str(dataset), labels=("no", "yes"), **fields)


def written(folder: Path, rows: list[dict[str, Any]], suffix: str = ".jsonl") -> Path:
    path = folder / f"data{suffix}"
    table = pd.DataFrame(rows)
    if suffix == ".jsonl":
        table.to_json(path, orient="records", lines=True)
    elif suffix == ".parquet":
        table.to_parquet(path)
    else:
        table.to_csv(path, index=False, sep="\t" if suffix == ".tsv" else ",")
    return path


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".parquet"])
def test_every_format_says_the_same(tmp_path: Path, suffix: str) -> None:
    data = read_task(task(written(tmp_path, ROWS, suffix)))
    assert [item.text for item in data.test] == ["message 0", "message 5", "message 10", "message 15"]
    assert [item.label for item in data.test] == ["no", "yes", "no", "yes"]
    assert len(data.train) == 16


def test_a_folder_holds_a_file_a_split(tmp_path: Path) -> None:
    for split in ("train", "test"):
        rows = [row for row in ROWS if row["split"] == split]
        pd.DataFrame(rows).to_csv(tmp_path / f"{split}.csv", index=False)
    data = read_task(task(tmp_path))
    assert (len(data.train), len(data.test)) == (16, 4)
    with pytest.raises(InputError, match=r"no split 'validation'; it has 'test', 'train'"):
        read_task(task(tmp_path, test_split="validation"))


def test_integer_labels_index_the_names(tmp_path: Path) -> None:
    rows = [{**row, "label": int(row["label"] == "yes")} for row in ROWS]
    assert read_task(task(written(tmp_path, rows))).test[1].label == "yes"


def test_a_file_without_a_split_needs_a_share(tmp_path: Path) -> None:
    rows = [{"text": row["text"], "label": row["label"]} for row in ROWS]
    path = written(tmp_path, rows)
    with pytest.raises(InputError, match=r"no column 'split' .* or set \[task\] test_share"):
        read_task(task(path))
    data = read_task(task(path, test_share=0.2))
    assert len(data.test) == 4
    assert not {item.text for item in data.test} & {item.text for item in data.train}


def changed(position: int, **fields: Any) -> list[dict[str, Any]]:
    return [{**row, **fields} if i == position else row for i, row in enumerate(ROWS)]


@pytest.mark.parametrize(
    ("rows", "fields", "message"),
    [
        (ROWS, {"text": "body"}, r"no column 'body' for \[task\] text; it has text, label, split"),
        (ROWS, {"label": "class"}, r"no column 'class' for \[task\] label"),
        (ROWS, {"cluster": "author"}, r"no column 'author' for \[task\] cluster"),
        (ROWS, {"test_split": "dev"}, r"no split 'dev'; it has 'test', 'train'"),
        ([{**row, "label": "yes"} for row in ROWS], {}, r"every text of split 'train' is labelled 'yes'"),
        ([{**row, "text": i} for i, row in enumerate(ROWS)], {}, r"row 0 of column 'text' is 1, not a text"),
        (changed(3, label=None), {}, r"row 2 of column 'label' has no label"),
        (changed(3, label="maybe"), {}, r"row 2 of column 'label' is 'maybe', none of the labels no, yes"),
        (changed(3, text="  "), {}, r"row 2 of column 'text' is an empty text"),
        (changed(3, text=None), {}, r"row 2 of column 'text' is (None|nan), not a text"),
    ],
)
def test_bad_data_is_one_line(tmp_path: Path, rows: list[dict[str, Any]], fields: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        read_task(task(written(tmp_path, rows), **fields))
    assert "\n" not in str(caught.value)


def test_names_of_labels_come_before_their_numbers(tmp_path: Path) -> None:
    rows = [{**row, "label": int(row["label"] == "yes")} for row in ROWS]
    swapped = Task(dataset=str(written(tmp_path, rows)), labels=("1", "0"))
    assert [item.label for item in read_task(swapped).test] == ["0", "1", "0", "1"]
    with pytest.raises(InputError, match="is 0, none of the labels 1, 2"):
        read_task(Task(dataset=str(written(tmp_path, rows)), labels=("1", "2")))


def test_the_word_none_is_a_label_and_nothing_is_not(tmp_path: Path) -> None:
    rows = [{**row, "label": ("None", "NA")[i % 2]} for i, row in enumerate(ROWS)]
    named = Task(dataset=str(written(tmp_path, rows, ".csv")), labels=("None", "NA"))
    assert [item.label for item in read_task(named).test] == ["None", "NA", "None", "NA"]
    empty = [{**row, "label": ""} if i == 3 else row for i, row in enumerate(rows)]
    with pytest.raises(InputError, match="row 2 of column 'label' has no label"):
        read_task(Task(dataset=str(written(tmp_path, empty, ".csv")), labels=("None", "NA")))


def test_the_same_text_is_one_witness_and_stays_on_one_side(tmp_path: Path) -> None:
    rows = [{**row, "text": f"message {i // 2}"} for i, row in enumerate(ROWS)]
    data = read_task(task(written(tmp_path, rows)))
    assert len({item.cluster for item in data.train}) == len({item.text for item in data.train})
    unsplit = [{"text": row["text"], "label": row["label"]} for row in rows]
    data = read_task(task(written(tmp_path, unsplit), test_share=0.3))
    assert not {item.text for item in data.train} & {item.text for item in data.test}


def test_an_id_that_stands_twice_is_named(tmp_path: Path) -> None:
    rows = [
        {**row, "id": i // 5 * (row["split"] == "train") + 100 * i * (row["split"] == "test")}
        for i, row in enumerate(ROWS)
    ]
    with pytest.raises(InputError, match="the id '0' stands in it twice"):
        read_task(task(written(tmp_path, rows)))


def test_an_empty_split_is_named(tmp_path: Path) -> None:
    for split in ("train", "test"):
        rows = ROWS if split == "train" else []
        pd.DataFrame(rows, columns=["text", "label"]).to_csv(tmp_path / f"{split}.csv", index=False)
    with pytest.raises(InputError, match=r"\(test\): the split is empty"):
        read_task(task(tmp_path))


@pytest.mark.parametrize(
    ("name", "message"),
    [("nothing.csv", "no such file of data"), ("shipped:nothing", "choose from feedback, passages")],
)
def test_what_is_not_there_is_named(name: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_task(task(name))


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    path.write_text('{"text": "a"')
    with pytest.raises(InputError, match=r"data\.jsonl: cannot be read as jsonl"):
        read_task(task(path))
    path = tmp_path / "data.parquet"
    path.write_text("no parquet")
    with pytest.raises(InputError, match=r"data\.parquet: cannot be read as parquet"):
        read_task(task(path))
    path = tmp_path / "data.xlsx"
    path.write_text("")
    with pytest.raises(InputError, match=r"data is read from \.csv, \.tsv"):
        read_task(task(path))


def test_a_hub_data_set_without_a_network_is_unavailable() -> None:
    with pytest.raises(Unavailable, match="stanfordnlp/sst2: the Hub cannot be reached"):
        read_task(task("stanfordnlp/sst2"))
