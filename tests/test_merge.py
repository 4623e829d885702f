"""A card keeps every byte that is not ours: twelve as they are found on the Hub, patched and read back."""

from __future__ import annotations

import difflib
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from audit.errors import InputError
from audit.publish.card.merge import BEGIN, END, merged

BLOCK = "## Audited\n\nNothing was lost."
ENTRY: dict[str, Any] = {
    "name": "tiny",
    "results": [
        {
            "task": {"type": "text-classification"},
            "dataset": {"name": "feedback", "type": "feedback"},
            "metrics": [{"type": "accuracy", "value": 0.835, "confidence": [0.777, 0.88]}],
            "source": {"name": "transfer-audit", "url": "https://huggingface.co/crew/tiny"},
        }
    ],
}
METADATA: dict[str, Any] = {
    "base_model": "crew/base",
    "license": "apache-2.0",
    "tags": ["transfer-audit"],
    "model-index": [ENTRY],
}
INDEX = """model-index:
- name: theirs
  results:
  - task:
      type: text-classification
    dataset:
      name: SST-2
      type: glue
      slice: {group: short, n: 12}
    metrics:
    - type: accuracy
      value: 0.9100
      confidence: [0.88, 0.94]   # not known to any library
      verified: false
"""
CARDS = {
    "empty": "",
    "no front matter": "# A model\n\nIt says things.\n",
    "block lists": "---\nlicense: apache-2.0\ntags:\n- text\n- small\n---\n# Card\n",
    "indented list": "---\ntags:\n  - text\n  # a remark\n  - 'small one'\n\nlanguage: en\n---\nText\n",
    "flow list": "---\ntags: [text, 'small, one']\nlicense: 'apache-2.0'   # quoted\n---\n\nText",
    "long flow list": "---\ntags: [\n  text,\n  small,\n]\nco2_eq_emissions: {source: guess}\n---\nText\n",
    "single value": '---\ntags: text\nwidget:\n- text: "Hi: there"\n---\nText\n',
    "nothing in it": "---\ntags:\nlicense:\n---\nText\n",
    "unknown keys and slices": f"---\nx-ours:\n  deep: [1, 2]\n  when: 2026-01-01\n{INDEX}---\n# Card\n",
    "line ends of Windows": "---\r\nlicense: apache-2.0\r\ntags:\r\n- a\r\n---\r\n# Card\r\n\r\nText\r\n",
    "emoji and a byte order mark": "\ufeff---\ntitle: 'Model 🤗'\ntags:\n- 日本語\n---\n# Über 🤗\n\u202eabc\n",
    "twice marked": f"---\na: 1\n---\nBefore\n{BEGIN}\nold\n{END}\nbetween\n{BEGIN}\nolder\n{END}\nafter\n",
    "rules and fences": "---\na: 1\n---\n# Card\n\n---\n\n```yaml\n---\ntags: [x]\n---\n```\n",
    "another licence": "---\nlicense: mit\nbase_model: other/base\n---\nText\n",
}


def outside(card: str) -> str:
    """A card without what is marked as ours, markers included."""
    while BEGIN in card:
        begin = card.index(BEGIN)
        card = card[:begin] + card[card.index(END, begin) + len(END) :]
    return card


def front(card: str) -> dict[str, Any]:
    inside = card.removeprefix("\ufeff").replace("\r\n", "\n").split("---\n")[1]
    known: dict[str, Any] = yaml.safe_load(inside) or {}
    return known


@pytest.mark.parametrize("card", CARDS.values(), ids=CARDS.keys())
def test_only_the_block_and_the_keys_of_ours_change(card: str) -> None:
    found = merged(card, BLOCK, METADATA).text
    assert found.count(BEGIN) == found.count(END) == 1
    inside = found[found.index(BEGIN) : found.index(END)].replace("\r\n", "\n")
    assert inside == f"{BEGIN}\n{BLOCK}\n"
    known = front(card) if card.removeprefix("\ufeff").startswith("---") else {}
    said = front(found)
    assert {key: said[key] for key in known if key not in METADATA} == {
        key: value for key, value in known.items() if key not in METADATA
    }
    assert "transfer-audit" in said["tags"]
    assert said["model-index"][-1] == ENTRY
    for old in known.get("model-index", []):
        assert old in said["model-index"]
    before, after = (outside(one).splitlines(keepends=True) for one in (card, found))
    removed = [line[2:] for line in difflib.ndiff(before, after) if line.startswith("- ") and line[2:].strip()]
    lists = ("tags", "license:", "  small,", "]")  # a list in brackets grows inside them
    assert all(line.startswith(lists) or line == "Text" for line in removed), removed
    if "\r\n" in card:
        assert "\n" not in found.replace("\r\n", "")


@pytest.mark.parametrize("card", CARDS.values(), ids=CARDS.keys())
def test_merging_again_changes_nothing(card: str) -> None:
    once = merged(card, BLOCK, METADATA).text
    assert merged(once, BLOCK, METADATA).text == once


def test_an_entry_of_an_earlier_audit_is_replaced_and_theirs_stays() -> None:
    card = CARDS["unknown keys and slices"]
    newer = {**METADATA, "model-index": [{**ENTRY, "name": "renamed"}]}
    found = merged(merged(card, BLOCK, METADATA).text, "new", newer).text
    assert found == merged(card, "new", newer).text
    assert INDEX in found


OTHERS = """model-index:
  - name: first
    results: []
  # a remark
  - name: last
    results: []
"""


@pytest.mark.parametrize(
    "card", ["", "# Card\n", "---\nmodel-index:\n---\n", f"---\n{INDEX}x: 1\n---\n", f"---\n{OTHERS}x: 1\n---\n"]
)
def test_other_numbers_change_the_lines_of_our_entry_alone(card: str) -> None:
    """Published twice: the entry stays where it stands and in lines, so that what a person is shown is the number."""
    newer: dict[str, Any] = {"name": "tiny", "results": [{**ENTRY["results"][0], "metrics": [{"value": 0.7}]}]}
    once = merged(card, BLOCK, {**METADATA, "model-index": [ENTRY]}).text
    again = merged(once, BLOCK, {**METADATA, "model-index": [newer]}).text
    before, after = once.splitlines(), again.splitlines()
    begin = before.index(next(line for line in before if line.lstrip() == "- name: tiny"))
    end = next(n for n, line in enumerate(before) if n > begin and "url: https://huggingface.co/crew/tiny" in line) + 1
    behind = len(before) - end
    assert after[:begin] == before[:begin]
    assert after[len(after) - behind :] == before[end:]
    assert max(map(len, after)) < 80
    assert merged(again, BLOCK, {**METADATA, "model-index": [ENTRY]}).text == once


def test_an_entry_stays_before_those_that_were_written_behind_it() -> None:
    once = merged("---\nx: 1\n---\n", BLOCK, METADATA).text
    entry = next(line for line in once.splitlines(True) if "url: https://huggingface.co/crew/tiny" in line)
    more = once.replace(entry, f"{entry}# theirs\n- name: theirs\n  results: []\n")
    found = merged(more, BLOCK, {**METADATA, "model-index": [{**ENTRY, "name": "tony"}]}).text
    assert found == more.replace("- name: tiny", "- name: tony")


def test_an_entry_on_one_line_is_written_anew_in_lines() -> None:
    flow = yaml.safe_dump([ENTRY], default_flow_style=True, width=10**6).strip()
    found = merged(
        f"---\nmodel-index: {flow}\n# a remark\nx: 1\n---\n", BLOCK, {"model-index": [{**ENTRY, "name": "b"}]}
    )
    assert found.text.startswith("---\nmodel-index:\n- name: b\n  results:\n")
    assert "# a remark\nx: 1\n---\n" in found.text


def test_what_the_card_says_otherwise_stays_and_is_reported() -> None:
    found = merged(CARDS["another licence"], BLOCK, METADATA)
    assert "license: mit\nbase_model: other/base\n" in found.text
    assert found.disagreements == [
        "base_model: the card says 'other/base', the report 'crew/base'",
        "license: the card says 'mit', the report 'apache-2.0'",
    ]


@pytest.mark.parametrize(
    ("card", "said"),
    [
        (f"Text\n{BEGIN}\nhalf\n", "a marker without its other half"),
        (f"{END}\n{BEGIN}\n", "a marker without its other half"),
        ("---\na: [1\n---\nText\n", "not valid YAML"),
        ("---\n- a\n---\nText\n", "not a table of keys"),
        ("---\n{tags: [a], b: 1}\n---\nText\n", "where it cannot be patched"),
        ("---\ntags: &t [a]\nothers: *t\ntags2: 1\n---\n", "cannot be patched"),
    ],
)
def test_what_cannot_be_patched_is_refused_in_one_line(card: str, said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        merged(card, BLOCK, {"tags": ["audit"]})
    assert "\n" not in str(caught.value)
