"""Accuracy by how many images are evaluated together, and in what order."""

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import pyarrow as pa

from ui.charts import frame
from ui.charts.frame import Tables
from ui.charts.palette import PINS

ORDERS = {"mixed": PINS[0], "sorted by class": PINS[2]}
HEIGHT = 240


@frame.built_once()
def spec(sizes: tuple[int, ...]) -> dict[str, Any]:
    """Return a line per order over the sizes, evenly spaced; the page names the colours."""
    x = alt.X(
        "size:O",
        title="images evaluated together",
        sort=list(sizes),
        scale=alt.Scale(domain=list(sizes)),
        axis=alt.Axis(labelAngle=0, format=",d", grid=False),
    )
    y = alt.Y(
        "accuracy:Q",
        title="test images right",
        scale=alt.Scale(domain=[0, 1], nice=False),
        axis=alt.Axis(format="%", values=[0, 0.25, 0.5, 0.75, 1]),
    )
    scale = alt.Scale(domain=list(ORDERS), range=list(ORDERS.values()))
    lines = (
        alt.Chart(alt.NamedData("batches"))
        .mark_line(strokeWidth=2.5, point={"size": 60, "filled": True})
        .encode(
            x=x,
            y=y,
            color=alt.Color("order:N", scale=scale, legend=None),
            tooltip=[
                alt.Tooltip("order:N"),
                alt.Tooltip("size:Q"),
                alt.Tooltip("accuracy:Q", format=frame.SHARE),
            ],
        )
    )
    return {**frame.spec(lines), "height": HEIGHT}


def tables(accuracies: Mapping[str, Mapping[int, float]]) -> Tables:
    """Turn order -> size -> accuracy into rows of size, accuracy and order."""
    rows: Sequence[tuple[int, float, str]] = [
        (size, accuracy, order)
        for order, by_size in accuracies.items()
        for size, accuracy in by_size.items()
    ]
    size, accuracy, order = zip(*rows, strict=True) if rows else ((), (), ())
    return {
        "batches": pa.table(
            {
                "size": pa.array(size, pa.int64()),
                "accuracy": pa.array(frame.finite(accuracy), pa.float64()),
                "order": pa.array(order, pa.string()),
            }
        )
    }
