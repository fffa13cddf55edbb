"""The home page: what this is, and where to start."""

import streamlit as st

from ui.home import cards, race, race_button
from ui.pages import PAGES
from ui.pieces.glossary import explained

st.title("Same(?) net", anchor=False)
st.markdown(
    "**The same network, the same weights, the same thousand images, the same ten steps. "
    "Only the loss is written differently.**",
    help=explained("loss"),
)
ready = race()
st.markdown(
    "On paper the three losses are one function. In float32 the textbook's turns into NaN, the "
    "clipped one has no gradient where its probability is clipped, and the one from logits learns.",
    help=explained("NaN", "clipped", "gradient", "logit"),
)
with st.container(key="start", horizontal=True, vertical_alignment="center"):
    race_button(ready)
    story = PAGES["jax_vs_keras"]
    st.page_link(story.path, label="**Why did the clipped one fall behind?**", icon=story.icon)
cards()
