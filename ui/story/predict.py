"""A prediction that is asked for before its answer can be seen."""

from collections.abc import Sequence

import streamlit as st

MARGIN = 0.02  # accuracies nearer to each other than this count as the same


def predict(question: str, options: Sequence[str]) -> str:
    """What the visitor says; until he has, nothing below is shown."""
    guess = st.radio(question, list(options), index=None, key="guess")
    if guess is None:
        st.info("Pick one, and they start to train.", icon=":material/touch_app:")
        st.stop()
    return guess


def judge(guess: str, ends: dict[str, float], options: Sequence[str]) -> None:
    """The guess beside the final accuracies of the runs.

    The options are, in the order of the runs, that this one ends highest, and last that none does.
    """
    *_, second, best = sorted(ends.values())
    which = len(ends) if best - second <= MARGIN else list(ends.values()).index(best)
    told = ", ".join(f"{name} ends at {end:.1%}" for name, end in ends.items())
    verdict = "that was it." if guess == options[which] else "look why not."
    st.success(f"You said: {guess}. {told}: {verdict}", icon=":material/school:")
