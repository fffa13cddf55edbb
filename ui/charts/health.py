"""The health strip: which shares of each gradient are fine, 0, inf or NaN, over the steps."""

from collections.abc import Sequence
from typing import Any

import altair as alt
import numpy as np
import pyarrow as pa

from core.run.snapshot import Health, Snapshot
from ui.charts import frame
from ui.charts.live import SPECS, Drawing
from ui.charts.palette import BEFORE, BROKEN, DEAD, PINS, TRAIN

CELLS = 480  # the most that are drawn: with more than 2,000 marks a chart is no longer SVG
# In the order in which a row stacks them, from the bottom up.
HEALTH = {
    Health.FINE: ("fine", TRAIN),
    Health.ZERO: ("exactly 0", DEAD),
    Health.INF: ("inf", PINS[1]),
    Health.NAN: ("NaN", BROKEN),
}
SAMPLES = "images"
SCHEMA = pa.schema(
    [
        ("step", pa.float64()), ("next", pa.float64()), ("low", pa.float64()),
        ("high", pa.float64()), ("share", pa.float64()), ("what", pa.string()),
        ("of", pa.string()),
    ]
)  # fmt: skip


def health(
    run: Sequence[Snapshot], steps: int, parameters: Sequence[str], at: int | None
) -> Drawing:
    """Draw a row per parameter and one for the images: the shares of each Health at each snapshot.

    Args:
      parameters: their names, in the order of a Snapshot's `health`.
    """
    rows = (*parameters, SAMPLES)
    return Drawing(
        key="health",
        spec=_spec(rows, steps),
        tables={"cells": _cells(run, steps, rows), "cursor": frame.cursor(at)},
        alt="By step: the shares of each gradient that are fine, exactly 0, inf or NaN.",
        zoom=False,
    )


def is_sick(snapshot: Snapshot) -> bool:
    """True if a gradient has NaN or inf in it, or that of a parameter is 0 throughout."""
    nan_or_inf = snapshot.health[:, [Health.NAN, Health.INF]]
    return bool(nan_or_inf.any() or (snapshot.health[:, Health.ZERO] == 1).any())


def shares(run: Sequence[Snapshot]) -> np.ndarray:
    """Return float64 [looks, parameters + 1, len(Health)]; the images' own gradients come last."""
    parameters = np.array([s.health for s in run], np.float64)
    images = np.array([s.sample_health for s in run], np.float64)
    return np.concatenate([parameters, images[:, None]], axis=1)


def _cells(run: Sequence[Snapshot], steps: int, rows: Sequence[str]) -> pa.Table:
    """Return a row per snapshot, parameter and kind found; a snapshot reaches to the next one."""
    if not run:
        return SCHEMA.empty_table()
    known = shares(run)
    odd = known[..., [Health.NAN, Health.INF, Health.ZERO]].reshape(len(run), -1).T
    kept = frame.extremes(odd.sum(axis=0, keepdims=True), max(4, CELLS // (2 * len(rows))))
    at = np.array([run[i].step for i in kept], float)
    ends = np.append(at[1:], at[-1] + max(1.0, steps / 50))
    order = list(HEALTH)
    drawn = known[kept][..., order]
    high = drawn.cumsum(axis=-1)
    index, row, kind = np.nonzero(drawn)
    foot = len(rows) - 1 - row + 0.08  # the first parameter on top, and a thin gap between rows
    share = drawn[index, row, kind]
    top = foot + 0.84 * high[index, row, kind]
    names = np.array([HEALTH[each][0] for each in order])
    columns = [
        at[index], ends[index], top - 0.84 * share, top, share, names[kind], np.array(rows)[row],
    ]  # fmt: skip
    return pa.table([pa.array(column) for column in columns], schema=SCHEMA)


@frame.built_once(SPECS)
def _spec(rows: tuple[str, ...], steps: int) -> dict[str, Any]:
    names = [name for name, _ in HEALTH.values()]
    colours = alt.Scale(domain=names, range=[colour for _, colour in HEALTH.values()])
    labels = " : ".join(
        f"datum.value == {len(rows) - i - 0.5} ? '{name}'" for i, name in enumerate(rows)
    )
    y = alt.Y(
        "low:Q",
        title=None,
        scale=alt.Scale(domain=[0, len(rows)], nice=False),
        axis=alt.Axis(
            values=[i + 0.5 for i in range(len(rows))],
            labelExpr=f"{labels} : ''",
            labelOverlap=False,
            grid=False,
            ticks=False,
            domain=False,
        ),
    )
    x = frame.step_axis(steps)
    cells = (
        alt.Chart(alt.NamedData("cells"))
        .mark_rect(clip=True)
        .encode(
            x=x,
            x2=alt.X2("next:Q"),
            y=y,
            y2=alt.Y2("high:Q"),
            color=alt.Color("what:N", scale=colours, legend=alt.Legend(columns=4)),
            tooltip=[
                alt.Tooltip("of:N"),
                alt.Tooltip("what:N"),
                alt.Tooltip("share:Q", format=".1%"),
                alt.Tooltip("step:Q"),
            ],
        )
    )
    rule = alt.Chart(alt.NamedData("cursor")).mark_rule(strokeWidth=2, color=BEFORE).encode(x=x)
    title = "Health of the gradient by step"
    return frame.spec(alt.layer(cells, rule), title, 90 + 26 * len(rows))
