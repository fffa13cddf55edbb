"""The gaps that differing defaults make, each with its spread, over what is chance."""

from typing import Any, NamedTuple

import altair as alt
import pyarrow as pa

from ui.charts import axes, frame
from ui.charts.frame import Tables
from ui.charts.palette import BROKEN, HELD_OUT, PINS, TRAIN

ROW = 30  # pixels, for a name on two lines
LETTERS = 21  # in a line of a name
OTHER = "another run, named in the list"
COLOURS = {"Adam, 0.001": TRAIN, "SGD, 0.1": HELD_OUT, "SGD, 0.01": PINS[0], OTHER: BROKEN}
TICKS = (-80, -30, -10, -3, -1, 0, 1, 3, 10, 30, 80)
Labels = tuple[str, ...]


class Gap(NamedTuple):
    """What one difference does in one context, in points of held-out accuracy."""

    piece: str
    context: str
    run: str  # a key of COLOURS, by which its dot is coloured
    points: float
    spread: float  # the standard deviation over the seeds


class Chance(NamedTuple):
    """How far a run moves by itself, in points: the largest of five seeds."""

    rounding: float
    seeds: float  # the standard deviation of the difference between two seeds


@frame.built_once()
def gaps_spec(pieces: Labels) -> dict[str, Any]:
    """Draw a dot for each gap, a row for each piece; the grey band is what another seed does."""
    scale = alt.Scale(type="symlog", constant=1, domain=[-150, 150], nice=False)
    signed = "datum.value == 0 ? '0' : format(datum.value, '+d')"
    axis = alt.Axis(values=list(TICKS), labelExpr=signed, grid=True, orient="top")
    x = alt.X("points:Q", scale=scale, axis=axis, title=None)
    named, rows = axes.names(pieces, LETTERS), alt.Scale(domain=list(pieces))
    y = alt.Y("piece:N", sort=None, scale=rows, title=None, axis=named)
    colour = alt.Color(
        "run:N",
        scale=alt.Scale(domain=list(COLOURS), range=list(COLOURS.values())),
        legend=None,
    )
    band = (
        alt.Chart(alt.NamedData("chance"))
        .mark_rect(opacity=0.25, color="#828da3", description="chance")
        .encode(x=alt.X("low:Q", scale=scale), x2=alt.X2("high:Q"), tooltip=[alt.Tooltip("what:N")])
    )
    base = alt.Chart(alt.NamedData("gaps"))
    spread = base.mark_rule(strokeWidth=2, aria=False).encode(
        x=alt.X("low:Q", scale=scale), x2=alt.X2("high:Q"), y=y, color=colour
    )
    dots = base.mark_point(filled=True, size=90, opacity=1).encode(
        x=x, y=y, color=colour,
        tooltip=[alt.Tooltip("piece:N"), alt.Tooltip("context:N"),
                 alt.Tooltip("points:Q", format="+.1f"), alt.Tooltip("spread:Q", format=".1f")],
    )  # fmt: skip
    title = "The port's gain in accuracy, points"
    return frame.spec(alt.layer(band, spread, dots), title, 80 + ROW * len(pieces))


def gaps_tables(gaps: list[Gap], chance: Chance) -> Tables:
    """The tables of `gaps_spec`."""
    schema = pa.schema(
        [("piece", pa.string()), ("context", pa.string()), ("run", pa.string()),
         ("points", pa.float64()), ("spread", pa.float64()),
         ("low", pa.float64()), ("high", pa.float64())]
    )  # fmt: skip
    rows = [
        {**gap._asdict(), "low": gap.points - gap.spread, "high": gap.points + gap.spread}
        for gap in gaps
    ]
    bands = [
        {"low": -each, "high": each, "what": what}
        for each, what in ((chance.seeds, "another seed"), (chance.rounding, "rounding"))
    ]
    return {"gaps": pa.Table.from_pylist(rows, schema), "chance": pa.Table.from_pylist(bands)}
