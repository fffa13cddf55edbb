"""Choose two runs to take apart: any of the session's, of the presets, or of pasted links."""

from collections.abc import Mapping
from dataclasses import replace
from urllib.parse import parse_qsl, urlsplit

import streamlit as st

from core.config import FIELDS, RunConfig, agree, from_query, to_query
from core.fields import parse_query, to_text
from core.parts.choices import TASKS
from core.parts.losses import losses_for
from core.presets import PRESETS
from ui.pages import PAGES
from ui.pieces.names import near_preset
from ui.pieces.widgets import LABELS
from ui.state import PageState, Values
from ui.trainer.controls import pinned
from ui.trainer.link import NAMES
from ui.trainer.runs import watched

SECOND = "b_"  # prefix of a setting in which the second run differs
DEFAULT = {"a": RunConfig(), "b": RunConfig(loss="from_logits")}
ORDER = {"a": "the first run", "b": "the second run"}


def link(a: RunConfig, b: RunConfig) -> dict[str, str]:
    """Return the query of two runs: the first one's, and what differs in the second."""
    if {"a": a, "b": b} == DEFAULT:
        return {}
    differing = [f for f in FIELDS if getattr(b, f) != getattr(a, f) and f not in b.ignored()]
    other = {f: b.effective(f) for f in differing or ["seed"]}  # no query at all means DEFAULT
    return {**to_query(a), **{SECOND + name: to_text(value) for name, value in other.items()}}


def _from_query(query: Mapping[str, str]) -> tuple[Values, list[str]]:
    if not query:
        return dict(DEFAULT), []
    first = {name: text for name, text in query.items() if not name.startswith(SECOND)}
    other = {n.removeprefix(SECOND): t for n, t in query.items() if n.startswith(SECOND)}
    a, notes = from_query(first)
    values, more = parse_query(FIELDS, other)
    b, moved = agree({**{name: getattr(a, name) for name in FIELDS}, **values})
    return {"a": a, "b": b}, [*notes, *more, *moved]


def _to_query(values: Values) -> dict[str, str]:
    return link(values["a"], values["b"])


STATE = PageState("pair", ("a", "b"), _from_query, _to_query, LABELS)


def choose() -> tuple[RunConfig, RunConfig]:
    """Draw the choice of the two runs and return them."""
    STATE.take_over()
    presets = [row.config for row in PRESETS.values()]
    first: RunConfig = STATE.value("a")
    twins = [replace(first, loss=losses_for(TASKS[first.task].form)[-1])]
    configs = list(
        dict.fromkeys([*STATE.values().values(), *pinned(), *reversed(watched()), *twins, *presets])
    )
    for column, (which, label) in zip(st.columns(2, gap="medium"), ORDER.items(), strict=True):
        with column:
            st.selectbox(
                label,
                configs,
                configs.index(STATE.value(which)),
                format_func=near_preset,
                **STATE.bound(which),
            )
            with st.popover("From a link to the trainer", icon=":material/link:"):
                st.text_input(
                    f"a link to the trainer, for {label}",
                    key=f"pasted_{which}",
                    max_chars=2000,
                    placeholder="…/train?loss=naive&seed=3",
                    on_change=_paste,
                    args=[which],
                )
    values = STATE.values()
    STATE.write(values)
    STATE.tell_notes()
    return values["a"], values["b"]


def _paste(which: str) -> None:
    """Take a run from a pasted link."""
    query = _query_in(st.session_state[f"pasted_{which}"].strip())
    config, notes = from_query(query)
    if not query:
        notes = ["that is not a link to the trainer: it has no settings in it"]
        config = STATE.value(which)
    STATE.set({**STATE.values(), which: config}, notes)


def _query_in(text: str) -> dict[str, str]:
    """Return the settings in a link, or in the part after its question mark."""
    try:
        query = dict(parse_qsl(urlsplit(text).query or text))
    except ValueError:  # not an address
        return {}
    return {name: value for name, value in query.items() if name not in NAMES}


def compare(a: RunConfig, b: RunConfig) -> None:
    """Choose these two; only before the choice is drawn, or in a callback."""
    STATE.set({"a": a, "b": b})


def page_link(a: RunConfig, b: RunConfig, label: str) -> None:
    """Draw a link that takes two runs apart."""
    page = PAGES["twins"]
    st.page_link(page.path, label=label, icon=page.icon, query_params=link(a, b))
