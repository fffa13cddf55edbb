"""The atlas's setting: from which framework to which, and what the program uses."""

from collections.abc import Mapping
from typing import NamedTuple

import streamlit as st

from core.fields import Choice, Choices, Field, parse_query, to_text
from core.registry import Registry
from core.study.atlas.piece import FRAMEWORKS, TOPICS
from ui.state import PageState, Values

OPTIONAL = Registry("topic", [row for row in TOPICS.values() if not row.always])
FIELDS: dict[str, Field] = {
    "there": Choice(FRAMEWORKS),
    "here": Choice(FRAMEWORKS),
    "uses": Choices(OPTIONAL, len(OPTIONAL), least=0),
}


class Setting(NamedTuple):
    """Which checklist is shown."""

    there: str = "keras"
    here: str = "torch"
    uses: tuple[str, ...] = ("sgd", "adam", "dropout")  # topics


def _from_query(query: Mapping[str, str]) -> tuple[Values, list[str]]:
    values, notes = parse_query(FIELDS, query)
    return {**Setting()._asdict(), **values}, notes


def _to_query(values: Values) -> dict[str, str]:
    default = Setting()._asdict()
    return {name: to_text(value) for name, value in values.items() if value != default[name]}


LABELS = {"there": "from", "here": "to", "uses": "my program uses"}
STATE = PageState("atlas", Setting._fields, _from_query, _to_query, LABELS)


def choose() -> Setting:
    """Draw the choices and return the setting that they give."""
    STATE.take_over()
    with st.container(horizontal=True, vertical_alignment="bottom"):
        for name in ("there", "here"):
            keys = list(FRAMEWORKS)
            st.selectbox(
                f"I am porting {LABELS[name]}" if name == "there" else LABELS[name],
                keys,
                keys.index(STATE.value(name)),
                format_func=lambda key: FRAMEWORKS[key].label,
                width=220,
                **STATE.bound(name),
            )
        st.button("Swap", icon=":material/swap_horiz:", on_click=_swap)
    st.pills(
        LABELS["uses"],
        list(OPTIONAL),
        selection_mode="multi",
        default=STATE.value("uses"),
        format_func=lambda key: OPTIONAL[key].label,
        **STATE.bound("uses"),
    )
    chosen = Setting(**{**STATE.values(), "uses": tuple(STATE.value("uses"))})
    STATE.write(chosen._asdict())
    STATE.tell_notes()
    return chosen


def _swap() -> None:
    values = STATE.values()
    STATE.set({**values, "there": values["here"], "here": values["there"]})
