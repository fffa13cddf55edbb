"""A phone's trainer: one control over one chart, both chosen by the visitor.

On a wider screen style.css hides this. On a phone, the style written here hides the charts that are
not chosen; it is CSS because the server does not know how wide a visitor's screen is.
"""

from functools import partial

import streamlit as st

from core.config import RunConfig
from core.parts.choices import TASKS
from ui.pieces.inputs import knob
from ui.pieces.widgets import LABELS, WIDGETS
from ui.state import PageState
from ui.trainer import controls

CONTROLS = tuple(name for name, row in WIDGETS.items() if row.phone)
# Key -> name, in the order in which the panel draws them, in two columns (ui/trainer/live.py).
CHARTS = {
    "loss": "loss", "accuracy": "accuracy", "saturation": "predictions", "gradients": "gradients",
    "digits": "every image", "flow": "right or silent", "health": "health",
}  # fmt: skip
SERIES_CHARTS = {
    "loss": "loss", "error": "error", "series": "predictions", "gradients": "gradients",
    "health": "health",
}  # fmt: skip
CHART = ".st-key-live .stColumn:nth-child({column}) .stElementContainer:nth-child({row})"
HIDE = """<style>@media (max-width: 640px) {{
.st-key-live .stColumn .stElementContainer {{ display: none; }}
{chart} {{ display: flex; }} }}</style>"""

# A second widget for the chosen control: on a phone, the sidebar with the first covers the charts.
MIRROR = PageState("phone", CONTROLS, lambda query: ({}, []), lambda values: {}, LABELS)


def one_control_over_one_chart(config: RunConfig) -> None:
    """Draw what a phone has between the buttons and the charts."""
    unused = config.ignored()
    useful = [name for name in CONTROLS if name not in unused and not controls.hides(name)]
    with st.container(key="phone", gap="xsmall"):
        left, right = st.columns(2, gap="small")
        if useful:
            name = left.selectbox(
                "control", useful, key="phone_control", format_func=lambda name: LABELS[name]
            )
        # In float32, a healthy gradient has no strip to choose.
        series = TASKS[config.task].series
        drawn, key = (SERIES_CHARTS, "phone_series") if series else (CHARTS, "phone_chart")
        charts = [chart for chart in drawn if chart != "health" or config.precision != "float32"]
        chosen = right.selectbox("chart", charts, 1, key=key, format_func=lambda key: drawn[key])
        if useful:
            _mirrored(name, config)
        row, column = divmod(list(drawn).index(chosen), 2)
        chart = CHART.format(column=column + 1, row=row + 1)
        st.html(HIDE.format(chart=chart))


def _mirrored(name: str, config: RunConfig) -> None:
    """Draw the sidebar's control once more."""
    MIRROR.put(name, controls.STATE.value(name))
    if name == "loss":
        controls.loss_slider(MIRROR, config.task, partial(_moved, name))
    else:
        knob(MIRROR, name, on_change=partial(_moved, name))
    MIRROR.tell_notes()


def _moved(name: str) -> None:
    """Set the sidebar's control to what the phone's says."""
    controls.move(name, MIRROR.value(name))
