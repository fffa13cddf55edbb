"""A prediction that the visitor makes before the answer can be seen."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import streamlit as st

MARGIN = 0.02  # accuracies nearer to each other than this count as the same


class Guess(NamedTuple):
    """What the visitor predicted, and the place below it where the answer is drawn."""

    text: str
    place: Any

    def judge(self, right: str, measured: str) -> None:
        """Draw whether the guess was right, and what was measured."""
        guess = f"You said “{self.text}”"
        if self.text == right:
            text = f"{guess}, and that is right. {measured}."
            self.place.success(text, icon=":material/check_circle:")
        else:
            text = f"{guess}. The answer is “{right}”. {measured}."
            self.place.warning(text, icon=":material/school:")


def predict(key: str, question: str, options: Sequence[str]) -> Guess | None:
    """Ask for a prediction; return None until one is made: only then may the answer be drawn."""
    kept = f"guess_{key}"
    before = st.session_state.get(kept)
    guess = st.radio(
        question,
        list(options),
        key=f"{kept}_widget",
        index=options.index(before) if before in options else None,
    )
    st.session_state[kept] = guess  # kept while the visitor is on another page
    place = st.empty()
    if guess is None:
        place.info("Pick one, and see.", icon=":material/touch_app:")
        return None
    place.info("The answer appears here once it is measured.", icon=":material/hourglass_empty:")
    return Guess(guess, place)


def guessed(key: str) -> str | None:
    """Return what was predicted under this key, or None."""
    return st.session_state.get(f"guess_{key}")


def forget(key: str) -> None:
    """Forget what was predicted under this key, so that it is asked again."""
    for kept in (f"guess_{key}", f"guess_{key}_widget"):
        st.session_state[kept] = None


def ends_sentence(ends: Mapping[str, float]) -> str:
    """The sentence that tells at which accuracies runs ended."""
    return ", ".join(f"“{name}” ends at {end:.1%}" for name, end in ends.items())


def highest(ends: Mapping[str, float]) -> str | None:
    """The name of the highest accuracy; None if the second is within MARGIN of it."""
    *_, second, best = sorted(ends.values())
    return None if best - second <= MARGIN else max(ends, key=lambda name: ends[name])
