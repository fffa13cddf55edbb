"""Figures as they were published, beside the same ones measured here."""

from collections.abc import Sequence

import streamlit as st

from core.study.reproduce.finding import Finding
from ui.bars import Bars, bars
from ui.charts.palette import BEFORE, TRAIN
from ui.draw import colour_key

COLOURS = {"published": BEFORE, "measured here": TRAIN}


def beside_measured(findings: Sequence[Finding], title: str) -> None:
    """Findings that are shares, as bars; `title` says what they are of."""
    st.markdown(f"**{title}**")
    colour_key(COLOURS)
    published, measured = COLOURS
    rows = [Bars(f.quantity, {published: f.published, measured: f.measured}) for f in findings]
    bars(rows, COLOURS)
