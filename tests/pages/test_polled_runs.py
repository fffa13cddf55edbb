"""Pages that poll their runs: one that is gone meanwhile is asked for again."""

from collections.abc import Callable
from typing import Any

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from core.config import to_query
from core.run.job import Viewer
from tests.kit import MINUTE
from tests.kit.runs import tiny
from ui.engine import engine
from ui.story import watch
from ui.trainer import runs


def _watched(query: dict[str, str]) -> None:
    from core.config import from_query
    from ui.story.twin import twins
    from ui.story.watch import watch

    watch(twins(from_query(query)[0], {"it": {}}))


def gone(viewer: Viewer) -> None:
    with engine()._changed:
        engine()._drop(viewer.job)
    assert not viewer.alive()


def test_a_story_asks_again_for_a_run_that_was_freed(monkeypatch: pytest.MonkeyPatch) -> None:
    polled: list[Viewer] = []

    def poll(done: Callable[[], bool], draw: Any, every: float) -> bool:
        viewers: dict[Any, Viewer] = st.session_state.setdefault("story_viewers", {})
        assert not done()
        (first,) = viewers.values()
        gone(first)
        assert not done()
        polled.extend((first, *viewers.values()))
        return False

    monkeypatch.setattr(watch, "draw_until", poll)
    query = to_query(tiny(epochs=1000))
    page = AppTest.from_function(
        _watched, kwargs={"query": query}, default_timeout=4 * MINUTE
    ).run()
    assert not page.exception
    first, second = polled
    assert second is not first and second.alive() and second.config == first.config


def test_a_pin_that_was_freed_is_trained_again(monkeypatch: pytest.MonkeyPatch) -> None:
    viewer = engine().submit(tiny(epochs=1000), until=0)
    going = {viewer.config: viewer}
    monkeypatch.setattr(st, "session_state", {runs.TRAINED: going})
    assert runs.training()
    gone(viewer)
    assert runs.training()
    assert going[viewer.config].alive()
