"""The layers of a convolutional network as cards: the kernel, and the output's size to scale."""

from html import escape

import streamlit as st

from core.config import RunConfig
from core.parts.models import MODELS
from core.study.convolutions import Stage, stages
from ui.story.twin import Twins

OPTIONS = (
    "A square of 5 × 5 pixels",
    "A strip 5 pixels high, as wide as the picture",
    "One column of 5 pixels",
)
PIXEL = 3  # screen pixels for a side of one pixel of the picture


def shapes(twins: Twins) -> None:
    """Draw the layers of each twin, from the picture to the logits."""
    for column, twin in zip(st.columns(len(twins), gap="medium"), twins, strict=True):
        layers = _stages(twin.config)
        axes = MODELS[twin.config.model].axes
        cards = [_card("the picture, as the network reads it", twin.colour, axes)]
        cards += [
            _card(f"layer {i}", twin.colour, stage.gives, stage)
            for i, stage in enumerate(layers, 1)
        ]
        with column:
            numbers = sum(stage.numbers for stage in layers)
            st.markdown(f"**{twin.label}**: {numbers:,} weights and biases")
            st.html(f'<ol class="shapes">{"".join(cards)}</ol>')


@st.cache_data(max_entries=16, show_spinner=False)
def _stages(config: RunConfig) -> list[Stage]:
    return stages(config)


def solution(config: RunConfig) -> tuple[str, str]:
    """Return the option that is right for the first layer, and the shapes that show it."""
    first = _stages(config)[0]
    height, *_ = MODELS[config.model].axes
    right = OPTIONS[0] if height > 1 else OPTIONS[1] if first.kernel[2] > 1 else OPTIONS[2]
    return right, f"The first kernel has the shape {first.kernel}, and its output {first.gives}"


def _card(name: str, colour: str, gives: tuple[int, ...], stage: Stage | None = None) -> str:
    height, width, depth = gives if len(gives) == 3 else (1, 1, gives[0])
    dimensions = f"{height} × {width}, {depth} deep" if len(gives) == 3 else f"{depth} logits"
    kernel = ""
    if stage is not None:
        sides = " × ".join(map(str, stage.kernel))
        kernel = f"<small>kernel {sides}; {stage.numbers:,} numbers</small>"
    style = f"width: {PIXEL * width}px; height: {PIXEL * height}px; background: {colour}"
    text = f"<b>{escape(name)}</b><span>{dimensions}</span>{kernel}"
    return f'<li><i style="{style}"></i><div>{text}</div></li>'
