"""Screenshots of every page at three widths in both themes, for a person to look at.

`python -m scripts.screenshots FOLDER [ADDRESS ...]` serves this checkout and writes each page at
full height as `<page>-<width>-<theme>.png`. An address is a page's key, with a query if needed, as
in train?seed=3; without addresses it takes all pages. Needs requirements-dev.txt and a Chromium.
"""

import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from tests.kit import MINUTE
from tests.kit.browser import FLAGS, chromium, wait_until_drawn
from tests.kit.servers import served
from ui.pages import PAGES

SCREENS = ((360, 740), (1280, 800), (1920, 1080))
HEIGHT = "document.querySelector('[data-testid=stMain]').scrollHeight"


def picture(browser: Browser, address: str, key: str, to: Path) -> None:
    """Take screenshots of one page in both themes at every width."""
    for width, height in SCREENS:
        for scheme in ("light", "dark"):
            page = browser.new_page(
                viewport={"width": width, "height": height}, color_scheme=scheme
            )
            page.set_default_timeout(1000 * MINUTE)
            page.goto(address)
            wait_until_drawn(page, key)
            page.set_viewport_size({"width": width, "height": page.evaluate(HEIGHT)})
            page.wait_for_timeout(500)
            page.screenshot(path=to / f"{key or 'home'}-{width}-{scheme}.png")
            page.close()


def main(folder: str, *addresses: str) -> None:
    """Take screenshots of all pages, or of those at `addresses`."""
    to = Path(folder)
    to.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as scratch,
        served(Path(scratch)) as server,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=chromium(), args=list(FLAGS))
        for address in addresses or ("", *PAGES):
            picture(browser, f"{server.url}/{address}", address.partition("?")[0], to)


if __name__ == "__main__":
    main(*sys.argv[1:])
