"""A server that sends seldom, like a slow host: nothing is imported late, and no chart flashes."""

import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from core.presets import PRESETS
from tests.kit.browser import GENTLE, at_rest, button, chart, progress, seed, trainer
from tests.kit.servers import SMALL, Server, served
from tests.kit.visitor import PATIENCE, TRAIN, Session, everybody, together
from ui.imports import LIBRARIES
from ui.pages import PAGES
from ui.pieces.widgets import OPTIMIZER, WIDGETS

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def slow_host(tab: Page, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Path]]:
    """A server that sends seldom, and the file where it lists its modules on request."""
    folder = tmp_path_factory.mktemp("slow_host")
    modules = folder / "modules"
    variables = {"SAMENET_TESTS_SEND_EVERY": "0.3", "SAMENET_TESTS_MODULES": str(modules)}
    with served(folder, SMALL, **variables) as server:
        yield server, modules
        tab.goto("about:blank")
    assert server.complaints() == [], server.said()


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="needs a signal to ask by")
@pytest.mark.slow
def test_a_minute_of_use_imports_nothing_new(slow_host: tuple[Server, Path]) -> None:
    server, modules = slow_host

    def loaded() -> set[str]:
        modules.unlink(missing_ok=True)
        os.kill(server.process.pid, signal.SIGUSR1)
        while not modules.exists() or not modules.read_text().endswith("\n"):
            time.sleep(0.05)
        return set(modules.read_text().split())

    async def use() -> None:
        await everybody([Session(server.url, page=page) for page in ("", *PAGES)])
        for preset in presets:
            visitor = Session(server.url, f"preset={preset}")
            await visitor.open()
            await visitor.press(TRAIN)
            await visitor.until(lambda v=visitor: v.progress.step > 0, PATIENCE)
            await visitor.close()
            assert visitor.errors == []

    before = loaded()
    presets = [key for key, row in PRESETS.items() if "source" not in row.overrides or key == "gru"]
    together(use)
    assert loaded() - before == set()
    assert set(LIBRARIES) <= before


# Record the names of all charts that leave the page, however briefly.
NOTE_LOST = """() => {
    window.lost = []
    const lose = one => [...one.removedNodes]
        .flatMap(node => [node, ...node.querySelectorAll?.("*") ?? []])
        .filter(e => e.matches?.("svg.marks"))
        .map(e => e.closest("[aria-label]") ?? one.target.closest("[aria-label]") ?? e)
        .forEach(e => window.lost.push(e.getAttribute("aria-label") ?? e.textContent))
    new MutationObserver(all => all.forEach(lose))
        .observe(document.body, {childList: true, subtree: true})
}"""


@pytest.mark.slow
def test_no_chart_flashes_however_late_everything_comes(
    visit: Callable[..., Page], slow_host: tuple[Server, Path]
) -> None:
    page = trainer(visit, slow_host[0].url, f"?{GENTLE}")
    folded = page.get_by_role("button", name="What it does, how it fails")
    folded.click()
    expect(page.get_by_text("Failure: ").locator("..")).to_contain_text("z = ")  # it comes last
    page.keyboard.press("Escape")
    expect(page.get_by_test_id("stPopoverBody")).to_have_count(0)
    expect(chart(page, "Every image").get_by_text("−100", exact=True)).to_be_visible()
    page.get_by_text(OPTIMIZER, exact=True).click()
    at_rest(page)
    page.evaluate(NOTE_LOST)
    seed(page).fill("3")
    seed(page).press("Enter")
    expect(page).to_have_url(re.compile("seed=3"))
    expect(page.get_by_text("Grey: the run before.")).to_be_visible()
    at_rest(page)
    assert page.evaluate("window.lost") == []
    optimizer = page.get_by_role("combobox", name=WIDGETS["optimizer"].label)
    optimizer.press("ArrowDown")
    optimizer.press("ArrowDown")
    optimizer.press("Enter")  # its program is not compiled yet
    expect(page).to_have_url(re.compile("optimizer="))
    button(page, "Step").click()
    expect(progress(page)).to_contain_text("step 1 of 1,000, paused")
    at_rest(page)
    assert page.evaluate("window.lost") == []
