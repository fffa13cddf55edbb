"""Every page can be read: axe-core finds no fault in either theme, nor do we in chart labels."""

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from core.config import to_query
from tests.kit import more
from tests.kit.browser import FAULTS, stand_still, wait_until_drawn
from tests.kit.runs import tiny
from tests.kit.visitor import Session, read_through, together
from ui.pages import PAGES
from ui.story.chapters import CHAPTERS

# The story of the CNN takes minutes to compile while two other tests are running.
pytestmark = pytest.mark.timeout(900)

Visit = Callable[..., Page]
STORIES = {key: row for key, row in PAGES.items() if row.section == "Stories"}
PHONE_WIDTH = 360
SOON = ("", "train", "microscope", "compare")  # drawn in seconds
BESIDES = ("heading-order", "empty-table-header")  # rules that we take more seriously than axe does

# Copies of a small pair show as much as copies of the question's pair.
QUERIES = {"twins": f"?{urlencode({**to_query(tiny()), 'b_loss': 'clip'})}"}


def findings(page: Page, within: str | None = None) -> list[str]:
    """Serious or critical violations, each with the place where it is and what was measured."""
    found: list[dict[str, Any]] = Axe().run(page, context=within).response["violations"]
    return [
        f"{rule['id']} ({rule['impact']}): {node['html'][:120]} {node['failureSummary'][:300]}"
        for rule in found
        for node in rule["nodes"]
        if rule["impact"] in ("serious", "critical") or rule["id"] in BESIDES
    ]


def assert_chapters(page: Page, key: str) -> None:
    """Assert that the story has the same chapters in the same order, and links to all others."""
    numbers = [text.split(" · ")[0] for text in page.locator(".stMain h2").all_text_contents()]
    assert numbers == [str(i) for i in range(1, len(CHAPTERS) + 1)]
    assert page.get_by_test_id("stMain").locator("h2").count() == len(CHAPTERS)
    page.get_by_text("Other ways to go on").click()
    onward = page.get_by_test_id("stMain").get_by_test_id("stPageLink-NavLink")
    others = {row.label for other, row in STORIES.items() if other != key}
    links = {words.splitlines()[-1] for words in onward.all_inner_texts()}  # after the icon
    assert others <= links


@pytest.mark.parametrize("key", [key if key in SOON else more(key) for key in ["", *PAGES]])
def test_every_page_is_accessible(visit: Visit, server: str, key: str) -> None:
    """Each page is visited only once, because drawing a story takes a minute."""
    if key in STORIES:
        together(lambda: read_through(Session(server, page=key)))
    page = visit(f"{server}/{key}{QUERIES.get(key, '')}")
    wait_until_drawn(page, key)
    if key in STORIES:
        assert_chapters(page, key)
    # What axe finds depends on the theme or on the width, so each is tried once.
    for scheme, width in (("light", 1400), ("dark", PHONE_WIDTH)):
        page.emulate_media(color_scheme=scheme)
        expect(page.locator(".stApp")).to_have_css("color-scheme", scheme)
        page.set_viewport_size({"width": width, "height": 1000})
        stand_still(page)
        found = findings(page)
        assert not found, f"{scheme}, at {width} px\n" + "\n".join(found)
    if key != "train":  # the trainer shows its charts one at a time: test_browser_labels.py
        assert not (found := page.evaluate(FAULTS)), "\n".join(found)


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_formula_and_code_can_be_read(visit: Visit, server: str, scheme: str) -> None:
    page = visit(f"{server}/train", scheme=scheme)
    wait_until_drawn(page, "train")
    page.get_by_role("button", name="What it does, how it fails").click()
    inside = page.get_by_test_id("stPopoverBody")
    expect(inside.locator(".katex-display")).to_be_visible()
    expect(inside.get_by_text("# ↓ here the gradient is lost")).to_be_visible()
    stand_still(page)
    for place in ("[data-testid=stPopoverBody]", ".stPopover"):
        assert not (found := findings(page, place)), "\n".join(found)


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_chosen_digits_can_be_read(visit: Visit, server: str, scheme: str) -> None:
    page = visit(f"{server}/microscope", scheme=scheme)
    wait_until_drawn(page, "microscope")
    page.get_by_role("radio", name="wrong, silent").click()
    expect(page.locator(".cards li")).to_have_count(24)
    stand_still(page)
    assert not (found := findings(page)), "\n".join(found)
