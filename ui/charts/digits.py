"""Every image on the logit axis: where it is in a snapshot, and what gradient it has."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import altair as alt
import numpy as np
import pyarrow as pa

from core.run.snapshot import Answers, Gradient, Snapshot, silent_and_wrong
from ui.charts import frame
from ui.charts.live import GRADIENTS, Drawing

AxisType = Literal["linear", "symlog"]
BINS = 60  # of equal width on the axis as drawn
# Where the axis may end. These are few, because with a new end the browser builds a new chart. The
# last one holds every float32.
TOPS = (100.0, 1e4, 1e6, 1e12, 3.5e38)
ROOMS = (10, 25, 50, 100, 250, 500, 1000)  # the axis has room for so many images each way
SIDES = ("wrong", "right")
SHOWS = "Every image at its logit, right ones above the line and wrong ones below"
CLICKED = "bar"  # the name of the click's selection; BAR is what it returns
BAR = ("side", "state", "left", "right", "step", "turn")


class Zone(NamedTuple):
    """A stretch of the axis where wrong (or right) images have a gradient of 0, NaN or inf."""

    start: float
    end: float  # may be inf, and `start` may be -inf
    right: bool
    what: str  # a key of GRADIENTS


class Placed(NamedTuple):
    """The images of a snapshot, placed on the logit axis; each array is [n]."""

    indices: np.ndarray  # int, those of the images among the training images
    logits: np.ndarray  # float, where they are on the axis; NaN and infinite ones are not drawn
    correct: np.ndarray  # bool
    kinds: np.ndarray  # each image's Gradient


class Mark(NamedTuple):
    """What a bar hands to a click, and which images the visitor has chosen."""

    step: int = 0  # of the snapshot that is drawn
    turn: int = 0  # a new value lets the bar that was clicked last be clicked again
    chosen: Sequence[int] | np.ndarray = ()  # indices among the training images


def at_margins(snapshot: Snapshot | Answers) -> Placed:
    """Return all images of a snapshot, each at its margin."""
    indices = np.arange(len(snapshot.margins))
    return Placed(indices, snapshot.margins, snapshot.correct, snapshot.gradients)


def members(images: Placed, bar: Mapping[str, Any]) -> np.ndarray:
    """Return which images are in the bar that was clicked: bool [n]."""
    kind = list(GRADIENTS).index(bar["state"])
    side = images.correct == (bar["side"] == "right")
    at = np.asarray(images.logits, float)  # float64, as the edges are: float32 would round
    return side & (images.kinds == kind) & (at >= bar["left"]) & (at < bar["right"])


def digits(
    snapshot: Snapshot | None,
    widest: float,
    quantity: str,
    zones: Sequence[Zone] = (),
    broken: bool = False,
    mark: Mark = Mark(),  # noqa: B008, a NamedTuple never changes
    last: Snapshot | None = None,
) -> Drawing:
    """Draw the images of a snapshot as bars over their logit: right ones up, wrong ones down.

    Args:
      widest: the largest finite |logit| that the axis must hold; see `widest`.
      quantity: what the logit belongs to, for the title.
      zones: where the loss gives no gradient; they are shaded.
      broken: whether the legend names NaN and inf.
      mark: what a bar hands to a click, and the images that are outlined in their bars.
      last: the run's last snapshot once it has ended, which the chart's text describes.
    """
    top = top_of(widest)
    return Drawing(
        key="digits",
        spec=_spec(top, quantity, broken),
        tables=tables(snapshot and at_margins(snapshot), spaced(top, BINS + 1), zones, mark),
        alt=f"{SHOWS}.",
        zoom=False,
        sentence=_sentence(last),
    )


def top_of(widest: float) -> float:
    """Return where an axis ends that holds logits up to `widest`."""
    return next((top for top in TOPS if widest <= top), TOPS[-1])


def _sentence(last: Snapshot | None) -> str:
    """Return how many images are right in a run's last snapshot, and how many wrong and silent."""
    if last is None:
        return ""
    right, count = int(np.count_nonzero(last.correct)), len(last.correct)
    return (
        f"{SHOWS}, after step {last.step:,}: {right:,} of {count:,} are right; "
        f"{len(silent_and_wrong(last)):,} are wrong with a gradient of exactly 0."
    )


def widest(run: Sequence[Snapshot]) -> float:
    """Return the largest finite |margin| of all snapshots; 0 if there is none."""
    if not run:
        return 0.0
    sizes = np.abs(np.array([s.margins for s in run]))
    largest = sizes.max(initial=0.0)
    if not np.isfinite(largest):  # only then, because this takes longer than all the rest
        largest = sizes.max(initial=0.0, where=np.isfinite(sizes))
    return float(largest)


def spaced(end: float, count: int, axis: AxisType = "symlog") -> np.ndarray:
    """Return `count` logits from -end to end, evenly spaced as the axis draws them."""
    if axis != "symlog":
        return np.linspace(-end, end, count)
    drawn = np.linspace(-1, 1, count) * np.log1p(end)
    z = np.sign(drawn) * np.expm1(np.abs(drawn))
    z[[0, -1]] = -end, end  # expm1 may miss the ends by a rounding and so lose a logit there
    return z


def tables(
    images: Placed | None, edges: np.ndarray, zones: Sequence[Zone], mark: Mark
) -> frame.Tables:
    """Return the tables of `layers`, with images in bins between `edges`, float [bins + 1]."""
    counts = chosen = np.zeros((2, len(Gradient), len(edges) - 1), int)
    lost = ""
    if images is not None:
        counts = _counts(images, edges)
        lost = _lost(images.logits)
        if len(mark.chosen):
            those = np.isin(images.indices, mark.chosen)
            chosen = _counts(Placed(*(column[those] for column in images)), edges)
    largest = counts.sum(axis=1).max()
    room = next((room for room in ROOMS if largest <= room), ROOMS[-1])
    return {
        "zones": frame.filled(_zones(tuple(zones), edges[-1], room)),
        "bars": frame.filled(_bars(counts, chosen, edges, mark)),
        "sides": _sides(room),
        "lost": pa.table({"text": pa.array([lost] if lost else [], pa.string())}),
    }


def _counts(images: Placed, edges: np.ndarray) -> np.ndarray:
    """Return how many images are in each bin: int [wrong or right, len(Gradient), bins]."""
    bins = len(edges) - 1
    known = np.isfinite(images.logits)
    place = np.searchsorted(edges[1:-1], images.logits[known], side="right")
    kind = images.kinds[known] + len(Gradient) * images.correct[known].astype(int)
    size = 2 * len(Gradient) * bins
    return np.bincount(kind * bins + place, minlength=size).reshape(2, len(Gradient), bins)


def _lost(margins: np.ndarray) -> str:
    """Return how many images have a logit that is NaN or infinite, or an empty text."""
    counts = {
        "NaN": int(np.isnan(margins).sum()),
        "-inf": int(np.isneginf(margins).sum()),
        "inf": int(np.isposinf(margins).sum()),
    }
    named = ", ".join(f"{n:,} {what}" for what, n in counts.items() if n)
    return f"✖ {named}" if named else ""


def _bars(counts: np.ndarray, chosen: np.ndarray, edges: np.ndarray, mark: Mark) -> pa.Table:
    """Return a row per bin, side and Gradient with images; those of a bin and side are stacked."""
    side, kind, place = np.nonzero(counts)
    sign = 2 * side - 1
    high, n = counts.cumsum(axis=1)[side, kind, place], counts[side, kind, place]
    low = sign * (high - n)
    return pa.table(
        {
            "left": edges[place],
            "right": edges[place + 1],
            "low": low,
            "high": sign * high,
            "marked": low + sign * chosen[side, kind, place],  # chosen ones: from `low` to here
            "images": n,
            "side": pa.array(np.array(SIDES)[side], pa.string()),
            "state": pa.array(np.array(list(GRADIENTS))[kind], pa.string()),
            "step": np.full(len(n), mark.step),
            "turn": np.full(len(n), mark.turn),
        }
    )


@frame.built_once()
def _sides(room: int) -> pa.Table:
    """Return two words at `room` and -`room`, which set the axis's range without a new spec."""
    return pa.table({"count": [room, -room], "word": SIDES[::-1]})


@frame.built_once(256)
def _zones(zones: tuple[Zone, ...], top: float, room: int) -> pa.Table:
    """Return the part of each zone that the axis shows."""
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


def symlog(top: float) -> tuple[alt.Scale, alt.Axis]:
    """Return the scale and axis of logits from -top to top, labelled at few powers of ten."""
    powers = [10.0**power for power in frame.powers(1, math.floor(math.log10(top)), 3)]
    return (
        alt.Scale(type="symlog", domain=[-top, top], nice=False),
        alt.Axis(
            values=[*(-power for power in reversed(powers)), 0, *powers],
            labelExpr=frame.power_labels(),
            labelOverlap=False,
            labelFlush=False,
            grid=False,
        ),
    )


@frame.built_once()
def _spec(top: float, quantity: str, broken: bool) -> dict[str, Any]:
    named = list(GRADIENTS) if broken else list(GRADIENTS)[: Gradient.NONFINITE]
    legend = alt.Legend(columns=2, labelLimit=150, values=named)
    drawn = layers(*symlog(top), None, {}, legend)
    return frame.spec(drawn, f"Every image by its {quantity}", frame.TALL)


def _notes(y: alt.Y) -> tuple[Any, ...]:
    """Return the words on either side of the line, and the count of what is NaN."""
    bold: dict[str, Any] = {"fontSize": 13, "fontWeight": "bold", "color": "currentColor"}
    up = alt.datum.count > 0
    base = alt.Chart(alt.NamedData("sides")).encode(x=alt.XValue(0), y=y, text=alt.Text("word:N"))
    sides = (
        base.transform_filter(up).mark_text(align="left", baseline="top", dx=4, dy=3, **bold),
        base.transform_filter(~up).mark_text(align="left", baseline="bottom", dx=4, dy=-3, **bold),
    )
    lost = (
        alt.Chart(alt.NamedData("lost"))
        .mark_text(
            align="right", baseline="top", dx=-4, **{**bold, "color": GRADIENTS["NaN or inf"]}
        )
        .encode(x=alt.XValue("width"), y=alt.YValue(3), text=alt.Text("text:N"))
    )
    return *sides, lost


def layers(
    scale: alt.Scale,
    axis: alt.Axis,
    title: str | None,
    y_axis: Mapping[str, Any],
    legend: alt.Legend | None,
    what: str = "images",
) -> Any:
    """Draw zones, bars that can be clicked, the outlines of the chosen images, and words.

    The logit axis is written once, with the zones, because the browser reads the spec at every
    frame. `what` names the images, if they are none.
    """
    y = alt.Y(
        "count:Q",
        title=what,
        scale=alt.Scale(nice=False),
        axis=alt.Axis(
            labelExpr="format(abs(datum.value), ',d')", tickCount=5, tickMinStep=1, **y_axis
        ),
    )
    states = alt.Scale(domain=list(GRADIENTS), range=list(GRADIENTS.values()))
    colour = alt.Color("state:N", scale=states, legend=legend)
    zones = (
        alt.Chart(alt.NamedData("zones"))
        .mark_rect(opacity=0.18)
        .encode(
            x=alt.X("left:Q", title=title, scale=scale, axis=axis),
            x2=alt.X2("right:Q"),
            y=y,
            y2=alt.Y2("high:Q"),
            color=colour,
        )
    )
    return alt.layer(zones, *_bar_layers(scale, title, colour, what), *_notes(y))


def _bar_layers(
    scale: alt.Scale, title: str | None, colour: alt.Color, what: str
) -> tuple[Any, ...]:
    """Return the bars that can be clicked, and the outlines of the chosen images."""
    stacked = alt.Chart(alt.NamedData("bars")).encode(
        x=alt.X("left:Q", title=title, scale=scale),
        x2=alt.X2("right:Q"),
        y=alt.Y("low:Q", title=what),
    )
    clicked = alt.selection_point(name=CLICKED, fields=list(BAR), on="click", toggle=False)
    bars = (
        stacked.mark_bar(binSpacing=0, cursor="pointer")
        .encode(
            y2=alt.Y2("high:Q"),
            color=colour,
            tooltip=[
                alt.Tooltip("side:N"),
                alt.Tooltip("state:N"),
                alt.Tooltip("images:Q", title=what),
                alt.Tooltip("left:Q", title="from", format=".3~g"),
                alt.Tooltip("right:Q", title="to", format=".3~g"),
            ],
        )
        .properties(name="bars")
        .add_params(clicked)
    )
    # Outlined in the colour of text, which differs from every bar's in both themes. The others are
    # transparent and not filtered out, because Vega warns at every frame about an empty table.
    outlined = alt.when(alt.datum.marked != alt.datum.low).then(alt.value("currentColor"))
    marked = stacked.mark_bar(binSpacing=0, fill="transparent", strokeWidth=1.5).encode(
        y2=alt.Y2("marked:Q"), stroke=outlined.otherwise(alt.value("transparent"))
    )
    return bars, marked
