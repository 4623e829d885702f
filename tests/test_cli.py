"""The command line: one line for every mistake, one JSON object where asked, the exit code that was promised."""

from __future__ import annotations

import json
import resource
from pathlib import Path
from typing import Any

import pytest

from audit import cli, relay
from audit.report import load_report
from tests import tiny


def called(*arguments: str) -> int:
    with pytest.raises(SystemExit) as done:
        cli.main(arguments)
    return int(done.value.code or 0)


@pytest.fixture(scope="module")
def recipe(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recipe") / "tiny.toml"
    path.write_text(tiny.toml(tiny.recipe(tiny_encoder)))
    return path


@pytest.fixture(scope="module")
def out(recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cli") / "run"
    assert called("run", str(recipe), "--out", str(folder)) == 0
    return folder


def test_run_prints_findings_task_stages_and_places(
    recipe: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert called("run", str(recipe), "--out", str(out)) == 0
    printed = capsys.readouterr()
    for piece in (
        "bias/gender/templates/preference",
        "Accuracy on shipped:feedback: ",
        "majority class 0.5",
        "declared findings",
        "stages: diligence ",
    ):
        assert piece in printed.out
    assert printed.err == ""  # quiet: this is no terminal


def test_every_command_prints_one_json_object(recipe: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (
        ("run", str(recipe), "--out", str(out)),
        ("validate", str(recipe)),
        ("recipes",),
        ("card", str(out)),
    ):
        assert called(*arguments, "--json") == 0
        assert isinstance(json.loads(capsys.readouterr().out), dict)


def test_validate_counts_what_a_run_trains(recipe: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trained = load_report(out).adapted.trainable_parameters
    assert called("validate", str(recipe), "--json") == 0
    checked = json.loads(capsys.readouterr().out)
    assert checked["trainable_parameters"] == trained
    assert checked["steps"] == 4  # 60 rows, batches of 16, 1 epoch
    assert called("validate", str(recipe), "-o", "adapt.method='peft'", "-o", "adapt.config.r=4", "--json") == 0
    checked = json.loads(capsys.readouterr().out)
    layers, hidden, inner, rank = 2, 32, 64, 4
    attention, up_down, pooler = 4 * 2 * hidden * rank, 2 * (hidden + inner) * rank, 2 * hidden * rank
    assert checked["targets"] == ["dense", "key", "query", "value"]
    assert checked["trainable_parameters"] == layers * (attention + up_down) + pooler + 2 * hidden + 2


def test_the_gate_stops_what_is_worse_and_strictly_what_is_unclear(
    recipe: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    verdicts = {finding.id: finding.verdict for finding in load_report(out).findings if finding.group is None}
    assert "worse" in verdicts.values()
    assert "unclear" in verdicts.values()
    for level, stopped in (("--gate", {"worse"}), ("--gate=strict", {"worse", "unclear"})):
        assert called("run", str(recipe), "--out", str(out), level) == 1
        named = [line for line in capsys.readouterr().err.splitlines() if line.startswith("gate: ")]
        unmeasured = ["gate: transfer is not measured"] if level == "--gate=strict" else []
        assert len(named) == sum(verdict in stopped for verdict in verdicts.values()) + len(unmeasured)
        assert named[len(named) - len(unmeasured) :] == unmeasured


def test_a_gate_does_not_pass_what_was_not_measured(
    recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert called("run", str(recipe), "--out", str(tmp_path / "none"), "-o", "audit={}", "--gate") == 1
    assert "gate: bias is not measured" in capsys.readouterr().err


def test_an_error_is_a_json_object_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert called("run", "nothing", "--json") == 2
    printed = capsys.readouterr()
    assert json.loads(printed.out) == {"error": printed.err.strip(), "exit": 2}


def test_audit_finds_the_base_that_an_adapter_names(
    recipe: Path, tiny_encoder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert called("run", str(recipe), "--out", str(tmp_path / "lora"), "-o", "adapt.method='peft'") == 0
    model = tmp_path / "lora" / "models" / "seed-0"
    capsys.readouterr()
    small = ("-o", "task.train_limit=60", "-o", "audit.bias.pairs=1", "--json")
    assert called("audit", str(model), "--out", str(tmp_path / "audit"), *small) == 0
    assert load_report(tmp_path / "audit").base.id == str(tiny_encoder)
    assert load_report(tmp_path / "audit").recipe.name == "audit_defaults"
    assert called("audit", str(model), "--base", "other/base", "--out", str(tmp_path / "no"), *small) == 2
    assert "its base is disputed: --base says 'other/base', adapter_config.json says" in capsys.readouterr().err


def test_audit_without_a_base_says_so(tiny_encoder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert called("audit", str(tiny_encoder), "--out", str(tmp_path)) == 2
    assert "neither an adapter config nor a card names its base; say it with --base" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "line"),
    [
        (
            ("run", "{recipe}", "-o", "adapt.lerning_rate=1"),
            2,
            "tiny.toml: [adapt] no such key 'lerning_rate'; did you mean",
        ),
        (("run", "nothing"), 2, "nothing: no such recipe file"),
        (("run", "{recipe}", "--gate=hard"), 2, "--gate=hard: choose from --gate, --gate=strict"),
        (("run", "{recipe}", "--bogus"), 2, "No such option: --bogus"),
        (("run",), 2, "Missing argument 'recipe'"),
        (("run", "{recipe}", "-o", "task.text='body'"), 2, "no column 'body' for [task] text"),
        (("run", "{recipe}", "--out", "/proc/nothing"), 2, "/proc/nothing: cannot be written"),
        (("run", "audit_defaults"), 2, "a recipe that is run needs 'base'"),
        (("run", "sst2_head"), 3, "the Hub cannot be reached, and the data set is neither in its cache"),
        (("card", "/nothing"), 2, "no such report"),
        (("audit", "/nothing"), 2, "/nothing: no such folder"),
    ],
)
def test_every_mistake_is_one_line_and_a_code(
    arguments: tuple[str, ...],
    code: int,
    line: str,
    recipe: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert called(*(one.replace("{recipe}", str(recipe)) for one in arguments)) == code
    printed = capsys.readouterr()
    assert line in printed.err
    assert len(printed.err.splitlines()) == 1
    assert printed.out == ""
    assert not list(tmp_path.rglob("report.json"))


@pytest.mark.parametrize(
    ("failure", "line"),
    [
        (KeyboardInterrupt(), "interrupted; to go on: transfer-audit run"),
        (
            OSError(28, "No space left on device", "/full"),
            "/full: No space left on device; mend that and go on: transfer-audit run",
        ),
    ],
)
def test_an_interruption_names_the_command_that_goes_on(
    failure: BaseException,
    line: str,
    recipe: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise failure

    monkeypatch.setattr(relay, "run", fail)
    assert called("run", str(recipe), "--fresh", "--out", str(tmp_path)) == 3
    printed = capsys.readouterr().err
    assert printed.startswith(line)
    assert "--fresh" not in printed


@pytest.mark.parametrize("limit", [200, 20_000, 100_000])
def test_a_disk_that_takes_no_more_is_one_line_and_leaves_nothing_half_written(
    limit: int, recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The system itself refuses to write past so many bytes a file; the same command then goes on."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        code = called("run", str(recipe), "--out", str(tmp_path / "run"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    printed = capsys.readouterr()
    assert code == 3, printed.err
    assert len(printed.err.splitlines()) == 1
    assert "mend that and go on: transfer-audit run" in printed.err
    assert not (tmp_path / "run" / "report.json").exists()
    assert not list((tmp_path / "run").rglob("*tmp*"))
    assert called("run", str(recipe), "--out", str(tmp_path / "run")) == 0


def test_a_card_is_a_function_of_its_report(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (out / "card.md").read_text()
    (out / "card.md").write_text("edited")
    assert called("card", str(out)) == 0
    assert capsys.readouterr().out == before
    assert (out / "card.md").read_text() == before
