"""The trainer: move a slider and see what changes."""

import streamlit as st

from ui import controls, live

st.title("Train a network")
live.panel(controls.config())
