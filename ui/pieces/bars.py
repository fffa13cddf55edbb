"""Shares as bars in HTML: names are never cut, and a screen reader reads the figures."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import NamedTuple

import streamlit as st


class Bars(NamedTuple):
    """One row: its label, the share of each series, and a note under the label."""

    label: str
    values: Mapping[str, float | None]  # series -> share of 1, NaN, or None if there is none
    note: str = ""


def bars(rows: Sequence[Bars], colours: Mapping[str, str]) -> None:
    """Draw rows of bars from 0% to 100%, in the `colours` of the series; the page names them."""
    st.html(f'<ul class="bars">{"".join(_row(row, colours) for row in rows)}</ul>')


def _row(row: Bars, colours: Mapping[str, str]) -> str:
    note = f"<small>{escape(row.note)}</small>" if row.note else ""
    drawn = "".join(_bar(name, row.values[name], colours[name]) for name in row.values)
    return f"<li><span>{escape(row.label)}</span>{note}{drawn}</li>"


class Stack(NamedTuple):
    """One row: its label, the shares of its parts, and a figure beside it."""

    label: str
    parts: Mapping[str, float]
    figure: str


def stacks(rows: Sequence[Stack], colours: Mapping[str, str]) -> None:
    """Draw rows of parts that add up to the whole, each part in its colour."""
    st.html(f'<ul class="bars stacks">{"".join(_stack(row, colours) for row in rows)}</ul>')


def _stack(row: Stack, colours: Mapping[str, str]) -> str:
    drawn = "".join(
        f'<i style="width: {100 * share:.2f}%; background: {colours[name]}"></i>'
        for name, share in row.parts.items()
        if share > 0
    )
    spoken = ", ".join(f"{share:.1%} {name}" for name, share in row.parts.items() if share > 0)
    return (
        f"<li><span>{escape(row.label)}</span><div><p>{drawn}</p>"
        f'<b>{escape(row.figure)}<span class="unseen">: {escape(spoken)}</span></b></div></li>'
    )


def _bar(name: str, value: float | None, colour: str) -> str:
    if value is None:
        text, width = "–", 0.0
    elif value != value:
        text, width = "NaN", 0.0
    else:
        text, width = f"{value:.1%}", min(1.0, max(0.0, value))
    return (
        f'<div><i style="width: {100 * width:.1f}%; background: {colour}"></i>'
        f'<b><span class="unseen">{escape(name)}: </span>{text}</b></div>'
    )
