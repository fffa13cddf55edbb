"""Where NaN comes from: in a run, if the visitor asks, and in a loss at one logit."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import streamlit as st

from core.config import RunConfig
from core.fields import number
from core.parts.losses import Form
from core.run.errands import Errand
from core.run.job import View
from core.run.prepare import device_data
from core.run.snapshot import Snapshot
from core.study import origin
from ui.engine import engine
from ui.state import rerun

ASKED = "origins_asked"  # the runs whose NaN the visitor has asked about
HEALTHY = "origins_healthy"  # how many snapshots were found healthy, and the last of them


def ask(config: RunConfig, view: View, snapshots: list[Snapshot] | None) -> None:
    """Draw a button that asks where the NaN comes from that the last of `snapshots` has."""
    if snapshots is None or view.long or _search(config, snapshots):
        return
    st.button(
        "Where does the NaN come from?",
        key="origin",
        icon=":material/search:",
        on_click=_asked,
        args=[config],
    )


def _asked(config: RunConfig) -> None:
    st.session_state[ASKED] = (*st.session_state.get(ASKED, ()), config)
    rerun()


def first_nan(config: RunConfig, view: View, snapshots: list[Snapshot] | None) -> None:
    """Say where the NaN that the last of `snapshots` has comes from, once that has been asked."""
    if snapshots is None:
        return
    if view.long:
        st.caption("The source of the NaN is not searched for: a step of this run takes too long.")
        return
    errand = _search(config, snapshots)
    if errand is None:
        return
    if errand.failure:
        st.warning(f"The source of the NaN could not be found: {errand.failure}")
    elif errand.pieces:
        sentence = origin.sentence(errand.pieces[0])
        st.warning(f"**The first NaN.** {sentence}", icon=":material/search:")
    else:
        before = snapshots[-2].step if len(snapshots) > 1 else 0
        st.caption(
            f"Searching: training again up to step {snapshots[-1].step:,}, one update at a time "
            f"from step {before:,} on. Everybody's runs go first."
        )


def known(config: RunConfig, snapshots: list[Snapshot] | None) -> bool:
    """True if it is said where the NaN comes from that the last of `snapshots` has."""
    errand = None if snapshots is None else _search(config, snapshots)
    return errand is not None and bool(errand.pieces)


def waits(config: RunConfig, view: View) -> bool:
    """True if an origin is being searched for."""
    if config not in st.session_state.get(ASKED, ()):
        return False
    snapshots = until_broken(view.snapshots)
    errand = None if snapshots is None else _search(config, snapshots)
    return errand is not None and not errand.done


def until_broken(shown: Sequence[Snapshot]) -> list[Snapshot] | None:
    """Return the snapshots up to the first broken one; None if none is broken.

    A run only grows, so a frame looks at what is new: all 400 of a long run take 2 ms.
    """
    known, last = st.session_state.get(HEALTHY, (0, None))
    start = known if 0 < known <= len(shown) and shown[known - 1] is last else 0
    for i in range(start, len(shown)):
        if origin.broken(shown[i]):
            return list(shown[: i + 1])
    if shown:
        st.session_state[HEALTHY] = len(shown), shown[-1]
    return None


def _search(config: RunConfig, snapshots: list[Snapshot]) -> Errand | None:
    if config not in st.session_state.get(ASKED, ()):
        return None
    key = "origin", config, tuple(snapshot.step for snapshot in snapshots)
    return engine().errands.look(key, lambda: origin.of_run(config, device_data(config), snapshots))


class Case(NamedTuple):
    """A loss at a logit where it, or its derivative, is NaN or infinite."""

    name: str
    form: Form
    key: str
    z: float
    label: int
    epsilon: float
    dtype: np.dtype[Any]


def causes(cases: Sequence[Case], key: str) -> None:
    """Show, once opened, which operations make each case NaN or infinite; nothing without cases."""
    if not cases:
        return
    title = "Where does NaN or inf come from?"
    with st.expander(title, key=key, icon=":material/search:", on_change="rerun") as box:
        if not box.open:  # because each operation is compiled once
            return
        for case in cases:
            made = origin.at_logit(*case[1:])
            if made is not None:
                where = f"{origin.PARTS[made.result]} at z = {number(case.z, 5)}"
                st.markdown(f"**{case.name}**, {where}: {origin.derivation(made)}")
