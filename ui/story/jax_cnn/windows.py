"""The pixels of a digit that one pixel of a map depends on, in each twin's network."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import streamlit as st

from core.data import load
from core.parts.models import MODELS
from core.study.convolutions import FirstLayer, Window, window
from ui.charts import windows as charts
from ui.pieces.draw import chart
from ui.state import bound, key_of, put
from ui.story.jax_cnn import after
from ui.story.jax_cnn.sights import upright
from ui.story.twin import Twin, Twins

TURN = "windows_turn"  # how many times a pixel was clicked


def windows(twins: Twins, image: int) -> None:
    """Draw, in every network, the window of a pixel that the visitor chooses on a filter's map.

    Nothing is drawn until all networks are trained. `image` is the digit's place among the
    training images.
    """
    layers = [layer for twin in twins if (layer := after.first_layer(twin.config))]
    if len(layers) == len(twins):
        st.markdown("**What does one pixel of a map look at?** Click one, or move the sliders.")
        st.fragment(_windows)(twins, layers, image)


def _windows(twins: Twins, layers: Sequence[FirstLayer], image: int) -> None:
    maps = [upright(layer.maps[image]) for layer in layers]
    filters, rows, _ = maps[0].shape
    sizes = {"filter": filters, "row": rows, "column": max(each.shape[2] for each in maps)}
    with st.container(key="windows"):
        names = zip(st.columns(len(sizes)), sizes.items(), strict=True)
        which, row, column = (_slider(place, *each) for place, each in names)
    places = zip(st.columns(len(twins), gap="medium"), twins, layers, maps, strict=True)
    for place, twin, layer, tiles in places:
        with place:
            _one(twin, layer, image, tiles[which], row, min(column, tiles.shape[2] - 1))
    st.caption(
        "The window is that of the convolution alone. The map is drawn after BatchNorm, which uses "
        "the whole batch."
    )


def _slider(place: Any, name: str, most: int) -> int:
    """Draw a slider from 1 to `most`, and return what it says counted from 0."""
    key = f"windows_{name}"
    now = st.session_state.get(key_of(key), 1 if name == "filter" else most // 2)
    return place.slider(name, 1, most, now, **bound(key)) - 1


def _one(
    twin: Twin, layer: FirstLayer, image: int, filtered: np.ndarray, row: int, column: int
) -> None:
    digit = load(twin.config.source).train_images[image].reshape(28, 28)
    pixel_window = window(MODELS[twin.config.model].axes, layer.kernel.shape, row, column)
    pixel = charts.Pixel(row, column, *pixel_window, st.session_state.get(TURN, 0))
    drawing = charts.windows(f"windows_{twin.label}", digit, filtered, pixel, twin.label)
    st.markdown(f"**{twin.label}**")
    chart(
        drawing.key,
        drawing.spec,
        drawing.tables,
        drawing.alt,
        partial(_click, drawing.key, filtered.shape[1]),
        width="content",
    )
    st.markdown(sentence(pixel_window))


def _click(key: str, columns: int) -> None:
    """Move the sliders to the clicked pixel; the column stays if the map has only one."""
    pixels = st.session_state[key].selection.get(charts.PIXEL)
    if not pixels:  # the click was beside the map
        return
    put("windows_row", int(pixels[0]["row"]))
    if columns > 1:
        put("windows_column", int(pixels[0]["column"]))
    st.session_state[TURN] = st.session_state.get(TURN, 0) + 1


def sentence(window: Window) -> str:
    """The sentence that tells which pixels of the digit a window holds."""
    rows, columns = ([at for at in side if 0 <= at < charts.SIDE] for side in window)
    across = f"columns {columns[0] + 1} to {columns[-1] + 1}"
    if len(columns) == charts.SIDE:
        across = f"all {charts.SIDE} columns at once"
    text = (
        f"This pixel looks at rows {rows[0] + 1} to {rows[-1] + 1} and {across}: "
        f"{len(rows) * len(columns)} pixels."
    )
    if len(rows) * len(columns) < len(window.rows) * len(window.columns):
        text += " The rest of its window is padding: zeros."
    return text
