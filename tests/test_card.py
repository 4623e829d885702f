"""The model card: whole or as a block, true to its report to the last digit, and nobody's text is markup in it."""

from __future__ import annotations

import io
import re
from contextlib import redirect_stdout
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

from audit import relay
from audit.diligence import Check
from audit.finding import Estimate
from audit.publish.card import card, denied, render, verdict_line
from audit.publish.card.differences import blocks_of, body_of, differing, differing_metadata
from audit.publish.card.duties import anchor, cross_reference
from audit.publish.card.merge import BEGIN, END
from audit.publish.card.metadata import metadata
from audit.publish.card.usage import usage
from audit.recipe import Task, parse_recipe
from audit.recipe.adapt import Full, Head, Peft
from audit.report import Arm, Report
from audit.scale import Scale
from tests import families, reports, tiny
from tests.hub.card import problems
from tests.test_page import position

THEIRS = "---\nlicense: mit  # ours\nlibrary_name: keras\n---\n# Their model\n\nWritten by hand.\n"


@pytest.fixture(scope="module")
def report(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Report:
    """Of a real run, as it is published."""
    table = tiny.recipe(
        tiny_encoder,
        audit={
            "bias": {"label": "praise", "margins": {"probability": 0.02, "flips": 0.02}, "pairs": 2},
            "gap": {"margin": 0.1, "limit": 60},
            "forgetting": {"limit": 40, "floor": False},
        },
    )
    made = relay.run(parse_recipe(table, "tiny.toml"), tiny.toml(table), tmp_path_factory.mktemp("run") / "tiny")[0]
    return made.model_copy(update={"adapted": made.adapted.model_copy(update={"id": "owner/adapted-2"})})


def headings(text: str) -> list[tuple[int, str]]:
    tokens = MarkdownIt("commonmark").parse(body_of(text))
    return [(int(one.tag[1]), tokens[at + 1].content) for at, one in enumerate(tokens) if one.type == "heading_open"]


# --- what is in it ----------------------------------------------------------------------------------------------------


def test_the_sections_come_in_the_hubs_order(report: Report) -> None:
    """Against the template that the installed huggingface_hub ships."""
    template = (resources.files("huggingface_hub") / "templates" / "modelcard_template.md").read_text()
    wanted = [re.sub(r"[^a-z]", "", one.lower()) for one in re.findall(r"(?m)^##+ (.+?)(?: \[optional\])?$", template)]
    ours = [re.sub(r"[^a-z]", "", name.lower()) for _, name in headings(render(report))]
    known = [one for one in ours if one in wanted]
    assert known == [one for one in wanted if one in known]
    assert set(known) >= {
        *("modeldetails", "uses", "directuse", "outofscopeuse", "biasrisksandlimitations", "recommendations"),
        *("trainingdetails", "trainingdata", "trainingprocedure", "evaluation", "environmentalimpact"),
    }
    assert ours.index("recommendations") < ours.index("howtogetstarted") < ours.index("trainingdetails")


def test_nothing_is_left_blank(report: Report) -> None:
    for text in (render(report), render(reports.report(findings=[], task=None)), card(report, THEIRS).text):
        assert "More Information Needed" not in text
        assert "TODO" not in text
        assert not re.search(r"(?m)^- ?$|:\s*$(?=\n#)", text)
        assert "None" not in re.sub(r"None: Accuracy|None that a measured|'None'|\| None \|", "", text)
        assert problems("model", text) == ([], [])


def test_the_bias_section_is_never_hidden() -> None:
    for made in (reports.report(), reports.report(findings=[])):
        for text in (render(made), card(made, THEIRS).text):
            tokens = MarkdownIt("commonmark").enable("table").parse(body_of(text))
            shown = [one.content for one in tokens if one.type == "inline"]
            assert "Bias, risks and limitations" in shown
            assert "Inherited bias" in shown
    assert "### Inherited bias\n\nNot measured." in render(reports.report(findings=[]))
    assert "**Not measured**: who is treated worse (inherited bias)." in render(reports.report(findings=[]))


def test_limitations_follow_from_the_findings() -> None:
    findings = [
        reports.finding("gender/preference", ideal=0),
        reports.finding("passages", "forgetting"),
        reports.finding("random_init", "transfer"),
        reports.finding("open", "forgetting", change=0.02, n_needed=90),
        reports.finding("kept", "forgetting", change=0.0),
        reports.finding("age/preference", ideal=0, change=0.0),
    ]
    text = render(reports.report(findings=findings, broken=["forgetting/next_token"]))
    said = text.split("## Bias, risks and limitations")[1].split("### Inherited bias")[0].splitlines()
    expected = [
        "- **Broken**: The base answers what these probes ask, the adapted model does not: next\\_token.",
        "- **Worse than the base**: gender/preference (+0.100 [+0.090, +0.110], margin 0.02, 40 clusters).",
        "- **Lost**: passages (harm +0.100 [+0.090, +0.110], margin 0.02, 40 clusters).",
        "- **Negative transfer**: against random initial weights the base hurts "
        "(error +0.100 [+0.090, +0.110], margin 0.02, 40 clusters).",
        "- **Leans**: age/preference of the adapted model is +0.200 [+0.190, +0.210], beyond its margin of 0.02 "
        "(40 clusters), whatever the change.",
        "- **Unclear**, 1 of 6 declared findings of change: open (40 clusters, about 90 would decide).",
        "- **Not measured**: how far the task lies from what the base knows (domain gap).",
    ]
    assert [line for line in said if line.startswith("- **")] == expected
    assert "What the base could do and the adapted model lost: passages, next\\_token." in text
    assert "ask more: open about 90 clusters in place of 40." in text
    assert "train control arms: `[audit.bias] origin = true`" in text
    assert verdict_line(findings, ["forgetting/next_token"]) in text


def test_a_task_that_was_not_learnt_is_no_use() -> None:
    constant = [Arm(name="majority_class", seed=None, sha256=None, task=0.8)]
    text = render(reports.report(arms=constant))
    assert "None: Accuracy 0.800 [0.790, 0.810] on 40 items of owner/reviews, split `validation` is no better" in text
    assert "**Task not learnt**" in text
    assert "**Task not learnt**" not in render(reports.report())


@pytest.mark.parametrize(
    ("reached", "limited", "advised"),
    [
        (0.55, "does no better than a constant answer.", "does no better than a constant answer (0.580)"),
        (
            0.585,
            "interval holds a constant answer's 0.580.",
            "is not shown to do better than a constant answer (0.580)",
        ),
        (0.8, None, None),
    ],
)
def test_what_did_not_learn_its_task_is_told_so_first(reached: float, limited: str | None, advised: str | None) -> None:
    plain = reports.report()
    assert plain.task is not None
    task = plain.task.model_copy(
        update={"adapted": reports.estimate(reached), "change": reports.estimate(reached - 0.6)}
    )
    arms = [Arm(name="majority_class", seed=None, sha256=None, task=0.58)]
    lost = [reports.finding("passages", "forgetting")]
    text = render(reports.report(task=task, arms=arms, findings=lost))
    limits, first = text.split("## Bias, risks")[1], text.split("### Recommendations\n\n")[1].splitlines()[0]
    assert ("not learnt**" in limits) == (limited is not None)
    assert (limited or "") in limits
    assert first.startswith("- First the task: ") == (advised is not None)
    assert (advised or "keep the base for it") in first
    assert ("None" in text.split("### Direct use")[1].split("###")[0]) == (advised is not None)


def test_a_position_of_the_gap_is_no_harm_of_the_adaptation() -> None:
    findings = [reports.finding("passages", "forgetting"), reports.finding("kept", "forgetting", change=0.0)]
    findings += [position(f"gap/{name}", value) for name, value in (("a", 0.5), ("b", 0.5), ("c", 0.05))]
    assert verdict_line(findings) == (
        "2 declared findings of change: 1 worse, 1 same; the task lies outside the reference's domain by 2 of 3 "
        "measures, unclear by 1."
    )
    assert verdict_line(findings[-1:]) == (
        "No change was measured; the task lies outside the reference's domain by none of 1 measures, unclear by 1."
    )
    scales = [
        Scale(name=one.name, question="how far", unit="bits", null=0, measured=one.adapted, ceiling=1)
        for one in findings[2:]
    ]
    text = render(reports.report(findings=findings, scales=scales))
    assert "**Unclear**, 1 of 3 measures of the domain: c (100" in text
    assert "of the domain gap, which is a position and no change, `worse` means outside" in text.lower()


def test_a_floor_is_laid_at_what_set_it() -> None:
    findings = [reports.finding(name, audit, floor=0.2) for name, audit in (("flips", "bias"), ("next", "forgetting"))]
    floor = [
        {"finding": "bias/flips", "copies": "20 refits of the probe", "floor": 0.2},
        {"finding": "forgetting/next", "copies": "noise of 1e-4", "floor": 0.2},
    ]
    text = render(reports.report(findings=findings, floor=floor))
    assert "how much worse. 20 refits of the probe differ by up to 0.2 (the floor)" in text
    assert "**Unclear**: null copies of the base differ by up to 0.2 (the floor)" in text
    precise = [{**one, "copies": "the base in float32"} for one in floor]
    text = render(reports.report(findings=findings, floor=precise))
    assert text.count("he base in float32 differs by up to 0.2") == 2
    assert "The base differs from itself by up to 0.2 (the floor)" in render(reports.report(findings=findings))


def test_null_copies_that_were_not_asked_are_not_said_to_have_been(report: Report) -> None:
    assert any("null copies of the base were not asked (floor = false)" in one for one in report.limits)
    assert not any("were asked about forgetting only" in one for one in report.limits)


def test_a_note_names_its_findings() -> None:
    notes = {"passages": "Errs in 92%.", "frozen passages": "Errs in 92%.", "tenses": "Errs in 67%.", "kinds": ""}
    several = [reports.finding(name, "forgetting", note=note) for name, note in notes.items()]
    text = render(reports.report(findings=several))
    assert "> **passages, frozen passages**: Errs in 92%.\n\n> **tenses**: Errs in 67%.\n" in text
    assert "\n> Errs in 67%." in render(reports.report(findings=several[2:3]))
    assert "> **tenses**: Errs in 67%." in render(reports.report(findings=several[2:]))


def test_what_more_items_would_decide_is_advised_where_they_can_be_had() -> None:
    far = [
        reports.finding("near", "forgetting", change=0.02, n_needed=400),
        reports.finding("far", "forgetting", change=0.02, n_needed=401),
    ]
    text = render(reports.report(findings=far))
    assert "- To decide what is unclear, ask more: near about 400 clusters in place of 40.\n" in text
    assert "- More than 10 times the clusters asked would be needed for far: " in text


@pytest.mark.parametrize(
    ("name", "command"),
    [("owner/adapted", "transfer-audit verify owner/adapted"), ("models/seed-0", "transfer-audit verify RUN")],
)
def test_the_card_says_how_it_is_verified_where_it_lies(name: str, command: str) -> None:
    assert f"`{command}` computes verdicts and numbers again" in render(reports.adapted(id=name))


def test_of_somebody_elses_model_it_is_said_what_is_not_known() -> None:
    text = render(reports.adapted(method="not known", seeds=[], trainable_parameters=None))
    assert "adapted by somebody else in a way that is not known here." in text
    assert "### Training data\n\nNot known. The audit itself read:" in text
    assert "- Licence: not declared" in text
    assert "Set otherwise than by default" not in text


def test_no_item_is_quoted() -> None:
    for policy in ("none", "values", "full"):
        provenance = reports.report().provenance.model_copy(update={"evidence": policy})
        assert re.search(
            r"no item is quoted|none is quoted|No evidence is kept", render(reports.report(provenance=provenance))
        )


# --- the cross-reference ----------------------------------------------------------------------------------------------


def test_every_row_of_the_cross_reference_leads_somewhere() -> None:
    for made in (reports.report(), reports.report(findings=[], task=None), reports.adapted(method="not known")):
        text = render(made)
        places = {anchor(name).rpartition("#")[2].rstrip(")") for _, name in headings(text)}
        rows = cross_reference(made)
        links = {link for row in rows for link in re.findall(r"\(#([^)]+)\)", row.evidence)}
        assert links <= places
        assert all(row.evidence for row in rows)
        assert not re.search(r"(?i)\bcompliant|fulfil|conform", text)


def test_a_row_whose_evidence_was_not_measured_says_so() -> None:
    rows = {row.field: row.evidence for row in cross_reference(reports.report(findings=[], task=None))}
    assert rows["MEASURE 2.11"] == "inherited bias not measured"
    assert rows["MEASURE 2.5"].count("not measured") == 3
    assert rows["MEASURE 2.3"] == rows["MEASURE 2.12"] == "not measured"
    assert rows["MAP 4.1"] == "not looked up"
    assert {row.field: row.evidence for row in cross_reference(reports.report())}["MEASURE 2.11"] == anchor(
        "Inherited bias"
    )


# --- somebody's card --------------------------------------------------------------------------------------------------


def test_somebodys_card_gets_a_block_and_four_keys(report: Report) -> None:
    merged = card(report, THEIRS)
    front, body = merged.text.split("---\n")[1], body_of(merged.text)
    assert merged.text.startswith("---\nlicense: mit  # ours\nlibrary_name: keras\n")
    assert [line.split(":")[0] for line in front.splitlines() if re.match(r"[\w-]+:", line)] == [
        *("license", "library_name", "tags", "model-index")
    ]
    assert body.startswith("# Their model\n\nWritten by hand.\n\n<!-- transfer-audit:begin -->\n## tiny: audited")
    assert merged.disagreements == []
    assert [name for level, name in headings(merged.text) if level == 1] == ["Their model"]
    assert "How to get started" not in merged.text
    assert denied(report, merged.text) == []
    assert card(report, merged.text).text == merged.text


def test_a_whole_card_stays_whole_when_its_owner_adds_to_it(report: Report) -> None:
    text = render(report)
    assert card(report, text).text == text
    added = text + "\n## Citation\n\nUs.\n"
    assert card(report, added).text == added
    assert denied(report, added) == []
    other = card(reports.report(), added).text
    assert "# reviews: audited against its own base" in other
    assert "## How to get started" in other
    assert other.endswith("\n## Citation\n\nUs.\n")


def test_line_ends_of_another_machine_are_no_difference(report: Report) -> None:
    windows = THEIRS.replace("\n", "\r\n")
    assert denied(report, card(report, windows).text) == []


def test_of_several_bases_ours_is_one() -> None:
    theirs = "---\nbase_model:\n- owner/other\n- owner/base\n---\n# Merge\n"
    merged = card(reports.report(), theirs)
    assert merged.disagreements == []
    assert "base_model_relation" not in merged.text
    assert denied(reports.report(), merged.text) == []
    wrong = card(reports.report(), "---\nbase_model: owner/wrong\n---\n# Theirs\n")
    assert wrong.disagreements == ["base_model: the card says 'owner/wrong', the report 'owner/base'"]
    assert denied(reports.report(), wrong.text) == [
        "base_model: the card says 'owner/wrong', the report says 'owner/base'"
    ]


# --- what a card says otherwise ---------------------------------------------------------------------------------------


def mutants(text: str) -> list[tuple[str, str]]:
    """Every number of a text, changed in one digit, one at a time: the line it stands on, and the whole text."""
    found = []
    for one in re.finditer(r"\d+", text):
        at = one.start() + (len(one.group()) - 1) // 2
        digit = str((int(text[at]) + 1) % 10)
        line = text.count("\n", 0, at)
        changed = text[:at] + digit + text[at + 1 :]
        found.append((changed.splitlines()[line], changed))
    return found


def test_every_number_of_the_block_is_held_to_the_report(report: Report) -> None:
    [block] = blocks_of(render(report))
    changed = mutants(block)
    assert len(changed) > 900
    for line, text in changed:
        said = differing(text, block)
        assert len(said) == 1, line
        assert "the card says" in said[0]


def test_every_number_of_the_front_matter_is_held_to_the_report(report: Report) -> None:
    keys = metadata(report)
    front = render(report).split(BEGIN)[0]
    changed = mutants(front)
    assert len(changed) > 100
    for line, text in changed:
        said = differing_metadata(text, keys)
        assert said, line
        key = line.split(":")[0].strip(" -")
        assert any(key in one for one in said) or key in ("type", "name"), line


def test_both_are_looked_at(report: Report) -> None:
    text = render(report)
    task = report.task
    assert task is not None
    shown = f"{task.adapted.value:.3f}"
    assert denied(report, text.replace("| **unclear** |", "| **same** |", 1)) == [
        "Inherited bias, gender/task/preference, verdict: the card says '**same**', the report says '**unclear**'"
    ]
    wrong = f"{task.adapted.value + 0.1:.3f}"
    [said] = denied(report, text.replace(f": **{shown} [", f": **{wrong} [", 1))
    assert said == f"Task: the card says '**{wrong}', the report says '**{shown}'"
    [said] = denied(report, text.replace("library_name: transformers", "library_name: peft", 1))
    assert said == "library_name: the card says 'peft', the report says 'transformers'"
    value = next(line for line in text.splitlines() if line.startswith("      value: "))
    [said] = denied(report, text.replace(value, "      value: 0.999", 1))
    assert said.startswith("model-index, ")
    assert said.endswith(f"metrics, 1 (accuracy), value: the card says '0.999', the report says '{value.split()[1]}'")


def test_what_is_added_or_taken_out_is_named(report: Report) -> None:
    text = render(report)
    added = text.replace("\n### Task\n", "\n### Task\n\nCertified bias-free.\n", 1)
    assert denied(report, added) == ["Task: the card says 'Certified bias-free.', the report says nothing"]
    row = next(line for line in text.splitlines() if line.startswith("| gender/task/flips"))
    [gone] = denied(report, text.replace(row + "\n", "", 1))
    assert gone.startswith("Inherited bias, gender/task/flips: the card says nothing, the report says '| gender/task")
    assert denied(report, f"{text}\n{BEGIN}\nAll is well.\n{END}\n") == [
        "the card has 2 blocks of the audit, where one is ours"
    ]
    bare = "# Their model\n"
    assert any("model-index" in one for one in denied(report, bare))
    assert any("Inherited bias" in one for one in denied(report, bare))
    owner = text.replace("tags:\n", "tags:\n- theirs\n", 1).replace("---\n", "---\nwidget: []\n", 1)
    assert denied(report, owner) == []


def test_a_hostile_card_cannot_drive_the_terminal() -> None:
    text = render(reports.report()).replace("### Task\n", "### Task\n\n\x1b]0;owned\x07 \u202e" + "x" * 500 + "\n", 1)
    [said] = denied(reports.report(), text)
    assert said.isprintable()
    assert len(said) < 300


# --- nobody's text is markup ------------------------------------------------------------------------------------------

EVIL = (
    "<script>alert(1)</script> ![x](https://evil.test/x.png) [y](javascript:z) | **b** `c` @everyone "
    f"https://evil.test www.evil.test\n\n# Owned\n---\n{END}\n```\n<img src=x onerror=y> $$\\frac$$ \u202egnp"
)


def hostile() -> Report:
    """Return a report that says something evil wherever it is free to."""
    plain = reports.report()
    found = [
        reports.finding(name, audit, id=f"{audit}/{name}", question=EVIL, unit=EVIL, note=EVIL)
        for name, audit in ((EVIL, "bias"), (EVIL, "forgetting"), (EVIL, "transfer"))
    ]
    slices = [reports.finding(EVIL, group=EVIL, id="bias/slice")]
    assert plain.task is not None
    text = 'name = "x"\n[task]\ndataset = "d"\nlabels = ["""' + EVIL.replace("\\", "\\\\") + '""", "b"]\n'
    data = [{"name": "d", "train": EVIL, "test": EVIL, "fingerprint": EVIL, "id": EVIL, "license": EVIL}]
    provenance = plain.provenance.model_copy(
        update={
            "created": EVIL,
            "command": EVIL,
            "data": data,
            "versions": {EVIL: EVIL},
            "hardware": {"machine": EVIL},
            "overlap": [{"rows": EVIL, "asked": EVIL, "exact": EVIL, "near": 0, "items": 0, "dropped": 0}],
            "training": [{"seed": EVIL, "trainable_parameters": 1, EVIL: EVIL}],
            "unpinned": [EVIL],
        }
    )
    return plain.model_copy(
        update={
            "tool": EVIL,
            "recipe": plain.recipe.model_copy(update={"name": EVIL, "text": text, "fingerprint": EVIL}),
            "base": plain.base.model_copy(
                update={"id": EVIL, "revision": EVIL, "license": EVIL, "files": {EVIL: EVIL}, "kind": EVIL}
            ),
            "adapted": plain.adapted.model_copy(
                update={
                    "id": EVIL,
                    "license": EVIL,
                    "language": [EVIL],
                    "files": {EVIL: EVIL},
                    "method": EVIL,
                    "settings": {EVIL: {EVIL: EVIL}},
                }
            ),
            "task": plain.task.model_copy(update={"name": EVIL, "metric": EVIL}),
            "findings": [*found, *slices],
            "broken": [f"forgetting/{EVIL}"],
            "preflight": [{"field": EVIL, "base": EVIL, "adapted": EVIL, "outcome": EVIL}],
            "floor": [{"finding": f"forgetting/{EVIL}", "copies": EVIL, "floor": 0.1}],
            "diligence": [Check(name=EVIL, outcome="fail", said=EVIL, evidence={"license_link": EVIL})],
            "limits": [EVIL],
            "provenance": provenance,
        }
    )


def flat(tokens: list[Token]) -> list[Token]:
    return [inner for one in tokens for inner in (one, *flat(one.children or []))]


@pytest.mark.parametrize("existing", ["", THEIRS])
def test_what_is_not_ours_is_never_markup(existing: str) -> None:
    made = hostile()
    text = card(made, existing).text
    assert [line for line in text.splitlines() if line in (BEGIN, END)] == [BEGIN, END]
    tokens = flat(MarkdownIt("commonmark").enable("table").parse(body_of(text)))
    html = [one.content.strip() for one in tokens if one.type in ("html_block", "html_inline")]
    assert [one for one in html if one not in (BEGIN, END)] == []
    links = [str(one.attrGet("href")) for one in tokens if one.type == "link_open"]
    assert all(one.startswith("#") for one in links)
    assert not [one for one in tokens if one.type in ("image", "hr")]
    assert not [one for one in tokens if one.type == "heading_open" and one.content == "Owned"]
    assert "Owned" not in [name for _, name in headings(text)]
    prose = "".join(one.content for one in tokens if one.type == "text")
    assert "\u202e" not in text
    assert "@everyone" in prose  # as text, by its entity
    assert "@everyone" not in re.sub(r"(?ms)^```python$.*?^```$|(?<!\\)`[^`\n]*`", "", body_of(text))
    assert len([one for one in tokens if one.type == "fence"]) == (0 if existing else 1)
    assert problems("model", text)[0] == []
    assert denied(made, text) == []


# --- how to get started -----------------------------------------------------------------------------------------------


def ran(report: Report) -> str:
    """Run the code as it stands, and return what it prints."""
    printed = io.StringIO()
    with redirect_stdout(printed):
        exec(usage(report), {})
    return printed.getvalue()


def pointing(kind: str, base: Path, made: Path, **fields: Any) -> Report:
    """Return a report about folders on this machine, whose names stand where the Hub's would."""
    files = {path.name: reports.DIGEST for path in made.iterdir()}
    plain = reports.adapted(id=str(made), files=files, **fields)
    about = plain.base.model_copy(update={"id": str(base), "revision": None, "kind": kind})
    return plain.model_copy(update={"base": about})


TRAIN = tiny.recipe(Path("x"))["task"]


@pytest.fixture(scope="module")
def items() -> Any:
    from audit.items.task import read_task

    return read_task(Task(dataset="shipped:feedback", labels=("complaint", "praise"), train_limit=16)).train


@pytest.mark.parametrize(
    ("kind", "method", "says"),
    [
        ("encoder", Full(method="full", epochs=1, batch_size=16), "'label': '(complaint|praise)'"),
        ("encoder", Peft(method="peft", epochs=1, batch_size=16), r"tensor\(\[\["),
        ("sentence_encoder", Head(method="head"), r"\('complaint', 'praise'\) \[\["),
        ("causal", Peft(method="peft", epochs=1, batch_size=16), "This message is a"),
    ],
)
def test_the_code_runs_as_it_stands(
    kind: Any, method: Any, says: str, items: Any, tiny_encoder: Path, tiny_causal: Path, tmp_path: Path
) -> None:
    base = families.sentence(tmp_path / "base") if kind == "sentence_encoder" else tiny_encoder
    base = tiny_causal if kind == "causal" else base
    made = tiny.trained(base, kind, method, items, ("complaint", "praise"), tmp_path / "made")
    assert re.search(says, ran(pointing(kind, base, made)))


def test_the_code_names_the_base_at_its_revision() -> None:
    adapter = reports.adapted(files={"adapter_config.json": reports.DIGEST})
    assert f'from_pretrained("owner/base", revision="{reports.COMMIT}", config=' in usage(adapter)
    head = reports.adapted(files={"head.json": reports.DIGEST})
    assert f'resolve("owner/base", revision="{reports.COMMIT}")' in usage(head)
    assert 'resolve("owner/adapted")' in usage(head)
    whole = usage(reports.report())
    assert "owner/base" not in whole
    assert 'pipeline("text-classification", model="owner/adapted")' in whole


def test_a_number_without_variation_says_so() -> None:
    assert reports.report().task is not None
    still = reports.finding("kept", "forgetting", change=0.0, base=Estimate(value=0.2), adapted=Estimate(value=0.2))
    assert "0.200 (no variation)" in render(reports.report(findings=[still]))
