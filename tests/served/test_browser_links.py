"""Every link of ours leads to its page and back, and no setting is lost on the way."""

from collections.abc import Callable
from urllib.parse import parse_qsl, urlsplit

import pytest
from playwright.sync_api import Page, expect

from core.config import from_query, to_query
from tests.kit.browser import at_rest
from ui.microscope.setting import STATE as MICROSCOPE

Visit = Callable[..., Page]
# Pages with settings other than the defaults, and the seed that shows they are still there.
SET = {
    "train": ("seed=7&loss=clip&epsilon=0.001&dropout=rate&dropout_value=0.7", "7"),
    "microscope": ("losses=clip.optax&dtype=float16&label=0&span=50", None),
    "jax_vs_keras": ("seed=7&scaling=unit&learning_rate=0.1", "7"),
    "": ("", None),
}
OWN = {
    "train": lambda query: to_query(from_query(query)[0]),
    "microscope": lambda query: MICROSCOPE.to_query(MICROSCOPE.from_query(query)[0]),
}


def query_of(page: Page) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(page.url).query))


def heading(page: Page) -> str:
    """The page's title, once it is drawn."""
    title = page.get_by_role("heading", level=1)
    expect(title).to_have_count(1)
    return title.inner_text()


@pytest.mark.slow
@pytest.mark.parametrize("address", SET)
def test_every_link_leads_to_its_page_and_back(visit: Visit, server: str, address: str) -> None:
    query, seed = SET[address]
    page = visit(f"{server}/{address}?{query}")
    title = heading(page)
    links = page.get_by_test_id("stPageLink-NavLink")
    if address in ("", "train"):  # the other pages have no links of their own
        expect(links).not_to_have_count(0)
    before = query_of(page)
    assert before == dict(parse_qsl(query))
    for i in range(links.count()):
        links.nth(i).click()
        expect(page.get_by_role("heading", level=1)).not_to_have_text(title)
        at_rest(page)  # by now the page has rewritten its address, if it does so at all
        there = query_of(page)
        own = OWN.get(urlsplit(page.url).path.strip("/"), lambda query: query)
        assert there == own(there), "the link has a query its page would not write"
        page.go_back()
        expect(page.get_by_role("heading", level=1)).to_have_text(title)
        at_rest(page)
        assert query_of(page) == before, "one step back restores all settings"
        if seed is not None:
            spin = page.get_by_role("spinbutton", name="seed", exact=True)
            expect(spin).to_have_value(seed)
