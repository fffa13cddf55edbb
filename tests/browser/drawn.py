"""When a page stands as its visitor reads it, and what of its charts can be read and clicked."""

from playwright.sync_api import Locator, Page, expect

from tests.servers import SOON

PHONE = 640  # pixels: up to here one chart of the trainer is shown, and others may be chosen
# Of an SVG: the pairs of its words that lie over each other, and those that the screen cuts.
OVERLAPS = """svg => {
    const boxes = [...svg.querySelectorAll("text")].filter(e => e.textContent.trim())
        .map(e => [e.textContent, e.getBoundingClientRect()]);
    const across = (a, b) => a.left < b.right && b.left < a.right;
    const meet = (a, b) => across(a, b) && a.top < b.bottom && b.top < a.bottom;
    const pairs = boxes.flatMap((a, i) => boxes.slice(i + 1).map(b => [a, b]));
    return pairs.filter(([a, b]) => meet(a[1], b[1])).map(([a, b]) => [a[0], b[0]]);
}"""
OUTSIDE = """svg => [...svg.querySelectorAll("text")].filter(e =>
    e.getBoundingClientRect().right > document.documentElement.clientWidth).map(e => e.textContent)
"""
CENTRES = """svg => [...svg.querySelectorAll("g.bars_marks path")]
    .map(e => e.getBoundingClientRect()).sort((a, b) => b.height * b.width - a.height * a.width)
    .map(b => [(b.left + b.right) / 2, (b.top + b.bottom) / 2])"""


def wait_until_drawn(page: Page, key: str) -> None:
    """Until page `key` of PAGES ("" for the home page) is neither a skeleton nor half a story."""
    match key:
        case "":
            expect(page.locator("svg.marks")).to_have_count(1)
            page.wait_for_timeout(2000)  # until the race is run
        case "train":
            size = page.viewport_size
            phone = size is not None and size["width"] <= PHONE
            expect(page.locator("svg.marks")).to_have_count(1 if phone else 6)
        case "microscope":
            expect(page.locator("svg.marks")).to_have_count(4)
            expect(page.get_by_test_id("stTable")).to_have_count(2)
        case "twins":
            expect(page.locator("svg.marks")).to_have_count(5)  # the last one after the copies
            expect(page.get_by_text("Their gradients")).to_be_visible()
        case "jax_vs_keras" | "keep_or_drop" | "epsilon":
            page.get_by_test_id("stRadioOption").nth(1).click()
            last = page.get_by_role("heading", name="Go on from here")
            expect(last).to_be_visible(timeout=3000 * SOON)
            ends = {
                "jax_vs_keras": "Their gradients",
                "keep_or_drop": "has three accuracies",
                "epsilon": "from logits, which have none",
            }[key]
            expect(page.get_by_text(ends).last).to_be_visible(timeout=3000 * SOON)
    expect(page.get_by_test_id("stSkeleton")).to_have_count(0)
    page.wait_for_timeout(500)  # until what fades in stands


def click_tallest_bar(digits: Locator) -> None:
    """Click the largest bar of a digits chart, and again if it has moved away meanwhile."""
    page = digits.page
    digits.scroll_into_view_if_needed()
    for _ in range(5):
        page.mouse.click(*digits.evaluate(CENTRES)[0])
        page.wait_for_timeout(1500)
        if page.locator(".cards").count():
            return
    raise AssertionError("no click on a bar showed a digit")


def pictures(page: Page) -> list[str | None]:
    """Which images are shown, by their places among the training images."""
    return [item.get_attribute("data-image") for item in page.locator(".cards li").all()]


def on_a_phone(page: Page, what: str, choice: str) -> None:
    """Choose the "control" or the "chart" of a phone's trainer."""
    page.locator(".st-key-phone").get_by_role("combobox", name=what).click()
    page.get_by_role("option", name=choice, exact=True).click()
