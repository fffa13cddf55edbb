"""The session's runs: the last ones, to go back to, and the pinned ones, drawn beside the next."""

import threading
import time
from collections.abc import Callable
from functools import partial
from weakref import WeakValueDictionary

import streamlit as st

from core.config import RunConfig
from core.parts.choices import TASKS
from core.run.budget import bytes_in
from core.run.job import Status, Viewer
from core.run.snapshot import Snapshot
from ui.charts.live import Pin, pin
from ui.charts.palette import PINS
from ui.engine import engine
from ui.pieces.names import names, near_preset
from ui.state import bound, key_of, put
from ui.trainer import controls
from ui.trainer.controls import pinned

LAST = 8  # runs that are remembered besides the pinned ones
WATCHED = "seen_runs"
TRAINED = "trained_pins"  # the views of runs that a link has pinned, while they are trained

THINNED = 8  # snapshots of a run that are never thinned further


class Watched(dict[RunConfig, list[Snapshot]]):
    """The runs that a session has watched, with their snapshots, the newest last."""

    used = 0.0  # when the session last asked for them


_everybodys: WeakValueDictionary[int, Watched] = WeakValueDictionary()
_joining = threading.Lock()  # a session joins while the budget goes through all of them


def watched() -> Watched:
    """Return the runs that this session has watched, with their snapshots, the newest last."""
    if (mine := st.session_state.get(WATCHED)) is None:
        mine = st.session_state[WATCHED] = Watched()
        with _joining:
            _everybodys[id(mine)] = mine
        engine().budget.add(let_go_of_looks)
    mine.used = time.monotonic()
    return mine


def let_go_of_looks() -> int | None:
    """Thin a run that the session seen longest ago remembers; the bytes, or None if all are thin.

    Every other snapshot goes; the first and the last stay.
    """
    with _joining:
        sessions = list(_everybodys.values())
    for session in sorted(sessions, key=lambda session: session.used):
        for config, snapshots in list(session.items()):
            if len(snapshots) > THINNED and config in session:
                session[config] = kept = [*snapshots[:-1:2], snapshots[-1]]
                return bytes_in(snapshots) - bytes_in(kept)
    return None


def remember(config: RunConfig, snapshots: list[Snapshot]) -> None:
    """Remember the snapshots of a run, and forget the oldest runs that are not pinned."""
    runs = watched()
    runs.pop(config, None)
    runs[config] = snapshots
    unpinned = [config for config in runs if config not in pinned()]
    for old in unpinned[:-LAST]:
        runs.pop(old, None)  # another run of the script may be here, too


def toggle(config: RunConfig, snapshots: list[Snapshot]) -> None:
    """Unpin a run if it is pinned; otherwise pin it, unpinning the oldest if there are too many."""
    before = pinned()
    if config in before:
        controls.pin(each for each in before if each != config)
        return
    controls.pin((*before, config)[-len(PINS) :])
    remember(config, snapshots)


def train_pins() -> None:
    """Train the pinned runs that this session has not watched: a link has pinned them."""
    going: dict[RunConfig, Viewer] = st.session_state.setdefault(TRAINED, {})
    for config in [config for config in going if config not in pinned()]:
        going.pop(config).stop()
    for config in pinned():
        if config not in watched() and (config not in going or not going[config].alive()):
            going[config] = engine().submit(config)


def training() -> bool:
    """True while pinned runs are being trained; each look renews their leases."""
    going: dict[RunConfig, Viewer] = st.session_state.get(TRAINED, {})
    for config, viewer in list(going.items()):
        if not viewer.alive():
            viewer = going[config] = engine().submit(config)
        view = viewer.view()
        if view.status is Status.DONE:
            remember(config, view.snapshots)
            going.pop(config, None)
    ended = (Status.FAILED, Status.REFUSED)
    return any(viewer.view().status not in ended for viewer in going.values())


def pins(series: bool) -> list[Pin]:
    """Return the pinned runs of images, or of series, for charts, named by what differs."""
    configs = [config for config in pinned() if TASKS[config.task].series == series]
    named = zip(names(configs), configs, strict=True)
    return [pin(name, watched()[config]) for name, config in named if config in watched()]


def shelf(open_run: Callable[[RunConfig], None], current: RunConfig) -> None:
    """Draw the session's runs under the trainer: which are pinned, and which to go back to.

    `open_run` sets the trainer to a run; it is called in a callback. The menus name a run after its
    nearest preset, whatever else they list: the browser reports a choice by its name, so the name
    must not change.
    """
    seen = list(reversed(watched()))
    configs = list(dict.fromkeys([*seen, *pinned()]))
    if not configs:
        st.caption("Runs that have trained are kept here: to go back to, or to pin.")
        return
    put("shelf_pinned", pinned())
    put("shelf_open", None)
    kept, last = st.columns(2, gap="medium", vertical_alignment="bottom")
    kept.multiselect(
        "pinned: drawn beside the run",
        configs,
        list(pinned()),
        format_func=near_preset,
        max_selections=len(PINS),
        placeholder="none yet; Pin keeps this run",
        **bound("shelf_pinned", _pin_chosen),
    )
    last.selectbox(
        "back to a run of this session",
        [c for c in seen if c != current],
        index=None,
        format_func=near_preset,
        placeholder=f"{len(seen)} seen",
        **bound("shelf_open", partial(_open_chosen, open_run)),
    )


def _open_chosen(open_run: Callable[[RunConfig], None]) -> None:
    if (config := st.session_state[key_of("shelf_open")]) is not None:
        open_run(config)


def _pin_chosen() -> None:
    controls.pin(st.session_state[key_of("shelf_pinned")])
