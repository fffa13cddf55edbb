"""Words in the trainer's charts on a phone, one chart after another; see FAULTS."""

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.browser.drawn import FAULTS, FIVE_LAYERS, at_rest, on_a_phone, wait_until_drawn
from tests.conftest import more
from tests.servers import SOON
from ui.phone import CHARTS, OF_SERIES

Visit = Callable[..., Page]
GRU = "source=ou&widths=12-12&train_size=640&batch_size=64&optimizer=adam&epochs=3"
ADDRESSES = [
    "train?until=end",
    "train?loss=naive&until=end",
    more(f"train?{FIVE_LAYERS}from_logits&epochs=2&until=end"),
    f"train?{FIVE_LAYERS}naive&epochs=2&until=end",
    f"train?{GRU}&until=end",
]


@pytest.mark.parametrize("address", ADDRESSES)
def test_every_word_of_a_chart_can_be_read_on_a_phone(
    visit: Visit, server: str, address: str
) -> None:
    page = visit(f"{server}/{address}", width=360, height=740)
    wait_until_drawn(page, "train")
    if address.endswith("until=end"):
        done = page.get_by_test_id("stProgress").filter(has_text="done")
        expect(done).to_be_visible(timeout=3000 * SOON)
        at_rest(page)
        page.wait_for_timeout(500)  # until the last frame stands
    for _ in _charts(page, address):
        assert not (found := page.evaluate(FAULTS)), "\n".join(found)


def _charts(page: Page, address: str) -> Iterator[None]:
    """The page with each of its charts, which it shows one at a time."""
    charts = OF_SERIES if "source=ou" in address else CHARTS
    for name in list(charts.values())[:-1]:  # the strip of the gradient's health is for 16 bits
        on_a_phone(page, "chart", name)
        expect(page.locator("svg.marks:visible")).to_have_count(1)
        page.wait_for_timeout(500)  # until it stands
        yield
