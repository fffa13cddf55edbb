"""The fold at a page's end that offers its charts as files."""

import json

import pytest
from streamlit.testing.v1 import AppTest

from tests.kit.pages import open_page
from ui.charts import convert
from ui.pieces import aside, figures

PAGE = "pages/lab/microscope.py"


def opened(**query: str) -> AppTest:
    page = open_page(PAGE, **query)
    assert not page.get("download_button")
    page.session_state[figures.KEY] = True
    page.run()
    assert not page.exception
    return page


def test_a_page_s_charts_can_be_chosen_and_are_captioned(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, object]] = []

    def run(module: str, given: bytes, seconds: float) -> bytes:
        asked.append(json.loads(given))
        return b"a file"

    monkeypatch.setattr(convert, "installed", lambda: True)
    monkeypatch.setattr(aside, "run", run)
    page = opened(epsilon="0.001", span="50")
    drawn = page.session_state[figures.NOTED]
    offered = {each.proto.label: each.proto for each in page.get("download_button")}
    assert {*offered} == {"SVG", "PNG", "PDF"} and len(drawn) >= 4
    assert not any(each.disabled for each in offered.values())
    words = page.text[-1].value
    assert "With epsilon 0.001; all else" in words and "JAX 0." in words
    assert words.endswith("?epsilon=0.001&span=50")
    assert figures.made(drawn, list(drawn)[:2], "page", "png", words) == b"a file"
    assert (asked[0]["caption"], asked[0]["format"]) == (words, "png")
    assert len(asked[0]["specs"]) == len(asked[0]["titles"]) == 2  # type: ignore[arg-type]


def test_without_the_converter_the_page_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(convert, "installed", lambda: False)
    page = opened()
    assert all(each.proto.disabled for each in page.get("download_button"))
    assert any(figures.INSTALL in each.value for each in page.markdown)
