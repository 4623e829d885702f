"""The strength curve through whole runs: its ends are base and adapted, between them nothing of the weights is left."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from audit import relay
from audit.audits import Question, binary, findings
from audit.errors import InputError
from audit.finding import Estimate, Finding
from audit.items.task import read_task
from audit.publish.card.forgetting import strength_said, strength_sentence, strength_table
from audit.recipe import Recipe, parse_recipe
from audit.report import Report
from audit.retention import Strength, allowed
from audit.softened import soften_run
from audit.view import Item
from tests import tiny
from tests.test_cli import called

LORA = {"method": "peft", "epochs": 2, "batch_size": 8, "learning_rate": 1e-2, "max_length": 64, "config": {"r": 4}}


def asking(base: Path, strengths: list[float], **changes: Any) -> Recipe:
    wanted = {"strengths": strengths, "limit": 40, "floor": False}
    return parse_recipe(tiny.recipe(base, **{"audit": {"forgetting": wanted}, **changes}), "tiny")


def run(recipe: Recipe, folder: Path) -> tuple[Path, Report]:
    return folder, relay.run(recipe, "", folder)[0]


@pytest.fixture(scope="module")
def full(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Report]:
    """An encoder under a full fine-tuning."""
    return run(asking(tiny_encoder, [0.5]), tmp_path_factory.mktemp("full") / "run")


@pytest.fixture(scope="module")
def lora(llama: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Report]:
    """A causal base under a LoRA."""
    recipe = asking(llama, [0.25, 0.5, 0.75], kind="causal", adapt=LORA)
    return run(recipe, tmp_path_factory.mktemp("lora") / "run")


def changes(point: Strength) -> dict[str, float]:
    return {one.id: one.change.value for one in point.findings if one.change is not None}


def test_the_ends_of_the_curve_are_base_and_adapted(full: tuple[Path, Report], lora: tuple[Path, Report]) -> None:
    for _, report in (full, lora):
        start, end = report.curve[0], report.curve[-1]
        assert (start.alpha, end.alpha) == (0, 1)
        assert set(changes(start).values()) == {0.0}
        assert report.task is not None
        assert (end.task, end.gain) == (report.task.adapted, report.task.change)
        assert end.findings == [one for one in report.findings if one.audit == "forgetting"]
        assert set(changes(end).values()) != {0.0}
    assert lora[1].task is not None
    assert lora[1].curve[0].task == lora[1].task.base  # a causal base has no head of its own to keep
    assert lora[1].curve[0].gain.value == 0


def test_the_score_between_is_that_of_the_mean_of_both_weights(full: tuple[Path, Report], tiny_encoder: Path) -> None:
    """Recomputed by transformers alone, from the arithmetic mean of both files."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    folder, report = full
    adapted = folder / "models" / "seed-0"
    model: Any = AutoModelForSequenceClassification.from_pretrained(adapted, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(adapted)
    base = load_file(tiny_encoder / "model.safetensors")
    with torch.no_grad():
        for name, tensor in model.named_parameters():
            if name.startswith("bert."):
                tensor.copy_((tensor + base[name.removeprefix("bert.")]) / 2)
    recipe = asking(tiny_encoder, [0.5])
    right = []
    for item in read_task(recipe.task, recipe.columns).test:
        with torch.inference_mode():
            logits = model(**tokenizer(item.text, return_tensors="pt", truncation=True, max_length=256)).logits
        right.append(recipe.task.names[int(logits.argmax())] == item.label)
    middle = report.curve[1]
    assert middle.alpha == 0.5
    assert middle.task.value == pytest.approx(np.mean(right))
    scores = pd.read_parquet(folder / "strengths" / "0.5" / "evidence.parquet")["value"]
    assert scores.tolist() == [float(one) for one in right]


def test_forgetting_grows_with_the_strength_of_a_mild_adaptation(lora: tuple[Path, Report]) -> None:
    """The divergence from the base of a LoRA whose update is scaled, at 0, .25, .5, .75 and 1."""
    curve = lora[1].curve
    assert [one.alpha for one in curve] == [0, 0.25, 0.5, 0.75, 1]
    [name] = [name for name in changes(curve[0]) if name.endswith("divergence")]
    grown = np.diff([changes(one)[name] for one in curve])
    assert (grown > 0).all()


def test_no_weights_are_left_between(full: tuple[Path, Report], lora: tuple[Path, Report]) -> None:
    for folder, _ in (full, lora):
        assert {path.parent.name for path in folder.rglob("*.safetensors")} == {"seed-0"}


def test_soften_writes_the_model_and_says_what_is_known_of_it(
    full: tuple[Path, Report], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(full[0], folder)
    assert called("soften", str(folder), "--alpha", "0.5") == 0
    written = folder / "models" / "seed-0-at-0.5"
    said = capsys.readouterr().out
    assert str(written) in said
    assert "At strength 0.5 the task changes by" in said
    assert (written / "tokenizer.json").is_file()
    assert called("soften", str(folder), "--alpha", "0.6", "--out", str(tmp_path / "soft"), "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["model"] == str(tmp_path / "soft")
    assert answer["said"].startswith("The report's curve was asked at 0, 0.5, 1, not at 0.6")
    assert called("soften", str(folder), "--alpha", "0.5") == 2
    assert "exists already" in capsys.readouterr().err
    from transformers import pipeline

    known = pipeline("text-classification", model=str(written))("Kind and thorough.")
    assert known[0]["label"] in ("complaint", "praise")


def test_a_softened_lora_is_an_adapter(lora: tuple[Path, Report], tmp_path: Path) -> None:
    folder, report = soften_run(lora[0], 0.5, tmp_path / "soft")
    assert report == lora[1]
    assert (folder / "adapter_config.json").is_file()
    assert not (folder / "model.safetensors").exists()


def test_files_that_the_report_does_not_name_are_refused(full: tuple[Path, Report], tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(full[0], folder)
    config = folder / "models" / "seed-0" / "config.json"
    before = config.read_text()
    config.write_text(before + "\n")
    with pytest.raises(InputError, match=r"seed-0: the file config.json is another one since the report was written"):
        soften_run(folder, 0.5)
    config.unlink()
    with pytest.raises(InputError, match=r"the file config.json is gone"):
        soften_run(folder, 0.5)
    config.write_text(before)
    (folder / "models" / "seed-0" / "added.json").write_text("{}")
    with pytest.raises(InputError, match=r"the file added.json is new"):
        soften_run(folder, 0.5)
    assert [path.name for path in (folder / "models").iterdir()] == ["seed-0"]


def test_a_base_that_changed_is_refused(tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    base = tiny.encoder(tmp_path / "base")
    folder, _ = run(asking(base, [], audit={}), tmp_path / "run")
    tiny.encoder(base, seed=1)
    with pytest.raises(InputError, match=r"base: the file model.safetensors is another one"):
        soften_run(folder, 0.5)


def test_a_model_with_nothing_between_has_no_curve(tiny_encoder: Path, tmp_path: Path) -> None:
    """A head on a frozen base, audited as a checkpoint: the report says why, and all else is in it."""
    head = run(asking(tiny_encoder, [], adapt={"method": "head"}, audit={}), tmp_path / "head")[0] / "models" / "seed-0"
    report, _ = relay.audit_model(asking(tiny_encoder, [0.5]), "", str(tiny_encoder), str(head), tmp_path / "audited")
    assert report.curve == []
    assert any(one.audit == "forgetting" for one in report.findings)
    [said] = [limit for limit in report.limits if "strength curve" in limit]
    assert "every tensor that it shares with the base" in said
    with pytest.raises(InputError, match="there is nothing between"):
        soften_run(tmp_path / "audited", 0.5)


def test_a_model_without_a_head_is_read_by_a_probe_at_every_strength(tiny_encoder: Path, tmp_path: Path) -> None:
    from transformers import AutoModel

    adapted = tmp_path / "adapted"
    shutil.copytree(tiny_encoder, adapted)
    model: Any = AutoModel.from_pretrained(tiny_encoder)
    torch.manual_seed(0)
    with torch.no_grad():
        for tensor in model.parameters():
            tensor.add_(0.05 * torch.randn_like(tensor))
    model.save_pretrained(adapted)
    report, _ = relay.audit_model(asking(tiny_encoder, [0.5]), "", str(tiny_encoder), str(adapted), tmp_path / "run")
    assert report.task is not None
    start, middle, end = report.curve
    assert start.task == report.task.base
    assert middle.alpha == 0.5
    assert end.task == report.task.adapted
    folder, _ = soften_run(tmp_path / "run", 0.5)
    assert folder == tmp_path / "run" / "models" / "adapted-at-0.5"


def test_what_is_said_of_a_strength(full: tuple[Path, Report]) -> None:
    probe = full[1].curve[0].findings[0]
    gain = Estimate(value=0.1, low=0.05, high=0.15)

    def said(*findings: Finding) -> str:
        return strength_said([Strength(alpha=0.5, task=gain, gain=gain, findings=list(findings))], 0.5)

    opening = "At strength 0.5 the task changes by +0.100 [+0.050, +0.150] over the base"
    assert said() == f"{opening}; no probe of forgetting was asked."
    few = said(probe.model_copy(update={"n_clusters": 4, "margin": 1.0}))
    assert few.startswith(f"{opening}; {probe.id.removeprefix('forgetting/')} is unclear (4 clusters cannot decide at")
    assert said(probe.model_copy(update={"margin": 1.0})) == f"{opening}, and everything declared is retained."


# --- what is said of a curve ------------------------------------------------------------------------------------------


def asked(name: str, lost: int, n: int = 800, floor: float | None = None) -> Finding:
    items = [Item(id=f"q{i}", cluster=f"q{i}", text=f"question {i}") for i in range(n)]
    scores = np.zeros(n), (np.arange(n) < lost).astype(float)
    question = Question("forgetting", name, "error rate", *scores, items, 0.05, name, by=binary)
    [found] = findings([question], family="forgetting", floor=None if floor is None else {question.id: floor})
    return found


def at(alpha: float, *found: Finding, broken: Sequence[str] = ()) -> Strength:
    gain = Estimate(value=0.1, low=0.05, high=0.15)
    return Strength(alpha=alpha, task=gain, gain=gain, findings=list(found), broken=list(broken))


KEPT, LOST, FEW = asked("a", 0), asked("a", 200), asked("a", 0, n=12)
ABOVE = asked("a", 0, floor=0.3)


def test_a_strength_with_a_broken_probe_retains_nothing_worth_the_word() -> None:
    assert at(1, KEPT).retained
    assert not at(1, KEPT, broken=["forgetting/b"]).retained
    assert allowed([at(0, KEPT), at(0.5, KEPT, broken=["forgetting/b"]), at(1, KEPT)]) == 0


@pytest.mark.parametrize(
    ("points", "pieces", "absent"),
    [
        ([at(0, KEPT), at(1, KEPT)], ["retained at full strength"], "At strength"),
        ([at(0, KEPT), at(0.5, KEPT)], ["retained at every strength that was asked, up to 0.5"], "full"),
        ([at(0, ABOVE), at(1, ABOVE)], ["a is unclear (null copies of the base differ by up to 0.3"], "few"),
        ([at(0, FEW), at(1, FEW)], ["smallest strength asked, 0,", "(12 clusters cannot decide"], "copies"),
        ([at(0), at(1)], ["no probe of forgetting was asked"], "clusters"),
        (
            [at(0, KEPT), at(0.25, LOST), at(0.5, KEPT), at(1, LOST)],
            [
                "at 0, the base's own",
                "At strength 0.25 not everything is: a is lost.",
                "At 0.5 everything is retained again",
            ],
            "clusters",
        ),
        (
            [at(1, LOST), at(0.5, KEPT, broken=["forgetting/b"]), at(0.25, KEPT), at(0, KEPT)],
            ["Up to strength 0.25", "gains +0.100", "At strength 0.5 not everything is: b is not answered."],
            "again",
        ),
    ],
)
def test_the_reason_why_no_more_strength_is_allowed_comes_from_the_findings(
    points: list[Strength], pieces: list[str], absent: str
) -> None:
    said = strength_sentence(points)
    for piece in pieces:
        assert piece in said
    assert absent not in said


def test_cells_of_the_strength_table_stand_under_their_own_probe() -> None:
    two = asked("b", 200)
    names, rows = strength_table([at(0, KEPT, two), at(0.5, two), at(1, KEPT, broken=["forgetting/b", "forgetting/c"])])
    assert names == ["a", "b", "c"]
    first, middle, last = (cells for _, cells in rows)
    assert (first[0][-8:], first[1][-4:], first[2]) == ("retained", "lost", "not measured")
    assert (middle[0], middle[1]) == ("not measured", first[1])
    assert (last[0], last[1:]) == (first[0], ["not answered", "not answered"])
