"""The multiple-choice items and the chat turns are what they say: four fair options, one right, nothing asked twice."""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import audit.items

Row = dict[str, Any]
AREAS = ("language", "common sense", "arithmetic", "code", "facts")
SUM = re.compile(r"(?:^|\n|What is )([\d +x*/()-]+)(?: =|\?\nAnswer:)$")


def rows(pack: str) -> list[Row]:
    file = Path(audit.items.__file__).parent / f"{pack}.jsonl"
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


CHOICES, TURNS = rows("choices"), rows("turns")


def area(name: str) -> list[Row]:
    return [row for row in CHOICES if row["area"] == name]


def fault(row: Row) -> str | None:
    """What is wrong with the form of a row, if anything is."""
    prompt, options = row["prompt"], row["options"]
    lengths = [len(option) for option in options]
    if not prompt or prompt != prompt.strip():
        return "the prompt is empty, or begins or ends with a space"
    if len(options) != 4 or row["answer"] not in range(4):
        return "there are not four options and one answer"
    if any(not re.fullmatch(r"[ \n]\S(.*\S)?", option) for option in options):
        return "an option is empty, or does not begin with one space"
    if any(two.startswith(one) for one, two in itertools.permutations(options, 2)):
        return "an option is the beginning of another"
    if max(lengths) > 2.5 * min(lengths) + 6:
        return "an option is told by its length"
    if not (prompt + "".join(options)).isascii():
        return "a character is not ASCII"
    return None


def test_a_row_has_four_short_options_and_one_answer() -> None:
    assert [(row["id"], fault(row)) for row in CHOICES if fault(row)] == []
    assert all(set(row) == {"id", "area", "cluster", "prompt", "options", "answer"} for row in CHOICES)


@pytest.mark.parametrize(
    ("planted", "found"),
    [
        ({"prompt": "To dry her hands she took a "}, "ends with a space"),
        ({"options": [" towel", " towel", " kite", " lamp"]}, "beginning of another"),
        ({"options": [" towel", " towels", " kite", " lamp"]}, "beginning of another"),
        ({"options": [" towel", " ", " kite", " lamp"]}, "empty"),
        ({"options": [" towel", "spade", " kite", " lamp"]}, "does not begin with one space"),
        ({"options": [" towel", " kite", " lamp"]}, "four options"),
        ({"options": [" large and fluffy towel", " spade", " kite", " lamp"]}, "length"),
        ({"options": [" towel", " café", " kite", " lamp"]}, "ASCII"),
        ({"answer": 4}, "one answer"),
    ],
)
def test_a_planted_fault_of_form_is_found(planted: Row, found: str) -> None:
    row = {"prompt": "To dry her hands she took a", "options": [" towel", " spade", " kite", " lamp"], "answer": 0}
    assert fault(row) is None
    assert found in (fault({**row, **planted}) or "")


def test_areas_and_right_places_are_balanced() -> None:
    assert Counter((row["area"], row["answer"]) for row in CHOICES) == {
        (name, place): 20 for name in AREAS for place in range(4)
    }


def test_nothing_is_asked_twice() -> None:
    for key in ("id", "prompt"):
        assert max(Counter(row[key] for row in [*CHOICES, *TURNS]).values()) == 1
    clusters = Counter(row["cluster"] for row in CHOICES)
    assert max(clusters.values()) <= 2
    assert all((row["cluster"] == row["id"]) == (clusters[row["cluster"]] == 1) for row in CHOICES)
    for name in AREAS:
        assert len({row["cluster"] for row in area(name)}) >= 60


@pytest.mark.parametrize("name", AREAS)
def test_the_length_of_an_option_does_not_tell_the_answer(name: str) -> None:
    """To pick the longest (or shortest) option is right as often as chance (1/4), within 2.6 deviations."""
    lengths = np.array([[len(option) for option in row["options"]] for row in area(name)])
    answers = np.array([row["answer"] for row in area(name)])
    for extreme in (lengths.max(1), lengths.min(1)):
        picked = lengths == extreme[:, None]
        share = picked[np.arange(80), answers] / picked.sum(1)
        assert abs(share.mean() - 0.25) < 2.6 * np.sqrt(0.25 * 0.75 / 80)


def program(prompt: str) -> str | None:
    """The Python that a prompt shows: fenced, under a question, or the prompt itself where its comment asks."""
    fenced = re.fullmatch(
        r"```python\n(.*)\n```\nThis prints|Question: What does .*\?\n\n(.*)\n\nAnswer:", prompt, re.S
    )
    if fenced:
        return fenced[1] or fenced[2]
    return prompt if prompt.endswith(("# prints", "# Output:")) else None


def printed(source: str) -> str:
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(source, {})
    return out.getvalue().rstrip("\n")


def holds(source: str) -> bool:
    try:
        exec(source, {})
    except AssertionError:
        return False
    return True


def test_python_itself_gives_the_answers_about_programs() -> None:
    checked = 0
    for row in area("code"):
        prompt, options, right = row["prompt"], row["options"], row["options"][row["answer"]]
        source = program(prompt)
        if source:
            assert printed(source) == right[1:], row["id"]
        elif prompt.startswith(">>> "):
            *before, last = prompt.removeprefix(">>> ").split("\n>>> ")
            assert printed("\n".join([*before, f"print(repr({last}))"])) == right[1:], row["id"]
        elif prompt.startswith("assert "):
            assert [holds(prompt + option) for option in options] == [option == right for option in options], row["id"]
        else:
            continue
        checked += 1
    assert checked == 56


def test_bare_sums_come_out() -> None:
    found = [(SUM.search(row["prompt"]), row) for row in area("arithmetic")]
    sums = [(match[1].replace("x", "*"), row) for match, row in found if match]
    assert len(sums) >= 14
    for asked, row in sums:
        values = [float(option) for option in row["options"]]
        assert [value == eval(asked) for value in values] == [place == row["answer"] for place in range(4)], row["id"]


def test_turns_are_short_and_whole() -> None:
    assert len(TURNS) == 48
    for row in TURNS:
        assert set(row) == {"id", "prompt", "answer"}
        assert row["prompt"] == row["prompt"].strip() != ""
        assert re.fullmatch(r"\S.{0,250}[.!?]\"?", row["answer"]), row["id"]
        assert (row["prompt"] + row["answer"]).isascii()
