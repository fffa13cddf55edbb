"""How a chart is sent."""

from typing import Any

import pyarrow as pa
import pytest
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from tests.unit.test_charts import drawings
from ui.charts.once import once_for_each
from ui.streamlit_chart import vega_lite_chart


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What is handed over to be sent: the kind of each element, its message, and its layout."""
    found: list[tuple[Any, ...]] = []

    def enqueue(_: Any, kind: str, message: Any, layout_config: Any, **_others: Any) -> None:
        found.append((kind, message, layout_config))

    monkeypatch.setattr(DeltaGenerator, "_enqueue", enqueue)
    return found


@pytest.mark.parametrize("drawing", drawings(), ids=lambda drawing: drawing.key)
def test_a_chart_is_sent_as_streamlit_sends_it(drawing: Any, sent: list[tuple[Any, ...]]) -> None:
    whole = {**drawing.spec, "datasets": drawing.tables}
    for zoom in {False, drawing.zoom}:
        select: Any = "rerun" if zoom else "ignore"
        st.vega_lite_chart(whole, key="k", alt=drawing.alt, width="stretch", on_select=select)
        vega_lite_chart(drawing.spec, drawing.tables, "k", drawing.alt, zoom=zoom)
        theirs, ours = sent[-2:]
        assert ours == theirs


def test_a_chart_that_is_clicked_is_sent_as_streamlit_sends_it(sent: list[tuple[Any, ...]]) -> None:
    digits = next(each for each in drawings() if each.key == "digits")
    whole = {**digits.spec, "datasets": digits.tables}
    size: dict[str, Any] = {"width": "content", "height": "stretch"}
    st.vega_lite_chart(whole, key="k", alt="Digits.", on_select=print, **size)
    vega_lite_chart(digits.spec, digits.tables, "k", "Digits.", print, **size)
    theirs, ours = sent
    assert ours == theirs and ours[1].id


def test_a_table_in_pieces_is_sent_whole(sent: list[tuple[Any, ...]]) -> None:
    table = pa.concat_tables([pa.table({"x": [1, 2]}), pa.table({"x": [3]})])
    vega_lite_chart({"mark": "point"}, {"run": table}, "k", "Points.")
    ((_, message, _),) = sent
    (data,) = message.datasets
    assert pa.ipc.open_stream(data.data.data).read_all() == table


def test_what_is_made_of_a_spec_is_made_once_for_each() -> None:
    made = []

    @once_for_each(2)
    def make(spec: dict[str, Any], way: int) -> int:
        made.append((spec["of"], way))
        return len(made)

    a, b = {"of": "a"}, {"of": "b"}
    assert [make(a, 1), make(a, 1), make(a, 2), make(dict(a), 1)] == [1, 1, 2, 3]
    assert make(a, 2) == 2 and make(b, 1) == 4, "the one that was used last is kept"
    assert make(a, 2) == 2 and make(a, 1) == 5
