"""Words in charts on a phone: none over another, none cut, none struck by a line or a mark."""

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.browser.drawn import on_a_phone, wait_until_drawn
from tests.servers import SOON
from ui.pages import PAGES
from ui.phone import CHARTS

Visit = Callable[..., Page]
FIVE_LAYERS = "task=digits&widths=64-64-64-64-64&train_size=1000&batch_size=100&loss="
ADDRESSES = [
    "",
    *PAGES,
    "train?until=end",
    "train?loss=naive&until=end",
    f"train?{FIVE_LAYERS}from_logits&epochs=2&until=end",
    f"train?{FIVE_LAYERS}naive&epochs=2&until=end",
]
# What is wrong with the words of each chart. A text's box is a line's height, more than its ink:
# some pixels of it are air.
FAULTS = """() => [...document.querySelectorAll("svg.marks")].flatMap(svg => {
    const air = 4, box = e => e.getBoundingClientRect();
    const ink = e => {
        const {left, right, top, bottom} = box(e);
        return {left, right, top: top + air / 2, bottom: bottom - air / 2};
    };
    const seen = e => e.textContent.trim() && getComputedStyle(e).opacity > 0 && box(e).width > 0;
    const texts = [...svg.querySelectorAll("text")].filter(seen);
    const meet = (a, b) =>
        a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
    const over = texts.flatMap((a, i) => texts.slice(i + 1).filter(b => meet(ink(a), ink(b)))
        .map(b => `${a.textContent} over ${b.textContent}`));
    const edge = box(svg), end = document.documentElement.clientWidth;
    const cut = texts.filter(e => e.textContent.includes("…")
        || box(e).left < edge.left - air || box(e).right > Math.min(edge.right + air, end)
        || box(e).top < edge.top - air || box(e).bottom > edge.bottom + air)
        .map(e => `${e.textContent} is cut`);
    const points = path => {
        const to = path.getScreenCTM(), length = path.getTotalLength();
        return Array.from({length: Math.ceil(length / 2)}, (_, i) => {
            const {x, y} = path.getPointAtLength(2 * i).matrixTransform(to);
            return {left: x, right: x, top: y, bottom: y};
        });
    };
    const lines = [...svg.querySelectorAll("g.mark-line path[d]")].flatMap(points);
    const marks = [...svg.querySelectorAll("g.mark-symbol.role-mark path[d]")].map(box);
    const struck = texts.filter(e => [...lines, ...marks].some(p => meet(p, ink(e))))
        .map(e => `${e.textContent} is struck`);
    const of = svg.closest("[aria-label]")?.ariaLabel.slice(0, 24) ?? "chart";
    return [...over, ...cut, ...struck].map(fault => `${of}: ${fault}`);
})"""


@pytest.mark.parametrize("address", ADDRESSES)
def test_every_word_of_a_chart_can_be_read_on_a_phone(
    visit: Visit, server: str, address: str
) -> None:
    page = visit(f"{server}/{address}", width=360, height=740)
    wait_until_drawn(page, address.partition("?")[0])
    if address.endswith("until=end"):
        done = page.get_by_test_id("stProgress").filter(has_text="done")
        expect(done).to_be_visible(timeout=3000 * SOON)
        page.wait_for_timeout(1000)  # until the last frame stands
    for _ in _charts(page, address):
        assert not (found := page.evaluate(FAULTS)), "\n".join(found)


def _charts(page: Page, address: str) -> Iterator[None]:
    """The page with each of its charts: the trainer shows one at a time."""
    if not address.startswith("train"):
        yield
        return
    for name in list(CHARTS.values())[:6]:  # the strip of the gradient's health is for 16 bits
        on_a_phone(page, "chart", name)
        expect(page.locator("svg.marks:visible")).to_have_count(1)
        page.wait_for_timeout(500)  # until it stands
        yield
