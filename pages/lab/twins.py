"""The page of two runs side by side: from which step on they differ, why, and what is chance."""

import streamlit as st

from core.parts.choices import TASKS
from ui.story.census import census
from ui.story.parting import parting
from ui.story.watch import watch
from ui.twins.comparison import bands, settings, twins_of, verdicts
from ui.twins.pair import choose

st.title("Take two apart")
st.markdown(
    "Two networks from the same initial weights, the same images and the same batches, which "
    "differ in what you choose. From which step on do they differ, and which images make it so?"
)
pair = twins_of(*choose())
settings(pair)
on_top = st.container()
if not watch(pair):
    st.stop()
with on_top:
    verdicts(pair)
st.header("From which step on they differ")
parting(*pair)
if not TASKS[pair[0].config.task].series:  # a predicted series is never simply wrong
    st.header("Which images are silent before the first step")
    census(pair)
bands(pair)
