"""How fast two forms of a convolution are in a Python loop and in a compiled one."""

import streamlit as st

from core.study.convolutions import conv_times, driven
from ui.story.cells import timed


def loops() -> None:
    """Draw the cell that measures both forms in both loops, and tell what an epoch took."""
    timed(conv_times, driven)
    st.caption(
        "An epoch of the network with its axes put right, measured with JAX 0.10.2 on two cores: "
        "with XLA's convolution it takes 6 to 7 s in a Python loop and 86 s inside lax.scan; with "
        "slices and one matrix product, 13.6 s in a Python loop and 5.6 to 5.8 s inside lax.scan. "
        "So this network uses slices to train, in a compiled loop, and XLA's convolution to be "
        "evaluated outside it."
    )
