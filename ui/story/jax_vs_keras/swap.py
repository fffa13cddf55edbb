"""The accuracy of each twin's final weights in the other's program."""

from collections.abc import Callable, Sequence

import streamlit as st

from core.config import RunConfig
from core.data import load
from core.study.reproduce.finding import Finding
from core.study.twins import Swap, swap
from ui.charts.frame import percent
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
    found = _swap(a.config, b.config)
    beside_measured(findings(found), title, elsewhere)
    st.markdown(seen(a.label, b.label, found))


def seen(a: str, b: str, found: Swap) -> str:
    """Say whether the accuracies follow the weights, or stay with the programs of runs a and b."""
    own, other = map(percent, found.final)
    swapped = tuple(map(percent, found.swapped))
    if {own, other, *swapped} == {own}:
        return f"All four are {own}: here a swap cannot tell the weights from the programs."
    if swapped == (other, own):
        return (
            f"The weights from “{a}” score {own} in both programs, and those from “{b}” {other}: "
            "the programs differ in how they train, not in how they answer."
        )
    if swapped == (own, other):
        return (
            f"“{a}” scores {own} with either weights, and “{b}” {other}: the programs differ in "
            "how they answer."
        )
    return (
        f"With the other's weights “{a}” scores {swapped[0]} instead of {own}, and “{b}” "
        f"{swapped[1]} instead of {other}: neither weights nor program decide alone."
    )


@st.cache_data(max_entries=64, show_spinner="swapping the weights")
def _swap(a: RunConfig, b: RunConfig) -> Swap:
    return swap(a, b, load(a.source, a.train_size))
