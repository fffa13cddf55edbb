"""axe-core's judgement of every page, in both themes, with its charts and its pictures drawn."""

from collections.abc import Callable
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.browser.drawn import wait_until_drawn
from ui.pages import PAGES

Visit = Callable[..., Page]
BESIDES = ("heading-order", "empty-table-header")  # rules that axe takes less seriously than we do


def findings(page: Page, within: str | None = None) -> list[str]:
    """What is serious or critical, each with the place it was found at and what was measured."""
    found: list[dict[str, Any]] = Axe().run(page, context=within).response["violations"]
    return [
        f"{rule['id']} ({rule['impact']}): {node['html'][:120]} {node['failureSummary'][:300]}"
        for rule in found
        for node in rule["nodes"]
        if (rule["impact"] in ("serious", "critical") or rule["id"] in BESIDES)
        and not _scrolls_as_a_table(page, rule["id"], node["target"][0])
    ]


def _scrolls_as_a_table(page: Page, rule: str, place: str) -> bool:
    """Whether what is found is that Streamlit's own wide table has nothing to focus.

    Browsers let the Tab key reach a box that scrolls (Chromium since 130), which axe does not
    count.
    """
    inside = "e => e.closest('[data-testid=stTable]') !== null"
    return rule == "scrollable-region-focusable" and page.locator(place).evaluate(inside)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("key", ["", *PAGES])
def test_axe_finds_nothing_serious(visit: Visit, server: str, key: str, scheme: str) -> None:
    page = visit(f"{server}/{key}", scheme=scheme)
    wait_until_drawn(page, key)
    assert page.locator(".stApp").evaluate("e => getComputedStyle(e).colorScheme") == scheme
    for width in (1400, 360):
        page.set_viewport_size({"width": width, "height": 1000})
        page.wait_for_timeout(1000)  # until the charts have their new width
        assert not (found := findings(page)), f"at {width} px\n" + "\n".join(found)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_formula_and_code_can_be_read(visit: Visit, server: str, scheme: str) -> None:
    page = visit(f"{server}/train", scheme=scheme)
    wait_until_drawn(page, "train")
    page.get_by_role("button", name="Formula and code").click()
    inside = page.get_by_test_id("stPopoverBody")
    expect(inside.locator(".katex-display")).to_be_visible()
    expect(inside.get_by_text("# ↓ here the gradient is lost")).to_be_visible()
    page.wait_for_timeout(500)  # until it has faded in
    for place in ("[data-testid=stPopoverBody]", ".stPopover"):
        assert not (found := findings(page, place)), "\n".join(found)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_chosen_digits_can_be_read(visit: Visit, server: str, scheme: str) -> None:
    page = visit(f"{server}/microscope", scheme=scheme)
    wait_until_drawn(page, "microscope")
    page.get_by_role("radio", name="wrong, no say").click()
    expect(page.locator(".cards li")).to_have_count(24)
    page.wait_for_timeout(500)
    assert not (found := findings(page)), "\n".join(found)
