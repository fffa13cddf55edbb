"""The view for a projector, on every page and in every address."""

import pytest
from streamlit.testing.v1 import AppTest

from tests.kit import MINUTE, ROOT
from tests.kit.pages import go, open_page
from ui import projector
from ui.pages import PAGES

ATLAS = PAGES["atlas"].file


def address(page: AppTest) -> dict[str, str]:
    """The query that the browser shows."""
    return {name: values[0] if isinstance(values, list) else values
            for name, values in page.query_params.items()}  # fmt: skip


def switched(page: AppTest) -> AppTest:
    """The page after a click on the switch."""
    return page.toggle(key=projector.KEY).set_value(not projector_on(page)).run()


def projector_on(page: AppTest) -> bool:
    assert not page.exception
    return bool(page.toggle(key=projector.KEY).value)


def opened(**query: str) -> AppTest:
    """The home page as a link opens it."""
    page = AppTest.from_file(ROOT / "ui/main.py", default_timeout=4 * MINUTE)
    page.query_params.update(query)
    return page.run()


def test_a_link_turns_it_on_and_the_session_keeps_it_from_page_to_page() -> None:
    page = opened(view="projector")
    assert projector_on(page) and address(page) == {"view": "projector"}
    page.query_params.clear()  # as the navigation asks for a page
    page = go(page, ATLAS)
    assert projector_on(page) and address(page) == {"view": "projector"} and not page.toast
    page.selectbox[1].set_value("keras").run()
    assert address(page) == {"view": "projector", "here": "keras"}
    page = switched(page)
    assert address(page) == {"here": "keras"} and not projector_on(page)
    page.query_params.clear()
    assert not projector_on(go(page, "pages/home.py")) and address(page) == {}


def test_the_switch_changes_the_address_and_nothing_else() -> None:
    page = open_page(ATLAS, here="keras")
    assert address(page) == {"here": "keras"} and not projector_on(page)
    page = switched(page)
    assert address(page) == {"here": "keras", "view": "projector"} and projector_on(page)
    assert page.selectbox[1].value == "keras"
    page.query_params["view"] = "projector"  # sent before the browser knew better
    page = switched(page)
    assert address(page) == {"here": "keras"} and not projector_on(page)


def test_another_view_is_told_as_no_setting() -> None:
    page = open_page(ATLAS, view="poster")
    assert not projector_on(page) and "is not a setting" in page.toast[0].value


@pytest.mark.parametrize("on", [False, True])
def test_charts_are_larger_only_then(monkeypatch: pytest.MonkeyPatch, on: bool) -> None:
    monkeypatch.setattr(projector, "on", lambda: on)
    spec = {"height": 100}
    assert (projector.chart(spec) is spec) is not on
