"""Asked on two ranks, a view gives the answers of one, in the same order, to every rank."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from audit.cli import main
from audit.items import passages
from audit.models.load import load_base
from audit.models.source import resolve
from audit.report import load_report
from audit.view import Kind
from tests import tiny

ROOT = Path(__file__).parents[1]


def launch(*command: str) -> None:
    """Start two gloo ranks as ``accelerate launch`` does on GPUs; on a CPU it starts one."""
    two = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*two, *command], capture_output=True, text=True, cwd=ROOT, env=environment, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-9000:]


@pytest.mark.parametrize("kind", ["encoder", "causal"])
def test_two_ranks_answer_as_one(kind: Kind, tmp_path: Path, tiny_encoder: Path, tiny_causal: Path) -> None:
    folder = tiny_encoder if kind == "encoder" else tiny_causal
    launch("-m", "tests.ranks", str(folder), kind, str(tmp_path))
    texts = list(passages()[::40])
    alone = load_base(resolve(str(folder)), kind).ask("log_likelihood" if kind == "causal" else "embedding", texts)
    for rank in (0, 1):
        heard = np.load(tmp_path / f"{rank}.npy")
        assert heard.shape == alone.shape
        assert np.all(np.abs(heard - alone) <= 1e-5 * np.maximum(1, np.abs(alone)))
        assert np.allclose(np.load(tmp_path / f"few-{rank}.npy"), alone[:1], atol=1e-5)
        assert "not enough memory" in (tmp_path / f"memory-{rank}.txt").read_text()
        assert np.allclose(np.load(tmp_path / f"after-{rank}.npy"), alone, atol=1e-3)  # nobody is a question behind
        assert "pseudo_log_likelihood: " in (tmp_path / f"{rank}.txt").read_text()  # and no rank waits for another


def test_a_run_on_two_ranks_is_one_run_and_says_what_one_rank_says(tmp_path: Path, tiny_encoder: Path) -> None:
    """Trained on both, written by the first; then the result is audited on one rank and on two."""
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(tiny.toml(tiny.recipe(tiny_encoder)))
    launch("-m", "audit", "run", str(recipe), "--out", str(tmp_path / "run"))
    first = load_report(tmp_path / "run")
    assert {path.name for path in (tmp_path / "run").iterdir()} >= {"report.json", "card.md", "evidence"}
    assert not list((tmp_path / "run").glob("**/.tmp-*"))
    adapted = tmp_path / "run" / "models" / "seed-0"
    arguments = ("audit", str(adapted), "--base", str(tiny_encoder), "--recipe", str(recipe))
    launch("-m", "audit", *arguments, "--out", str(tmp_path / "two"))
    with pytest.raises(SystemExit):
        main([*arguments, "--out", str(tmp_path / "one")])
    two, one = load_report(tmp_path / "two"), load_report(tmp_path / "one")
    assert [finding.id for finding in two.findings] == [finding.id for finding in one.findings] != []
    for left, right in zip(two.findings, one.findings, strict=True):
        assert left.adapted.value == pytest.approx(right.adapted.value, abs=1e-5)
        assert left.verdict == right.verdict
    assert [finding.id for finding in first.findings] == [finding.id for finding in one.findings]
