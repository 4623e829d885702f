"""Tasks of every type: read as they stand, refused in one line, and measured on both sides."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from audit.errors import InputError
from audit.items.task import read_task
from audit.items.task.labels import unseen
from audit.recipe import Task
from audit.report import Task as ReportTask
from audit.steps.task import right
from audit.steps.task import task as measure
from audit.view import Item, NotMeasurable

CLASSES: dict[str, Any] = {"multi_label": {"labels": ("a", "b", "c")}, "tokens": {"labels": ("O", "B-X", "I-X")}}
LABELS: dict[str, tuple[Any, Any]] = {
    "multi_label": (["c", "a"], []),
    "regression": (1.5, 2),
    "tokens": (["O", "B-X", "I-X"], ["B-X", "O", "O"]),
    "completion": ("42", " yes"),
}
CODED = {
    "multi_label": ('["a", "c"]', "[]"),
    "regression": ("1.5", "2.0"),
    "tokens": ('["O", "B-X", "I-X"]', '["B-X", "O", "O"]'),
    "completion": ("42", " yes"),
}


def task(dataset: Path, type: str, **fields: Any) -> Task:
    return Task(dataset=str(dataset), type=type, **{**CLASSES.get(type, {}), **fields})  # type: ignore[arg-type]


def rows(type: str) -> list[dict[str, Any]]:
    return [
        {
            "text": ["The", "cell", f"no{i}"] if type == "tokens" else f"message {i}",
            "label": LABELS[type][i % 2],
            "split": "train" if i < 8 else "test",
        }
        for i in range(12)
    ]


def written(folder: Path, table: list[dict[str, Any]], suffix: str = ".jsonl") -> Path:
    path = folder / f"data{suffix}"
    if suffix == ".jsonl":
        path.write_text("\n".join(json.dumps(row) for row in table))
    elif suffix == ".parquet":
        pd.DataFrame(table).to_parquet(path)
    else:
        flat = [
            {
                key: (" " if key == "text" else JOINED[suffix]).join(x) if isinstance(x, list) else x
                for key, x in row.items()
            }
            for row in table
        ]
        pd.DataFrame(flat).to_csv(path, index=False)
    return path


JOINED = {".csv": " "}


@pytest.mark.parametrize("type", LABELS)
@pytest.mark.parametrize("suffix", [".jsonl", ".parquet", ".csv"])
def test_every_type_is_read_from_every_file(
    tmp_path: Path, type: str, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(JOINED, ".csv", "|" if type == "multi_label" else " ")
    data = read_task(task(written(tmp_path, rows(type), suffix), type))
    assert (len(data.train), len(data.test)) == (8, 4)
    assert [item.label for item in data.test[:2]] == list(CODED[type])
    assert data.test[0].text == ("The cell no8" if type == "tokens" else "message 8")
    assert all((item.text or "").split(" ") == ["The", "cell", f"no{i + 8}"] for i, item in enumerate(data.test)) or (
        type != "tokens"
    )


def test_classes_may_be_json_lists_names_and_numbers(tmp_path: Path) -> None:
    table = rows("multi_label")
    for row, label in zip(
        table, ['["b"]', "c | a", "", "0|2", "1", [2, 0], 2, [], ["b"], '["c", "a"]', [1], "b"], strict=True
    ):
        row["label"] = label
    data = read_task(task(written(tmp_path, table), "multi_label"))
    said = [json.loads(item.label or "") for item in [*data.train, *data.test]]
    assert said == [["b"], ["a", "c"], [], ["a", "c"], ["b"], ["a", "c"], ["c"], [], ["b"], ["a", "c"], ["b"], ["b"]]


def test_tags_may_be_numbers(tmp_path: Path) -> None:
    table = [{**row, "label": [0, 1, 2]} for row in rows("tokens")]
    assert read_task(task(written(tmp_path, table), "tokens")).test[0].label == CODED["tokens"][0]
    flat = [{**row, "text": "a b", "label": "0 1"} for row in table]
    assert read_task(task(written(tmp_path, flat, ".csv"), "tokens")).test[0].label == '["O", "B-X"]'


@pytest.mark.parametrize(
    ("type", "change", "message"),
    [
        ("multi_label", {"label": ["a", "z"]}, r"row 2 of column 'label' names 'z', none of the labels a, b, c"),
        ("multi_label", {"label": ["a", "a"]}, r"row 2 of column 'label' names 'a' twice"),
        (
            "multi_label",
            {"label": None},
            r"row 2 of column 'label' has no label .* an item without any is an empty list",
        ),
        (
            "multi_label",
            {"label": "[a"},
            r"row 2 of column 'label' is '\[a', which begins like a JSON list and is none",
        ),
        ("multi_label", {"label": [3]}, r"row 2 of column 'label' names 3, none of the labels a, b, c"),
        ("regression", {"label": "much"}, r"row 2 of column 'label' is 'much', not a number"),
        ("regression", {"label": float("inf")}, r"row 2 of column 'label' is inf, not a finite number"),
        ("regression", {"label": None}, r"row 2 of column 'label' is (None, not a number|nan, not a finite number)"),
        ("regression", {"label": True}, r"row 2 of column 'label' is True, not a number"),
        ("tokens", {"label": ["O", "O"]}, r"row 2 has 3 tokens in column 'text' and 2 labels in column 'label'"),
        ("tokens", {"label": ["O", "O", "Z"]}, r"row 2 of column 'label' holds 'Z', none of the labels O, B-X, I-X"),
        ("tokens", {"label": None}, r"row 2 of column 'label' has no label"),
        ("tokens", {"text": ["The", "a b", "c"]}, r"row 2 of column 'text' holds 'a b', not a token"),
        ("tokens", {"text": ["The", "", "c"]}, r"row 2 of column 'text' holds '', not a token"),
        ("tokens", {"text": 7}, r"row 2 of column 'text' is 7, not a list of tokens"),
        ("tokens", {"text": [], "label": []}, r"row 2 of column 'text' is an empty text"),
        ("completion", {"label": "  "}, r"row 2 of column 'label' is an empty text; a prompt is completed by one"),
        ("completion", {"label": 42}, r"row 2 of column 'label' is 42, not a text that completes the prompt"),
        ("completion", {"text": " "}, r"row 2 of column 'text' is an empty text"),
    ],
)
def test_a_bad_cell_is_one_line(tmp_path: Path, type: str, change: dict[str, Any], message: str) -> None:
    table = rows(type)
    table[2] = {**table[2], **change}
    with pytest.raises(InputError, match=message) as caught:
        read_task(task(written(tmp_path, table), type))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("type", "label", "message"),
    [
        ("multi_label", ["a"], r"every text of split 'train' is labelled '\[\"a\"\]'; a classifier needs at least two"),
        ("regression", 3, r"every text of split 'train' is labelled '3.0'; a regression needs two numbers at least"),
        ("tokens", ["O", "O", "O"], r"every token of split 'train' is labelled 'O'; a classifier needs at least two"),
    ],
)
def test_training_items_that_are_all_alike_teach_nothing(tmp_path: Path, type: str, label: Any, message: str) -> None:
    table = [{**row, "label": label} for row in rows(type)]
    with pytest.raises(InputError, match=message):
        read_task(task(written(tmp_path, table), type))


def test_tags_that_mark_no_entities_are_refused_where_entities_are_counted(tmp_path: Path) -> None:
    path = written(tmp_path, [{**row, "label": [0, 1, 0]} for row in rows("tokens")])
    with pytest.raises(InputError, match=r"\[task\] metric = 'entity_f1': the label 'NOUN' is none of O, B-TYPE"):
        read_task(task(path, "tokens", labels=("O", "NOUN")))
    assert read_task(task(path, "tokens", labels=("O", "NOUN"), metric="token_accuracy")).test


def test_classes_that_are_never_learnt_are_named(tmp_path: Path) -> None:
    asked = task(written(tmp_path, rows("multi_label")), "multi_label")
    assert unseen(read_task(asked).train, asked) == ["b"]
    tagged = task(written(tmp_path, rows("tokens")), "tokens", labels=("O", "B-X", "I-X", "B-Y"))
    assert unseen(read_task(tagged).train, tagged) == ["B-Y"]
    number = task(written(tmp_path, rows("regression")), "regression")
    assert unseen(read_task(number).train, number) == []


def test_a_number_in_a_text_column_of_a_csv_stays_as_it_is_written(tmp_path: Path) -> None:
    table = [{**row, "label": f"0{i}"} for i, row in enumerate(rows("completion"))]
    data = read_task(task(written(tmp_path, table, ".csv"), "completion"))
    assert [item.label for item in data.test] == ["08", "09", "010", "011"]


# --- models -----------------------------------------------------------------------------------------------------------


def test_each_token_is_tagged_at_its_first_piece(bert: Path, tmp_path: Path) -> None:
    """Against a loop of one's own over one text at a time, through the model that transformers loads."""
    import torch
    from transformers import AutoModelForTokenClassification, AutoTokenizer

    from audit.models.load import load_base
    from audit.models.source import resolve

    tokenizer: Any = AutoTokenizer.from_pretrained(bert)
    made: Any = AutoModelForTokenClassification.from_pretrained(
        bert, num_labels=3, id2label={0: "O", 1: "B-X", 2: "I-X"}, label2id={"O": 0, "B-X": 1, "I-X": 2}
    )
    made.eval().save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    view = load_base(resolve(str(tmp_path)), "encoder")
    assert view.labels == ("O", "B-X", "I-X")
    texts = ["They rehearsed unbelievably well .", "Yes", "Weatherproof paint , quickly applied"]
    items = [Item(id=str(i), cluster=str(i), text=text) for i, text in enumerate(texts)]
    answer = view.ask("tag_probabilities", items)
    assert answer.shape == (3, 5, 3)
    for text, rows in zip(texts, answer, strict=True):
        pieces, first = [tokenizer.cls_token_id], []
        for token in text.split(" "):
            first.append(len(pieces))
            pieces += tokenizer(token, add_special_tokens=False)["input_ids"]
        pieces.append(tokenizer.sep_token_id)
        with torch.no_grad():
            shares = made(torch.tensor([pieces])).logits[0].softmax(-1)[first].numpy()
        assert rows[: len(first)] == pytest.approx(shares, abs=1e-5)
        assert (rows[len(first) :] == -1).all()
    assert any(len(tokenizer(text.replace(" ", ""), add_special_tokens=False)["input_ids"]) > 1 for text in texts)
    with pytest.raises(NotMeasurable, match="no trained classification head"):
        view.ask("probabilities", items)
    long = Item(id="long", cluster="long", text=" ".join(["word"] * 1000))
    cut = view.ask("tag_probabilities", [long])[0, :, 0]
    assert cut[0] >= 0
    assert cut[-1] == -1


def test_heads_say_what_they_were_trained_for(bert: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    from audit.models.load import load_base
    from audit.models.source import resolve

    items = [Item(id=text, cluster=text, text=text) for text in ("a good day", "bad")]
    for meant, outputs in (("multi_label_classification", 3), ("regression", 1)):
        folder = tmp_path / meant
        made: Any = AutoModelForSequenceClassification.from_pretrained(bert, num_labels=outputs, problem_type=meant)
        made.save_pretrained(folder)
        AutoTokenizer.from_pretrained(bert).save_pretrained(folder)
        view = load_base(resolve(str(folder)), "encoder")
        logits = view.ask("logits", items)
        assert logits.shape == (2, outputs)
        if meant == "regression":
            with pytest.raises(NotMeasurable, match="says a number, not a class"):
                view.ask("probabilities", items)
        else:
            assert view.ask("probabilities", items) == pytest.approx(1 / (1 + np.exp(-logits)))


# --- both sides -------------------------------------------------------------------------------------------------------


class Told:
    """A view that says what it is told, whatever the item."""

    def __init__(self, answers: dict[str, Any], labels: tuple[str, ...] = (), kind: str = "encoder") -> None:
        self.id, self.labels, self.kind, self.answers = "told", labels, kind, answers
        self.asked: list[Any] = []

    def ask(self, question: str, items: Any) -> Any:
        self.asked.append((question, list(items)))
        if question not in self.answers:
            raise NotMeasurable(question, "it is not told")
        return np.array([self.answers[question][item.id] for item in items], dtype=np.float64)

    def treatment(self, question: str, items: Any) -> str:
        return ""


def job(asked: Task, train: list[Item], test: list[Item], base: Told, adapted: Told, seeds: dict[str, Told]) -> Any:
    """What a stage sees of a run."""
    views = {"pair": SimpleNamespace(base=base, adapted=adapted, preflight=[]), "classifiers": (base, adapted)}
    return SimpleNamespace(
        recipe=SimpleNamespace(task=asked),
        data=SimpleNamespace(train=train, test=test, source="data.csv"),
        seed=0,
        read_out="Both sides are told.",
        remembered=lambda view: view,
        beside=lambda source: SimpleNamespace(adapted=seeds[source.id]),
        **views,
    )


def stage(
    folder: Path, made: Any, models: tuple[str, ...] = (), *, distinct: bool = True
) -> tuple[Any, list[Any], list[str]]:
    """Run the stage; return the report's task, its arms, and its limits."""
    folders = []
    for seed, name in enumerate(models):
        folders.append(folder / name)
        folders[-1].mkdir()
        (folders[-1] / "adaptation.json").write_text(json.dumps({"seed": seed}))
        (folders[-1] / "head.json").write_text(name if distinct else "one")
    measure(made, folder, folders)
    said = json.loads((folder / "result.json").read_text())
    return said["task"] and ReportTask.model_validate(said["task"]), said["arms"], said["limits"]


def items(labels: list[str], text: str = "a b") -> list[Item]:
    return [Item(id=f"i{n}", cluster=f"i{n}", text=text, label=one) for n, one in enumerate(labels)]


def by_id(values: Any) -> dict[str, Any]:
    return {f"i{n}": one for n, one in enumerate(values)}


def test_several_labels_are_those_with_a_half_at_least(tmp_path: Path) -> None:
    asked = Task(dataset="d", type="multi_label", labels=("a", "b"))
    truth = items(['["a"]', '["a", "b"]', "[]", '["b"]'])
    adapted = Told({"probabilities": by_id([[0.5, 0.4], [0.9, 0.9], [0.1, 0.6], [0.2, 0.3]])}, ("a", "b"))
    base = Told({"probabilities": by_id([[1, 1]] * 4)}, ("a", "b"))
    said, arms, limits = stage(tmp_path, job(asked, truth, truth, base, adapted, {}))
    assert (said.metric, said.better, said.claim) == ("micro_f1", "higher", "checkpoint")
    assert said.adapted.value == pytest.approx(2 * 3 / (4 + 4))  # by hand: a; a, b; and b of the empty one
    assert said.base.value == pytest.approx(2 * 4 / (8 + 4))
    assert said.change.value == pytest.approx(3 / 4 - 2 / 3)
    assert [arm["name"] for arm in arms] == ["constant"]
    assert not any("not measured" in one for one in limits)
    table = pd.read_parquet(tmp_path / "evidence.parquet")
    table = table[table["question"] == "task/micro_f1"]
    assert table[table["arm"] == "adapted"]["value"].mean() == pytest.approx(3 / 4)
    assert right(adapted, truth).tolist() == [1, 1, 0, 0]  # type: ignore[arg-type]


def test_a_base_says_numbers_through_a_ridge_on_its_features(tmp_path: Path) -> None:
    asked, rng = Task(dataset="d", type="regression", metric="mse"), np.random.default_rng(0)
    features = rng.normal(size=(40, 2))
    numbers = 3 + features @ [2.0, -1.0]
    every = items([repr(float(one)) for one in numbers])
    base = Told({"embedding": by_id(features)})
    adapted = Told({"logits": by_id(numbers[:, None] + 1)})
    said, arms, limits = stage(tmp_path, job(asked, every[:30], every[30:], base, adapted, {}))
    assert said.adapted.value == pytest.approx(1.0)
    assert said.better == "lower"
    shrunk = numbers[:30].mean() + (features[30:] - features[:30].mean(0)) @ _ridge(features[:30], numbers[:30])
    assert said.base.value == pytest.approx(float(np.mean((shrunk - numbers[30:]) ** 2)))
    assert arms == [
        {
            "name": "constant",
            "seed": None,
            "sha256": None,
            "task": pytest.approx(np.mean((numbers[:30].mean() - numbers[30:]) ** 2)),
        }
    ]
    assert "ridge regression on its features" in limits[0]


def _ridge(x: Any, y: Any) -> Any:
    """Its closed form on standardised features, strength 1 beside the mean squared error."""
    scale = x.std(0)
    z = (x - x.mean(0)) / scale
    return np.linalg.solve(z.T @ z + len(y) * np.eye(2), z.T @ (y - y.mean())) / scale


def test_tags_are_the_adapted_models_alone(tmp_path: Path) -> None:
    asked = Task(dataset="d", type="tokens", labels=("B-X", "O"))
    truth = items(['["O", "B-X"]', '["B-X", "O"]', '["O", "B-X"]'])
    shares = [[[0.1, 0.9], [0.8, 0.2]], [[0.1, 0.9], [0.1, 0.9]], [[0.9, 0.1], [-1, -1]]]  # the last one is cut off
    said, arms, limits = stage(
        tmp_path, job(asked, truth, truth, Told({}), Told({"tag_probabilities": by_id(shares)}, ("B-X", "O")), {})
    )
    assert said.base is said.change is None
    assert said.adapted.value == pytest.approx(2 * 1 / (2 + 3))
    assert any("the base was not measured (tag_probabilities: the base has no head" in one for one in limits)
    assert arms[0]["task"] == 0  # O everywhere finds no entity


def test_a_completion_is_asked_right_after_its_prompt(tmp_path: Path) -> None:
    asked = Task(dataset="d", type="completion")
    truth = items(["four", " no"], text="Say:")
    base, adapted = (Told({"option_log_likelihood": by_id(nats)}) for nats in ([[-8.0], [-6.0]], [[-2.0], [-1.5]]))
    said, arms, _ = stage(tmp_path, job(asked, truth, truth, base, adapted, {}))
    assert (said.base.value, said.adapted.value) == (pytest.approx(14 / 7), pytest.approx(3.5 / 7))
    assert (said.better, arms) == ("lower", [])
    assert [(one.prompt, one.options) for one in adapted.asked[0][1]] == [("Say:", ("four",)), ("Say:", (" no",))]


def test_three_seeds_make_a_claim_about_the_recipe(tmp_path: Path) -> None:
    asked, truth = Task(dataset="d", labels=("a", "b")), items(["a", "b"] * 10)
    sure = {True: [0.9, 0.1], False: [0.2, 0.8]}

    def hits(share: int) -> Told:
        said = [sure[(item.label == "a") == (n < share)] for n, item in enumerate(truth)]
        return Told({"probabilities": by_id(said)}, ("a", "b"))

    first, seeds = hits(16), {"two": hits(14), "three": hits(18)}
    for count, claim in ((2, "checkpoint"), (3, "recipe")):
        folder = tmp_path / claim
        folder.mkdir()
        said, arms, _ = stage(folder, job(asked, truth, truth, hits(10), first, seeds), ("one", "two", "three")[:count])
        assert (said.claim, said.n_seeds, said.adapted.value) == (claim, count, pytest.approx(0.8))
        assert [(arm["name"], arm["seed"]) for arm in arms[1:]] == [("adapted", n) for n in range(count)]
        assert [arm["task"] for arm in arms] == pytest.approx([0.5, 0.8, 0.7, 0.9][: count + 1])
    assert said.over_seeds.value == pytest.approx(0.8)
    # Student's t with 2 degrees of freedom: 4.303 (any table) · .1 / √3
    assert said.over_seeds.bounds() == pytest.approx((0.8 - 4.303 * 0.1 / 3**0.5, 0.8 + 4.303 * 0.1 / 3**0.5), abs=1e-4)
    with pytest.raises(ValueError, match="claims something of the recipe by 2 seeds"):
        ReportTask.model_validate({**said.model_dump(), "n_seeds": 2})
    with pytest.raises(ValueError, match="if, and only if, it is measured over seeds"):
        ReportTask.model_validate({**said.model_dump(), "over_seeds": None})


def test_seeds_that_draw_nothing_make_no_claim(tmp_path: Path) -> None:
    asked, truth = Task(dataset="d", labels=("a", "b")), items(["a", "b"] * 4)
    told = Told({"probabilities": by_id([[0.9, 0.1]] * 8)}, ("a", "b"))
    made = job(asked, truth, truth, told, told, {"two": told, "three": told})
    said, arms, limits = stage(tmp_path, made, ("one", "two", "three"), distinct=False)
    assert (said.claim, said.over_seeds) == ("checkpoint", None)
    assert len({arm["sha256"] for arm in arms[1:]}) == 1
    assert any("the models of all 3 seeds are one and the same" in one for one in limits)
    (tmp_path / "other").mkdir()
    said, _, limits = stage(tmp_path / "other", made, ("one", "two", "three"))
    assert said.claim == "recipe"
    assert not any("one and the same" in one for one in limits)


def test_few_items_a_class_are_a_limit(tmp_path: Path) -> None:
    told = Told({"probabilities": by_id([[0.9, 0.1]] * 8)}, ("a", "b"))
    for metric, limited in (("macro_f1", True), ("accuracy", False)):
        asked, truth = Task(dataset="d", labels=("a", "b"), metric=metric), items(["a", "b"] * 4)  # type: ignore[arg-type]
        _, _, limits = stage(tmp_path, job(asked, truth, truth, told, told, {}))
        assert any("averages over 2 classes of 4.0 items" in one for one in limits) == limited


def test_what_is_not_defined_is_said_and_not_invented(tmp_path: Path) -> None:
    asked, truth = Task(dataset="d", labels=("a", "b", "c"), metric="matthews"), items(["a", "b"] * 4)
    adapted = Told({"probabilities": by_id([[1, 0, 0], [0, 1, 0]] * 4)}, ("a", "b", "c"))
    same = Told({"probabilities": by_id([[1, 0, 0]] * 8)}, ("a", "b", "c"))
    said, arms, limits = stage(tmp_path, job(asked, truth, truth, adapted, same, {}))
    assert (said.base.value, said.adapted.value, said.change.value) == (1, 0, -1)  # collapsed, and still measured
    assert arms[0]["task"] == 0
    assert any("no training item is labelled 'c': it cannot be learnt" in one for one in limits)


def test_where_one_seed_cannot_be_measured_the_others_are_listed(tmp_path: Path) -> None:
    asked, numbers = Task(dataset="d", type="regression", metric="spearman"), [1.0, 2.0, 4.0, 3.0]
    truth = items([repr(one) for one in numbers])
    same, sound = (Told({"logits": by_id([[one] for one in some])}) for some in ([7.0] * 4, [1.0, 2.0, 3.0, 4.0]))
    base, silent = Told({"embedding": by_id([[one] for one in numbers])}), Told({})
    said, arms, limits = stage(
        tmp_path, job(asked, truth, truth, base, same, {"one": same, "two": sound, "three": silent}),
        ("one", "two", "three"),
    )  # fmt: skip
    assert said is None
    assert limits == ["The task was not measured: spearman: every prediction is the same: nothing is ranked."]
    assert [(arm["name"], arm["seed"]) for arm in arms] == [("constant", None), *(("adapted", n) for n in range(3))]
    assert [arm["task"] for arm in arms] == [None, None, pytest.approx(0.8), None]  # 1 - 6·2 / (4·15)
    assert all(arm["sha256"] for arm in arms[1:])
