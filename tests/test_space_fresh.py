"""A Space starts from a fresh virtual environment with exactly its requirements, and reads evidence that is pinned."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path
from urllib.request import urlopen

import pytest

from audit.publish.space import space_files
from tests import displays
from tests.browser import asked, served, space
from tests.hub import Hub


@pytest.fixture(scope="module")
def run(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return displays.ran(tiny_encoder, tmp_path_factory.mktemp("fresh") / "run")


@pytest.fixture(scope="module")
def fresh(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Python of an environment that holds what the Space asks for, and nothing else."""
    folder = tmp_path_factory.mktemp("venv")
    (folder / "requirements.txt").write_bytes(space_files([run], sdk="gradio", title="A")["requirements.txt"])
    fast = shutil.which("uv")
    python = folder / "bin" / "python"
    venv.create(folder, with_pip=fast is None)
    installer = [fast, "pip", "install", "--python", str(python)] if fast else [str(python), "-m", "pip", "install"]
    done = subprocess.run(
        [*installer, "--quiet", "--requirement", str(folder / "requirements.txt")], capture_output=True, text=True
    )
    if done.returncode and any(word in done.stderr for word in ("resolve host", "Connection", "connect", "network")):
        pytest.skip("no package registry can be reached")
    assert done.returncode == 0, done.stderr
    return python


def test_a_space_starts_and_serves(run: Path, fresh: Path, tmp_path: Path) -> None:
    folder = space(space_files([run], sdk="gradio", title="Feedback: audited"), tmp_path)
    with served([str(fresh), "app.py"], folder) as address:
        with urlopen(address, timeout=10) as page:
            assert "Feedback: audited" in page.read().decode()
        kind, [rows] = asked(address, "findings", "tiny", "", "", "")
        assert kind == "complete"
        assert len(rows) >= 10
    absent = subprocess.run([str(fresh), "-c", "import torch"], capture_output=True, text=True)
    assert "No module named 'torch'" in absent.stderr


def test_a_space_on_zero_gpu_has_the_function_that_it_must_have(run: Path, fresh: Path, tmp_path: Path) -> None:
    """ZeroGPU stops a Space that decorates nothing with ``spaces.GPU``; the package here records what is decorated."""
    folder = space(space_files([run], sdk="gradio", title="A"), tmp_path)
    (folder / "space.json").write_text(json.dumps({"title": "Empty", "reports": [], "datasets": []}))
    (folder / "spaces.py").write_text(
        "from pathlib import Path\n"
        "def GPU(duration):\n"
        "    return lambda asked: Path('registered').write_text(f'{asked} {duration}')\n"
    )
    with served([str(fresh), "app.py"], folder, SPACES_ZERO_GPU="true") as address:
        assert (folder / "registered").read_text().endswith(" 1")
        with urlopen(address, timeout=10) as page:
            assert "There is no report here." in page.read().decode()


def test_a_space_reads_a_data_set_at_the_revision_that_it_pins(hub: Hub, run: Path, tmp_path: Path) -> None:
    """What came after the pinned revision is not shown."""
    from huggingface_hub import HfApi

    api = HfApi()
    api.create_repo("tester/m-audit", repo_type="dataset")
    published = displays.display(run, tmp_path / "published")
    pinned = api.upload_folder(repo_id="tester/m-audit", repo_type="dataset", folder_path=published)
    later = displays.display(run, tmp_path / "later", lambda report: report["recipe"].update(name="later"))
    api.upload_folder(repo_id="tester/m-audit", repo_type="dataset", folder_path=later)
    files = space_files([], sdk="gradio", title="A", pins=[("tester/m-audit", pinned.oid)])
    assert json.loads(files["space.json"])["datasets"] == [{"id": "tester/m-audit", "revision": pinned.oid}]
    folder = space(files, tmp_path / "space")
    with served(
        [sys.executable, "app.py"], folder, HF_HUB_OFFLINE="0", HF_ENDPOINT=os.environ["HF_ENDPOINT"]
    ) as address:
        assert asked(address, "findings", "tiny", "", "", "")[0] == "complete"
        assert asked(address, "findings", "later", "", "", "")[0] == "error"
