"""The server's first minutes in a real browser, however it was started."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.conftest import more
from tests.servers import APP, SCRIPT, SOON, Served, script_elsewhere, served
from ui.pages import PAGES

Visit = Callable[..., Page]
Serve = Callable[..., Served]
HEADINGS = {
    "": "Same(?) net",
    **{key: row.label.removeprefix("Story: ") for key, row in PAGES.items()},
}


@pytest.fixture
def serve(browser: Browser, tmp_path: Path) -> Iterator[Serve]:
    """Start a server that nobody has visited; it outlives the tabs, if asked for before `visit`."""
    with ExitStack() as servers:
        yield lambda *arguments, **variables: servers.enter_context(
            served(tmp_path, *arguments, **variables)
        )


@pytest.fixture
def tab(browser: Browser) -> Iterator[Page]:
    """A tab that may say that there is no such page."""
    context = browser.new_context()
    page = context.new_page()
    page.set_default_timeout(1000 * SOON)
    yield page
    context.close()


def expect_page(page: Page, key: str) -> None:
    """The page of that address, and neither an error nor another page over it."""
    expect(page.get_by_role("heading", name=HEADINGS[key], exact=True)).to_be_visible()
    expect(page.get_by_text("Page not found")).to_have_count(0)
    expect(page.get_by_test_id("stException")).to_have_count(0)


# Home, a page of the lab and a story: what stands in the way of the very first link hangs on no
# single page. That every page opens by a link says test_no_page_asks_another_host.
SOME = ("", "train", "jax_vs_keras")
ONE = ("train", *(more(key) for key in ("", "jax_vs_keras")))


@pytest.mark.parametrize("key", SOME)
def test_first_request_may_be_a_deep_link(serve: Serve, visit: Visit, key: str) -> None:
    page = visit(f"{serve(APP).address}/{key}?seed=3")
    expect_page(page, key)
    if key in ("train", "jax_vs_keras"):  # the others have no seed
        assert page.url.endswith("?seed=3"), "the query string stays"


@pytest.mark.parametrize("key", ONE)
def test_deep_links_where_a_script_elsewhere_executes_the_app(
    serve: Serve, visit: Visit, tmp_path: Path, key: str
) -> None:
    expect_page(visit(f"{serve(script_elsewhere(tmp_path)).address}/{key}"), key)


@pytest.mark.parametrize("key", ONE)
def test_deep_links_where_the_app_is_executed_as_a_script(
    serve: Serve, visit: Visit, tab: Page, key: str
) -> None:
    """There a folder called pages lies beside the main script, and the very first link suffers."""
    address = f"{serve(SCRIPT).address}/{key}"
    tab.goto(address)
    expect(tab.get_by_role("heading", name=HEADINGS[key], exact=True)).to_be_visible()
    expect_page(visit(address), key)


def test_wrong_address_says_so(tab: Page, server: str) -> None:
    tab.goto(f"{server}/nowhere")
    expect(tab.get_by_text("Page not found")).to_be_visible()
    expect(tab.get_by_role("heading", name=HEADINGS[""], exact=True)).to_be_visible()


def test_no_page_asks_another_host(tab: Page, server: str) -> None:
    asked: list[str] = []
    tab.context.on("request", lambda request: asked.append(request.url))
    tab.context.route(lambda url: not url.startswith(server), lambda route: route.abort())
    for key in HEADINGS:
        tab.goto(f"{server}/{key}")
        expect_page(tab, key)
        tab.wait_for_load_state("networkidle")
    icon = tab.locator("link[rel*=icon]").last
    assert (icon.get_attribute("href") or "").startswith("data:image/svg+xml")
    outside = [url for url in asked if not url.startswith((server, "data:", "blob:"))]
    assert asked and outside == []


@pytest.mark.parametrize(
    "variable",
    [more({}), {"SAMENET_FRAME_ANCESTORS": "'none'"}],
)
def test_pages_may_be_embedded_unless_the_host_says_no(
    serve: Serve, tab: Page, tmp_path: Path, variable: dict[str, str]
) -> None:
    frame = tmp_path / "frame.html"
    frame.write_text(f'<iframe src="{serve(**variable).address}"></iframe>')
    tab.goto(frame.as_uri())
    heading = tab.frame_locator("iframe").get_by_role("heading", name=HEADINGS[""], exact=True)
    if variable:
        tab.wait_for_timeout(1000)
        expect(heading).to_have_count(0)
    else:
        expect(heading).to_be_visible()
