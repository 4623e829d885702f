"""Every section of the page shows what the report holds, and says of what there is nothing that there is nothing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from audit.diligence import Check
from audit.finding import Decision, Estimate, Finding
from audit.origin import Decomposition, Part
from audit.publish import page
from audit.report import AdaptedModel, Arm, BaseModelRecord, Provenance, RecipeRecord, Report, Task
from audit.retention import Flips, Strength
from audit.savings import Curve, Needed, Point, Saving, Texts
from audit.scale import Scale

SHA = "0123456789abcdef0123456789abcdef01234567"


def around(value: float, half: float) -> Estimate:
    """Make an estimate with an interval of this half width."""
    return Estimate(value=value, low=value - half, high=value + half)


def finding(name: str, before: float = 0.2, change: float = 0.0, half: float = 0.02, **more: Any) -> Finding:
    """Make a finding whose intervals are the estimates plus and minus ``half``, those that decide .8 of that."""
    audit, rest = name.split("/", 1)
    group = more.pop("group", None)
    values = {"base": before, "adapted": before + change, "change": change}
    sides = {side: around(value, half) for side, value in values.items()}
    inner = (change - 0.8 * half, change + 0.8 * half)
    given: dict[str, Any] = {
        **{"id": f"{name}/{group}" if group else name, "audit": audit, "name": rest, "group": group, "family": audit},
        **{"question": f"how much of {rest}", "unit": "share", "adjustment": "none", "margin": 0.05, "items": "same"},
        **{"method": "student-t over cluster means", "decision": Decision(same=inner, beyond=inner)},
        **{"n_items": 100, "n_clusters": 100},
        **sides,
    }
    return Finding(**{**given, **more})


def position(name: str, value: float, half: float = 0.03) -> Finding:
    """Make a finding of the gap."""
    at = (value - 0.8 * half, value + 0.8 * half)
    given = {"base": None, "change": None, "adapted": around(value, half), "decision": Decision(same=at, beyond=at)}
    inner = finding(name).model_dump(mode="json", exclude={"verdict"})
    return Finding.model_validate({**inner, **given})


def decomposition(name: str, floor: float, silent: float, adapted: float, base: float, capable: bool) -> Decomposition:
    """Make a decomposition of these arms; what is between them follows."""
    values = {"floor": floor, "silent": silent, "adapted": adapted, "base": base, "random": floor}
    values |= {"inherited": silent - floor, "introduced": adapted - silent, "change": adapted - base}
    parts: dict[str, Any] = {arm: part(value) for arm, value in values.items()}
    share = 0.9 if capable else 0.5
    return Decomposition(
        **parts,
        finding=name,
        margin=0.05,
        alpha=0.05,
        seeds=[0, 1, 2],
        n_clusters=80,
        adjustment="none",
        susceptibility=None,
        accuracy=dict.fromkeys(("adapted", "silent", "floor", "random"), share),
        majority=0.5,
        detectable=0.1,
    )


def part(value: float) -> Part:
    bounds = (value - 0.01, value + 0.01)
    return Part(
        estimate=Estimate(value=value, low=value - 0.012, high=value + 0.012),
        decision=Decision(same=bounds, beyond=bounds),
    )


def report(findings: Sequence[Finding] = (), **more: Any) -> Report:
    """Make a report of these findings; all else is as little as there can be."""
    given: dict[str, Any] = {
        "tool": "transfer-audit 0",
        "recipe": RecipeRecord(name="planted", fingerprint="f" * 64, text='name = "planted"'),
        "base": BaseModelRecord(id="org/base", revision=SHA, kind="encoder", license="mit", files={"model": "0" * 64}),
        "adapted": AdaptedModel(id="org/new", method="full", trainable_parameters=7, seeds=[0], files={}),
        "task": None,
        "findings": list(findings),
        "provenance": Provenance(
            created="2026-01-01", command="transfer-audit run x", seeds=[0], versions={}, hardware={}, data=[]
        ),
    }
    return Report(**{**given, **more})


def saved(folder: Path, made: Report, **tables: list[dict[str, Any]]) -> Path:
    """Write a report and the tables beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    made.save(folder / "report.json")
    for name, rows in tables.items():
        path = folder / ("evidence/task.parquet" if name == "task" else f"{name}.parquet")
        path.parent.mkdir(exist_ok=True)
        pd.DataFrame(rows).to_parquet(path, index=False)
    return folder


def whole(text: str = "a text", name: str = "planted") -> Report:
    """Make a report that has something in every section; ``text`` stands wherever text is not our own."""
    scale = Scale(
        name="tokens", question=text, unit="nats", null=0, measured=Estimate(value=0.5, low=0.4, high=0.6), ceiling=1
    )
    gap = position("gap/tokens", 0.5)
    bias = finding("bias/preference", before=0.31, change=0.2, ideal=0, origin="amplified", note=text)
    lost = finding("forgetting/next_token", change=0.2, p=0.001)
    kept = finding("forgetting/passages", change=0.01, half=0.008, p=0.01)
    helps = finding("transfer/random_init", before=0.5, change=-0.2)
    some = [bias, finding("bias/flips", change=0.06), finding("bias/flips", change=0.1, group=text)]
    error = {n: Estimate(value=1 / n, low=0.9 / n, high=1.1 / n) for n in (8, 16, 64)}
    flat = Estimate(value=0.1)
    return report(
        [*some, gap, lost, kept, helps],
        recipe=RecipeRecord(name=name, fingerprint="f" * 64, text=f"# {text}"),
        task=Task(
            name=text, metric="accuracy", better="higher",
            base=around(0.6, 0.1), adapted=around(0.8, 0.1), change=around(0.2, 0.1),
        ),
        arms=[Arm(name="majority_class", seed=None, sha256=None, task=0.5)],
        preflight=[{"field": "dtype", "base": text, "adapted": "float32", "outcome": "explained by adaptation"}],
        scales=[scale, scale.model_copy(update={"name": "fit/probe"})],
        decompositions=[decomposition("bias/preference", 0.02, 0.3, 0.51, 0.31, capable=True)],
        curves=[Curve(arm="base", how="probe", points=[Point(n=n, error=one) for n, one in error.items()])],
        savings=[
            Saving(
                control="random_init", how="probe", n=8, smallest=8, largest=64, texts=Texts(n=16),
                texts_low=Texts(n=12), texts_high=Texts(n=64, only="at least"),
            )
        ],
        needed=[
            Needed(
                arm="base", how="probe", target=0.08, smallest=8, largest=64, texts=Texts(n=12),
                texts_low=Texts(n=10), texts_high=Texts(n=64, only="at least"),
            )
        ],
        broken=["forgetting/masked_text"],
        flips=[Flips(finding="forgetting/next_token", n=100, both=60, lost=25, gained=5, neither=10)],
        curve=[
            Strength(alpha=0, task=flat, gain=Estimate(value=0.0), findings=[kept]),
            Strength(alpha=1, task=flat, gain=flat, findings=[lost, kept]),
        ],
        diligence=[Check(name="licence", outcome="unknown", said=text, evidence={"card": [text]})],
        limits=[text],
    )  # fmt: skip


def tables(text: str | None = None) -> dict[str, list[dict[str, Any]]]:
    """Make the tables beside it: two items of the task, of which one flipped; one of forgetting; one that moved."""
    told = {} if text is None else {"text": text}
    keys = {"item_id": "i1", "cluster": "c1", **told}
    task = [
        {**keys, "item_id": item, "arm": arm, "seed": 0, "question": "task/accuracy", "value": value}
        for item, arm, value in (
            ("t1", "base", 1.0),
            ("t1", "adapted", 0.0),
            ("t2", "base", 1.0),
            ("t2", "adapted", 1.0),
        )
    ]
    made: dict[str, list[dict[str, Any]]] = {
        "task": task,
        "flipped": [{"question": "forgetting/next_token", **keys, "outcome": "gained"}],
        "moved": [
            {"question": "bias/preference", **keys, "base": 0.1, "adapted": -0.3, "change": -0.4},
            {"question": "bias/preference", **keys, "base": 0.1, "adapted": 0.1, "change": 0.0},
        ],
    }
    if text is None:
        return made
    words = {"kind": "word", "side": "task", "value": text, "item_id": "", "score": 3.2, "n": 9}
    return {**made, "drivers": [words, {**words, "kind": "text", "side": "reference", "item_id": text, "score": 0.9}]}


# --- every section ----------------------------------------------------------------------------------------------------


@pytest.fixture
def shown(tmp_path: Path) -> page.Shown:
    return page.read(saved(tmp_path / "run", whole(), **tables("a text")))


def test_the_heading_says_what_was_compared_at_which_revision(shown: page.Shown) -> None:
    said = page.heading(shown)
    assert "5 declared findings of change: 2 worse, 1 same, 1 better, 1 unclear; the task lies outside" in said
    assert "domain by 1 of 1 measures; 1 probe that the base answers the adapted model does not." in said
    assert "Domain gap (worse: outside the domain)" in said
    assert f"https://huggingface.co/org/base/tree/{SHA}" in said
    assert "0.800 [0.700, 0.900]" in said
    assert "org/new" in said


def test_findings_are_filtered_by_audit_verdict_and_search(shown: page.Shown) -> None:
    def names(said: str) -> int:
        return said.count("class='ta-row'")

    assert names(page.findings(shown)) == 6  # slices are exploratory: they are drilled into
    assert names(page.findings(shown, audit="forgetting")) == 2
    assert names(page.findings(shown, audit="forgetting", verdict="worse")) == 1
    assert names(page.findings(shown, search="NEXT_token")) == 1
    assert "None of 6 declared findings" in page.findings(shown, search="no such thing")
    assert "detectable but within the margin" in page.findings(shown)
    assert "25 of 100 lost, 5 gained" in page.findings(shown, search="next_token")
    assert names(page.drill(shown)) == names(page.drill(shown, audit="bias", probe="flips", group="a text")) == 1
    assert "No such slice" in page.drill(shown, group="b")
    assert page.choices(shown) == {"audit": ["bias"], "probe": ["flips"], "group": ["a text"]}


def test_items_stand_side_by_side_and_are_searched(shown: page.Shown) -> None:
    rows = page.item_rows(shown)
    assert [(row["finding"], row["item"], row["outcome"], row["base"], row["adapted"]) for row in rows] == [
        ("task/accuracy", "t1", "lost", "right", "wrong"),
        ("forgetting/next_token", "i1", "gained", "wrong", "right"),
        ("bias/preference", "i1", "moved", 0.1, -0.3),
    ]
    assert page.questions(shown) == ["task/accuracy", "forgetting/next_token", "bias/preference"]
    for search, outcome, count in (("", None, 3), ("T1", None, 1), ("a TEXT", None, 3), ("", "moved", 1)):
        assert page.flips(shown, search, outcome=outcome)[1] == count
    html, count = page.flips(shown, question="task/accuracy")
    assert count == 1
    assert "t1" in html
    assert "i1" not in html


def test_items_come_in_pages(tmp_path: Path) -> None:
    rows = [{"question": "forgetting/x", "item_id": f"i{n:03}", "cluster": "c", "outcome": "lost"} for n in range(120)]
    shown = page.read(saved(tmp_path, report([finding("forgetting/x")]), flipped=rows))
    last, count = page.flips(shown, page=3)
    assert count == 120
    assert "101 to 120 of 120" in last
    assert last.count("<code>") == 120 - 2 * page.PAGE
    assert page.flips(shown, page=99)[0] == last
    assert "Texts were not published" in last


def test_every_other_section_shows_its_own(shown: page.Shown) -> None:
    for section, pieces in (
        (page.gap, ("same domain", "unrelated", "What the base's features tell", "z of its log-odds", "+3.200")),
        (
            page.curves,
            ("Strength", "+0.200 [+0.180, +0.220]", "lost", "2.0x (1.5 to &gt; 8.0)", "12 (10 to at least 64)"),
        ),
        (page.diligence, ("licence", "unknown", "no legal advice")),
        (page.reproduce, ("transfer-audit run x", "f" * 64, "model", "# a text")),
        (page.limits, ("<bdi>a text</bdi>", "How to read a verdict")),
        (page.downloads, ('href="./report.json"', 'href="./evidence/task.parquet"', 'href="./drivers.parquet"')),
        (page.origins, ("amplified", "inherited", "introduced", "+0.280", "+0.210")),
    ):
        said = section(shown)
        for piece in pieces:
            assert piece in said, (section.__name__, piece)


def test_rows_for_the_api_are_flat(shown: page.Shown) -> None:
    rows = page.finding_rows(shown)
    assert len(rows) == 7
    first = rows[0]
    assert (first["id"], first["verdict"], first["word"], first["base"]) == ("bias/preference", "worse", "worse", 0.31)
    assert all(isinstance(value, str | int | float | None) for row in rows for value in row.values())
    json.dumps(page.item_rows(shown))
