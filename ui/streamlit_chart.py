"""A chart as Streamlit 1.67 sends it, but what its spec decides is made once.

Like ui/streamlit_privates.py, but a server needs it only when a page is drawn.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any, Literal

import pyarrow as pa
import streamlit as st
from streamlit.elements import vega_charts
from streamlit.elements.lib.layout_utils import LayoutConfig
from streamlit.elements.lib.utils import compute_and_register_element_id
from streamlit.proto.VegaLiteChart_pb2 import VegaLiteChart
from streamlit.runtime.scriptrunner import get_script_run_ctx
from streamlit.runtime.state.widgets import register_widget

from ui.charts.once import once_for_each

Size = Literal["content", "stretch"]


def vega_lite_chart(
    spec: dict[str, Any],
    tables: Mapping[str, pa.Table],
    key: str,
    alt: str,
    clicked: Callable[[], None] | None = None,
    zoom: bool = False,
    width: Size = "stretch",
    height: Size = "content",
) -> None:
    """Draw a chart as st.vega_lite_chart does, whose spec is a constant with named tables.

    With `zoom`, the browser keeps what part of an axis it shows, which the server need not know.
    After a click that selects, `clicked` is called, and the session state has the selection.

    Streamlit writes a chart's spec as JSON and reads it again at each frame, and has a widget for
    each zoom. Without that, one of the trainer's charts costs a server 0.4 ms instead of 0.8.
    tests/unit/test_draw.py compares the messages.
    """
    chart, selects = VegaLiteChart(), zoom or clicked is not None
    chart.CopyFrom(_without_data(spec, width == "stretch", selects))
    chart.alt = alt
    for name, table in tables.items():
        chart.datasets.add(name=name, has_name=True).data.data = _arrow_stream(table)
    if selects:
        modes = list(chart.selection_mode)
        chart.id = compute_and_register_element_id(
            "vega_lite_chart",
            user_key=key,
            dg=None,
            key_as_main_identity={"selection_mode"},
            selection_mode=modes,
        )
    if clicked:
        serde = vega_charts.VegaLiteStateSerde(modes)
        register_widget(
            chart.id,
            deserializer=serde.deserialize,
            serializer=serde.serialize,
            ctx=get_script_run_ctx(),
            on_change_handler=clicked,
            value_type="string_value",
        )
    layout = LayoutConfig(width=width, height=height)
    st._main._enqueue("vega_lite_chart", chart, layout_config=layout)


@once_for_each(256)
def _without_data(spec: dict[str, Any], stretch: bool, selects: bool) -> VegaLiteChart:
    """Return Streamlit's message about a chart, as far as its spec decides it."""
    whole = vega_charts._prepare_vega_lite_spec(spec, stretch)
    text = vega_charts._stabilize_vega_json_spec(json.dumps(whole))
    modes = vega_charts._parse_selection_mode(json.loads(text), None) if selects else []
    return VegaLiteChart(spec=text, theme="streamlit", selection_mode=modes)


END = b"\xff\xff\xff\xff\0\0\0\0"  # of a stream of Arrow's


def _arrow_stream(table: pa.Table) -> bytes:
    """Return a table as pyarrow's RecordBatchStreamWriter writes it, in a third of the time."""
    parts = (table.schema, *table.to_batches())
    return b"".join([*(part.serialize().to_pybytes() for part in parts), END])
