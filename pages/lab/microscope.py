"""The microscope: see why a loss stops learning."""

import streamlit as st

from ui.microscope import curves, samples, setting, tables

st.title("A loss under the microscope")
st.markdown(
    "A network learns from a sample only where its loss has a gradient. With label 1 a logit far "
    "to the left is badly wrong and should be pushed hard, dL/dz = -1. A loss that first turns the "
    "logit into a probability and clips that to [ε, 1 - ε] cannot, in float32 with ε = 1e-7, tell "
    "-20 from -200: its curve is flat there, its gradient **exactly 0**. A sample that sits there "
    "has **no say**: nothing in the step comes from it. The weights that it shares with the others "
    "can still carry it along, even to the right side, but nobody steers."
)
chosen = setting.setting()
with st.spinner(f"compiling the losses for {chosen.dtype}"):
    looks = [curves.look(chosen, key) for key in chosen.losses]
curves.curves(chosen, looks)
samples.who_sits(chosen, looks)
st.header("The epsilon calculator")
tables.calculator(chosen)
st.header("From which logit on the gradient is exactly 0 though the answer is wrong")
with st.spinner("finding the edges by bisection over each format's numbers"):
    tables.edge_table(chosen)
