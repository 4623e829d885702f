"""A model is asked once; what is kept is read only where it is the answer to what is asked."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from audit.errors import InputError
from audit.items import passages
from audit.view import Item, View, fingerprint, remember

TEXTS = list(passages()[:9])


class Counting:
    """A view that counts how often it is asked, and answers with what an item says."""

    kind = "encoder"
    labels: tuple[str, ...] = ()

    def __init__(self, id: str = "v") -> None:
        self.id, self.asked = id, 0

    def ask(self, question: str, items: list[Item]) -> NDArray[np.float64]:
        self.asked += 1
        lengths = np.array([len(item.text or item.image or "") for item in items], dtype=np.float64)
        return lengths if question == "log_likelihood" else np.stack([lengths, lengths**2], axis=1)

    def treatment(self, question: str, items: list[Item]) -> str:
        return "as it is"


@pytest.fixture
def inner() -> Counting:
    return Counting()


@pytest.fixture
def view(inner: Counting, tmp_path: Path) -> View:
    kept: Any = remember(inner, tmp_path / "answers")  # type: ignore[arg-type]
    return kept  # type: ignore[no-any-return]


def test_a_model_is_asked_once_in_whatever_order(inner: Counting, view: View) -> None:
    for question in ("embedding", "log_likelihood"):
        first = view.ask(question, TEXTS)
        assert np.array_equal(first, Counting().ask(question, TEXTS))
        assert np.array_equal(view.ask(question, TEXTS[::-1]), first[::-1])
        assert view.ask(question, TEXTS).shape == first.shape
    assert inner.asked == 2
    again = [item.model_copy(update={"id": f"other-{item.id}", "cluster": "c", "label": None}) for item in TEXTS]
    view.ask("embedding", again)  # ids, clusters and labels are not asked
    assert inner.asked == 2
    assert view.treatment("embedding", TEXTS) == "as it is"


def test_another_question_set_or_model_is_asked_anew(inner: Counting, view: View, tmp_path: Path) -> None:
    view.ask("embedding", TEXTS)
    view.ask("embedding", TEXTS[:2])
    view.ask("layer_means", TEXTS)
    other = Counting("w")
    remember(other, tmp_path / "answers").ask("embedding", TEXTS)  # type: ignore[arg-type]
    assert (inner.asked, other.asked) == (3, 1)


def test_a_torn_file_is_asked_again(inner: Counting, view: View, tmp_path: Path) -> None:
    first = view.ask("embedding", TEXTS)
    [file] = (tmp_path / "answers").iterdir()
    content = file.read_bytes()
    for torn in (
        b"",
        content[:50],
        content[:-9],
        content[: len(content) // 2] + b"x" + content[len(content) // 2 + 1 :],
    ):
        file.write_bytes(torn)
        assert np.array_equal(view.ask("embedding", TEXTS), first)


def test_numbers_that_were_changed_on_disk_are_not_believed(inner: Counting, view: View, tmp_path: Path) -> None:
    first = view.ask("log_likelihood", TEXTS)
    [file] = (tmp_path / "answers").iterdir()
    table = pq.read_table(file)
    changed = table.set_column(1, "value", table["value"].take(list(range(len(TEXTS)))[::-1]))
    pq.write_table(changed.replace_schema_metadata(table.schema.metadata), file)
    assert np.array_equal(view.ask("log_likelihood", TEXTS), first)
    assert inner.asked == 2


def test_an_answer_to_something_else_is_not_believed(inner: Counting, view: View, tmp_path: Path) -> None:
    view.ask("embedding", TEXTS)
    [known] = (tmp_path / "answers").iterdir()
    view.ask("layer_means", TEXTS)
    [other] = set((tmp_path / "answers").iterdir()) - {known}
    shutil.copy(known, other)
    view.ask("layer_means", TEXTS)
    assert inner.asked == 3


def test_an_image_that_changed_is_asked_again(inner: Counting, view: View, tmp_path: Path) -> None:
    picture = tmp_path / "picture.png"
    item = Item(id="a", cluster="a", image=str(picture))
    for content, asked in ((b"one", 1), (b"one", 1), (b"two", 2)):
        picture.write_bytes(content)
        view.ask("embedding", [item])
        assert inner.asked == asked


def test_other_pixels_at_the_same_path_are_other_items(tmp_path: Path) -> None:
    picture, elsewhere = tmp_path / "picture.png", tmp_path / "moved.png"
    item = Item(id="a", cluster="a", image=str(picture))
    picture.write_bytes(b"one")
    elsewhere.write_bytes(b"one")
    before = fingerprint([item])
    assert fingerprint([item.model_copy(update={"image": str(elsewhere)})]) == before
    assert fingerprint([item.model_copy(update={"label": "cat"})]) != before
    picture.write_bytes(b"two")
    assert fingerprint([item]) != before


@pytest.mark.parametrize("name", ["none.png", "a folder", "\0.png"])
def test_an_image_that_cannot_be_read_is_one_line(name: str, view: View, tmp_path: Path) -> None:
    (tmp_path / "a folder").mkdir()
    with pytest.raises(InputError, match=r"^item 'a': the image '.*' cannot be read \(.+\)$"):
        view.ask("embedding", [Item(id="a", cluster="a", image=str(tmp_path / name))])


def test_where_nothing_can_be_kept_the_model_still_answers(inner: Counting, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    view = remember(inner, tmp_path / "file" / "answers")  # type: ignore[arg-type]
    assert np.array_equal(view.ask("embedding", TEXTS), view.ask("embedding", TEXTS))
    assert inner.asked == 2
