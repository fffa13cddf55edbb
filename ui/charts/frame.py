"""What all charts share: size, axes, gap markers, the cursor, and the finished spec.

A chart is a constant Vega-Lite spec with named data; each frame sends only new tables. A column is
named as alt.X("step:Q"), because a bare "step:Q" takes Altair a hundred times as long, 2 ms.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache, wraps
from threading import RLock
from typing import Any, NamedTuple, ParamSpec, TypeVar

import altair as alt
import numpy as np
import pyarrow as pa

from ui.charts.dashes import each_its_own, solid_but
from ui.charts.palette import BEFORE, BROKEN, DEAD, PINS

Tables = dict[str, pa.Table]
Values = Sequence[float] | np.ndarray
HEIGHT = 300  # pixels, axes and legend included
# Heights of the trainer's charts with their titles: of most, and of the second row, so that four
# charts fit on a small laptop.
TALL, TITLED = 218, 186
TICKS = 6  # the most on an axis
LEGEND_COLUMNS = 4  # with short names; a phone has no room for more
NAMES_GAP = 16  # pixels from the name of one curve to the next
LETTER = 8  # pixels per letter of a name, at most
AROUND = 60  # pixels of a chart's height outside its plot
NAMED = 2  # the most curves that words over a chart name
KINDS_NAMED = 2  # the most kinds of gap whose curves they name
FOOT, ROW = 14, 18  # pixels from the plot's foot to the lowest gap markers, and between their rows
NUMBER, SHARE = ".5~g", ".1%"  # formats of a value in a tooltip
CONFIG: dict[str, Any] = {
    "mark": {"aria": False},  # the chart has a text of its own for screen readers
    "axis": {"labelFontSize": 13, "titleFontSize": 13, "titleFontWeight": "normal"},
    "legend": {
        "labelFontSize": 13, "orient": "top", "title": None, "symbolStrokeWidth": 3,
        "symbolOpacity": 1, "offset": 8, "columnPadding": 8,
    },
}  # fmt: skip
GAPS = pa.schema(
    [("step", pa.int64()), ("what", pa.string()), ("first", pa.string()), ("series", pa.string())]
)
NO_GAPS = GAPS.empty_table()
CURVES = pa.schema([("step", pa.int64()), ("value", pa.float64()), ("series", pa.string())])
NO_CURVES = CURVES.empty_table()
CURSOR = pa.schema([("step", pa.int64())])
NO_CURSOR = CURSOR.empty_table()
RIBBON = pa.schema([("step", pa.int64()), ("low", pa.float64()), ("high", pa.float64())])


P = ParamSpec("P")
R = TypeVar("R")


def built_once(maxsize: int | None = None) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Cache like lru_cache, but let threads that ask at the same time wait for one build.

    Otherwise thirty visitors who open a page at once would build each of its specs thirty times.
    """

    def decorate(build: Callable[P, R]) -> Callable[P, R]:
        kept, lock = lru_cache(maxsize)(build), RLock()

        @wraps(build)
        def once(*args: P.args, **kwargs: P.kwargs) -> R:
            with lock:
                return kept(*args, **kwargs)  # type: ignore[arg-type]

        return once

    return decorate


class Ribbon(NamedTuple):
    """The range of several curves at each step."""

    steps: Sequence[int]
    low: Values
    high: Values


def percent(value: float) -> str:
    """Return a share as a percentage, such as 43.5%; NaN stays NaN."""
    return "NaN" if math.isnan(value) else f"{value:.1%}"


def curves_sentence(
    what: str,
    curves: Mapping[str, Values],
    steps: int,
    text: Callable[[float], str] = percent,
) -> str:
    """Return how each curve began and ended, in words; nothing without curves."""
    if not curves:
        return ""
    parts = (
        f"{name} from {text(float(values[0]))} to {text(float(values[-1]))}".strip()
        for name, values in curves.items()
    )
    return f"{what}: {'; '.join(parts)}, by step {steps:,}."


def finite(values: Iterable[float]) -> list[float | None]:
    """Replace NaN and infinities by None, which Vega-Lite draws as a gap."""
    return [value if math.isfinite(value) else None for value in map(float, values)]


def table(named: Mapping[str, tuple[Sequence[int], Values]]) -> pa.Table:
    """Turn curves, name -> (steps, values), into rows of step, value and series (the name)."""
    assert all(len(steps) == len(values) for steps, values in named.values())
    if not any(len(steps) for steps, _ in named.values()):
        return NO_CURVES
    steps = np.concatenate([np.asarray(each, np.int64) for each, _ in named.values()])
    values = np.concatenate([np.asarray(each, np.float64) for _, each in named.values()])
    names = [pa.repeat(name, len(each)) for name, (each, _) in named.items()]
    # What is masked is drawn as a gap.
    columns = [steps, pa.array(values, mask=~np.isfinite(values)), pa.concat_arrays(names)]
    return pa.Table.from_arrays(columns, schema=CURVES)


def gaps(steps: Sequence[int], values: Values, zero: bool = False, series: str = "") -> pa.Table:
    """Return where a curve is NaN, inf or, with `zero`, exactly 0; the first row names these."""
    known = np.asarray(values, np.float64)
    assert len(steps) == len(known)
    missing = ~np.isfinite(known) | (zero & (known == 0))
    if not missing.any():
        return NO_GAPS
    infinite = np.where(known > 0, "inf", "-inf")
    what = np.where(np.isnan(known), "NaN", np.where(known == 0, "exactly 0", infinite))
    at = np.asarray(steps, np.int64)[missing]
    return _gap_table(at, what[missing], np.full(len(at), series))


def join_gaps(tables: Iterable[pa.Table], named: bool = True) -> pa.Table:
    """Join the gaps of several curves into one table, whose first row names all kinds found.

    With `named`, it also names the curves; their names must be short.
    """
    joined = pa.concat_tables(tables)
    if not joined.num_rows:
        return NO_GAPS
    steps, what, series = (joined[name].to_numpy() for name in ("step", "what", "series"))
    return _gap_table(steps, what, series, named)


def _gap_table(
    steps: np.ndarray, what: np.ndarray, series: np.ndarray, named: bool = True
) -> pa.Table:
    """Return the gaps in the order of their steps; only the first has words, so none overlap."""
    order = np.argsort(steps, kind="stable")
    steps, what, series = steps[order], what[order], series[order]
    kinds = list(dict.fromkeys(what.tolist()))
    curves = series if named and len(kinds) <= KINDS_NAMED else np.full_like(series, "")
    labels = [_gap_label(kind, curves[what == kind]) for kind in kinds]
    label = ("; " if any(curves) else ", ").join(labels)
    if len(kinds) > 1:
        label = label.replace("exactly 0", "0")  # a phone has no room for both otherwise
    words = [label, *[""] * (len(what) - 1)] if len(what) else []
    columns = (steps, what, words, series)
    return pa.table(
        [pa.array(c, kind.type) for c, kind in zip(columns, GAPS, strict=True)], schema=GAPS
    )


def _gap_label(kind: str, series: np.ndarray) -> str:
    """Return a kind of gap and, if they have names, its curves: exactly 0 in layer 1."""
    names = [name for name in dict.fromkeys(sorted(series.tolist())) if name]
    if not names:
        return kind
    return f"{kind} in {', '.join(names) if len(names) <= NAMED else f'{len(names)} curves'}"


def bracket(values: Values, edges: Sequence[float]) -> tuple[float, float]:
    """Return the two nearest `edges` around all finite values, so that an axis seldom moves.

    There must be a finite value.
    """
    known = np.asarray(values, np.float64)
    known = known[np.isfinite(known)]
    lowest, highest = known.min(), known.max()
    low = max((edge for edge in edges if edge <= lowest), default=edges[0])
    high = min((edge for edge in edges if edge >= highest), default=edges[-1])
    if high > low:
        return low, high
    at = min(edges.index(low), len(edges) - 2)
    return edges[at], edges[at + 1]


def powers(low: int, high: int, most: int = TICKS) -> list[int]:
    """Return at most `most` exponents from `low` to `high`: all, or the multiples of 2, 3, 5 …"""
    for stride in (1, 2, 3, 5, 10, 20, 50):
        first = -(-low // stride) * stride
        if len(exponents := list(range(first, high + 1, stride))) <= most:
            return exponents
    raise ValueError(f"{low} to {high} is not a range of float32 exponents")


def power_labels(value: str = "datum.value") -> str:
    """Return a Vega expression that writes 10ⁿ for powers of ten from 1000 up and 0.001 down."""
    power = f"round(log(abs({value})) / LN10)"
    digit = f"'⁰¹²³⁴⁵⁶⁷⁸⁹'[abs({power}) % 10]"
    tens = f"(abs({power}) > 9 ? '⁰¹²³⁴⁵⁶⁷⁸⁹'[floor(abs({power}) / 10)] : '')"
    sign = f"({value} < 0 ? '−' : '')"
    written = f"{sign} + '10' + ({power} < 0 ? '⁻' : '') + {tens} + {digit}"
    plain = f"{value} == 0 || abs({power}) < 3"
    return f"{plain} ? format({value}, '~r') : {written}"


def filled(table: pa.Table) -> pa.Table:
    """Return the table, or if it is empty one row of zeros, which draws nothing.

    Vega warns at every frame about an axis whose length comes from an empty table.
    """
    if table.num_rows:
        return table
    row = {field.name: "" if pa.types.is_string(field.type) else 0 for field in table.schema}
    return pa.Table.from_pylist([row], table.schema)


def extremes(values: np.ndarray, most: int) -> np.ndarray:
    """Return which columns of float [series, n] to draw: int, increasing, at most `most`.

    They are the first and the last, and in each of several equal stretches the lowest and the
    highest of each series.
    """
    series, n = values.shape
    if n <= most:
        return np.arange(n)
    stretches = (most - 2) // (2 * series)
    length, longer = divmod(n, stretches)
    starts = length * np.arange(stretches + 1) + np.minimum(np.arange(stretches + 1), longer)
    # The columns of each stretch, in shorter ones the last column again: int [stretches, longest].
    places = starts[:-1, None] + np.arange(np.diff(starts).max())
    places = np.minimum(places, starts[1:, None] - 1)
    inside, row = values[:, places], np.arange(stretches)
    kept = [places[row, found] for found in (inside.argmin(axis=2), inside.argmax(axis=2))]
    return np.unique([0, n - 1, *np.ravel(kept)])


def cursor(step: int | None) -> pa.Table:
    """Return a table of the step that the visitor looks back to, or an empty one."""
    return NO_CURSOR if step is None else pa.table([[step]], CURSOR)


def step_axis(steps: int, room: int = 0) -> alt.X:
    """Return a step axis that stays put as the run grows, `room` pixels narrower than the plot."""
    extent: Any = [0, alt.expr(f"width - {room}")] if room else alt.Undefined
    return alt.X(
        "step:Q",
        title=None,  # the chart's title says it; here it would cost the plot a line
        # Leave room for the end points.
        scale=alt.Scale(domain=[-0.02 * steps, 1.02 * steps], nice=False, range=extent),
        axis=alt.Axis(tickMinStep=1, grid=False, tickCount=5),
    )


def tooltip(value: str) -> list[Any]:
    """Return what a point of a curve shows in its tooltip; `value` is its value's format."""
    return ["series:N", "step:Q", alt.Tooltip("value:Q", format=value)]


def curves(
    y: alt.Y,
    steps: int,
    series: Sequence[str],
    colours: Sequence[str],
    value: str = NUMBER,
    pins: Sequence[str] = (),
    dashed: Sequence[str] = (),
) -> Any:
    """Draw the lines of the table `run`, coloured by `series`, broken where a value is missing.

    With `pins`, the names of pinned runs, the lines of the table `pins` are drawn below them. The
    page names the colours: names of runs are too long for a chart. The lines of the series `dashed`
    are dashed, because others have their colours.
    """
    colour = _colours(series, colours, pins)
    dash = {"strokeDash": solid_but(dashed)} if dashed else {}

    def lines(data: str) -> alt.Chart:
        base = alt.Chart(alt.NamedData(data)).mark_line(**_line(steps))
        return base.encode(x=step_axis(steps), y=y, color=colour, tooltip=tooltip(value), **dash)

    return alt.layer(lines("pins"), lines("run")) if pins else lines("run")


def _colours(series: Sequence[str], colours: Sequence[str], pins: Sequence[str] = ()) -> alt.Color:
    shown = [*colours[: len(series)], *PINS[: len(pins)]]
    scale = alt.Scale(domain=[*series, *pins], range=shown)
    return alt.Color("series:N", scale=scale, legend=None)


class Along(NamedTuple):
    """An axis from 0, its foot, to 1: `place` is where a value is, `value` what is at a place."""

    place: Callable[[float], float]
    value: Callable[[float], float]


def names(curves: Mapping[str, Values], along: Along, height: int) -> Tables:
    """Return the table `names`: where the name of each curve goes, in a chart of that height.

    A name is at its curve's last value or, if that is missing, at the foot beside the crosses; but
    inside the plot, a line or more from other names, and over those of later curves in its place.
    """
    last = {}
    for name in reversed(list(curves)):
        if len(values := curves[name]):
            value = float(values[-1])
            place = along.place(value) if math.isfinite(value) else FOOT / (height - AROUND)
            last[name] = min(1.0, max(0.0, place))
    gap = NAMES_GAP / (height - AROUND)
    places: dict[str, float] = {}
    low = gap / 2
    for name in sorted(last, key=lambda name: last[name]):
        places[name] = max(low, last[name])
        low = places[name] + gap
    high = 1.0 - gap / 2  # the plot's edge would cut it
    for name in reversed(places):
        places[name] = min(high, places[name])
        high = places[name] - gap
    rows = {"series": list(places), "value": [along.value(each) for each in places.values()]}
    return {"names": pa.table(rows, pa.schema([("series", pa.string()), ("value", pa.float64())]))}


def curves_over_before(
    y: alt.Y,
    steps: int,
    series: Sequence[str],
    colours: Sequence[str],
    value: str = NUMBER,
    pins: Sequence[str] = (),
    dashed: Sequence[str] = (),
) -> tuple[alt.Chart, Any]:
    """Draw the curves of the table `before` in grey, and those of `pins` and `run` over them.

    Two or more series are named at the end of the plot, from the table `names`. The grey curves
    have their own table, because it changes only when a control does: the browser does not draw
    unchanged data again.
    """
    room = 12 + LETTER * max(map(len, series)) if len(series) > 1 else 0
    grey = (
        alt.Chart(alt.NamedData("before"))
        .mark_line(**_line(steps, opacity=0.7, description="the run before"))
        .encode(
            x=step_axis(steps, room),
            y=y,
            color=alt.ColorValue(BEFORE),
            detail=alt.Detail("series:N"),
            strokeDash=each_its_own(series),
            tooltip=[alt.Tooltip("series:N", title="before"), *tooltip(value)[1:]],
        )
    )
    lines = curves(y, steps, series, colours, value, pins, dashed)
    if not room:
        return grey, lines
    named = (
        alt.Chart(alt.NamedData("names"))
        .mark_text(align="left", fontSize=13, fontWeight="bold")
        .encode(
            x=alt.XValue(alt.expr(f"width - {room - 6}")),
            y=y,
            text=alt.Text("series:N"),
            color=_colours(series, colours, pins),
        )
    )
    return grey, alt.layer(lines, named)


def _line(steps: int, **style: Any) -> dict[str, Any]:
    """Return the settings of a line; its points are drawn only if there are few."""
    points = {"size": 35, "filled": True, **style} if steps <= 60 else False
    return {"strokeWidth": 2.5, "clip": True, "point": points, **style}


def gap_marks(
    steps: int,
    series: Sequence[str] = ("",),
    colours: Sequence[str] = (BROKEN,),
    row_height: float = ROW,
) -> Any:
    """Draw a cross at the foot of the chart for each missing value, and above them once its kind.

    Each series has a row of crosses in its colour, the last series lowest; the rows are closer
    together in a low plot.
    """
    row = f"min({row_height}, (height - {FOOT + 2 * ROW}) / {len(series)})"
    base = alt.Chart(alt.NamedData("gaps")).encode(
        x=step_axis(steps),
        y=alt.YValue("height"),
        tooltip=[alt.Tooltip("series:N"), alt.Tooltip("what:N"), alt.Tooltip("step:Q")],
    )
    crosses = [
        base.transform_filter(alt.datum.series == name).mark_point(
            shape="cross",
            angle=45,
            size=70,
            filled=True,
            color=colour,
            opacity=1,
            yOffset=alt.expr(f"-{FOOT} - {len(series) - 1 - i} * {row}"),
        )
        for i, (name, colour) in enumerate(zip(series, colours, strict=False))
    ]
    dy = alt.expr(f"-{2 * FOOT} - {len(series) - 1} * {row}")
    style: dict[str, Any] = {"fontSize": 14, "fontWeight": "bold", "dy": dy}
    broken = alt.condition("test(/NaN|inf/, datum.first)", alt.value(BROKEN), alt.value(DEAD))
    text, late = base.encode(text=alt.Text("first:N"), color=broken), f"2 * datum.step > {steps}"
    early_words = text.transform_filter(f"!({late})").mark_text(align="left", dx=-4, **style)
    late_words = text.transform_filter(late).mark_text(align="right", dx=4, **style)
    return alt.layer(*crosses, early_words, late_words)


def ribbon(known: Ribbon | None) -> pa.Table:
    """Return rows of step, low and high; none without a ribbon."""
    if known is None:
        return RIBBON.empty_table()
    columns = (np.asarray(known.steps), np.asarray(known.low), np.asarray(known.high))
    return pa.table([pa.array(c) for c in columns], schema=RIBBON)


def ribbon_area(steps: int, colour: str, title: str) -> alt.Chart:
    """Draw the range in the table `ribbon` as a pale area; `title` is that of the y axis."""
    area = alt.Chart(alt.NamedData("ribbon")).mark_area(
        color=colour, opacity=0.25, clip=True, description="nudged copies"
    )
    return area.encode(x=step_axis(steps), y=alt.Y("low:Q", title=title), y2=alt.Y2("high:Q"))


def cursor_rule(steps: int) -> alt.Chart:
    """Draw a vertical line at the step that the visitor looks back to."""
    rule = alt.Chart(alt.NamedData("cursor")).mark_rule(strokeWidth=2, color=BEFORE)
    return rule.encode(x=step_axis(steps))


def zoomable(title: str, lowest: alt.Chart, *rest: Any, height: int = TITLED) -> dict[str, Any]:
    """Return the finished spec of layers, given from the lowest up.

    Shift with the wheel zooms, dragging pans, a double click resets.
    """
    window = alt.selection_interval(
        name="window", bind="scales", encodings=["x"], zoom="wheel![event.shiftKey]"
    )
    return spec(alt.layer(lowest.add_params(window), *rest), title, height)


def spec(chart: Any, title: str | alt.ExprRef = "", height: int = TITLED) -> dict[str, Any]:
    """Return the spec that Streamlit takes, without data; `height` counts only with a title.

    What all charts share is added last, because Altair copies a whole chart for each setting.
    """
    finished: dict[str, Any] = chart.to_dict(validate=False)
    finished["config"] = {**finished["config"], **CONFIG}
    if title:
        finished["title"] = alt.Title(title, offset=8).to_dict()
    return {**finished, "height": height if title else HEIGHT}
