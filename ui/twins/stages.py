"""Two runs at each stage of their first step: which is the first that differs."""

from functools import partial

import streamlit as st

from core.config import RunConfig
from core.run.errands import Errand
from core.study.twins import Stage, first_stages
from ui.engine import engine
from ui.pieces.draw import text_table
from ui.pieces.glossary import explained
from ui.pieces.waiting import draw_until
from ui.story.parting import data_of
from ui.story.twin import Twin


def stages(a: Twin, b: Twin) -> None:
    """Say at which stage two runs differ first, and show what both have at every stage."""
    search = partial(_search, a.config, b.config)
    draw_until(lambda: search().done, lambda _: _stages(a, b, search()))


def _stages(a: Twin, b: Twin, search: Errand) -> None:
    if search.failure:
        st.error(search.failure, icon=":material/error:")
    elif search.pieces:
        _tell(a, b, search.pieces[0])
    else:
        st.caption("Comparing their first step, stage by stage. Other runs go first.")


def _tell(a: Twin, b: Twin, found: list[Stage]) -> None:
    st.markdown(_verdict(found), help=explained("logit", "loss", "gradient norm"))
    text_table(
        {
            "before the first step": [stage.name for stage in found],
            a.label: [stage.values[0] for stage in found],
            b.label: [stage.values[1] for stage in found],
            "difference": [stage.finding for stage in found],
        },
        "What both runs have at each stage of their first step",
    )


def _verdict(found: list[Stage]) -> str:
    """Name the first stage that differs."""
    first = next((stage for stage in found if stage.differs), None)
    if first is None:
        return "Before the first step they are the same up to rounding: what differs comes later."
    rest = found[found.index(first) + 1 :]
    after = (
        " What comes after it follows from that, or has a cause of its own: make this the same "
        "first, then look again."
        if any(stage.differs is not False for stage in rest)
        else ""
    )
    return f"They differ before the first step, first in the **{first.name}**.{after}"


def _search(a: RunConfig, b: RunConfig) -> Errand:
    """The errand that compares their first step; all other runs go first."""
    look = engine().errands.look
    return look(("stages", a, b), lambda: first_stages(a, b, data_of(a), data_of(b)))
