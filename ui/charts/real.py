"""A real framework's losses over this run's, and how far they are from them."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from ui.charts import frame, live
from ui.charts.frame import Tables
from ui.charts.palette import BEFORE, MORE, TRAIN

OWN, NUDGED = "this run", "nudged copies, at most"
Curve = tuple[Sequence[int], Sequence[float]]  # steps, and a value at each
LEAST = 1e-10  # the foot of the axis of differences
TOPS = (1e-5, 1e-3, 1e-1, 1e1, 1e3)


def colours(name: str) -> dict[str, str]:
    """The colour of each curve; `name` is the framework's."""
    return {OWN: TRAIN, name: MORE, NUDGED: BEFORE}


@frame.built_once(live.SPECS)
def loss_spec(steps: int, top: float, name: str, unit: str) -> dict[str, Any]:
    """Return both losses by step; the framework's line is dashed, because it may hide the other."""
    y = live.loss_axis(top) if unit == live.NATS else live.error_axis(top)
    lines = frame.curves(y, steps, [OWN, name], [TRAIN, MORE], dashed=(name,))
    title = "Loss by step, log axis" if unit == live.NATS else "Loss by step"
    return frame.spec(alt.layer(lines, frame.gap_marks(steps)), title)


@frame.built_once(live.SPECS)
def difference_spec(steps: int, top: float, name: str) -> dict[str, Any]:
    """Return the relative difference of the losses by step, and that of nudged copies."""
    powers = frame.powers(round(math.log10(LEAST)), round(math.log10(top)))
    y = alt.Y(
        "value:Q",
        title="|difference| / loss",
        scale=alt.Scale(type="log", domain=[LEAST, top], clamp=True, nice=False),
        axis=alt.Axis(
            values=[10.0**power for power in powers],
            tickCount=len(powers),
            labelExpr=frame.power_labels(),
            labelOverlap="greedy",
        ),
    )
    lines = frame.curves(y, steps, [name, NUDGED], [MORE, BEFORE], ".2g")
    title = "Difference from this run, log axis"
    return frame.spec(alt.layer(lines, frame.gap_marks(steps)), title)


def top(differences: Sequence[float]) -> float:
    """Return where the axis of differences ends."""
    return frame.bracket([LEAST, *differences], TOPS)[1]


def tables(curves: Mapping[str, Curve], zero: bool = False) -> Tables:
    """Return curves by name; NaN, infinities and, if asked, zeros are marked at the foot."""
    marked = [frame.gaps(*curve, zero=zero) for curve in curves.values()]
    return {"run": frame.table(curves), "gaps": frame.join_gaps(marked)}
