"""The accuracy of each twin's final weights in the other's program."""

from collections.abc import Callable, Sequence

import streamlit as st

from core.config import RunConfig
from core.data import load
from core.study.reproduce.finding import Finding
from core.study.twins import Swap, swap
from ui.story.published import beside_measured
from ui.story.twin import Twin


def swapped(
    a: Twin, b: Twin, findings: Callable[[Swap], Sequence[Finding]], title: str, elsewhere: str
) -> None:
    """Draw the source's figures, published and measured; `findings` makes them from a Swap."""
    st.markdown(
        "Each program is given the weights that the other has trained, and trains no further. If "
        "the programs differed in how they answer, the accuracy would stay with the program."
    )
    beside_measured(findings(_swap(a.config, b.config)), title, elsewhere)


@st.cache_data(max_entries=64, show_spinner="swapping the weights")
def _swap(a: RunConfig, b: RunConfig) -> Swap:
    return swap(a, b, load(a.source, a.train_size))
