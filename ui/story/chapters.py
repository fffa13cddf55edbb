"""The shape that every story has, so that who has read one finds his way in the next."""

import streamlit as st

from ui.words import explained

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
    """Begin a chapter: its number and what it says. The first brings the links to all."""
    number = list(CHAPTERS).index(key) + 1
    if number == 1:
        _contents()
    st.header(f"{number} · {headline}", anchor=key)


def _contents() -> None:
    """A line that stays in sight: links to the chapters, the one that is read marked."""
    links = "".join(
        f'<li><a href="#{key}">{i}<span> {name}</span></a></li>'
        for i, (key, name) in enumerate(CHAPTERS.items(), 1)
    )
    st.html(f'<nav class="contents" aria-label="Chapters"><ol>{links}</ol></nav>')


def section(headline: str, *terms: str) -> None:
    """Begin a part of a chapter; `terms` are explained beside it."""
    st.subheader(headline, anchor=False, help=explained(*terms) if terms else None)
