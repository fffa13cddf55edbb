"""How much of each twin's gradient is NaN, infinite or 0 at every step."""

import streamlit as st

from core.run import train
from ui.charts.health import health
from ui.pieces.draw import chart
from ui.story.twin import Twins, snapshots


def strips(twins: Twins) -> None:
    """Draw what share of each twin's gradient is a number, 0, infinite or NaN, step by step."""
    for column, twin in zip(st.columns(len(twins), gap="medium"), twins, strict=True):
        names = train.parameters(train.shape(twin.config))
        drawing = health(snapshots(twin), twin.config.steps, names, None)
        with column:
            st.markdown(f"**{twin.label}**")
            chart(f"health_{twin.label}", drawing.spec, drawing.tables, drawing.alt)
