"""How large a story's runs are: on the sample in seconds, or as they were asked about."""

from dataclasses import replace

import streamlit as st

from core.config import RunConfig
from core.data import SOURCES
from core.presets import PRESETS
from ui.story.knobs import Knobs

SAMPLE, FULL = "sample", "full_55000"
ASKED = RunConfig(**PRESETS["keep_or_drop_full"].overrides)


def as_asked(config: RunConfig) -> RunConfig:
    """The run on all images of its source; on the full data for as many epochs as was asked."""
    if config.source == SAMPLE:
        return config
    return replace(config, source=FULL, train_size=ASKED.train_size, epochs=ASKED.epochs)


def scale(story: Knobs) -> None:
    """Choose between the sample and the data of the question."""
    st.segmented_control(
        "images", [SAMPLE, FULL], key=story.state.key("source"), required=True,
        default=story.state.value("source"), format_func=lambda key: SOURCES[key].label,
        help="The full data trains for some minutes, behind the page: it goes on while this tab is "
        "open, and a reload finds it where it is.",
    )  # fmt: skip
