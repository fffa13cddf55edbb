"""One chart on a page, and what its colours mean."""

import html
from collections.abc import Callable, Mapping
from typing import Any

import streamlit as st

from ui.charts.frame import Tables


def chart(
    key: str,
    spec: dict[str, Any],
    tables: Tables,
    alt: str,
    clicked: Callable[[], None] | None = None,
) -> None:
    """A constant spec with this run's tables; `key` keeps its place in the browser.

    `clicked` is called after a click that selects; what, is in the session state under `key`.
    """
    st.vega_lite_chart(
        {**spec, "datasets": tables}, key=key, alt=alt, on_select=clicked or "ignore"
    )


def colour_key(colours: Mapping[str, str]) -> None:
    """What each colour stands for: whole names, in as many lines as the screen needs."""
    items = (
        f'<li><i style="background: {colour}"></i>{html.escape(name)}</li>'
        for name, colour in colours.items()
    )
    st.html(f'<ul class="colour-key">{"".join(items)}</ul>')
