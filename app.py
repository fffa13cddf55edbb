"""Samenet: navigation and the frame that all pages share. Start with `streamlit run app.py`."""

import streamlit as st

from ui.pages import navigation

st.set_page_config(page_title="Samenet", page_icon=":material/balance:", layout="wide")
st.html("<style>.stMainBlockContainer { padding-top: 4rem; padding-bottom: 3rem; }</style>")
st.navigation(navigation(), position="top").run()
