"""Samenet: navigation and the frame that all pages share. Start with `streamlit run app.py`."""

import streamlit as st

from ui.pages import navigation

st.set_page_config(page_title="Samenet", page_icon=":material/balance:", layout="wide")
# A frame takes the place of the last one at once: fading and gliding between frames costs a
# machine without a GPU a tenth of its training speed.
st.html("""<style>
.stMainBlockContainer { padding-top: 4rem; padding-bottom: 3rem; }
.stApp .stElementContainer, .stApp .stProgress * { opacity: 1; transition: none; }
</style>""")
st.navigation(navigation(), position="top").run()
