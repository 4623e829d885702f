"""Packs hold what they say, and their readers say what is wrong with others."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from audit.errors import InputError, Unavailable
from audit.items import passages
from audit.items.packs import read_choices, read_labelled, read_similarity, read_texts, read_turns
from audit.items.reference import hub_rows
from audit.items.rows import PACKS, read_rows
from audit.view import read_items
from tests.test_items import near_duplicates

Rows = list[dict[str, Any]]
Reader = Callable[[str], object]
CHOICE = {"id": "a", "prompt": "Water is", "options": [" wet", " dry"], "answer": 0}
PAIR = {"id": "a", "first": "One.", "second": "Two.", "score": 1}
LABELLED = {"id": "a", "text": "Who?", "label": "x"}
TURN = {"id": "a", "prompt": "Hello!", "answer": "Hi."}


def words(text: str) -> set[str]:
    return set(re.findall(r"[\w']+", text.lower()))


def write(path: Path, rows: Rows) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


# --- what is shipped --------------------------------------------------------------------------------------------------


def test_grades_are_spread_evenly_and_not_told_by_shared_words() -> None:
    items, scores = read_similarity("shipped:similarity")
    assert len(items) == 200
    assert len({item.cluster for item in items}) == 200  # which also says that no sentence stands in two pairs
    assert set(scores) == set(np.arange(0, 5.5, 0.5))
    assert all(28 <= count <= 40 for count in np.histogram(scores, bins=[0, 0.75, 1.75, 2.75, 3.75, 4.75, 5])[0])
    sides = [tuple(map(words, item.pair or ())) for item in items]
    shared = np.array([len(one & other) / len(one | other) for one, other in sides])
    assert spearmanr(shared, scores).statistic < 0.5
    assert (shared[scores <= 2] >= 0.5).sum() >= 8  # the same words, another statement
    assert (shared[scores == 5] < 0.2).sum() >= 8  # other words, the same statement


@pytest.mark.parametrize(("name", "labels", "count"), [("question_kinds", 5, 30), ("tenses", 3, 50)])
def test_held_out_tasks_are_balanced_and_not_told_by_the_first_word(name: str, labels: int, count: int) -> None:
    items = read_labelled(f"shipped:{name}")
    assert list(Counter(item.label for item in items).values()) == [count] * labels
    assert all((item.label or "") in item.id for item in items)
    known = [((item.text or "").split()[0], item.label or "") for item in items]
    others = [
        Counter(label for n, (word, label) in enumerate(known) if word == one[0] and n != m)
        for m, one in enumerate(known)
    ]
    assert sum(map(bool, others)) > len(items) / 3  # first words come again
    told = [label for _, label in known]
    right = [other.most_common(1)[0][0] == label for other, label in zip(others, told, strict=True) if other]
    assert sum(right) < len(items) / 3


def test_no_pack_says_what_another_says() -> None:
    sentences = [one for item in read_similarity("shipped:similarity")[0] for one in item.pair or ()]
    assert len(sentences) == 400
    told = [item for name in ("question_kinds", "tenses", "feedback") for item in read_labelled(f"shipped:{name}")]
    texts = [item.text or "" for item in told]
    everything = [*sentences, *texts, *(item.text or "" for item in passages())]
    assert max(Counter(" ".join(sorted(words(one))) for one in everything).values()) <= 2  # who bit whom
    assert max(Counter(one.lower().strip(" .?!") for one in everything).values()) == 1


def test_no_statement_is_another_in_another_tense() -> None:
    texts = [item.text or "" for item in read_labelled("shipped:tenses")]
    assert near_duplicates(texts, 3, 0.4) == []
    assert len(near_duplicates([*texts, texts[0].replace("left", "will leave")], 3, 0.4)) == 1


def test_a_thinned_pack_keeps_all_labels_and_grades() -> None:
    assert set(Counter(item.label for item in read_labelled("shipped:question_kinds", 30)).values()) == {6}
    assert set(Counter(item.label for item in read_labelled("shipped:tenses", 30)).values()) == {10}
    items, scores = read_similarity("shipped:similarity", 20)
    assert len(items) == 20
    assert {item.label for item in items} == {repr(score) for score in scores.tolist()}
    assert {0.0, 1.0, 2.0, 3.0, 4.0, 5.0} <= set(scores)


def test_every_pack_is_read() -> None:
    assert [len(read_rows(f"shipped:{name}")) for name in PACKS] == [400, 150, 200, 150, 48]
    choices = read_choices("shipped:choices")
    assert set(Counter(item.groups["area"] for item in choices).values()) == {80}
    assert all(item.label in (item.options or ()) for item in choices)
    assert all(len(item.options or ()) == 1 for item in read_turns("shipped:turns"))
    assert all(item.source == "shipped:turns" for item in read_turns("shipped:turns"))


@pytest.mark.real_base
def test_the_real_minilm_knows_the_packs_but_not_by_heart(minilm: str) -> None:
    """By scipy and scikit-learn alone: Spearman .79, 5-fold logistic regression .89 and .84 when they were written."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_score

    from audit.models.load import load_base
    from audit.models.source import resolve

    view = load_base(resolve(minilm), "sentence_encoder")
    items, scores = read_similarity("shipped:similarity")
    first, second = view.ask("embedding", items).transpose(1, 0, 2)
    cosine = (first * second).sum(1) / np.linalg.norm(first, axis=1) / np.linalg.norm(second, axis=1)
    assert 0.75 < spearmanr(cosine, scores).statistic < 0.95
    for name, chance in (("question_kinds", 0.2), ("tenses", 1 / 3)):
        told = read_labelled(f"shipped:{name}")
        folds = StratifiedKFold(5, shuffle=True, random_state=0)
        labels = [item.label for item in told]
        right = cross_val_score(LogisticRegression(max_iter=2000), view.ask("embedding", told), labels, cv=folds).mean()
        assert chance + 0.4 < right < 0.97


# --- shapes -----------------------------------------------------------------------------------------------------------

HELLASWAG = {
    "ind": 24,
    "activity_label": "Roof shingle removal",
    "ctx": "[header] How to mend a roof [title] Look at it. [step] Take a ladder. he",
    "endings": ["falls off.", "[substeps] climbs up.", "sings."],
    "source_id": "wikihow~17",
    "split": "val",
    "label": "1",
}
ARC = {
    "id": "Mercury_7",
    "question": "Which one is a metal?",
    "choices": {"text": ["wood", "iron", "wool"], "label": ["A", "B", "C"]},
    "answerKey": "B",
}


def test_hellaswag_goes_on_from_its_context(tmp_path: Path) -> None:
    name = write(tmp_path / "hellaswag.jsonl", [HELLASWAG, {**HELLASWAG, "label": 0}])
    items = read_choices(name)
    assert items[0].prompt == "How to mend a roof Look at it. Take a ladder. he"
    assert items[0].options == (" falls off.", " climbs up.", " sings.")
    assert [item.label for item in items] == [" climbs up.", " falls off."]
    assert [item.id for item in items] == ["hellaswag.jsonl:1", "hellaswag.jsonl:2"]
    assert {item.cluster for item in items} == {"wikihow~17"}  # two contexts of one article are one witness
    assert items[0].groups == {"area": "wikihow"}


def test_arc_is_a_question_and_its_answers(tmp_path: Path) -> None:
    numbered = {**ARC, "id": "b", "choices": {"text": ["4", "1", "2", "9"], "label": ["1", "2", "3", "4"]}}
    items = read_choices(write(tmp_path / "arc.jsonl", [ARC, {**numbered, "answerKey": "2"}]))
    assert items[0].prompt == "Question: Which one is a metal?\nAnswer:"
    assert [item.options for item in items] == [(" wood", " iron", " wool"), (" 4", " 1", " 2", " 9")]
    assert [item.label for item in items] == [" iron", " 1"]  # the key 2 is the second, not the text "2"
    assert [item.id for item in items] == ["Mercury_7", "b"]


@pytest.mark.parametrize("answer", [1, 1.0, "1", "five", " five"])
def test_an_answer_is_a_place_or_a_text(answer: object, tmp_path: Path) -> None:
    rows = [
        {"prompt": "Two and three are", "options": [" four", " five"], "answer": answer},
        {"question": "Two and three?", "choices": ["four", "five", "six"], "label": answer},
    ]
    items = read_choices(write(tmp_path / "own.jsonl", rows))
    assert [item.label for item in items] == [" five", " five"]
    assert [item.prompt for item in items] == ["Two and three are", "Question: Two and three?\nAnswer:"]
    assert items[0].options == (" four", " five")


def test_what_an_option_says_goes_before_its_place(tmp_path: Path) -> None:
    row = {**CHOICE, "options": [" 1", " 0", " 2"]}
    rows = [{**row, "answer": "0"}, {**row, "id": "b", "answer": 0}]
    assert [item.label for item in read_choices(write(tmp_path / "own.jsonl", rows))] == [" 0", " 1"]


def test_items_are_read_back(tmp_path: Path) -> None:
    choices = read_choices("shipped:choices")
    name = write(tmp_path / "again.jsonl", [item.model_dump() for item in choices])
    for one, again in zip(choices, read_choices(name), strict=True):
        assert again == one.model_copy(update={"source": "again.jsonl"})


@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".csv", ".tsv", ".parquet"])
def test_a_pack_is_read_from_any_table(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"own{suffix}"
    rows: Rows = [
        {"id": str(n), "question": f"Which, {n}?", "choices": ["yes", "no", "a, b"], "answer": "a, b"} for n in range(3)
    ]
    lists = [{**row, "choices": json.dumps(row["choices"])} for row in rows]
    if suffix == ".jsonl":
        write(path, rows)
    elif suffix == ".json":
        path.write_text(json.dumps(rows))
    elif suffix == ".parquet":
        pd.DataFrame(rows).to_parquet(path)
    elif suffix == ".csv":
        with path.open("w", newline="") as file:
            table = csv.DictWriter(file, rows[0])
            table.writeheader()
            table.writerows(lists)
    else:
        path.write_text("\n".join("\t".join(row) for row in [rows[0], *(one.values() for one in lists)]))
    items = read_choices(str(path))
    assert [item.id for item in items] == ["0", "1", "2"]
    assert {item.options for item in items} == {(" yes", " no", " a, b")}
    assert {item.label for item in items} == {" a, b"}


@pytest.mark.parametrize("score", ["score", "label", "similarity_score"])
def test_sts_b_is_read_and_pairs_that_share_a_text_are_one_witness(score: str, tmp_path: Path) -> None:
    said = [("A.", "B."), ("C.", "D."), ("B.", "C."), ("E.", "F."), ("G.", "A.")]
    rows = [{"sentence1": a, "sentence2": b, score: n / 2} for n, (a, b) in enumerate(said)]
    items, scores = read_similarity(write(tmp_path / "sts.jsonl", rows))
    assert [item.pair for item in items] == said
    assert scores.dtype == np.float64
    assert scores.tolist() == [0.0, 0.5, 1.0, 1.5, 2.0]
    assert [item.cluster for item in items] == [f"sts.jsonl:{n}" for n in (1, 1, 1, 4, 1)]


def test_labelled_rows_are_texts_or_images(tmp_path: Path) -> None:
    picture, other = (str(tmp_path / f"{name}.png") for name in "ab")
    for path in (picture, other):
        Path(path).write_text(path)
    rows: Rows = [
        {"id": 1, "text": "Same.", "label": 0},
        {"id": 2, "sentence": "Other.", "image": None, "label": 1.0},
        {"id": 3, "text": "Same.", "label": 0},
        {"id": 4, "image": picture, "label": "cat", "cluster": "film", "groups": {"light": "dim"}},
        {"id": 5, "text": None, "image": other, "label": "dog"},
    ]
    items = read_labelled(write(tmp_path / "own.jsonl", rows))
    assert [item.label for item in items] == ["0", "1", "0", "cat", "dog"]
    assert [item.cluster for item in items] == ["1", "2", "1", "film", "5"]  # the same text is one witness
    assert [item.image for item in items] == [None, None, None, picture, other]
    assert items[3].groups == {"light": "dim"}


def test_a_turn_has_one_answer(tmp_path: Path) -> None:
    [item] = read_turns(write(tmp_path / "turns.jsonl", [TURN]))
    assert (item.prompt, item.options, item.label) == ("Hello!", ("Hi.",), None)


WIKITEXT = ["", " = Wren = \n", "", " The wren is small . \n", " = = Song = = \n", " It sings . \n"]
WIKITEXT += [" = Elm = \n", " An elm is tall . \n", " = = = Leaves = = = \n", " x = 3 = y \n", " = \n"]


@pytest.mark.parametrize("suffix", [".parquet", ".jsonl", ".txt"])
def test_wikitext_is_clustered_by_article(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"wiki{suffix}"
    if suffix == ".parquet":
        pd.DataFrame({"text": WIKITEXT}).to_parquet(path)
    elif suffix == ".jsonl":
        write(path, [{"text": text} for text in WIKITEXT])
    else:
        path.write_text("\n".join(WIKITEXT))
    items = read_texts(str(path))
    said = ["The wren is small .", "It sings .", "An elm is tall .", "x = 3 = y", "="]
    assert [(item.text or "").strip() for item in items] == said
    clusters = [item.cluster for item in items]
    assert clusters[0] == clusters[1] != clusters[2] == clusters[3] == clusters[4]


def test_texts_without_headings_stay_as_they_are(tmp_path: Path) -> None:
    assert read_texts("shipped:passages") == list(passages())
    assert len(read_texts("shipped:passages", 40)) == 40
    path = tmp_path / "own.jsonl"
    write(path, [{"id": "a", "text": "One.", "cluster": "c"}, {"id": "b", "text": "Two."}])
    assert [(item.id, item.cluster) for item in read_texts(str(path))] == [("a", "c"), ("b", "b")]


def test_what_a_table_says_stays_as_it_is(tmp_path: Path) -> None:
    said = ['"Naïve\u2028or not?" he asked.', '"What']
    (tmp_path / "own.jsonl").write_text(
        "".join(json.dumps({**TURN, "id": n, "prompt": one}, ensure_ascii=False) + "\n" for n, one in enumerate(said)),
        encoding="utf-8-sig",
    )
    (tmp_path / "own.tsv").write_text(
        "prompt\tanswer\n" + "".join(f"{one}\tHi.\n" for one in said), encoding="utf-8-sig"
    )
    for name in ("own.jsonl", "own.tsv"):
        assert [item.prompt for item in read_turns(str(tmp_path / name))] == said


def test_a_limit_takes_evenly_spaced_rows(tmp_path: Path) -> None:
    turns = [{**TURN, "id": n} for n in range(11)]
    assert [item.id for item in read_turns(write(tmp_path / "t.jsonl", turns))] == [str(n) for n in range(11)]
    name = str(tmp_path / "t.jsonl")
    assert [item.id for item in read_turns(name, 3)] == ["0", "5", "10"]


# --- what is wrong ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("read", "row", "change", "said"),
    [
        (read_choices, CHOICE, {"answer": 2}, "the answer is 2, none of its 2 options (or their places from 0)"),
        (read_choices, CHOICE, {"answer": -1}, "the answer is -1, none of its 2 options"),
        (read_choices, CHOICE, {"answer": True}, "the answer is True, none of"),
        (read_choices, CHOICE, {"answer": None}, "the answer is None, none of"),
        (read_choices, CHOICE, {"answer": " damp"}, "the answer is ' damp', none of"),
        (read_choices, CHOICE, {"answer": "2"}, "the answer is '2', none of"),
        (read_choices, CHOICE, {"options": [" wet", " dry", "wet"]}, "the option 'wet' stands in it twice"),
        (read_choices, CHOICE, {"options": [" wet"]}, "1 option; a choice has at least two"),
        (read_choices, CHOICE, {"options": "wet, dry"}, "its options are 'wet, dry', not a list"),
        (read_choices, CHOICE, {"options": [" wet", " "]}, "its options is an empty text"),
        (read_choices, CHOICE, {"options": [1, 2]}, "its options is 1, not a text"),
        (read_choices, CHOICE, {"prompt": " "}, "its prompt is an empty text"),
        (read_choices, CHOICE, {"prompt": "\ud800"}, "a text holds half a character"),
        (read_choices, ARC, {"answerKey": "D"}, "the answerKey is 'D', none of its 3 labels ['A', 'B', 'C']"),
        (read_choices, ARC, {"choices": ["wood"]}, "its choices are ['wood'], not lists of 'text' and 'label'"),
        (read_choices, HELLASWAG, {"label": ""}, "the answer is '', none of its 3 options"),
        (read_choices, HELLASWAG, {"label": "3"}, "the answer is '3', none of its 3 options"),
        (
            read_choices,
            LABELLED,
            {},
            "columns id, text, label are no known shape; known are: prompt|question, options|",
        ),
        (read_similarity, PAIR, {"score": float("nan")}, "its score is nan, not a finite number"),
        (read_similarity, PAIR, {"score": float("inf")}, "its score is inf, not a finite number"),
        (read_similarity, PAIR, {"score": "high"}, "its score is 'high', not a finite number"),
        (read_similarity, PAIR, {"score": None}, "its score is None, not a finite number"),
        (read_similarity, PAIR, {"second": ""}, "its second is an empty text"),
        (
            read_similarity,
            TURN,
            {},
            "columns id, prompt, answer are no known shape; known are: first, second, score; sen",
        ),
        (read_labelled, LABELLED, {"label": None}, "it has no label"),
        (read_labelled, LABELLED, {"label": float("nan")}, "it has no label"),
        (read_labelled, LABELLED, {"label": " "}, "it has no label"),
        (read_labelled, LABELLED, {"text": "\n"}, "its text is an empty text"),
        (read_labelled, LABELLED, {"text": 7}, "its text is 7, not a text"),
        (
            read_labelled,
            PAIR,
            {},
            "columns id, first, second, score are no known shape; known are: text|sentence, label;",
        ),
        (read_turns, TURN, {"answer": ""}, "its answer is an empty text"),
        (read_turns, LABELLED, {}, "columns id, text, label are no known shape; known are: prompt, answer"),
    ],
)
def test_a_faulty_row_is_one_line(
    read: Reader, row: dict[str, Any], change: dict[str, Any], said: str, tmp_path: Path
) -> None:
    name = write(tmp_path / "own.jsonl", [row, {**row, "id": "faulty", **change}] if change else [{**row, "id": "x"}])
    with pytest.raises(InputError) as refused:
        read(name)
    where = f"{name}: row {2 if change else 1} ('{'faulty' if change else 'x'}')"
    assert str(refused.value).startswith(where)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_no_row_of_a_file_is_passed_over(tmp_path: Path) -> None:
    rows = [{**TURN, "id": n, "answer": "Hi." if n else ""} for n in range(100)]
    with pytest.raises(InputError, match=r"own.jsonl: row 1 \('0'\): its answer is an empty text"):
        read_turns(write(tmp_path / "own.jsonl", rows))


@pytest.mark.parametrize(
    ("read", "row"),
    [(read_choices, CHOICE), (read_similarity, PAIR), (read_labelled, LABELLED), (read_turns, TURN)],
)
def test_an_id_stands_in_a_pack_once(read: Reader, row: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"own.jsonl: row 3 \('a'\) repeats an id; ids are unique in a pack"):
        read(write(tmp_path / "own.jsonl", [row, {**row, "id": "b"}, row]))


def test_one_label_and_one_grade_tell_nothing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="every item is labelled 'x'; a probe needs at least two labels"):
        read_labelled(write(tmp_path / "own.jsonl", [LABELLED, {**LABELLED, "id": "b"}]))
    with pytest.raises(InputError, match="every pair has the score 1; graded pairs differ"):
        read_similarity(write(tmp_path / "own.jsonl", [PAIR, {**PAIR, "id": "b"}]))


def test_a_limit_is_not_a_fault_of_the_pack(tmp_path: Path) -> None:
    """Nine rows whose first and last have the same label and score, of which two are asked."""
    rows: Rows = [{**LABELLED, **PAIR, "id": n, "label": "yn"[n % 2], "score": n % 2} for n in range(9)]
    for n, row in enumerate(rows):
        row.update(first=f"First {n}.", second=f"Second {n}.", text=f"Text {n}.")
    name = write(tmp_path / "own.jsonl", rows)
    assert [item.label for item in read_labelled(name, 2)] == ["n", "y"]
    assert read_similarity(name, 2)[1].tolist() == [0.0, 1.0]
    assert len(read_labelled("shipped:question_kinds", 1)) == len(read_similarity(name, 1)[0]) == 1
    assert [item.id for item in read_labelled(name)] == [str(n) for n in range(9)]


def test_the_same_content_is_one_witness(tmp_path: Path) -> None:
    """As if eight questions, written ten times, were eighty."""
    again: Rows = [{"cluster": f"c{n}", "id": str(n)} for n in range(80)]
    choices = [{**row, "prompt": f"{n % 8} is", "options": [" a", " b"][:: 1 - n // 8 % 2 * 2], "answer": " a"}
               for n, row in enumerate(again)]  # fmt: skip
    texts = [{**row, "text": f"Text {n % 8}.", "label": str(n % 2)} for n, row in enumerate(again)]
    turns = [{**row, "prompt": f"{n % 8}?", "answer": "Yes."} for n, row in enumerate(again)]
    for read, rows in ((read_choices, choices), (read_labelled, texts), (read_texts, texts), (read_turns, turns)):
        items = read(write(tmp_path / "own.jsonl", rows))
        assert [item.cluster for item in items] == [f"c{n % 8}" for n in range(80)], read.__name__


def test_what_stands_in_two_clusters_joins_them(tmp_path: Path) -> None:
    said = [("a", "One."), ("a", "Two."), ("b", "Two."), ("b", "Three."), ("c", "Four."), ("d", "Five.")]
    rows = [{"id": n, "cluster": c, "text": t, "label": n % 2} for n, (c, t) in enumerate(said)]
    assert [item.cluster for item in read_labelled(write(tmp_path / "own.jsonl", rows))] == [*"aaaacd"]
    other_options = [{**CHOICE, "id": n, "options": [" wet", f" {n}"]} for n in range(2)]
    assert [item.cluster for item in read_choices(write(tmp_path / "c.jsonl", other_options))] == ["0", "1"]


@pytest.mark.parametrize(
    ("read", "row"),
    [
        (read_choices, {**CHOICE, "answer": "x" * 10**7}),
        (read_choices, {**CHOICE, "options": "x" * 10**7}),
        (read_turns, {**TURN, "prompt": ["x" * 10**7]}),
        (read_turns, {**TURN, "id": "x" * 10**7, "answer": ""}),
        (read_turns, {"x" * 10**7: 1}),
        (read_similarity, {**PAIR, "score": "x" * 10**7}),
    ],
)
def test_an_error_about_a_long_value_is_short(read: Reader, row: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(InputError) as refused:
        read(write(tmp_path / "own.jsonl", [row]))
    assert len(str(refused.value)) < 500
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("ending", ["jsonl", "json"])
def test_what_is_nested_without_end_is_one_line(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"own.{ending}"
    path.write_text("[" * 10**6)
    with pytest.raises(InputError, match=f"cannot be read as {ending} \\("):
        read_turns(str(path))
    with pytest.raises(InputError, match="not JSON lines or parquet"):
        read_items(path)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("none.jsonl", None, "no such file of items"),
        ("none.csv", None, "no such file of items"),
        ("none.parquet", None, "no such file of items"),
        ("empty.jsonl", "\n", "no rows in it"),
        ("empty.json", "[]", "no rows in it"),
        ("empty.csv", "prompt,answer\n", "no rows in it"),
        ("torn.jsonl", '{"id"', "cannot be read as jsonl"),
        ("torn.csv", '"', "cannot be read as csv"),
        ("torn.parquet", "PAR1", "cannot be read as parquet"),
        ("bytes.jsonl", b"\xff", "cannot be read as jsonl"),
        ("list.jsonl", '["a"]\n', "row 1 is not an object with columns"),
        ("comma.csv", "prompt,answer\nHello,Hi, you\n", "row 1 has more fields than the header; quote a text"),
        ("page.html", "<p>", "no such pack; it is a file (.jsonl, .json, .csv, .tsv, .parquet), a Hub data set"),
    ],
)
def test_what_is_no_pack_is_one_line(name: str, content: str | bytes | None, said: str, tmp_path: Path) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError) as refused:
        read_turns(str(path))
    assert str(refused.value).startswith(str(path))
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_name_that_is_nothing_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^shipped:verbs: no such shipped pack; choose from choices, feedback, pass"):
        read_labelled("shipped:verbs")
    with pytest.raises(InputError, match=r"^verbs: no such pack; .* or one of shipped:choices, shipped:question_kinds"):
        read_labelled("verbs")
    with pytest.raises(InputError, match="row 2 has no text; general texts stand in the column 'text'"):
        read_texts(write(tmp_path / "own.jsonl", [{"text": "One."}, {"said": "Two."}]))
    with pytest.raises(InputError, match="no texts in it but headings and empty rows"):
        read_texts(write(tmp_path / "own.jsonl", [{"text": " = Title = "}, {"text": ""}]))


# --- the Hub ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, Rows]]:
    """A Hub that is reachable and holds what a test puts there: splits by data set."""
    import datasets

    shelf: dict[str, dict[str, Rows]] = {}

    def load(name: str, configuration: str | None = None, *, split: str | None, streaming: bool) -> Any:
        assert streaming
        assert ":" not in name
        found = shelf[f"{name}:{configuration}" if configuration else name]
        return found if split is None else iter(found[split])

    monkeypatch.setattr(datasets, "load_dataset", load)
    monkeypatch.setattr("audit.models.source.hub_reachable", lambda: True)
    return shelf


def test_the_hub_is_asked_for_the_split_that_has_answers(hub: dict[str, dict[str, Rows]]) -> None:
    rows = [{**ARC, "id": f"{which}{n}"} for which in ("train", "validation", "test") for n in range(3)]
    hub["owner/arc:easy"] = {"test": rows[6:], "train": rows[:3], "validation": rows[3:6]}
    assert [item.id for item in read_choices("owner/arc:easy")] == ["validation0", "validation1", "validation2"]
    del hub["owner/arc:easy"]["validation"]
    assert read_choices("owner/arc:easy")[0].id == "train0"
    hub["owner/arc:easy"] = {"dev": rows[6:]}
    assert read_choices("owner/arc:easy", 1)[0].source == "owner/arc:easy"


def test_labels_of_a_sorted_hub_set_are_all_seen(hub: dict[str, dict[str, Rows]]) -> None:
    hub["owner/films"] = {"train": [{"text": f"Text {n}.", "label": n // 500} for n in range(1000)]}
    assert Counter(item.label for item in read_labelled("owner/films", 10)) == {"0": 5, "1": 5}


def test_a_few_faulty_rows_of_a_published_set_are_left_out_and_counted(hub: dict[str, dict[str, Rows]]) -> None:
    rows = [{**HELLASWAG, "ind": n} for n in range(40)]
    rows[4] = {**rows[4], "endings": ["falls.", "falls.", "sings."]}
    hub["owner/swag"] = {"validation": rows}
    items = read_choices("owner/swag")
    assert [item.id for item in items] == [f"owner/swag:{n}" for n in range(1, 41) if n != 5]
    said = (
        "owner/swag, 1 of 40 rows left out (the first: row 5 ('owner/swag:5'): the option ' falls.' stands in it twice)"
    )
    assert {item.source for item in items} == {said}
    hub["owner/swag"] = {"validation": [{**row, "label": ""} for row in rows[:3]] + rows[5:]}
    with pytest.raises(InputError, match=r"^owner/swag: row 1 \('owner/swag:1'\): the answer is ''"):
        read_choices("owner/swag")


def test_wikitext_of_the_hub_comes_from_many_articles(hub: dict[str, dict[str, Rows]]) -> None:
    lines = [
        line for n in range(100) for line in (f" = Title {n} = \n", "", *(f" Text {n}, {k}. \n" for k in range(9)))
    ]
    hub["owner/wiki:raw"] = {"train": [{"text": line} for line in lines]}
    items = read_texts("owner/wiki:raw", 20)
    assert len(items) == 20
    assert len({item.cluster for item in items}) == 20
    assert not any("=" in (item.text or "") for item in items)


def test_the_real_library_streams_a_folder_of_splits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "owner" / "pack"
    folder.mkdir(parents=True)
    write(folder / "train.jsonl", [TURN])
    write(folder / "validation.jsonl", [{**TURN, "id": "v"}])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("audit.models.source.hub_reachable", lambda: True)
    assert [row["id"] for row in hub_rows("owner/pack")] == ["v"]
    assert [row["id"] for row in hub_rows("owner/pack", "train")] == ["a"]
    with pytest.raises(InputError, match=r"^owner/pack: the Hub did not give its rows \("):
        list(hub_rows("owner/pack", "dev"))


def test_without_a_network_a_pack_is_unavailable() -> None:
    for read in (read_choices, read_similarity, read_labelled, read_turns, read_texts):
        with pytest.raises(Unavailable, match="owner/pack: the Hub cannot be reached, and the data set is not in its"):
            read("owner/pack")
