"""The trainer in a real browser: what a visitor sees, and what their keys change."""

import re
import zipfile
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from core.config import RunConfig
from core.export import files, script
from tests.kit import more
from tests.kit.browser import (
    GENTLE,
    IDLE,
    OUTSIDE,
    OVERLAPS,
    at_rest,
    button,
    chart,
    click_tallest_bar,
    curves,
    metric,
    on_a_phone,
    pictures,
    press,
    progress,
    seed,
    stand_still,
    trainer,
)
from ui.pieces.widgets import WIDGETS

Visit = Callable[..., Page]
LOSS = WIDGETS["loss"].label


def train(page: Page) -> None:
    button(page, "Train").click()
    expect(progress(page)).to_contain_text("step 10 of 10, done")
    at_rest(page)


def test_home_leads_to_the_trainer(visit: Visit, server: str) -> None:
    page = visit(server)
    page.get_by_test_id("stPageLink").filter(has_text="Train").first.click()
    expect(page.get_by_role("heading", name="Train a network")).to_be_visible()


def test_train_then_move_the_loss_slider_with_the_keyboard(visit: Visit, server: str) -> None:
    page = trainer(visit, server)
    expect(metric(page, "training accuracy")).to_have_text("43.5%")
    expect(page.get_by_text("48% of the images are wrong and silent")).to_be_visible()
    train(page)
    assert 55 <= float(metric(page, "training accuracy").inner_text().rstrip("%")) <= 85
    before = curves(page, "Accuracy by step")
    assert len(before) == 2 and all("L" in path for path in before)

    slider = page.get_by_role("slider", name=LOSS)
    slider.focus()
    slider.press("End")
    expect(metric(page, "training accuracy")).to_have_text("90.9%")
    expect(progress(page)).to_contain_text("step 10 of 10, done")
    expect(page).to_have_url(re.compile(r"loss=from_logits"))
    expect(chart(page, "Accuracy by step").locator("g.mark-line path[d]")).to_have_count(4)
    after = curves(page, "Accuracy by step")
    assert set(before) <= set(after), "the curves of the run before stay"
    assert len(set(after) - set(before)) == 2, "and the curves of the new run are drawn"


def test_a_script_and_what_it_reads_can_be_downloaded(visit: Visit, server: str) -> None:
    page, config = trainer(visit, server), RunConfig()
    page.get_by_text("Take it with you").click()
    with page.expect_download() as told:
        page.get_by_role("button", name="Script").first.click()
    assert told.value.suggested_filename == "run_jax.py"
    assert told.value.path().read_text() == script(config, "jax").text
    with page.expect_download() as told:
        page.get_by_role("button", name="Weights and data").first.click()
    assert told.value.suggested_filename == "run_keras_files.zip"
    with zipfile.ZipFile(told.value.path()) as folder:
        content = {name: folder.read(name) for name in folder.namelist()}
    assert content == files(config, "keras")


@pytest.mark.slow
def test_naive_is_shown_as_nan(visit: Visit, server: str) -> None:
    page = trainer(visit, server, "?loss=naive")
    train(page)
    expect(metric(page, "loss")).to_have_text("NaN")
    expect(metric(page, "training accuracy")).to_have_text("NaN")
    expect(chart(page, "Loss by step").get_by_text("NaN", exact=True).first).to_be_visible()
    assert not any("NaN" in path for path in curves(page, "Loss by step"))
    expect(page.get_by_text("100% of the predictions are NaN")).to_be_visible()


def test_frames_move_the_curves_and_keep_the_charts(visit: Visit, server: str) -> None:
    page = trainer(visit, server, f"?{GENTLE}")
    charts = page.locator("svg.marks")
    expect(charts).to_have_count(6)
    # The first look, which sets the axes, has been drawn.
    expect(chart(page, "Gradient norm").get_by_text("layer 2")).to_be_visible()
    expect(chart(page, "Loss by step").get_by_text("10", exact=True).first).to_be_visible()
    expect(chart(page, "Every image").get_by_text("−100", exact=True)).to_be_visible()
    page.evaluate("window.first = [...document.querySelectorAll('svg.marks')]")
    kept = "[...document.querySelectorAll('svg.marks')].map(e => window.first.includes(e))"
    line = chart(page, "Accuracy by step").locator("g.mark-line path[d]").last
    before = line.get_attribute("d") or ""
    button(page, "Train").click()
    expect(progress(page)).to_contain_text(re.compile(r"step [1-9]\d+ of 1,000, running"))
    expect(line).not_to_have_attribute("d", before)
    assert page.evaluate(kept) == [True] * 6

    page.get_by_role("slider", name=LOSS).press("End")  # nothing to cure, so no button
    expect(page.get_by_role("button", name="Try the loss")).to_have_count(0)
    expect(charts).to_have_count(6)
    _, predictions, _, accuracy, *_ = page.evaluate(kept)  # the others get another axis
    assert predictions and accuracy
    expect(page.get_by_text("Grey: the run before.")).to_be_visible()


@pytest.mark.slow
def test_zoom_survives_the_frames(visit: Visit, server: str) -> None:
    page = trainer(visit, server, "?epochs=40")
    ticks = chart(page, "Accuracy by step").locator("g.role-axis-label").first.locator("text")
    expect(ticks.last).to_have_text("40")
    button(page, "Train").click()
    expect(progress(page)).to_contain_text(re.compile("running|done"))
    chart(page, "Accuracy by step").hover()
    page.evaluate("window.turns = 0; addEventListener('wheel', () => window.turns++, true)")
    page.keyboard.down("Shift")
    for _ in range(4):
        page.mouse.wheel(0, -200)
    page.keyboard.up("Shift")
    expect(ticks.filter(has_text="40")).to_have_count(0)
    page.wait_for_function("window.turns === 4")
    page.evaluate(IDLE)  # by now the last turn of the wheel has been drawn
    zoomed = ticks.all_text_contents()
    assert "40" not in zoomed
    expect(progress(page)).to_contain_text("step 40 of 40, done")
    at_rest(page)
    assert ticks.all_text_contents() == zoomed


def test_histogram_has_labelled_ends(visit: Visit, server: str) -> None:
    page = trainer(visit, server)
    words = chart(page, "Histogram of predictions").locator("text")
    for label in ("exactly0", "clipped", "exactly1", "NaN"):  # lines are joined
        expect(words.filter(has_text=label).first).to_be_visible()
    assert {"26%", "46%", "12%"} <= set(words.all_text_contents())  # exact 0, clipped, exact 1


@pytest.mark.slow
def test_histogram_names_the_step_that_it_shows(visit: Visit, server: str) -> None:
    page = trainer(visit, server)
    title = chart(page, "Histogram of predictions").locator("g.role-title text").first
    expect(title).to_have_text("Probability of “5 or more” after step 0")
    button(page, "Step").click()
    expect(title).to_have_text("Probability of “5 or more” after step 1")


@pytest.mark.slow
@pytest.mark.parametrize("query", ["", "?loss=naive"])
def test_histogram_on_a_phone_has_no_overlapping_words(
    visit: Visit, server: str, query: str
) -> None:
    page = visit(f"{server}/train{query}", width=360, height=800)
    on_a_phone(page, "chart", "predictions")
    histogram = chart(page, "Histogram of predictions")
    expect(histogram.get_by_text("26%")).to_be_visible()
    assert histogram.evaluate(OVERLAPS) == []
    train(page)
    if query:
        expect(histogram.get_by_text("100%")).to_have_count(2)  # the axis, and the NaN
    assert histogram.evaluate(OVERLAPS) == []
    assert histogram.evaluate(OUTSIDE) == []
    names = histogram.locator("g.role-axis-label").first.locator("text[opacity='1']")
    assert names.all_text_contents() == [
        "exactly0", "clipped", "0", "½", "1", "clipped", "exactly1", "NaN",
    ]  # fmt: skip


@pytest.mark.slow
def test_digits_move_and_nan_is_counted(visit: Visit, server: str) -> None:
    page = trainer(visit, server, "?loss=naive")
    digits = chart(page, "Every image")
    expect(digits.get_by_text("wrong", exact=True)).to_be_visible()
    bars = digits.locator("g.mark-rect path")
    expect(bars.nth(20)).to_be_attached()
    train(page)
    expect(digits.get_by_text("✖ 1,000 NaN")).to_be_visible()
    # Only the zones are left, and one bar without a size and its outline: no image has a place.
    expect(bars).to_have_count(4 + 2)
    flow = chart(page, "Shares of the images")
    expect(flow.locator("g.mark-area path[d]")).to_have_count(5)


@pytest.mark.slow
def test_clicked_digits_stay_while_the_run_goes_on(visit: Visit, server: str) -> None:
    page = trainer(visit, server, f"?{GENTLE}")
    digits = chart(page, "Every image")
    button(page, "Train").click()
    expect(progress(page)).to_contain_text(re.compile(r"step [1-9]\d+ of 1,000, running"))
    expect(chart(page, "Loss by step").locator("g.mark-line path[d]").last).to_be_attached()
    page.evaluate("window.first = [...document.querySelectorAll('svg.marks')]")
    click_tallest_bar(digits)
    panel = page.locator(".st-key-train_chosen")
    words = panel.get_by_text(re.compile(r"Of these [\d,]+ images, [\d,]+ are right at step \d+"))
    expect(words).to_be_visible()
    shown, told = pictures(page), words.inner_text()
    assert 2 <= len(set(shown)) == len(shown) <= 24
    for what in ("label", "p", "logit", "loss", "slope"):
        expect(panel.locator(".cards li").first).to_contain_text(what)
    expect(words).not_to_have_text(told)  # the run has gone on
    told = words.inner_text()
    expect(words).not_to_have_text(told)
    assert pictures(page) == shown
    paths = chart(page, "The logit of each chosen").locator("g.mark-rule line")
    expect(paths.nth(len(shown))).to_be_attached()
    kept = "window.first.every(e => document.contains(e))"
    assert page.evaluate(kept), "no chart was rebuilt"

    button(page, "Pause").click()
    expect(progress(page)).to_contain_text("paused")
    page.get_by_role("slider", name=LOSS).press("End")  # another run on the same images
    expect(progress(page)).to_contain_text("step 0 of 1,000, paused")
    expect(words).to_contain_text("are right at step 0")
    assert pictures(page) == shown
    page.locator(".st-key-train_close button").click()
    expect(page.locator(".cards")).to_have_count(0)


@pytest.mark.slow
def test_the_same_bar_can_be_clicked_again_and_a_click_beside_bars_closes(
    visit: Visit, server: str
) -> None:
    page = trainer(visit, server)
    digits, cards = chart(page, "Every image"), page.locator(".cards")
    expect(digits.locator("g.bars_marks path").nth(20)).to_be_attached()
    click_tallest_bar(digits)
    expect(cards).to_be_visible()
    shown = pictures(page)
    page.locator(".st-key-train_close button").click()
    expect(cards).to_have_count(0)
    click_tallest_bar(digits)
    expect(cards).to_be_visible()
    assert pictures(page) == shown
    plot = digits.locator("path.background").first.bounding_box()
    assert plot is not None
    page.mouse.click(plot["x"] + plot["width"] - 9, plot["y"] + 9)
    expect(cards).to_have_count(0)


@pytest.mark.slow
def test_step_pause_and_reset(visit: Visit, server: str) -> None:
    page = trainer(visit, server, "?seed=5")
    button(page, "Step").click()
    expect(progress(page)).to_contain_text("step 1 of 10, paused")
    button(page, "Step").click()
    expect(progress(page)).to_contain_text("step 2 of 10, paused")
    button(page, "Reset").click()
    expect(progress(page)).to_contain_text("step 0 of 10, paused")


@pytest.mark.slow
def test_keys_press_the_buttons(visit: Visit, server: str) -> None:
    page = trainer(visit, server, "?seed=6&epochs=20")
    press(button(page, "Step"), "s")
    expect(progress(page)).to_contain_text("step 1 of 20, paused")
    press(button(page, "Train"), "t")
    expect(progress(page)).to_contain_text("step 20 of 20, done")
    page.reload()
    expect(progress(page)).to_contain_text("step 20 of 20, done")
    press(button(page, "Reset"), "x")
    expect(progress(page)).to_contain_text("step 0 of 20, paused")


@pytest.mark.parametrize(("width", "height"), [(1280, 800), more(1920, 1080)])
def test_the_four_charts_are_on_the_first_screen_while_it_trains(
    visit: Visit, server: str, width: int, height: int
) -> None:
    page = visit(f"{server}/train?epochs=1000&until=end", width, height)
    expect(progress(page)).to_contain_text(re.compile(r"step [1-9]\d* of 1,000, running"))
    _four_charts_end_above(page, height)


@pytest.mark.slow
def test_the_four_charts_are_on_the_first_screen_of_a_run_with_nan(
    visit: Visit, server: str
) -> None:
    page = visit(f"{server}/train?loss=naive&until=end", 1280, 800)
    expect(progress(page)).to_contain_text("step 10 of 10, done")
    expect(page.get_by_text("A program that ignores NaN would print")).to_be_visible()
    stand_still(page)
    _four_charts_end_above(page, 800)


def _four_charts_end_above(page: Page, foot: int) -> None:
    for alt in ("Loss by step", "Accuracy by step", "Histogram of", "Gradient norm of"):
        box = chart(page, alt).bounding_box()
        assert box is not None and box["y"] + box["height"] <= foot, alt


def test_a_shared_link_restores_the_settings(visit: Visit, server: str) -> None:
    page = trainer(visit, server, "?loss=clip&learning_rate=0.1&seed=4")
    expect(page.get_by_role("slider", name=LOSS)).to_have_attribute(
        "aria-valuetext", "Clip, then naive"
    )
    expect(seed(page)).to_have_value("4")
    expect(page).to_have_url(re.compile(r"\?loss=clip&learning_rate=0\.1&seed=4$|seed=4"))


def test_junk_in_a_link_gives_a_note(visit: Visit, server: str) -> None:
    page = visit(f"{server}/train?loss=%3Cscript%3E&learning_rate=tenth&nope=1")
    toasts = page.get_by_test_id("stToast")
    expect(toasts).to_have_count(1)
    for fault in ("loss cannot be “?script?”", "rate cannot be “tenth”", "“nope” is not a setting"):
        expect(toasts.filter(has_text=fault)).to_be_visible()
    hidden = "text => text.scrollHeight - text.clientHeight"
    assert toasts.get_by_test_id("stToastText").evaluate(hidden) == 0
    expect(toasts.get_by_role("button")).to_have_count(1)  # it closes the note
    expect(metric(page, "training accuracy")).to_have_text("43.5%")
    expect(page.get_by_test_id("stException")).to_have_count(0)


@pytest.mark.parametrize("path", ["", "/train", "/atlas"])
def test_the_page_fits_on_a_phone(visit: Visit, server: str, path: str) -> None:
    page = visit(server + path, width=390, height=844)
    expect(page.get_by_test_id("stMain").get_by_role("heading").first).to_be_visible()
    if path == "/train":
        expect(chart(page, "Accuracy by step")).to_be_visible()
    elif path:
        expect(page.get_by_role("group", name="Every default")).to_be_visible()
    overflow = "[...document.querySelectorAll('html, body, [data-testid=stMain]')].map("
    assert set(page.evaluate(overflow + "e => e.scrollWidth - e.clientWidth)")) == {0}


def test_a_phone_shows_one_control_above_one_chart(visit: Visit, server: str) -> None:
    page = visit(f"{server}/train?until=end", width=360, height=740)
    expect(progress(page)).to_contain_text("step 10 of 10, done")
    shown = page.locator("svg.marks:visible")
    for name, alt in (("every image", "Every image"), ("loss", "Loss by step")):
        on_a_phone(page, "chart", name)
        expect(chart(page, alt)).to_be_visible()
        expect(shown).to_have_count(1)
        box = chart(page, alt).bounding_box()
        assert box is not None and box["y"] > 0 and box["y"] + box["height"] <= 740
    on_a_phone(page, "control", "learning rate")
    slider = page.locator(".st-key-phone").get_by_role("slider", name="learning rate")
    expect(slider).to_be_attached()
    thumbs = page.locator(".st-key-phone .stSlider [style*='left:']")
    expect(thumbs).to_have_count(1)  # the other control is gone
    thumb = thumbs.bounding_box()
    assert thumb is not None and min(thumb["width"], thumb["height"]) >= 28
    slider.press("ArrowRight")
    expect(page).to_have_url(re.compile("learning_rate=0.02"))
    on_a_phone(page, "control", "loss")
    page.locator(".st-key-phone").get_by_role("slider", name="loss").press("End")
    expect(page).to_have_url(re.compile("loss=from_logits&learning_rate=0.02"))


@pytest.mark.slow
def test_pinned_runs_keep_their_names_while_others_come_and_go(visit: Visit, server: str) -> None:
    page = visit(f"{server}/train?until=end", 1280, 800)
    expect(progress(page)).to_contain_text("step 10 of 10, done")
    button(page, "Pin").click()
    names = page.locator(".st-key-chance .colour-key li")
    expect(names).to_have_text(["this run", "The question: 79% or 91%?"])
    page.get_by_role("slider", name=LOSS).press("End")
    expect(metric(page, "training accuracy")).to_have_text("90.9%")
    button(page, "Pin").click()
    expect(names.last).to_have_text("From logits")
    expect(names).to_have_count(3)
    accuracy = chart(page, "Accuracy by step").locator("g.mark-line path[d]")
    page.get_by_role("slider", name="learning rate").press("ArrowLeft")
    expect(page).to_have_url(re.compile("learning_rate=0.005"))
    expect(names.last).to_have_text("From logits")
    expect(accuracy).to_have_count(2 + 2 + 2)  # this run, the run before, the pinned ones
    page.get_by_role("link", name="Take two apart").last.click()
    expect(page.get_by_role("heading", name="Take two apart")).to_be_visible()
    expect(page.get_by_text("Their gradients differ from step 0 on")).to_be_visible()
