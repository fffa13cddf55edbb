"""The sweep page: hundreds of runs, which show where training works."""

import streamlit as st

from ui.sweep.progress import progress
from ui.sweep.setting import choose

st.title("Sweep")
st.markdown(
    "One seed proves little. A sweep trains every run of a grid and shows where training works, "
    "and how often."
)
progress(choose())
