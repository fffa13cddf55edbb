"""The microscope: see why a loss stops learning."""

import streamlit as st

from ui.microscope import curves, samples, setting, tables

st.title("A loss under the microscope")
st.markdown(
    "A network learns only where its loss has a gradient. With label 1 a logit far to the left "
    "is badly wrong and should be pushed hard, dL/dz = -1. A loss that first turns the logit "
    "into a probability and clips that to [ε, 1 - ε] cannot tell -20 from -200: its curve is "
    "flat there, its gradient **exactly 0**. Whoever sits there stays wrong."
)
chosen = setting.setting()
with st.spinner(f"compiling the losses for {chosen.dtype}"):
    looks = [curves.look(chosen, key) for key in chosen.losses]
curves.curves(chosen, looks)
samples.rug(chosen, looks)
st.subheader("The epsilon calculator")
tables.calculator(chosen)
st.subheader("Where the gradient is exactly 0, in every number format")
with st.spinner("finding the edges by bisection over each format's numbers"):
    tables.edge_table(chosen)
