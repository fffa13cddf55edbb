"""The share of test images that are wrong, by epoch, on a log axis."""

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import numpy as np
import pyarrow as pa

from ui.charts import frame
from ui.charts.frame import Tables
from ui.charts.twins import Names

LOW, HIGH = 0.005, 1.0  # the axis goes from half a percent to 100%


@frame.built_once()
def spec(labels: Names, colours: Names, epochs: int) -> dict[str, Any]:
    """Return a line per series with a point per epoch; the page names the colours."""
    x = alt.X(
        "epoch:Q",
        title="epoch",
        scale=alt.Scale(domain=[0.7, epochs + 0.3], nice=False),
        axis=alt.Axis(tickMinStep=1, tickCount=epochs, format="d", grid=False),
    )
    y = alt.Y(
        "wrong:Q",
        title="wrong",
        scale=alt.Scale(type="log", domain=[LOW, HIGH], clamp=True, nice=False),
        axis=alt.Axis(format=".2~%", values=[0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1]),
    )
    colour = alt.Color(
        "series:N", scale=alt.Scale(domain=list(labels), range=list(colours)), legend=None
    )
    tips: list[Any] = ["series:N", "epoch:Q", alt.Tooltip("wrong:Q", format=".2%")]
    lines = (
        alt.Chart(alt.NamedData("errors"))
        .mark_line(strokeWidth=2.5, clip=True, point={"size": 50, "filled": True})
        .encode(x=x, y=y, color=colour, tooltip=tips)
    )
    return frame.spec(lines)


def tables(accuracies: Mapping[str, tuple[Sequence[int], Sequence[float]]]) -> Tables:
    """Turn series -> (epochs, accuracies) into rows of epoch, share wrong, series; NaN is a gap."""
    epoch = np.concatenate([np.asarray(epochs, np.int64) for epochs, _ in accuracies.values()])
    wrong = 1 - np.concatenate([np.asarray(right, float) for _, right in accuracies.values()])
    names = np.repeat(list(accuracies), [len(epochs) for epochs, _ in accuracies.values()])
    return {
        "errors": pa.table(
            {
                "epoch": epoch,
                "wrong": pa.array(wrong, mask=~np.isfinite(wrong)),
                "series": pa.array(names, pa.string()),
            }
        )
    }
