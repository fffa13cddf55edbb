"""A real server and a real Chromium. Without a Chromium these tests are skipped."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

from tests.conftest import ROOT

CHROMIUMS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
SOON = 60.0  # seconds that a slow machine may take

expect.set_options(timeout=1000 * SOON)


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of a fresh server, which is stopped at the end."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [
        sys.executable, "-m", "streamlit.web.cli", "run", "app.py", "--server.headless=true",
        "--server.address=127.0.0.1", f"--server.port={port}", "--server.fileWatcherType=none",
    ]  # fmt: skip
    data = {"SAMENET_MNIST_DIR": str(folder), "SAMENET_DATA_DIR": str(folder)}
    with (
        (folder / "server.log").open("w") as log,
        subprocess.Popen(
            command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT, env={**os.environ, **data}
        ) as server,
    ):
        address = f"http://127.0.0.1:{port}"
        try:
            _wait_until_healthy(address, server)
            yield address
            assert server.poll() is None, f"the server died: {server.returncode}"
        finally:
            server.terminate()
            try:
                server.wait(timeout=SOON)
            except subprocess.TimeoutExpired:
                server.kill()
                raise
    assert server.returncode == 0, "the server did not end cleanly"
    assert "Traceback" not in (said := (folder / "server.log").read_text()), said


def _wait_until_healthy(address: str, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + SOON
    while True:
        try:
            with urlopen(f"{address}/_stcore/health", timeout=SOON):
                return
        except URLError:
            assert server.poll() is None and time.monotonic() < deadline, "no server came up"
            time.sleep(0.05)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    found = next(filter(None, map(shutil.which, CHROMIUMS)), None)
    if found is None:
        pytest.skip(f"no Chromium on PATH ({', '.join(CHROMIUMS)})")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def server(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The server that most tests share. It needs the browser: without one, none is started."""
    with served(tmp_path_factory.mktemp("server")) as address:
        yield address


@pytest.fixture
def fresh_server(browser: Browser, tmp_path: Path) -> Iterator[str]:
    """A server that nobody has visited."""
    with served(tmp_path) as address:
        yield address


@pytest.fixture
def visit(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Open an address in a tab of its own; any error that our page logs fails the test."""
    contexts, errors = [], []

    def visit(address: str, width: int = 1400, height: int = 1000) -> Page:
        context = browser.new_context(viewport={"width": width, "height": height})
        contexts.append(context)
        # Streamlit's front end asks the outside world for a few things: never from a test.
        context.route(lambda url: not url.startswith("http://127.0.0.1"), lambda r: r.abort())
        page = context.new_page()
        page.set_default_timeout(1000 * SOON)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda message: errors.extend(_ours(message)))
        page.goto(address)
        return page

    yield visit
    for context in contexts:
        context.close()
    assert errors == []


def _ours(message: ConsoleMessage) -> list[str]:
    """The text of an error, unless it tells of a look-up that is none of the page's own.

    Those are look-ups in the outside world, and Streamlit's search for its own server: opened
    at /train, it asks for /train/_stcore/health before /_stcore/health.
    """
    url = message.location["url"]
    harmless = not url.startswith("http://127.0.0.1") or "/train/_stcore/" in url
    return [f"{message.text} ({url})"] if message.type == "error" and not harmless else []
