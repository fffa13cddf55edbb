"""The charts of a page as files: each by itself, or together as one figure for paper or a slide."""

import json
from collections.abc import Mapping
from functools import lru_cache, partial
from importlib.metadata import version
from textwrap import shorten
from typing import Any
from urllib.parse import urlencode

import streamlit as st

from core.config import FIELDS
from core.fields import parse_query
from ui.charts import convert
from ui.charts.frame import Tables
from ui.charts.paper import SIZES, Panel, panel_width, standalone
from ui.engine import device
from ui.pages import PAGES
from ui.pieces import aside
from ui.pieces.widgets import setting_text

NOTED, KEY = "drawn_charts", "figures"
MOST = 6  # charts in a figure
TITLE = 70  # letters of a chart's title
# The charts that tell a page's story begin or end with these; without any, its first one does.
TELLING = ("loss", "accuracy", "_errors")
INSTALL = ".venv/bin/pip install -r requirements-figures.txt"


def begin() -> None:
    """Forget what the page drew before; a page calls it first."""
    st.session_state[NOTED] = {}


def note(drawn: Mapping[str, tuple[Mapping[str, Any], Tables, str]]) -> None:
    """Note charts that are drawn, so that they can be downloaded: key -> spec, tables, alt."""
    noted = {key: Panel(_title(alt), spec, tables) for key, (spec, tables, alt) in drawn.items()}
    st.session_state.setdefault(NOTED, {}).update(noted)


@lru_cache(256)
def _title(alt: str) -> str:
    return shorten(alt.split(":")[0].split(". ")[0].rstrip("."), TITLE, placeholder=" …")


def offer(page: str) -> None:
    """Draw, once opened, the choice of charts, of size and of format; nothing without charts."""
    drawn: dict[str, Panel] = st.session_state.get(NOTED, {})
    if not drawn:
        return
    label, icon = "Figures", ":material/image:"
    with st.expander(label, key=KEY, icon=icon, on_change="rerun") as box:
        if not box.open:
            return
        st.markdown(
            "This page's charts, in light colours, at their true width: LaTeX's "
            f"`\\includegraphics{{{page}.pdf}}` needs no other."
        )
        left, right = st.columns(2, gap="medium")
        telling = [key for key in drawn if key.endswith(TELLING)][:2] or list(drawn)[:1]
        keys = left.multiselect(
            "charts",
            list(drawn),
            telling,
            format_func=lambda key: drawn[key].title if key in drawn else key,
            max_selections=MOST,
            key=f"{KEY}_charts_{page}",
        )
        size = right.segmented_control(
            "for",
            list(SIZES),
            default="column",
            format_func=lambda key: SIZES[key].label,
            required=True,
            key=f"{KEY}_size",
        )
        captioned = right.checkbox("with the caption in it", True, key=f"{KEY}_captioned")
        words = caption(page, [drawn[key].title for key in keys])
        st.text(words)
        _downloads(page, [key for key in keys if key in drawn], size, words if captioned else "")
        if not convert.installed():
            st.markdown(f"This server cannot draw files yet. To let it: `{INSTALL}`")


def _downloads(page: str, keys: list[str], size: str, words: str) -> None:
    drawn: dict[str, Panel] = st.session_state[NOTED]
    with st.container(horizontal=True):
        for name, mime in convert.FORMATS.items():
            st.download_button(
                name.upper(),
                partial(made, drawn, keys, size, name, words),
                f"{page}.{name}",
                mime,
                key=f"{KEY}_{name}",
                icon=":material/download:",
                on_click="ignore",
                disabled=not (keys and convert.installed()),
                help="Drawn when it is clicked, in a second or two.",
            )


def made(drawn: Mapping[str, Panel], keys: list[str], size: str, name: str, words: str) -> bytes:
    """Return a figure of these charts as they are now, drawn in another process.

    Raises Failed.
    """
    width, panels = panel_width(SIZES[size], len(keys)), [drawn[key] for key in keys]
    asked = {
        "size": size,
        "format": name,
        "caption": words,
        "specs": [standalone(panel, width) for panel in panels],
        "titles": ["" if panel.spec.get("title") else panel.title for panel in panels],
    }
    given = json.dumps(asked, allow_nan=False, default=str).encode()
    return aside.run("ui.charts.convert", given=given, seconds=60)


def caption(page: str, titles: list[str]) -> str:
    """Return what a figure shows, with which settings and versions, and the link to it."""
    query = st.query_params.to_dict()
    values, _ = parse_query(FIELDS, {name: text for name, text in query.items() if name in FIELDS})
    settings = ", ".join(setting_text(name, value) for name, value in values.items())
    where = st.context.url or f"/{page}"
    link = f"{where}?{urlencode(query)}" if query else where
    name = PAGES[page].label.removeprefix("Story: ") if page in PAGES else "Same(?) net"
    shown = "; ".join([*titles[:1], *(title[:1].lower() + title[1:] for title in titles[1:])])
    sentences = (
        name if name.endswith("?") else f"{name}.",
        f"{shown}.",
        f"With {settings}; all else is the page's default." if settings else "As the page opens.",
        f"Samenet, JAX {version('jax')}, {device()}.",
    )
    return f"{' '.join(sentences)}\n{link}"
