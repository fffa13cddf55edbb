"""Runs side by side: curves on shared axes, the range of copies, and final accuracies."""

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
FOOT = -0.15  # where the axis starts: below 0%, so that words at the foot cover no curve
Curves = Mapping[str, tuple[Sequence[int], frame.Values]]  # label -> (steps, values)
Names = tuple[str, ...]  # labels of runs, or their colours, in the same order


class Band(NamedTuple):
    """A run and its copies: accuracies, float [runs, looks], its own first."""

    label: str
    steps: Sequence[int]  # of the snapshots
    accuracy: np.ndarray


def axis_start(bands: Sequence[Band]) -> float:
    """Return where an accuracy axis starts: at a full tenth, a tenth or more below the lowest."""
    known = [band.accuracy[np.isfinite(band.accuracy)] for band in bands]
    lowest = min((float(values.min()) for values in known if values.size), default=0.0)
    return max(0.0, math.floor(10 * lowest - 1) / 10)


@frame.built_once()
def curves_spec(
    labels: Names, colours: Names, steps: int, top: float | None = None, dashed: Names = ()
) -> dict[str, Any]:
    """Draw runs over the same steps: their losses up to `top` nats, or else their accuracies.

    The page names the colours, and says what the `dashed` ones of the labels are.
    """
    y = live.accuracy_axis(FOOT) if top is None else live.loss_axis(top)
    value = frame.SHARE if top is None else frame.NUMBER
    lines = frame.curves(y, steps, labels, colours, value, dashed=dashed)
    return frame.spec(alt.layer(lines, gap_marks(steps, labels, colours)))


def curves_tables(curves: Curves) -> Tables:
    """Turn label -> (steps, values) into rows of step, value and series, and a table of gaps."""
    return {"run": frame.table(curves), "gaps": gaps(curves)}


def gaps(curves: Curves) -> pa.Table:
    """Return the gaps of runs; their labels are too long for the words at the first one."""
    tables = (frame.gaps(*curve, series=label) for label, curve in curves.items())
    return frame.join_gaps(tables, named=False)


def gap_marks(steps: int, labels: Names, colours: Names) -> Any:
    """Draw the crosses of runs in their colours; the rows overlap, so that all are at the foot."""
    return frame.gap_marks(steps, labels, colours, frame.ROW / len(labels))


@frame.built_once()
def band_spec(labels: Names, colours: Names, steps: int, low: float) -> dict[str, Any]:
    """Draw for each run the range of its copies, from `low` up, and the run itself as a line."""
    scale = alt.Scale(domain=list(labels), range=list(colours))
    colour = alt.Color("series:N", scale=scale, legend=None)  # the page names the colours
    y = alt.Y(
        "low:Q",
        title=None,
        scale=alt.Scale(domain=[low, 1]),
        axis=alt.Axis(format="%", tickCount=4),
    )
    base = alt.Chart(alt.NamedData("band")).encode(x=frame.step_axis(steps), color=colour)
    area = base.mark_area(opacity=0.3, clip=True).encode(y=y, y2=alt.Y2("high:Q"))
    line = base.mark_line(strokeWidth=2.5, clip=True).encode(y=alt.Y("own:Q"))
    return frame.spec(alt.layer(area, line, gap_marks(steps, labels, colours)))


def band_tables(bands: Sequence[Band]) -> Tables:
    """Return rows of series, step, low, high and own, and where any of a run's copies is NaN."""
    tables = []
    for band in bands:
        values = band.accuracy.min(axis=0), band.accuracy.max(axis=0), band.accuracy[0]
        columns = [pa.array(each, pa.float64(), mask=~np.isfinite(each)) for each in values]
        names = pa.array([band.label] * len(band.steps), pa.string())
        steps = pa.array(band.steps, pa.int64())
        tables.append(pa.table([names, steps, *columns], BAND))
    lowest = {band.label: (band.steps, band.accuracy.min(axis=0)) for band in bands}
    return {"band": pa.concat_tables(tables), "gaps": gaps(lowest)}


@frame.built_once()
def strip_spec(
    rows: Names, colours: Names, published: tuple[float, ...], low: float
) -> dict[str, Any]:
    """Draw final accuracies from `low` up as ticks in rows; dashed lines are published ones."""
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
            tooltip=[
                alt.Tooltip("row:N"),
                alt.Tooltip("name:N"),
                alt.Tooltip("accuracy:Q", format=frame.SHARE),
            ],
        )
    )
    rules = [layer for value in published for layer in _published(value, scale)]
    return {**frame.spec(alt.layer(*rules, ticks)), "height": 90 + 40 * len(rows)}


def _published(value: float, scale: alt.Scale) -> list[alt.Chart]:
    """Draw a dashed line at a published accuracy, and its name above the plot."""
    base = alt.Chart(alt.NamedData("strip")).encode(x=alt.XDatum(value, scale=scale))
    rule = base.mark_rule(strokeDash=[4, 4], color=BEFORE)
    text = ["published", f"{value:.1%}"]
    # Aggregate to one row of data: a text for each would be drawn over the others.
    one = base.transform_aggregate(count="count()")
    name = one.mark_text(text=text, baseline="bottom", lineBreak="", color=BEFORE, dy=-18)
    return [rule.transform_aggregate(count="count()"), name.encode(y=alt.YValue(0))]


def strip_tables(outcomes: Mapping[str, tuple[int, Sequence[float], Sequence[str]]]) -> Tables:
    """Turn row label -> (which twin, final accuracies, their names) into a row per accuracy."""
    return {
        "strip": pa.Table.from_pylist(
            [
                {"row": row, "series": str(twin), "accuracy": float(value), "name": name}
                for row, (twin, values, names) in outcomes.items()
                for value, name in zip(values, names, strict=True)
            ]
        )
    }
