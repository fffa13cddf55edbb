"""One number, read two ways: how many units each reading keeps."""

from typing import Any

import altair as alt
import numpy as np
import pyarrow as pa

from ui.charts import frame
from ui.charts.frame import Tables
from ui.charts.palette import BEFORE, HELD_OUT, TRAIN

READINGS = {"the number is kept": TRAIN, "the number is dropped": HELD_OUT}
HEIGHT = 230


@frame.built_once()
def spec() -> dict[str, Any]:
    """Draw the share of units kept over the number, with a line at the visitor's number."""
    scale = alt.Scale(domain=list(READINGS), range=list(READINGS.values()))
    unit = alt.Scale(domain=[0, 1], nice=False)
    x = alt.X(
        "number:Q",
        title="the number",
        scale=unit,
        axis=alt.Axis(values=[0, 0.25, 0.5, 0.75, 1], format=".2~f", grid=False),
    )
    y = alt.Y(
        "kept:Q",
        title="units kept",
        scale=unit,
        axis=alt.Axis(values=[0, 0.25, 0.5, 0.75, 1], format="%"),
    )
    colour = alt.Color("reading:N", scale=scale, legend=None)  # the page names the colours
    tips: list[Any] = ["reading:N", alt.Tooltip("number:Q"), alt.Tooltip("kept:Q", format=".0%")]
    lines = (
        alt.Chart(alt.NamedData("lines")).mark_line(strokeWidth=2.5).encode(x=x, y=y, color=colour)
    )
    rule = alt.Chart(alt.NamedData("here")).mark_rule(strokeDash=[4, 4], color=BEFORE).encode(x=x)
    here = alt.Chart(alt.NamedData("here")).encode(x=x, y=y, color=colour, tooltip=tips)
    points = here.mark_point(filled=True, size=160, opacity=1)
    layers = alt.layer(lines, rule, points, *_shares(here))
    return {**frame.spec(layers), "height": HEIGHT}


def _shares(here: alt.Chart) -> list[alt.Chart]:
    """Write each reading's share beside its point, on the side where its line does not pass."""
    bold: dict[str, Any] = {"fontSize": 14, "fontWeight": "bold"}
    keep, _ = READINGS
    labels = []
    for low in (True, False):  # to the right of small numbers, to the left of large ones
        for kept in (True, False):
            side = alt.datum.number < 0.75 if low else alt.datum.number >= 0.75
            own = alt.datum.reading == keep if kept else alt.datum.reading != keep
            labels.append(
                here.transform_filter(side & own)
                .mark_text(
                    dx=12 if low else -12,
                    dy=16 if low == kept else -16,
                    align="left" if low else "right",
                    **bold,
                )
                .encode(text=alt.Text("kept:Q", format=".0%"))
            )
    return labels


def tables(dropout_value: float) -> Tables:
    """Return the two lines, and their points at a number."""
    return {"lines": _rows(np.array([0.0, 1.0])), "here": _rows(np.array([dropout_value]))}


def _rows(numbers: np.ndarray) -> pa.Table:
    keep, drop = READINGS
    return pa.table(
        {
            "number": np.tile(numbers, 2),
            "kept": np.concatenate([numbers, 1 - numbers]),
            "reading": pa.array([keep] * len(numbers) + [drop] * len(numbers), pa.string()),
        }
    )
