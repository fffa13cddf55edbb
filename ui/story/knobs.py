"""The knobs that all twins of a story share; the story names them and places each."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import NamedTuple

import streamlit as st

from core.config import FIELDS, RunConfig, agree
from core.fields import Choice, parse_query, to_text
from ui.pieces.inputs import knob
from ui.pieces.widgets import LABELS
from ui.state import PageState, Values


class Knobs(NamedTuple):
    """A story's knobs, and the run that they ask for."""

    state: PageState
    config: RunConfig

    def draw(self, *names: str) -> None:
        """Draw these knobs side by side; a story calls this at the figure that they change."""
        # Segments need more room than a slider.
        widths = [1.5 if isinstance(FIELDS[name], Choice) else 1 for name in names]
        for column, name in zip(st.columns(widths, gap="medium"), names, strict=True):
            with column:
                knob(self.state, name)


def knobs(story: str, names: tuple[str, ...], start: RunConfig) -> Knobs:
    """Return the knobs of the named fields, and the run that they give; `start` gives the rest.

    Values that do not fit together are moved to the nearest that do.

    Args:
      story: the key that keeps its widgets apart from those of other pages.
      names: the fields that have a knob.
      start: the run before any knob is moved; a link holds only what differs from it.
    """
    default = {name: start.effective(name) for name in names}

    def from_query(query: Mapping[str, str]) -> tuple[Values, list[str]]:
        values, notes = parse_query({name: FIELDS[name] for name in names}, query)
        return {**default, **values}, notes

    def to_query(values: Values) -> dict[str, str]:
        return {name: to_text(value) for name, value in values.items() if value != default[name]}

    state = PageState(story, names, from_query, to_query, LABELS)
    state.take_over()
    values = state.values()
    state.write(values)
    state.tell_notes()
    return Knobs(state, agree({**asdict(start), **values})[0])
