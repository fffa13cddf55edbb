"""The microscope page: why a loss stops learning."""

import streamlit as st

from ui.microscope import curves, samples, setting, tables

st.title("A loss under the microscope")
st.markdown(
    "A network learns from an image only where its loss has a gradient. A loss that clips the "
    "probability to [ε, 1 - ε] is flat beyond that: in float32 with ε = 1e-7 it cannot tell a "
    "logit of -20 from -200, and its gradient is **exactly 0**. An image that is wrong there is "
    "**silent**: a step learns nothing from it, though what the others teach can still move it."
)
chosen = setting.setting()
with st.spinner(f"compiling the losses for {chosen.dtype}"):
    examined = [curves.examine(chosen, key) for key in chosen.keys]
curves.curves(chosen, examined)
samples.run_images(chosen, examined)
calculator, edges = st.tabs(["The epsilon calculator", "Where each loss goes silent"])
with calculator:
    tables.calculator(chosen)
with edges, st.spinner("finding the edges by bisection over each format's numbers"):
    st.markdown("**From which logit on the gradient is exactly 0 though the answer is wrong**")
    tables.edge_table(chosen)
