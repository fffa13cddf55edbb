"""Figures as they were published, beside the same ones measured here."""

from collections.abc import Sequence

import streamlit as st

from core.study.reproduce.finding import Finding


def beside_measured(findings: Sequence[Finding], title: str) -> None:
    """A table of findings that are shares; `title` heads what they are of."""
    st.table(
        {
            title: [found.quantity for found in findings],
            "published": ["–" if f.published is None else f"{f.published:.1%}" for f in findings],
            "measured here": [f"{found.measured:.1%}" for found in findings],
        },
        hide_index=True,
    )
