"""One chart on a page."""

from typing import Any

import streamlit as st

from ui.charts.frame import Tables


def chart(key: str, spec: dict[str, Any], tables: Tables, alt: str) -> None:
    """A constant spec with this run's tables; `key` keeps its place in the browser."""
    st.vega_lite_chart({**spec, "datasets": tables}, key=key, alt=alt)
