"""The gate: nothing unknown passes, a waiver holds until its day, and pipelines read what was decided."""

from __future__ import annotations

import json
import tomllib
from datetime import date
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from audit import relay
from audit.errors import InputError
from audit.finding import Decision, Estimate, Finding
from audit.gate import Policy, decided, junit, load_policy, sarif
from audit.publish.card import denied, render
from audit.recipe import parse_recipe, recipes_folder, shipped_recipes
from audit.report import Report, load_report
from audit.signoff import SignOff
from tests import tiny
from tests.test_cli import called

DAY = date(2026, 11, 22)
KEYS = ("[", "finding", "verdicts", "origins", "found", "reason", "by", "until")
SUBJECT = "bias/gender/templates/preference"


@pytest.fixture(scope="module")
def run(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gate") / "run"
    report, _ = relay.run(parse_recipe(tiny.recipe(tiny_encoder), "tiny.toml"), "# tiny", folder)
    findings = [undecided(one) if one.id == SUBJECT else one for one in report.findings]
    report.model_copy(update={"findings": findings}).save(folder / "report.json")
    return folder


def undecided(finding: Finding) -> Finding:
    """Give a finding numbers that decide nothing, whatever the tiny model says."""
    wide = Estimate(value=0.01, low=-0.03, high=0.05)
    decision = Decision(same=(-0.02, 0.04), beyond=(-0.025, 0.045))
    base = Estimate(value=0.0, low=-0.01, high=0.01)
    numbers = {"base": base, "adapted": wide, "change": wide, "decision": decision, "margin": 0.02, "floor": None}
    return Finding.model_validate(finding.model_copy(update=numbers).model_dump(exclude={"verdict"}))


def policy(**table: Any) -> Policy:
    return Policy.model_validate({"name": "ours", **table})


def rulings(report: Report, asked: Policy, day: date = DAY) -> dict[str, tuple[str, str]]:
    return {one.subject: (one.outcome, one.said) for one in decided(report, asked, "", day).rulings}


def test_by_default_only_same_and_better_pass(run: Path) -> None:
    report = load_report(run)
    found = rulings(report, load_policy()[0])
    declared = [one for one in report.findings if one.group is None]
    for one in declared:
        passes = one.verdict in ("same", "better") or one.audit == "gap"
        assert found[one.id][0] == ("pass" if passes else "fail"), one.id
    assert {one.verdict for one in declared} >= {"worse", "unclear"}
    assert not [one.id for one in report.findings if one.group is not None and one.id in found]


def test_what_was_not_measured_does_not_pass(run: Path) -> None:
    report = load_report(run)
    assert rulings(report, policy(measured=["transfer"]))["measured/transfer"] == (
        "fail",
        "it must be measured: declare [audit.transfer] in the recipe and run it again",
    )
    assert rulings(report, policy(measured=["bias"]))["measured/bias"][0] == "pass"
    empty = report.model_copy(update={"findings": [], "flips": [], "diligence": [], "broken": []})
    nothing = decided(empty, policy(task="any", diligence=[]), "", DAY)
    assert not nothing.passed
    assert "asks nothing" in nothing.said


def test_a_licence_that_nobody_names_is_not_allowed(run: Path) -> None:
    report = load_report(run)
    assert report.base.license is None
    asked = policy(licenses=["mit"])
    assert rulings(report, asked)["licence/base"][0] == "fail"
    named = report.model_copy(update={"base": report.base.model_copy(update={"license": "mit"})})
    assert rulings(named, asked)["licence/base"][0] == "pass"
    assert rulings(named, asked)["licence/adapted"][0] == "pass"  # the base's, taken over
    adapted = named.model_copy(update={"adapted": named.adapted.model_copy(update={"license": "other"})})
    assert rulings(adapted, asked)["licence/adapted"][0] == "fail"


def test_an_origin_that_was_not_attributed_does_not_pass_where_origins_are_asked(run: Path) -> None:
    report = load_report(run)
    every = ["same", "better", "worse", "unclear"]
    asked = policy(rule=[{"verdicts": every}, {"finding": "bias/*", "verdicts": every, "origins": ["none"]}])
    found = rulings(report, asked)
    mine = [one for one in report.findings if one.audit == "bias" and one.group is None]
    assert mine
    for one in mine:
        assert found[one.id][0] == "fail"
        assert "origin = true" in found[one.id][1]


def test_the_last_rule_that_names_a_finding_decides(run: Path) -> None:
    report = load_report(run)
    every = {"finding": "bias/*", "verdicts": ["same", "better", "worse", "unclear"]}
    none = {"finding": "bias/gender/templates/p*", "verdicts": ["better"]}
    assert rulings(report, policy(rule=[none, every]))[SUBJECT][0] == "pass"
    assert rulings(report, policy(rule=[every, none]))[SUBJECT][0] == "fail"


def test_slices_are_ruled_where_a_rule_says_so(run: Path) -> None:
    report = load_report(run)
    slices = [one for one in report.findings if one.group is not None]
    assert slices
    asked = policy(rule=[{"finding": "*", "slices": True, "verdicts": ["same"]}])
    found = rulings(report, asked)
    assert all((found[one.id][0] == "pass") == (one.verdict == "same") for one in slices)


def waived(until: str, **more: Any) -> Policy:
    waiver = {
        "finding": SUBJECT,
        "found": "unclear",
        "reason": "It only classifies.",
        "by": "A. Reviewer",
        "until": date.fromisoformat(until),
    }
    return policy(waiver=[waiver], **more)


def test_a_waiver_holds_on_its_last_day_and_not_after(run: Path) -> None:
    report = load_report(run)
    assert rulings(report, policy())[SUBJECT][0] == "fail"
    assert rulings(report, waived("2026-11-22"))[SUBJECT][0] == "waived"
    outcome, said = rulings(report, waived("2026-11-21"))[SUBJECT]
    assert outcome == "fail"
    assert said.endswith("its waiver ended on 2026-11-21")


def test_what_the_policy_lets_nobody_waive_is_not_waived(run: Path) -> None:
    asked = waived("2027-01-01", rule=[{"verdicts": ["same", "better"], "waivable": False}])
    assert rulings(load_report(run), asked)[SUBJECT][0] == "fail"


def test_a_waiver_that_nothing_needs_is_named(run: Path) -> None:
    every = [{"verdicts": ["same", "better", "worse", "unclear"]}]
    assert [one.finding for one in decided(load_report(run), waived("2027-01-01", rule=every), "", DAY).unused] == [
        SUBJECT
    ]


def test_a_broken_probe_stops_it(run: Path) -> None:
    report = load_report(run)
    without = [one for one in report.findings if one.id != SUBJECT]
    broken = report.model_copy(update={"findings": without, "broken": [SUBJECT]})
    every = [{"verdicts": ["same", "better", "worse", "unclear"]}]
    found = decided(broken, policy(rule=every, task="any"), "", DAY)
    assert [one.subject for one in found.rulings if one.outcome == "fail"] == [SUBJECT]


def test_a_broken_probe_is_waived_only_where_its_rule_lets_it(run: Path) -> None:
    report = load_report(run)
    without = [one for one in report.findings if one.id != SUBJECT]
    broken = report.model_copy(update={"findings": without, "broken": [SUBJECT]})
    waiver = {"finding": SUBJECT, "found": "broken", "reason": "r", "by": "b", "until": DAY}
    assert rulings(broken, policy(waiver=[waiver]))[SUBJECT][0] == "waived"
    strict = [{"verdicts": ["same"], "waivable": False}]
    assert rulings(broken, policy(waiver=[waiver], rule=strict))[SUBJECT][0] == "fail"


def test_a_waiver_is_of_what_was_found_and_of_nothing_worse(run: Path) -> None:
    waiver = {"finding": SUBJECT, "found": "same", "reason": "r", "by": "b", "until": DAY}
    outcome, said = rulings(load_report(run), policy(waiver=[waiver]))[SUBJECT]
    assert (outcome, said.endswith("its waiver is of 'same'")) == ("fail", True)
    with pytest.raises(ValueError, match="at least 1 character"):
        policy(waiver=[waiver | {"by": " "}])


def test_a_waiver_runs_for_a_year_at_most(run: Path) -> None:
    report = load_report(run)
    assert rulings(report, waived("2027-11-23"))[SUBJECT][0] == "waived"
    outcome, said = rulings(report, waived("2027-11-24"))[SUBJECT]
    assert outcome == "fail"
    assert "a year at most" in said


def test_a_base_that_nobody_looked_up_and_a_task_that_is_not_surely_learnt_do_not_pass(run: Path) -> None:
    report = load_report(run)
    assert report.task is not None
    found = rulings(report.model_copy(update={"diligence": []}), policy())
    assert found["diligence/looked up"][0] == "fail"
    assert rulings(report.model_copy(update={"task": None}), policy())["task"][0] == "fail"
    majority = next(one.task for one in report.arms if one.name == "majority_class")
    assert majority is not None
    for low, outcome in ((majority - 0.01, "fail"), (majority + 0.01, "pass")):
        value = report.task.adapted.model_copy(update={"value": low + 0.1, "low": low, "high": low + 0.2})
        task = report.task.model_copy(update={"adapted": value})
        assert rulings(report.model_copy(update={"task": task}), policy())["task"][0] == outcome
    assert "task" not in rulings(report, policy(task="any"))


def test_a_rule_that_names_nothing_is_named(run: Path) -> None:
    asked = policy(rule=[{"finding": "Bias/*", "verdicts": ["same"]}, {"finding": "bias/*", "verdicts": ["same"]}])
    assert decided(load_report(run), asked, "", DAY).idle == ["Bias/*"]


def test_a_report_by_its_file_and_what_was_published_are_not_signed(run: Path, tmp_path: Path) -> None:
    report = load_report(run).model_copy(update={"sign_off": None})
    for name in ("other.json", "report.json"):
        report.save(tmp_path / name)
    before = (tmp_path / "report.json").read_bytes()
    called("gate", str(tmp_path / "other.json"))
    (tmp_path / "manifest.json").write_text("{}")
    called("gate", str(tmp_path))
    assert (tmp_path / "report.json").read_bytes() == before
    assert load_report(tmp_path / "other.json").sign_off is None


def test_a_sign_off_that_the_findings_deny_is_refused(run: Path, tmp_path: Path) -> None:
    report = load_report(run)
    signed = report.model_copy(update={"sign_off": decided(report, policy(), "", DAY)})
    signed.save(tmp_path / "report.json")
    assert load_report(tmp_path).sign_off == signed.sign_off
    table = json.loads((tmp_path / "report.json").read_text())
    next(one for one in table["sign_off"]["rulings"] if one["subject"] == SUBJECT).update(
        found="same", outcome="pass", said=""
    )
    (tmp_path / "report.json").write_text(json.dumps(table))
    with pytest.raises(InputError, match=rf"the sign-off has '{SUBJECT}' as 'same', the finding says 'unclear'"):
        load_report(tmp_path)
    with pytest.raises(ValueError, match="had ended when it was used"):
        SignOff.model_validate(
            decided(report, waived("2026-11-22"), "", DAY).model_dump() | {"decided": date(2026, 11, 23)}
        )


def test_pipelines_read_what_was_decided(run: Path) -> None:
    report = load_report(run)
    found = decided(report, waived("2027-01-01"), "", DAY)
    suite = ElementTree.fromstring(junit(found))
    counted = {outcome: sum(one.outcome == outcome for one in found.rulings) for outcome in ("fail", "waived")}
    assert (suite.get("failures"), suite.get("skipped")) == (str(counted["fail"]), str(counted["waived"]))
    assert len(suite.findall("testcase/failure")) == counted["fail"] > 0
    assert len(suite.findall("testcase/skipped")) == counted["waived"] == 1
    log = sarif(found, report.tool)
    [told] = log["runs"]
    failed = [one["ruleId"] for one in told["results"] if one["kind"] == "fail"]
    assert failed == [one.subject for one in found.rulings if one.outcome == "fail"]
    assert told["tool"]["driver"]["rules"][told["results"][-1]["ruleIndex"]]["id"] == told["results"][-1]["ruleId"]
    [suppressed] = [one for one in told["results"] if "suppressions" in one]
    assert "A. Reviewer" in suppressed["suppressions"][0]["justification"]


def test_the_command_stops_a_pipeline_and_writes_the_sign_off(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [tmp_path / "gate.xml", tmp_path / "gate.sarif"]
    assert called("gate", str(run), "--junit", str(files[0]), "--sarif", str(files[1])) == 1
    assert "The policy default stops it: " in capsys.readouterr().out
    assert all(one.stat().st_size for one in files)
    assert load_report(run).sign_off is not None
    lenient = tmp_path / "lenient.toml"
    lenient.write_text(
        'name = "lenient"\ntask = "any"\ndiligence = []\n[[rule]]\nverdicts = ["same", "better", "worse", "unclear"]\n'
    )
    assert called("gate", str(run), "--policy", str(lenient), "--json") == 0
    assert json.loads(capsys.readouterr().out)["passed"] is True
    signed = load_report(run).sign_off
    assert signed is not None
    assert signed.policy == "lenient"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "the key 'name' is missing"),
        ("name = 'a'\nlicences = []", "no such key 'licences'; choose from name, measured, task"),
        ("name = 'a'\nmeasured = ['bais']", "measured"),
        (
            "name = 'a'\n[[rule]]\nverdicts = ['fine']",
            r"\[\[rule\]\] 1: verdicts.*'fine' is none of worse, same, better",
        ),
        ("name = 'a'\n[[rule]]\nverdict = ['same']", r"\[\[rule\]\] 1: "),
        (
            "name = 'a'\n[[waiver]]\nfinding = 'x'\nfound = 'worse'\nreason = 'y'\nby = 'z'\nuntil = 'soon'",
            r"1: until = 'soon': write a day",
        ),
        (
            "name = 'a'\n[[waiver]]\nfinding = 'x'\nfound = 'worse'\nreason = ''\nby = 'z'\nuntil = 2027-01-01",
            r"\[\[waiver\]\] 1: reason",
        ),
        ("name = 'a'\nname", "cannot be read as TOML"),
    ],
)
def test_a_mistake_in_a_policy_is_one_line(text: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "policy.toml"
    file.write_text(text)
    with pytest.raises(InputError, match=said) as refused:
        load_policy(file)
    assert "\n" not in str(refused.value)
    assert "policy.toml" in str(refused.value)


def test_the_shipped_policy_is_no_recipe_and_its_comments_are_policies_too() -> None:
    file = recipes_folder() / "policy_default.toml"
    assert "policy_default" not in shipped_recipes()
    lines = file.read_text().splitlines()
    spoken = [one[2:] if one.startswith(tuple(f"# {key}" for key in KEYS)) else one for one in lines]
    table = tomllib.loads("\n".join(spoken))
    whole = Policy.model_validate(table)
    assert whole.waiver[0].finding == "forgetting/neighbours"
    assert len(whole.rule) == 3


def test_the_action_types_commands_that_exist_and_passes_inputs_as_variables() -> None:
    import yaml  # type: ignore[import-untyped]
    from typer.main import get_command

    from audit.cli import app

    file = Path(__file__).parents[1] / ".github" / "actions" / "audit" / "action.yml"
    action = yaml.safe_load(file.read_text())
    commands: Any = get_command(app)
    for step in action["runs"]["steps"]:
        assert "${{" not in step["run"]
        for line in step["run"].splitlines():
            if "transfer-audit " in line:
                words = line.split("transfer-audit ")[1].split()
                known = {one for each in commands.commands[words[0]].params for one in each.opts}
                assert {one.partition("=")[0] for one in words if one.startswith("--")} <= known, line


def test_the_card_shows_who_waived_what(run: Path) -> None:
    report = load_report(run).model_copy(update={"sign_off": None})
    assert "No policy was held against this report." in render(report)
    table = waived("2027-01-01").model_dump()
    table["waiver"][0]["reason"] = "<b>It</b> only | classifies."
    signed = report.model_copy(update={"sign_off": decided(report, Policy.model_validate(table), "", DAY)})
    text = render(signed)
    assert "**waived** by A. Reviewer until 2027-01-01: " in text
    assert "<b>" not in text
    assert "**does not pass**" in text
    assert denied(signed, text) == []
    assert denied(report, text)
