"""What cannot work is refused before anything is asked; what a run set apart and chose stands in its card."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from audit import relay
from audit.errors import InputError
from audit.items import shipped
from audit.recipe import parse_recipe
from tests import families, tiny

NONE: dict[str, Any] = {"audit": {}}


def run(table: dict[str, Any], out: Path) -> Any:
    return relay.run(parse_recipe(table, "tiny.toml"), "# tiny", out)[0]


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    image = pytest.importorskip("PIL.Image")
    rng = np.random.default_rng(0)
    for split, count in (("train", 6), ("test", 4)):
        for label in ("complaint", "praise"):
            place = tmp_path / "pictures" / split / label
            place.mkdir(parents=True)
            for number in range(count):
                image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(place / f"{number}.png")
    return tmp_path / "pictures"


@pytest.mark.parametrize("kind", ["encoder", "sentence_encoder", "causal"])
def test_images_are_refused_by_a_base_that_reads_texts(
    kind: str, pictures: Path, tiny_encoder: Path, tiny_causal: Path, tmp_path: Path
) -> None:
    base = tiny_causal if kind == "causal" else tiny_encoder
    task = {"dataset": str(pictures), "labels": ["complaint", "praise"]}
    with pytest.raises(InputError, match=rf"\[task\] dataset = '.*pictures': it holds images; .*'{kind}' reads texts"):
        run(tiny.recipe(base, kind=kind, task=task, adapt={"method": "head"}, **NONE), tmp_path / "out")
    assert not (tmp_path / "out" / "stages").exists()


def test_texts_are_refused_by_a_base_that_reads_images(tmp_path: Path) -> None:
    base = families.VISION["vit"](tmp_path / "vit")
    with pytest.raises(InputError, match=r"it holds texts; a base of kind 'vision' is adapted to images"):
        run(tiny.recipe(base, kind="vision", adapt={"method": "head"}, **NONE), tmp_path / "out")
    assert not (tmp_path / "out" / "stages").exists()


def test_what_cannot_be_trained_is_refused_before_anything_is_asked(tiny_encoder: Path, tmp_path: Path) -> None:
    """The gap takes a minute of a real base: a target that no module has is found before, not after it."""
    adapt = {"method": "peft", "epochs": 1, "config": {"r": 4, "target_modules": ["nowhere"]}}
    with pytest.raises(InputError, match=r"\[adapt.config\] target_modules: choose from dense"):
        run(tiny.recipe(tiny_encoder, adapt=adapt), tmp_path / "out")
    assert not (tmp_path / "out" / "stages").exists()


def test_a_card_names_settings_and_how_much_of_the_domain_was_asked_too(bert: Path, tmp_path: Path) -> None:
    rows = [json.loads(line) | {"split": ("test", "train")[n % 2]} for n, line in enumerate(shipped_rows(40))]
    texts = tmp_path / "domain.jsonl"
    asked = tmp_path / "asked.jsonl"
    asked.write_text("".join(json.dumps(row) + "\n" for row in rows[:20]))
    others = [{"text": f"{row['text']} Nothing else happened that day, number {n}."} for n, row in enumerate(rows[20:])]
    texts.write_text("".join(json.dumps(row) + "\n" for row in [*rows[:5], *others]))
    table = tiny.recipe(
        bert,
        task={"dataset": str(asked), "labels": ["complaint", "praise"]},
        domain={"texts": str(texts), "epochs": 2, "max_length": 32},
        adapt={"method": "head", "max_length": 40},
        **NONE,
    )
    report = run(table, tmp_path / "out")
    shared = next(one for one in report.provenance.overlap if one["rows"].startswith("[domain]"))
    assert (shared["exact"], shared["near"], shared["dropped"]) == (3, 0, 3)  # numbers 0, 2 and 4
    assert any("Overlap: 3 rows of [domain] texts = " in limit for limit in report.limits)
    card = (tmp_path / "out" / "card.md").read_text()
    assert "max\\_length = 40" in card or "max_length = 40" in card
    assert "domain.epochs = 2" in card


def shipped_rows(count: int) -> list[str]:
    """Lines of the shipped task."""
    return shipped("feedback").read_text(encoding="utf-8").splitlines()[:count]
