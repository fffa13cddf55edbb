"""The comparison in a real browser: files are dropped, and the cause is there."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, expect

from core.study.compare.examples import PAIRS


def drop(page: Page, label: str) -> Locator:
    """Return what takes the file of this uploader; by its name, for they are not there at once."""
    return page.get_by_role("region", name=label).get_by_test_id("stFileUploaderDropzoneInput")


def test_two_files_that_are_dropped_are_compared(visit: Callable[..., Page], server: str) -> None:
    page = visit(f"{server}/compare")
    expect(page.get_by_role("heading", name="How to record")).to_be_visible()
    first, second = PAIRS["question"].paths
    drop(page, "Recording a").set_input_files(first)
    expect(page.get_by_role("heading", name="What this recording computes")).to_be_visible()
    drop(page, "Recording b").set_input_files(second)
    expect(page.get_by_role("heading", name="They part at the loss")).to_be_visible()
    expect(page.get_by_text("logits lost")).to_be_visible()
    expect(page.get_by_role("img", name="example 0 of the batch")).to_be_visible()


def test_logits_that_are_dropped_are_counted(visit: Callable[..., Page], server: str) -> None:
    page = visit(f"{server}/compare")
    page.get_by_text("logits and labels").click()
    rows = b"logit,label\n-120,1\n-2,1\n3,0\n-3,0\nnan,1\n"
    drop(page, "Logits and labels").set_input_files(
        {"name": "a.csv", "mimeType": "text/csv", "buffer": rows}
    )
    expect(
        page.get_by_role("heading", name="losses give these samples their gradient")
    ).to_be_visible()
    expect(page.get_by_text("5 samples of 2 classes")).to_be_visible()
    expect(page.get_by_role("alert")).to_contain_text("In 1 of 5 samples a logit is NaN")
    expect(page.get_by_role("list").get_by_text("25% of the samples with").first).to_be_visible()
    expect(page.get_by_role("button", name="Show data: Histogram of 4 samples")).to_be_attached()


@pytest.mark.slow
def test_a_file_that_is_no_recording_is_told_and_the_page_goes_on(
    visit: Callable[..., Page], server: str
) -> None:
    page = visit(f"{server}/compare")
    junk = {"name": "<img src=x>.safetensors", "mimeType": "text/plain", "buffer": b"{}" * 50}
    drop(page, "Recording a").set_input_files(junk)
    expect(page.get_by_role("alert")).to_contain_text("safetensors")
    expect(page.locator("img[src=x]")).to_have_count(0)
    page.get_by_text("an example: the question").click()
    expect(page.get_by_role("heading", name="They part at the loss")).to_be_visible()
