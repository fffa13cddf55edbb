"""What a visitor sets a field of a RunConfig with: slider, menu, segments, or a box to type in."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import streamlit as st

from core.config import FIELDS
from core.fields import Choice, Field, Range, Widths, parse_query
from core.registry import Registry, Row
from ui.pieces.widgets import WIDGETS, exact
from ui.state import PageState, bound, key_of, put


def options(state: PageState, name: str, grid: Sequence[Any]) -> list[Any]:
    """Return the allowed values of the grid, and the present one, which a URL may have set."""
    allowed = FIELDS[name]
    return sorted({*(value for value in grid if not allowed.fault(value)), state.value(name)})


def slider(
    state: PageState,
    name: str,
    *,
    on_change: Callable[[], None] | None = None,
    grid: Sequence[Any] | None = None,
    text: Callable[[Any], str] | None = None,
    disabled: bool = False,
) -> None:
    """Draw a slider over the field's grid, or over another one, and a box for any other value."""
    row = WIDGETS[name]
    with with_box(state, name, row.label, FIELDS[name], on_change, disabled):
        st.select_slider(
            row.label,
            options(state, name, row.grid if grid is None else grid),
            state.value(name),
            format_func=text or row.text,
            help=row.help,
            disabled=disabled,
            **state.bound(name, on_change),
        )


@contextmanager
def with_box(
    state: PageState,
    name: str,
    label: str,
    allowed: Field,
    on_change: Callable[[], None] | None = None,
    disabled: bool = False,
) -> Iterator[None]:
    """Draw a slider here, and at the end of its label a box where its value can be typed."""
    box = f"{state.name(name)}_typed"

    def take() -> None:
        values, notes = parse_query({name: allowed}, {name: st.session_state[key].strip()})
        if name in values:
            state.put(name, values[name])
            if on_change is not None:
                on_change()
        state.note(notes)

    with st.container(key=f"box_{state.name(name)}", gap=None):
        yield
        value, text = state.value(name), st.session_state.get(key_of(box), "")
        # What says the same in other words stays: a new box would lose what is typed meanwhile.
        if parse_query({name: allowed}, {name: text}) != ({name: value}, []):
            text = exact(value)
        put(box, text)
        binding = bound(box, take)
        key = binding["key"]
        st.text_input(
            f"{label}: type a value",
            text,
            max_chars=20,
            label_visibility="collapsed",
            disabled=disabled,
            **binding,
        )


def _registry(name: str) -> Registry[Any]:
    allowed = FIELDS[name]
    assert isinstance(allowed, Choice)
    return allowed.registry


def _meanings(name: str) -> str:
    """What a field is, and each row of its registry with its formula and its source."""
    rows = "  \n".join(_meaning(row) for row in _registry(name).values())
    return "\n\n".join(filter(None, [WIDGETS[name].help, rows]))


def _meaning(row: Row) -> str:
    formula = f" ${row.latex}$" if row.latex else ""
    source = f" *Source: {row.reference}.*" if row.reference else ""
    return f"**{row.label}**: {row.summary}{formula}{source}"


def menu(
    state: PageState,
    name: str,
    *,
    on_change: Callable[[], None] | None = None,
    disabled: bool = False,
    keys: Sequence[str] | None = None,
) -> None:
    """Draw a menu of the rows of the field's registry, or of those with the given keys."""
    registry = _registry(name)
    keys = list(registry) if keys is None else list(keys)
    st.selectbox(
        WIDGETS[name].label,
        keys,
        keys.index(state.value(name)),
        format_func=lambda key: registry[key].label,
        help=_meanings(name),
        disabled=disabled,
        **state.bound(name, on_change),
    )


def segments(
    state: PageState,
    name: str,
    *,
    on_change: Callable[[], None] | None = None,
    disabled: bool = False,
) -> None:
    """Draw the rows of the field's registry side by side."""
    registry = _registry(name)
    st.segmented_control(
        WIDGETS[name].label,
        list(registry),
        default=state.value(name),
        format_func=lambda key: registry[key].label,
        required=True,
        help=_meanings(name),
        disabled=disabled,
        **state.bound(name, on_change),
    )


def integer(state: PageState, name: str, *, on_change: Callable[[], None] | None = None) -> None:
    """Draw a box in which a whole number is typed."""
    row, allowed = WIDGETS[name], FIELDS[name]
    assert isinstance(allowed, Range)
    st.number_input(
        row.label,
        int(allowed.low),
        int(allowed.high),
        state.value(name),
        help=row.help,
        **state.bound(name, on_change),
    )


def layers(
    state: PageState,
    name: str,
    *,
    on_change: Callable[[], None] | None = None,
    disabled: bool = False,
) -> None:
    """Draw a menu of widths in which others can be typed."""
    row = WIDGETS[name]
    widths = options(state, name, row.grid)
    st.selectbox(
        row.label,
        widths,
        widths.index(state.value(name)),
        format_func=row.text,
        accept_new_options=True,
        help=row.help,
        disabled=disabled,
        **state.bound(name, on_change),
    )


def knob(
    state: PageState,
    name: str,
    *,
    on_change: Callable[[], None] | None = None,
    disabled: bool = False,
) -> None:
    """Draw the widget that suits a field, for a page that knows the setting only by its name."""
    if isinstance(FIELDS[name], Choice):
        segments(state, name, on_change=on_change, disabled=disabled)
    elif isinstance(FIELDS[name], Widths):
        layers(state, name, on_change=on_change, disabled=disabled)
    elif WIDGETS[name].grid:
        slider(state, name, on_change=on_change, disabled=disabled)
    else:
        integer(state, name, on_change=on_change)
