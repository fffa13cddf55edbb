"""A page's settings in three places: its widgets, its URL, and the session's memory.

The URL holds what differs from the defaults. A query that the page did not write itself (a
shared link, the back button) sets the widgets; after that the widgets write the query. The
session remembers the settings while the visitor is on another page, where widgets are dropped.

A quick visitor is ahead of the page: while one change is answered, the next is on its way. So a
widget that was moved since the page last wrote its query wins over the query that came with it,
which the browser sent before it had the new one; and a widget that the page sets to something
else is replaced by a new one, for what the browser still says of the old one would count as a
visitor's change. Nor does Streamlit's word that a widget was changed count for much: it is given
for a widget that has been replaced, and for one that says again what the page has set it to.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import streamlit as st

Values = dict[str, Any]
OWN = "own_query"  # what the page that is shown has written, until its script runs again
TURNS = "turns"  # name of a widget -> how often it has been replaced
SAID = "said"  # key of a widget -> what the page knows that it says


def key_of(name: str) -> str:
    """The key of a widget that the page sets, too: another one once it has replaced it."""
    turn = st.session_state.get(TURNS, {}).get(name, 0)
    return f"{name}-{turn}" if turn else name


def put(name: str, value: Any) -> None:
    """Have a widget say `value`; only before it is drawn, or in a callback.

    It is to be drawn with `value` as its default, too: of a run of the script that the next one
    interrupts, the browser may have got the new widget and not what it was set to.
    """
    key, said = key_of(name), st.session_state.setdefault(SAID, {})
    if key in st.session_state:
        if _as_tuple(st.session_state[key]) == _as_tuple(value):
            return
        said.pop(key, None)
        turns = st.session_state.setdefault(TURNS, {})
        turns[name] = turns.get(name, 0) + 1
        key = key_of(name)
    st.session_state[key] = value
    said[key] = _as_tuple(value)


def bound(name: str, on_change: Callable[[], None] | None = None) -> dict[str, Any]:
    """The key of a widget that the page sets, too, and the callback of a change by the visitor."""
    key = key_of(name)

    def answer() -> None:
        said = st.session_state.setdefault(SAID, {})
        value = _as_tuple(st.session_state.get(key))
        if on_change is not None and key == key_of(name) and said.get(key) != value:
            said[key] = value
            on_change()

    return {"key": key, "on_change": on_change and answer}


def rerun() -> None:
    """Run the whole page again, with the query that it wrote itself if it wrote one.

    A fragment's timer may have come with an older one: the browser sent it before it had that.
    """
    own = st.session_state.get(OWN)
    if own is not None and own != st.query_params.to_dict():
        st.query_params.from_dict(own)
    st.rerun()


def _as_tuple(value: Any) -> Any:
    """A widget for several values gives a list, whatever it was set to."""
    return tuple(value) if isinstance(value, list) else value


@dataclass(frozen=True)
class PageState:
    """The settings of one page; `prefix` keeps its widget keys apart from other pages'."""

    prefix: str
    names: tuple[str, ...]
    from_query: Callable[[Mapping[str, str]], tuple[Values, list[str]]]  # all names, and notes
    to_query: Callable[[Values], dict[str, str]]
    labels: Mapping[str, str]  # the page's words for the settings whose names are not

    def key(self, name: str) -> str:
        """The widget key of a setting, as it is now."""
        return key_of(self.name(name))

    def name(self, name: str) -> str:
        """The name of a setting's widget, which its keys begin with."""
        return f"{self.prefix}_{name}"

    def bound(self, name: str, on_change: Callable[[], None] | None = None) -> dict[str, Any]:
        """The key of a setting's widget, and the callback of a change by the visitor."""
        return bound(self.name(name), on_change)

    def value(self, name: str) -> Any:
        """What one widget says, also before it is drawn."""
        return st.session_state[self.key(name)]

    def values(self) -> Values:
        """What the widgets say."""
        return {name: self.value(name) for name in self.names}

    def remembered(self) -> Values | None:
        """The settings when they were last complete, if this session has been here."""
        return st.session_state.get(self.key("remembered"))

    def set(
        self, values: Mapping[str, Any], notes: list[str] | None = None, stay: bool = False
    ) -> None:
        """Set every widget; only before they are drawn, or in a callback.

        Notes go by themselves, or `stay` until they are closed.
        """
        for name in self.names:
            self.put(name, values[name])
        st.session_state[self.key("remembered")] = dict(values)
        st.session_state[self.key("notes")] = (notes or [], "infinite" if stay else "long")

    def put(self, name: str, value: Any) -> None:
        """Set one widget; only before it is drawn, or in a callback."""
        put(self.name(name), value)

    def take_over(self) -> None:
        """Before the widgets: set them from a query that is not this page's own."""
        query = st.query_params.to_dict()
        dropped = [name for name in self.names if self.key(name) not in st.session_state]
        remembered = self.remembered()
        back = bool(dropped) and not query  # from another page, by the page's bare address
        own = back or self._moved() or query == st.session_state.get(self.key("query"))
        if remembered is None or not own:
            # What opens a page may compile for longer than a note is read.
            self.set(*self.from_query(query), stay=True)
            st.session_state[self.key("query")] = query
            return
        # Streamlit drops a widget that was not drawn: on another page, or in a figure yet to come.
        for name in dropped:
            self.put(name, remembered[name])

    def write(self, values: Mapping[str, Any]) -> None:
        """After the widgets: write the query and remember."""
        st.session_state[self.key("remembered")] = dict(values)
        st.session_state[self.key("written")] = self.values()
        query, before = self.to_query(dict(values)), st.session_state.get(self.key("query"))
        st.session_state[self.key("query")] = st.session_state[OWN] = query
        # The query that came may be right and yet be old: that of the run before is on its way.
        if not query == before == st.query_params.to_dict():
            st.query_params.from_dict(query)

    def _moved(self) -> bool:
        """Whether a widget says something else than when the query was last written."""
        written = st.session_state.get(self.key("written"), {})
        there = (name for name in written if self.key(name) in st.session_state)
        return any(self.value(name) != written[name] for name in there)

    def note(self, notes: list[str]) -> None:
        """Add notes to those that are told next."""
        before, duration = st.session_state.get(self.key("notes"), ([], "long"))
        st.session_state[self.key("notes")] = ([*before, *notes], duration)

    def tell_notes(self) -> None:
        """Say once what of the URL or of the last change could not be used as it was."""
        notes, duration = st.session_state.pop(self.key("notes"), ([], "long"))
        if notes:
            told = (in_words(note, self.labels) for note in notes)
            st.toast("  \n".join(told), icon=":material/info:", duration=duration)


def in_words(note: str, labels: Mapping[str, str]) -> str:
    """A note that begins with a setting's name, with the label that the page has for it."""
    name, space, rest = note.partition(" ")
    return labels.get(name, name) + space + rest
