"""A prediction that is asked for before its answer can be seen."""

from collections.abc import Sequence

import streamlit as st

MARGIN = 0.02  # accuracies nearer to each other than this count as the same


def predict(question: str, options: Sequence[str]) -> str:
    """What the visitor says; until he has, nothing below is shown."""
    guess = st.radio(question, list(options), index=None, key="guess")
    if guess is None:
        st.info("Pick one, and both start to train.", icon=":material/touch_app:")
        st.stop()
    return guess


def judge(guess: str, ends: dict[str, float], options: Sequence[str]) -> None:
    """The guess beside the final accuracies of two runs.

    The options are, in this order, that the first ends higher, the second, neither.
    """
    first, second = ends.values()
    which = 2 if abs(first - second) <= MARGIN else 0 if first > second else 1
    told = ", ".join(f"{name} ends at {end:.1%}" for name, end in ends.items())
    verdict = "that was it." if guess == options[which] else "look why not."
    st.success(f"You said: {guess}. {told}: {verdict}", icon=":material/school:")
