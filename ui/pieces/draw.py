"""Draw a chart, the meaning of its colours, a table, or code."""

import html
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import streamlit as st

from ui import projector
from ui.charts.frame import Tables
from ui.pieces import figures
from ui.streamlit_chart import Size, vega_lite_chart


def chart(
    key: str,
    spec: dict[str, Any],
    tables: Tables,
    alt: str,
    clicked: Callable[[], None] | None = None,
    height: Size = "content",
    width: Size = "stretch",
) -> None:
    """Draw a constant spec with this run's tables; `key` keeps its place in the browser.

    `clicked` is called after a click that selects; the session state has the selection under `key`.
    """
    figures.note({key: (spec, tables, alt)})
    drawn = projector.chart(spec)
    vega_lite_chart(drawn, tables, key, alt, clicked, width=width, height=height)


def colour_key(colours: Mapping[str, str]) -> None:
    """Draw what each colour means: whole names, in as many lines as the screen needs."""
    items = (
        f'<li><i style="background: {colour}"></i>{html.escape(name)}</li>'
        for name, colour in colours.items()
    )
    st.html(f'<ul class="colour-key">{"".join(items)}</ul>')


def text_table(columns: Mapping[str, Sequence[str]], what: str) -> None:
    """Draw columns of text under their heads; text between two backticks is code.

    The box is named `what` and can take the focus, because a table that is too wide is scrolled
    with the arrow keys; st.table's own box takes no focus.
    """
    heads = "".join(f'<th scope="col">{_cell(head)}</th>' for head in columns)
    rows = zip(*columns.values(), strict=True)
    body = "".join(f"<tr>{''.join(f'<td>{_cell(text)}</td>' for text in row)}</tr>" for row in rows)
    box = f'class="table" role="group" aria-label="{html.escape(what)}" tabindex="0"'
    st.html(f"<div {box}><table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>")


def _cell(text: str) -> str:
    return re.sub("`(.+?)`", r"<code>\1</code>", html.escape(text))


def code(text: str, mark: str | None = None) -> None:
    """Show a program's text in one colour, and highlight the lines that contain `mark`."""
    st.html(code_html(text, mark=mark))


def code_html(text: str, name: str = "Code", mark: str | None = None) -> str:
    """Return the HTML of a program's text, in a box that is called `name`.

    st.code would have the browser fetch 1.6 MB to colour four lines. The box can take the focus,
    because text that is too wide is scrolled with the arrow keys. On a phone, lines wrap.
    """
    lines = []
    for line in text.splitlines():
        shown = html.escape(line)
        marked = f"<mark>{shown}</mark>" if mark is not None and mark in line else shown
        lines.append(f"<span>{marked}\n</span>")
    body = "".join(lines)
    box = f'class="code" role="group" aria-label="{html.escape(name)}" tabindex="0"'
    return f"<pre {box}><code>{body}</code></pre>"
