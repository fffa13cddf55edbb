"""A page's settings in three places: its widgets, its URL, and the session's memory.

The URL holds what differs from the defaults. A query that the page did not write itself (a shared
link, the back button) sets the widgets; after that the widgets write the query. The session
remembers the settings while the visitor is on another page, where Streamlit drops widgets.

A quick visitor is ahead of the page: while one change is answered, the next is on its way. So:

- The query that comes with the page's widgets is not read, because the browser may have sent it
before it had the one that the page has written since. A page that is opened, or to which the back
button returns, is asked for without its widgets.
- A widget that the page sets to another value is replaced by a new widget. Otherwise, what the
browser still says of the old one would count as a visitor's change.
- Streamlit's word that a widget was changed is not enough: it is also given for a widget that has
been replaced, and for one that only repeats what the page has set it to.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import streamlit as st

from ui.projector import apart, carried
from ui.streamlit_privates import brought_widgets

Values = dict[str, Any]
OWN = "own_query"  # the query that the shown page has written; None until it writes one
TURNS = "turns"  # name of a widget -> how often it has been replaced
KNOWN = "said"  # key of a widget -> the value that the page knows it to have
NO_NOTES: tuple[list[str], Any] = [], "long"  # and for how long they are shown


def key_of(name: str) -> str:
    """Return the key of a widget that the page sets, too; a new one after each replacement."""
    turn = st.session_state.get(TURNS, {}).get(name, 0)
    return f"{name}-{turn}" if turn else name


def put(name: str, value: Any) -> None:
    """Give a widget this value; only before it is drawn, or in a callback.

    Draw it with `value` as its default, too: if the next run of the script interrupts this one, the
    browser may have got the new widget but not what it was set to.
    """
    key, known = key_of(name), st.session_state.setdefault(KNOWN, {})
    if key in st.session_state:
        if _as_tuple(st.session_state[key]) == _as_tuple(value):
            return
        known.pop(key, None)
        turns = st.session_state.setdefault(TURNS, {})
        turns[name] = turns.get(name, 0) + 1
        key = key_of(name)
    st.session_state[key] = value
    known[key] = _as_tuple(value)


def bound(name: str, on_change: Callable[[], None] | None = None) -> dict[str, Any]:
    """Return the key of a widget that the page sets, too, and a callback for visitors' changes."""
    key = key_of(name)

    def changed() -> None:
        known = st.session_state.setdefault(KNOWN, {})
        value = _as_tuple(st.session_state.get(key))
        if on_change is not None and key == key_of(name) and known.get(key) != value:
            known[key] = value
            on_change()

    return {"key": key, "on_change": on_change and changed}


def rerun() -> None:
    """Run the whole page again, with the query that it wrote itself, if it wrote one.

    A fragment's timer may have come with an older query, sent before the browser had the new one.
    """
    own = st.session_state.get(OWN)
    if own is not None and own != st.query_params.to_dict():
        st.query_params.from_dict(own)
    st.rerun()


def _as_tuple(value: Any) -> Any:
    """Turn a list into a tuple: a widget for several values gives a list, whatever it was given."""
    return tuple(value) if isinstance(value, list) else value


@dataclass(frozen=True)
class PageState:
    """The settings of one page; `prefix` keeps its widget keys apart from other pages'."""

    prefix: str
    names: tuple[str, ...]
    from_query: Callable[[Mapping[str, str]], tuple[Values, list[str]]]  # values, and notes
    to_query: Callable[[Values], dict[str, str]]
    labels: Mapping[str, str]  # what the page calls its settings, if not by their names

    def key(self, name: str) -> str:
        """Return the present widget key of a setting."""
        return key_of(self.name(name))

    def name(self, name: str) -> str:
        """Return the name of a setting's widget, with which its keys begin."""
        return f"{self.prefix}_{name}"

    def bound(self, name: str, on_change: Callable[[], None] | None = None) -> dict[str, Any]:
        """Return the key of a setting's widget, and a callback for visitors' changes."""
        return bound(self.name(name), on_change)

    def value(self, name: str) -> Any:
        """Return the value of one widget, even before it is drawn."""
        return st.session_state[self.key(name)]

    def values(self) -> Values:
        """Return the values of the widgets."""
        return {name: self.value(name) for name in self.names}

    def remembered(self) -> Values | None:
        """Return the settings when they were last complete, if this session has been here."""
        return st.session_state.get(self.key("remembered"))

    def set(
        self, values: Mapping[str, Any], notes: list[str] | None = None, stay: bool = False
    ) -> None:
        """Set every widget; only before they are drawn, or in a callback.

        Notes disappear by themselves, or `stay` until the visitor closes them.
        """
        for name in self.names:
            self.put(name, values[name])
        st.session_state[self.key("remembered")] = dict(values)
        self.note(notes or [], stay)

    def put(self, name: str, value: Any) -> None:
        """Set one widget; only before it is drawn, or in a callback."""
        put(self.name(name), value)

    def take_over(self) -> bool:
        """Set the widgets from a query that is not this page's own; call before drawing them.

        Returns whether there was one: the page is opened, by a link or its bare address.
        """
        query = apart(st.query_params.to_dict())
        dropped = [name for name in self.names if self.key(name) not in st.session_state]
        remembered = self.remembered()
        back = bool(dropped) and not query  # from another page, by the page's bare address
        own = back or brought_widgets(self.name("")) or query == self._written()
        if remembered is None or not own:
            # Notes stay, because a page that is opened may compile for longer than a note is shown.
            self.set(*self.from_query(query), stay=True)
            st.session_state[self.key("query")] = query
            return True
        # Streamlit drops a widget that was not drawn, on another page or in a figure yet to come.
        for name in dropped:
            self.put(name, remembered[name])
        return False

    def _written(self) -> Mapping[str, str] | None:
        """Return the query that this page has written last."""
        return st.session_state.get(self.key("query"))

    def write(self, values: Mapping[str, Any]) -> None:
        """Write the query and remember the settings; call after drawing the widgets."""
        st.session_state[self.key("remembered")] = dict(values)
        query, before = self.to_query(dict(values)), self._written()
        st.session_state[self.key("query")] = query
        whole = st.session_state[OWN] = {**query, **carried()}
        # Even a query that is right already is written again if the last one written was another,
        # because that one is still on its way to the browser.
        if query != before or whole != st.query_params.to_dict():
            st.query_params.from_dict(whole)

    def note(self, notes: list[str], stay: bool = False) -> None:
        """Add notes to those that will be shown next; they all disappear by themselves, or `stay`.

        Those of a change that came just before this one have not been shown yet.
        """
        before, duration = st.session_state.get(self.key("notes"), NO_NOTES)
        together = list(dict.fromkeys([*before, *notes]))
        st.session_state[self.key("notes")] = (together, "infinite" if stay else duration)

    def tell_notes(self) -> None:
        """Show once what could not be used of the URL or of the last change."""
        notes, duration = st.session_state.get(self.key("notes"), NO_NOTES)
        if notes:
            texts = (in_words(note, self.labels) for note in notes)
            st.toast("  \n".join(texts), icon=":material/info:", duration=duration)
        st.session_state[self.key("notes")] = NO_NOTES  # if the page was replaced, it has not told


def in_words(note: str, labels: Mapping[str, str]) -> str:
    """Replace the setting's name that a note begins with by what the page calls it."""
    name, space, rest = note.partition(" ")
    return labels.get(name, name) + space + rest
