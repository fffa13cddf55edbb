"""The microscope's charts: curves over the logit, where they fall silent, and who is there.

Three charts share one logit axis: the gradient (or the loss), a strip a variant with its dead
zone, and a histogram of a run's logits.
"""

import math
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import altair as alt
import numpy as np
import pyarrow as pa

from ui.charts import frame
from ui.charts.frame import Tables
from ui.charts.palette import BEFORE, BROKEN, DEAD, HELD_OUT, LAYERS, TRAIN

EXACT = "exact"
AXIS = 90  # pixels kept left of every chart, so that the logit axes stand above each other
BINS = 60
Curves = Mapping[str, tuple[Sequence[float], Sequence[float]]]  # label -> (z, value)


def z_axis(span: float, title: str = "", **kwargs: Any) -> alt.X:
    """The logit axis, from -span to span."""
    scale = alt.Scale(domain=[-span, span], nice=False)
    axis = alt.Axis(grid=False, tickCount=9)
    return alt.X("z:Q", title=title or None, scale=scale, axis=axis, **kwargs)


def _slot(i: int) -> str:
    """A curve's column behind the pointer: a label may hold what Vega takes for syntax."""
    return f"curve{i}"


@cache
def curve_spec(labels: tuple[str, ...], low: float, high: float, span: float) -> dict[str, Any]:
    """Curves over the logit, the exact one dashed; a rule at the pointer names all values."""
    y = alt.Y(
        "value:Q",
        title=None,
        scale=alt.Scale(domain=[low, high], nice=False),
        axis=alt.Axis(minExtent=AXIS, maxExtent=AXIS, format="~g", tickCount=5),
    )
    names = [*labels, EXACT]
    colours = [*LAYERS[: len(labels)], BEFORE]
    exact = alt.datum.variant == EXACT
    lines = (
        alt.Chart(alt.NamedData("curves"))
        .mark_line(clip=True)
        .encode(
            x=z_axis(span),
            y=y,
            color=alt.Color(
                "variant:N",
                scale=alt.Scale(domain=names, range=colours),
                legend=alt.Legend(columns=2, labelLimit=130),
            ),
            strokeDash=alt.when(exact).then(alt.value([5, 4])).otherwise(alt.value([1, 0])),
            strokeWidth=alt.when(exact).then(alt.value(1.5)).otherwise(alt.value(3)),
        )
    )
    near = alt.selection_point(
        name="near", on="pointermove", nearest=True, fields=["z"], empty=False, clear="pointerout"
    )
    shown = [alt.Tooltip(f"{_slot(i)}:N", title=name) for i, name in enumerate(names)]
    rule = (
        alt.Chart(alt.NamedData("curves"))
        .transform_pivot("slot", value="text", groupby=["z"], op="max")
        .mark_rule(color=BEFORE, strokeWidth=1.5)
        .encode(
            x=z_axis(span),
            opacity=alt.when(near).then(alt.value(1)).otherwise(alt.value(0)),
            tooltip=[alt.Tooltip("z:Q", title="logit", format=".9~g"), *shown],
        )
        .add_params(near)
    )
    gone = (
        alt.Chart(alt.NamedData("gone"))
        .mark_point(shape="cross", angle=45, size=110, filled=True, opacity=1)
        .encode(
            x=z_axis(span),
            y=alt.value(14),
            color=alt.Color("variant:N", scale=alt.Scale(domain=names, range=colours)),
            tooltip=["variant:N", "what:N", alt.Tooltip("z:Q", format=".9~g")],
        )
    )
    words = (
        alt.Chart(alt.NamedData("gone"))
        .mark_text(dy=20, fontSize=13, fontWeight="bold", color=DEAD)
        .encode(x=z_axis(span), y=alt.value(14), text="what:N")
    )
    return frame.spec(alt.layer(lines, gone, words, rule))


def curve_tables(curves: Curves, gone: Sequence[tuple[str, str, float]]) -> Tables:
    """Curves as rows of variant, z, value and exact text; `gone` as (variant, what, z)."""
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


STATES = {"gradient exactly 0": DEAD, "half the gradient": HELD_OUT, "NaN or inf": BROKEN}


@cache
def strip_spec(labels: tuple[str, ...], label: int, span: float) -> dict[str, Any]:
    """One strip a variant: where it learns, and in colour where it does not.

    Words stand above the strip, at the side where the label is right.
    """
    end = span if label else -span
    y = alt.Y(
        "variant:N",
        title=None,
        sort=None,
        scale=alt.Scale(domain=list(labels), paddingInner=0.6),
        axis=alt.Axis(
            minExtent=AXIS, maxExtent=AXIS, labelLimit=AXIS - 4, ticks=False, domain=False
        ),
    )
    states = alt.Scale(domain=list(STATES), range=list(STATES.values()))
    colour = alt.Color("state:N", scale=states, legend=alt.Legend(columns=2))
    live = alt.Chart(alt.NamedData("live")).mark_bar(color=BEFORE, opacity=0.25)
    bars = alt.Chart(alt.NamedData("zones")).mark_bar(clip=True)
    words = alt.Chart(alt.NamedData("live")).mark_text(
        align="right" if label else "left",
        baseline="bottom",
        dy=-10,
        fontSize=13,
        fontWeight="bold",
        color=BEFORE,
    )
    x = z_axis(span)
    chart = alt.layer(
        live.encode(x=x, x2="z2:Q", y=y),
        bars.encode(
            x=x, x2="z2:Q", y=y, color=colour,
            tooltip=["variant:N", "state:N", alt.Tooltip("edge:Q", format=".9~g")],
        ),
        words.encode(x=alt.datum(end), y=y, text="text:N"),
    )  # fmt: skip
    return {**frame.spec(chart), "height": 90 + 44 * len(labels)}


def strip_tables(
    labels: Sequence[str],
    zones: Sequence[tuple[str, str, float, float]],
    texts: Sequence[str],
    span: float,
) -> Tables:
    """Zones as (variant, state, from, to), cut to the view; `texts` stand in each strip."""
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


@cache
def rug_spec(span: float) -> dict[str, Any]:
    """Histogram of logits under the same axis; the outermost bars hold all beyond the view."""
    y = alt.Y(
        "count:Q",
        title=None,
        axis=alt.Axis(minExtent=AXIS, maxExtent=AXIS, tickCount=3),
    )
    colours = alt.Scale(domain=["right", "wrong"], range=[TRAIN, DEAD])
    bars = (
        alt.Chart(alt.NamedData("rug"))
        .mark_bar()
        .encode(
            x=z_axis(span, "logit z", bin="binned"),
            x2="z2:Q",
            y=y,
            color=alt.Color("side:N", scale=colours),
            tooltip=["side:N", "count:Q", "z:Q", "z2:Q"],
        )
    )
    return {**frame.spec(bars), "height": 190}


def rug_tables(z: np.ndarray, wrong: np.ndarray, span: float) -> Tables:
    """Counts of logits by bin, right and wrong; what is beyond the view stands in its last bar."""
    edges = np.linspace(-span, span, BINS + 1)
    inside = np.clip(np.nan_to_num(z, nan=0.0), -span, math.nextafter(span, 0))
    rows: dict[str, list[Any]] = {"side": [], "z": [], "z2": [], "count": []}
    for side, chosen in (("right", ~wrong), ("wrong", wrong)):
        counts, _ = np.histogram(inside[chosen & ~np.isnan(z)], edges)
        rows["side"] += [side] * BINS
        rows["z"] += edges[:-1].tolist()
        rows["z2"] += edges[1:].tolist()
        rows["count"] += counts.tolist()
    return {"rug": pa.table(rows)}
