"""A real browser for tests: Chromium of the system, driven by Playwright, and what its pages say and ask for."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

__all__ = ["Watch", "asked", "chromium", "serious", "served", "space", "waited", "watched"]

FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
]
QUIET = {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}


@dataclass
class Watch:
    """What a page said that it should not have, and whom it asked."""

    errors: list[str] = field(default_factory=list)
    strayed: list[str] = field(default_factory=list)

    def clean(self) -> None:
        """Assert that nothing went wrong, and that nobody off this machine was asked."""
        assert self.errors == []
        assert self.strayed == []


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start the browser, or skip with what is missing."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    for there, what in (
        (program, "Chromium is not installed (apt-get install chromium)"),
        *((importlib.util.find_spec(name), f"{name} is not installed") for name in ("playwright", "gradio")),
    ):
        if not there:
            pytest.skip(what)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def watched(browser: Browser, width: int = 1440, **settings: Any) -> Iterator[tuple[Page, Watch]]:
    """Open an empty page of a width; what its console calls an error, or it asks of others, is kept."""
    context = browser.new_context(viewport={"width": width, "height": 900}, **settings)
    context.set_default_timeout(60_000)
    page, watch = context.new_page(), Watch()
    page.on("console", lambda said: watch.errors.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: watch.errors.append(str(error)))
    page.on("request", lambda asked: None if _here(asked.url) else watch.strayed.append(asked.url))
    try:
        yield page, watch
    finally:
        context.close()


def _here(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme in ("data", "blob", "file") or parts.hostname == "127.0.0.1"


def serious(page: Page) -> list[str]:
    """Ask axe-core what is wrong; name what is serious or critical, and where (https://dequeuniversity.com/rules/axe)."""
    if importlib.util.find_spec("axe_playwright_python") is None:
        pytest.skip("axe-playwright-python is not installed")
    if not page.evaluate("'axe' in window"):
        page.evaluate((resources.files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8"))
    found = page.evaluate("axe.run()")["violations"]
    return [
        f"{one['id']}: {node['target']} {node.get('failureSummary', '')[:200]}"
        for one in found
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]


@contextmanager
def served(command: Sequence[str], folder: Path, **environment: str) -> Iterator[str]:
    """Run a server in a folder on a free port until it answers; return its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    given = {**os.environ, **QUIET, "GRADIO_SERVER_NAME": "127.0.0.1", "GRADIO_SERVER_PORT": str(port), **environment}
    typed = [str(port) if one == "PORT" else one for one in command]
    with (folder / "server.log").open("w") as log:
        process = subprocess.Popen(typed, cwd=folder, env=given, stdout=log, stderr=log)
        try:
            address = f"http://127.0.0.1:{port}"
            waited(address, process, folder / "server.log")
            yield address
        finally:
            process.terminate()
            process.wait(10)


def waited(address: str, process: subprocess.Popen[Any], log: Path, seconds: float = 120.0) -> float:
    """Wait until a server answers; return how long it took."""
    started = time.perf_counter()
    while time.perf_counter() - started < seconds:
        if process.poll() is not None:
            pytest.fail(f"the server ended: {log.read_text()[-2000:]}")
        try:
            with urlopen(address, timeout=5) as answer:
                answer.read()
                return time.perf_counter() - started
        except OSError:
            time.sleep(0.1)
    pytest.fail(f"no answer within {seconds:g} s: {log.read_text()[-2000:]}")


def space(files: Mapping[str, bytes], folder: Path) -> Path:
    """Lay out a Space repository."""
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def asked(address: str, endpoint: str, *given: Any) -> Any:
    """Ask a named endpoint, as any program can."""
    url = f"{address}/gradio_api/call/{endpoint}"
    request = Request(url, json.dumps({"data": list(given)}).encode(), {"Content-Type": "application/json"})
    with urlopen(request, timeout=10) as answer:
        event = json.load(answer)["event_id"]
    with urlopen(f"{url}/{event}", timeout=10) as answer:
        said = answer.read().decode()
    kind, _, data = said.strip().partition("\ndata: ")
    return kind.removeprefix("event: "), json.loads(data)
