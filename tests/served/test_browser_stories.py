"""A story's figures in a real browser: the effect of clicks and timers, which AppTest lacks."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.kit.browser import click_tallest_bar, pictures, wait_until_drawn
from tests.kit.visitor import Session, read_through, together

pytestmark = pytest.mark.timeout(900)
Visit = Callable[..., Page]


@pytest.fixture
def story(visit: Visit, server: str) -> Page:
    together(lambda: read_through(Session(server, page="jax_vs_keras")))
    page = visit(f"{server}/jax_vs_keras", reload=False)
    wait_until_drawn(page, "jax_vs_keras")
    return page


@pytest.mark.slow
def test_the_steps_can_be_moved_by_hand(story: Page) -> None:
    step = story.get_by_role("slider", name="after step")
    step.press("ArrowRight")
    expect(story.get_by_text("After step 1, ")).to_be_visible()
    story.get_by_role("button", name="Play").click()
    story.get_by_role("button", name="Pause").click()
    expect(step).to_be_attached()


@pytest.mark.slow
def test_a_clicked_pixel_shows_its_window_in_both_networks(visit: Visit, server: str) -> None:
    together(lambda: read_through(Session(server, page="jax_cnn")))
    page = visit(f"{server}/jax_cnn", width=360)
    wait_until_drawn(page, "jax_cnn")
    line, square = page.locator('[aria-label^="A digit and a filter"] svg.marks').all()
    looks = page.get_by_text("This pixel looks at")
    square.locator("g.map_marks path").nth(3 * 14 + 4).click(force=True)
    expect(looks).to_contain_text(["rows 6 to 10 and all 28 columns", "rows 6 to 10 and columns 8"])
    line.locator("g.map_marks path").first.click(force=True)
    expect(looks).to_contain_text(["rows 1 to 4 and all 28 columns", "rows 1 to 4 and columns 8"])
    page.get_by_role("slider", name="row").press("ArrowRight")
    expect(looks).to_contain_text(["rows 2 to 6 and all 28 columns", "rows 2 to 6 and columns 8"])


@pytest.mark.slow
def test_digits_of_a_clicked_bar_stay_while_the_steps_play(story: Page) -> None:
    click_tallest_bar(story.locator('[aria-label^="Every image at its logit"] svg.marks'))
    expect(story.locator(".cards:not(.wide) li").first).to_be_visible()
    shown = pictures(story)
    assert shown

    story.get_by_role("button", name="Play").click()
    expect(story.get_by_role("button", name="Pause")).to_be_visible()
    # Look at every frame of the page, because a step is shown for less than a second.
    for step in (4, 8):
        story.wait_for_function(
            "text => document.body.innerText.includes(text)", arg=f"After step {step}, "
        )
    expect(story.get_by_role("slider", name="after step")).to_have_attribute("aria-valuetext", "10")
    expect(story.get_by_text("After step 10, ")).to_be_visible()
    assert pictures(story) == shown
