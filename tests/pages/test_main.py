"""The frame around all pages."""

from types import SimpleNamespace

import pytest
import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx
from streamlit.testing.v1 import AppTest

from tests.kit import MINUTE


def _stops_early() -> None:
    storage = get_script_run_ctx().fragment_storage
    storage.register("of the run before", lambda: None)
    st.fragment(lambda: st.caption("drawn"))()
    st.session_state["storage"] = storage
    st.stop()


def test_a_page_that_stops_early_keeps_no_fragment_of_the_run_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Or a timer of it draws where the browser has nothing any more, and the page is dead."""

    def frame() -> None:
        from ui import main

        main.main()

    page = SimpleNamespace(run=_stops_early, url_path="")
    monkeypatch.setattr(st, "navigation", lambda *args, **kwargs: page)
    ran = AppTest.from_function(frame, default_timeout=4 * MINUTE).run()
    assert not ran.exception and [each.value for each in ran.caption] == ["drawn"]
    storage = ran.session_state["storage"]
    assert not storage.contains("of the run before")
    assert len(storage._fragments) == 1
