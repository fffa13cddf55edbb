"""The size of a story's runs: the small sample, or the full data of the question."""

from dataclasses import replace

import streamlit as st

from core.config import RunConfig
from core.data import SOURCES
from ui.story.knobs import Knobs

SAMPLE = "sample"


def as_asked(config: RunConfig, asked: RunConfig) -> RunConfig:
    """The run itself on the sample; otherwise with the data and the epochs of `asked`."""
    if config.source == SAMPLE:
        return config
    return replace(config, source=asked.source, train_size=asked.train_size, epochs=asked.epochs)


def scale(story: Knobs, asked: RunConfig) -> None:
    """Draw the choice between the sample and the full data of the question."""
    key, choices = story.state.key("source"), [SAMPLE, asked.source]
    if story.state.value("source") not in choices:  # a link may name another data set
        st.session_state[key] = asked.source
    st.segmented_control(
        "images", choices, key=key, required=True, default=story.state.value("source"),
        format_func=lambda key: SOURCES[key].label,
        help="On the full data training takes some minutes. It goes on while this tab is open, and "
        "reloading the page does not interrupt it.",
    )  # fmt: skip
