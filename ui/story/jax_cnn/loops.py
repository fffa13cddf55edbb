"""How fast a convolution's gradients are in a Python loop and in a compiled one."""

import streamlit as st

from core.study.convolutions import conv_times, driven
from ui.story.cells import timed

ISSUE = "https://github.com/jax-ml/jax/issues/12868"


def loops() -> None:
    """Draw the cell that measures both forms in both loops, and tell why they differ."""
    timed(conv_times, driven)
    st.markdown(
        "On a CPU, XLA has fast code for convolutions whose axes are in one order. JAX writes the "
        "gradients of a convolution in other orders. XLA reorders their axes, but "
        f"[not inside a loop]({ISSUE}), where it falls back on slow code. `convolve` puts them in "
        "order by hand: the same numbers, and the loop is fast. With stride 2 a pixel meets only "
        "every other row and column of a kernel. JAX puts zeros between the slopes and multiplies "
        "by all of them; `convolve` makes four small convolutions of the places that are met."
    )
    st.caption(
        "CPU time of one step of the network, with JAX 0.10.2 on two cores: as JAX derives it, "
        "24 ms in a Python loop and 280 ms inside a compiled one; with the axes in order, 22 ms in "
        "either; and with the small convolutions, 20 and 19 ms."
    )
