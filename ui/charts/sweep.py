"""A sweep: its results on a grid, and where each run ended."""

import math
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import altair as alt
import pyarrow as pa

from ui.charts import axes, frame
from ui.charts.frame import Tables
from ui.charts.palette import BROKEN, DEAD, TRAIN

PICKED = "picked"  # the name of the click's selection, which returns the cell of a run
ROOM = 12  # the most columns whose squares have room for a number
DARK = 0.5  # where the numbers on squares change between dark and light
OUTCOMES = {"trains": TRAIN, "silent": DEAD, "broken": BROKEN}
NAMES = {
    "trains": "has a gradient",
    "silent": "gradient exactly 0",
    "broken": "NaN or inf",
}
AT_NAN = -0.08  # where runs without an accuracy are on the axis
Labels = tuple[str, ...]
Scheme = Literal["viridis", "reds"]
GOOD: Scheme = "viridis"  # light where much is right
BAD: Scheme = "reds"  # dark where much is lost


class Square(NamedTuple):
    """The runs of one column and row."""

    column: str
    row: str
    value: float  # a share; NaN if no run has one
    runs: int
    cell: int  # that of one of them


class End(NamedTuple):
    """The tick of one run."""

    row: str
    accuracy: float  # NaN if the run broke
    outcome: str  # a key of OUTCOMES
    name: str  # what tells it apart within its row
    cell: int


@frame.built_once()
def grid_spec(columns: Labels, rows: Labels, x: str, scheme: Scheme) -> dict[str, Any]:
    """Draw a square per column and row, coloured by its share; `x` is the title of the columns."""
    angle = -45 if len(columns) > 3 and max(map(len, columns)) > 3 else 0
    base = alt.Chart(alt.NamedData("squares")).encode(
        x=alt.X(
            "column:N",
            title=x,
            sort=None,
            scale=alt.Scale(domain=list(columns)),
            axis=alt.Axis(
                labelAngle=angle,
                labelLimit=110,
                ticks=False,
                domain=False,
                labelOverlap=len(columns) > ROOM,
            ),
        ),
        y=alt.Y(
            "row:N",
            title=None,
            sort=None,
            scale=alt.Scale(domain=list(rows)),
            axis=axes.names(rows),
        ),
    )
    picked = alt.selection_point(name=PICKED, fields=["cell"], on="click", toggle=False)
    squares = base.mark_rect(cursor="pointer", stroke=None).encode(
        color=alt.Color(
            "value:Q",
            scale=alt.Scale(scheme=scheme, domain=[0, 1]),
            legend=alt.Legend(format="%", gradientLength=160, tickCount=5),
        ),
        tooltip=[
            alt.Tooltip("column:N"),
            alt.Tooltip("row:N"),
            alt.Tooltip("value:Q", format=frame.SHARE),
            alt.Tooltip("runs:Q"),
        ],
    )
    layers: list[Any] = [squares.add_params(picked)]
    if len(columns) <= ROOM:
        size = alt.expr(f"min(12, width / {2 * len(columns)})")
        numbers = base.mark_text(fontSize=size, fontWeight="bold").encode(
            text=alt.Text("text:N"),
            color=alt.condition("datum.dark", alt.value("#111"), alt.value("#fff")),
        )
        nan = base.transform_filter("!isValid(datum.value)").mark_text(color=BROKEN, fontSize=size)
        layers += [
            numbers.transform_filter("isValid(datum.value)"),
            nan.encode(text=alt.Text("text:N")),
        ]
    height = 120 + 34 * len(rows)
    return {**frame.spec(alt.layer(*layers)), "height": height}


def grid_tables(squares: Sequence[Square], scheme: Scheme) -> Tables:
    """Return a row per square, its text dark or light as a scheme, GOOD or BAD, needs it."""
    rows = []
    for square in squares:
        missing = math.isnan(square.value)
        light = not missing and (square.value >= DARK) == (scheme == GOOD)
        rows.append(
            {
                **square._asdict(),
                "value": None if missing else square.value,
                "text": "NaN" if missing else f"{100 * square.value:.0f}",
                "dark": light,
            }
        )
    return {"squares": pa.Table.from_pylist(rows, GRID)}


GRID = pa.schema(
    {
        "column": pa.string(), "row": pa.string(), "value": pa.float64(), "runs": pa.int64(),
        "cell": pa.int64(), "text": pa.string(), "dark": pa.bool_(),
    }
)  # fmt: skip


@frame.built_once()
def ends_spec(rows: Labels, low: float) -> dict[str, Any]:
    """Draw each run as a tick at its accuracy, from `low` up, in a row per variant; NaN at left."""
    at_nan = low + AT_NAN * (1 - low)
    y = alt.Y(
        "row:N", title=None, sort=None, scale=alt.Scale(domain=list(rows)), axis=axes.names(rows)
    )
    spacing = 20 if low < 0.5 else 10
    marks = [percent / 100 for percent in range(100, round(100 * low) - 1, -spacing)]
    label = f"datum.value < {low - 1e-9} ? 'NaN' : format(datum.value, '.0%')"
    x = alt.X(
        "at:Q",
        title="final training accuracy",
        scale=alt.Scale(domain=[at_nan - 0.02 * (1 - low), 1], nice=False),
        axis=alt.Axis(values=[at_nan, *marks], labelExpr=label, grid=False),
    )
    picked = alt.selection_point(name=PICKED, fields=["cell"], on="click", toggle=False)
    colour = alt.Color(
        "outcome:N",
        scale=alt.Scale(domain=list(NAMES.values()), range=list(OUTCOMES.values())),
        legend=None,  # the page names the colours
    )
    ticks = (
        alt.Chart(alt.NamedData("ends"))
        .mark_tick(thickness=4, size=24, opacity=0.75, cursor="pointer")
        .transform_calculate(at=f"isValid(datum.accuracy) ? datum.accuracy : {at_nan}")
        .encode(
            x=x,
            y=y,
            color=colour,
            tooltip=[
                alt.Tooltip("row:N"),
                alt.Tooltip("name:N"),
                alt.Tooltip("outcome:N"),
                alt.Tooltip("accuracy:Q", format=frame.SHARE),
            ],
        )
        .add_params(picked)
    )
    return {**frame.spec(alt.layer(ticks)), "height": 130 + 34 * len(rows)}


ENDS = pa.schema(
    {
        "row": pa.string(), "accuracy": pa.float64(), "outcome": pa.string(),
        "name": pa.string(), "cell": pa.int64(),
    }
)  # fmt: skip


def ends_tables(ends: Sequence[End]) -> Tables:
    """Return a row per run."""
    rows = [
        {
            **end._asdict(),
            "accuracy": None if math.isnan(end.accuracy) else end.accuracy,
            "outcome": NAMES[end.outcome],
        }
        for end in ends
    ]
    return {"ends": pa.Table.from_pylist(rows, ENDS)}
