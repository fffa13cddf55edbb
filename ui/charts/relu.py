"""ReLU, and the line through one of its points with a given slope."""

from typing import Any

import altair as alt
import numpy as np
import pyarrow as pa

from ui.charts import frame
from ui.charts.frame import Tables
from ui.charts.palette import HELD_OUT, TRAIN

END = 2.0  # the axes reach from -END to END
LINES = {"ReLU": TRAIN, "the slope that grad gives": HELD_OUT}
HEIGHT = 260


@frame.built_once()
def spec() -> dict[str, Any]:
    """Draw ReLU, the visitor's point on it, and the line through that point with the slope."""
    scale = alt.Scale(domain=[-END, END], nice=False)
    axis = alt.Axis(values=[-2, -1, 0, 1, 2], grid=True)
    x = alt.X("x:Q", title="x", scale=scale, axis=axis)
    y = alt.Y("y:Q", title=None, scale=scale, axis=axis)
    colours = alt.Scale(domain=list(LINES), range=list(LINES.values()))
    colour = alt.Color("series:N", scale=colours, legend=None)  # the page names the colours
    lines = (
        alt.Chart(alt.NamedData("lines"))
        .mark_line(strokeWidth=2.5, clip=True)
        .encode(x=x, y=y, color=colour)
    )
    here = alt.Chart(alt.NamedData("here")).mark_point(filled=True, size=160, opacity=1)
    layers = alt.layer(lines, here.encode(x=x, y=y, color=alt.ColorValue(HELD_OUT)))
    return {**frame.spec(layers), "height": HEIGHT}


def tables(x: float, slope: float) -> Tables:
    """Return the two lines, and the point on ReLU at x."""
    at, ends = max(0.0, x), np.array([-END, END])
    relu, line = LINES
    return {
        "lines": pa.table(
            {
                "x": [-END, 0.0, END, *ends],
                "y": [0.0, 0.0, END, *(at + slope * (ends - x))],
                "series": [relu] * 3 + [line] * 2,
            }
        ),
        "here": pa.table({"x": [float(x)], "y": [at]}),
    }
