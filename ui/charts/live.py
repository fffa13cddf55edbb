"""The four live charts: snapshots in, named tables and a constant spec out."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import altair as alt
import numpy as np
import pyarrow as pa

from core.run.snapshot import BINS, Snapshot
from ui.charts import frame
from ui.charts.frame import Tables
from ui.charts.palette import DEAD, HELD_OUT, LAYERS, TRAIN

Snapshots = Sequence[Snapshot]
ACCURACIES = ("training", "held out")


class Drawing(NamedTuple):
    """What a page needs for one chart.

    Only the tables change from frame to frame, unless an axis must grow: for another spec, or
    another `alt`, the browser builds the whole chart anew.
    """

    key: str
    spec: dict[str, Any]
    tables: Tables
    alt: str  # for screen readers
    zoom: bool


def loss(run: Snapshots, before: Snapshots, steps: int, at: int | None) -> Drawing:
    """Mean loss over steps, nats; NaN and inf are marked at the foot."""
    now, then = [s.loss for s in run], [s.loss for s in before]
    return Drawing(
        key="loss",
        spec=_loss_spec(steps, loss_top([*now, *then])),
        tables={
            "run": _table(run, {"loss": now}),
            "before": _table(before, {"loss": then}),
            "gaps": frame.gaps(_steps(run), now),
            "cursor": frame.cursor(at),
        },
        alt="Loss by step; one value stands above.",
        zoom=True,
    )


def accuracy(run: Snapshots, before: Snapshots, steps: int, at: int | None) -> Drawing:
    """Accuracy on the training and on the held-out images over steps."""

    def table(snapshots: Snapshots) -> pa.Table:
        training, held_out = ACCURACIES
        return _table(
            snapshots,
            {
                training: [s.train_accuracy for s in snapshots],
                held_out: [s.test_accuracy for s in snapshots],
            },
        )

    return Drawing(
        key="accuracy",
        spec=_accuracy_spec(steps),
        tables={"run": table(run), "before": table(before), "cursor": frame.cursor(at)},
        alt="Accuracy by step, on training and held-out images; one value of each stands above.",
        zoom=True,
    )


def gradients(run: Snapshots, before: Snapshots, steps: int, at: int | None) -> Drawing:
    """Norm of each layer's gradient over steps, log axis; 0, NaN and inf are marked at the foot."""
    known = run or before  # a run that has shown nothing yet keeps the axis of the one before
    layers = len(known[0].gradient_norms) if known else 1
    same = [s for s in before if len(s.gradient_norms) == layers]
    now, then = _norms(run, layers), _norms(same, layers)
    every = np.concatenate([now, then])
    every = every[(every > 0) & np.isfinite(every)]
    span = [float(every.min()), float(every.max())] if every.size else [1.0]

    def table(snapshots: Snapshots, norms: np.ndarray) -> pa.Table:
        # A log axis has no 0: a gap here, and a mark at the foot when all layers are 0.
        drawn = np.where(norms == 0, np.nan, norms)
        return _table(snapshots, dict(zip(_layer_names(layers), drawn.T, strict=True)))

    return Drawing(
        key="gradients",
        spec=_gradient_spec(steps, layers, *frame.bracket(span, GRADIENT_EDGES)),
        tables={
            "run": table(run, now),
            "before": table(same, then),
            "gaps": frame.gaps(_steps(run), np.linalg.norm(now, axis=1), zero=True),
            "cursor": frame.cursor(at),
        },
        alt="Gradient norm of each layer by step; a cross stands where it is 0, NaN or inf.",
        zoom=True,
    )


def _norms(snapshots: Snapshots, layers: int) -> np.ndarray:
    """float64 [snapshots, layers]"""
    rows = [s.gradient_norms for s in snapshots]
    return np.array(rows, np.float64).reshape(-1, layers)


PLACES = (
    "exactly 0", "clipped", *(f"{i / BINS:.2f}" for i in range(BINS)),
    "clipped ", "exactly 1", "NaN",  # the blank keeps the two ends apart
)  # fmt: skip
LOW_ENDS, HIGH_ENDS, NAN = (0, 1), (BINS + 2, BINS + 3), BINS + 4
MARKED = {*LOW_ENDS, *HIGH_ENDS, NAN}  # their share stands above the bar


def saturation(
    snapshot: Snapshot | None, of: str, clips: bool, title: str = "Where the predictions stand"
) -> Drawing:
    """Where the predictions stand in [0, 1]; the ends of a loss that clips are red.

    Args:
      of: what the probability is of; the axis title.
      clips: whether the loss gives no gradient beyond its clip.
      title: above the chart; may be empty.
    """
    counts = snapshot.saturation.histogram if snapshot else np.zeros(len(PLACES))
    shares = counts / max(1, counts.sum())
    dead = {NAN, *LOW_ENDS, *HIGH_ENDS} if clips else {NAN}
    table = pa.table(
        {
            "place": PLACES,
            "share": pa.array(shares, pa.float64()),
            "state": ["no gradient" if i in dead else "has a gradient" for i in range(len(PLACES))],
            "text": [
                f"{share:.0%}" if i in MARKED and share >= 0.005 else ""
                for i, share in enumerate(shares)
            ],
        }
    )
    return Drawing(
        key="saturation",
        spec=_saturation_spec(of, title),
        tables={"run": table},
        alt="Histogram of predictions; the bars of the ends and of NaN name their share.",
        zoom=False,
    )


def _table(run: Snapshots, values: Mapping[str, frame.Values]) -> pa.Table:
    steps = _steps(run)
    return frame.table({name: (steps, curve) for name, curve in values.items()})


def _steps(run: Snapshots) -> list[int]:
    return [s.step for s in run]


LOSS_EDGES = (0.0, 3.0, 30.0, 300.0, 3e3, 3e4, 3e6, 3e12, 3e38)
GRADIENT_EDGES = (1e-38, 1e-18, 1e-12, 1e-9, 1e-6, 1e-3, 1.0, 1e3, 1e6, 1e12, 1e38)


def loss_top(losses: Sequence[float]) -> float:
    """Where a loss axis ends, from a few round values."""
    return frame.bracket([0.0, *losses], LOSS_EDGES)[1]


def loss_axis(top: float) -> alt.Y:
    """Linear near 0, logarithmic above 0.1 nats, from 0 to `top`."""
    ticks = [0, 0.1, 0.3, *(digit * 10.0**power for power in range(39) for digit in (1, 3))]
    return alt.Y(
        "value:Q",
        title="nats",
        scale=alt.Scale(type="symlog", constant=0.1, domain=[0, top], nice=False),
        axis=alt.Axis(
            values=[tick for tick in ticks if tick <= top], format="~r", labelOverlap=True
        ),
    )


@cache
def _loss_spec(steps: int, top: float) -> dict[str, Any]:
    y = loss_axis(top)
    lines = frame.curves_over_before(y, steps, ["loss"], [TRAIN])
    return frame.zoomable("Loss", *lines, frame.gap_marks(steps), frame.cursor_rule(steps))


def accuracy_axis() -> alt.Y:
    """From 0% to 100%, always."""
    return alt.Y(
        "value:Q",
        title="share right",
        scale=alt.Scale(domain=[0, 1]),
        axis=alt.Axis(format="%", tickCount=5),
    )


@cache
def _accuracy_spec(steps: int) -> dict[str, Any]:
    y = accuracy_axis()
    lines = frame.curves_over_before(y, steps, ACCURACIES, [TRAIN, HELD_OUT])
    return frame.zoomable("Accuracy", *lines, frame.cursor_rule(steps))


@cache
def _gradient_spec(steps: int, layers: int, low: float, high: float) -> dict[str, Any]:
    powers = range(round(np.log10(low)), round(np.log10(high)) + 1)
    y = alt.Y(
        "value:Q",
        title="norm",
        scale=alt.Scale(type="log", domain=[low, high], nice=False),
        axis=alt.Axis(format="~g", values=[10.0**power for power in powers], labelOverlap=True),
    )
    lines = frame.curves_over_before(y, steps, _layer_names(layers), LAYERS)
    return frame.zoomable(
        "Gradient norm by layer", *lines, frame.gap_marks(steps), frame.cursor_rule(steps)
    )


def _layer_names(layers: int) -> list[str]:
    return [f"layer {i + 1}" for i in range(layers)]


@cache
def _saturation_spec(of: str, title: str) -> dict[str, Any]:
    labels = "{'0.00': '0', '0.25': '¼', '0.50': '½', '0.75': '¾', '0.95': '1'}[datum.label]"
    ends = "indexof(datum.label, '.') > 0 ? '' : datum.label"
    x = alt.X(
        "place:N",
        title=of,
        sort=None,
        scale=alt.Scale(domain=list(PLACES), paddingInner=0.08),
        axis=alt.Axis(
            labelExpr=f"{labels} || ({ends})", labelAngle=-60, ticks=False, labelOverlap=False
        ),
    )
    y = alt.Y(
        "share:Q",
        title="share of samples",
        scale=alt.Scale(domain=[0, 1]),
        axis=alt.Axis(format="%", tickCount=5),
    )
    states = alt.Scale(domain=["has a gradient", "no gradient"], range=[TRAIN, DEAD])
    base = alt.Chart(alt.NamedData("run")).encode(
        x=x, y=y, tooltip=["place:N", alt.Tooltip("share:Q", format=".1%")]
    )
    bars = base.mark_bar().encode(color=alt.Color("state:N", scale=states))
    text = base.mark_text(dy=-8, fontSize=13, fontWeight="bold", color=DEAD)
    return frame.spec(alt.layer(bars, text.encode(text="text:N")), title)
