"""Training rows that are asked: planted ones are found and nothing else, at indices worked by hand."""

from __future__ import annotations

import itertools
import json
import re
import time
from pathlib import Path

import numpy as np
import pytest

from audit.check import check
from audit.errors import InputError
from audit.items import passages, shipped
from audit.items.alike import folded
from audit.items.general import Packs
from audit.items.overlap import Shared, asked_sets, cleaned, overlap, overlap_limits
from audit.recipe import parse_recipe
from audit.view import Item
from tests import families, tiny


def said(texts: list[str], prefix: str, labels: str = "ab") -> list[Item]:
    return [
        Item(id=f"{prefix}{n}", cluster=f"{prefix}{n}", text=text, label=labels[n % len(labels)])
        for n, text in enumerate(texts)
    ]


@pytest.fixture(scope="module")
def feedback() -> tuple[list[Item], list[Item]]:
    """The shipped task: 600 training and 200 test texts, of which none are alike."""
    rows = [json.loads(line) for line in shipped("feedback").read_text(encoding="utf-8").splitlines()]
    train, test = ([row["text"] for row in rows if row["split"] == split] for split in ("train", "test"))
    return said(train, "r"), said(test, "t")


def test_the_shipped_sets_do_not_overlap(feedback: tuple[list[Item], list[Item]]) -> None:
    train, test = feedback
    assert overlap(train, {"test": test, "passages": passages()}) == []


def test_planted_duplicates_are_found_and_nothing_else(feedback: tuple[list[Item], list[Item]]) -> None:
    train, test = feedback
    texts = [item.text or "" for item in train]
    long = [item for item in test if len((item.text or "").split()) >= 20]
    exact = {
        3: (test[5].text or "").upper(),
        70: f"  {(test[9].text or '').replace(' ', '  ')}!!",
        200: (test[11].text or "").replace("'", "\u2019").replace(".", " \u2026"),
    }
    near = {400: long[0], 401: long[3], 599: long[7]}
    for row, text in exact.items():
        texts[row] = text
    for row, item in near.items():
        words = (item.text or "").split()
        words[4] = "zebra"
        texts[row] = " ".join(words)
    found = overlap(said(texts, "r"), {"test": test, "passages": passages()})
    assert {(one.row, one.item) for one in found if one.kind == "exact"} == {
        ("r3", "t5"),
        ("r70", "t9"),
        ("r200", "t11"),
    }
    assert {(one.row, one.item) for one in found if one.kind == "near"} == {
        (f"r{row}", item.id) for row, item in near.items()
    }
    assert {one.asked for one in found} == {"test"}


@pytest.mark.parametrize(
    ("count", "jaccard"),
    [(41, 36 / 42), (30, 25 / 31), (29, 24 / 30)],  # of n - 2 shingles 3 are lost on each side: (n - 5) / (n + 1)
)
def test_one_word_changed_in_a_long_text(count: int, jaccard: float) -> None:
    words = [f"word{n}" for n in range(count)]
    changed = [*words[:12], "other", *words[13:]]
    [found] = overlap(said([" ".join(changed)], "r"), {"test": said([" ".join(words)], "t")})
    assert found.kind == "near"
    assert found.jaccard == pytest.approx(jaccard, abs=1e-12)


def test_a_long_text_with_two_words_changed_is_another() -> None:
    """(27 - 6) / (27 + 6) = .64 of 29 words."""
    words = [f"word{n}" for n in range(29)]
    changed = [*words[:8], "other", *words[9:18], "other", *words[19:]]
    assert overlap(said([" ".join(changed)], "r"), {"test": said([" ".join(words)], "t")}) == []


@pytest.mark.parametrize(
    ("text", "jaccard"),
    [
        ("abcdefghijklmnoq", 12 / 14),  # of 13 shingles of 4 the last is another
        ("abcdefghijklmno", 12 / 13),  # it is missing
        ("abcdefghijklmnop qrs", 13 / 17),  # 4 more: under .8
    ],
)
def test_short_texts_are_compared_by_characters(text: str, jaccard: float) -> None:
    found = overlap(said([text], "r"), {"test": said(["abcdefghijklmnop"], "t")})
    assert [one.jaccard for one in found] == ([pytest.approx(jaccard)] if jaccard >= 0.8 else [])


def test_a_short_text_beside_a_long_one_is_compared_by_characters() -> None:
    """29 words of 4 signs that occur once: 144 characters and 141 shingles, 5 fewer without the last word."""
    signs = [chr(0x4E00 + n) for n in range(29 * 4)]
    words = ["".join(signs[n : n + 4]) for n in range(0, len(signs), 4)]
    for sides in ((words, words[:-1]), (words[:-1], words)):
        ours, theirs = (" ".join(side) for side in sides)
        [found] = overlap(said([ours], "r"), {"test": said([theirs], "t")})
        assert found.jaccard == pytest.approx(136 / 141)


def test_no_pair_is_missed() -> None:
    """Against all pairs, by the definition of the index, over texts of few words so that many are alike."""
    rng = np.random.default_rng(0)
    texts = []
    for length in (*rng.integers(3, 12, 60), *rng.integers(25, 50, 60)):
        words = [f"w{n}" for n in rng.integers(0, 5, length)]
        texts += [words, [*words[:2], "w9", *words[3:]], words[:-1]]
    lines = sorted({" ".join(words) for words in texts})
    ours, theirs = lines[::2], lines[1::2]

    def shingles(text: str, other: str) -> set[str]:
        words = text.split()
        if min(len(words), len(other.split())) < 29:
            return {text[n : n + 4] for n in range(max(1, len(text) - 3))}
        return {" ".join(words[n : n + 3]) for n in range(len(words) - 2)}

    expected = {}
    for (row, one), (place, other) in itertools.product(enumerate(ours), enumerate(theirs)):
        if max(len(one.split()), len(other.split())) >= 58:
            continue
        a, b = shingles(one, other), shingles(other, one)
        if len(a & b) >= 0.8 * len(a | b) - 1e-9:
            expected[f"r{row}", f"t{place}"] = len(a & b) / len(a | b)
    found = {(one.row, one.item): one.jaccard for one in overlap(said(ours, "r"), {"test": said(theirs, "t")})}
    assert len(expected) > 100
    assert found.items() <= {pair: pytest.approx(jaccard) for pair, jaccard in expected.items()}.items()
    for side in (0, 1):  # the closest of every row, and of every item
        best: dict[str, float] = {}
        for pair, jaccard in expected.items():
            best[pair[side]] = max(best.get(pair[side], 0.0), jaccard)
        kept = {one: max(jaccard for pair, jaccard in found.items() if pair[side] == one) for one in best}
        assert kept == pytest.approx(best)


@pytest.mark.parametrize(
    ("text", "other"),
    [
        ("\ufb01rst", "FIRST"),  # a ligature (NFKC)
        ("Stra\u00dfe", "STRASSE"),  # case folding, not lower case
        ("caf\u00e9", "cafe\u0301"),
        ("\uff21\uff22", "ab"),
        ("It\u2019s late", "its late."),
        ("a\u00a0 b\tc\n", "a b c"),
        ("well-made", "well made"),
        ("\u0915\u093f\u0924\u093e\u092c", "\u0915\u093f\u0924\u093e\u092c!"),  # vowel signs are no punctuation
        ("co\u00adope\u200brate\ufeff", "cooperate"),  # a soft hyphen, a zero-width space, a byte order mark
        ("\u22125", "-5"),  # the minus sign
        ("1\u200b.5", "1.5"),
        ("page 5.", "page 5"),
        ("covid-19, 7 days", "Covid 19: 7 days!"),
        ("2019\u20132020", "2019-2020"),
    ],
)
def test_what_is_the_same_text(text: str, other: str) -> None:
    assert folded(text) == folded(other)


def test_what_is_another_text() -> None:
    assert folded("c++") != folded("c")
    assert folded("\U0001f600") != folded("\U0001f622")
    assert folded("\u0915\u093f") != folded("\u0915\u0941")
    assert folded("?") != folded("!")
    numbers = ("5", "-5", "+5", ".5", "-.5", "5%", "15", "1 5", "1.5", "1,5", "1:5", "1/5", "1*5", "1-5", "-1.5")
    assert len({folded(f"It is {one}.") for one in numbers}) == len(numbers)


def test_pairs_prompts_and_options_are_asked_too() -> None:
    question = "What does a kettle do when it is left on the stove for too long?"
    asked = {
        "pairs": [
            Item(id="p", cluster="p", pair=("The nurse said that he was late.", "The nurse said that she was late."))
        ],
        "choices": [
            Item(id="c", cluster="c", prompt=f"Question: {question}\nAnswer:", options=(" It boils dry.", " It sings."))
        ],
    }
    rows = said(["the nurse said that SHE was late", question, f"{question} It boils dry.", "It sings."], "r")
    found = {(one.row, one.item): one.kind for one in overlap(rows, asked)}
    assert {pair for pair, kind in found.items() if kind == "exact"} == {("r0", "p"), ("r1", "c"), ("r2", "c")}
    assert not any(row == "r3" for row, _ in found)


def test_images_are_the_same_if_their_files_are(tmp_path: Path) -> None:
    paths = families.images(tmp_path, 3)
    copy = tmp_path / "copy.png"
    copy.write_bytes(paths[1].read_bytes())
    rows = [Item(id=path.name, cluster=path.name, image=str(path)) for path in paths]
    [found] = overlap(rows, {"test": [Item(id="t", cluster="t", image=str(copy))]})
    assert (found.row, found.kind, found.jaccard) == ("1.png", "exact", 1.0)


def test_a_row_and_an_item_are_one_pair_however_often_they_are_alike() -> None:
    asked = [Item(id="p", cluster="p", pair=("The clerk was late again today.", "The clerk was late again today!"))]
    assert len(overlap(said(["The clerk was late again today"], "r"), {"pairs": asked})) == 1


def test_many_equal_texts_are_told_once_a_row_and_once_an_item() -> None:
    rows = said(["ok thanks"] * 50 + ["another matter", "quite so"], "r")
    asked = {"test": said(["OK, thanks!"] * 40, "t"), "pack": said(["never said", "OK thanks"], "p")}
    found = overlap(rows, asked)
    assert len(found) == 50 + 39 + 50
    _, record = cleaned(rows, found, "drop", asked=list(asked))
    assert [(one["exact"], one["near"], one["items"]) for one in record] == [(50, 0, 40), (50, 0, 1)]


def test_the_closest_item_speaks_for_a_row() -> None:
    asked = {"test": said(["abcdefghijklmno", "abcdefghijklmnop"], "t")}  # of 13 shingles one is missing in the first
    [first, second] = overlap(said(["abcdefghijklmnop"], "r"), asked)
    assert (first.item, first.kind, second.item, second.kind) == ("t0", "near", "t1", "exact")
    assert [first.jaccard, second.jaccard] == pytest.approx([12 / 13, 1.0])
    [only, _] = overlap(said(["abcdefghijklmnop", "abcdefghijklmno"], "r"), {"test": asked["test"][1:]})
    assert (only.row, only.kind) == ("r0", "exact")


def test_templated_texts_take_no_time_that_grows_with_their_pairs() -> None:
    """Nearly all of some 400,000 pairs of different texts are alike; 0.3 s where rows are held against arrays."""
    rng = np.random.default_rng(0)

    def texts(count: int) -> list[str]:
        numbers = rng.integers(0, 1000, count)
        return [f"Dear customer, your order was shipped on day {n} and will arrive soon at your door." for n in numbers]

    began = time.process_time()
    found = overlap(said(texts(1000), "r"), {"test": said(texts(1000), "t")})
    assert len(found) <= 2000
    assert time.process_time() - began < 3


# --- completions ------------------------------------------------------------------------------------------------------


def completed(prefix: str, *pairs: tuple[str, str]) -> list[Item]:
    return [
        Item(id=f"{prefix}{n}", cluster=f"{prefix}{n}", text=text, label=label) for n, (text, label) in enumerate(pairs)
    ]


def unlabelled(items: list[Item]) -> list[Item]:
    return [item.model_copy(update={"label": None}) for item in items]


def test_a_completion_is_its_prompt_and_its_target() -> None:
    long = " ".join(f"word{n}" for n in range(29))
    document = " ".join(f"fact{n}" for n in range(200))
    test = completed(
        "t", ("Write a review:", "A fine kettle."), (document, "Nothing new."), ("Sum up:", long), ("2 + 2 =", "4")
    )
    rows = completed(
        "r",
        ("Write a review:", "The lid leaks."),  # the same prompt, another target
        ("write a REVIEW", "a fine kettle"),
        (document, "All is lost."),  # so long a prompt that the whole is nearly the same
        (document.replace("fact7 ", ""), "Nothing new!"),
        (
            document.replace("fact", "news"),
            long.replace("word28", "other"),
        ),  # the same long target under another prompt
        ("Summary?", long[:80]),
        ("1 + 3 =", "4"),  # a short one under another prompt
    )
    found = overlap(rows, {"test": test}, completion=True)
    assert {(one.row, one.item): one.kind for one in found} == {
        ("r1", "t0"): "exact",
        ("r3", "t1"): "near",
        ("r4", "t2"): "near",
    }
    assert {one.row for one in overlap(rows, {"test": test}) if one.kind == "exact"} >= {"r0", "r2"}  # labels: classes


def test_a_prompt_is_held_against_texts_and_questions_too() -> None:
    question = "What does a kettle do on the stove?"
    rows = completed("r", (question, "It sings and sings, until all of the water in it is gone."), ("Well?", "No."))
    choice = Item(
        id="c", cluster="c", prompt=f"Question: {question}\nAnswer:", options=(" It boils dry.", " It sings.")
    )
    asked = {"choices": [choice], "items": unlabelled(said(["Well, no!", "no"], "g"))}
    found = {(one.row, one.item) for one in overlap(rows, asked, completion=True)}
    assert found == {("r0", "c"), ("r1", "g0")}
    domain = unlabelled(rows)
    assert {(one.row, one.item) for one in overlap(domain, {"test": rows}, completion=True)} == {
        ("r0", "r0"),
        ("r1", "r1"),
    }


TOWNS = [f"{chr(97 + n % 26) * 5}{chr(98 + n // 26) * 5}ville" for n in range(40)]
TRAIN = [f"train,The clerk in {town} {town} {town} was kind.,{n % 2}\n" for n, town in enumerate(TOWNS)]
TEST = [one.replace("train,", "test,") for one in TRAIN[:9]]

# --- what becomes of them ---------------------------------------------------------------------------------------------

FOUND = [
    Shared("r0", "test", "t4", "exact", 1.0),
    Shared("r0", "pack", "c", "near", 0.9),
    Shared("r3", "test", "t4", "near", 0.85),
]


def test_rows_are_dropped_and_counted() -> None:
    rows = said(["a", "b", "c", "d", "e"], "r")
    kept, record = cleaned(rows, FOUND, "drop", asked=["test", "pack", "other"])
    assert [item.id for item in kept] == ["r1", "r2", "r4"]
    assert record == [
        {"rows": "[task] dataset", "asked": "test", "exact": 1, "near": 1, "items": 1, "dropped": 2},
        {"rows": "[task] dataset", "asked": "pack", "exact": 0, "near": 1, "items": 1, "dropped": 1},
        {"rows": "[task] dataset", "asked": "other", "exact": 0, "near": 0, "items": 0, "dropped": 0},
    ]
    limits = overlap_limits(record)
    assert limits[0] == (
        "Overlap: 1 rows of [task] dataset are asked word for word in test and 1 nearly so (1 items of it); all were "
        "left out of training."
    )
    assert len(limits) == 3
    assert "not found" in limits[-1]


def test_rows_may_be_kept_and_are_counted_all_the_same() -> None:
    rows = said(["a", "b", "c", "d"], "r")
    kept, record = cleaned(rows, FOUND, "keep", asked=["test"])
    assert kept == rows
    assert (record[0]["exact"], record[0]["near"], record[0]["dropped"]) == (1, 1, 0)
    assert "trained on all the same" in overlap_limits(record)[0]


def test_rows_are_refused_by_name() -> None:
    rows = said(["a", "b", "c", "d"], "r")
    with pytest.raises(InputError) as caught:
        cleaned(rows, FOUND, "refuse", asked=["test"], where="[domain] texts = 'x.txt'")
    message = str(caught.value)
    assert message.startswith(
        "[domain] texts = 'x.txt': row 'r0' is also asked in test as 't4' (exact, 1.00 of it alike)"
    )
    assert "1 more rows" in message
    assert "\n" not in message
    assert cleaned(rows, [], "refuse", asked=["test"])[0] == rows


def test_what_is_left_must_be_trainable() -> None:
    rows = said(["a", "b", "c"], "r")  # labelled a, b, a
    with pytest.raises(InputError, match=r"1 of 3 rows are also asked .'r1' in test as 't'.*one label is left"):
        cleaned(rows, [Shared("r1", "test", "t", "exact", 1.0)], "drop", asked=["test"])
    with pytest.raises(InputError, match="nothing is left to train on"):
        cleaned(rows, [Shared(item.id, "test", "t", "exact", 1.0) for item in rows], "drop", asked=["test"])
    bare = [item.model_copy(update={"label": None}) for item in rows]  # texts of a domain have no labels
    assert len(cleaned(bare, [Shared("r1", "test", "t", "exact", 1.0)], "drop", asked=["test"])[0]) == 2


def test_everything_that_is_asked_has_a_name() -> None:
    test, general = said(["x"], "t"), said(["y"], "g")
    packs = Packs(general, labelled={"tenses": said(["z"], "l")})
    named = asked_sets(test, packs, {"minimal pairs": [], "questions": said(["q"], "q")})
    assert list(named) == [
        "the test split", "[audit.forgetting] items", "[audit.forgetting] labelled 'tenses'", "questions",
    ]  # fmt: skip
    assert named["[audit.forgetting] items"] == general


def test_validate_counts_what_is_left_and_all_that_is_trained(bert: Path, tmp_path: Path) -> None:
    """Of 40 rows 9 are asked: 31 in batches of 4 for 2 epochs are 16 steps, 40 would be 20."""
    (tmp_path / "task.csv").write_text("".join(["split,text,label\n", *TRAIN, *TEST]))
    task = {"dataset": str(tmp_path / "task.csv"), "labels": ["complaint", "praise"]}
    adapt = {"method": "full", "epochs": 2, "batch_size": 4, "seeds": [0, 1, 2]}
    (tmp_path / "words.txt").write_text("\n".join(f"The ward {n} has {n} old beds." for n in range(20)))
    table = tiny.recipe(bert, task=task, adapt=adapt, audit={})
    found = check(parse_recipe(table, "tiny"))
    assert (found.train, found.test, found.steps, found.trainings) == (31, 9, 16, 3)
    assert found.labels == {"complaint": 15, "praise": 16}
    domain = {"texts": str(tmp_path / "words.txt")}
    assert check(parse_recipe({**table, "domain": domain}, "tiny")).trainings == 6
    bias = {"label": "praise", "margins": {"probability": 0.1, "flips": 0.1}, "items": ["task"], "swaps": ["gender"]}
    asked = {**table, "domain": domain, "audit": {"bias": {**bias, "origin": True}}}
    assert check(parse_recipe(asked, "tiny")).trainings == 3 * (4 + 3)  # no word is silenced in the texts of the domain
    (tmp_path / "words.txt").write_text("\n".join(f"He said that she has {n} old beds." for n in range(20)))
    assert check(parse_recipe(asked, "tiny")).trainings == 3 * (4 + 4)


@pytest.mark.shared_data
@pytest.mark.parametrize(("name", "near"), [("imdb", 0), ("amazon", 1), ("yelp", 1)])
def test_random_halves_of_public_sentences(shared_data: Path, name: str, near: int) -> None:
    """Exact ones against a set of the letters and digits of each sentence; near ones were read by eye."""
    lines = (shared_data / f"sentences_{name}.tsv").read_text(encoding="utf-8").splitlines()
    texts = np.array([line.strip().rsplit("\t", 1)[0] for line in lines if line.strip()])
    texts = texts[np.random.default_rng(0).permutation(len(texts))]
    ours, theirs = texts[: len(texts) // 2].tolist(), texts[len(texts) // 2 :].tolist()
    bare = [[re.sub(r"[^a-z0-9$%+]", "", text.lower()) for text in half] for half in (ours, theirs)]
    expected = {f"r{row}" for row, text in enumerate(bare[0]) if text in set(bare[1])}
    found = overlap(said(ours, "r"), {"test": said(theirs, "t")})
    assert {one.row for one in found if one.kind == "exact"} == expected
    assert len({one.row for one in found if one.kind == "near"} - expected) == near
