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
# Not with a route of Playwright, which would keep the browser from caching any file.
NOT_OUTSIDE = "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1"
# Streamlit's placeholders do not pulse. Two dozen of them take half a core to draw without a GPU,
# while the network that they wait for is compiled.
STILL = """document.addEventListener("DOMContentLoaded", () => {
    const style = document.createElement("style");
    style.textContent = "[data-testid=stSkeleton] { animation: none !important; }";
    document.head.append(style);
})"""


@pytest.fixture(scope="session")
def browser_tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """The tab of a browser whose profile all tests share."""
    if (found := chromium()) is None:
        pytest.skip(f"no Chromium on PATH ({', '.join(CHROMIUMS)})")
    with sync_playwright() as playwright:
        profile = playwright.chromium.launch_persistent_context(
            tmp_path_factory.mktemp("profile"), executable_path=found, args=[*FLAGS, NOT_OUTSIDE]
        )
        profile.add_init_script(STILL)
        page = profile.pages[0]
        page.set_default_timeout(1000 * MINUTE)
        yield page
        profile.close()


@pytest.fixture(scope="session")
def asked_for(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of the runs that the shared server was asked for, one query on each line."""
    return tmp_path_factory.mktemp("server") / "runs"


@pytest.fixture(scope="session")
def server(browser_tab: Page, asked_for: Path) -> Iterator[str]:
    """The server that most tests share. It needs the browser, and does not start without one."""
    with served(asked_for.parent, SMALL, SAMENET_TESTS_RUNS=str(asked_for)) as server:
        yield server.url


@pytest.fixture(scope="module")
def tab(browser_tab: Page) -> Iterator[Page]:
    """The one tab that all tests use in turn, so that Streamlit's files stay compiled in it."""
    yield browser_tab
    browser_tab.goto("about:blank")


@pytest.fixture
def visit(tab: Page) -> Iterator[Callable[..., Page]]:
    """A function that opens an address in the tab.

    The test fails on an error of our page, and on a request to another host. With `reload=False`, a
    page that the previous test left at this address is not reloaded.
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
        reload: bool = True,
    ) -> Page:  # fmt: skip
        tab.set_viewport_size({"width": width, "height": height})
        tab.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        if reload or tab.url != address:
            tab.goto(address)
        return tab

    yield visit
    for event, listener in listeners.items():
        tab.remove_listener(event, listener)
    assert faults == []


def _outside(request: Request) -> list[str]:
    """The address of a request, if it goes to another host."""
    inside = request.url.startswith(("http://127.0.0.1", "file:", "data:", "blob:", "about:"))
    return [] if inside else [request.url]


def _ours(message: ConsoleMessage) -> list[str]:
    """The text of a message, if it is a warning of Vega's or an error of our own.

    Errors in fetching from other hosts are not ours, nor is Streamlit's search for its server:
    opened at /train, it asks for /train/_stcore/health before /_stcore/health.
    """
    if message.text.startswith("WARN "):  # such as of an empty axis, or of an impossible scale
        return [message.text]
    url = message.location["url"]
    harmless = not url.startswith("http://127.0.0.1") or re.search(r"/\w+/_stcore/", url)
    return [f"{message.text} ({url})"] if message.type == "error" and not harmless else []
