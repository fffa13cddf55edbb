"""The microscope's charts: curves over the logit, where losses fall silent, and a run's images.

Four charts share one logit axis, and their plots are exactly above each other: the gradient, a
strip per variant with its dead zone, the loss, and the images of a run. Their colours are named
beside them in HTML, because Vega's legend cuts long names and does not wrap on a phone.
"""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import numpy as np
import pyarrow as pa

from ui.charts import digits, frame
from ui.charts.digits import AxisType
from ui.charts.frame import Tables
from ui.charts.palette import BEFORE, BROKEN, DEAD, PINS

EXACT = "exact"
AXIS = 60  # pixels left of every plot, for the y axis; the same in all charts
STRIP = 58  # pixels per strip, with its two lines of words
Curves = Mapping[str, tuple[frame.Values, frame.Values]]  # label -> (z, value)


def _ticks(axis: AxisType, span: float, count: int) -> dict[str, Any]:
    """Return where an axis has labels: a symlog axis at 0 and at powers of ten on both sides."""
    if axis == "linear":
        return {"tickCount": count}
    powers = [10.0**power for power in range(math.floor(math.log10(span)) + 1)]
    return {"values": [*(-power for power in reversed(powers)), 0.0, *powers]}


def _z(span: float, axis: AxisType) -> tuple[alt.Scale, alt.Axis, str]:
    """Return scale, axis and title of the logits from -span to span."""
    scale = alt.Scale(type=axis, domain=[-span, span], nice=False)
    return scale, alt.Axis(grid=False, format=",~r", **_ticks(axis, span, 9)), "logit z"


def z_axis(span: float, axis: AxisType) -> alt.X:
    """Return the logit axis of all charts."""
    scale, labels, title = _z(span, axis)
    return alt.X("z:Q", title=title, scale=scale, axis=labels)


def _y_axis(**kwargs: Any) -> dict[str, Any]:
    """Return a y axis AXIS pixels wide, whatever its labels, so that the logit axes line up."""
    return {"minExtent": AXIS, "maxExtent": AXIS, "titleX": 16 - AXIS, "labelPadding": 4, **kwargs}


def _slot(i: int) -> str:
    """Return the column name of a curve: its label may hold what Vega takes for syntax."""
    return f"curve{i}"


def slope_range(label: int, gradients: Sequence[np.ndarray]) -> tuple[float, float]:
    """Return the range of the gradients' axis: the side that they push to, or both if need be."""
    known = np.concatenate([each[np.isfinite(each)] for each in gradients])
    low, high = (-1.1, 0.1) if label else (-0.1, 1.1)
    return (low, high) if ((known >= low) & (known <= high)).all() else (-1.1, 1.1)


@frame.built_once()
def curve_spec(
    labels: tuple[str, ...],
    colours: tuple[str, ...],
    title: str,
    low: float,
    high: float,
    span: float,
    axis: AxisType,
    y_axis: AxisType = "linear",
) -> dict[str, Any]:
    """Draw curves over the logit, the exact one as a wide band below; a rule shows all values.

    A curve that lies under others is wider than they are, so that none is hidden.
    """
    y = alt.Y(
        "value:Q",
        title=title,
        scale=alt.Scale(type=y_axis, domain=[low, high], nice=False),
        axis=alt.Axis(**_y_axis(format=",~r", **_ticks(y_axis, high, 5))),
    )
    x = z_axis(span, axis)
    every = [*labels, EXACT]
    scale = alt.Scale(domain=every, range=[*colours, BEFORE])
    # Conditions instead of a scale, because Vega would merge the legend of a scale with the
    # colours'.
    widths = [
        {"test": f"datum.variant == {json.dumps(label)}", "value": 2 + 4 * (1 - i / len(labels))}
        for i, label in enumerate(labels)
    ]
    exact = alt.datum.variant == EXACT
    base = alt.Chart(alt.NamedData("curves")).encode(
        x=x, y=y, color=alt.Color("variant:N", scale=scale, legend=None)
    )
    band = base.transform_filter(exact).mark_line(clip=True, strokeWidth=13, opacity=0.35)
    lines = (
        base.transform_filter(alt.datum.variant != EXACT)
        .mark_line(clip=True)
        .encode(strokeWidth={"condition": widths, "value": 2})
    )
    near = alt.selection_point(
        name="near", on="pointermove", nearest=True, fields=["z"], empty=False, clear="pointerout"
    )
    shown = [alt.Tooltip(f"{_slot(i)}:N", title=name) for i, name in enumerate(every)]
    rule = (
        alt.Chart(alt.NamedData("curves"))
        .transform_pivot("slot", value="text", groupby=["z"], op="max")
        .mark_rule(color=BEFORE, strokeWidth=1.5)
        .encode(
            x=x,
            opacity=alt.when(near).then(alt.value(1)).otherwise(alt.value(0)),
            tooltip=[alt.Tooltip("z:Q", title="logit", format=".9~g"), *shown],
        )
        .add_params(near)
    )
    gone, kinds = _gone(x, scale)
    return frame.spec(alt.layer(band, lines, gone, kinds, rule))


def _gone(x: alt.X, scale: alt.Scale) -> tuple[Any, Any]:
    """Return crosses where a curve ends in NaN or inf, and the words that say which."""
    gone = (
        alt.Chart(alt.NamedData("gone"))
        .mark_point(shape="cross", angle=45, size=110, filled=True, opacity=1)
        .encode(
            x=x,
            y=alt.YValue(14),
            color=alt.Color("variant:N", scale=scale, legend=None),
            tooltip=[
                alt.Tooltip("variant:N"),
                alt.Tooltip("what:N"),
                alt.Tooltip("z:Q", format=".9~g"),
            ],
        )
    )
    kinds = (
        alt.Chart(alt.NamedData("gone"))
        .mark_text(dy=20, fontSize=13, fontWeight="bold", color=BROKEN)
        .encode(x=x, y=alt.YValue(14), text=alt.Text("what:N"))
    )
    return gone, kinds


def curve_tables(curves: Curves, gone: Sequence[tuple[str, str, float]]) -> Tables:
    """Turn curves into rows of variant, z, value and exact text, and `gone`, (variant, what, z)."""
    rows: dict[str, list[Any]] = {"variant": [], "slot": [], "z": [], "value": [], "text": []}
    for i, (variant, (z, values)) in enumerate(curves.items()):
        rows["variant"] += [variant] * len(z)
        rows["slot"] += [_slot(i)] * len(z)
        rows["z"] += [float(x) for x in z]
        rows["value"] += frame.finite(values)
        rows["text"] += [f"{float(v):.9g}" for v in values]
    return {
        "curves": pa.table(rows),
        "gone": pa.table(
            {
                "variant": pa.array([v for v, _, _ in gone], pa.string()),
                "what": pa.array([w for _, w, _ in gone], pa.string()),
                "z": pa.array([z for _, _, z in gone], pa.float64()),
            }
        ),
    }


STATES = {"gradient exactly 0": DEAD, "half the gradient": PINS[1], "NaN or inf": BROKEN}


@frame.built_once()
def strip_spec(labels: tuple[str, ...], span: float, axis: AxisType) -> dict[str, Any]:
    """Draw one strip per variant: grey where it learns, in colour where it does not.

    Its name and its words are in two lines above it, from the chart's left edge.
    """
    x = z_axis(span, axis)
    y = alt.Y(
        "variant:N",
        title=None,
        sort=None,
        scale=alt.Scale(domain=list(labels)),
        axis=alt.Axis(**_y_axis(labels=False, ticks=False, domain=False)),
    )
    states = alt.Scale(domain=list(STATES), range=list(STATES.values()))
    colour = alt.Color("state:N", scale=states, legend=None)
    low: dict[str, Any] = {"height": 14, "yOffset": 18}
    live = alt.Chart(alt.NamedData("live")).mark_bar(color=BEFORE, opacity=0.25, **low)
    bars = alt.Chart(alt.NamedData("zones")).mark_bar(clip=True, **low)

    def line(field: str, dy: int, **style: Any) -> alt.Chart:
        room = alt.expr(f"width + {AXIS - 4}")  # otherwise a long name pushes the plot aside
        mark = alt.Chart(alt.NamedData("live")).mark_text(
            align="left", baseline="middle", dx=4 - AXIS, dy=dy, fontSize=13, limit=room, **style
        )
        return mark.encode(x=alt.XValue(0), y=y, text=field)

    chart = alt.layer(
        live.encode(x=x, x2=alt.X2("z2:Q"), y=y),
        bars.encode(
            x=x,
            x2=alt.X2("z2:Q"),
            y=y,
            color=colour,
            tooltip=[
                alt.Tooltip("variant:N"),
                alt.Tooltip("state:N"),
                alt.Tooltip("edge:Q", format=".9~g"),
            ],
        ),
        line("variant:N", -16, fontWeight="bold"),
        line("text:N", 1),
    )
    return {**frame.spec(chart), "height": 60 + STRIP * len(labels)}


def strip_tables(
    labels: Sequence[str],
    zones: Sequence[tuple[str, str, float, float]],
    texts: Sequence[str],
    span: float,
) -> Tables:
    """Cut zones, (variant, state, from, to), to the view; `texts` has the words of each strip."""
    cut = [
        (v, state, max(-span, min(a, b)), min(span, max(a, b)), a)
        for v, state, a, b in zones
        if min(a, b) < span and max(a, b) > -span
    ]
    columns: list[Any] = list(zip(*cut, strict=True)) or [[]] * 5
    return {
        "live": pa.table(
            {
                "variant": list(labels),
                "z": [-span] * len(labels),
                "z2": [span] * len(labels),
                "text": list(texts),
            }
        ),
        "zones": pa.table(
            {
                "variant": pa.array(columns[0], pa.string()),
                "state": pa.array(columns[1], pa.string()),
                "z": pa.array(columns[2], pa.float64()),
                "z2": pa.array(columns[3], pa.float64()),
                "edge": pa.array(columns[4], pa.float64()),
            }
        ),
    }


@frame.built_once()
def images_spec(span: float, axis: AxisType) -> dict[str, Any]:
    """Draw the images of a snapshot under the same axis; digits.py makes its tables."""
    bars = digits.layers(*_z(span, axis), _y_axis(), None)
    return {**frame.spec(bars), "height": 240}
