"""A real server and a real Chromium. Without a Chromium these tests are skipped."""

import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, ViewportSize, expect, sync_playwright

from tests.conftest import ROOT
from tests.servers import SOON, served

CHROMIUMS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
expect.set_options(timeout=1000 * SOON)


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
    with served(tmp_path_factory.mktemp("server"), PYTHONPATH=_path("smaller")) as server:
        yield server.address


@pytest.fixture
def fresh_server(browser: Browser, tmp_path: Path) -> Iterator[str]:
    """A server that nobody has visited."""
    with served(tmp_path) as server:
        yield server.address


@pytest.fixture
def seldom_server(browser: Browser, tmp_path: Path) -> Iterator[str]:
    """A server that sends seldom, as a slow host does."""
    with served(tmp_path, PYTHONPATH=_path("seldom")) as server:
        yield server.address


def _path(first: str) -> str:
    """Python's path with a folder whose sitecustomize changes the server."""
    return os.pathsep.join(map(str, (ROOT / "tests" / first, ROOT)))


@pytest.fixture
def visit(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Open an address in a tab of its own; any error that our page logs fails the test."""
    contexts, errors = [], []

    def visit(address: str, width: int = 1400, height: int = 1000, scheme: str = "light") -> Page:
        size = ViewportSize(width=width, height=height)
        context = browser.new_context(viewport=size, color_scheme=scheme)
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
    harmless = not url.startswith("http://127.0.0.1") or re.search(r"/\w+/_stcore/", url)
    return [f"{message.text} ({url})"] if message.type == "error" and not harmless else []
