"""What each reading of a dropout number, kept or dropped, leaves of a digit and of a layer."""

import math
from collections.abc import Sequence
from dataclasses import replace
from html import escape
from typing import NamedTuple

import numpy as np
import streamlit as st

from core.config import RunConfig
from core.data import load
from core.fields import number
from core.parts.dropout import DROPOUTS
from core.parts.dropout_names import DROPOUT_NAMES
from core.run.prepare import device_data
from core.study import masks
from ui.charts import readings as charts
from ui.pieces.draw import chart, code, colour_key, text_table
from ui.pieces.pictures import data_url, picture_url
from ui.story.onward import as_trained

SHOWN = 10  # digits to choose from
FORMS = tuple(key for key in DROPOUTS if key != "off")
UNIT = {"kept": (31, 87, 187), "kept, 0 after ReLU": (205, 212, 226), "dropped": (240, 168, 173)}


class Layer(NamedTuple):
    """A hidden layer's units for one image, and the factors of dropout: [width] each."""

    image: int  # its place among the training images
    units: np.ndarray
    multipliers: np.ndarray


def look_inside(config: RunConfig) -> None:
    """Draw what each reading of the number leaves of the chosen digit and hidden layer."""
    left, right = st.columns(2, gap="medium")
    image = left.select_slider(
        "digit of the first batch",
        range(SHOWN),
        key="inside_image",
        format_func=lambda i: str(i + 1),
    )
    layer = right.segmented_control(
        "hidden layer",
        range(len(config.widths)),
        default=0,
        key="inside_layer",
        required=True,
        format_func=lambda i: str(i + 1),
    )
    colour_key({name: f"rgb{colour}" for name, colour in UNIT.items()})
    layers = {form: _layer(replace(config, dropout=form), image, layer) for form in FORMS}
    brightest = max(float((shown.units * shown.multipliers).max()) for shown in layers.values())
    cards = [_card(form, config, shown, brightest) for form, shown in layers.items()]
    st.html(f'<ul class="readings">{"".join(cards)}</ul>')
    st.caption(
        "The squares are the layer's units in the first step of the run's training, with its own "
        "random numbers. The digit shows what the same dropping would do to pixels; the network "
        "drops no pixels."
    )


def solution(config: RunConfig, options: Sequence[str]) -> tuple[str, str]:
    """Return the right option, and how many units the number leaves when kept and when dropped.

    The options say that most units are left in both, in the first only, and in neither.
    """
    kept, dropped = (survivors(replace(config, dropout=form)) for form in ("keep_prob", "rate"))
    most = config.widths[0] / 2
    right = 0 if dropped > most else 1 if kept > most else 2
    p = config.dropout_value
    usual = math.sqrt(config.widths[0] * p * (1 - p))
    return options[right], (
        f"The first step leaves {kept} in TensorFlow and {dropped} in Keras; chance moves such a "
        f"count by about {usual:.0f}"
    )


def survivors(config: RunConfig) -> int:
    """The number of first-layer units that the first step keeps for its first image."""
    return int(np.count_nonzero(_layer(config, 0, 0).multipliers))


def _layer(config: RunConfig, image: int, layer: int) -> Layer:
    """A layer in the first training step, for one image of its batch."""
    step = _first_step(config)
    activations = step.layers[layer]
    place = int(step.places[image])
    return Layer(
        place, np.asarray(activations.units)[image], np.asarray(activations.multipliers)[image]
    )


@st.cache_data(max_entries=64, show_spinner="looking into the first training step")
def _first_step(config: RunConfig) -> masks.ForwardPass:
    """The forward pass of the first training step."""
    forward_pass = next(masks.passes(config, device_data(config), [0]))
    assert forward_pass is not None  # because step 0 was asked for
    return forward_pass


def _card(form: str, config: RunConfig, layer: Layer, brightest: float) -> str:
    row, value = DROPOUTS[form], config.dropout_value
    call_texts = [name.call.format(value) for name in DROPOUT_NAMES.values() if name.means == form]
    kept = layer.multipliers != 0
    by = float(layer.multipliers.max()) if kept.any() else 0.0
    at_test = float(row.means(np.float32(value)).factor)
    sentence = (
        f"{int(kept.sum())} of {kept.size} units survive this step, each × {_factor(by)}; "
        f"at test time all of them, each × {_factor(at_test)}."
    )
    digit = data_url(_digit(config, form, layer.image))
    units = picture_url(_squares(layer, brightest))
    # A long call may go on in another line after a dot or a bracket, and nowhere else.
    calls = (escape(call).replace(".", ".<wbr>").replace("(", "(<wbr>") for call in call_texts)
    written = "".join(f"<li><code>{call}</code></li>" for call in calls)
    return (
        f"<li><b>{escape(row.label)}</b><p>{escape(row.summary)}</p>"
        f'<div class="pair">'
        f'<img src="{digit}" alt="a digit with pixels dropped">'
        f'<img src="{units}" alt="the units of the layer"></div>'
        f"<p>{sentence}</p><ul>{written}</ul></li>"
    )


def _factor(by: float) -> str:
    """A factor, and what it is the inverse of where it is above 1: 1.43 gives 1.43 = 1/0.7."""
    return f"{number(by, 3)} = 1/{number(1 / by, 3)}" if by > 1 else number(by, 3)


def _digit(config: RunConfig, form: str, image: int) -> np.ndarray:
    """A training image with its pixels dropped as the reading says: uint8 [784]."""
    pixels = load(config.source, config.train_size).train_images[image]
    left = masks.dropped_pixels(pixels, form, config.dropout_value)
    return np.clip(left, 0, 255).astype(np.uint8)


def _squares(layer: Layer, brightest: float) -> np.ndarray:
    """A picture of the units, each a square of eight by eight pixels: uint8 [h, w, 3]."""
    side = int(np.ceil(np.sqrt(len(layer.units))))
    after = layer.units * layer.multipliers
    strength = np.clip(after / max(brightest, 1e-9), 0, 1)[:, None]
    strong, idle, dropped = (np.array(colour) for colour in UNIT.values())
    colours = np.where(after[:, None] > 0, idle + (strong - idle) * (0.35 + 0.65 * strength), idle)
    colours = np.where(layer.multipliers[:, None] == 0, dropped, colours)
    cells = np.full((side * side, 3), 255.0)
    cells[: len(colours)] = colours
    return cells.reshape(side, side, 3).repeat(8, axis=0).repeat(8, axis=1).astype(np.uint8)


def crossing(dropout_value: float) -> None:
    """Draw the share of units that each reading keeps, against the number that a user writes."""
    colour_key(charts.READINGS)
    alt = (
        f"Units kept: {dropout_value:.0%} if the number is kept, {1 - dropout_value:.0%} if it is "
        "dropped."
    )
    chart("readings", charts.spec(), charts.tables(dropout_value), alt)


def frameworks() -> None:
    """Draw a table of every framework's dropout and how it reads the number."""
    columns: dict[str, list[str]] = {"written": [], "reading": [], "meaning": [], "source": []}
    for name in DROPOUT_NAMES.values():
        columns["written"].append(name.label)
        columns["reading"].append(DROPOUTS[name.means].label)
        columns["meaning"].append(name.summary)
        columns["source"].append(name.reference)
    text_table(columns, "Every framework's dropout")


def port(start: RunConfig) -> None:
    """Show what is left when `rate` of stax is taken for the share to drop."""
    config = replace(start, dropout="keep_prob", dropout_value=0.1)
    left = survivors(config)
    code("x = stax.Dropout(0.1)   # looks like: drop a tenth")
    st.markdown(
        f"`jax.example_libraries.stax.Dropout(rate)` keeps the share `rate`: with 0.1 the first "
        f"step leaves **{left} of {config.widths[0]}** units."
    )
    as_trained(config, "Train the story's network with a tenth of its units")
