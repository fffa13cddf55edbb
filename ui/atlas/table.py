"""Every default: pieces by frameworks, marked where they differ from a reference."""

from collections.abc import Iterable
from html import escape
from itertools import combinations, groupby

import streamlit as st

from core.study.atlas.before import pairs
from core.study.atlas.checklist import gap_words, versions
from core.study.atlas.comparisons import compared
from core.study.atlas.effects import Recorded
from core.study.atlas.piece import CONTEXTS, FRAMEWORKS, TOPICS, Piece
from core.study.atlas.pieces import PIECES
from ui.atlas.live import links
from ui.pieces.draw import code_html, text_table

REFERENCE = "atlas_reference"
OF_SERIES = (
    "The GRU has 32 units and predicts the next values of 10,000 noisy series. It has no accuracy: "
    "percentages are of the variance of what it predicts, 0% if it always says the mean."
)


def table() -> None:
    """Draw the table; what is different from the chosen framework is marked."""
    st.header("Every default")
    reference = st.selectbox(
        "marked where it differs from",
        list(FRAMEWORKS),
        format_func=lambda key: FRAMEWORKS[key].label,
        key=REFERENCE,
        width=220,
    )
    order = [reference, *(key for key in FRAMEWORKS if key != reference)]
    heads = "".join(f'<th scope="col">{escape(FRAMEWORKS[key].label)}</th>' for key in order)
    known = [piece for piece in PIECES.values() if piece.defaults]
    in_topics = sorted(known, key=lambda piece: list(TOPICS).index(piece.topic))
    body = "".join(
        _topic(topic, list(pieces), order)
        for topic, pieces in groupby(in_topics, key=lambda piece: piece.topic)
    )
    box = 'class="table defaults" role="group" aria-label="Every default" tabindex="0"'
    st.html(
        f'<div {box}><table><thead><tr><th scope="col">piece</th>{heads}</tr></thead>{body}'
        "</table></div>"
    )


def _topic(topic: str, pieces: Iterable[Piece], order: list[str]) -> str:
    head = (
        f'<tr><th scope="rowgroup" colspan="{1 + len(order)}">{escape(TOPICS[topic].label)}'
        "</th></tr>"
    )
    return f"<tbody>{head}{''.join(_row(piece, order) for piece in pieces)}</tbody>"


def _row(piece: Piece, order: list[str]) -> str:
    known = piece.defaults.get(order[0])
    cells = "".join(_cell(piece, key, known.value if known else None) for key in order)
    return f'<tr><th scope="row">{escape(piece.label)}</th>{cells}</tr>'


def _cell(piece: Piece, framework: str, reference: str | None) -> str:
    if (fact := piece.defaults.get(framework)) is None:
        return "<td>–</td>"
    differs = reference is not None and fact.value != reference
    mark = '<span class="unseen">differs: </span>' if differs else ""
    note = f"<p>{escape(fact.note)}</p>" if fact.note else ""
    return (
        f"<td{' class=differs' if differs else ''}><details><summary>{mark}"
        f"{escape(piece.values[fact.value].label)}</summary>{note}"
        f"<p><code>{escape(fact.source)}</code>, {escape(versions(framework))}</p></details></td>"
    )


def closer(recorded: Recorded) -> None:
    """Draw one piece: formulas, how each value is written in each framework, and live runs."""
    st.header("One piece, closer")
    key = st.selectbox(
        "piece", list(PIECES), format_func=lambda key: PIECES[key].label, key="atlas_piece"
    )
    piece = PIECES[key]
    if piece.summary:
        st.markdown(piece.summary)
    for name, value in piece.values.items():
        whose = [FRAMEWORKS[k].label for k, fact in piece.defaults.items() if fact.value == name]
        st.markdown(f"**{value.label}**" + (f": {', '.join(whose)}" if whose else ""))
        if value.latex:
            st.markdown(f"${value.latex}$")
        written = "".join(
            f"<dt>{escape(label)}</dt><dd>{code_html(code, f'Code for {label}')}</dd>"
            for label, code in ((FRAMEWORKS[k].label, code) for k, code in value.write.items())
        )
        if written:
            st.html(f'<dl class="written">{written}</dl>')
    entries = "".join(_pair(piece, *two, recorded) for two in combinations(piece.values, 2))
    if entries:
        st.html(f"<p>Train two of them, side by side:</p><ul>{entries}</ul>")
    if any(CONTEXTS[key].of for key in piece.contexts):
        st.caption(OF_SERIES)


def _pair(piece: Piece, one: str, other: str, recorded: Recorded) -> str:
    """The runs of two values, and what was measured of them, as an entry of a list."""
    found = links(piece, one, other)
    if not found:
        return ""
    effects = filter(None, map(recorded.effect, compared(piece, one, other)))
    measured = "; ".join(map(gap_words, effects))
    ends = f"{piece.values[one].label} → {piece.values[other].label}"
    return f"<li>{escape(ends)}: {' · '.join(found)}<br>{escape(measured)}</li>"


def agreement(recorded: Recorded) -> None:
    """Say where the measured gaps agree with those that were measured before with other code."""
    both = pairs(PIECES.values(), recorded)
    other = [pair for pair in both if not pair.agrees]
    st.header("Measured twice")
    st.markdown(
        f"{len(both)} of these comparisons were measured before, with code of its own for every "
        f"rule. {len(both) - len(other)} agree: both gaps are under half a point, or have the same "
        "sign and are within a factor of two of each other."
    )
    if other:
        text_table(
            {
                "does not agree": [PIECES[pair.before.piece].label for pair in other],
                "in": [CONTEXTS[pair.before.context].label for pair in other],
                "from": [_value(pair.before.piece, pair.before.there) for pair in other],
                "to": [_value(pair.before.piece, pair.before.here) for pair in other],
                "before, points": [_points(p.before.gap, p.before.spread) for p in other],
                "now, points": [_points(pair.now.gap, pair.now.spread) for pair in other],
            },
            "Comparisons that gave something else before",
        )


def _value(piece: str, value: str) -> str:
    return PIECES[piece].values[value].label


def _points(gap: float, spread: float) -> str:
    return f"{100 * gap:+z.1f} ± {100 * spread:.1f}"
