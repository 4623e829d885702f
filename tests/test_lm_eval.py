"""Logs of lm-evaluation-harness become views and items that say what the harness was answered.

The files of tests/lm_eval_samples were written by lm-eval 0.4.13 with a random Llama of two layers.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from audit.audits import distinct, findings
from audit.audits.forgetting.language import general_text
from audit.errors import InputError
from audit.view import NotMeasurable, fingerprint
from audit.view.lm_eval import read_lm_eval

FOLDER = Path(__file__).parent / "lm_eval_samples"
TIME = "2026-11-21T13-48-32.450694"

Row = dict[str, Any]


def log(task: str) -> Path:
    return FOLDER / f"samples_tiny_{task}_{TIME}.jsonl"


def rows(task: str) -> list[Row]:
    return [json.loads(line) for line in log(task).read_text(encoding="utf-8").split("\n") if line]


def write(folder: Path, content: list[Row], name: str = f"samples_tiny_{TIME}.jsonl") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in content), encoding="utf-8")
    return folder / name


def asked(requests: list[tuple[str, str]], nats: list[float], **fields: Any) -> Row:
    """Row as the harness writes it, of pairs of context and continuation."""
    return {
        "doc_id": 0,
        "target": "0",
        "arguments": {f"gen_args_{n}": {"arg_0": one, "arg_1": two} for n, (one, two) in enumerate(requests)},
        "resps": [[[str(value), "False"]] for value in nats],
        "filter": "none",
        "doc_hash": hashlib.sha256(json.dumps(requests).encode()).hexdigest(),
        **fields,
    }


# --- what each kind of log says ---


def test_a_rolling_log_is_texts_and_their_log_likelihoods() -> None:
    view, items = read_lm_eval(log("rolling"))
    assert view.kind == "causal"
    assert view.labels == ()
    assert [item.id for item in items[:2]] == ["f69cf5a7761f946d", "6beb120095b94929"]
    assert items[4].text == "Café tables stood out in the snow all winter."
    assert all(item.cluster == item.id and item.source == "lm-eval:tiny_rolling" for item in items)
    expected = [-120.69595336914062, -198.8506622314453, -211.4630889892578, -226.3247833251953, -148.56602478027344]
    assert view.ask("log_likelihood", items).tolist() == expected
    assert view.ask("log_likelihood", items[::-1]).tolist() == expected[::-1]
    with pytest.raises(NotMeasurable, match="the table has log_likelihood"):
        view.ask("option_log_likelihood", items)


def test_two_options_without_a_prompt_are_a_pair() -> None:
    view, items = read_lm_eval(log("crows"))
    assert items[2].pair == ("She asked the waiter for a second spoon.", "He asked the waiter for a second spoon.")
    assert [item.label for item in items] == [None] * 5  # their target is always "0", and means nothing
    answer = view.ask("log_likelihood", items)
    assert answer.shape == (5, 2)
    assert answer[1].tolist() == [-99.47784423828125, -106.22933197021484]
    # the harness's own numbers in the same file: likelihood_diff and pct_stereotype
    differences = [0.272125244140625, 6.751487731933594, 7.2045135498046875, 7.2584381103515625, 0.213592529296875]
    assert np.abs(answer[:, 0] - answer[:, 1]).tolist() == differences
    assert (answer[:, 0] > answer[:, 1]).tolist() == [False, True, True, True, False]


def test_multiple_choice_is_a_prompt_with_options_and_the_target_as_label() -> None:
    view, items = read_lm_eval(log("choice"))
    assert items[1].prompt == "To open a locked drawer you need its"
    assert items[1].options == (" shadow", " key", " echo")
    assert [item.label for item in items] == [" hot", " key", " wheels", " wet", " empty"]
    answer = view.ask("option_log_likelihood", items)
    assert answer.shape == (5, 3)
    assert answer[2].tolist() == [-21.26456069946289, -28.021106719970703, -14.321365356445312]
    best = [(item.options or ())[which] for item, which in zip(items, answer.argmax(axis=1), strict=True)]
    accurate = [one == item.label for one, item in zip(best, items, strict=True)]
    assert accurate == [True, True, True, False, True]  # the harness's own acc in the same file


def test_one_continuation_is_one_option(tmp_path: Path) -> None:
    path = write(tmp_path, [asked([("A bicycle has two", " wheels")], [-14.25], target=" wheels")])
    view, [item] = read_lm_eval(path)
    assert (item.prompt, item.options, item.label) == ("A bicycle has two", (" wheels",), " wheels")
    assert view.ask("option_log_likelihood", [item]).reshape(1, -1).tolist() == [[-14.25]]


def test_three_options_without_a_prompt_are_no_pair(tmp_path: Path) -> None:
    path = write(tmp_path, [asked([("", "One."), ("", "Two."), ("", "Three.")], [-1.0, -2.0, -3.0], target="2")])
    view, [item] = read_lm_eval(path)
    assert (item.prompt, item.options, item.label) == ("", ("One.", "Two.", "Three."), "Three.")
    assert view.ask("option_log_likelihood", [item]).tolist() == [[-1.0, -2.0, -3.0]]


def test_unconditional_scores_are_left_out(tmp_path: Path) -> None:
    doubled = rows("choice")
    for row in doubled:
        options = [one["arg_1"] for one in row["arguments"].values()]
        row["arguments"] |= {f"gen_args_{n}": {"arg_0": "", "arg_1": one} for n, one in enumerate(options, start=3)}
        row["resps"] += [[["-99.5", "False"]]] * 3
    view, items = read_lm_eval(write(tmp_path, doubled, log("choice").name))
    plain, same = read_lm_eval(log("choice"))
    assert items == same
    answers = [one.ask("option_log_likelihood", items).tolist() for one in (view, plain)]
    assert answers[0] == answers[1]
    # sentences alone, scored twice, are still a pair
    twice = asked([("", "She."), ("", "He."), ("", "She."), ("", "He.")], [-1.0, -2.0, -1.0, -2.0])
    view, [item] = read_lm_eval(write(tmp_path, [twice]))
    assert item.pair == ("She.", "He.")
    assert view.ask("log_likelihood", [item]).tolist() == [[-1.0, -2.0]]
    _, [item] = read_lm_eval(write(tmp_path, [asked([("", "They."), ("", "They.")], [-1.0, -1.0])]))
    assert item.pair == ("They.", "They.")


def test_requests_are_read_by_their_number(tmp_path: Path) -> None:
    options = [f" {letter}" for letter in "abcdefghijkl"]
    row = asked([("Say:", option) for option in options], [-float(n) for n in range(12)], target="10")
    row["arguments"] = dict(sorted(row["arguments"].items()))  # as text, so that 10 stands before 2
    view, [item] = read_lm_eval(write(tmp_path, [row]))
    assert item.options == tuple(options)
    assert item.label == " k"
    assert view.ask("option_log_likelihood", [item]).tolist() == [[-float(n) for n in range(12)]]


@pytest.mark.parametrize(
    ("target", "options", "label"),
    [
        ("1", (" no", " yes"), " yes"),
        ("yes", (" no", " yes"), " yes"),
        (" no ", (" no", " yes"), " no"),
        ("2", (" no", " yes"), None),
        ("-1", (" no", " yes"), None),
        ("[0, 1]", (" no", " yes"), None),
        ("maybe", (" no", " yes"), None),
        ("1", (" 1", " 2"), None),  # the first by its text, the second by its position
        ("1", (" 0", " 1"), " 1"),
        ("7", (" 6", " 7"), " 7"),
    ],
)
def test_a_target_is_a_position_or_an_option(
    tmp_path: Path, target: str, options: tuple[str, str], label: str | None
) -> None:
    path = write(tmp_path, [asked([("Well?", option) for option in options], [-1.0, -2.0], target=target)])
    assert read_lm_eval(path)[1][0].label == label


# --- two logs ---


def test_two_rolling_logs_show_a_planted_change(tmp_path: Path) -> None:
    sizes = [53, 76, 84, 82, 46]  # bytes, as the harness counts them in byte_perplexity
    planted = [0.01, 0.02, 0.03, 0.04, 0.05]  # nats per byte
    shifted = rows("rolling")
    for row, size, by in zip(shifted, sizes, planted, strict=True):
        row["resps"] = [[str(float(row["resps"][0][0]) - size * by)]]
    adapted, same = read_lm_eval(write(tmp_path, shifted, "samples_tiny_rolling_2026-11-22T08-00-00.jsonl"))
    base, items = read_lm_eval(log("rolling"))
    assert same == items
    [found] = findings(general_text(base, adapted, items, margin=0.01), family="forgetting")
    assert found.base is not None
    assert found.change is not None
    # mean of 120.69595/53, 198.85066/76, 211.46309/84, 226.32478/82 and 148.56602/46
    assert found.base.value == pytest.approx(2.680182, abs=1e-6)
    # Student's t with 4 degrees of freedom: .03 ± 2.7764 × sqrt(.00025 / 5)
    assert [found.change.value, found.change.low, found.change.high] == pytest.approx([0.03, 0.010368, 0.049632], 1e-4)
    assert (found.n_items, found.n_clusters, found.verdict) == (5, 5, "worse")
    [back] = findings(general_text(adapted, base, items, margin=0.01), family="forgetting")
    assert back.change is not None
    assert back.change.value == pytest.approx(-0.03)


def test_the_order_of_a_log_says_nothing(tmp_path: Path) -> None:
    turned = write(tmp_path, [rows("crows")[n] for n in (3, 0, 4, 1, 2)], log("crows").name)
    (view, items), (other, others) = (read_lm_eval(path, id="run") for path in (log("crows"), turned))
    assert view.id == other.id == "run"
    assert fingerprint(others) == fingerprint(items)
    assert other.ask("log_likelihood", items).tolist() == view.ask("log_likelihood", items).tolist()


def test_documents_are_joined_by_content_where_doc_id_is_wrong(tmp_path: Path) -> None:
    # --samples '{"tiny_choice": [3, 1]}' writes documents 1 and 3, in this order, with each other's doc_id
    chosen = [deepcopy(rows("choice")[n]) for n in (1, 3)]
    chosen[0]["doc_id"], chosen[1]["doc_id"] = 3, 1
    part, items = read_lm_eval(write(tmp_path, chosen, log("choice").name))
    whole, every = read_lm_eval(log("choice"))
    assert items == [every[1], every[3]]
    assert whole.ask("option_log_likelihood", items).tolist() == part.ask("option_log_likelihood", items).tolist()


def test_other_prompts_have_the_same_ids_and_another_fingerprint(tmp_path: Path) -> None:
    templated = rows("choice")
    for request in templated[4]["arguments"].values():
        request["arg_0"] = f"<user>{request['arg_0']}</user>"
    _, items = read_lm_eval(log("choice"))
    _, others = read_lm_eval(write(tmp_path, templated, log("choice").name))
    assert [item.id for item in others] == [item.id for item in items]
    assert fingerprint(others) != fingerprint(items)


def test_a_view_is_named_by_its_file() -> None:
    expected = hashlib.sha256(log("rolling").read_bytes()).hexdigest()
    assert read_lm_eval(log("rolling"))[0].id == f"lm-eval:{expected}"
    assert read_lm_eval(log("rolling"), id="base")[0].id == "base"


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("samples_a_task_2026-11-21T13-48-32.jsonl", "lm-eval:a_task"),
        ("samples_a_task.jsonl", "lm-eval:samples_a_task"),
        ("base.jsonl", "lm-eval:base"),
    ],
)
def test_the_task_is_named_by_the_file(tmp_path: Path, name: str, source: str) -> None:
    assert read_lm_eval(write(tmp_path, rows("rolling"), name))[1][0].source == source


# --- documents that are said twice, and older logs ---


def test_a_document_said_twice_is_one_cluster(tmp_path: Path) -> None:
    twice = rows("rolling")
    twice += [{**twice[1], "doc_id": 5}, {**twice[1], "doc_id": 6}]
    view, items = read_lm_eval(write(tmp_path, twice))
    assert [item.id for item in items][4:] == ["dc086e1044655285", "6beb120095b94929-1", "6beb120095b94929-2"]
    assert view.ask("log_likelihood", items)[[1, 5, 6]].tolist() == [-198.8506622314453] * 3
    assert len(distinct(items)) == 5


def test_a_document_with_other_examples_is_told_apart_in_any_order(tmp_path: Path) -> None:
    one = asked([("2 + 2 = 4. 3 + 3 =", " 6"), ("2 + 2 = 4. 3 + 3 =", " 7")], [-1.0, -2.0], doc_hash="a" * 64)
    two = asked([("1 + 1 = 2. 3 + 3 =", " 6"), ("1 + 1 = 2. 3 + 3 =", " 7")], [-3.0, -4.0], doc_hash="a" * 64, doc_id=1)
    view, items = read_lm_eval(write(tmp_path / "there", [one, two]))
    other, _ = read_lm_eval(write(tmp_path / "back", [two, one]))
    assert len({item.id for item in items}) == 2
    assert {item.cluster for item in items} == {"a" * 16}
    for each in (view, other):
        assert each.ask("option_log_likelihood", items).tolist() == [[-1.0, -2.0], [-3.0, -4.0]]


def test_an_older_log_without_hashes_and_filters_is_joined_by_its_requests(tmp_path: Path) -> None:
    dropped = ("doc_hash", "prompt_hash", "target_hash", "filter", "metrics")
    older = [{key: value for key, value in row.items() if key not in dropped} for row in rows("choice")]
    view, items = read_lm_eval(write(tmp_path / "there", older))
    other, others = read_lm_eval(write(tmp_path / "back", older[::-1]))
    assert len({item.id for item in items}) == 5
    assert all(re.fullmatch("[0-9a-f]{16}", item.id) for item in items)
    assert others == items[::-1]
    expected = [-14.257633209228516, -28.337589263916016, -35.49330139160156]
    for each in (view, other):
        assert each.ask("option_log_likelihood", items)[0].tolist() == expected


def test_other_filters_are_passed_over(tmp_path: Path) -> None:
    strange = {"filter": "strict", "arguments": {}, "resps": []}
    _, items = read_lm_eval(write(tmp_path, [strange, *rows("rolling")], log("rolling").name))
    assert items == read_lm_eval(log("rolling"))[1]


# --- what cannot be read ---


def generated(row: Row) -> None:
    row["arguments"] = {"gen_args_0": {"arg_0": "Say:", "arg_1": {"until": ["\n"], "max_gen_toks": 8}}}
    row["resps"] = [["text"]]


def in_the_prompt(row: Row) -> None:
    for n, request in enumerate(row["arguments"].values()):
        request |= {"arg_0": f"Well, {n}", "arg_1": " is it."}


def other_prompts(row: Row) -> None:
    row["arguments"]["gen_args_1"]["arg_0"] = "Another"


def equal_options(row: Row) -> None:
    for request in row["arguments"].values():
        request["arg_1"] = " is it."


def multimodal(row: Row) -> None:
    for request in row["arguments"].values():
        request["arg_2"] = {"visual": ["<image>"]}


def untexted(row: Row) -> None:
    row["arguments"]["gen_args_0"]["arg_0"] = [{"role": "user"}]


def numbered(row: Row) -> None:
    for n, request in enumerate(row["arguments"].values()):
        request["arg_1"] = n


def flat(row: Row) -> None:
    row["arguments"] = {"gen_args_0": "A bicycle has two", "gen_args_1": " wheels"}


def unrepeated(row: Row) -> None:
    row["resps"][1] = []


def listed(row: Row) -> None:
    row["arguments"] = [[request["arg_0"], request["arg_1"]] for request in row["arguments"].values()]


def unasked(row: Row) -> None:
    row["arguments"], row["resps"] = {}, []


def unanswered(row: Row) -> None:
    row["resps"].pop()


def absent(row: Row) -> None:
    del row["resps"]


def words(row: Row) -> None:
    row["resps"][1] = [["wheels", "False"]]


def bare(row: Row) -> None:
    row["resps"] = [[one[0][0]] for one in row["resps"]]


def not_a_number(row: Row) -> None:
    row["resps"][1] = [["nan", "False"]]


def infinite(row: Row) -> None:
    row["resps"][2] = [["-inf", "False"]]


def empty(row: Row) -> None:
    row["arguments"]["gen_args_1"]["arg_1"] = ""


def fewer(row: Row) -> None:
    del row["arguments"]["gen_args_2"], row["resps"][2]


def paired(row: Row) -> None:
    fewer(row)
    for request in row["arguments"].values():
        request["arg_0"] = ""


NONE = "holds no log-likelihoods of texts; log the task as loglikelihood, loglikelihood_rolling or multiple_choice"
PROMPT = "has its options in the prompt .as winogrande does.; log whole sentences, without a prompt"


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (generated, "is generated text, which has no log-likelihood; log the task as loglikelihood, "),
        (in_the_prompt, PROMPT),
        (other_prompts, PROMPT),
        (equal_options, PROMPT),
        (multimodal, NONE),
        (untexted, NONE),
        (numbered, NONE),
        (flat, NONE),
        (unrepeated, NONE),
        (listed, NONE),
        (unasked, NONE),
        (unanswered, NONE),
        (absent, NONE),
        (words, NONE),
        (bare, NONE),
        (not_a_number, r"has the log-likelihoods \[.*nan.*\]; run the model in float32, or drop the row from both"),
        (infinite, r"has the log-likelihoods \[.*-inf\]; run the model in float32, or drop the row from both logs"),
        (empty, "scores an empty text, which has no likelihood to compare; drop the row from both logs"),
        (fewer, "is 2 options, row 1 is 3 options; split the log, a file for each"),
        (paired, "is a pair, row 1 is 3 options; split the log, a file for each"),
    ],
    ids=lambda given: getattr(given, "__name__", ""),
)
def test_a_row_that_cannot_be_audited_is_named(tmp_path: Path, spoil: Callable[[Row], None], message: str) -> None:
    content = rows("choice")
    spoil(content[2])
    path = write(tmp_path, content)
    with pytest.raises(InputError, match=f"^{re.escape(str(path))}: row 3 {message}") as caught:
        read_lm_eval(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("text", "message"), [("", "scores an empty text"), (["One.", "Two."], NONE)])
def test_a_text_that_is_none_is_named(tmp_path: Path, text: object, message: str) -> None:
    content = rows("rolling")
    content[1]["arguments"]["gen_args_0"]["arg_0"] = text
    with pytest.raises(InputError, match=f"row 2 {message}"):
        read_lm_eval(write(tmp_path, content))


def test_a_log_that_was_appended_to_is_refused(tmp_path: Path) -> None:
    again = deepcopy(rows("rolling"))
    again[0]["resps"] = [["-1.0"]]
    path = write(tmp_path, rows("rolling") + again)
    with pytest.raises(InputError, match=r"samples_tiny_.*: row 6 repeats row 1; keep the rows of one run"):
        read_lm_eval(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no rows; "),
        ("\n \n", "no rows; "),
        ('{"filter": "first"}\n{"filter": "stripped"}\n', "only rows of the filters first, stripped; log-likelihoods "),
        ('\n{"filter": "none"', "row 2 is no JSON object: "),
        ('[{"doc_id": 0}]', "row 1 is no JSON object: "),
        ("[\n{}\n]", "row 1 is no JSON object: "),
        (b"\n\n\xff\xfe{", "row 3 is no JSON object: "),
    ],
)
def test_a_file_that_is_no_log_is_named(tmp_path: Path, text: str | bytes, message: str) -> None:
    path = tmp_path / "base.jsonl"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError, match=f"^{re.escape(str(path))}: {message}"):
        read_lm_eval(path)


def test_a_log_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.jsonl: No such file or directory; give a file that lm_eval --log_s"):
        read_lm_eval(tmp_path / "none.jsonl")
    with pytest.raises(InputError, match=f"^{re.escape(str(tmp_path))}: Is a directory; give a file"):
        read_lm_eval(tmp_path)
