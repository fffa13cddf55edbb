"""When a page stands as its visitor reads it."""

from playwright.sync_api import Page, expect

from tests.servers import SOON


def wait_until_drawn(page: Page, key: str) -> None:
    """Until page `key` of PAGES ("" for the home page) is neither a skeleton nor half a story."""
    match key:
        case "":
            expect(page.locator("svg.marks")).to_have_count(1)
            page.wait_for_timeout(2000)  # until the race is run
        case "train":
            expect(page.locator("svg.marks")).to_have_count(6)
        case "microscope":
            expect(page.locator("svg.marks")).to_have_count(4)
            expect(page.get_by_test_id("stTable")).to_have_count(2)
        case "jax_vs_keras":
            page.get_by_test_id("stRadioOption").last.click()
            expect(page.get_by_role("heading", name="The fix")).to_be_visible(timeout=3000 * SOON)
            expect(page.get_by_role("img", name="handwritten digits")).to_have_count(2)
    expect(page.get_by_test_id("stSkeleton")).to_have_count(0)
    page.wait_for_timeout(500)  # until what fades in stands
