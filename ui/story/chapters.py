"""The chapters that all stories share: a visitor who knows one story can find their way in any."""

import streamlit as st

from ui.pieces.glossary import explained

CHAPTERS = {
    "puzzle": "The puzzle",
    "predict": "Predict",
    "watch": "Watch",
    "inside": "Look inside",
    "cause": "The cause",
    "fix": "The fix",
    "break": "Try to break it",
    "remember": "What to remember",
    "next": "What next",
}


def chapter(key: str, headline: str) -> None:
    """Begin a chapter with its number and headline; the first also draws the links to all."""
    place = list(CHAPTERS).index(key) + 1
    if place == 1:
        _contents()
    st.header(f"{place} · {CHAPTERS[key]}: {headline}", anchor=key)


def _contents() -> None:
    """Draw a line of links to the chapters that stays in sight and marks the one being read."""
    links = "".join(
        f'<li><a href="#{key}">{i}<span> {name}</span></a></li>'
        for i, (key, name) in enumerate(CHAPTERS.items(), 1)
    )
    st.html(f'<nav class="contents" aria-label="Chapters"><ol>{links}</ol></nav>')


def section(headline: str, *terms: str) -> None:
    """Begin a part of a chapter; its help explains the `terms`."""
    st.subheader(headline, anchor=False, help=explained(*terms) if terms else None)
