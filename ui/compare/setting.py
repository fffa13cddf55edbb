"""What a visitor brings to the page, and how it is looked at; the link that holds it."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import streamlit as st

from core.fields import Choice, Field, Range, number, parse_query, to_text
from core.parts.dtypes import DTYPES
from core.registry import Registry, Row
from core.study.compare.examples import OWN, PAIRS
from core.study.logits.census import EPSILONS
from ui.state import PageState, Values

RECORDINGS, LOGITS = "recordings", "logits"
GIVEN = Registry(
    "what is given",
    [
        Row(
            key=RECORDINGS,
            label="recordings",
            summary="Record the first steps of both programs. Weights, batch, outputs, loss, "
            "gradients and update are laid side by side; where they part, pieces of the frameworks "
            "are tried on your numbers, to find one that explains them.",
        ),
        Row(
            key=LOGITS,
            label="logits and labels",
            summary="Bring one network's logits. Every loss is tried on them in every number "
            "format, to find which give these samples their gradient, and which are silent or "
            "break.",
        ),
    ],
)
FIELDS: dict[str, Field] = {
    "given": Choice(GIVEN),
    "pair": Choice(PAIRS),
    "dtype": Choice(DTYPES),
    "epsilon": Range(0, 0.499),
}


class Setting(NamedTuple):
    """What is looked at, and for logits in which number format and with which epsilon."""

    given: str = RECORDINGS
    pair: str = OWN  # a key of PAIRS
    dtype: str = "float32"
    epsilon: float = 0.0  # one of EPSILONS, or 0: each loss has its own


def _from_query(query: Mapping[str, str]) -> tuple[Values, list[str]]:
    values, notes = parse_query(FIELDS, query)
    asked = values.get("epsilon", 0.0)
    if asked not in (0.0, *EPSILONS):
        values["epsilon"] = min(EPSILONS, key=lambda epsilon: abs(epsilon - asked))
        notes.append(f"epsilon was set from {number(asked)} to {number(values['epsilon'])}")
    return {**Setting()._asdict(), **values}, notes


def _to_query(values: Values) -> dict[str, str]:
    default = Setting()._asdict()
    return {name: to_text(value) for name, value in values.items() if value != default[name]}


LABELS = {"given": "what you have", "pair": "files", "dtype": "number format"}
STATE = PageState("compare", Setting._fields, _from_query, _to_query, LABELS)


def choose() -> Setting:
    """Draw the choice and return the setting that it gives."""
    STATE.take_over()
    with st.container(horizontal=True, gap="medium"):
        _choice("given", GIVEN)
        _choice("pair", PAIRS)
    chosen = Setting(**STATE.values())
    st.markdown(GIVEN[chosen.given].summary)
    STATE.write(chosen._asdict())
    STATE.tell_notes()
    return chosen


def _choice(name: str, registry: Registry[Any]) -> None:
    st.segmented_control(
        LABELS[name],
        list(registry),
        default=STATE.value(name),
        format_func=lambda key: registry[key].label,
        required=True,
        **STATE.bound(name),
    )


def census_controls() -> None:
    """Draw in which number format the census is shown, and with which epsilon."""
    with st.container(horizontal=True, gap="medium"):
        _choice("dtype", DTYPES)
        st.select_slider(
            "epsilon",
            sorted({0.0, *EPSILONS}),
            STATE.value("epsilon"),
            format_func=lambda epsilon: number(epsilon) if epsilon else "each its own",
            **STATE.bound("epsilon"),
        )
