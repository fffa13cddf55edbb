"""Charts of a regression on series: its error beside that of copying, and its predictions."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import numpy as np
import pyarrow as pa

from core.run.snapshot import SHOWN, Fit, Snapshot
from ui.charts import frame, live, twins
from ui.charts.frame import Ribbon, Tables
from ui.charts.live import Drawing, Pin, Snapshots
from ui.charts.palette import BEFORE, HELD_OUT, MORE, PINS, TRAIN

SIGNS = {"above 0": PINS[3], "below 0": MORE}  # of a weight
ERRORS = {"held out": TRAIN, "copying the input": HELD_OUT}
TRUE, SEEN = "true", "noisy"
VALUES = {TRUE: PINS[0], SEEN: BEFORE}  # unlike any run's predictions
TITLE = "Mean squared error by step, each prediction against its own target"


def error(
    run: Snapshots,
    before: Snapshots,
    steps: int,
    at: int | None,
    ribbon: Ribbon | None = None,
    pins: Sequence[Pin] = (),
) -> Drawing:
    """Draw the squared error on held-out series over the steps, and that of copying the input."""

    def curves(snapshots: Snapshots) -> dict[str, list[float]]:
        fits = [s.fit for s in snapshots if s.fit is not None]
        return dict(zip(ERRORS, ([f.error for f in fits], [f.copied for f in fits]), strict=True))

    now, then = curves(run), curves(before)
    kept = {each.name: (each.steps, each.score) for each in pins}
    every = [value for each in (*now.values(), *then.values()) for value in each]
    every += [value for _, values in kept.values() for value in values]
    return Drawing(
        key="error",
        spec=_error_spec(steps, live.error_top(every), tuple(kept)),
        tables={
            "run": live.curve_table(run, now),
            "before": live.curve_table(before, then),
            **live.kept_table(kept),
            **frame.names(now, live.linear(live.error_top(every)), frame.TALL),
            "gaps": frame.gaps([s.step for s in run], now["held out"]),
            "ribbon": frame.ribbon(ribbon),
            "cursor": frame.cursor(at),
        },
        alt=f"{TITLE}.",
        zoom=True,
        sentence=frame.curves_sentence(
            TITLE, now if live.ended(run, steps) else {}, steps, error_text
        ),
    )


def error_text(value: float) -> str:
    """Return an error as text; NaN stays NaN."""
    return "NaN" if math.isnan(value) else f"{value:.3g}"


@frame.built_once(live.SPECS)
def _error_spec(steps: int, highest: float, pins: tuple[str, ...]) -> dict[str, Any]:
    y, colours = live.error_axis(highest), list(ERRORS.values())
    grey, lines = frame.curves_over_before(y, steps, list(ERRORS), colours, pins=pins)
    area = frame.ribbon_area(steps, TRAIN, "squared error")
    over = (area, lines, frame.gap_marks(steps), frame.cursor_rule(steps))
    return frame.zoomable("Error by step, beside copying", grey, *over, height=frame.TALL)


def predictions(
    now: Snapshot | None, title: str = "Held-out series, and their predictions"
) -> Drawing:
    """Draw some held-out series: the true values, the noisy ones, and one run's predictions."""
    fits = {"predicted": now.fit} if now and now.fit else {}
    return following(fits, {"predicted": TRAIN}, title)


def following(fits: Mapping[str, Fit], colours: Mapping[str, str], title: str = "") -> Drawing:
    """Draw the same series with the predictions of several runs.

    Args:
      fits: name of a run -> its Fit; all of the same series.
      colours: those of all runs that may come.
      title: above the chart; without one, the page names the colours.
    """
    some = next(iter(fits.values()), None)
    span = _span(some) if some else (0.0, 1.0)
    return Drawing(
        key="series",
        spec=_following_spec(tuple(colours), tuple(colours.values()), *span, title),
        tables={"run": _values(fits)},
        alt="Held-out series, and their predictions.",
        zoom=False,
    )


def _span(fit: Fit) -> tuple[float, float]:
    """Return a range in halves that holds the series, so that the axis stays put."""
    known = np.concatenate([fit.inputs, fit.targets])
    low, high = math.floor(2 * known.min()) / 2, math.ceil(2 * known.max()) / 2
    return low, max(high, low + 0.5)


def _values(fits: Mapping[str, Fit]) -> pa.Table:
    """Return rows of at, value, what and series; the series are side by side."""
    rows: list[tuple[int, float, str, int]] = []

    def add(what: str, values: np.ndarray, first: int) -> None:
        count, times = values.shape
        for k in range(count):
            at = range(k * (times + 3) + first, k * (times + 3) + first + times)
            rows.extend(zip(at, values[k].tolist(), [what] * times, [k] * times, strict=True))

    for fit in list(fits.values())[:1]:
        add(SEEN, fit.inputs, 0)
        add(TRUE, fit.targets, 1)
    for name, fit in fits.items():
        add(name, fit.predictions, 1)
    columns = list(zip(*rows, strict=True)) or [(), (), (), ()]
    at, values, what, series = columns
    return pa.table(
        {
            "at": pa.array(at, pa.int64()),
            "value": pa.array(frame.finite(values), pa.float64()),
            "what": pa.array(what, pa.string()),
            "series": pa.array(series, pa.int64()),
        }
    )


@frame.built_once()
def _following_spec(
    names: tuple[str, ...], colours: tuple[str, ...], low: float, high: float, title: str
) -> dict[str, Any]:
    shown = {**VALUES, **dict(zip(names, colours, strict=True))}
    legend = alt.Legend(columns=frame.LEGEND_COLUMNS) if title else None
    scale = alt.Scale(domain=list(shown), range=list(shown.values()))
    width = SHOWN * 12  # nine predictions, the first input, and a gap
    base = alt.Chart(alt.NamedData("run")).encode(
        x=alt.X(
            "at:Q",
            title=f"time, {SHOWN} series side by side",
            scale=alt.Scale(domain=[-0.5, width - 1.5], nice=False),
            axis=alt.Axis(labels=False, ticks=False, grid=False),
        ),
        y=alt.Y(
            "value:Q",
            title="value",
            scale=alt.Scale(domain=[low, high], nice=False),
            axis=alt.Axis(tickCount=5),
        ),
        color=alt.Color("what:N", scale=scale, legend=legend),
        detail=alt.Detail("series:N"),
        tooltip=[alt.Tooltip("what:N"), alt.Tooltip("value:Q", format=frame.NUMBER)],
    )
    lines = base.transform_filter(alt.datum.what != SEEN).mark_line(strokeWidth=2.5, clip=True)
    dots = base.transform_filter(alt.datum.what == SEEN).mark_point(
        filled=True, size=40, opacity=1, clip=True
    )
    return frame.spec(alt.layer(lines, dots), title)


BEATEN = "copying the input"


@frame.built_once()
def errors_spec(
    labels: tuple[str, ...], colours: tuple[str, ...], steps: int, highest: float
) -> dict[str, Any]:
    """Draw the errors of runs and of copying by step; the page names the colours."""
    names = [*labels, BEATEN]
    y = live.error_axis(highest)
    lines = frame.curves(y, steps, names, [*colours, BEFORE])
    return frame.spec(alt.layer(lines, twins.gap_marks(steps, labels, colours)))


def errors_tables(runs: Mapping[str, Sequence[Snapshot]]) -> Tables:
    """Return the tables of `errors_spec`: each run's errors by its label, and those of copying."""
    curves = {
        label: ([s.step for s in run], [s.fit.error for s in run if s.fit])
        for label, run in runs.items()
    }
    longest = max(runs.values(), key=len)
    copied = ([s.step for s in longest], [s.fit.copied for s in longest if s.fit])
    known = {**curves, BEATEN: copied}
    return {"run": frame.table(known), "gaps": twins.gaps(curves)}


@frame.built_once()
def compared_spec(times: int, highest: float, colour: str) -> dict[str, Any]:
    """Draw which prediction meets which target: a square for each pair that a loss compares.

    The darker the square, the larger the squared difference, up to `highest`. A frame marks a
    prediction and its own target.
    """

    def axis(field: str, title: str, kind: type[alt.X] | type[alt.Y]) -> Any:
        return kind(
            f"{field}:O",
            title=title,
            scale=alt.Scale(domain=list(range(1, times + 1))),
            axis=alt.Axis(labelAngle=0, grid=False, ticks=False),
        )

    base = alt.Chart(alt.NamedData("pairs")).encode(
        x=axis("target", "target", alt.X), y=axis("prediction", "prediction", alt.Y)
    )
    squares = base.mark_rect(color=colour).encode(
        opacity=alt.Opacity(
            "square:Q",
            legend=None,
            scale=alt.Scale(domain=[0, highest], range=[0.15, 1], clamp=True),
        ),
        tooltip=[
            alt.Tooltip("prediction:O"),
            alt.Tooltip("target:O"),
            alt.Tooltip("square:Q", format=frame.NUMBER),
        ],
    )
    own = base.transform_filter(alt.datum.prediction == alt.datum.target)
    return frame.spec(alt.layer(squares, own.mark_rect(filled=False, stroke=BEFORE, strokeWidth=2)))


def compared_tables(squares: np.ndarray) -> Tables:
    """Return the pairs of `compared_spec`; NaN in `squares` means that a pair is not compared."""
    prediction, target = np.nonzero(np.isfinite(squares))
    return {
        "pairs": pa.table(
            {
                "prediction": prediction + 1,
                "target": target + 1,
                "square": squares[prediction, target].astype(np.float64),
            }
        )
    }


@frame.built_once()
def gates_spec(names: tuple[str, ...], rows: int, width: int, highest: float) -> dict[str, Any]:
    """Draw each gate's weights, [rows, width], side by side, in the colours of SIGNS."""
    signs = alt.Scale(domain=[1, -1], range=list(SIGNS.values()))
    each = width + 1
    middles = {each * i + (width - 1) / 2: name for i, name in enumerate(names)}
    label = " : ".join(f"datum.value == {at} ? '{name}'" for at, name in middles.items()) + " : ''"
    x = alt.X(
        "left:Q",
        title=None,
        scale=alt.Scale(domain=[-0.5, each * len(names) - 1.5], nice=False),
        axis=alt.Axis(values=list(middles), labelExpr=label, grid=False, ticks=False),
    )
    y = alt.Y(
        "top:Q", title=None, axis=None, scale=alt.Scale(domain=[rows - 1.5, -1.5], nice=False)
    )
    chart = (
        alt.Chart(alt.NamedData("weights"))
        .mark_rect()
        .encode(
            x=x,
            x2=alt.X2("right:Q"),
            y=y,
            y2=alt.Y2("foot:Q"),
            color=alt.Color("sign:O", scale=signs, legend=None),
            opacity=alt.Opacity(
                "size:Q",
                legend=None,
                scale=alt.Scale(domain=[0, highest], range=[0.05, 1], clamp=True),
            ),
            tooltip=[alt.Tooltip("gate:N"), alt.Tooltip("weight:Q", format=frame.NUMBER)],
        )
    )
    return {**frame.spec(alt.layer(chart)), "height": 240}


def gates_tables(weights: Mapping[str, np.ndarray]) -> Tables:
    """Return a row per weight, from name -> float [rows, width] for each gate."""
    parts = []
    for i, (name, matrix) in enumerate(weights.items()):
        rows, columns = np.indices(matrix.shape)
        left, top = columns + i * (matrix.shape[1] + 1) - 0.5, rows - 1.5
        flat = matrix.ravel().astype(np.float64)
        parts.append(
            pa.table(
                {
                    "gate": pa.array([name] * flat.size, pa.string()),
                    "left": left.ravel(),
                    "right": left.ravel() + 1,
                    "top": top.ravel(),
                    "foot": top.ravel() + 1,
                    "weight": flat,
                    "size": np.abs(flat),
                    "sign": np.where(flat < 0, -1, 1),
                }
            )
        )
    return {"weights": pa.concat_tables(parts)}


@frame.built_once()
def ends_spec(rows: tuple[str, ...], colours: tuple[str, ...], copied: float) -> dict[str, Any]:
    """Draw final errors as ticks, a row per kind of run; a dashed line is the error of copying."""
    y = alt.Y(
        "row:N",
        title=None,
        sort=None,
        scale=alt.Scale(domain=list(rows)),
        axis=alt.Axis(labelLimit=160, ticks=False, domain=False),
    )
    scale, axis = alt.Scale(zero=False, nice=True), alt.Axis(tickCount=4)
    base = alt.Chart(alt.NamedData("ends"))
    ticks = base.mark_tick(thickness=3, size=26, opacity=0.7).encode(
        x=alt.X("error:Q", title="squared error at the end", scale=scale, axis=axis),
        y=y,
        color=alt.Color(
            "row:N", scale=alt.Scale(domain=list(rows), range=list(colours)), legend=None
        ),
        tooltip=[
            alt.Tooltip("row:N"),
            alt.Tooltip("seed:Q"),
            alt.Tooltip("error:Q", format=frame.NUMBER),
        ],
    )
    rule = base.mark_rule(strokeDash=[4, 4], color=BEFORE).encode(x=alt.XDatum(copied, scale=scale))
    return {**frame.spec(alt.layer(rule, ticks)), "height": 90 + 40 * len(rows)}


def ends_tables(runs: Sequence[tuple[str, int, float]]) -> Tables:
    """Return the table of `ends_spec` from (row, seed, error)."""
    rows, seeds, errors = list(zip(*runs, strict=True)) or [(), (), ()]
    return {
        "ends": pa.table(
            {
                "row": pa.array(rows, pa.string()),
                "seed": pa.array(seeds, pa.int64()),
                "error": pa.array(errors, pa.float64()),
            }
        )
    }
