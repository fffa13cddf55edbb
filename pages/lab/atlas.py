"""The atlas page: what "the same" hides, from one framework to another."""

import streamlit as st

from core.study.atlas.effects import recorded
from ui.atlas.checklist import differences
from ui.atlas.setting import choose
from ui.atlas.table import agreement, closer, table

st.title("The atlas of defaults")
st.markdown(
    "A port behaves differently, though every line was translated: most often because of a line "
    "that nobody wrote. What changes by default between two frameworks, how much it matters, and "
    "what to write to keep it the same."
)
measured = recorded()
differences(choose(), measured)
table()
closer(measured)
agreement(measured)
