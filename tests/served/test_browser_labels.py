"""The words in the trainer's charts on a phone, one chart after another; see FAULTS."""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Page, expect

from core.config import to_query
from tests.kit import MINUTE
from tests.kit.browser import (
    FAULTS,
    FIVE_LAYERS,
    OUTSIDE,
    chart,
    on_a_phone,
    stand_still,
    wait_until_drawn,
)
from tests.kit.runs import DROPPING, SERIES
from ui.charts.flow import BANDS
from ui.trainer.phone import CHARTS, SERIES_CHARTS

Visit = Callable[..., Page]
RIGHT_ENDS = "all => all.map(e => e.getBoundingClientRect().right)"
GRU = urlencode(to_query(replace(SERIES, model="gru")))
LAYERS = urlencode(to_query(DROPPING))
ADDRESSES = [
    "train?until=end",
    "train?loss=naive&until=end",
    f"train?{FIVE_LAYERS}from_logits&epochs=2&until=end",
    f"train?{FIVE_LAYERS}naive&epochs=2&until=end",
    f"train?{LAYERS}&until=end",
    f"train?{GRU}&until=end",
]


@pytest.mark.slow
@pytest.mark.parametrize("address", ADDRESSES)
def test_every_word_of_a_chart_can_be_read_on_a_phone(
    visit: Visit, server: str, address: str
) -> None:
    page = visit(f"{server}/{address}", width=360, height=740)
    done = page.get_by_test_id("stProgress").filter(has_text="done")
    expect(done).to_be_visible(timeout=3000 * MINUTE)
    wait_until_drawn(page, "train")
    for _ in _charts(page, address):
        assert not (found := page.evaluate(FAULTS)), "\n".join(found)
    choices = page.get_by_role("radio", name=re.compile(r"^(right|wrong), |^NaN or inf$"))
    assert choices.count() == (0 if "source=ou" in address else len(BANDS))
    assert all(end <= 360 for end in choices.evaluate_all(RIGHT_ENDS))
    layers = 6 if FIVE_LAYERS in address else 4 if LAYERS in address else 0
    if layers:
        _whole_legend(page, layers)


def _whole_legend(page: Page, layers: int) -> None:
    """Assert that the legend names all layers, though not all fit in one row."""
    on_a_phone(page, "chart", "gradients")
    norms = chart(page, "Gradient norm")
    for layer in range(1, 1 + layers):
        expect(norms.get_by_text(f"layer {layer}", exact=True)).to_be_visible()
    assert norms.evaluate(OUTSIDE) == []


def _charts(page: Page, address: str) -> Iterator[None]:
    """Show each chart of the page in turn."""
    charts = SERIES_CHARTS if "source=ou" in address else CHARTS
    for name in list(charts.values())[:-1]:  # only 16-bit runs have the last chart
        on_a_phone(page, "chart", name)
        expect(page.locator("svg.marks:visible")).to_have_count(1)
        stand_still(page)
        yield
