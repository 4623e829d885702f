"""Publishing: looked at, planned, shown, done; nothing that is there is damaged, and nothing is done twice."""

from __future__ import annotations

import difflib
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from audit.cli.hub import publish
from audit.diligence import Check
from audit.errors import InputError, Unavailable
from audit.publish.bundle.contents import Bundle
from audit.publish.card.merge import BEGIN, END, Merged
from audit.publish.hub import plan as planning
from audit.publish.hub.apply import applied
from audit.publish.hub.plan import planned
from audit.publish.hub.preview import shown, told
from audit.report import Report
from tests import bundled
from tests.hub import Hub
from tests.test_merge import CARDS, outside

WRITES = ("POST", "PUT", "DELETE", "PATCH")


@pytest.fixture
def run(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder of a small run whose base is on the Hub; what would be published of it is a stand-in."""
    bundled.stand_in(monkeypatch)
    hub.add("crew/base", {"README.md": "---\nlicense: mit\n---\n"})
    return bundled.run(tmp_path / "run")


def published(run: Path, to: str = "tester/m", **options: Any) -> list[str]:
    return applied(planned(run, to, **options))


def writes(hub: Hub) -> list[str]:
    return [one.path for one in hub.requests if one.method in WRITES and one.path != "/api/validate-yaml"]


# --- what is refused before anything ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("to", "said"),
    [
        ("m", "--to m: say owner/name"),
        ("a/b/c", "--to a/b/c: not a name that the Hub allows"),
        ("tester/m--x", "--to tester/m--x: not a name that the Hub allows"),
        ("tester/ü", "--to tester/ü: not a name that the Hub allows"),
        ("tester/" + "m" * 95, "not a name that the Hub allows"),
        ("else/m", "tester may not write under 'else': publish --to one of tester, crew"),
    ],
)
def test_a_name_that_cannot_be_had(hub: Hub, run: Path, to: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        planned(run, to)
    assert said in str(caught.value)
    assert writes(hub) == []


def test_no_token_or_one_that_may_not_write(hub: Hub, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="the token of reader may only read: make one that may write"):
        planned(run, "reader/m", token=hub.account("reader", role="read"))
    with pytest.raises(InputError, match=r"tester/m: the Hub does not accept the token \(401\)") as caught:
        planned(run, "tester/m", token="hf_wrongwrongwrong")
    assert "hf_wrong" not in str(caught.value)
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(InputError, match="no token of the Hub: log in with `hf auth login`, or set HF_TOKEN"):
        planned(run, "tester/m")
    assert writes(hub) == []


def test_what_is_no_run(hub: Hub, run: Path, tmp_path: Path) -> None:
    for folder, said in ((tmp_path / "none", "not the folder of a run"), (run / "report.json", "not the folder of")):
        with pytest.raises(InputError, match=said):
            planned(folder, "tester/m")
    with pytest.raises(InputError, match="--space docker: choose from static, gradio, zero-a10g, none"):
        planned(run, "tester/m", space="docker")
    (run / "report.json").write_text((run / "report.json").read_text().replace('"worse"', '"same"'))
    with pytest.raises(InputError, match="says 'same', but its numbers say 'worse'"):
        planned(run, "tester/m")
    assert hub.requests == []


def test_a_report_that_may_not_be_published(hub: Hub, run: Path, tmp_path: Path) -> None:
    known = bundled.report().provenance
    loose = known.model_copy(update={"unpinned": ["base crew/base", "[task] dataset crew/texts"]})
    refused = bundled.run(tmp_path / "loose", bundled.report(provenance=loose))
    with pytest.raises(InputError, match=r"without a commit of base crew/base, \[task\].*`transfer-audit pin RECIPE"):
        planned(refused, "tester/m")
    conflict = Check(name="derivative", outcome="fail", said="cc-by-nc-4.0 forbids what mit allows")
    refused = bundled.run(tmp_path / "conflict", bundled.report(diligence=[conflict]))
    with pytest.raises(InputError, match=r"cc-by-nc-4\.0 forbids what mit allows; settle the licence"):
        planned(refused, "tester/m")
    assert hub.requests == []


def test_what_is_open_is_said_once(hub: Hub, run: Path) -> None:
    open_ones = [
        Check(name="derivative", outcome="unknown", said="unknown: the base names no licence"),
        Check(name="scan", outcome="fail", said="a pickle runs code"),
    ]
    bundled.run(run, bundled.report(diligence=open_ones))
    assert planned(run, "tester/m").warnings == (
        "diligence, derivative: unknown: the base names no licence",
        "diligence, scan: fail: a pickle runs code",
    )


def test_somebody_elses_repositories_are_not_taken(hub: Hub, run: Path) -> None:
    hub.add("tester/m-audit", {"rows.csv": "a,b\n"}, "dataset")
    with pytest.raises(
        InputError, match=r"the data set tester/m-audit is on the Hub already and no audit: it holds ro"
    ):
        planned(run, "tester/m")
    hub.add("crew/l-audit", {"rows.csv": "a,b\n", "manifest.json": '{"rows": 1}'}, "dataset")
    with pytest.raises(InputError, match="the data set crew/l-audit is on the Hub already and no audit"):
        planned(run, "crew/l")
    hub.add("crew/m-audit", {"README.md": "---\nsdk: docker\n---\n"}, "space", sdk="docker")
    with pytest.raises(
        InputError, match="crew/m-audit is on the Hub already and no audit: it runs on docker; use --sp"
    ):
        planned(run, "crew/m")
    hub.add("crew/n-audit", {"README.md": "---\nsdk: gradio\n---\n", "app.py": "pass"}, "space", sdk="gradio")
    with pytest.raises(
        InputError, match=r"the Space crew/n-audit is on the Hub already and no audit: it holds app\.py"
    ):
        planned(run, "crew/n")
    assert [one.target for one in planned(run, "crew/n", space="none").actions if one.kind == "commit"] == [
        "the data set crew/n-audit",
        "the model crew/n",
    ]
    hub.repos["model", "tester/old"] = hub.add("tester/old")
    hub.moved["model", "tester/old"] = "tester/new"
    hub.add("tester/new")
    with pytest.raises(InputError, match="tester/old: is called tester/new on the Hub now; publish --to that name"):
        planned(run, "tester/old")
    assert writes(hub) == []


def test_a_card_that_cannot_be_patched_or_that_the_hub_would_refuse(
    hub: Hub, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo = hub.add("tester/m", {"README.md": b"\xff\xfe"})
    with pytest.raises(InputError, match=r"README\.md of the model tester/m is not UTF-8"):
        planned(run, "tester/m")
    hub.commit("tester/m", {"README.md": f"# Card\n{BEGIN}\n"})
    with pytest.raises(InputError, match="a marker without its other half"):
        planned(run, "tester/m")
    hub.commit("tester/m", {"README.md": "---\nlicense: my own\n---\n"})
    with pytest.raises(
        InputError, match=r'README\.md of the model tester/m: the Hub would refuse it: "license" must be'
    ):
        planned(run, "tester/m")
    assert len(repo.commits) == 3
    assert writes(hub) == []


def test_a_card_or_a_space_with_an_address_in_it_is_refused(
    hub: Hub, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = bundled.report().recipe.model_copy(update={"name": "of jane.doe@example.com"})
    bundled.run(run, bundled.report(recipe=told))
    with pytest.raises(InputError, match=r"the card would publish .*e-mail"):
        planned(run, "tester/m")
    bundled.run(run)
    page = {"README.md": b"---\nsdk: static\n---\n", "index.html": b"<a href='mailto:jane.doe@example.com'>"}
    monkeypatch.setattr(planning, "space_files", lambda runs, **_: page)
    with pytest.raises(InputError, match=r"the Space's index\.html would publish .*e-mail"):
        planned(run, "tester/m")
    assert writes(hub) == []


# --- what is shown ----------------------------------------------------------------------------------------------------


def test_the_preview_shows_every_action_and_every_file_and_writes_nothing(
    hub: Hub, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.add("tester/m", {"README.md": "# Mine \x1b[31m\n\nWords.\n", "config.json": '{"model_type": "gpt2"}\n'})
    publish(run, "tester/m")
    said = capsys.readouterr().out
    assert said.startswith(f"{run} -> tester/m (public); evidence: values (numbers under salted ids, no texts)\n")
    assert [line[5:] for line in said.splitlines() if line[:5].strip(" 0123456789") == "."] == [
        "create the data set tester/m-audit, public",
        "commit 4 files to the data set tester/m-audit",
        "tag the data set tester/m-audit as audit-" + tag(run),
        "commit 5 files to the model tester/m",
        "tag the model tester/m as audit-" + tag(run),
        "create the Space tester/m-audit (static), public",
        "commit 4 files to the Space tester/m-audit",
        "create the collection 'm: audited' of tester, public",
        "add the model crew/base to the collection 'm: audited' of tester",
        "add the model tester/m to the collection 'm: audited' of tester",
        "add the data set tester/m-audit to the collection 'm: audited' of tester",
        "add the Space tester/m-audit to the collection 'm: audited' of tester",
    ]
    assert "note: config.json of the model tester/m does not come from an audit and would be replaced" in said
    assert "  new      model.safetensors  76,800 bytes  sha256 " in said
    assert "  changed  config.json  23 bytes  sha256 " in said
    assert '-{"model_type": "gpt2"}\n+{"model_type": "bert"}\n' in said
    assert "--- tester/m/README.md\n+++ tester/m/README.md\n" in said
    assert " # Mine \\x1b[31m\n" in said
    assert "\x1b" not in said
    assert f"+{BEGIN}\n+Report of small.\n+{END}\n" in said
    assert "more lines (--full shows them)" in said
    assert said.endswith(f"nothing was written; to publish: transfer-audit publish {run} --to tester/m --apply\n")
    assert hub.token not in said
    assert writes(hub) == []
    publish(run, "tester/m", full=True)
    assert "more lines" not in capsys.readouterr().out


def test_a_card_that_is_there_is_shown_whole_however_long(hub: Hub, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = "".join(f"line {number}\n" for number in range(200))
    monkeypatch.setattr(planning, "card", lambda report, existing="": Merged(long, []))
    hub.add("tester/m", {"README.md": "# Mine\n"})
    said = shown(planned(run, "tester/m", space="none"))
    assert "+line 199\n" in said
    assert "more lines (--full shows them)" in said  # of the report


def test_a_first_card_is_shown_by_its_beginning(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = "".join(f"line {number}\n" for number in range(200))
    monkeypatch.setattr(planning, "card", lambda report, existing="": Merged(long, []))
    plan = planned(run, "tester/m", space="none")
    assert "\n\ntester/m/README.md: new, 200 lines\n+line 0\n" in shown(plan)
    assert "+line 39\n... 160 more lines (--full shows them)\n" in shown(plan)
    assert "+line 199\n" in shown(plan, None)


def test_what_is_generated_or_endless_does_not_fill_the_screen(
    hub: Hub, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = {
        "README.md": b"---\nsdk: static\n---\n",
        "index.html": b"<p>\n" * 50,
        "rows.json": b"[" + b"1," * 500 + b"1]",
    }
    monkeypatch.setattr(planning, "space_files", lambda runs, **_: page)
    plan = planned(run, "tester/m")
    said = shown(plan)
    assert "  new      index.html  200 bytes  sha256 " in said
    assert "<p>" not in shown(plan, None)
    assert max(map(len, said.splitlines())) < 250
    assert "+[1," in said
    assert " more characters)\n" in said
    assert f"+{page['rows.json'].decode()}\n" in shown(plan, None)


def tag(run: Path) -> str:
    """First digits of the sha256 of what is published as report."""
    return hashlib.sha256((run / "report.json").read_bytes()).hexdigest()[:8]


def test_json_gives_actions_files_and_addresses(hub: Hub, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    publish(run, "tester/m", space="none", private=True, as_json=True)
    told = json.loads(capsys.readouterr().out)
    assert [one["kind"] for one in told["actions"]][:3] == ["create", "commit", "tag"]
    assert {one["path"] for one in told["files"] if one["repository"] == "the model tester/m"} == {
        *("README.md", "config.json", "model.safetensors", "audit/report.json", "audit/manifest.json"),
    }
    assert (told["private"], told["applied"], told["evidence"]) == (True, False, "values")
    assert told["next"] == f"transfer-audit publish {run} --to tester/m --space none --private --apply"
    assert told["urls"] == [f"{hub.endpoint}/datasets/tester/m-audit", f"{hub.endpoint}/tester/m"]
    publish(run, "tester/m", space="none", private=True, apply=True, as_json=True)
    told = json.loads(capsys.readouterr().out)
    assert (told["applied"], told["next"]) == (True, None)
    assert told["urls"][-1] == f"{hub.endpoint}/collections/{next(iter(hub.collections))}"
    assert all(repo.private for id, repo in hub.repos.items() if id[1] != "crew/base")
    assert next(iter(hub.collections.values()))["private"]


# --- what is written --------------------------------------------------------------------------------------------------


def test_a_second_apply_writes_nothing(hub: Hub, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    published(run)
    before = bundled.state(hub)
    hub.requests.clear()
    plan = planned(run, "tester/m")
    assert plan.actions == []
    assert "everything is there already" in shown(plan)
    assert told(plan)["files"] == []
    assert applied(plan) == [
        f"{hub.endpoint}/datasets/tester/m-audit",
        f"{hub.endpoint}/tester/m",
        f"{hub.endpoint}/spaces/tester/m-audit",
        f"{hub.endpoint}/collections/{next(iter(hub.collections))}",
    ]
    assert [one for one in hub.requests if one.method in WRITES] == []
    assert bundled.state(hub) == before
    publish(run, "tester/m")
    assert "to publish" not in capsys.readouterr().out


def test_the_model_arrives_in_one_commit_with_card_and_audit(hub: Hub, run: Path) -> None:
    published(run)
    repo = hub.repo("tester/m")
    assert [one.title for one in repo.history()] == [
        "Adapted model with its audit (transfer-audit 0)",
        "initial commit",
    ]
    assert repo.tags == {f"audit-{tag(run)}": repo.at().sha}
    assert repo.paths() == [
        *(".gitattributes", "README.md", "audit/manifest.json", "audit/report.json", "config.json"),
        "model.safetensors",
    ]


@pytest.mark.parametrize("card", CARDS.values(), ids=CARDS.keys())
def test_a_card_that_is_there_keeps_every_byte_that_is_not_ours(hub: Hub, run: Path, card: str) -> None:
    repo = hub.add("tester/m", {"README.md": card})
    published(run, space="none")
    after = repo.read("README.md").decode()
    assert f"{BEGIN}{chr(13) if chr(13) in card else ''}\nReport of small." in after
    before, now = (outside(one).splitlines(keepends=True) for one in (card, after))
    removed = [line[2:] for line in difflib.ndiff(before, now) if line.startswith("- ")]
    grown = ("tags", "license:", "  small,", "]")  # a list in brackets grows inside them
    assert all(line.startswith(grown) or line == "Text" for line in removed), removed
    hub.requests.clear()
    published(run, space="none")
    assert writes(hub) == []


def test_what_the_card_says_otherwise_is_noted_and_stays(hub: Hub, run: Path) -> None:
    hub.add("tester/m", {"README.md": "---\nbase_model: crew/other\n---\n"})
    (note,) = planned(run, "tester/m").warnings
    assert note == (
        "README.md of the model tester/m is left as it is in this: "
        "base_model: the card says 'crew/other', the report 'crew/base'"
    )


def test_nothing_public_is_created_beside_something_private(hub: Hub, run: Path) -> None:
    hub.add("tester/m").private = True
    published(run)
    assert hub.repo("tester/m-audit", "dataset").private
    assert hub.repo("tester/m-audit", "space").private
    hub.add("crew/m")
    with pytest.raises(InputError, match=r"^the model crew/m can be seen by everybody: make it private on its page"):
        planned(run, "crew/m", private=True)
    hub.add("crew/m-audit", {}, "dataset")
    both = r"^the model crew/m and the data set crew/m-audit can .*: make them private, each on its page \(Settings, Ch"
    with pytest.raises(InputError, match=both):
        planned(run, "crew/m", private=True, space="none")
    hub.repo("crew/m").private = True
    (note,) = planned(run, "crew/m", space="none").warnings
    assert note == (
        "the data set crew/m-audit can be seen by everybody, though the model crew/m is private; "
        "to hide all, make it private on its page (Settings, Change visibility)"
    )


def test_files_that_were_ours_go_and_those_of_others_stay(hub: Hub, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    published(run)
    hub.commit("tester/m", {"extra.txt": "theirs", "config.json": '{"changed": "by hand"}'})

    def lighter(run: Path, to: str) -> Bundle:
        whole = bundled.bundle(run, to)
        kept = {"adapter_model.safetensors": run / "weights", "audit/report.json": whole.model["audit/report.json"]}
        return _listed(whole.report, kept, whole.dataset)

    monkeypatch.setattr(planning, "bundle", lighter)
    plan = planned(run, "tester/m")
    assert list(plan.warnings) == [
        "config.json of the model tester/m is no longer ours, and was changed since: it stays"
    ]
    assert "  deleted  model.safetensors" in shown(plan)
    applied(plan)
    assert hub.repo("tester/m").paths() == [
        *(".gitattributes", "README.md", "adapter_model.safetensors", "audit/manifest.json", "audit/report.json"),
        *("config.json", "extra.txt"),
    ]
    assert planned(run, "tester/m").actions == []


def _listed(report: Report, model: dict[str, Any], dataset: dict[str, bytes]) -> Bundle:
    files = {path: content for path, content in dataset.items() if path not in ("manifest.json", "README.md")}
    return Bundle(report, *bundled.listed(model, files))


def test_an_audit_of_somebody_elses_model_publishes_no_model(
    hub: Hub, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add("crew/theirs", {"README.md": "---\nlicense: mit\n---\n"})
    theirs = bundled.report(
        adapted=bundled.report().adapted.model_copy(update={"id": "crew/theirs", "method": "not known"})
    )
    bundled.run(run, theirs)
    monkeypatch.setattr(planning, "bundle", lambda run, to: _listed(theirs, {}, bundled.bundle(run, to).dataset))
    published(run)
    assert not hub.has("tester/m")
    (collection,) = hub.collections.values()
    assert [one["id"] for one in collection["items"]] == [
        "crew/base",
        "crew/theirs",
        "tester/m-audit",
        "tester/m-audit",
    ]


def test_results_on_a_registered_benchmark_are_files_of_ours(
    hub: Hub, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = bundled.report().provenance
    data = [{"id": "crew/bench"}, {"id": "crew/plain"}, {"id": "crew/gone"}, {"id": None}, {}]
    data += [{"id": f"crew/{name}"} for name in ("bare", "odd", "odder")]
    bundled.run(run, bundled.report(provenance=known.model_copy(update={"data": data})))
    hub.add("crew/bench", {"README.md": "---\ntags: ['benchmark:official']\n---\n", "eval.yaml": "a: 1\n"}, "dataset")
    for name, more in (("bare", {}), ("odd", {"eval.yaml": "["}), ("odder", {"eval.yaml": b"\xff"})):
        hub.add(f"crew/{name}", {"README.md": "---\ntags: ['benchmark:official']\n---\n", **more}, "dataset")
    hub.add("crew/plain", {}, "dataset")
    monkeypatch.setattr(planning, "eval_results", lambda report, told: {"ours.yaml": f"{told}\n"})
    published(run, space="none")
    repo = hub.repo("tester/m")
    assert repo.read(".eval_results/ours.yaml") == b"{'crew/bench': {'a': 1}}\n"
    listed = json.loads(repo.read("audit/manifest.json"))["files"]
    assert listed[".eval_results/ours.yaml"] == hashlib.sha256(b"{'crew/bench': {'a': 1}}\n").hexdigest()
    assert repo.read("audit/manifest.json") == hub.repo("tester/m-audit", "dataset").read("manifest.json")
    assert planned(run, "tester/m", space="none").actions == []
    monkeypatch.setattr(planning, "eval_results", lambda report, ids: {})
    published(run, space="none")
    assert ".eval_results/ours.yaml" not in repo.paths()


def test_weights_that_change_between_plan_and_apply_are_not_published(hub: Hub, run: Path) -> None:
    plan = planned(run, "tester/m")
    (run / "weights").write_bytes(b"other")
    with pytest.raises(
        Unavailable, match=r"the model tester/m: model\.safetensors has changed here since it was planned; publ"
    ):
        applied(plan)
    assert hub.repo("tester/m").paths() == [".gitattributes"]


def test_a_new_run_replaces_the_old_one_and_gets_its_own_tag(hub: Hub, run: Path, tmp_path: Path) -> None:
    published(run)
    hub.commit("tester/m-audit", {"README.md": "# Mine\n"}, "dataset")
    later = bundled.run(tmp_path / "later", bundled.report(tool="transfer-audit 1"))
    plan = planned(later, "tester/m")
    assert plan.warnings == (
        "README.md of the data set tester/m-audit would be replaced, whatever was written into it since",
    )
    applied(plan)
    repo = hub.repo("tester/m")
    assert set(repo.tags) == {f"audit-{tag(run)}", f"audit-{tag(later)}"}
    assert repo.read("audit/report.json", f"audit-{tag(run)}") == (run / "report.json").read_bytes()
    assert repo.read("audit/report.json") == (later / "report.json").read_bytes()


def test_a_space_keeps_what_it_runs_on(hub: Hub, run: Path) -> None:
    published(run, space="zero-a10g")
    space = hub.repo("tester/m-audit", "space").space
    assert space is not None
    assert (space.sdk, space.hardware, space.secrets) == ("gradio", "zero-a10g", {})
    plan = planned(run, "tester/m")
    assert plan.warnings == ("the Space tester/m-audit stays gradio, as it is on the Hub",)
    assert plan.actions == []


def test_a_base_that_the_hub_does_not_have_is_noted_and_left_out(hub: Hub, run: Path) -> None:
    local = bundled.report().base.model_copy(update={"id": "package:somewhere/model", "revision": None})
    bundled.run(run, bundled.report(base=local))
    plan = planned(run, "tester/m", space="none")
    assert "the base has no name and commit on the Hub" in plan.warnings[0]
    assert plan.collection.items[0] == ("model", "tester/m")
    gone = bundled.report().base.model_copy(update={"id": "crew/gone"})
    bundled.run(run, bundled.report(base=gone))
    assert ("model", "crew/gone") not in planned(run, "tester/m", space="none").collection.items
