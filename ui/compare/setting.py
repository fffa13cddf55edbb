"""Whose recordings are compared: the visitor's, or a pair that comes with the project."""

from collections.abc import Mapping
from typing import NamedTuple

import streamlit as st

from core.fields import Choice, Field, parse_query
from core.study.compare.examples import OWN, PAIRS
from ui.state import PageState, Values

FIELDS: dict[str, Field] = {"pair": Choice(PAIRS)}


class Setting(NamedTuple):
    """Which recordings are compared: a key of PAIRS."""

    pair: str = OWN


def _from_query(query: Mapping[str, str]) -> tuple[Values, list[str]]:
    values, notes = parse_query(FIELDS, query)
    return {**Setting()._asdict(), **values}, notes


def _to_query(values: Values) -> dict[str, str]:
    return {} if values["pair"] == OWN else {"pair": values["pair"]}


STATE = PageState("compare", Setting._fields, _from_query, _to_query, {"pair": "recordings"})


def choose() -> Setting:
    """Draw the choice and return the setting that it gives."""
    STATE.take_over()
    st.segmented_control(
        "recordings",
        list(PAIRS),
        default=STATE.value("pair"),
        format_func=lambda key: PAIRS[key].label,
        required=True,
        **STATE.bound("pair"),
    )
    chosen = Setting(**STATE.values())
    STATE.write(chosen._asdict())
    STATE.tell_notes()
    return chosen
