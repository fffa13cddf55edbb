"""The home page's picture: three curves that were measured, as a spec written by hand.

By hand, because the home page must not wait for Altair to load.
"""

from typing import Any

from ui.charts.palette import BEFORE, DEAD, TRAIN

FOOT = 228  # pixels from the top of the plot, where NaN stands


def spec(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Accuracy over steps, one line a loss, each named at its end."""
    last = max(row["step"] for row in rows)
    losses = list(dict.fromkeys(row["loss"] for row in rows))
    colour = {
        "field": "loss",
        "type": "nominal",
        "legend": None,
        "scale": {"domain": losses, "range": [BEFORE, DEAD, TRAIN]},
    }
    x = {
        "field": "step",
        "type": "quantitative",
        "title": "training step",
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
    foot = {"y": {"value": FOOT}}
    return {
        "height": 320,
        "data": {"values": rows},
        "encoding": {"x": x, "y": y, "color": colour},
        "layer": [
            {"mark": {"type": "line", "strokeWidth": 4, "point": {"size": 60}}},
            {
                "transform": [{"filter": f"datum.step == {last}"}, text],
                "mark": {"type": "text", "align": "right", "dy": -18, "fontSize": 16,
                         "fontWeight": "bold"},
                "encoding": {"text": {"field": "text"}},
            },
            {
                "transform": [nan],
                "mark": {"type": "point", "shape": "cross", "angle": 45, "size": 90,
                         "filled": True, "opacity": 1},
                "encoding": foot,
            },
            {
                "transform": [nan, {"filter": f"datum.step == {last}"},
                              {"calculate": "datum.loss + ' NaN'", "as": "text"}],
                "mark": {"type": "text", "align": "right", "dy": -16, "fontSize": 16,
                         "fontWeight": "bold"},
                "encoding": {"text": {"field": "text"}, **foot},
            },
        ],
        "config": {"axis": {"labelFontSize": 14, "titleFontSize": 14,
                            "titleFontWeight": "normal"}},
    }  # fmt: skip
