"""The microscope's charts in a real browser, at every width."""

import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.kit.browser import OUTSIDE, OVERLAPS, click_tallest_bar, pictures, stand_still

Visit = Callable[..., Page]
PLOTS = """() => [...document.querySelectorAll('svg.marks')].map(svg => {
  const plot = svg.querySelector('g.mark-group.role-frame path.background');
  const box = plot.getBoundingClientRect();
  return [box.left, box.right];
})"""
SCROLLS = "e => getComputedStyle(e).overflowX === 'auto'"
OVERFLOW = "e => e.scrollWidth - e.clientWidth"


def microscope(visit: Visit, server: str, query: str = "", **how: int) -> Page:
    """The microscope, once all its charts are drawn."""
    page = visit(f"{server}/microscope{query}", **how)
    expect(page.locator("svg.marks")).to_have_count(4)
    expect(page.locator(".table")).to_have_count(2)
    stand_still(page)
    return page


def bars(page: Page) -> Locator:
    """The bars of "who sits there"."""
    return page.locator('[aria-label^="Histogram of"] g.bars_marks path')


def at_widths(page: Page) -> Iterator[int]:
    """Show the same page on a phone, a laptop and a projector."""
    for width in (360, 1280, 1920):
        page.set_viewport_size({"width": width, "height": 1000})
        stand_still(page)
        yield width


def test_the_first_view_shows_where_the_logits_are(visit: Visit, server: str) -> None:
    heaped = []
    for query in ("?axis=linear&span=30", ""):
        page = microscope(visit, server, query)
        heights = [box["height"] for bar in bars(page).all() if (box := bar.bounding_box())]
        heaped.append(max(heights) / sum(heights))
    assert heaped[0] > 0.3 and heaped[1] < 0.2


@pytest.mark.slow
def test_the_box_of_losses_holds_whole_names_and_its_buttons(visit: Visit, server: str) -> None:
    page = microscope(visit, server, "?losses=question_stable.keras_jax_logits.from_logits")
    box = page.get_by_test_id("stMultiSelect").get_by_role("group").first
    names = box.locator("[data-tag] > span")
    expect(names).to_have_count(3)
    assert {name.evaluate(OVERFLOW) for name in names.all()} == {0}
    edge = box.evaluate("e => e.getBoundingClientRect().right")
    buttons = box.get_by_role("button").all()
    assert all(each.evaluate("e => e.getBoundingClientRect().right") <= edge for each in buttons)


@pytest.mark.slow
@pytest.mark.parametrize("query", ["", "?axis=linear&span=30", "?task=digits&losses=naive.optax"])
def test_the_four_plots_share_their_edges(visit: Visit, server: str, query: str) -> None:
    page = microscope(visit, server, query, reload=False)
    for width in at_widths(page):
        lefts, rights = zip(*page.evaluate(PLOTS), strict=True)
        assert max(lefts) - min(lefts) <= 1 and max(rights) - min(rights) <= 1, width
        assert rights[0] - lefts[0] > width / 2, "the plot takes most of the width"


@pytest.mark.slow
def test_who_sits_there_has_bars_on_a_phone(visit: Visit, server: str) -> None:
    page = microscope(visit, server, width=360, height=800, reload=False)
    boxes = [bar.bounding_box() for bar in bars(page).all()]
    tall = [box for box in boxes if box and box["height"] > 1]
    assert tall and all(box["width"] > 2 for box in tall)


def test_the_exact_curve_is_seen_below_the_others(visit: Visit, server: str) -> None:
    page = microscope(visit, server, reload=False)
    lines = page.locator('[aria-label^="Gradient against"] g.mark-line path[stroke-width]')
    widths = [float(line.get_attribute("stroke-width") or 0) for line in lines.all()]
    assert len(widths) == 4 and widths == sorted(widths, reverse=True) and len(set(widths)) == 4


def test_a_click_shows_the_digits_that_sit_there(visit: Visit, server: str) -> None:
    page = microscope(visit, server, reload=False)
    click_tallest_bar(page.locator('[aria-label^="Histogram of"] svg.marks'))
    expect(
        page.get_by_text(re.compile(r"Of these \d+ images, 0 are right at step 0"))
    ).to_be_visible()
    assert len(set(pictures(page))) == 24
    first = page.locator(".cards li").first
    expect(first).to_contain_text("wrong, label 1")
    expect(first).to_contain_text("loss13.8slope0")  # clipped: -log(1e-6), and no gradient
    expect(page.get_by_role("img", name="a handwritten")).to_have_count(24)


def test_nothing_is_cut_on_a_phone(visit: Visit, server: str) -> None:
    page = microscope(visit, server, "?losses=torch_bce_logits.question_stable", width=360)
    assert page.get_by_test_id("stMain").evaluate(OVERFLOW) == 0
    page.get_by_role("tab", name="Where each loss goes silent").click()
    wide = page.locator(".table").last
    assert wide.evaluate(OVERFLOW) > 0 and wide.evaluate(SCROLLS)
    names = page.locator("svg.marks text").all_text_contents()
    assert "PyTorch BCEWithLogitsLoss and CrossEntropyLoss" in names
    assert not any("…" in name for name in names)


ON_RED = """svg => {
    const boxes = what => [...svg.querySelectorAll(what)].map(e => e.getBoundingClientRect());
    const meet = (a, b) => a.left < b.right && b.left < a.right
        && a.top < b.bottom - 1 && b.top < a.bottom - 1;
    const red = boxes("g.layer_1_marks path").filter(b => b.width > 0);
    return [red.length, boxes("text").filter(t => red.some(r => meet(t, r))).length];
}"""


@pytest.mark.slow
@pytest.mark.parametrize("query", ["", "?task=digits&losses=naive.torch_bce_logits.clip"])
def test_no_words_overlap_each_other_or_a_red_zone(visit: Visit, server: str, query: str) -> None:
    page = microscope(visit, server, query)
    for width in at_widths(page):
        for svg in page.locator("svg.marks").all():
            assert svg.evaluate(OVERLAPS) == [] and svg.evaluate(OUTSIDE) == [], width
        zones, covered = page.locator(".st-key-strips svg.marks").evaluate(ON_RED)
        assert zones > 0 and covered == 0, width
