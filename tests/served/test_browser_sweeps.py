"""A sweep in a real browser: it runs to its end, and a click opens the run that was clicked."""

import re
from collections.abc import Callable
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Page, expect

from tests.kit import MINUTE
from tests.kit.browser import click_largest, stand_still
from tests.kit.runs import tiny
from ui.sweep import setting
from ui.sweep.setting import Plan

pytestmark = pytest.mark.timeout(900)

AXES = {"learning_rate": (0.01, 0.1, 1.0), "loss": ("clip", "from_logits"), "seed": (0, 1)}
PLAN = Plan(base=tiny(), axes=AXES)
LAST = "g.view_1_marks path:last-child"
CUT = "document.documentElement.scrollWidth > document.documentElement.clientWidth"


@pytest.mark.slow
def test_a_clicked_run_opens_in_the_trainer(visit: Callable[..., Page], server: str) -> None:
    page = visit(f"{server}/sweep?{urlencode(setting._to_query({'plan': PLAN}))}")
    expect(page.get_by_text("The first one took")).to_be_visible(timeout=3000 * MINUTE)
    page.get_by_role("button", name="Start the sweep").click()
    expect(page.get_by_role("button", name="CSV")).to_be_visible(timeout=3000 * MINUTE)
    expect(page.locator("svg.marks")).to_have_count(3)
    stand_still(page)
    squares = page.locator("svg.marks").first
    click_largest(squares, LAST)  # a square of two seeds
    runs = page.get_by_role("dialog", name="Runs of this square")
    links = runs.get_by_test_id("stPageLink-NavLink").filter(has_text="Open in the trainer")
    expect(links).to_have_count(2)
    page.keyboard.press("Escape")
    expect(runs).to_have_count(0)
    stand_still(page)
    click_largest(squares, LAST)
    links.last.click()
    opened(page, "seed=1.*loss=from_logits")
    page.go_back()
    expect(page.get_by_role("heading", name="Sweep")).to_be_visible()
    expect(page.locator("svg.marks")).to_have_count(3)
    stand_still(page)
    click_largest(page.locator("svg.marks").nth(2), LAST)  # a tick is one run
    opened(page, "")
    page.go_back()
    expect(page.get_by_role("heading", name="Sweep")).to_be_visible()
    page.set_viewport_size({"width": 360, "height": 740})
    stand_still(page)
    assert not page.evaluate(CUT), "nothing scrolls sideways on a phone"


def opened(page: Page, query: str) -> None:
    """Expect the trainer with a run that is played to its end."""
    expect(page).to_have_url(re.compile(rf"/train\?.*{query}.*until=end"))
    expect(page.get_by_text("step 10 of 10")).to_be_visible()
