"""Every kind of base and type of task is trained, and what is written loads as the base does, and answers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer

from audit.adapt import Plan, Trained, adapt
from audit.adapt.rows import Units, training_rows
from audit.adapt.trainee import trainee, write_trained
from audit.errors import InputError
from audit.models.headed import read_head
from audit.models.load import load_base
from audit.models.source import resolve
from audit.models.tagging import first_pieces
from audit.recipe import Full, Task
from audit.view import Item, Kind
from tests import families

FULL = Full(method="full", epochs=6, batch_size=4, learning_rate=5e-3, max_length=32, warmup=0.0)
SINGLE = Task(dataset="none", labels=("bad", "good"))
MULTI = Task(dataset="none", type="multi_label", labels=("bad", "good", "loud"))
NUMBER = Task(dataset="none", type="regression")
TAGS = Task(dataset="none", type="tokens", labels=("O", "B-X"))
COMPLETION = Task(dataset="none", type="completion")


def texts(task: Task, count: int = 16) -> list[Item]:
    """Texts of two sorts, labelled as a task of each type codes them."""
    said = ("the parcel was late and broken", "the parcel was early and whole")
    labels: dict[str, tuple[str, str]] = {
        "single_label": ("bad", "good"),
        "multi_label": ('["bad", "loud"]', '["good"]'),
        "regression": ("1990.0", "2010.0"),
        "tokens": ('["O", "B-X", "O", "O", "O", "O"]', '["O", "B-X", "O", "O", "O", "O"]'),
        "completion": (" what a pity", " how nice"),
    }
    return [
        Item(id=str(number), cluster=str(number), text=said[number % 2], label=labels[task.type][number % 2])
        for number in range(count)
    ]


def pictures(task: Task, folder: Path, count: int = 12) -> list[Item]:
    """Dark and bright images."""
    from PIL import Image

    labels = [one.label for one in texts(task, 2)]
    items = []
    for number in range(count):
        path = folder / f"{number}.png"
        Image.new("RGB", (20, 24), (40 + 150 * (number % 2),) * 3).save(path)
        items.append(Item(id=str(number), cluster=str(number), image=str(path), label=labels[number % 2]))
    return items


def train(base: Path, kind: Kind, task: Task, items: Sequence[Item], folder: Path, method: Any = FULL) -> Trained:
    folder.mkdir()
    return adapt(Plan(resolve(str(base)), kind, task, method), items, 0, folder)


def weights(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.safetensors"))}


# --- texts ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", [MULTI, NUMBER, TAGS], ids=lambda task: task.type)
def test_an_encoder_learns_every_type_of_task(task: Task, bert: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForSequenceClassification, AutoModelForTokenClassification

    items = texts(task)
    trained = train(bert, "encoder", task, items, tmp_path / "one")
    train(bert, "encoder", task, items, tmp_path / "two")
    assert weights(tmp_path / "one") == weights(tmp_path / "two")  # the same seed
    config = json.loads((tmp_path / "one" / "config.json").read_text())
    auto: Any = AutoModelForTokenClassification if task == TAGS else AutoModelForSequenceClassification
    model, info = auto.from_pretrained(tmp_path / "one", output_loading_info=True)
    assert not info["missing_keys"]
    assert trained.parameters == sum(one.numel() for one in model.parameters())
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "one")
    batch = tokenizer([str(item.text) for item in items[:2]], return_tensors="pt", padding=True)
    with torch.no_grad():
        logits = model.eval()(**batch).logits
    if task == MULTI:
        assert config["problem_type"] == "multi_label_classification"
        assert list(config["id2label"].values()) == ["bad", "good", "loud"]
        assert (logits > 0).tolist() == [[True, False, True], [False, True, False]]
    elif task == NUMBER:  # in years, not in units of its own
        assert config["problem_type"] == "regression"
        assert np.allclose(logits[:, 0], [1990, 2010], atol=8)
    else:
        assert config["id2label"] == {"0": "O", "1": "B-X"}
        (_, firsts), *_ = first_pieces(tokenizer, [str(items[0].text)], 32)
        assert logits[0, firsts].argmax(-1).tolist() == [0, 1, 0, 0, 0, 0]


def test_a_causal_base_learns_to_complete_and_to_stop(llama: Path, tmp_path: Path) -> None:
    items = texts(COMPLETION)
    train(llama, "causal", COMPLETION, items, tmp_path / "one")
    ask = [Item(id="q", cluster="q", prompt=str(items[0].text), options=(" what a pity", " how nice"))]
    before, after = (
        load_base(resolve(str(folder)), "causal").ask("option_log_likelihood", ask)[0]
        for folder in (llama, tmp_path / "one")
    )
    assert after[0] > before[0] + 3
    assert after[0] > after[1]


def test_only_the_completion_carries_loss_and_the_prompt_is_cut_at_its_beginning(llama: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(llama)
    item = Item(id="a", cluster="a", text="one two three four five six seven", label=" eight nine")
    plan = Plan(resolve(str(llama)), "causal", COMPLETION, FULL.model_copy(update={"max_length": 8}))
    model, new = trainee(plan, 0)
    assert new == set()
    (row,), collate = training_rows(plan, model, [item])
    answer = [*tokenizer(" eight nine", add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
    prompt = tokenizer(str(item.text))["input_ids"]
    room = 8 - len(answer)
    assert room > 0
    assert row["input_ids"] == [*prompt[-room:], *answer]
    assert row["labels"] == [-100] * room + answer
    with torch.no_grad():
        loss = model.eval()(**collate([row])).loss
        logits = model(input_ids=torch.tensor([row["input_ids"]])).logits[0].log_softmax(-1)
    by_hand = -np.mean([float(logits[room - 1 + at, token]) for at, token in enumerate(answer)])
    assert float(loss) == pytest.approx(by_hand, rel=1e-5)
    plan = Plan(plan.base, "causal", SINGLE, FULL.model_copy(update={"max_length": 1}))
    with pytest.raises(InputError, match=r"\[adapt\] max_length = 1: the label 'bad' alone has \d+ tokens; raise it"):
        training_rows(plan, model, texts(SINGLE, 1))


def test_a_token_is_labelled_on_its_first_piece_only(bert: Path, tmp_path: Path) -> None:
    """By the tokenizer's own account of words, `word_ids`; and for byte-level pieces, which carry their space."""
    tokenizer = AutoTokenizer.from_pretrained(bert)
    words = ["Dr.", "Wolfeschlegelstein", "can't", "come", "again"]
    encoded = tokenizer(words, is_split_into_words=True)
    firsts = [encoded.word_ids().index(number) for number in range(len(words))]
    assert first_pieces(tokenizer, [" ".join(words)], 64) == [(encoded["input_ids"], firsts)]
    short = first_pieces(tokenizer, [" ".join(words)], firsts[2] + 1)[0][1]
    assert short == [firsts[0], firsts[1], None, None, None]  # the last piece that fits closes the text

    item = Item(id="a", cluster="a", text=" ".join(words), label='["O", "B-X", "O", "O", "B-X"]')
    plan = Plan(resolve(str(bert)), "encoder", TAGS, FULL)
    (row,), _ = training_rows(plan, trainee(plan, 0)[0], [item])
    assert {place: label for place, label in enumerate(row["labels"]) if label != -100} == dict(
        zip(firsts, [0, 1, 0, 0, 1], strict=True)
    )
    from tests import tiny

    tiny.tokenizer(tmp_path, causal=True)
    bytewise = AutoTokenizer.from_pretrained(tmp_path)
    ids, places = first_pieces(bytewise, [" ".join(words)], 64)[0]
    assert [
        str(bytewise.decode(ids[begin:end])).strip() for begin, end in zip(places, [*places[1:], None], strict=True)
    ] == words


# --- kinds without a class of their own -------------------------------------------------------------------------------


@pytest.mark.parametrize(("form", "task"), [("mean", SINGLE), ("max-dense", NUMBER)])
def test_a_sentence_encoder_learns_under_a_head_beside_it(form: str, task: Task, tmp_path: Path) -> None:
    base, items = families.SENTENCE[form](tmp_path / "base"), texts(task)
    train(base, "sentence_encoder", task, items, tmp_path / "one")
    train(base, "sentence_encoder", task, items, tmp_path / "two")
    assert weights(tmp_path / "one") == weights(tmp_path / "two")
    view = load_base(resolve(str(tmp_path / "one")), "sentence_encoder")
    answers = view.ask("logits", items[:2])
    if task == NUMBER:
        assert np.allclose(answers[:, 0], [1990, 2010], atol=8)
    else:
        assert view.labels == ("bad", "good")
        assert answers.argmax(1).tolist() == [0, 1]
    assert (tmp_path / "one" / "modules.json").read_bytes() == (base / "modules.json").read_bytes()
    before = load_base(resolve(str(base)), "sentence_encoder").ask("embedding", items[:2])
    assert not np.allclose(before, view.ask("embedding", items[:2]), atol=1e-4)  # its body was trained


@pytest.mark.parametrize("kind", ["sentence_encoder", "clip"])
def test_what_is_written_answers_as_what_was_trained(kind: Kind, tmp_path: Path) -> None:
    """Through the view, which knows nothing of training: its own pooling, its own unit vectors, its own head."""
    family = families.SENTENCE["max-dense"] if kind == "sentence_encoder" else families.CLIP["clip"]
    base, folder = family(tmp_path / "base"), tmp_path / "one"
    items = texts(NUMBER, 3) if kind == "sentence_encoder" else pictures(NUMBER, tmp_path, 3)
    plan = Plan(resolve(str(base)), kind, NUMBER, FULL)
    model, new = trainee(plan, 0)
    assert new == {"head.weight", "head.bias"}
    rows, collate = training_rows(plan, model, items)
    with torch.no_grad():
        trained = model.eval()(**collate(rows)).logits.numpy()
    folder.mkdir()
    write_trained(plan, model, folder, Units(100.0, 7.0))
    written = load_base(resolve(str(folder)), kind).ask("logits", items)
    assert np.ptp(trained) > 1e-2
    assert np.allclose(written, 100 + 7 * trained, rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", ["clip", "siglip"])
def test_clip_learns_from_images_and_keeps_its_texts(name: str, tmp_path: Path) -> None:
    base, items = families.CLIP[name](tmp_path / "base"), pictures(SINGLE, tmp_path)
    trained = train(base, "clip", SINGLE, items, tmp_path / "one")
    source = resolve(str(tmp_path / "one"))
    ours: Any = load_base(resolve(str(base)), "clip")
    theirs = load_base(source, "clip")
    assert theirs.ask("logits", items[:2]).argmax(1).tolist() == [0, 1]
    said = texts(SINGLE, 2)
    assert np.array_equal(ours.ask("embedding", said), theirs.ask("embedding", said))
    assert not np.array_equal(ours.ask("embedding", items[:2]), theirs.ask("embedding", items[:2]))
    towers = sum(
        one.numel()
        for name, one in ours.model.named_parameters()
        if name.startswith(("vision_model.", "visual_projection."))
    )
    assert trained.parameters == towers + read_head(source).parameters


# --- images -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "task"), [("vit", MULTI), ("resnet", SINGLE), ("efficientnet", SINGLE)])
def test_a_vision_base_learns_from_paths(name: str, task: Task, tmp_path: Path) -> None:
    base, items = families.VISION[name](tmp_path / "base"), pictures(task, tmp_path)
    train(base, "vision", task, items, tmp_path / "one")
    view = load_base(resolve(str(tmp_path / "one")), "vision")
    assert tuple(view.labels) == task.names
    answers = view.ask("logits", items[:2])
    if task == MULTI:
        assert (answers > 0).tolist() == [[True, False, True], [False, True, False]]
    elif name == "resnet":
        assert answers.argmax(1).tolist() == [0, 1]


def test_an_image_is_read_when_its_batch_is(tmp_path: Path) -> None:
    base, items = families.VISION["vit"](tmp_path / "base"), pictures(SINGLE, tmp_path, 2)
    plan = Plan(resolve(str(base)), "vision", SINGLE, FULL)
    lost = Item(id="x", cluster="x", image=str(tmp_path / "lost.png"), label="bad")
    rows, collate = training_rows(plan, None, [*items, lost])
    assert collate(rows[:2])["pixel_values"].shape == (2, 3, 16, 16)
    with pytest.raises(InputError, match=r"item 'x': there is no image .*lost.png"):
        collate(rows[1:])
