"""Tasks of images: folders of them, tables of paths, and what the Hub gives; each opened once."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from audit.errors import InputError
from audit.items.task import read_task
from audit.recipe import Task

Image = pytest.importorskip("PIL.Image")


def picture(path: Path, seed: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(path)
    return path


def folder(root: Path) -> Path:
    for k, label in enumerate(("cat", "dog")):
        for i in range(4):
            picture(root / "train" / label / f"{i}.png", 10 * k + i)
        for i, ending in enumerate(("jpg", "webp")):
            picture(root / "test" / label / f"{i}.{ending}", 100 + 10 * k + i)
    return root


def task(dataset: Path | str, **fields: Any) -> Task:
    return Task(dataset=str(dataset), **{"labels": ("cat", "dog"), **fields})


def test_a_folder_of_images_is_labelled_by_its_folders(tmp_path: Path) -> None:
    data = read_task(task(folder(tmp_path)))
    assert [item.id for item in data.train[:3]] == ["train/cat/0.png", "train/dog/0.png", "train/cat/1.png"]
    assert [(item.id, item.label) for item in data.test[:2]] == [("test/cat/0.jpg", "cat"), ("test/dog/0.jpg", "dog")]
    assert (len(data.train), len(data.test)) == (8, 4)
    assert data.train[0].image == str(tmp_path / "train" / "cat" / "0.png")
    assert data.train[0].text is None
    few = read_task(task(tmp_path, train_limit=2))
    assert {item.label for item in few.train} == {"cat", "dog"}


def test_what_is_no_image_and_what_is_hidden_is_left_alone(tmp_path: Path) -> None:
    root = folder(tmp_path)
    (root / "train" / "cat" / "notes.txt").write_text("taken in May")
    (root / "train" / "cat" / ".thumb.png").write_text("hidden")
    (root / "train" / ".ipynb_checkpoints").mkdir()
    assert len(read_task(task(root)).train) == 8


def test_folders_of_labels_alone_are_split_by_a_share(tmp_path: Path) -> None:
    root = folder(tmp_path) / "train"
    data = read_task(task(root, test_share=0.25))
    assert (len(data.train), len(data.test)) == (6, 2)


def test_the_fingerprint_goes_by_content_and_the_same_image_is_one_witness(tmp_path: Path) -> None:
    first = read_task(task(folder(tmp_path / "here")))
    again = read_task(task(folder(tmp_path / "there")))
    sources = [{item.source for item in data.train} for data in (first, again)]
    assert sources[0] != sources[1]
    unsourced = [
        sorted(item.model_copy(update={"source": None}).label or "" for item in data.train) for data in (first, again)
    ]
    assert unsourced[0] == unsourced[1]
    root = tmp_path / "here"
    (root / "train" / "cat" / "3.png").write_bytes((root / "train" / "cat" / "0.png").read_bytes())
    changed = read_task(task(root))
    assert changed.fingerprint != first.fingerprint
    clusters = {item.id: item.cluster for item in changed.train}
    assert clusters["train/cat/3.png"] == clusters["train/cat/0.png"] == "train/cat/0.png"


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_a_table_names_its_images_beside_itself(tmp_path: Path, suffix: str) -> None:
    for i in range(8):
        picture(tmp_path / "pictures" / f"{i}.png", i)
    rows = pd.DataFrame(
        {
            "file": [f"pictures/{i}.png" for i in range(7)] + [str(tmp_path / "pictures" / "7.png")],
            "label": ["cat", "dog"] * 4,
            "split": ["train"] * 4 + ["test"] * 4,
            "light": ["day", "night"] * 4,
        }
    )
    path = tmp_path / f"table{suffix}"
    if suffix == ".csv":
        rows.to_csv(path, index=False)
    elif suffix == ".jsonl":
        rows.to_json(path, orient="records", lines=True)
    else:
        rows.to_parquet(path)
    data = read_task(task(path, image="file"), {"light": "day"})
    assert [item.image for item in data.test] == [str(tmp_path / "pictures" / f"{i}.png") for i in range(4, 8)]
    assert [item.groups for item in data.test[:2]] == [{"light": "day"}, {"light": "night"}]
    numbers = rows.assign(label=np.arange(8.0))
    numbers.to_csv(tmp_path / "numbers.csv", index=False)
    asked = Task(dataset=str(tmp_path / "numbers.csv"), type="regression", image="file")
    assert [item.label for item in read_task(asked).train] == ["0.0", "1.0", "2.0", "3.0"]


def test_bytes_are_written_once_under_their_hash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A data set with images as the Hub has them: bytes and a name in parquet."""
    import datasets

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    contents = [
        picture(tmp_path / "made" / f"{i}.{ending}", i).read_bytes() for i, ending in enumerate(["png", "jpg"] * 3)
    ]
    features = datasets.Features({"img": datasets.Image(), "label": datasets.ClassLabel(names=["cat", "dog"])})
    rows = {"img": [{"bytes": one, "path": None} for one in contents], "label": [0, 1] * 3}
    (tmp_path / "hub").mkdir()
    whole = datasets.Dataset.from_dict(rows, features=features)
    for split, some in (("train", range(4)), ("test", range(4, 6))):
        whole.select(some).to_parquet(tmp_path / "hub" / f"{split}.parquet")
    asked = task(tmp_path / "hub", image="img")
    data = read_task(asked)
    kept = [Path(item.image or "") for item in [*data.train, *data.test]]
    assert [path.read_bytes() for path in kept] == contents
    ends = [hashlib.sha256(one).hexdigest() + (".png", ".jpeg")[i % 2] for i, one in enumerate(contents)]
    assert [path.name for path in kept] == ends
    assert kept[0].parent == tmp_path / "cache" / "transfer-audit" / "images"
    before = [path.stat().st_mtime_ns for path in kept]
    assert read_task(asked) == data
    assert [path.stat().st_mtime_ns for path in kept] == before
    assert len(list(kept[0].parent.iterdir())) == 6
    from audit.items.task.tables import _as_table  # what the Hub's own reader hands over, without a network

    loaded = datasets.load_dataset("parquet", data_files=str(tmp_path / "hub" / "train.parquet"), split="train")
    table = _as_table(loaded, "train", asked, 3)
    assert table["img"].tolist() == [str(path) for path in kept[:3]]
    assert table["label"].tolist() == [0, 1, 0]


def broken(root: Path) -> None:
    (root / "train" / "cat" / "1.png").write_bytes(b"no image")


def torn(root: Path) -> None:
    path = root / "train" / "cat" / "1.png"
    path.write_bytes(path.read_bytes()[:60])


def deep(root: Path) -> None:
    Image.fromarray(np.zeros((4, 4), dtype=np.uint16)).save(root / "train" / "cat" / "1.png")


def renamed(root: Path) -> None:
    (root / "test" / "dog").rename(root / "test" / "hound")


def emptied(root: Path) -> None:
    for path in (root / "train" / "dog").iterdir():
        path.unlink()


@pytest.mark.parametrize(
    ("harm", "fields", "message"),
    [
        (broken, {}, r"\(train\): row 2: \S+1\.png is not an image that can be read"),
        (torn, {}, r"\(train\): row 2: \S+1\.png is not an image that can be read"),
        (deep, {}, r"\(train\): row 2: \S+1\.png has pixels of mode I;16, not 8 bits a channel"),
        (renamed, {}, r"test: its folders are cat, hound, and \[task\] labels are cat, dog"),
        (emptied, {}, r"dog: no image in this folder"),
        (None, {"labels": ("cat", "horse")}, r"its folders are cat, dog, and \[task\] labels are cat, horse"),
        (None, {"test_split": "dev"}, r"no split 'dev'; it has 'train', 'test'|no split 'dev'; it has 'test', 'train'"),
        (None, {"type": "regression", "labels": None}, r"one label an image, and the task is of type 'regression'"),
    ],
)
def test_a_bad_folder_is_one_line(tmp_path: Path, harm: Any, fields: dict[str, Any], message: str) -> None:
    root = folder(tmp_path)
    if harm is not None:
        harm(root)
    with pytest.raises(InputError, match=message) as caught:
        read_task(task(root, **fields))
    assert "\n" not in str(caught.value)


def test_a_bad_path_is_one_line(tmp_path: Path) -> None:
    picture(tmp_path / "1.png", 1)
    for value, message in (
        ("2.png", r"row 1: there is no image \S+2\.png"),
        (None, r"row 1 of column 'file' is (None|nan), not the path of an image"),
        ({"bytes": b"no image", "path": "x"}, r"row 1: its 8 bytes are not an image that can be read"),
        ({"bytes": None, "path": None}, r"row 1 holds no image"),
    ):
        rows = [{"file": one, "label": "cat", "split": "train"} for one in ("1.png", value)]
        if isinstance(value, dict):
            rows[0]["file"] = {"bytes": (tmp_path / "1.png").read_bytes(), "path": "1.png"}
        rows.append({"file": rows[0]["file"], "label": "dog", "split": "test"})
        pd.DataFrame(rows).to_parquet(tmp_path / "table.parquet")
        with pytest.raises(InputError, match=message):
            read_task(task(tmp_path / "table.parquet", image="file"))
    with pytest.raises(InputError, match=r"no column 'img' for \[task\] image; it has file, label"):
        read_task(task(tmp_path / "table.parquet", image="img"))


def test_every_image_is_opened_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    real = Image.open

    def watched(file: Any) -> Any:
        opened.append(str(file))
        return real(file)

    monkeypatch.setattr(Image, "open", watched)
    read_task(task(folder(tmp_path)))
    assert sorted(opened) == sorted({*opened})
    assert len(opened) == 12
