"""Figures as they were published, beside the same ones measured here at the same settings."""

from collections.abc import Sequence

import streamlit as st

from core.config import RunConfig
from core.study.reproduce.finding import Finding
from core.study.twins import apart
from ui.bars import Bars, bars
from ui.charts.palette import BEFORE, TRAIN
from ui.draw import colour_key
from ui.widgets import named

COLOURS = {"published": BEFORE, "measured here": TRAIN}


def settings(asked: RunConfig, config: RunConfig) -> str:
    """The source's settings where this run has others, as in: learning rate 0.01, seed 0."""
    return ", ".join(named(name, value) for name, (value, _) in apart(asked, config).items())


def beside_measured(findings: Sequence[Finding], title: str, elsewhere: str) -> None:
    """Findings that are shares, as bars; `title` says what they are of.

    Where what is measured has other settings than the source's, the source's own are said
    `elsewhere`: then the published figures are told below, and are no bars to compare with.
    """
    published, measured = COLOURS
    st.markdown(f"**{title}**")
    if elsewhere:
        bars([Bars(f.quantity, {measured: f.measured}) for f in findings], COLOURS)
        told = ", ".join(f"{f.quantity} {f.published:.1%}" for f in findings)
        st.caption(f"Published at {elsewhere}: {told}.")
        return
    colour_key(COLOURS)
    rows = [Bars(f.quantity, {published: f.published, measured: f.measured}) for f in findings]
    bars(rows, COLOURS)
