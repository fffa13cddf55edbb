"""Words in a real browser: the glossary, what a chart says to screen readers, and code."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.kit import MINUTE
from tests.kit.browser import wait_until_drawn

Visit = Callable[..., Page]
FETCHED = "performance.getEntriesByType('resource').map(each => each.name)"


@pytest.mark.slow
def test_the_glossary_opens_by_key_and_stays_while_it_trains(visit: Visit, server: str) -> None:
    page = visit(f"{server}/train?epochs=30&seed=21")
    wait_until_drawn(page, "train")
    page.locator(".st-key-train").get_by_role("button").click()
    progress = page.get_by_test_id("stProgress")
    expect(progress).to_contain_text(re.compile("running|done"))  # on a fast machine it is short
    page.get_by_role("button", name="What do these words mean?").focus()
    page.keyboard.press("Enter")
    says = page.get_by_test_id("stPopoverBody").get_by_text("Held-out images")
    expect(says).to_be_visible()
    expect(progress).to_contain_text("step 30 of 30, done", timeout=3000 * MINUTE)
    expect(says).to_be_visible()
    page.keyboard.press("Escape")
    expect(says).to_have_count(0)


@pytest.mark.slow
def test_a_chart_s_result_is_read_out_once_the_run_has_ended(visit: Visit, server: str) -> None:
    page = visit(f"{server}/train?loss=from_logits")
    wait_until_drawn(page, "train")
    accuracy = page.locator('[aria-label^="Accuracy by step"]')
    expect(accuracy).to_have_attribute("aria-label", "Accuracy by step.")
    page.locator(".st-key-train").get_by_role("button").click()
    result = re.compile(r": training from 43\.5% to 90\.9%; held out from .*%, by step 10\.$")
    told = page.locator(".st-key-live ul.unseen li").filter(has_text="Accuracy by step")
    expect(told).to_have_text(result)
    # The label itself stays, because the chart would be rebuilt for another one.
    expect(accuracy).to_have_attribute("aria-label", "Accuracy by step.")


@pytest.mark.slow
def test_code_is_shown_without_a_highlighter_script(visit: Visit, server: str) -> None:
    story = visit(f"{server}/jax_vs_keras", width=660, height=740)
    code = story.get_by_role("group", name="Code").first
    expect(code).to_contain_text("y_hat  = jnp.clip")
    assert code.evaluate("e => e.scrollWidth > e.clientWidth")
    code.focus()
    story.keyboard.press("ArrowRight")
    story.wait_for_function("document.querySelector('.code').scrollLeft > 0")
    story.set_viewport_size({"width": 360, "height": 740})  # on a phone it wraps
    story.wait_for_function(
        "(e => e.scrollWidth <= e.clientWidth)(document.querySelector('.code'))"
    )

    trainer = visit(f"{server}/train")
    wait_until_drawn(trainer, "train")
    trainer.get_by_role("button", name="What it does, how it fails").click()
    marked = trainer.get_by_role("group", name="Code").locator("mark")
    expect(marked).to_contain_text("jnp.clip(sigmoid(logits)")
    for page in (story, trainer):
        page.wait_for_load_state("networkidle")
        fetched = page.evaluate(FETCHED)
        assert len(fetched) > 5 and not any("Highlighter" in name for name in fetched)
