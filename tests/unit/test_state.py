"""A widget that the page sets, too: when its change is the visitor's."""

from typing import Any

import pytest
import streamlit as st

from ui.state import bound, key_of, put

Changes = list[Any]


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What Streamlit keeps of a session."""
    kept: dict[str, Any] = {}
    monkeypatch.setattr(st, "session_state", kept)
    return kept


def drawn(name: str, session: dict[str, Any], changes: Changes) -> Any:
    """The callback of a widget, which notes what the widget says by then."""
    return bound(name, lambda: changes.append(session[key_of(name)]))["on_change"]


def test_only_another_value_is_a_change(session: dict[str, Any]) -> None:
    changes: Changes = []
    put("loss", "clip")
    on_change = drawn("loss", session, changes)
    on_change()  # Streamlit calls when the browser first says what the page has set
    assert changes == []
    for value in ("naive", "naive", "clip"):
        session["loss"] = value
        on_change()
    assert changes == ["naive", "clip"]


def test_a_list_is_the_values_that_were_put(session: dict[str, Any]) -> None:
    changes: Changes = []
    put("losses", ("clip", "naive"))
    on_change = drawn("losses", session, changes)
    session["losses"] = ["clip", "naive"]
    on_change()
    assert changes == []


def test_a_widget_that_was_replaced_changes_nothing(session: dict[str, Any]) -> None:
    changes: Changes = []
    put("loss", "clip")
    before = drawn("loss", session, changes)
    put("loss", "naive")
    now = drawn("loss", session, changes)
    session["loss"] = "mxnet"  # of the old widget, by a browser that has not the new one yet
    before()
    assert (changes, session[key_of("loss")]) == ([], "naive")
    session[key_of("loss")] = "from_logits"
    now()
    assert changes == ["from_logits"]
