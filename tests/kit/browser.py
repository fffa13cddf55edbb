"""A real Chromium: how to tell that a page is complete, and how to read it and click in it."""

import re
import shutil
from collections.abc import Callable

from playwright.sync_api import Locator, Page, expect

from tests.kit import MINUTE
from ui.pages import PAGES

HEADINGS = {
    "": "Same(?) net",
    **{key: row.label.removeprefix("Story: ") for key, row in PAGES.items()},
}
CHROMIUMS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
# A network that takes long to compile, shared by all tests that need many layers.
FIVE_LAYERS = "task=digits&widths=8-8-8-8-8&train_size=1000&batch_size=100&loss="
# Up to this width in pixels, the trainer shows one chart, and others can be chosen.
PHONE = 640
# For an SVG: the pairs of its words that overlap (OVERLAPS), and the words that extend beyond the
# screen (OUTSIDE).
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
# What is wrong with the words of each chart: they overlap, are cut off, or are crossed by a mark.
# The box of a text is as high as a line, which is more than its ink: a few pixels of it are air.
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
CARDS = ".cards:not(.wide)"  # of chosen digits; the wide ones compare images between two runs
CENTRES = """(svg, marks) => [...svg.querySelectorAll(marks)]
    .map(e => e.getBoundingClientRect()).sort((a, b) => b.height * b.width - a.height * a.width)
    .map(b => [(b.left + b.right) / 2, (b.top + b.bottom) / 2])"""

# Resolve after ten frames and a third of a second in which no chart moved and nothing faded.
STILL = """() => new Promise(done => {
    const places = () => [...document.querySelectorAll("svg.marks")].map(e => {
        const {left, top, width, height} = e.getBoundingClientRect();
        return [left, top + scrollY, width, height, e.innerHTML.length];
    }).join();
    const fades = () => document.getAnimations().some(e =>
        e.playState === "running" && e.effect.getComputedTiming().endTime < Infinity);
    let before, frames, since;
    const look = now => {
        const seen = places();
        if (seen !== before || fades()) [before, frames, since] = [seen, 0, now];
        if (++frames > 10 && now - since > 330) requestIdleCallback(() => done(), {timeout: 5000});
        else requestAnimationFrame(look);
    };
    requestAnimationFrame(look);
})"""
# Record whether a click hit a mark, before any other listener receives it.
NOTE_A_HIT = """(svg, marks) => svg.addEventListener("click", e => {
    window.hit = e.target.matches(marks);
}, {capture: true, once: true})"""
# After its window has changed, Chromium sometimes drops an idle callback; hence the timeout.
IDLE = "() => new Promise(done => requestIdleCallback(() => done(), {timeout: 5000}))"


def chromium() -> str | None:
    """The path of Chromium, or None if there is none."""
    return next(filter(None, map(shutil.which, CHROMIUMS)), None)


def expect_page(page: Page, key: str, found: bool = True) -> None:
    """Expect the page of this address and, with `found`, no error in front of it."""
    expect(page.get_by_role("heading", name=HEADINGS[key], exact=True)).to_be_visible()
    if found:
        expect(page.get_by_text("Page not found")).to_have_count(0)
        expect(page.get_by_test_id("stException")).to_have_count(0)


def at_rest(page: Page) -> None:
    """Wait until the script has ended and everything it sent is drawn.

    That a text is there does not prove that what comes after it is drawn.
    """
    app = page.get_by_test_id("stApp")
    expect(app).to_have_attribute("data-test-script-state", "notRunning")
    page.evaluate(IDLE)


def stand_still(page: Page) -> None:
    """Wait until the page is at rest, everything has faded in, and its charts no longer move."""
    at_rest(page)
    page.evaluate(STILL)


def press(button: Locator, key: str) -> None:
    """Press the key of a button, once the button listens for it.

    Streamlit loads each kind of element separately and in no fixed order, so another element's
    presence proves nothing; and a button binds its key after it is drawn, but before the page is
    idle.
    """
    expect(button).to_be_enabled()
    button.page.evaluate(IDLE)
    button.page.keyboard.press(key)


def wait_until_drawn(page: Page, key: str) -> None:
    """Wait until page `key` of PAGES ("" for the home page) has no skeletons and a whole story."""
    match key:
        case "":
            expect(page.locator("svg.marks")).to_have_count(1)
        case "train":
            size = page.viewport_size
            phone = size is not None and size["width"] <= PHONE
            expect(page.locator("svg.marks")).to_have_count(1 if phone else 6)
        case "microscope":
            expect(page.locator("svg.marks")).to_have_count(4)
            expect(page.locator(".table")).to_have_count(2)
        case "twins":
            expect(page.get_by_text("Their gradients")).to_be_visible(timeout=3000 * MINUTE)
            # Copies come last, and must be asked for if they would take long.
            band, ask = page.locator("svg.marks").nth(4), page.get_by_role("button", name="Measure")
            expect(band.or_(ask).first).to_be_visible(timeout=3000 * MINUTE)
            if not band.count():
                ask.first.click()
            expect(page.locator("svg.marks")).to_have_count(5, timeout=3000 * MINUTE)
        case "atlas":
            expect(page.locator("svg.marks")).to_have_count(1)
            expect(page.locator(".table")).to_have_count(2)
        case "compare":
            page.get_by_text("an example: the question").click()
            expect(page.get_by_role("heading", name="They part at the loss")).to_be_visible()
        case "sweep":
            expect(page.get_by_text("The first one took")).to_be_visible(timeout=3000 * MINUTE)
        case "jax_vs_keras" | "keep_or_drop" | "epsilon" | "jax_basics" | "jax_cnn" | "gru":
            page.get_by_test_id("stRadioOption").nth(1).click()
            last = page.get_by_role("heading", name="Go on from here")
            expect(last).to_be_visible(timeout=9000 * MINUTE)
            ends = {
                "jax_vs_keras": "Their gradients",
                "keep_or_drop": "has three accuracies",
                "epsilon": "from logits, which needs no epsilon",
                "jax_basics": "A key that is used twice",
                "jax_cnn": "axes in order, inside lax.scan",
                "gru": "Their gradients",
            }[key]
            expect(page.get_by_text(ends).last).to_be_visible(timeout=9000 * MINUTE)
            measuring = page.get_by_text("Measuring on this machine.")
            expect(measuring).to_have_count(0, timeout=9000 * MINUTE)
    expect(page.get_by_test_id("stSkeleton")).to_have_count(0)
    stand_still(page)


def click_tallest_bar(digits: Locator) -> None:
    """Click the largest bar of a digits chart."""
    click_largest(digits, "g.bars_marks path")
    expect(digits.page.locator(CARDS).first).to_be_visible()


def click_largest(chart: Locator, marks: str) -> None:
    """Click the largest of a chart's marks; if it has moved away meanwhile, try again."""
    page = chart.page
    expect(chart.locator(marks).first).to_be_attached()
    chart.scroll_into_view_if_needed()
    for _ in range(100):
        page.evaluate("window.hit = false")
        chart.evaluate(NOTE_A_HIT, marks)
        page.mouse.click(*chart.evaluate(CENTRES, marks)[0])
        if page.evaluate("window.hit"):
            return
    raise AssertionError("no click met a mark")


def pictures(page: Page) -> list[str | None]:
    """Which images are shown, by their places among the training images."""
    return [item.get_attribute("data-image") for item in page.locator(f"{CARDS} li").all()]


def on_a_phone(page: Page, what: str, choice: str) -> None:
    """On a phone's trainer, choose the "control" or the "chart" to show."""
    page.locator(".st-key-phone").get_by_role("combobox", name=what).click()
    page.get_by_role("option", name=choice, exact=True).click()


# The trainer


# So slow that no axis grows, however many steps a machine takes meanwhile: a chart is rebuilt when
# its axis changes, and when its run has ended.
GENTLE = "epochs=1000&learning_rate=0.000001"


def metric(page: Page, label: str) -> Locator:
    """The figure with this label."""
    return (
        page.locator(".numbers div").filter(has=page.get_by_text(label, exact=True)).locator("dd")
    )


def chart(page: Page, alt: str) -> Locator:
    """The SVG of a chart, found by the beginning of its text for screen readers."""
    return page.locator(f'[aria-label^="{alt}"] svg.marks')


def curves(page: Page, alt: str) -> list[str]:
    """The paths of a chart's lines."""
    lines = chart(page, alt).locator("g.mark-line path[d]")
    return [path.get_attribute("d") or "" for path in lines.all()]


def seed(page: Page) -> Locator:
    return page.get_by_role("spinbutton", name="seed", exact=True)


def progress(page: Page) -> Locator:
    return page.get_by_test_id("stProgress")


def button(page: Page, name: str) -> Locator:
    return page.locator(f".st-key-{name.lower()}").get_by_role("button", name=name)


def trainer(visit: Callable[..., Page], server: str, query: str = "") -> Page:
    """The trainer, once it has its first look at the network."""
    page = visit(f"{server}/train{query}")
    # Its network may have to be compiled first, on one core beside other work.
    looked = expect(metric(page, "training accuracy"))
    looked.to_have_text(re.compile(r"\d\.\d%"), timeout=3000 * MINUTE)
    return page
