"""The pytest plugin: the fixture ``hub``, and no test may leave the machine.

The clients read HF_ENDPOINT when they are imported, so the address is fixed when this module is: one socket for the
whole session, and a fresh Hub behind it for every test. Import it before huggingface_hub.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

if "huggingface_hub" in sys.modules:
    raise RuntimeError("tests.hub.plugin must be imported before huggingface_hub, which reads HF_ENDPOINT only once")

from tests.hub import guard
from tests.hub.hub import Hub
from tests.hub.server import Server

SERVER = Server()
ASKED: set[str] = set()  # names of the handlers that answered in this session
os.environ["HF_ENDPOINT"] = SERVER.endpoint
SERVER.start()
guard.watch()


# what the clients do to each other, and no test can mend
OLD_WAYS = ("ignore:Use 'content=<...>' to upload raw bytes/text content:DeprecationWarning",)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the clients have their own warnings: huggingface_hub 2.4 sends large files by an old argument of httpx2.

    What looks back at all that was asked comes last.
    """
    items.sort(key=lambda item: item.name == "test_every_route_was_asked")
    for item in items:
        if "hub" in getattr(item, "fixturenames", ()):
            for way in OLD_WAYS:
                item.add_marker(pytest.mark.filterwarnings(way))


@pytest.fixture(autouse=True)
def _stays_on_this_machine() -> Iterator[None]:
    guard.strayed.clear()
    yield
    assert not guard.strayed, f"connections off the loopback: {guard.strayed}"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A fresh Hub that all clients of this process talk to, with empty caches and the token of ``tester``.

    Processes that the test starts inherit it all. Xet is off: see ``tests.hub.xet`` for having it on.
    """
    import datasets.config
    import huggingface_hub
    from huggingface_hub import constants

    SERVER.hub = Hub(SERVER.endpoint)
    home = tmp_path / "hf"
    for name, value in (("TOKEN", SERVER.hub.token), ("HOME", home), ("HUB_OFFLINE", 0), ("HUB_DISABLE_XET", 1)):
        monkeypatch.setenv(f"HF_{name}", str(value))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    for name, folder in (("HF_HUB_CACHE", "hub"), ("HF_ASSETS_CACHE", "assets"), ("HF_TOKEN_PATH", "token")):
        monkeypatch.setattr(constants, name, str(home / folder))
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)  # datasets took copies when it was imported
    monkeypatch.setattr(datasets.config, "HF_DATASETS_OFFLINE", False)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", home / "datasets")
    monkeypatch.setattr(datasets.config, "HF_MODULES_CACHE", str(home / "modules"))
    yield SERVER.hub
    huggingface_hub.close_session()
    ASKED.update(one.handler for one in SERVER.hub.requests)
    assert not SERVER.hub.broken, "\n".join(SERVER.hub.broken)
