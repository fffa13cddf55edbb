"""Samenet: navigation and the frame that all pages share. Start with `streamlit run app.py`."""

from pathlib import Path

import streamlit as st

from ui.pages import navigation

st.set_page_config(page_title="Samenet", page_icon=":material/balance:", layout="wide")
st.html(Path(__file__).parent / "ui" / "style.css")
st.navigation(navigation(), position="top").run()
