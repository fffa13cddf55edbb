"""Figures whose parts come in the background: drawn again and again until all of them are there."""

from collections.abc import Callable

import streamlit as st

from ui.state import rerun

POLL_SECONDS = 0.5


def draw_until(
    done: Callable[[], bool], draw: Callable[[bool], None], every: float = POLL_SECONDS
) -> bool:
    """Draw every so many seconds until all is done; then run the page once more, without a timer.

    `draw` is told whether all was done when the page began, and this function returns the same.
    """
    all_there = done()

    def frame() -> None:
        if not all_there and done():
            rerun()
        draw(all_there)

    st.fragment(frame, run_every=None if all_there else every)()
    return all_there
