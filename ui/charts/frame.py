"""What all charts share: size, axes, gap markers, the cursor, and the finished spec.

A chart is a constant Vega-Lite spec with named data; a frame sends only new tables.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache, wraps
from threading import RLock
from typing import Any, NamedTuple, ParamSpec, TypeVar

import altair as alt
import numpy as np
import pyarrow as pa

from ui.charts.palette import BEFORE, DEAD, PINS

Tables = dict[str, pa.Table]
Values = Sequence[float] | np.ndarray
HEIGHT = 300  # pixels, axes and legend included
# Of the trainer's charts, title included: the first two, and the others. Four fit a small laptop.
TALL, TITLED = 218, 186
TICKS = 6  # on an axis at most
LEGEND_COLUMNS = 4  # of short names: what a phone has room for
NAMES_GAP = 16  # pixels from the name of one curve to that of the next
LETTER = 8  # pixels of a name, at most
AROUND = 60  # pixels of a chart's height that are not its plot's
NAMED = 2  # curves that words over a chart have room for
FOOT, ROW = 14, 18  # pixels above the foot of the plot, where gap markers stand, row by row
NUMBER, SHARE = ".5~g", ".1%"  # how a tooltip writes a value
GAPS = pa.schema(
    [("step", pa.int64()), ("what", pa.string()), ("first", pa.string()), ("series", pa.string())]
)
RIBBON = pa.schema([("step", pa.int64()), ("low", pa.float64()), ("high", pa.float64())])


P = ParamSpec("P")
R = TypeVar("R")


def built_once(maxsize: int | None = None) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """As lru_cache; and threads that ask at the same time wait for the one that builds.

    Thirty visitors who open a page at once would else build each of its specs thirty times.
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


def share(value: float) -> str:
    """43.5%; NaN as NaN."""
    return "NaN" if math.isnan(value) else f"{value:.1%}"


def told(
    what: str,
    curves: Mapping[str, Values],
    steps: int,
    text: Callable[[float], str] = share,
) -> str:
    """What a chart shows, in words: how each curve began and ended; nothing without curves."""
    if not curves:
        return ""
    ways = (
        f"{name} from {text(float(values[0]))} to {text(float(values[-1]))}".strip()
        for name, values in curves.items()
    )
    return f"{what}: {'; '.join(ways)}, by step {steps:,}."


def finite(values: Iterable[float]) -> list[float | None]:
    """NaN and infinities as None, which Vega-Lite draws as a gap."""
    return [value if math.isfinite(value) else None for value in map(float, values)]


def table(named: Mapping[str, tuple[Sequence[int], Values]]) -> pa.Table:
    """Curves (name -> steps and values) as rows of step, value and series, the curve's name."""
    assert all(len(steps) == len(values) for steps, values in named.values())
    steps = np.concatenate([np.asarray(each, np.int64) for each, _ in named.values()])
    values = np.concatenate([np.asarray(each, np.float64) for _, each in named.values()])
    names = np.repeat(list(named), [len(each) for each, _ in named.values()])
    return pa.table(
        {
            "step": pa.array(steps),
            "value": pa.array(values, mask=~np.isfinite(values)),  # drawn as a gap
            "series": pa.array(names, pa.string()),
        }
    )


def gaps(steps: Sequence[int], values: Values, zero: bool = False, series: str = "") -> pa.Table:
    """Where a curve cannot be drawn: NaN, inf, and on a log axis 0. Its first row names them."""
    known = np.asarray(values, np.float64)
    assert len(steps) == len(known)
    infinite = np.where(known > 0, "inf", "-inf")
    what = np.where(np.isnan(known), "NaN", np.where(known == 0, "exactly 0", infinite))
    missing = ~np.isfinite(known) | (zero & (known == 0))
    at = np.asarray(steps, np.int64)[missing]
    return _gap_table(at, what[missing], np.full(len(at), series))


def join_gaps(tables: Iterable[pa.Table]) -> pa.Table:
    """The gaps of several curves as one table, whose first row names what is found in any."""
    joined = pa.concat_tables(tables)
    return _gap_table(*(joined[name].to_numpy() for name in ("step", "what", "series")))


def _gap_table(steps: np.ndarray, what: np.ndarray, series: np.ndarray) -> pa.Table:
    """In the order of the steps; `first` is said once, or else words would stand over words."""
    order = np.argsort(steps, kind="stable")
    steps, what, series = steps[order], what[order], series[order]
    kinds = [_told(kind, series[what == kind]) for kind in dict.fromkeys(what.tolist())]
    said = ("; " if any(series) else ", ").join(kinds)
    named = [said, *[""] * (len(what) - 1)] if len(what) else []
    columns = (steps, what, named, series)
    return pa.table(
        [pa.array(c, kind.type) for c, kind in zip(columns, GAPS, strict=True)], schema=GAPS
    )


def _told(kind: str, series: np.ndarray) -> str:
    """What is missing, and where one cannot see it, of which curves: exactly 0 in layer 1."""
    names = [name for name in dict.fromkeys(sorted(series.tolist())) if name]
    if not names:
        return kind
    return f"{kind} in {', '.join(names) if len(names) <= NAMED else f'{len(names)} curves'}"


def bracket(values: Values, edges: Sequence[float]) -> tuple[float, float]:
    """The neighbours among `edges` that hold all finite values: an axis that moves seldom.

    There must be such a value.
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
    """The exponents from `low` to `high`, or every second, third, fifth … multiple: `most`."""
    for stride in (1, 2, 3, 5, 10, 20, 50):
        first = -(-low // stride) * stride
        if len(found := list(range(first, high + 1, stride))) <= most:
            return found
    raise ValueError(f"{low} to {high} is no range of float32 exponents")


def power_labels(value: str = "datum.value") -> str:
    """A Vega expression that writes a power of ten as 10ⁿ from a thousand up and down."""
    power = f"round(log(abs({value})) / LN10)"
    digit = f"'⁰¹²³⁴⁵⁶⁷⁸⁹'[abs({power}) % 10]"
    tens = f"(abs({power}) > 9 ? '⁰¹²³⁴⁵⁶⁷⁸⁹'[floor(abs({power}) / 10)] : '')"
    sign = f"({value} < 0 ? '−' : '')"
    written = f"{sign} + '10' + ({power} < 0 ? '⁻' : '') + {tens} + {digit}"
    plain = f"{value} == 0 || abs({power}) < 3"
    return f"{plain} ? format({value}, '~r') : {written}"


def filled(table: pa.Table) -> pa.Table:
    """The table, or for an empty one a row of zeros, which draws nothing.

    Of an axis that is as long as its data, Vega warns at every frame while there are none.
    """
    if table.num_rows:
        return table
    row = {field.name: "" if pa.types.is_string(field.type) else 0 for field in table.schema}
    return pa.Table.from_pylist([row], table.schema)


def extremes(values: np.ndarray, most: int) -> np.ndarray:
    """Which of the columns of float [series, n] to draw, at most `most`: int, increasing.

    The first and the last, and of each of equal stretches the lowest and highest of each series.
    """
    series, n = values.shape
    if n <= most:
        return np.arange(n)
    stretches = (most - 2) // (2 * series)
    kept = [0, n - 1]
    for stretch in np.array_split(np.arange(n), stretches):
        inside = values[:, stretch]
        kept += [*stretch[inside.argmin(axis=1)], *stretch[inside.argmax(axis=1)]]
    return np.unique(kept)


def cursor(step: int | None) -> pa.Table:
    """The step that the visitor has scrubbed to, or nothing."""
    return pa.table({"step": pa.array([] if step is None else [step], pa.int64())})


def step_axis(steps: int, room: int = 0) -> alt.X:
    """A step axis that does not move while the run grows, `room` pixels shorter than the plot."""
    extent: Any = [0, alt.expr(f"width - {room}")] if room else alt.Undefined
    return alt.X(
        "step:Q",
        title=None,  # the chart's own says it: a line more would be a line of plot less
        # Room for end points.
        scale=alt.Scale(domain=[-0.02 * steps, 1.02 * steps], nice=False, range=extent),
        axis=alt.Axis(tickMinStep=1, grid=False, tickCount=5),
    )


def tooltip(value: str) -> list[Any]:
    """What a point of a curve tells; `value` is how its value is written."""
    return ["series:N", "step:Q", alt.Tooltip("value:Q", format=value)]


def curves(
    y: alt.Y,
    steps: int,
    series: Sequence[str],
    colours: Sequence[str],
    value: str = NUMBER,
    pins: Sequence[str] = (),
) -> Any:
    """The lines of the table `run`, coloured by `series`, broken where a value is missing.

    Below them those of the table `pins`, if there are `pins`: the names of runs that are kept. The
    page names the colours: names of runs are long, and no chart has room for them.
    """
    colour = _colours(series, colours, pins)

    def lines(data: str) -> alt.Chart:
        base = alt.Chart(alt.NamedData(data)).mark_line(**_line(steps))
        return base.encode(x=step_axis(steps), y=y, color=colour, tooltip=tooltip(value))

    return alt.layer(lines("pins"), lines("run")) if pins else lines("run")


def _colours(series: Sequence[str], colours: Sequence[str], pins: Sequence[str] = ()) -> alt.Color:
    shown = [*colours[: len(series)], *PINS[: len(pins)]]
    scale = alt.Scale(domain=[*series, *pins], range=shown)
    return alt.Color("series:N", scale=scale, legend=None)


class Along(NamedTuple):
    """An axis from 0, its foot, to 1: where a value stands, and which value stands there."""

    place: Callable[[float], float]
    value: Callable[[float], float]


def names(curves: Mapping[str, Values], along: Along, height: int) -> Tables:
    """The table `names`: where each curve of a chart of that height is named.

    At its last value, no name nearer to another than a line, and none outside the plot.
    """
    last = {}
    for name, values in curves.items():
        known = np.asarray(values, np.float64)
        if len(known := known[np.isfinite(known)]):
            last[name] = min(1.0, max(0.0, along.place(float(known[-1]))))
    gap = NAMES_GAP / (height - AROUND)
    places: dict[str, float] = {}
    low = gap / 2
    for name in sorted(last, key=lambda name: last[name]):
        places[name] = max(low, last[name])
        low = places[name] + gap
    high = 1.0
    for name in reversed(places):
        places[name] = min(high, places[name])
        high = places[name] - gap
    rows = {"series": list(places), "value": [along.value(each) for each in places.values()]}
    return {"names": pa.table(rows, pa.schema([("series", pa.string()), ("value", pa.float64())]))}


DASHES = [[9, 3], [2, 3], [9, 3, 2, 3], [5, 5]]  # of grey curves, which have no colours


def curves_over_before(
    y: alt.Y,
    steps: int,
    series: Sequence[str],
    colours: Sequence[str],
    value: str = NUMBER,
    pins: Sequence[str] = (),
) -> tuple[alt.Chart, Any]:
    """The curves of the table `before`, in grey, and over them those of `pins` and of `run`.

    Two or more series are named at the end of the plot, by the table `names`. The grey ones have a
    table of their own: it changes with a control and not with a frame, and what has not changed the
    browser leaves alone.
    """
    room = 12 + LETTER * max(map(len, series)) if len(series) > 1 else 0
    dashes = {
        "condition": [
            {"test": f"datum.series == '{name}'", "value": DASHES[i % len(DASHES)]}
            for i, name in enumerate(series)
        ],
        "value": DASHES[0],
    }
    grey = (
        alt.Chart(alt.NamedData("before"))
        .mark_line(**_line(steps, opacity=0.7, description="the run before"))
        .encode(
            x=step_axis(steps, room),
            y=y,
            color=alt.value(BEFORE),
            detail="series:N",
            strokeDash=dashes,
            tooltip=[alt.Tooltip("series:N", title="before"), *tooltip(value)[1:]],
        )
    )
    lines = curves(y, steps, series, colours, value, pins)
    if not room:
        return grey, lines
    named = (
        alt.Chart(alt.NamedData("names"))
        .mark_text(align="left", fontSize=13, fontWeight="bold")
        .encode(
            x=alt.value(alt.expr(f"width - {room - 6}")),
            y=y,
            text="series:N",
            color=_colours(series, colours, pins),
        )
    )
    return grey, alt.layer(lines, named)


def _line(steps: int, **looks: Any) -> dict[str, Any]:
    """A line, with its points where they are few."""
    points = {"size": 35, "filled": True, **looks} if steps <= 60 else False
    return {"strokeWidth": 2.5, "clip": True, "point": points, **looks}


def gap_marks(steps: int, series: Sequence[str] = ("",), colours: Sequence[str] = (DEAD,)) -> Any:
    """A cross at the foot of the chart for each missing value, and once above them their names.

    Several series stand one above the other, each in its colour, the last one lowest, nearer to
    each other where the plot is low.
    """
    row = f"min({ROW}, (height - {FOOT + 2 * ROW}) / {len(series)})"
    base = alt.Chart(alt.NamedData("gaps")).encode(
        x=step_axis(steps), y=alt.value("height"), tooltip=["series:N", "what:N", "step:Q"]
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
    words: dict[str, Any] = {"color": DEAD, "fontSize": 14, "fontWeight": "bold"}
    words["dy"] = alt.expr(f"-{2 * FOOT} - {len(series) - 1} * {row}")
    text, late = base.encode(text="first:N"), f"2 * datum.step > {steps}"
    early_words = text.transform_filter(f"!({late})").mark_text(align="left", dx=-4, **words)
    late_words = text.transform_filter(late).mark_text(align="right", dx=4, **words)
    return alt.layer(*crosses, early_words, late_words)


def ribbon(known: Ribbon | None) -> pa.Table:
    """Rows of step, low and high, or none."""
    if known is None:
        return RIBBON.empty_table()
    columns = (np.asarray(known.steps), np.asarray(known.low), np.asarray(known.high))
    return pa.table([pa.array(c) for c in columns], schema=RIBBON)


def ribbon_area(steps: int, colour: str, title: str) -> alt.Chart:
    """The range of the table `ribbon` as a thin area; `title` is the y axis's."""
    area = alt.Chart(alt.NamedData("ribbon")).mark_area(
        color=colour, opacity=0.25, clip=True, description="copies moved by one rounding"
    )
    return area.encode(x=step_axis(steps), y=alt.Y("low:Q", title=title), y2="high:Q")


def cursor_rule(steps: int) -> alt.Chart:
    """A vertical line at the step that the visitor looks back to."""
    rule = alt.Chart(alt.NamedData("cursor")).mark_rule(strokeWidth=2, color=BEFORE)
    return rule.encode(x=step_axis(steps))


def zoomable(title: str, lowest: alt.Chart, *rest: Any, height: int = TITLED) -> dict[str, Any]:
    """The finished spec of layers, from the lowest up.

    Shift and wheel zoom, drag pans, a double click resets.
    """
    window = alt.selection_interval(
        name="window", bind="scales", encodings=["x"], zoom="wheel![event.shiftKey]"
    )
    return spec(alt.layer(lowest.add_params(window), *rest), title, height)


def spec(chart: Any, title: str = "", height: int = TITLED) -> dict[str, Any]:
    """The spec as Streamlit takes it, without data; `height` is that of a chart with a title."""
    if title:
        chart = chart.properties(title=alt.Title(title, offset=8), height=height)
    else:
        chart = chart.properties(height=HEIGHT)
    finished: dict[str, Any] = (
        chart.configure_mark(aria=False)  # a chart has a text of its own
        .configure_axis(labelFontSize=13, titleFontSize=13, titleFontWeight="normal")
        .configure_legend(
            labelFontSize=13,
            orient="top",
            title=None,
            symbolStrokeWidth=3,
            symbolOpacity=1,
            offset=8,
            columnPadding=8,
        )
        .to_dict(validate=False)
    )
    return finished
