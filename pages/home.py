"""The home page: what this is, and where to start."""

import streamlit as st

from ui.home import race, race_button
from ui.pages import PAGES

st.title("Same(?) net")
st.markdown(
    "**The same network, the same weights, the same thousand images, the same ten steps. "
    "Only the loss is written differently.**"
)
race()
left, right = st.columns(2)
with left:
    race_button()
with right:
    st.page_link(
        PAGES["jax_vs_keras"].path, label="**Why does the clipped one stay behind?**",
        icon=PAGES["jax_vs_keras"].icon, width="stretch",
    )  # fmt: skip
st.markdown(
    "On paper the three losses are one function. In float32 they are not: the textbook's turns "
    "into NaN, the clipped one has no gradient where its probability is clipped, and the one "
    "that works on logits just learns. Samenet shows where such twins part, and why."
)
columns = st.columns(3)
for i, row in enumerate(PAGES.values()):
    with columns[i % 3].container(border=True):
        st.page_link(row.path, label=f"**{row.label}**", icon=row.icon)
        st.markdown(row.summary)
