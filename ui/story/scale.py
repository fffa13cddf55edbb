"""How large a story's runs are: on the sample in seconds, or as they were asked about."""

from dataclasses import replace

import streamlit as st

from core.config import RunConfig
from core.data import SOURCES
from ui.story.knobs import Knobs

SAMPLE = "sample"


def as_asked(config: RunConfig, asked: RunConfig) -> RunConfig:
    """The run on all images of its source; on the full data for as many epochs as was asked."""
    if config.source == SAMPLE:
        return config
    return replace(config, source=asked.source, train_size=asked.train_size, epochs=asked.epochs)


def scale(story: Knobs, asked: RunConfig) -> None:
    """Choose between the sample and the data of the question."""
    key, choices = story.state.key("source"), [SAMPLE, asked.source]
    if story.state.value("source") not in choices:  # a link may name another full set
        st.session_state[key] = asked.source
    st.segmented_control(
        "images", choices, key=key, required=True, default=story.state.value("source"),
        format_func=lambda key: SOURCES[key].label,
        help="The full data trains for some minutes, behind the page: it goes on while this tab is "
        "open, and a reload finds it where it is.",
    )  # fmt: skip
