"""The home page's picture: three curves, each named at its end."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import pyarrow as pa

FOOT = 14  # pixels above the foot of the plot, where NaN is marked
_WORDS = {"type": "text", "align": "right", "fontSize": 16, "fontWeight": "bold"}
_CROSS = {"type": "point", "shape": "cross", "angle": 45, "size": 90, "filled": True, "opacity": 1}


def table(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Return rows of step, accuracy (None if predictions are NaN) and loss, the curve's name."""
    schema = pa.schema([("step", pa.int64()), ("accuracy", pa.float64()), ("loss", pa.string())])
    return pa.Table.from_pylist([dict(row) for row in rows], schema=schema)


@cache
def spec(losses: tuple[str, ...], colours: tuple[str, ...], last: int) -> dict[str, Any]:
    """Return a line per loss, coloured and named, of the accuracies in `rows` up to step `last`."""
    colour = {
        "field": "loss",
        "type": "nominal",
        "legend": None,
        "scale": {"domain": list(losses), "range": list(colours)},
    }
    x = {
        "field": "step",
        "type": "quantitative",
        "title": "training step",
        "scale": {"domain": [0, last], "nice": False},
        "axis": {"grid": False, "tickMinStep": 1},
    }
    y = {
        "field": "accuracy",
        "type": "quantitative",
        "title": "training images right",
        "scale": {"domain": [0.4, 1]},
        "axis": {"format": "%", "tickCount": 4},
    }
    text = {"calculate": "datum.loss + ' ' + format(datum.accuracy, '.1%')", "as": "text"}
    nan = {"filter": "datum.accuracy === null"}
    foot = {"y": {"value": "height"}}
    return {
        "data": {"name": "rows"},
        "encoding": {"x": x, "y": y, "color": colour},
        "layer": [
            {"mark": {"type": "line", "strokeWidth": 4, "point": {"size": 60}}},
            {
                "transform": [{"filter": f"datum.step == {last}"}, text],
                "mark": {**_WORDS, "dy": -15},
                "encoding": {"text": {"field": "text"}},
            },
            {
                "transform": [nan],
                "mark": {**_CROSS, "yOffset": -FOOT},
                "encoding": foot,
            },
            {
                "transform": [
                    nan,
                    {"filter": f"datum.step == {last}"},
                    {"calculate": "datum.loss + ' NaN'", "as": "text"},
                ],
                "mark": {**_WORDS, "dy": -15 - FOOT},
                "encoding": {"text": {"field": "text"}, **foot},
            },
        ],
        "config": {"axis": {"labelFontSize": 14, "titleFontSize": 14, "titleFontWeight": "normal"}},
    }
