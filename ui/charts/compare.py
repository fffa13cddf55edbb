"""The numbers of one recording against those of another."""

from typing import Any

import altair as alt
import numpy as np
import pyarrow as pa

from ui.charts import frame
from ui.charts.frame import Tables
from ui.charts.palette import BROKEN, TRAIN


@frame.built_once()
def sides_spec() -> dict[str, Any]:
    """Draw a dot for each number, over the line on which both sides are equal."""
    x = alt.X("a:Q", title="a", scale=alt.Scale(zero=False))
    y = alt.Y("b:Q", title="b", scale=alt.Scale(zero=False))
    line = alt.Chart(alt.NamedData("equal")).mark_line(color=BROKEN, strokeDash=[4, 4], aria=False)
    dots = alt.Chart(alt.NamedData("sides")).mark_point(
        filled=True, size=16, opacity=0.5, color=TRAIN, tooltip=True
    )
    return frame.spec(alt.layer(line.encode(x=x, y=y), dots.encode(x=x, y=y)), height=320)


def sides_tables(a: np.ndarray, b: np.ndarray) -> Tables:
    """Return a row per finite number of both sides, float [numbers] each, and the line's ends."""
    finite = np.isfinite(a) & np.isfinite(b)
    x, y = np.asarray(a, float)[finite], np.asarray(b, float)[finite]
    ends = [min(x.min(), y.min()), max(x.max(), y.max())] if x.size else []
    return {
        "sides": pa.table({"a": x, "b": y}),
        "equal": pa.table({"a": pa.array(ends, pa.float64()), "b": pa.array(ends, pa.float64())}),
    }
