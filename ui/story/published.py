"""Published figures, beside the same ones measured here."""

from collections.abc import Mapping, Sequence

import streamlit as st

from core.config import RunConfig
from core.study.reproduce.finding import Finding
from core.study.twins import differing_fields
from ui.charts.palette import BEFORE, PINS
from ui.pieces.bars import Bars, bars
from ui.pieces.draw import colour_key
from ui.pieces.predict import ends_sentence
from ui.pieces.widgets import setting_text

# Not the colour of any twin: a figure here may be of either.
COLOURS = {"published": BEFORE, "measured here": PINS[0]}


def settings(source_config: RunConfig, config: RunConfig) -> str:
    """The source's settings that this run does not share, such as "learning rate 0.01, seed 0"."""
    return ", ".join(
        setting_text(name, value)
        for name, (value, _) in differing_fields(source_config, config).items()
    )


def ends_beside_published(
    ends: Mapping[str, float], published: Sequence[float], elsewhere: str
) -> str:
    """Where runs end; and what was published, if it was at these settings."""
    if elsewhere:
        return ends_sentence(ends)
    printed = " and ".join(f"{value:.1%}" for value in published)
    return (
        f"{ends_sentence(ends)}. Published were {printed}; “Fact or chance?” says which one is "
        "chance"
    )


def beside_measured(findings: Sequence[Finding], title: str, elsewhere: str) -> None:
    """Draw findings, all of them shares, as bars under `title`.

    If the run's settings are not the source's, `elsewhere` tells those of the source, and the
    published figures are told below, because bars would compare what differs.
    """
    published, measured = COLOURS
    if elsewhere:
        st.markdown(f"**{title}, {measured}**")
        bars([Bars(f.quantity, {measured: f.measured}) for f in findings], COLOURS)
        figures = ", ".join(f"{f.quantity} {f.published:.1%}" for f in findings)
        st.caption(f"Published with {elsewhere}: {figures}.")
        return
    st.markdown(f"**{title}**")
    colour_key(COLOURS)
    rows = [Bars(f.quantity, {published: f.published, measured: f.measured}) for f in findings]
    bars(rows, COLOURS)
