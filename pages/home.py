"""The home page: what this is, and where to start."""

import json
from pathlib import Path

import streamlit as st

from ui.charts import home
from ui.pages import PAGES

measured = json.loads((Path(__file__).parents[1] / "assets/home.json").read_text())

st.title("Same(?) net")
st.markdown(
    "#### The same network, the same weights, the same thousand images, the same ten steps. "
    "Only the loss is written differently."
)
st.vega_lite_chart(
    home.spec(measured["rows"]),
    alt="Training accuracy over ten steps for three ways to write the same loss.",
)
st.caption(
    f"Measured with {measured['measured_with']}. The trainer runs it live. The clipped curve is "
    "chaotic: rounding alone moves its end, so its digits are an example and not a constant."
)
st.markdown(
    "On paper the three losses are one function. In float32 they are not: the textbook's turns "
    "into NaN, the clipped one has no gradient where the network is most wrong, and the one "
    "that works on logits just learns. Samenet shows where such twins part, and why."
)
for column, row in zip(st.columns(len(PAGES)), PAGES.values(), strict=True):
    with column.container(border=True, height="stretch"):
        st.page_link(row.path, label=f"**{row.label}**", icon=row.icon)
        st.markdown(row.summary)
