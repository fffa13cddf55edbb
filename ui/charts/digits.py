"""Every digit on the logit axis: where each image of a look stands, and what pulls at it."""

from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import altair as alt
import numpy as np
import pyarrow as pa

from core.run.snapshot import Gradient, Snapshot, silent_and_wrong
from ui.charts import frame
from ui.charts.live import GRADIENTS, Drawing
from ui.charts.palette import BEFORE

BINS = 60  # of equal width on the axis as drawn
LINEAR = 1.0  # logits up to about here are spaced evenly, those beyond by their logarithm
TOPS = (100.0, 1e4, 1e6, 1e12, 1e38)  # where the axis may end: few, for a new one is a new chart
ROOMS = (10, 25, 50, 100, 250, 500, 1000)  # images that a bar may hold, either way


class Zone(NamedTuple):
    """A stretch of the axis in which a loss gives wrong (or right) images no gradient."""

    start: float
    end: float  # may be inf, as `start` may be -inf
    right: bool
    what: str  # a name of GRADIENTS


def digits(
    snapshot: Snapshot | None,
    widest: float,
    of: str,
    zones: Sequence[Zone] = (),
    broken: bool = False,
    last: Snapshot | None = None,
) -> Drawing:
    """The images of a look as bars over their logit: right ones up, wrong ones down.

    Args:
      widest: the largest finite |logit| that the axis must hold; see `widest`.
      of: what the logit is of, for the title.
      zones: where the loss gives no gradient, shaded.
      broken: whether the legend names NaN and inf.
      last: the run's last look once it has ended, which the chart's text tells of.
    """
    top = next((top for top in TOPS if widest <= top), TOPS[-1])
    counts = np.zeros((2, len(Gradient), BINS), int)
    lost = ""
    if snapshot is not None:
        counts = _counts(snapshot, top)
        lost = _lost(snapshot.margins)
    largest = counts.sum(axis=1).max()
    room = next((room for room in ROOMS if largest <= room), ROOMS[-1])
    return Drawing(
        key="digits",
        spec=_spec(top, of, broken),
        tables={
            "zones": _zones(zones, top, room),
            "bars": _bars(counts, top),
            # Two words that hold the axis open: it moves seldom, and the spec stays.
            "sides": pa.table({"count": [room, -room], "word": ["right", "wrong"]}),
            "lost": pa.table({"text": pa.array([lost] if lost else [], pa.string())}),
        },
        alt=_told(last),
        zoom=False,
    )


def _told(last: Snapshot | None) -> str:
    """The chart's text: what it shows, and of a run that has ended how many are right."""
    what = "Every image at its logit, right ones above the line and wrong ones below"
    if last is None:
        return f"{what}."
    right, images = int(np.count_nonzero(last.correct)), len(last.correct)
    return (
        f"{what}, after step {last.step:,}: {right:,} of {images:,} are right; "
        f"{len(silent_and_wrong(last)):,} are wrong with a gradient of exactly 0."
    )


def widest(run: Sequence[Snapshot]) -> float:
    """The largest finite |margin| of all looks; 0 where there is none."""
    if not run:
        return 0.0
    sizes = np.abs(np.array([s.margins for s in run]))
    return float(sizes.max(initial=0.0, where=np.isfinite(sizes)))


def _edges(top: float) -> np.ndarray:
    """The ends of the bins: float64 [BINS + 1]."""
    drawn = np.linspace(-1, 1, BINS + 1) * np.log1p(top / LINEAR)
    return np.sign(drawn) * LINEAR * np.expm1(np.abs(drawn))


def _counts(snapshot: Snapshot, top: float) -> np.ndarray:
    """How many images stand in each bin: int [wrong or right, len(Gradient), BINS]."""
    known = np.isfinite(snapshot.margins)
    place = np.searchsorted(_edges(top)[1:-1], snapshot.margins[known], side="right")
    kind = snapshot.gradients[known] + len(Gradient) * snapshot.correct[known].astype(int)
    size = 2 * len(Gradient) * BINS
    return np.bincount(kind * BINS + place, minlength=size).reshape(2, len(Gradient), BINS)


def _lost(margins: np.ndarray) -> str:
    """How many images have no place on the axis, by what their logit is; "" where none."""
    found = {
        "NaN": int(np.isnan(margins).sum()),
        "-inf": int(np.isneginf(margins).sum()),
        "inf": int(np.isposinf(margins).sum()),
    }
    named = ", ".join(f"{n:,} {what}" for what, n in found.items() if n)
    return f"✖ {named}" if named else ""


def _bars(counts: np.ndarray, top: float) -> pa.Table:
    """A row a bin, side and Gradient with images; each stands on those nearer to the line."""
    side, kind, place = np.nonzero(counts)
    sign = 2 * side - 1
    high, n = counts.cumsum(axis=1)[side, kind, place], counts[side, kind, place]
    edges = _edges(top)
    return pa.table(
        {
            "left": edges[place],
            "right": edges[place + 1],
            "low": sign * (high - n),
            "high": sign * high,
            "images": n,
            "side": pa.array(np.array(["wrong", "right"])[side], pa.string()),
            "state": pa.array(np.array(list(GRADIENTS))[kind], pa.string()),
        }
    )


def _zones(zones: Sequence[Zone], top: float, room: int) -> pa.Table:
    """The part of each zone that the axis shows."""
    inside = [zone for zone in zones if zone.start < top and zone.end > -top]
    return pa.table(
        {
            "left": pa.array([max(zone.start, -top) for zone in inside], pa.float64()),
            "right": pa.array([min(zone.end, top) for zone in inside], pa.float64()),
            "count": pa.array([0] * len(inside), pa.int64()),
            "high": pa.array([room if zone.right else -room for zone in inside], pa.int64()),
            "state": pa.array([zone.what for zone in inside], pa.string()),
        }
    )


@cache
def _spec(top: float, of: str, broken: bool) -> dict[str, Any]:
    exponents = frame.powers(1, round(np.log10(top)), 3)
    powers = [10.0**power for power in exponents]
    x = alt.X(
        "left:Q",
        title=None,
        scale=alt.Scale(type="symlog", constant=LINEAR, domain=[-top, top], nice=False),
        axis=alt.Axis(
            values=[*(-power for power in reversed(powers)), 0, *powers],
            labelExpr=frame.power_labels(),
            labelOverlap=False,
            labelFlush=False,
            grid=False,
        ),
    )
    y = alt.Y(
        "count:Q",
        title="images",
        scale=alt.Scale(nice=False),
        axis=alt.Axis(labelExpr="format(abs(datum.value), ',d')", tickCount=5, tickMinStep=1),
    )
    states = alt.Scale(domain=list(GRADIENTS), range=list(GRADIENTS.values()))
    named = list(GRADIENTS) if broken else list(GRADIENTS)[: Gradient.NONFINITE]
    legend = alt.Legend(columns=2, labelLimit=150, values=named)
    colour = alt.Color("state:N", scale=states, legend=legend)
    zones = (
        alt.Chart(alt.NamedData("zones"))
        .mark_rect(opacity=0.18)
        .encode(x=x, x2="right:Q", y=y, y2="high:Q", color=colour)
    )
    bars = (
        alt.Chart(alt.NamedData("bars"))
        .mark_bar(binSpacing=0)
        .encode(
            x=x,
            x2="right:Q",
            y=alt.Y("low:Q", title="images"),
            y2="high:Q",
            color=colour,
            tooltip=[
                "side:N", "state:N", "images:Q",
                alt.Tooltip("left:Q", title="from", format=".3~g"),
                alt.Tooltip("right:Q", title="to", format=".3~g"),
            ],
        )
    )  # fmt: skip
    bold: dict[str, Any] = {"fontSize": 13, "fontWeight": "bold", "color": BEFORE}
    up = alt.datum.count > 0
    base = alt.Chart(alt.NamedData("sides")).encode(x=alt.value(0), y=y, text="word:N")
    words = (
        base.transform_filter(up).mark_text(align="left", baseline="top", dx=4, dy=3, **bold),
        base.transform_filter(~up).mark_text(align="left", baseline="bottom", dx=4, dy=-3, **bold),
    )
    lost = (
        alt.Chart(alt.NamedData("lost"))
        .mark_text(
            align="right", baseline="top", dx=-4, **{**bold, "color": GRADIENTS["NaN or inf"]}
        )
        .encode(x=alt.value("width"), y=alt.value(3), text="text:N")
    )
    return frame.spec(alt.layer(zones, bars, *words, lost), f"Every image by its {of}")
