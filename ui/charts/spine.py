"""A story's spine: the probability and the slope over the logit axis, and a run's images.

Three plots are exactly above each other on one axis: what the loss takes for the probability, how
hard it pushes, and the images of a run (ui/charts/digits.py).
"""

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import altair as alt
import numpy as np
import pyarrow as pa

from ui.charts import axes, digits, frame
from ui.charts.frame import Tables
from ui.charts.palette import BEFORE, DEAD, HELD_OUT, PINS

POINTS = 361  # logits at which curves are drawn
# All of one width, so that the plots line up.
Y_AXIS: dict[str, Any] = {"minExtent": 60, "maxExtent": 60, "titleX": -50}
SPECS = 32  # cached: an axis ends at one of a few logits
# The loss has the colour of its run's curves, and the labels have colours that no run has.
PROBABILITIES = {"sigmoid(z)": BEFORE, "what the loss takes": HELD_OUT}
SLOPES = {"label 1, “5 or more”": PINS[0], "label 0, “below 5”": PINS[1]}
SILENT = {"wrong, and the slope is exactly 0": DEAD}


class Curve(NamedTuple):
    """A curve over the logit; NaN is a gap."""

    name: str
    z: np.ndarray
    value: np.ndarray


def grid(top: float) -> np.ndarray:
    """Return the logits at which curves are evaluated, from -top to top: float32 [POINTS]."""
    return digits.spaced(top, POINTS).astype(np.float32)


def tables(curves: Sequence[Curve], silent: Sequence[tuple[float, float]] = ()) -> Tables:
    """Return rows of z, value and series, and the stretches of the axis where a loss is silent."""
    z = np.concatenate([each.z for each in curves]).astype(np.float64)
    value = np.concatenate([each.value for each in curves]).astype(np.float64)
    names = np.repeat([each.name for each in curves], [len(each.z) for each in curves])
    return {
        "curves": pa.table(
            {
                "z": pa.array(z),
                "value": pa.array(value, mask=~np.isfinite(value)),
                "series": pa.array(names, pa.string()),
            }
        ),
        "silent": pa.table(
            {
                "z": pa.array([start for start, _ in silent], pa.float64()),
                "end": pa.array([end for _, end in silent], pa.float64()),
            }
        ),
    }


def _x(top: float) -> alt.X:
    """Return the logit axis without labels, which only the lowest plot has."""
    scale, axis = digits.symlog(top)
    bare = alt.Axis(**{**axis.to_dict(), **axes.BARE})
    return alt.X("z:Q", title="logit z", scale=scale, axis=bare)


def _curves(
    y: alt.Y, top: float, colours: dict[str, str], height: int, wide: bool = False
) -> dict[str, Any]:
    scale = alt.Scale(domain=list(colours), range=list(colours.values()))
    x = _x(top)
    # Where the first two curves agree, the first is below; it is wider, so that it can be seen.
    first = {"test": f"datum.series == {json.dumps(next(iter(colours)))}", "value": 7}
    widths = {"condition": [first] if wide else [], "value": 2.5}
    lines = (
        alt.Chart(alt.NamedData("curves"))
        .mark_line(clip=True)
        .encode(
            x=x,
            strokeWidth=widths,
            y=y,
            color=alt.Color("series:N", scale=scale, legend=None),  # the page names the colours
            tooltip=[
                alt.Tooltip("series:N"),
                alt.Tooltip("z:Q", format=".4~g"),
                alt.Tooltip("value:Q", format=".4~g"),
            ],
        )
    )
    silent = (
        alt.Chart(alt.NamedData("silent"))
        .mark_rule(color=DEAD, strokeWidth=7, clip=True)
        .encode(x=x, x2=alt.X2("end:Q"), y=alt.YDatum(0, scale=alt.Scale(**y["scale"].to_dict())))
    )
    return {**frame.spec(alt.layer(lines, silent)), "height": height}


@frame.built_once(SPECS)
def probability_spec(top: float) -> dict[str, Any]:
    """Draw the probability over the logit, before and after the loss has clipped it."""
    y = alt.Y(
        "value:Q",
        title="p",
        scale=alt.Scale(domain=[0, 1], nice=False),
        axis=alt.Axis(values=[0, 0.5, 1], format="%", **Y_AXIS),
    )
    return _curves(y, top, PROBABILITIES, 110, wide=True)


@frame.built_once(SPECS)
def slope_spec(top: float) -> dict[str, Any]:
    """Draw dloss/dlogit against the logit for both labels, thick where it is exactly zero."""
    y = alt.Y(
        "value:Q",
        title="slope dL/dz",
        scale=alt.Scale(domain=[-1.1, 1.1], nice=False),
        axis=alt.Axis(values=[-1, 0, 1], **Y_AXIS),
    )
    return _curves(y, top, SLOPES, 130)


@frame.built_once(SPECS)
def digits_spec(top: float) -> dict[str, Any]:
    """Draw the images of a snapshot on the same axis."""
    scale, axis = digits.symlog(top)
    flush = alt.Axis(**{**axis.to_dict(), "labelFlush": True})  # keep labels inside the plot
    chart = digits.layers(scale, flush, "logit z", Y_AXIS, None)
    return {**frame.spec(chart), "height": 230}
