"""A lesson: what a teacher's link asks before the run is shown, and how such a link is made."""

from urllib.parse import urlencode

import streamlit as st

from core.config import RunConfig
from core.run.job import Status
from ui.pieces.copy_link import copy_link
from ui.pieces.on_screen import on_screen
from ui.pieces.predict import Guess, guessed, predict
from ui.state import rerun
from ui.trainer import controls
from ui.trainer.lesson import HIDABLE, QUESTIONS
from ui.trainer.link import ASK, END, HIDE, LOOK, UNTIL

KEY = "teach"


def asked(title: str, config: RunConfig) -> Guess | None:
    """Ask what the link asks; until it is answered, the page ends here.

    Returns the answer, with its place above the run, or None if nothing is asked.
    """
    question = QUESTIONS.get(controls.question())
    if question is None or not question.fits(config):
        return None
    if (guess := guessed(controls.QUESTION)) in question.options:
        return Guess(guess, st.empty())
    st.title(title, anchor=False)
    if predict(controls.QUESTION, question.label, question.options) is None:
        st.stop()
    rerun()
    return None


def judge(guess: Guess | None) -> None:
    """Say whether the guess was right, once the run that is shown has ended."""
    viewer = on_screen().viewer
    if guess is None or viewer is None:
        return
    question, view = QUESTIONS[controls.question()], viewer.view()
    if view.status is Status.DONE:
        guess.judge(*question.answer(view.snapshots))
    else:
        guess.place.info(
            f"{question.label} You said “{guess.text}”. Train the run to its end, and see.",
            icon=":material/hourglass_empty:",
        )


def offer(config: RunConfig) -> None:
    """Draw, once opened, what a teacher chooses, and the link that comes of it."""
    label, icon = "Make a teacher's link", ":material/school:"
    with st.expander(label, key=KEY, icon=icon, on_change="rerun") as box:
        if not box.open:
            return
        st.markdown(
            "The link opens this page with the settings and pins that it has now. A control that "
            "is hidden keeps its value. Answers are not kept anywhere."
        )
        left, middle, right = st.columns([2, 2, 1], gap="medium")
        hide = left.multiselect(
            "hide",
            list(HIDABLE),
            format_func=lambda key: HIDABLE[key].label,
            placeholder="nothing",
            key=f"{KEY}_hide",
        )
        ask = middle.selectbox(
            "ask first",
            [key for key, row in QUESTIONS.items() if row.fits(config)],
            index=None,
            format_func=lambda key: QUESTIONS[key].label,
            placeholder="nothing",
            key=f"{KEY}_ask",
        )
        step = right.number_input("open at step", 0, config.steps, 0, key=f"{KEY}_step")
        lesson = {HIDE: tuple(key for key in HIDABLE if key in hide), ASK: ask or ""}
        values = {**controls.STATE.values(), **lesson, UNTIL: int(step), LOOK: END}
        copy_link(f"{KEY}_link", urlencode(controls.STATE.to_query(values)))
