"""The sets that a kind of base is asked: one name a set, one witness a content, prompts that fit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from audit.errors import InputError
from audit.items import passages
from audit.items.general import Packs, read_packs
from audit.recipe import Forgetting
from audit.steps.probes import probes_of
from audit.view import Item, Kind
from tests import families


def write(path: Path, rows: list[dict[str, Any]]) -> str:
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def labelled(path: Path) -> str:
    return write(path, [{"id": str(n), "text": f"Text {n}.", "label": "xy"[n % 2]} for n in range(8)])


@pytest.fixture
def images(tmp_path: Path) -> list[Item]:
    return [
        Item(id=path.name, cluster=path.name, image=str(path), label=("day", "night")[n % 2])
        for n, path in enumerate(families.images(tmp_path, 9))
    ]


# --- names ------------------------------------------------------------------------------------------------------------


def test_two_sets_of_one_name_are_refused(tmp_path: Path) -> None:
    one, other = (labelled(tmp_path / folder / "kinds.jsonl") for folder in "ab")
    said = r"\[audit.forgetting\]: two sets are called 'kinds' \(.*a/kinds.jsonl and .*b/kinds.jsonl\); leave one out"
    with pytest.raises(InputError, match=said):
        read_packs(Forgetting(labelled=(one, other)), "encoder")
    with pytest.raises(InputError, match="two sets are called 'kinds'"):
        read_packs(Forgetting(items=one, labelled=(other,)), "sentence_encoder")
    assert list(read_packs(Forgetting(labelled=(one,)), "encoder").labelled) == ["kinds"]
    assert read_packs(Forgetting(labelled=(one, other)), "causal").labelled == {}  # which is asked none of them
    plain = write(tmp_path / "c" / "kinds.jsonl", [{"text": f"Text {n}."} for n in range(8)])
    assert list(read_packs(Forgetting(items=plain, labelled=(one,)), "encoder").tasks) == ["kinds"]


def test_a_set_called_passages_does_not_replace_the_shipped_ones(tmp_path: Path) -> None:
    own = labelled(tmp_path / "passages.jsonl")
    with pytest.raises(InputError, match=r"two sets are called 'passages' \(shipped:passages and .*passages.jsonl\)"):
        read_packs(Forgetting(labelled=(own,)), "encoder")


def test_the_probe_of_general_items_is_called_like_their_file(tmp_path: Path) -> None:
    asked = Forgetting(items=labelled(tmp_path / "own.texts.jsonl"), labelled=())
    given = [
        item.model_copy(update={"source": "owner/set, 3 of 80 rows left out (the first: …)"}) for item in passages()
    ]
    for packs, name in (
        (read_packs(asked, "encoder"), "own.texts"),
        (read_packs(Forgetting(), "encoder"), "passages"),
        (read_packs(asked, "encoder", given), "general"),
    ):
        assert probes_of("encoder", packs, asked)[0].name == f"probes of {name}"


def test_a_hub_set_is_called_without_its_owner(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("audit.items.general.read_labelled", lambda name, limit: list(passages()[:4]))
    asked = Forgetting(labelled=("owner/kinds-v1.5", "owner/kinds-v1.6"))
    assert list(read_packs(asked, "encoder").labelled) == ["kinds-v1.5", "kinds-v1.6"]
    with pytest.raises(InputError, match=r"two sets are called 'kinds' \(one/kinds and two/kinds\)"):
        read_packs(Forgetting(labelled=("one/kinds", "two/kinds")), "encoder")


# --- witnesses and limits ---------------------------------------------------------------------------------------------


def test_given_items_that_say_the_same_are_one_witness(images: list[Item]) -> None:
    texts = [Item(id=str(n), cluster=str(n), text=f"Text {n % 8}.") for n in range(80)]
    kinds: tuple[Kind, ...] = ("causal", "encoder", "sentence_encoder")
    for kind in kinds:
        assert len({item.cluster for item in read_packs(Forgetting(), kind, texts).general}) == 8
    Path(images[4].image or "").write_bytes(Path(images[0].image or "").read_bytes())
    clusters = [item.cluster for item in read_packs(Forgetting(), "vision", images).general]
    assert clusters == [image.cluster for image in [*images[:4], images[0], *images[5:]]]


def test_the_tasks_own_texts_that_say_the_same_are_one_witness() -> None:
    own = [Item(id=str(n), cluster=str(n), text=f"Text {n % 8}.") for n in range(80)]
    prompts = [Item(id=i.id, cluster=i.id, prompt=f"{i.text} Good?", options=(" yes", " no")) for i in own]
    found = probes_of("causal", Packs(list(passages())), Forgetting(), own, prompts)[-2:]
    found += probes_of("encoder", Packs(list(passages())), Forgetting(), own)[-1:]
    asked: list[Any] = [probe.ask for probe in found]
    assert [len({item.cluster for item in one.keywords["items"]}) for one in asked] == [8, 8, 8]


def test_a_limit_keeps_the_labels_of_images(images: list[Item], tmp_path: Path) -> None:
    """The first and the last of nine have one label; the fourth is not asked, so it need not be there."""
    Path(images[3].image or "").unlink()
    asked = Forgetting(limit=2, items=write(tmp_path / "own.jsonl", [image.model_dump() for image in images]))
    for given in (images, None):
        assert [item.label for item in read_packs(asked, "vision", given).general] == ["day", "night"]


def test_other_images_at_the_same_paths_are_other_packs(images: list[Item]) -> None:
    before = read_packs(Forgetting(), "vision", images).fingerprint
    assert read_packs(Forgetting(), "vision", images).fingerprint == before
    Path(images[0].image or "").write_bytes(Path(images[1].image or "").read_bytes())
    assert Packs(images).fingerprint != before
    Path(images[0].image or "").unlink()
    with pytest.raises(InputError, match=rf"^item {images[0].id!r}: the image .* cannot be read \(No such file"):
        read_packs(Forgetting(), "vision", images)


# --- prompts ----------------------------------------------------------------------------------------------------------

PROMPTS = {"day": "by day", "night": "by night"}


def test_prompts_name_every_class_of_the_images(images: list[Item]) -> None:
    assert read_packs(Forgetting(prompts=PROMPTS), "clip", images).general == images
    for prompts, said in (
        ({"day": "by day"}, "image '.*' is labelled 'night', which has no prompt; prompts are there for 'day'"),
        ({"day": "a photo", "night": "a photo"}, "it takes two prompts at least, each of its own words"),
    ):
        with pytest.raises(InputError, match=rf"\[audit.forgetting\] prompts: {said}"):
            read_packs(Forgetting(prompts=prompts), "clip", images)
    with pytest.raises(InputError, match="has no label; prompts are there for 'day', 'night'"):
        read_packs(Forgetting(prompts=PROMPTS), "clip", [image.model_copy(update={"label": None}) for image in images])
    alike = [image.model_copy(update={"label": "day"}) for image in images]
    with pytest.raises(InputError, match="it takes two prompts at least"):
        read_packs(Forgetting(prompts={"day": "by day"}), "clip", alike)


@pytest.mark.parametrize("kind", ["encoder", "sentence_encoder", "causal", "vision"])
def test_prompts_are_for_a_model_of_images_and_texts(kind: Kind) -> None:
    with pytest.raises(InputError, match=rf"prompts: they are for a model of images and texts, .* of kind {kind!r}"):
        read_packs(Forgetting(prompts=PROMPTS), kind)
