"""What a forger leaves out, excuses or carries along; and a card of another version, which is no forgery."""

from __future__ import annotations

import json
import shutil
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer

from audit import relay
from audit.cli.verifying import verify
from audit.publish.bundle import bundle
from audit.publish.card import render
from audit.recipe import parse_recipe
from audit.report import load_report
from audit.verify import verified
from tests import tiny

MODEL = "tester/tiny"


@pytest.fixture(scope="module")
def publication(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is published of a run, as it is pulled."""
    folder = tmp_path_factory.mktemp("forged")
    table = tiny.recipe(tiny_encoder)
    table["audit"]["bias"] |= {"items": ["task", "templates"], "swaps": ["gender"]}
    del table["audit"]["gap"]
    text = tiny.toml(table)
    relay.run(parse_recipe(tomllib.loads(text), "tiny"), text, folder / "run", command=["transfer-audit", "run"])
    made = bundle(folder / "run", MODEL)
    for inner, files in (("", made.dataset), ("model", made.model)):
        for name, content in files.items():
            path = folder / "out" / inner / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.read_bytes())
    (folder / "out" / "model" / "README.md").write_text(render(made.report))
    return folder / "out"


@pytest.fixture
def mine(publication: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copytree(publication, tmp_path / "out"))


def forge(folder: Path, change: Callable[[Any], object]) -> list[str]:
    """Change the report, render its card again, and verify: hashes are for the manifest to say."""
    report = json.loads((folder / "report.json").read_text())
    change(report)
    for path in (folder / "report.json", folder / "model" / "audit" / "report.json"):
        path.write_text(json.dumps(report))
    (folder / "model" / "README.md").write_text(render(load_report(folder)))
    return [line for line in verified(folder).disagreements if " sha256 " not in line and "'s sha256" not in line]


def test_the_publication_agrees(publication: Path) -> None:
    assert verified(publication).disagreements == []


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda r: r.update(findings=[one for one in r["findings"] if one["audit"] != "bias"]), "bias/gender/"),
        (lambda r: r.update(findings=[one for one in r["findings"] if one["group"] is None]), "bias/gender/"),
        (lambda r: r["findings"].pop(0), "bias/gender/"),
        (lambda r: r.update(task=None, arms=[]), "evidence of a task that the report does not have"),
        (lambda r: r["adapted"].update(method="head"), "adapted: method is 'head', the recipe declares 'full'"),
        (lambda r: r["adapted"].update(license="mit"), "adapted: license is 'mit', the recipe declares nothing"),
        (lambda r: r["adapted"].update(seeds=[7]), "adapted: seeds[0] is 7, the recipe declares 0"),
        (lambda r: r["adapted"]["settings"].update(epochs=9), "adapted: settings.epochs is 9, the recipe declares 1"),
        (lambda r: r["task"].update(metric="luck"), "no metric is called 'luck'"),
        (lambda r: r["provenance"].update(command="'"), ""),
    ],
)  # fmt: skip
def test_what_a_report_leaves_out_or_says_otherwise_is_named(
    mine: Path, change: Callable[[Any], object], named: str
) -> None:
    lines = forge(mine, change)
    if named:
        assert any(named in line for line in lines), lines


def test_an_audit_that_is_declared_and_nowhere_said_is_named(mine: Path) -> None:
    for path in mine.glob("evidence/forgetting.parquet"):
        path.unlink()
    gone = "[audit.forgetting]: the recipe declares it"

    def drop(report: Any) -> None:
        report.update(findings=[one for one in report["findings"] if one["audit"] == "bias"], flips=[], floor=[])
        report["limits"] = [one for one in report["limits"] if not one.startswith("Forgetting")]

    assert any(line.startswith(gone) for line in forge(mine, drop))
    said = "Forgetting was not measured: nothing was asked."
    assert not any(line.startswith(gone) for line in forge(mine, lambda report: report["limits"].append(said)))


def test_a_manifest_does_not_excuse_weights(mine: Path) -> None:
    weights = mine / "model" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    for path in (mine / "manifest.json", mine / "model" / "audit" / "manifest.json"):
        manifest = json.loads(path.read_text())
        manifest["rewritten"]["model.safetensors"] = "converted"
        path.write_text(json.dumps(manifest))
    lines = verified(mine).disagreements
    assert any(line.startswith("weights: model.safetensors: its sha256 is") for line in lines)
    assert any(
        "model.safetensors is called rewritten (converted), which publishing never does" in line for line in lines
    )


@pytest.mark.parametrize("name", ["pytorch_model.bin", "modeling_x.py", "adapter_config.json", "onnx/deep/model.onnx"])
def test_whatever_was_not_audited_is_named_even_if_the_manifest_lists_it(mine: Path, name: str) -> None:
    for carried in ("LICENSE", "NOTICE.txt", ".gitattributes", ".eval_results/x.yaml"):
        path = mine / "model" / carried
        path.parent.mkdir(exist_ok=True)
        path.write_text("carried")
    assert verified(mine).disagreements == []
    path = mine / "model" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"1")
    listed = json.loads((mine / "manifest.json").read_text())
    listed["files"][name] = "6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b"  # of b"1"
    listed["rewritten"][name] = "it was made of it"
    (mine / "manifest.json").write_text(json.dumps(listed))
    assert verified(mine).disagreements == [f"weights: {name}: lies in {MODEL}, and is no file that was audited"]


# --- a card of another version ----------------------------------------------------------------------------------------


def reworded(card: str) -> str:
    """Call a section otherwise, and say a sentence in other words."""
    return card.replace("\n## How to read a verdict", "\n## Verdicts").replace("A margin is the", "Margins are the")


def test_another_version_s_wording_is_not_compared_and_its_numbers_are(mine: Path) -> None:
    readme = mine / "model" / "README.md"
    text = reworded(readme.read_text())
    assert text != readme.read_text()
    readme.write_text(text)
    found = verified(mine)
    assert found.disagreements == []
    other = "README.md: the card was written by another version: its wording was not compared"
    assert found.unchecked.count(other) == 1
    report = load_report(mine)
    assert report.task is not None
    one = next(one for one in report.findings if one.group is None)
    row = next(line for line in text.splitlines() if line.startswith(f"| {one.name} |"))
    verdict = next(word for word in ("worse", "same", "better", "unclear") if word != one.verdict)
    value = f"{one.adapted.value:+.3f}" if f"{one.adapted.value:+.3f}" in row else f"{one.adapted.value:.3f}"
    for old, new, named in (
        (f"{report.task.adapted.value:.3f}", "0.1234567", "'0.1234567'"),
        (row, row.replace(str(one.verdict), verdict), f"{one.name}: the card says '{verdict}'"),
        (row, row.replace(value, "0.98765"), f"{one.name}: the card says '0.98765'"),
        ("library_name: transformers", "library_name: peft", "library_name"),
        (one.name, "another", f"{one.id}: the card does not name it"),
    ):
        assert old in text
        readme.write_text(text.replace(old, new))
        lines = verified(mine).disagreements
        assert any(named in line for line in lines), (named, lines)


def test_another_version_s_report_says_so(mine: Path) -> None:
    assert forge(mine, lambda report: report.update(tool="transfer-audit 0.0.9")) == []
    left = verified(mine).unchecked
    assert any(line.startswith("report: transfer-audit 0.0.9 wrote it, this is transfer-audit ") for line in left)
    assert any(line.startswith("README.md: the card was written by another version") for line in left)


def test_a_lie_in_words_alone_is_no_other_version(mine: Path) -> None:
    readme = mine / "model" / "README.md"
    text = readme.read_text()
    line = next(one for one in text.splitlines() if one.startswith("- Where a disparity came from was not measured"))
    readme.write_text(text.replace(line, "- Nothing is inherited."))
    lines = verified(mine).disagreements
    assert any("the card says 'Nothing is'" in one for one in lines), lines


# --- what is said -----------------------------------------------------------------------------------------------------


def test_what_is_said_counts_what_was_recomputed_and_what_is_trusted(
    mine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    verify(str(mine))
    said = capsys.readouterr().out
    assert said.count("taken on trust: diligence") == 1
    assert "of them recomputed from evidence; " in said
    assert said.endswith("whoever can write the repository can change all of it; to know, run the recipe again\n")
    shutil.rmtree(mine / "evidence")
    (mine / "moved.parquet").unlink()
    verify(str(mine))
    said = capsys.readouterr().out
    assert " numbers in the report, nothing was recomputed: no evidence is here, " in said
    assert "findings of bias: not recomputable: there is no evidence of it" in said
    assert said.count("not recomputable: there is no evidence of it") < 10


def test_a_malformed_report_is_a_disagreement(mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for text in ("[]", "null", '{"schema": 1}', '{"schema": 1, "findings": 3}', "[" * 100_000):
        (mine / "report.json").write_text(text)
        with pytest.raises(typer.Exit) as done:
            verify(str(mine))
        assert done.value.exit_code == 1
        assert "report.json: " in capsys.readouterr().out
