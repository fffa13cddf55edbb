"""The view for the front of a class: larger type and charts, and the sidebar folded.

`?view=projector` turns it on. The session keeps it from page to page, and each address that a page
writes carries it, as far as `apart` and `carried` have it (ui/state.py).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import streamlit as st

from ui.charts.enlarged import enlarged
from ui.streamlit_privates import brought_widgets

VIEW, ON = "view", "projector"  # in an address
KEY = "projector"  # of the toggle
KEPT = "projector_on"  # Streamlit drops a widget's value where a page is left by a link


def on() -> bool:
    """Return whether this session's pages are for a projector."""
    return bool(st.session_state.get(KEPT, False))


def apart(query: Mapping[str, str]) -> dict[str, str]:
    """Return a query without the view."""
    return {name: text for name, text in query.items() if (name, text) != (VIEW, ON)}


def carried() -> dict[str, str]:
    """Return what an address says of the view."""
    return {VIEW: ON} if on() else {}


def take_over() -> None:
    """Turn the view on if a link asks for it; call before the page is configured.

    A query that comes with the toggle says nothing: the toggle does.
    """
    if brought_widgets(KEY):
        st.session_state[KEPT] = bool(st.session_state.get(KEY, on()))
    elif st.query_params.get(VIEW) == ON:
        st.session_state[KEPT] = True


def toggle() -> None:
    """Draw the switch in the header, with the style of the view, and have the address say it."""
    st.session_state[KEY] = on()
    with st.container(key="projector_switch"):
        st.toggle("Projector", on(), key=KEY, help="Larger type and charts, for a room")
    if on():
        st.html(Path(__file__).with_name("projector.css"))
    query = st.query_params.to_dict()
    if (wanted := {**apart(query), **carried()}) != query:
        st.query_params.from_dict(wanted)


def chart(spec: dict[str, Any]) -> dict[str, Any]:
    """Return a chart's spec as this view has it."""
    (drawn,) = charts([spec])
    return drawn


def charts(specs: Sequence[dict[str, Any]]) -> Sequence[dict[str, Any]]:
    """Return charts' specs as this view has them."""
    return [enlarged(spec) for spec in specs] if on() else specs
