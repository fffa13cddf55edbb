"""axe-core's judgement of every page, in both themes, with its charts and its pictures drawn."""

from collections.abc import Callable
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.servers import SOON
from ui.pages import PAGES

Visit = Callable[..., Page]
BESIDES = ("heading-order", "empty-table-header")  # rules that axe takes less seriously than we do


def wait_until_drawn(page: Page, key: str) -> None:
    """A page as its visitor reads it: not its skeleton, nor half a story."""
    match key:
        case "train":
            expect(page.locator("svg.marks")).to_have_count(4)
        case "microscope":
            expect(page.locator("svg.marks")).to_have_count(4)
            expect(page.get_by_test_id("stTable")).to_have_count(2)
        case "jax_vs_keras":
            page.get_by_test_id("stRadioOption").last.click()
            expect(page.get_by_role("heading", name="The fix")).to_be_visible(timeout=3000 * SOON)
            expect(page.get_by_role("img", name="handwritten digits")).to_have_count(2)
    expect(page.get_by_test_id("stSkeleton")).to_have_count(0)
    page.wait_for_timeout(500)  # until what fades in stands


def findings(page: Page) -> list[str]:
    """What is serious or critical, each with the place it was found at and what was measured."""
    found: list[dict[str, Any]] = Axe().run(page).response["violations"]
    return [
        f"{rule['id']} ({rule['impact']}): {node['html'][:120]} {node['failureSummary'][:300]}"
        for rule in found
        for node in rule["nodes"]
        if rule["impact"] in ("serious", "critical") or rule["id"] in BESIDES
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("key", ["", *PAGES])
def test_axe_finds_nothing_serious(visit: Visit, server: str, key: str, scheme: str) -> None:
    page = visit(f"{server}/{key}", scheme=scheme)
    wait_until_drawn(page, key)
    assert page.locator(".stApp").evaluate("e => getComputedStyle(e).colorScheme") == scheme
    assert not (found := findings(page)), "\n".join(found)
