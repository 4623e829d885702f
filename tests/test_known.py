"""What a report knows of base and data beside their content: ids, commits, licences; and what the licences say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import datasets
import pytest
from huggingface_hub import HfApi, constants

from audit import cli, relay
from audit.diligence import Check
from audit.errors import InputError, Unavailable
from audit.items import shipped
from audit.items.task import read_task
from audit.items.task.known import OURS, Known, known
from audit.job import Job
from audit.models.source import resolve
from audit.recipe import Task, parse_recipe
from audit.report import Report, load_report
from audit.steps.diligence import checked, sentences
from tests import tiny
from tests.hub import Hub

ROOT = Path(__file__).parents[1]
LABELS = ("complaint", "praise")


@pytest.fixture
def texts(hub: Hub) -> str:
    """A labelled data set on the Hub, and the commit of its first version."""
    return hub.add("crew/texts", splits(2), "dataset").at().sha


def splits(first: int) -> dict[str, bytes | str]:
    """Return the shipped feedback from a row on as a data set of the Hub has it."""
    rows = [json.loads(line) for line in shipped("feedback").read_text(encoding="utf-8").splitlines()[first:]]
    kept = {which: [row for row in rows if row["split"] == which] for which in ("train", "test")}
    files = {f"{which}.jsonl": "".join(json.dumps(row) + "\n" for row in rows) for which, rows in kept.items()}
    return {**files, "README.md": "---\nlicense: cc-by-4.0\n---\n"}


def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)


# --- data sets --------------------------------------------------------------------------------------------------------


def test_a_data_set_is_read_at_one_commit(hub: Hub, texts: str, monkeypatch: pytest.MonkeyPatch) -> None:
    task = Task(dataset="crew/texts", labels=LABELS)
    first = read_task(task)
    assert (first.id, first.revision) == ("crew/texts", texts)
    named = [one.path for one in hub.asked("/resolve/") + hub.asked("/tree/")]
    assert named
    assert all(texts in path for path in named)  # never "main", which may move between the splits
    newer = hub.commit("crew/texts", splits(5), "dataset")
    second = read_task(task)
    assert (second.revision, second.fingerprint == first.fingerprint) == (newer, False)
    pinned = task.model_copy(update={"revision": texts})
    assert read_task(pinned) == first
    offline(monkeypatch)  # datasets gives what it has of the name, and does not look at the revision
    latest = read_task(task)
    assert latest.fingerprint == {texts: first, newer: second}[str(latest.revision)].fingerprint
    other = newer if latest.revision == texts else texts
    assert read_task(task.model_copy(update={"revision": latest.revision})) == latest
    with pytest.raises(
        Unavailable, match=f"what its cache holds is of {latest.revision}, not of the revision '{other}"
    ):
        read_task(task.model_copy(update={"revision": other}))


def test_a_branch_is_known_offline_once_it_was_read(hub: Hub, texts: str, monkeypatch: pytest.MonkeyPatch) -> None:
    HfApi().create_branch("crew/texts", branch="v1", repo_type="dataset")
    task = Task(dataset="crew/texts", labels=LABELS, revision="v1")
    online = read_task(task)
    offline(monkeypatch)
    assert read_task(task) == online
    with pytest.raises(Unavailable, match="not of the revision 'v2'"):
        read_task(task.model_copy(update={"revision": "v2"}))


@pytest.mark.parametrize(
    ("name", "error", "said"),
    [
        ("crew/none", InputError, "no such local data, and no such data set on the Hub (or it is private); [task]"),
        ("a//b", InputError, "no such local data, and no such data set on the Hub (or it is private); [task] dataset"),
        ("other/shut", InputError, "gated on the Hub; accept its terms there, and log in"),
        ("crew/odd", InputError, "no such local data, and the Hub did not give it ("),
    ],
)
def test_a_data_set_that_is_refused(hub: Hub, name: str, error: type[Exception], said: str) -> None:
    hub.add("other/shut", splits(0), "dataset").gated = "auto"
    hub.add("crew/odd", {"README.md": "# none"}, "dataset")
    with pytest.raises(error) as caught:
        read_task(Task(dataset=name, labels=LABELS))
    assert str(caught.value).startswith(f"{name}: ")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_hub_in_trouble_is_no_mistake_of_the_user(hub: Hub, texts: str) -> None:
    hub.fail(500, "/api/datasets/crew/texts")
    with pytest.raises(Unavailable, match="crew/texts: the Hub is in trouble"):
        read_task(Task(dataset="crew/texts", labels=LABELS))
    assert read_task(Task(dataset="crew/texts", labels=LABELS)).revision == texts


def test_the_licence_of_a_data_set(hub: Hub, texts: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.add("crew/two", {"README.md": '---\nlicense: ["mit", "cc0-1.0"]\n---\n'}, "dataset")
    hub.add("crew/bare", {"a.txt": "a"}, "dataset")
    assert known("crew/texts", texts) == Known("crew/texts", texts, "cc-by-4.0")
    assert known(f"crew/texts:default@{texts}") == Known("crew/texts", texts, "cc-by-4.0")
    assert known("crew/texts") == Known("crew/texts", None, "cc-by-4.0")  # at which commit it is read nobody said
    assert known("crew/two") == Known("crew/two", None, "mit, cc0-1.0")
    assert known("crew/bare") == Known("crew/bare")
    assert known("crew/none") == Known("crew/none")
    assert known("shipped:rehearsal") == Known(license=OURS)
    file = tmp_path / "mine.csv"
    file.write_text("text\n")
    assert known(str(file)) == Known()
    offline(monkeypatch)
    assert known("crew/texts", texts).license == "cc-by-4.0"
    assert known("crew/elsewhere") == Known("crew/elsewhere")


def test_what_is_shipped_is_under_our_own_licence() -> None:
    """As pyproject.toml and LICENSE say of the package."""
    assert f'license = "{OURS}"' in (ROOT / "pyproject.toml").read_text().lower()
    assert (ROOT / "LICENSE").read_text().split("Version 2.0")[0].split() == ["Apache", "License"]


# --- reports ----------------------------------------------------------------------------------------------------------


def base_on(hub: Hub, folder: Path, **card: str) -> str:
    """Put a tiny encoder on the Hub, and return its commit."""
    said = "".join(f"{key}: {value}\n" for key, value in card.items())
    files: dict[str, bytes | str] = {path.name: path.read_bytes() for path in folder.iterdir()}
    return hub.add("crew/base", {**files, "README.md": f"---\n{said}---\n# Base\n"}).at().sha


def small(base: str | None, revision: str | None = None, **changes: Any) -> dict[str, Any]:
    """Return a recipe on the Hub that asks little."""
    table = tiny.recipe(Path("none"), **changes) | {
        "base": base,
        "audit": {"forgetting": {"limit": 20, "floor": False}},
    }
    table["task"] |= {"dataset": "crew/texts", "revision": revision}
    return table


def outcome(report: Report, name: str) -> tuple[str, str]:
    return next((one.outcome, one.said) for one in report.diligence if one.name == name)


def test_a_run_and_an_audit_say_where_everything_came_from(
    hub: Hub, texts: str, tiny_encoder: Path, tmp_path: Path
) -> None:
    commit = base_on(hub, tiny_encoder, license="apache-2.0")
    publish = {"license": "apache-2.0", "language": ["en"], "evidence": "none"}
    table = small("crew/base", publish=publish)
    told: list[str] = []
    report, _ = relay.run(
        parse_recipe(table, "tiny.toml"), "# tiny", tmp_path / "run", tick=lambda stage, *_: told.append(stage)
    )
    assert told[0] == "pull"
    assert (report.base.revision, report.base.license) == (commit, "apache-2.0")
    assert (report.adapted.license, report.adapted.language) == ("apache-2.0", ["en"])
    assert report.provenance.evidence == "none"
    assert report.provenance.unpinned == ["base crew/base", "[task] dataset crew/texts"]
    (data,) = report.provenance.data
    assert (data["id"], data["revision"], data["license"]) == ("crew/texts", texts, "cc-by-4.0")
    how, said = outcome(report, "derivative")
    assert how == "warn"
    assert "credit the author" in said
    assert load_report(tmp_path / "run") == report

    pinned = small("crew/other", texts, publish={"license": "mit"})  # a base that an audit does not use
    trained = tmp_path / "run" / report.adapted.id
    HfApi().create_repo("tester/mine")
    HfApi().upload_folder(repo_id="tester/mine", folder_path=trained, ignore_patterns=["*.parquet"])
    audited, _ = relay.audit_model(
        parse_recipe(pinned, "tiny.toml"), "# tiny", "crew/base", "tester/mine", tmp_path / "audit"
    )
    assert audited.adapted.files == report.adapted.files
    assert (audited.adapted.license, audited.adapted.language) == ("mit", [])
    assert (audited.provenance.evidence, audited.provenance.unpinned) == ("values", [])
    assert audited.provenance.data[0]["revision"] == texts
    assert outcome(audited, "derivative")[0] == "warn"


def test_the_licence_that_is_judged_is_the_one_that_is_published(
    hub: Hub, texts: str, tiny_encoder: Path, tmp_path: Path
) -> None:
    """Where the recipe names none, the card takes over the base's."""
    for licence, how, ruling in (
        ("cc-by-sa-4.0", "warn", "conditions: "),
        ("cc-by-nd-4.0", "fail", "conflict: cc-by-nd-4.0 does not let derivatives be published"),
    ):
        commit = base_on(hub, tiny_encoder, license=licence)
        recipe = parse_recipe(small("crew/base", texts), "tiny.toml")
        base = resolve("crew/base", commit)
        job = Job(recipe, base, "encoder", read_task(recipe.task), tmp_path / licence)
        found = next(one for one in checked(job, [Known("crew/texts", texts, "cc0-1.0")]) if one.name == "derivative")
        assert found.outcome == how
        assert found.said.startswith(ruling)
        assert found.said.endswith(f"; the recipe names no licence, so that of the base is taken over: {licence}")


def test_what_is_open_is_not_said_twice() -> None:
    check = Check(name="derivative", outcome="unknown", said="unknown: the base names no licence")
    assert sentences([check])[0] == "unknown: derivative: the base names no licence"


def test_validate_says_what_did_not_pass(
    hub: Hub, texts: str, tiny_encoder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base_on(hub, tiny_encoder, license="cc-by-nc-4.0", new_version="crew/next")
    path = tmp_path / "tiny.toml"
    path.write_text(tiny.toml(small("crew/base", texts, publish={"license": "mit"})))
    with pytest.raises(SystemExit) as done:
        cli.main(["validate", str(path), "--json"])
    assert not done.value.code
    *lines, last = json.loads(capsys.readouterr().out)["diligence"]
    assert "warn: successor: its authors name a newer version: 'crew/next'" in lines
    assert any(line.startswith("fail: derivative: conflict: cc-by-nc-4.0 is not for commercial use") for line in lines)
    assert not any(line.startswith("pass") for line in lines)
    assert last == "Of 15, 1 failed and 0 could not be looked up."
    assert not [one for one in hub.requests if one.path.endswith(".safetensors")]  # it needs no weights
