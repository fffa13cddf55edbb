"""The health of each twin's gradient over the steps."""

import streamlit as st

from core.run import train
from ui.charts.health import health
from ui.draw import chart
from ui.story.twin import Twins, snapshots


def strips(twins: Twins) -> None:
    """A strip a twin: which entries of its gradient are numbers, zeros, infinities and NaN."""
    for column, twin in zip(st.columns(len(twins), gap="medium"), twins, strict=True):
        names = train.parameters(train.shape(twin.config))
        drawing = health(snapshots(twin), twin.config.steps, names, None)
        with column:
            st.markdown(f"**{twin.label}**")
            chart(f"health_{twin.label}", drawing.spec, drawing.tables, drawing.alt)
