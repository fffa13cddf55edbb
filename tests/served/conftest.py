"""The server that most tests share, and a real Chromium. Without one these tests are skipped."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import ConsoleMessage, Page, Request, expect, sync_playwright

from tests.kit import MINUTE
from tests.kit.browser import CHROMIUMS, FLAGS, chromium
from tests.kit.servers import SMALL, served

expect.set_options(timeout=1000 * MINUTE)
# Not by a route of Playwright's, which would keep the browser from keeping any file.
NOT_OUTSIDE = "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1"


@pytest.fixture(scope="session")
def browser_tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """A tab of a browser that has loaded Streamlit's own files before, as on a second visit."""
    if (found := chromium()) is None:
        pytest.skip(f"no Chromium on PATH ({', '.join(CHROMIUMS)})")
    with sync_playwright() as playwright:
        profile = playwright.chromium.launch_persistent_context(
            tmp_path_factory.mktemp("profile"), executable_path=found, args=[*FLAGS, NOT_OUTSIDE]
        )
        page = profile.pages[0]
        page.set_default_timeout(1000 * MINUTE)
        yield page
        profile.close()


@pytest.fixture(scope="session")
def asked_for(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of the runs that the shared server was asked for: the query of one a line."""
    return tmp_path_factory.mktemp("server") / "runs"


@pytest.fixture(scope="session")
def server(browser_tab: Page, asked_for: Path) -> Iterator[str]:
    """The server that most tests share. It needs the browser: without one, none is started."""
    with served(asked_for.parent, SMALL, SAMENET_TESTS_RUNS=str(asked_for)) as server:
        yield server.url


@pytest.fixture(scope="module")
def tab(browser_tab: Page) -> Iterator[Page]:
    """The tab in which all tests take turns: what it has compiled of Streamlit's files it keeps."""
    yield browser_tab
    browser_tab.goto("about:blank")


@pytest.fixture
def visit(tab: Page) -> Iterator[Callable[..., Page]]:
    """Open an address in the tab; an error of our page, or a request to another host, fails.

    Not `anew`, a page that the test before has left at this address stays as it is.
    """
    faults: list[str] = []
    listeners = {
        "pageerror": lambda error: faults.append(str(error)),
        "console": lambda message: faults.extend(_ours(message)),
        "request": lambda request: faults.extend(_outside(request)),
    }
    for event, listener in listeners.items():
        tab.on(event, listener)  # type: ignore[call-overload]

    def visit(
        address: str, width: int = 1400, height: int = 1000, scheme: str = "light",
        anew: bool = True,
    ) -> Page:  # fmt: skip
        tab.set_viewport_size({"width": width, "height": height})
        tab.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        if anew or tab.url != address:
            tab.goto(address)
        return tab

    yield visit
    for event, listener in listeners.items():
        tab.remove_listener(event, listener)
    assert faults == []


def _outside(request: Request) -> list[str]:
    """The address of a request to another host."""
    inside = request.url.startswith(("http://127.0.0.1", "file:", "data:", "blob:", "about:"))
    return [] if inside else [request.url]


def _ours(message: ConsoleMessage) -> list[str]:
    """The text of an error, or of a warning of Vega's, unless it is none of the page's own.

    Not its own are look-ups in the outside world, and Streamlit's search for its server: opened
    at /train, it asks for /train/_stcore/health before /_stcore/health.
    """
    if message.text.startswith("WARN "):  # as of an empty axis, or a scale that cannot be
        return [message.text]
    url = message.location["url"]
    harmless = not url.startswith("http://127.0.0.1") or re.search(r"/\w+/_stcore/", url)
    return [f"{message.text} ({url})"] if message.type == "error" and not harmless else []
