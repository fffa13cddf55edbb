"""What every address has in a real browser: a message if it is wrong, an icon, and embedding."""

import re
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.kit.browser import HEADINGS, expect_page, wait_until_drawn

Visit = Callable[..., Page]
# Give the page a clipboard with one method, which notes what it is given, or none at all.
CLIPBOARD = """method => Object.defineProperty(navigator, "clipboard", {
    configurable: true,
    value: method ? {[method]: text => { window.copied = text; }} : undefined,
})"""


def test_a_wrong_address_says_so(tab: Page, server: str) -> None:
    tab.goto(f"{server}/nowhere")
    expect(tab.get_by_text("Page not found")).to_be_visible()
    expect(tab.get_by_role("heading", name=HEADINGS[""], exact=True)).to_be_visible()


def test_home_shows_the_first_cards_on_the_first_screen(visit: Visit, server: str) -> None:
    page = visit(server, 1280, 800)
    wait_until_drawn(page, "")
    box = page.get_by_text("From the JAX/Keras question.").bounding_box()  # a card's last line
    assert box is not None and box["y"] + box["height"] <= 800


def test_the_icon_comes_with_the_page(visit: Visit, server: str) -> None:
    page = visit(server)
    expect_page(page, "")
    icon = page.locator("link[rel*=icon]").last
    expect(icon).to_have_attribute("href", re.compile("^data:image/svg"))


def test_a_page_may_be_embedded(visit: Visit, server: str, tmp_path: Path) -> None:
    frame = tmp_path / "frame.html"
    frame.write_text(f'<iframe src="{server}"></iframe>')
    page = visit(frame.as_uri())
    heading = page.frame_locator("iframe").get_by_role("heading", name=HEADINGS[""], exact=True)
    expect(heading).to_be_visible()


def test_the_link_is_copied_or_else_shown_selected(visit: Visit, server: str) -> None:
    page = visit(f"{server}/microscope?span=50")
    wait_until_drawn(page, "microscope")
    button, said = page.get_by_role("button", name="Copy link"), page.get_by_role("status")
    page.evaluate(CLIPBOARD, "writeText")
    button.click()
    expect(said.filter(has_text="Copied.")).to_be_visible()
    assert page.evaluate("window.copied") == page.url == f"{server}/microscope?span=50"
    page.evaluate(CLIPBOARD, None)  # as over http
    button.click()
    expect(said.filter(has_text="Press Ctrl+C")).to_be_visible()
    expect(page.get_by_role("textbox", name="the link")).to_be_focused()
    assert page.evaluate("getSelection().toString()") == page.url
