"""One batch's gradient under several losses, parameter by parameter, before training."""

from collections.abc import Mapping

import streamlit as st

from core.config import RunConfig
from core.data import load
from core.fields import number
from core.run.diagnosis import percent
from core.study import lasagne
from core.study.lasagne import Gradients
from ui.charts.health import HEALTH
from ui.pieces.bars import Stack, stacks
from ui.pieces.draw import colour_key
from ui.pieces.glossary import explained
from ui.story.chapters import chapter
from ui.story.twin import Twins

COLOURS = dict(HEALTH.values())


def gradients(twins: Twins) -> None:
    """Draw how many entries of each parameter's gradient are NaN, infinite or 0, and its norm."""
    batch = st.segmented_control(
        "batch of 512, at the initial weights",
        range(lasagne.BATCHES),
        default=0,
        key="gradients_batch",
        required=True,
        format_func=lambda i: ("first", "second")[i],
    )
    st.markdown(
        "**The entries of each parameter's gradient, and its norm**",
        help=explained("gradient", "gradient norm", "NaN"),
    )
    colour_key(COLOURS)
    for column, twin in zip(st.columns(len(twins), gap="medium"), twins, strict=True):
        measured = initial_gradients(twin.config, batch)
        with column:
            st.markdown(f"**{twin.label}**: loss {measured.loss:.1f}")
            rows = [Stack(p.name, _parts(p), number(p.norm, 3)) for p in measured.parameters]
            stacks(rows, COLOURS)


def _parts(parameter: lasagne.Parameter) -> Mapping[str, float]:
    return dict(
        zip(COLOURS, (parameter.fine, parameter.zero, parameter.inf, parameter.nan), strict=True)
    )


@st.cache_data(max_entries=64, show_spinner="taking the gradients of the first batch")
def initial_gradients(config: RunConfig, batch: int = 0) -> Gradients:
    """The gradient of a run's loss at its initial weights, on one of its first two batches."""
    return lasagne.gradients(config, load(config.source, config.train_size), batch)


def solution(config: RunConfig, options: tuple[str, str, str]) -> tuple[str, str]:
    """Return the right option (numbers, zeros or NaN) and what was measured."""
    measured = initial_gradients(config)
    right = options[2] if measured.nan > 0.5 else options[1] if measured.zero == 1 else options[0]
    what = f"The loss is {measured.loss:.1f}, and {percent(measured.nan)} of its gradient is NaN"
    return right, what


def trade(clip: RunConfig, other: RunConfig) -> None:
    """Draw the chapter of the cause: what the clip gains and loses at the visitor's knobs."""
    clipped, plain = initial_gradients(clip), initial_gradients(other)
    traded = plain.nan > 0 and clipped.silent > 0
    chapter("cause", "NaN has become zero" if traded else "Here the clip trades no NaN for silence")
    text = (
        f"On the first batch {percent(clipped.unlikely)} of the images give their true digit a "
        f"probability below {number(lasagne.CONFIG.epsilon)}. Without a clip {percent(plain.nan)} "
        f"of the gradient is NaN. With it {percent(clipped.nan)} is NaN, and "
        f"{percent(clipped.silent)} of the images are wrong with a gradient of exactly 0."
    )
    if traded:
        text += " What could not be computed is now a gradient of exactly zero."
    st.markdown(text, help=explained("clipped", "silent"))
