"""Images of the Hub, as general items of an audit: bytes become files, and only those that are asked."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from audit.errors import InputError
from audit.items.packs import read_labelled
from audit.items.reference import hub_rows
from tests import families
from tests.hub import Hub


@pytest.fixture
def pictures(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Twelve images in a repository, sorted by their labels; the cache is empty."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    paths = families.images(tmp_path / "drawn", 12)
    hub.add("owner/pictures", {"train.parquet": as_parquet(paths, tmp_path)}, "dataset")
    return [path.read_bytes() for path in paths]


def as_parquet(paths: list[Path], folder: Path) -> bytes:
    """Write images as the Hub has them: bytes and a name, and a feature that says so."""
    from datasets import ClassLabel, Dataset, Features, Image

    images = [{"bytes": path.read_bytes(), "path": path.name} for path in paths]
    rows = {"image": images, "label": [n * 3 // len(paths) for n in range(len(paths))]}
    table = Dataset.from_dict(rows, features=Features({"image": Image(), "label": ClassLabel(names=["a", "b", "c"])}))
    table.to_parquet(folder / "pictures.parquet")
    return (folder / "pictures.parquet").read_bytes()


def kept(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in (folder / "cache" / "transfer-audit" / "images").iterdir()]


def test_as_many_files_are_kept_as_are_asked(pictures: list[bytes], tmp_path: Path) -> None:
    items = read_labelled("owner/pictures", 3)
    assert [item.label for item in items] == ["0", "1", "2"]  # evenly over the labels
    assert [item.id for item in items] == ["owner/pictures:1", "owner/pictures:7", "owner/pictures:12"]
    assert [Path(item.image or "").read_bytes() for item in items] == [pictures[0], pictures[6], pictures[11]]
    assert len(kept(tmp_path)) == 3
    assert len(read_labelled("owner/pictures")) == 12
    assert sorted(kept(tmp_path)) == sorted(pictures)


def test_no_image_is_decoded(pictures: list[bytes]) -> None:
    first = next(iter(hub_rows("owner/pictures")))
    assert first["image"]["bytes"] == pictures[0]


def test_what_is_no_image_is_named(hub: Hub, pictures: list[bytes], tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(os.urandom(64))
    paths = [broken, *families.images(tmp_path / "few", 3)]
    hub.add("owner/broken", {"train.parquet": as_parquet(paths, tmp_path)}, "dataset")
    with pytest.raises(InputError, match=r"^owner/broken: row 1 \('owner/broken:1'\): its 64 bytes are not an image"):
        read_labelled("owner/broken")


def test_a_file_of_paths_is_read_as_before(tmp_path: Path) -> None:
    rows = [{"image": str(path), "label": n % 2} for n, path in enumerate(families.images(tmp_path, 4))]
    (tmp_path / "own.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert [item.image for item in read_labelled(str(tmp_path / "own.jsonl"))] == [row["image"] for row in rows]
