"""A training that is killed and called again ends as one that was not: weights and curve bit for bit."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from audit.adapt import Plan, adapt, loop, resume
from audit.adapt.fit import Group, Penalty, fit
from audit.models.source import resolve
from audit.recipe import Domain, Full, Peft, Task
from audit.view import Item
from tests.test_fit_training import SETTINGS, Pull, State, classifier, collate, everything, gradual, rows, same, state

STEPS = 15
ROOT = Path(__file__).parents[1]


class Killed(BaseException):
    """Stands for a signal: nothing catches it."""


@pytest.fixture(autouse=True)
def _every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "SECONDS", 0.0)


class Noise:
    """A penalty that draws: by the step, as it must."""

    name, weight_of_task = "noise", 0.5

    def __call__(self, model: Any, step: int) -> torch.Tensor:
        drawn = torch.rand(2, 8, generator=torch.Generator().manual_seed(step))
        weight: torch.Tensor = model.classifier.weight
        return (weight * drawn).sum()


def train(
    checkpoints: Path | None,
    kill_after: int | None = None,
    groups: Callable[[Any], list[Group]] = everything,
    penalties: list[Penalty] | None = None,
    stop_at: int | None = None,
    kill_asked: bool = False,
    settings: Full = SETTINGS,
    seed: int = 0,
    fingerprint: str = "",
) -> tuple[State, pd.DataFrame, int]:
    """Train; return weights, curve and how many steps this call took."""
    model, taken = classifier(), []

    def told(done: int, total: int) -> None:
        taken.append(done)
        if done == kill_after:
            raise Killed

    def stop(model: Any, epoch: int) -> bool:
        if kill_asked and epoch == stop_at:
            raise Killed
        return epoch == stop_at

    curve = fit(
        model, rows(), collate, settings, groups(model), seed=seed, penalties=penalties or [],
        stop=None if stop_at is None else stop,
        fingerprint=fingerprint, checkpoints=checkpoints, progress=told,
    )  # fmt: skip
    return state(model), curve, len(taken)


HOW: dict[str, dict[str, Any]] = {
    "plain": {},
    "gradual": {"groups": gradual, "penalties": [Noise(), Pull(0.1)]},
    "stopped": {"stop_at": 1},
}


@cache
def whole(how: str) -> tuple[State, pd.DataFrame]:
    """Weights and curve of a training that is not interrupted."""
    return train(None, **HOW[how])[:2]


# 5 steps an epoch: killed within the first, at an end, just after one, late in the last
@pytest.mark.parametrize(
    ("how", "steps"), [("plain", (2,)), ("plain", (5,)), ("gradual", (6,)), ("gradual", (3, 7, 14))]
)
def test_resuming_equals_not_stopping(how: str, steps: tuple[int, ...], tmp_path: Path) -> None:
    options = HOW[how]
    weights, curve = whole(how)
    for step in steps:
        with pytest.raises(Killed):
            train(tmp_path / "kept", kill_after=step, **options)
    resumed, again, taken = train(tmp_path / "kept", **options)
    assert taken <= STEPS - steps[-1] + 1  # the step in which it was killed is taken again
    assert same(resumed, weights)
    pd.testing.assert_frame_equal(again, curve, check_exact=True)
    assert not (tmp_path / "kept").exists()


@pytest.mark.parametrize("step", [7, None])
def test_an_epoch_is_taken_back_by_a_resumed_training_too(step: int | None, tmp_path: Path) -> None:
    """The weights of the epoch before travel with the checkpoint; what ends an epoch is asked before it is saved."""
    weights, curve = whole("stopped")
    with pytest.raises(Killed):
        train(tmp_path / "kept", kill_after=step, stop_at=1, kill_asked=step is None)
    resumed, again, taken = train(tmp_path / "kept", stop_at=1)
    assert taken == (4 if step else 1)
    assert same(resumed, weights)
    pd.testing.assert_frame_equal(again, curve, check_exact=True)


def test_a_checkpoint_cut_off_in_writing_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights, curve = whole("plain")
    synced, sync = list[Path](), resume._sync

    def cut(path: Path) -> None:
        synced.append(path)
        if "unfinished" in path.parts and path.name == "optimizer.pt" and len(synced) > 30:
            path.write_bytes(path.read_bytes()[:100])
            raise Killed
        sync(path)

    monkeypatch.setattr(resume, "_sync", cut)
    with pytest.raises(Killed):
        train(tmp_path / "kept")
    monkeypatch.undo()
    written = [path.name for path in (tmp_path / "kept").glob("step-*")]
    assert len(written) == 1
    assert (tmp_path / "kept" / "unfinished").is_dir()
    resumed, again, taken = train(tmp_path / "kept")
    assert taken == STEPS - int(written[0].removeprefix("step-"))
    assert same(resumed, weights)
    pd.testing.assert_frame_equal(again, curve, check_exact=True)


def test_one_checkpoint_is_kept_and_holds_only_what_training_changes(tmp_path: Path) -> None:
    from safetensors import safe_open

    with pytest.raises(Killed):
        train(tmp_path / "kept", kill_after=8, groups=gradual)
    (kept,) = (tmp_path / "kept").iterdir()
    assert kept.name == "step-7"
    with safe_open(kept / loop.NOW, framework="pt") as tensors:
        names = set(tensors.keys())
    buffers = {"bert.embeddings.position_ids", "bert.embeddings.token_type_ids"}
    assert names == {name for group in gradual(classifier()) for name in group.names} | buffers


@pytest.mark.parametrize(
    "other",
    [
        {"seed": 1},
        {"settings": SETTINGS.model_copy(update={"learning_rate": 2e-2})},
        {"groups": gradual},
        {"fingerprint": "of other data"},
    ],
)
def test_a_checkpoint_of_another_training_is_not_read(other: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(Killed):
        train(tmp_path / "kept", kill_after=12)
    weights, _, taken = train(tmp_path / "kept", **other)
    assert taken == STEPS
    assert same(weights, train(None, **other)[0])


METHOD = Full(method="full", epochs=2, batch_size=4, learning_rate=1e-3, max_length=16)
ITEMS = [Item(id=f"t{n}", cluster=f"t{n}", text=f"The clerk was {n} late.", label="ab"[n % 2]) for n in range(16)]


def killed(work: Callable[[Callable[[int, int], None]], Any], last: int = 3) -> None:
    """Do some work until it tells of its third step."""

    def told(done: int, total: int) -> None:
        if done == last:
            raise Killed

    with pytest.raises(Killed):
        work(told)


def test_a_checkpoint_of_other_labels_of_the_same_texts_is_not_read(tiny_encoder: Path, tmp_path: Path) -> None:
    plan = Plan(resolve(str(tiny_encoder)), "encoder", Task(dataset="none", labels=("a", "b")), METHOD)
    others = [item.model_copy(update={"label": "ab"["ab".index(item.label or "") - 1]}) for item in ITEMS]
    for name in ("killed", "resumed", "clean"):
        (tmp_path / name).mkdir()
    kept = tmp_path / "kept"
    killed(lambda told: adapt(plan, ITEMS, 0, tmp_path / "killed", checkpoints=kept, progress=told))
    assert kept.is_dir()
    adapt(plan, others, 0, tmp_path / "resumed", checkpoints=kept)
    adapt(plan, others, 0, tmp_path / "clean")
    written = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("resumed", "clean")]
    assert written[0] == written[1]


def test_a_checkpoint_of_pretraining_on_other_texts_is_not_read(bert: Path, tmp_path: Path) -> None:
    from audit.adapt.domain import pretrain

    base, kept = resolve(str(bert)), tmp_path / "kept"
    domain = Domain(epochs=2, batch_size=4, learning_rate=1e-3, max_length=16)
    others = [item.model_copy(update={"text": f"A {item.text}"}) for item in ITEMS]
    for name in ("killed", "resumed", "clean"):
        (tmp_path / name).mkdir()
    killed(lambda told: pretrain(base, "encoder", domain, ITEMS, 0, tmp_path / "killed", checkpoints=kept,
                                 progress=told))  # fmt: skip
    assert kept.is_dir()
    pretrain(base, "encoder", domain, others, 0, tmp_path / "resumed", checkpoints=kept)
    pretrain(base, "encoder", domain, others, 0, tmp_path / "clean")
    written = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("resumed", "clean")]
    assert written[0] == written[1]


def test_the_fingerprint_of_a_plan_holds_all_that_its_training_depends_on(tiny_encoder: Path, bert: Path) -> None:
    base, other = resolve(str(tiny_encoder)), resolve(str(bert))
    plan = Plan(base, "encoder", Task(dataset="none", labels=("a", "b")), METHOD, ITEMS[:4])
    changed = [
        replace(plan, base=other),
        replace(plan, start=other),
        replace(plan, kind="sentence_encoder"),
        replace(plan, task=Task(dataset="none", labels=("b", "a"))),
        replace(plan, method=METHOD.model_copy(update={"learning_rate": 2e-3})),
        replace(plan, general=ITEMS[4:8]),
        replace(plan, code="another version"),
    ]
    said = [one.fingerprint(ITEMS, 0) for one in (plan, *changed)]
    said += [plan.fingerprint(ITEMS, 1), plan.fingerprint(ITEMS[1:], 0), plan.fingerprint(ITEMS[::-1], 0)]
    assert len(set(said)) == len(said)
    assert replace(plan).fingerprint(ITEMS, 0) == said[0]


def test_an_adapter_is_written_alike_by_every_process(tiny_encoder: Path, tmp_path: Path) -> None:
    """PEFT holds names in a set, whose order is another in every process."""
    method = Peft(method="peft", epochs=1, batch_size=16, max_length=16)
    adapt(Plan(resolve(str(tiny_encoder)), "encoder", Task(dataset="none", labels=("a", "b")), method), ITEMS, 0,
          tmp_path)  # fmt: skip
    names = json.loads((tmp_path / "adapter_config.json").read_text())["target_modules"]
    assert len(names) > 5
    assert names == sorted(names)


def test_a_short_training_writes_no_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "SECONDS", 60.0)
    with pytest.raises(Killed):
        train(tmp_path / "kept", kill_after=12)
    assert not (tmp_path / "kept").exists()


def test_a_process_that_is_killed_in_mid_epoch_goes_on_where_it_was(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.test_resume", str(tmp_path / "kept")], cwd=ROOT, check=False, timeout=240
    )
    assert done.returncode == -signal.SIGKILL
    resumed, curve, taken = train(tmp_path / "kept")
    weights, uncut = whole("plain")
    assert taken == STEPS - 7
    assert same(resumed, weights)
    pd.testing.assert_frame_equal(curve, uncut, check_exact=True)


if __name__ == "__main__":  # what that test kills
    torch.set_num_threads(1)
    loop.SECONDS = 0.0
    model = classifier()

    def die(done: int, total: int) -> None:
        if done == 8:
            os.kill(os.getpid(), signal.SIGKILL)

    fit(model, rows(), collate, SETTINGS, everything(model), seed=0, checkpoints=Path(sys.argv[1]), progress=die)
