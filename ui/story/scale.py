"""The size of a story's runs: the small sample, or the full data of the question."""

from dataclasses import replace

import streamlit as st

from core.config import RunConfig
from core.data import SOURCES
from ui.story.knobs import Knobs

SAMPLE = "sample"


def at_full_size(config: RunConfig, full: RunConfig) -> RunConfig:
    """The same run if its data is the sample, else with the data and the epochs of `full`."""
    if config.source == SAMPLE:
        return config
    return replace(config, source=full.source, train_size=full.train_size, epochs=full.epochs)


def scale(story: Knobs, full: RunConfig) -> None:
    """Draw the choice between the sample and the full data of the question."""
    key, choices = story.state.key("source"), [SAMPLE, full.source]
    if story.state.value("source") not in choices:  # a link may name another data set
        st.session_state[key] = full.source
    st.segmented_control(
        "images",
        choices,
        key=key,
        required=True,
        default=story.state.value("source"),
        format_func=lambda key: SOURCES[key].label,
        help="On the full data training takes some minutes. It goes on while this tab is open, and "
        "reloading the page does not interrupt it.",
    )
