"""Runs side by side: shared axes, the rounding band, and outcomes as a strip."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import altair as alt
import numpy as np
import pyarrow as pa

from ui.charts import frame, live
from ui.charts.frame import Tables
from ui.charts.palette import BEFORE

BAND = ("series", "step", "low", "high", "own")  # NaN is a gap
FOOT = -0.15  # an accuracy of one answer for all runs above the words at the foot
Names = tuple[str, ...]  # labels of runs, or their colours, in one order


class Band(NamedTuple):
    """One run repeated: accuracies, float [runs, looks], the unperturbed one first."""

    label: str
    steps: Sequence[int]  # of the looks
    accuracy: np.ndarray


def axis_start(bands: Sequence[Band]) -> float:
    """Where an axis of accuracies starts: a tenth below the lowest, from few values."""
    known = [band.accuracy[np.isfinite(band.accuracy)] for band in bands]
    lowest = min((float(values.min()) for values in known if values.size), default=0.0)
    return max(0.0, math.floor(10 * lowest - 1) / 10)


@frame.built_once()
def curves_spec(
    labels: Names, colours: Names, steps: int, top: float | None = None
) -> dict[str, Any]:
    """Runs over the same steps: their losses up to `top` nats, or their accuracies.

    The page names the colours.
    """
    y = live.accuracy_axis(FOOT) if top is None else live.loss_axis(top)
    value = frame.SHARE if top is None else frame.NUMBER
    lines = frame.curves(y, steps, labels, colours, value)
    return frame.spec(alt.layer(lines, frame.gap_marks(steps)))


def curves_tables(curves: Mapping[str, tuple[Sequence[int], Sequence[float]]]) -> Tables:
    """label -> (steps, values) as rows of step, value and series; and the gaps."""
    gaps = frame.join_gaps(frame.gaps(*curve) for curve in curves.values())
    return {"run": frame.table(curves), "gaps": gaps}


@frame.built_once()
def band_spec(labels: Names, colours: Names, steps: int, low: float) -> dict[str, Any]:
    """For each run the range of its repetitions, from `low` up, and the run itself as a line."""
    scale = alt.Scale(domain=list(labels), range=list(colours))
    colour = alt.Color("series:N", scale=scale, legend=None)  # the page names the colours
    y = alt.Y(
        "low:Q",
        title=None,
        scale=alt.Scale(domain=[low, 1]),
        axis=alt.Axis(format="%", tickCount=4),
    )
    base = alt.Chart(alt.NamedData("band")).encode(x=frame.step_axis(steps), color=colour)
    area = base.mark_area(opacity=0.3, clip=True).encode(y=y, y2="high:Q")
    line = base.mark_line(strokeWidth=2.5, clip=True).encode(y="own:Q")
    return frame.spec(alt.layer(area, line))


def band_tables(bands: Sequence[Band]) -> Tables:
    """Rows of series, step, low, high, own."""
    tables = []
    for band in bands:
        values = band.accuracy.min(axis=0), band.accuracy.max(axis=0), band.accuracy[0]
        columns = [pa.array(each, pa.float64(), mask=~np.isfinite(each)) for each in values]
        names = pa.array([band.label] * len(band.steps), pa.string())
        steps = pa.array(band.steps, pa.int64())
        tables.append(pa.table([names, steps, *columns], BAND))
    return {"band": pa.concat_tables(tables)}


@frame.built_once()
def strip_spec(
    rows: Names, colours: Names, published: tuple[float, ...], low: float
) -> dict[str, Any]:
    """Final accuracies from `low` up as ticks, a row each; dashed rules at the published ones."""
    y = alt.Y(
        "row:N",
        title=None,
        sort=None,
        scale=alt.Scale(domain=list(rows)),
        axis=alt.Axis(labelLimit=260, minExtent=200, ticks=False, domain=False),
    )
    scale = alt.Scale(domain=[low, 1])
    axis = alt.Axis(format="%", tickCount=5)
    x = alt.X("accuracy:Q", title="final training accuracy", scale=scale, axis=axis)
    ticks = (
        alt.Chart(alt.NamedData("strip"))
        .mark_tick(thickness=3, size=26, opacity=0.6)
        .encode(
            x=x,
            y=y,
            color=alt.Color("series:N", scale=alt.Scale(range=list(colours)), legend=None),
            tooltip=["row:N", "name:N", alt.Tooltip("accuracy:Q", format=frame.SHARE)],
        )
    )
    rules = [layer for value in published for layer in _published(value, scale)]
    return {**frame.spec(alt.layer(*rules, ticks)), "height": 90 + 40 * len(rows)}


def _published(value: float, scale: alt.Scale) -> list[alt.Chart]:
    """A dashed rule at a published accuracy, and its name above the plot."""
    base = alt.Chart(alt.NamedData("strip")).encode(x=alt.XDatum(value, scale=scale))
    rule = base.mark_rule(strokeDash=[4, 4], color=BEFORE)
    words = ["published", f"{value:.1%}"]
    # One mark for all rows of the data, or as many texts would lie over each other.
    one = base.transform_aggregate(count="count()")
    name = one.mark_text(text=words, baseline="bottom", lineBreak="", color=BEFORE, dy=-18)
    return [rule.transform_aggregate(count="count()"), name.encode(y=alt.value(0))]


def strip_tables(outcomes: Mapping[str, tuple[int, Sequence[float], Sequence[str]]]) -> Tables:
    """row label -> (which twin, final accuracies, their names)."""
    return {
        "strip": pa.Table.from_pylist(
            [
                {"row": row, "series": str(twin), "accuracy": float(value), "name": name}
                for row, (twin, values, names) in outcomes.items()
                for value, name in zip(values, names, strict=True)
            ]
        )
    }
