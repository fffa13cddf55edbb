"""A page's settings in three places: its widgets, its URL, and the session's memory.

The URL holds what differs from the defaults. A query that the page did not write itself (a
shared link, the back button) sets the widgets; after that the widgets write the query. The
session remembers the settings while the visitor is on another page, where widgets are dropped.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import streamlit as st

Values = dict[str, Any]


@dataclass(frozen=True)
class PageState:
    """The settings of one page; `prefix` keeps its widget keys apart from other pages'."""

    prefix: str
    names: tuple[str, ...]
    from_query: Callable[[Mapping[str, str]], tuple[Values, list[str]]]  # all names, and notes
    to_query: Callable[[Values], dict[str, str]]
    labels: Mapping[str, str]  # the page's words for the settings whose names are not

    def key(self, name: str) -> str:
        """The widget key of a setting."""
        return f"{self.prefix}_{name}"

    def value(self, name: str) -> Any:
        """What one widget says, also before it is drawn."""
        return st.session_state[self.key(name)]

    def values(self) -> Values:
        """What the widgets say."""
        return {name: self.value(name) for name in self.names}

    def remembered(self) -> Values | None:
        """The settings when they were last complete, if this session has been here."""
        return st.session_state.get(self.key("remembered"))

    def set(self, values: Mapping[str, Any], notes: list[str] | None = None) -> None:
        """Set every widget; only before they are drawn, or in a callback."""
        for name in self.names:
            st.session_state[self.key(name)] = values[name]
        st.session_state[self.key("remembered")] = dict(values)
        st.session_state[self.key("notes")] = notes or []

    def take_over(self) -> None:
        """Before the widgets: set them from a query that is not this page's own."""
        query = st.query_params.to_dict()
        dropped = [name for name in self.names if self.key(name) not in st.session_state]
        remembered = self.remembered()
        back = bool(dropped) and not query  # from another page, by the page's bare address
        if remembered is None or not (back or query == st.session_state.get(self.key("query"))):
            self.set(*self.from_query(query))
            return
        # Streamlit drops a widget that was not drawn: on another page, or in a figure yet to come.
        for name in dropped:
            st.session_state[self.key(name)] = remembered[name]

    def write(self, values: Mapping[str, Any]) -> None:
        """After the widgets: write the query and remember."""
        st.session_state[self.key("remembered")] = dict(values)
        st.session_state[self.key("query")] = query = self.to_query(dict(values))
        if query != st.query_params.to_dict():
            st.query_params.from_dict(query)

    def tell_notes(self) -> None:
        """Say once what of the URL or of the last change could not be used as it was."""
        if notes := st.session_state.pop(self.key("notes"), []):
            told = (in_words(note, self.labels) for note in notes)
            st.toast("  \n".join(told), icon=":material/info:")


def in_words(note: str, labels: Mapping[str, str]) -> str:
    """A note that begins with a setting's name, with the label that the page has for it."""
    name, space, rest = note.partition(" ")
    return labels.get(name, name) + space + rest
