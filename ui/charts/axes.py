"""Axes that several charts share."""

import json
from collections.abc import Sequence
from textwrap import wrap
from typing import Any

import altair as alt

# An axis without words, because the chart below has the same with them; a figure gives it its own.
BARE: dict[str, Any] = {"title": None, "labels": False, "ticks": False}
LINE = 13  # pixels, the height of a line of a name


def names(labels: Sequence[str], letters: int = 18) -> alt.Axis:
    """Return an axis of names, in lines of so many letters: a phone's chart is 300 pixels wide."""
    lines = json.dumps({label: wrap(label, letters) for label in labels})
    own = f"{lines}[datum.label]"
    middle = alt.expr(f"-{LINE / 2} * (length({own}) - 1)")  # Vega centres only the first line
    return alt.Axis(
        labelExpr=own,
        labelOffset=middle,
        labelLineHeight=LINE,
        labelLimit=140,
        labelFlush=False,
        ticks=False,
        domain=False,
    )
