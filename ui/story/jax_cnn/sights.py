"""The first layer of each twin: its filters, and the maps that they make of a digit."""

import math
from functools import partial
from html import escape

import numpy as np
import streamlit as st

from core.data import load
from core.study.convolutions import FirstLayer
from ui.charts.palette import PINS
from ui.pieces.bars import Bars, bars
from ui.pieces.draw import colour_key
from ui.pieces.pictures import data_url, picture_url
from ui.pieces.waiting import draw_until
from ui.story.jax_cnn import after
from ui.story.twin import Twin, Twins

SHOWN = 10  # digits to choose from
WIDE = 2  # a sheet of pictures is about this many times as wide as high
COLOURS = {"negative": (125, 88, 56), "0": (205, 212, 226), "positive": (18, 106, 142)}
MOVED = "entries of the first kernel that training has moved"
SHUFFLE = np.random.default_rng(0).permutation(28)


def sights(twins: Twins) -> int:
    """Draw the filters, and the map that each makes of a digit that the visitor chooses.

    Returns the digit's place among the training images.
    """
    image = st.select_slider(
        "digit", range(SHOWN), key="sights_image", format_func=lambda i: str(i + 1)
    )
    colour_key({name: f"rgb{colour}" for name, colour in COLOURS.items()})
    draw_until(partial(_drawn, twins), lambda _: _sights(twins, image))
    st.caption(f"After training on {twins[0].config.train_size:,} images.")
    return image


def _drawn(twins: Twins) -> bool:
    """True if there is nothing to wait for: every first layer is there, or a training failed."""
    # Look at all of them first: an errand stops if nobody looks at it.
    layers = [after.first_layer(twin.config) for twin in twins]
    return all(layers) or bool(after.failure(twins))


def _sights(twins: Twins, image: int) -> None:
    layers = [after.first_layer(twin.config) for twin in twins]
    if failed := after.failure(twins):
        st.error(failed, icon=":material/error:")
    for column, twin, layer in zip(
        st.columns(len(twins), gap="medium"), twins, layers, strict=True
    ):
        with column:
            st.markdown(f"**{twin.label}**")
            if layer is None:
                st.caption("Training again, to look into the network. Other runs go first.")
            else:
                _one(twin, layer, image)


def _one(twin: Twin, layer: FirstLayer, image: int) -> None:
    digit = load(twin.config.source).train_images[image]
    filters = _kernel(layer.kernel, layer.maps.shape[1])
    tiles = upright(layer.maps[image])
    high, wide = filters.shape[1:]
    shown = [
        (data_url(digit), "the digit"),
        (
            picture_url(_sheet(filters, float(np.abs(layer.kernel).max()))),
            f"its 32 filters, where they meet the picture: {high} high, {wide} wide",
        ),
        (
            picture_url(_sheet(tiles, float(tiles.max()))),
            f"what each makes of the digit: {tiles.shape[1]} high, {tiles.shape[2]} wide",
        ),
    ]
    st.html(f'<div class="sights">{"".join(_figure(*each) for each in shown)}</div>')


def _figure(url: str, caption: str) -> str:
    return f'<figure><img src="{url}" alt=""><figcaption>{escape(caption)}</figcaption></figure>'


def _kernel(kernel: np.ndarray, height: int) -> np.ndarray:
    """The part of each filter that meets the picture, turned as the digit is: [filters, h, w].

    If the picture is one pixel high, only the middle row of a kernel meets it. Then the digit's
    rows lie along that row, and the digit's columns are the channels.
    """
    if height > 1:
        return kernel[:, :, 0].transpose(2, 0, 1)
    return kernel[kernel.shape[0] // 2].transpose(2, 0, 1)


def upright(maps: np.ndarray) -> np.ndarray:
    """Turn maps as the digit is, so that one line of pixels is a column.

    [height, width, filters] -> [filters, rows, columns]
    """
    height, *_ = maps.shape
    return maps.transpose(2, 0, 1) if height > 1 else maps.transpose(2, 1, 0)


def _sheet(tiles: np.ndarray, largest: float) -> np.ndarray:
    """Put pictures [n, h, w] on one sheet, a clear pixel between them: uint8 [H, W, 4]."""
    n, high, wide = tiles.shape
    negative, nothing, positive = (np.array(colour, float) for colour in COLOURS.values())
    strength = np.clip(tiles / max(largest, 1e-9), -1, 1)[..., None]
    ends = np.where(strength > 0, positive, negative)
    framed = np.zeros((n, high + 1, wide + 1, 4), np.uint8)
    framed[:, :high, :wide, :3] = nothing + (ends - nothing) * np.abs(strength)
    framed[:, :high, :wide, 3] = 255
    across = _across(n, (wide + 1) / (high + 1))
    lines = framed.reshape(n // across, across, high + 1, wide + 1, 4)
    return lines.transpose(0, 2, 1, 3, 4).reshape(-1, across * (wide + 1), 4)[:-1, :-1]


def _across(n: int, ratio: float) -> int:
    """The number of pictures in a line, of n in all; `ratio` is a picture's width/height."""
    fitting = [across for across in range(1, n + 1) if n % across == 0]
    return min(fitting, key=lambda across: abs(math.log(across**2 * ratio / (n * WIDE))))


def channels(twins: Twins) -> None:
    """Tell why most of a kernel is unused and columns have no order, if columns are channels."""
    st.markdown(
        "`stax.Conv` takes a picture as (height, width, channels). Given (1, 28, 28) it finds one "
        "line of 28 pixels in 28 channels: the pixels of the line are the digit's rows, and the "
        "channels are its columns. So a filter slides only from row to row, and has separate "
        "weights for every column. Four of the kernel's five rows meet nothing but padding, so "
        "their gradient is always exactly zero."
    )
    draw_until(partial(_drawn, twins), lambda _: _moved(twins))
    st.markdown(
        "Channels have no order. Shuffle the columns of all digits in one way, and the channels of "
        "the first kernel in the same way, and this network computes the same as before:"
    )
    digit = load("sample").train_images[0]
    other = digit.reshape(28, 28)[:, SHUFFLE].reshape(-1)
    st.html(
        f'<div class="sights small">{_figure(data_url(digit), "a digit")}'
        f"{_figure(data_url(other), 'its columns in another order')}</div>"
    )


def _moved(twins: Twins) -> None:
    layers = {twin.label: after.first_layer(twin.config) for twin in twins}
    colour_key({MOVED: PINS[0]})
    bars(
        [Bars(name, {MOVED: layer and layer.moved}) for name, layer in layers.items()],
        {MOVED: PINS[0]},
    )
