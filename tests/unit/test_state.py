"""A widget that the page sets too: which of its changes are the visitor's."""

import re
from typing import Any

import pytest
import streamlit as st

from tests.kit import ROOT
from ui.state import PageState, bound, key_of, put

Changes = list[Any]


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What Streamlit keeps for a session."""
    kept: dict[str, Any] = {}
    monkeypatch.setattr(st, "session_state", kept)
    return kept


def drawn(name: str, session: dict[str, Any], changes: Changes) -> Any:
    """The callback of a widget; it records the value that the widget has when it is called."""
    return bound(name, lambda: changes.append(session[key_of(name)]))["on_change"]


def test_only_a_different_value_is_a_change(session: dict[str, Any]) -> None:
    changes: Changes = []
    put("loss", "clip")
    on_change = drawn("loss", session, changes)
    on_change()  # Streamlit calls it when the browser first sends back what the page has set
    assert changes == []
    for value in ("naive", "naive", "clip"):
        session["loss"] = value
        on_change()
    assert changes == ["naive", "clip"]


def test_a_list_equals_the_tuple_that_was_put(session: dict[str, Any]) -> None:
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
    session["loss"] = "mxnet"  # from the old widget: the browser does not have the new one yet
    before()
    assert (changes, session[key_of("loss")]) == ([], "naive")
    session[key_of("loss")] = "from_logits"
    now()
    assert changes == ["from_logits"]


class Shown(Exception):
    """The next request ends the script's run where it would show something."""


def test_a_note_that_has_not_been_shown_is_kept_for_the_next_change(
    session: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[str, Any]] = []

    def replaced(*_: Any, **__: Any) -> None:
        raise Shown

    state = PageState("page", ("seed",), lambda query: ({}, []), lambda values: {}, {"seed": "S"})
    state.set({"seed": 1}, ["seed is now 1: too large"])
    monkeypatch.setattr(st, "toast", replaced)
    with pytest.raises(Shown):
        state.tell_notes()
    state.set({"seed": 1}, ["epsilon is now 0.1", "seed is now 1: too large"])
    monkeypatch.setattr(st, "toast", lambda text, duration, **_: told.append((text, duration)))
    state.tell_notes()
    state.tell_notes()
    assert told == [("S is now 1: too large  \nepsilon is now 0.1", "long")]


def test_no_key_is_taken_out_of_a_session() -> None:
    """A run of the script that the next one interrupts may be at a widget, where Streamlit lists
    the session's keys and then reads each: if one has gone, that is an error (Streamlit 1.67).
    """
    takes = re.compile(r"session_state\.pop\(|del st\.session_state")
    files = [*ROOT.glob("ui/**/*.py"), *ROOT.glob("pages/**/*.py")]
    assert [file for file in files if takes.search(file.read_text())] == []
