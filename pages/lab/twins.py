"""The page of two runs side by side: from which step on they differ, why, and what is chance."""

import streamlit as st

from core.parts.choices import TASKS
from ui.story.census import census
from ui.story.watch import watch
from ui.twins.comparison import bands, first_difference, runs_of, settings, verdicts
from ui.twins.pair import choose

st.title("Take two apart")
st.markdown(
    "Two networks that learn the same and differ in what you choose. Where do they differ first, "
    "and which images make it so? If they start from the same weights and batches, they are "
    "compared step by step."
)
pair = runs_of(*choose())
settings(pair)
on_top = st.container()
if not watch(pair):
    st.stop()
with on_top:
    verdicts(pair)
first_difference(pair)
if not TASKS[pair[0].config.task].series:  # a predicted series is never simply wrong
    st.header("Which images are silent before the first step")
    census(pair)
bands(pair)
