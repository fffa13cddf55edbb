"""The knobs that all twins of a story share; the story names them."""

from collections.abc import Mapping
from dataclasses import asdict

import streamlit as st

from core.config import FIELDS, RunConfig, agree
from core.fields import parse_query, to_text
from ui.state import PageState, Values
from ui.widgets import LABELS, knob


def knobs(story: str, names: tuple[str, ...], start: RunConfig, words: str) -> RunConfig:
    """Draw the named fields in the sidebar, under `words`, and return `start` with what they say.

    Values that do not fit together are moved to the nearest that do.

    Args:
      story: keeps its widgets apart from other pages'.
      start: what all twins share, and where the knobs stand at first; a link holds what differs.
    """
    default = {name: getattr(start, name) for name in names}

    def from_query(query: Mapping[str, str]) -> tuple[Values, list[str]]:
        values, notes = parse_query({name: FIELDS[name] for name in names}, query)
        return {**default, **values}, notes

    def to_query(values: Values) -> dict[str, str]:
        return {name: to_text(value) for name, value in values.items() if value != default[name]}

    state = PageState(story, names, from_query, to_query, LABELS)
    state.take_over()
    with st.sidebar:
        st.markdown(words)
        for name in names:
            knob(state, name)
    values = state.values()
    state.write(values)
    state.tell_notes()
    return agree({**asdict(start), **values})[0]
