"""Trained on two ranks, a model is the same on both, resumed or not, and learns what it learns on one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import torch
from safetensors.torch import load_file

from audit.report import load_report
from tests import tiny
from tests.test_ranks import ROOT, launch
from tests.train_on_ranks import train


def test_two_ranks_train_as_one_and_resume_as_if_never_killed(tmp_path: Path) -> None:
    """Each takes half of every batch, so that without dropout (which each draws) the weights are those of one rank."""
    launch("-m", "tests.train_on_ranks", str(tmp_path))
    kinds = ("resumed", "whole", "without")
    weights = {(name, rank): load_file(tmp_path / f"{name}-{rank}.safetensors") for name in kinds for rank in (0, 1)}
    curves = {(name, rank): pd.read_pickle(tmp_path / f"{name}-{rank}.pkl") for name in kinds for rank in (0, 1)}
    for one, other in ((("whole", 0), ("whole", 1)), (("whole", 0), ("resumed", 0)), (("whole", 0), ("resumed", 1))):
        assert all(torch.equal(weights[one][name], tensor) for name, tensor in weights[other].items())
        pd.testing.assert_frame_equal(curves[one], curves[other], check_exact=True)
    assert {(tmp_path / f"{rank}.txt").read_text() for rank in (0, 1)} == {"step-5"}
    model, curve = train(dropout=False)
    pd.testing.assert_frame_equal(curve, curves["without", 0], rtol=1e-4)
    for name, tensor in model.state_dict().items():
        if not name.endswith("key.bias"):  # it moves no attention: Adam blows its rounding up to a step
            assert torch.allclose(tensor, weights["without", 0][name], atol=1e-4), name


def test_accelerate_launches_a_run_on_two_cpu_processes(tmp_path: Path, tiny_encoder: Path) -> None:
    """With --cpu it starts one process; --multi_gpu starts as many as are asked for, and they find no GPU."""
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(tiny.toml(tiny.recipe(tiny_encoder, audit={})))
    two = ["-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--num_machines", "1"]
    settings = ["--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"]
    logs = ["--tee", "3", "--log_dir", str(tmp_path / "logs")]
    done = subprocess.run(
        [sys.executable, *two, *settings, *logs, "-m", "audit", "run", str(recipe), "--out", str(tmp_path / "run")],
        capture_output=True, text=True, cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-9000:]
    assert sorted(path.name for path in (tmp_path / "logs").glob("*/attempt_0/*")) == ["0", "1"]  # the processes
    assert load_report(tmp_path / "run").adapted.trainable_parameters
