"""A digit beside a filter's map of it, and the window behind one pixel of the map."""

from typing import Any, NamedTuple

import altair as alt
import numpy as np
import pyarrow as pa

from ui.charts import frame
from ui.charts.live import Drawing
from ui.charts.palette import BEFORE, PINS

SIDE = 28  # pixels of a digit, each way
UNIT = 8  # screen pixels per side of a digit's pixel; fewer where there is no room
MAP = SIDE + 4  # where the map begins: a window reaches up to two pixels past the digit
EDGE = 0.25  # room around both, for the frames
COLOURS = ("#cdd4e2", "#126a8e")  # of 0, and of the filter's largest value
FRAMES = {"digit": BEFORE, "window": PINS[2]}
PIXEL = "pixel"  # the name of the click's selection; FIELDS is what it returns
FIELDS = ("row", "column", "turn")


class Pixel(NamedTuple):
    """A pixel of a map, and the window on the digit that it is computed from."""

    row: int
    column: int
    rows: range
    columns: range
    turn: int  # a new value lets the pixel that was clicked last be clicked again


def windows(key: str, digit: np.ndarray, filtered: np.ndarray, pixel: Pixel, label: str) -> Drawing:
    """Draw a digit, uint8 [28, 28], and its map, float [rows, columns], with frames.

    Frames mark the chosen pixel of the map and its window on the digit; `label` says whose map
    it is.
    """
    return Drawing(
        key=key,
        spec=_spec(),
        tables={
            "digit": _digit(digit),
            "map": _map(filtered, pixel.turn),
            "frames": _frames(SIDE // len(filtered), pixel),
        },
        alt=f"A digit and a filter's map of it, {label}: choose a pixel with the sliders, or with "
        "a click on the map.",
        zoom=False,
    )


def _boxes(left: Any, top: Any, wide: Any, high: Any) -> dict[str, np.ndarray]:
    """Return the columns of rectangles, in pixels of the digit."""
    return {"left": left, "right": left + wide, "top": top, "bottom": top + high}


def _digit(digit: np.ndarray) -> pa.Table:
    """Return the paper, then each pixel with ink."""
    rows, columns = np.nonzero(digit)
    sizes = np.array([SIDE] + [1] * len(rows))
    left, top = (np.concatenate([[0], places]) for places in (columns, rows))
    ink = np.concatenate([[0], digit[rows, columns]])
    return pa.table({**_boxes(left, top, sizes, sizes), "ink": ink})


def _map(filtered: np.ndarray, turn: int) -> pa.Table:
    """Return a row per pixel of the map; rows and columns count from 1."""
    rows, columns = (places.ravel() for places in np.indices(filtered.shape))
    size = SIDE // len(filtered)
    value = filtered.ravel().astype(float)
    strength = value / max(float(np.nanmax(value, initial=0.0)), 1e-9)
    return pa.table(
        {
            **_boxes(MAP + size * columns, size * rows, size, size),
            "row": rows + 1,
            "column": columns + 1,
            "value": value,
            "strength": strength,
            "turn": np.full(len(value), turn),
        }
    )


def _frames(size: int, pixel: Pixel) -> pa.Table:
    """Return frames around the digit, around the window on it, and around the pixel of the map."""
    left = np.array([0, pixel.columns.start, MAP + size * pixel.column])
    top = np.array([0, pixel.rows.start, size * pixel.row])
    wide = np.array([SIDE, len(pixel.columns), size])
    high = np.array([SIDE, len(pixel.rows), size])
    return pa.table({**_boxes(left, top, wide, high), "around": ["digit", "window", "window"]})


@frame.built_once()
def _spec() -> dict[str, Any]:
    across, down = [-EDGE - 1, MAP + SIDE + EDGE], [-EDGE - 1, SIDE + 2 + EDGE]
    x = alt.X("left:Q", axis=None, scale=alt.Scale(domain=across, nice=False))
    y = alt.Y("top:Q", axis=None, scale=alt.Scale(domain=down, nice=False, reverse=True))

    def boxes(name: str, **style: Any) -> alt.Chart:
        data = alt.Chart(alt.NamedData(name)).mark_rect(**style)
        return data.encode(x=x, x2=alt.X2("right:Q"), y=y, y2=alt.Y2("bottom:Q"))

    def shaded(field: str, most: float, ends: tuple[str, str]) -> alt.Color:
        scale = alt.Scale(domain=[0, most], range=list(ends))
        return alt.Color(f"{field}:Q", scale=scale, legend=None)

    clicked = alt.selection_point(name=PIXEL, fields=list(FIELDS), on="click", toggle=False)
    digit = boxes("digit", stroke=None).encode(color=shaded("ink", 255, ("#ffffff", "#000000")))
    pixels = boxes("map", stroke=None, cursor="pointer").encode(
        color=shaded("strength", 1, COLOURS),
        tooltip=[
            alt.Tooltip("row:Q"),
            alt.Tooltip("column:Q"),
            alt.Tooltip("value:Q", format=".3~g"),
        ],
    )
    strokes = alt.Scale(domain=list(FRAMES), range=list(FRAMES.values()))
    thin = alt.when(alt.datum.around == "digit").then(alt.value(1))
    frames = boxes("frames", filled=False).encode(
        stroke=alt.Stroke("around:N", scale=strokes, legend=None),
        strokeWidth=thin.otherwise(alt.value(3)),
    )
    chart = alt.layer(digit, pixels.properties(name="map").add_params(clicked), frames)
    width, height = (UNIT * (high - low) for low, high in (across, down))
    chart = chart.resolve_scale(color="independent").configure_view(stroke=None)
    bare = {"autosize": "pad", "padding": dict.fromkeys(("left", "right", "top", "bottom"), 0)}
    return {**frame.spec(chart), "width": width, "height": height, **bare}
