"""The four live charts: snapshots in, named tables and a constant spec out."""

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import altair as alt
import numpy as np
import pyarrow as pa

from core.fields import number
from core.run.snapshot import Gradient, Snapshot
from ui.charts import frame
from ui.charts.frame import Ribbon, Tables
from ui.charts.palette import BROKEN, DEAD, HELD_OUT, LAYERS, TRAIN

Snapshots = Sequence[Snapshot]
ACCURACIES = ("training", "held out")
REPORTED = "reported"  # what the program measures on held-out images
LOSS = ("loss",)
LOSSES = (*ACCURACIES, REPORTED)  # where the program measures another held-out loss
GRADIENTS = {"has a gradient": TRAIN, "exactly 0": DEAD, "NaN or inf": BROKEN}
NATS, SQUARED = "nats", "squared error"  # the units of a cross-entropy and of a regression's loss
PIN_POINTS = 120  # the most that are drawn of a pinned run
SPECS = 256  # the most that are cached of each chart that names runs, because names are many


class Drawing(NamedTuple):
    """What a page needs for one chart.

    Only the tables change from frame to frame, unless an axis must grow: for another spec or
    another `alt`, the browser builds the whole chart again.
    """

    key: str
    spec: dict[str, Any]
    tables: Tables
    alt: str  # for screen readers
    zoom: bool
    # Also for screen readers, beside the chart: the result of a run that has ended.
    sentence: str = ""


def ended(run: Snapshots, steps: int) -> bool:
    """True if a run has reached its last step, so that its result is final."""
    return bool(run) and run[-1].step == steps


class Pin(NamedTuple):
    """A pinned run: its name, and what it showed at each snapshot."""

    name: str
    steps: list[int]
    loss: list[float]
    score: list[float]  # Snapshot.score


def pin(name: str, run: Snapshots) -> Pin:
    """Return a run as a pin; its name says where its loss is NaN or inf and the curve ends."""
    losses = [s.loss for s in run]
    lost = next((s.step for s in run if not math.isfinite(s.loss)), None)
    shown = name if lost is None else f"{name}: NaN or inf from step {lost}"
    return Pin(shown, _steps(run), losses, [s.score for s in run])


def loss(
    run: Snapshots,
    before: Snapshots,
    steps: int,
    at: int | None,
    pins: Sequence[Pin] = (),
    unit: str = NATS,
    reports: bool = False,
    least_top: float = 0.0,
) -> Drawing:
    """Draw the mean loss over the steps; NaN and inf are marked at the foot.

    `reports` leaves room for the loss on held-out images and for the one that the program reports,
    which are drawn if they ever differ. The axis reaches at least to `least_top`.
    """
    now, then = (_losses(each, reports) for each in (run, before))
    kept = {each.name: (each.steps, each.loss) for each in pins}
    drawn = [*now.values(), *then.values(), *(each.loss for each in pins)]
    every = [least_top, *(value for curve in drawn for value in curve)]
    top = (loss_top if unit == NATS else error_top)(every)
    shown = now if reports else {"": now[LOSS[0]]}
    return Drawing(
        key="loss",
        spec=_loss_spec(steps, top, tuple(kept), unit, reports),
        tables={
            "run": curve_table(run, now),
            "before": curve_table(before, then),
            **kept_table(kept),
            **(frame.names(now, symlog(top), frame.TALL) if reports else {}),
            "gaps": frame.join_gaps(
                frame.gaps(_steps(run), curve, series=name) for name, curve in shown.items()
            ),
            "cursor": frame.cursor(at),
        },
        alt="Loss by step.",
        zoom=True,
        sentence=frame.curves_sentence(
            "Loss by step",
            shown if ended(run, steps) else {},
            steps,
            partial(in_units, unit=unit),
        ),
    )


def _losses(run: Snapshots, reports: bool) -> dict[str, list[float]]:
    """Return the curves of a run's loss, by name."""
    training = [s.loss for s in run]
    if not reports:
        return dict.fromkeys(LOSS, training)
    true, said = [s.held_out_loss for s in run], [s.reported_loss for s in run]
    curves = training, *((true, said) if not np.array_equal(true, said, equal_nan=True) else ())
    return dict(zip(LOSSES, curves, strict=False))


def accuracy(
    run: Snapshots,
    before: Snapshots,
    steps: int,
    at: int | None,
    ribbon: Ribbon | None = None,
    pins: Sequence[Pin] = (),
    reports: bool = False,
) -> Drawing:
    """Draw the accuracy on training and held-out images over the steps; pins show only training.

    Where predictions are NaN there is a gap, and a mark at the foot. `ribbon` is the range of the
    run's nudged copies. `reports` leaves room for the accuracy that the program reports, which is
    drawn if it ever differs from the true one.
    """

    def curves(snapshots: Snapshots) -> dict[str, list[float]]:
        training, held_out = ACCURACIES
        return {
            training: accuracies(snapshots, [s.train_accuracy for s in snapshots]),
            held_out: accuracies(snapshots, [s.test_accuracy for s in snapshots]),
            **({REPORTED: [s.reported for s in snapshots]} if reports_otherwise(snapshots) else {}),
        }

    now = curves(run)
    kept = {each.name: (each.steps, each.score) for each in pins}
    return Drawing(
        key="accuracy",
        spec=_accuracy_spec(steps, tuple(kept), reports),
        tables={
            "run": curve_table(run, now),
            "before": curve_table(before, curves(before)),
            **kept_table(kept),
            **frame.names(now, linear(1.0), frame.TALL),
            "gaps": frame.gaps(_steps(run), now[ACCURACIES[0]]),
            "ribbon": frame.ribbon(ribbon),
            "cursor": frame.cursor(at),
        },
        alt="Accuracy by step.",
        zoom=True,
        sentence=frame.curves_sentence("Accuracy by step", now if ended(run, steps) else {}, steps),
    )


def accuracies(run: Snapshots, values: Sequence[float]) -> list[float]:
    """Return these accuracies of a run, but NaN where any prediction is NaN."""
    return [
        math.nan if s.saturation.nonfinite > 0 else value
        for s, value in zip(run, values, strict=True)
    ]


def reports_otherwise(run: Snapshots) -> bool:
    """True if a run's program has reported another accuracy on held-out images than the true one.

    Where a prediction is NaN no accuracy is true.
    """
    true = accuracies(run, [s.test_accuracy for s in run])
    said = np.array([s.reported for s in run])
    return bool((~np.isnan(said) & (said != true)).any())


def gradients(run: Snapshots, before: Snapshots, steps: int, at: int | None) -> Drawing:
    """Draw the norm of each layer's gradient over the steps, on a log axis.

    0, NaN and inf are marked at the foot, in a row per layer, the last layer's lowest.
    """
    known = run or before  # until a run has a snapshot, the axis is that of the run before
    layers = len(known[0].gradient_norms) if known else 1
    same = [s for s in before if len(s.gradient_norms) == layers]
    now, then = _norms(run, layers), _norms(same, layers)
    every = np.concatenate([now, then])
    every = every[(every > 0) & np.isfinite(every)]
    span = [float(every.min()), float(every.max())] if every.size else [1.0]

    def curves(norms: np.ndarray) -> dict[str, np.ndarray]:
        return dict(zip(_layer_names(layers), norms.T, strict=True))

    def positive(norms: np.ndarray) -> dict[str, np.ndarray]:
        # A log axis has no 0: leave a gap here, and let `gaps` mark it at the foot.
        return curves(np.where(norms == 0, np.nan, norms))

    def table(snapshots: Snapshots, norms: np.ndarray) -> pa.Table:
        return curve_table(snapshots, positive(norms))

    low, high = frame.bracket(span, GRADIENT_EDGES)
    return Drawing(
        key="gradients",
        spec=_gradient_spec(steps, layers, low, high),
        tables={
            **frame.names(positive(now), logarithmic(low, high), _gradient_height(layers)),
            "run": table(run, now),
            "before": table(same, then),
            "gaps": frame.join_gaps(
                frame.gaps(_steps(run), norms, zero=True, series=name)
                for name, norms in curves(now).items()
            ),
            "cursor": frame.cursor(at),
        },
        alt="Gradient norm of each layer by step.",
        zoom=True,
        sentence=frame.curves_sentence(
            "Gradient norm of each layer by step",
            curves(now) if ended(run, steps) else {},
            steps,
            partial(number, digits=3),
        ),
    )


def in_units(value: float, unit: str = NATS) -> str:
    """Return a loss with its unit, or NaN or inf without one."""
    return f"{number(value, 3)} {unit}" if math.isfinite(value) else number(value)


def _norms(snapshots: Snapshots, layers: int) -> np.ndarray:
    """Return the norms of the gradients: float64 [snapshots, layers]."""
    rows = [s.gradient_norms for s in snapshots]
    return np.array(rows, np.float64).reshape(-1, layers)


def broken(run: Snapshots) -> bool:
    """True if any sample in any snapshot has had a gradient of NaN or inf."""
    return bool((np.array([s.gradients for s in run]) == Gradient.NONFINITE).any())


def curve_table(run: Snapshots, values: Mapping[str, frame.Values]) -> pa.Table:
    """Turn a run's curves, by name, into a table as frame.table makes it."""
    steps = _steps(run)
    return frame.table({name: (steps, curve) for name, curve in values.items()})


def kept_table(kept: Mapping[str, tuple[list[int], list[float]]]) -> Tables:
    """Return the table of the pinned runs, thinned out; nothing if there are none."""
    if not kept:
        return {}
    thin = {}
    for name, (steps, values) in kept.items():
        drawn = frame.extremes(np.array([values]), PIN_POINTS)
        thin[name] = ([steps[i] for i in drawn], [values[i] for i in drawn])
    return {"pins": frame.table(thin)}


def _steps(run: Snapshots) -> list[int]:
    return [s.step for s in run]


LINEAR = 0.1  # nats, up to which a loss axis is linear; above it is logarithmic
LOSS_EDGES = (0.0, 3.0, 30.0, 300.0, 3e3, 3e4, 3e6, 3e12, 3e38)
ERROR_EDGES = (0.0, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 100.0, 1e3, 1e6, 1e38)
GRADIENT_EDGES = (1e-38, 1e-18, 1e-12, 1e-9, 1e-6, 1e-3, 1.0, 1e3, 1e6, 1e12, 1e38)


def loss_top(losses: Sequence[float]) -> float:
    """Return where a loss axis ends: one of a few round values."""
    return frame.bracket([0.0, *losses], LOSS_EDGES)[1]


def loss_axis(top: float) -> alt.Y:
    """Return an axis from 0 to `top`, linear near 0 and logarithmic above LINEAR."""
    ticks = [
        0.0,
        *(10.0**power for power in frame.powers(-1, math.floor(math.log10(top)), frame.TICKS - 1)),
    ]
    return alt.Y(
        "value:Q",
        title=NATS,
        scale=alt.Scale(type="symlog", constant=LINEAR, domain=[0, top], nice=False),
        axis=alt.Axis(
            values=ticks,
            tickCount=len(ticks),
            labelExpr=frame.power_labels(),
            labelOverlap="greedy",
        ),
    )


def symlog(top: float) -> frame.Along:
    """Return the axis of `loss_axis`."""
    span = math.log1p(top / LINEAR)
    return frame.Along(
        lambda value: math.log1p(max(value, 0.0) / LINEAR) / span,
        lambda place: LINEAR * math.expm1(place * span),
    )


def linear(top: float) -> frame.Along:
    """Return a linear axis from 0 to `top`."""
    return frame.Along(lambda value: value / top, lambda place: place * top)


def logarithmic(low: float, high: float) -> frame.Along:
    """Return a logarithmic axis from `low` to `high`."""
    span = math.log(high / low)
    return frame.Along(
        lambda value: math.log(value / low) / span, lambda place: low * math.exp(place * span)
    )


def error_top(errors: Sequence[float]) -> float:
    """Return where an axis of squared errors ends: one of a few round values."""
    return frame.bracket([0.0, *errors], ERROR_EDGES)[1]


def error_axis(top: float) -> alt.Y:
    """Return a linear axis of squared errors from 0 to `top`."""
    return alt.Y(
        "value:Q",
        title=SQUARED,
        scale=alt.Scale(domain=[0, top], nice=False),
        axis=alt.Axis(tickCount=5, labelOverlap="greedy"),
    )


@frame.built_once(SPECS)
def _loss_spec(
    steps: int, top: float, pins: tuple[str, ...], unit: str, reports: bool
) -> dict[str, Any]:
    y = loss_axis(top) if unit == NATS else error_axis(top)
    names, colours = (LOSSES, [TRAIN, HELD_OUT, HELD_OUT]) if reports else (LOSS, [TRAIN])
    dashed = (REPORTED,) * reports
    lines = frame.curves_over_before(y, steps, names, colours, pins=pins, dashed=dashed)
    marks = frame.gap_marks(steps, names, colours) if reports else frame.gap_marks(steps)
    over = marks, frame.cursor_rule(steps)
    # The axis of nats is linear below LINEAR and logarithmic above.
    title = "Loss by step, log axis" if unit == NATS else "Loss by step"
    return frame.zoomable(title, *lines, *over, height=frame.TALL)


def accuracy_axis(low: float = 0.0) -> alt.Y:
    """Return an axis from 0% to 100%; a negative `low` leaves room for words below 0%."""
    return alt.Y(
        "value:Q",
        title="share right",
        scale=alt.Scale(domain=[low, 1], nice=False),
        axis=alt.Axis(
            format="%", values=[0, 0.2, 0.4, 0.6, 0.8, 1], tickCount=6, labelOverlap="greedy"
        ),
    )


@frame.built_once(SPECS)
def _accuracy_spec(steps: int, pins: tuple[str, ...], reports: bool) -> dict[str, Any]:
    y, colours = accuracy_axis(), [TRAIN, HELD_OUT, HELD_OUT]
    names, dashed = (*ACCURACIES, *([REPORTED] if reports else [])), (REPORTED,) * reports
    grey, lines = frame.curves_over_before(y, steps, names, colours, frame.SHARE, pins, dashed)
    over = (frame.ribbon_area(steps, TRAIN, "share right"), lines, frame.gap_marks(steps))
    rule = frame.cursor_rule(steps)
    return frame.zoomable("Accuracy by step", grey, *over, rule, height=frame.TALL)


@frame.built_once()
def _gradient_spec(steps: int, layers: int, low: float, high: float) -> dict[str, Any]:
    powers = frame.powers(round(math.log10(low)), round(math.log10(high)))
    y = alt.Y(
        "value:Q",
        title="norm",
        scale=alt.Scale(type="log", domain=[low, high], nice=False),
        axis=alt.Axis(
            values=[10.0**power for power in powers],
            tickCount=len(powers),  # without this, Vega leaves out values beyond its own count
            labelExpr=frame.power_labels(),
            labelOverlap="greedy",
        ),
    )
    lines = frame.curves_over_before(y, steps, _layer_names(layers), LAYERS)
    marks = frame.gap_marks(steps, _layer_names(layers), LAYERS)
    return frame.zoomable(
        "Gradient norm per layer, log axis",
        *lines,
        marks,
        frame.cursor_rule(steps),
        height=_gradient_height(layers),
    )


def _gradient_height(layers: int) -> int:
    """Return the usual height of a chart, or more if the layers' names need it."""
    return max(frame.TITLED, frame.AROUND + frame.NAMES_GAP * (layers + 1))


def _layer_names(layers: int) -> list[str]:
    return [f"layer {i + 1}" for i in range(layers)]
