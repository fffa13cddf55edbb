"""The histogram of predictions: how many are exactly 0 or 1, clipped, or NaN."""

from typing import Any, NamedTuple

import altair as alt
import numpy as np
import pyarrow as pa

from core.run.snapshot import BINS, Gradient, Snapshot
from ui.charts import frame
from ui.charts.live import GRADIENTS, Drawing
from ui.charts.palette import BEFORE

# Widths in units of the axis: the ends are wide enough for their names, the bins are narrow.
_END, _BIN, _NAN, _GAP = 12.6, 1.0, 8.6, 2.5


class Place(NamedTuple):
    """A bar of the histogram: its name, its axis label, and its left and right edge."""

    name: str
    label: str  # two lines at most; empty for the bins
    left: float
    right: float


def _places() -> tuple[Place, ...]:
    """Return the places of core.run.snapshot.Saturation, from left to right."""
    bins = [(f"{i / BINS:.2f} to {(i + 1) / BINS:.2f}", "", 0.0, _BIN) for i in range(BINS)]
    left = 0.0
    places = []
    for name, label, gap, width in [
        ("exactly 0", "exactly\n0", 0.0, _END),
        ("clipped at the low end", "clipped", 0.5, _END),
        ("", "", _GAP, 0.0),
        *bins,
        ("clipped at the high end", "clipped", _GAP, _END),
        ("exactly 1", "exactly\n1", 0.5, _END),
        ("NaN", "NaN", _GAP, _NAN),
    ]:
        left += gap
        if name:
            places.append(Place(name, label, left, left + width))
        left += width
    return tuple(places)


PLACES = _places()
MARKED = np.array([bool(place.label) for place in PLACES])  # their share is written above the bar
# The columns that are the same in all histograms: a row per gradient and place.
SAME = {
    "place": pa.array([place.name for place in PLACES] * len(GRADIENTS)),
    "left": pa.array([place.left for place in PLACES] * len(GRADIENTS)),
    "right": pa.array([place.right for place in PLACES] * len(GRADIENTS)),
    "state": pa.array([state for state in GRADIENTS for _ in PLACES]),
}


# In the order of core.run.snapshot.Gradient.
def saturation(
    snapshot: Snapshot | None,
    axis_title: str,
    title: str = "Where the predictions are",
    broken: bool = False,
    last: Snapshot | None = None,
) -> Drawing:
    """Draw where the predictions are in [0, 1], each in the colour of its own gradient.

    Args:
      axis_title: what the probability belongs to; the title of the axis if the chart has none.
      title: above the chart, which adds the snapshot's step; may be empty.
      broken: whether the legend names NaN and inf, even if this snapshot has none.
      last: the run's last snapshot once it has ended, which the chart's text describes.
    """
    shares = _shares(snapshot)
    broken = broken or bool(shares[Gradient.NONFINITE].any())
    high = shares.cumsum(axis=0)
    labelled = MARKED & (high[-1] >= 0.005)
    named = [place for place, is_labelled in zip(PLACES, labelled, strict=True) if is_labelled]
    return Drawing(
        key="saturation",
        spec=_saturation_spec(axis_title, title, broken),
        tables={
            "run": pa.table(
                {
                    **SAME,
                    "share": shares.ravel(),
                    "low": (high - shares).ravel(),
                    "high": high.ravel(),
                    "step": pa.repeat(snapshot and snapshot.step, shares.size).cast(pa.int64()),
                }
            ),
            "ends": pa.table(
                {
                    "at": pa.array([(p.left + p.right) / 2 for p in named], pa.float64()),
                    "top": pa.array(high[-1][labelled], pa.float64()),
                    "text": pa.array([f"{share:.0%}" for share in high[-1][labelled]], pa.string()),
                }
            ),
        },
        alt="Histogram of predictions.",
        zoom=False,
        sentence=_sentence(last),
    )


def _shares(snapshot: Snapshot | None) -> np.ndarray:
    """Return the share of images at each place, by gradient: float64 [GRADIENTS, PLACES]."""
    counts = snapshot.saturation.histogram if snapshot else np.zeros((len(GRADIENTS), len(PLACES)))
    return counts / max(1, counts.sum())


def _sentence(last: Snapshot | None) -> str:
    """Return the histogram of a run's last snapshot in words."""
    if last is None:
        return ""
    shares = _shares(last).sum(axis=0)
    places = {place.name: share for place, share in zip(PLACES, shares, strict=True) if place.label}
    parts = [f"{share:.1%} {name}" for name, share in places.items() if share]
    between = f"{1 - sum(places.values()):.1%} between"
    return (
        f"Histogram of predictions after step {last.step:,}: {', '.join([*parts, between])}; "
        f"the gradient is exactly 0 for {last.census.zero_gradient:.1%} of the images."
    )


def _saturation_axis(field: str, title: str | None) -> alt.X:
    """Return an axis with the names of the ends and of NaN, and 0, ½ and 1 between them."""
    ticks = {(place.left + place.right) / 2: place.label for place in PLACES if place.label}
    bins = [place for place in PLACES if not place.label]
    inside = {bins[0].left: "0", bins[BINS // 2].left: "½", bins[-1].right: "1"}
    cases = [
        f"abs(datum.value - {at:.9g}) < 0.01 ? {label.split(chr(10))}"
        for at, label in {**ticks, **inside}.items()
    ]
    return alt.X(
        field,
        title=title,
        scale=alt.Scale(domain=[0, PLACES[-1].right], nice=False),
        axis=alt.Axis(
            values=sorted({**ticks, **inside}),
            labelExpr=" : ".join([*cases, "''"]),
            labelAngle=0,
            labelOverlap=False,
            labelFlush=False,
            labelFontSize=12,
            ticks=False,
            grid=False,
        ),
    )


@frame.built_once()
def _saturation_spec(axis_title: str, title: str, broken: bool) -> dict[str, Any]:
    shown_title = None if title else axis_title  # the title already says it
    y = alt.Y(
        "low:Q",
        title=None,
        scale=alt.Scale(domain=[0, 1.1], nice=False),  # room for the text over a full bar
        axis=alt.Axis(format="%", values=[0, 0.5, 1]),
    )
    states = alt.Scale(domain=list(GRADIENTS), range=list(GRADIENTS.values()))
    drawn = list(GRADIENTS) if broken else list(GRADIENTS)[: Gradient.NONFINITE]
    legend = alt.Legend(columns=2, labelLimit=150, values=drawn)
    bars = (
        alt.Chart(alt.NamedData("run"))
        .mark_bar(binSpacing=0)
        .encode(
            x=_saturation_axis("left:Q", shown_title),
            x2=alt.X2("right:Q"),
            y=y,
            y2=alt.Y2("high:Q"),
            color=alt.Color("state:N", scale=states, legend=legend),
            tooltip=[
                alt.Tooltip("place:N"),
                alt.Tooltip("state:N"),
                alt.Tooltip("share:Q", format=".1%"),
            ],
        )
    )
    text = (
        alt.Chart(alt.NamedData("ends"))
        .mark_text(dy=-8, fontSize=13, fontWeight="bold", color=BEFORE)
        # Repeat the same axis: otherwise Vega-Lite joins it with one of its own that hides names.
        .encode(x=_saturation_axis("at:Q", shown_title), y=alt.Y("top:Q"), text=alt.Text("text:N"))
    )
    return frame.spec(alt.layer(bars, text), _titled(title) if title else "")


def _titled(title: str) -> alt.ExprRef:
    """Return the title, followed by the step in the table `run`: the spec does not change."""
    step = "data('run')[0].step"
    after = f"(isValid({step}) ? ' after step ' + format({step}, ',') : '')"
    return alt.expr(f"{title!r} + {after}")
