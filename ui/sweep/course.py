"""A sweep on this server: what it would cost, how far it is, and its start, rest and end.

It takes turns behind everybody's own runs, as every errand does.
"""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import streamlit as st

from core.run.errands import Errand
from core.study import lanes
from core.study.sweep import Memory, Plan, Rows, Store, sweep
from core.study.sweep.cluster import sweep_on
from core.study.sweep.run import families, measured
from core.study.sweep.store import ROOM, forget, kept_in, taken_in
from ui.engine import engine

FOLDER = "SAMENET_SWEEPS"  # the folder in which sweeps are kept; in memory without it
SCHEDULER = "SAMENET_SCHEDULER"  # the Dask cluster that they run on; on this machine without it
MOST = 2000  # cells that the page sweeps
POLL_SECONDS = 1.0
ASKED = "sweeps_asked"  # the sweeps that this session wants to go on
STARTED = "sweeps_started"  # those that it began: another one may not forget them


class Piece(NamedTuple):
    """A batch of cells, and the seconds that the sweep has been worked on until then."""

    rows: Rows
    seconds: float


class Cost(NamedTuple):
    """What one run took here."""

    compiled: float  # seconds, before the first step
    step: float  # seconds, of a run alone, from its beginning to its end


def asked(plan: Plan) -> bool:
    """Whether this session wants the sweep to go on."""
    return plan.key in st.session_state.get(ASKED, ())


def course(plan: Plan) -> Errand | None:
    """How far the sweep is; a session that wants it to go on keeps it going by looking."""
    if asked(plan):
        return engine().errands.look(_key(plan), lambda: _timed(plan))
    return engine().errands.found(_key(plan))


def start(plan: Plan) -> None:
    """Begin the sweep, or go on with it; one that failed is begun anew, from what is kept."""
    found = engine().errands.found(_key(plan))
    if found is not None and found.failure:
        engine().errands.forget(_key(plan))
    for mine in (ASKED,) if found else (ASKED, STARTED):
        st.session_state[mine] = {*st.session_state.get(mine, ()), plan.key}


def started(plan: Plan) -> bool:
    """Whether this session started the sweep, so that it may end it, too."""
    return plan.key in st.session_state.get(STARTED, ())


def rest(plan: Plan) -> None:
    """Let it rest after the batch at hand, if nobody else looks."""
    st.session_state[ASKED] = {*st.session_state.get(ASKED, ())} - {plan.key}
    engine().errands.rest(_key(plan))


def cancel(plan: Plan) -> None:
    """End it and forget what was measured."""
    rest(plan)
    engine().errands.forget(_key(plan))
    if root := kept_at():
        forget(root, plan)


def _key(plan: Plan) -> tuple[str, str]:
    return ("sweep", plan.key)


def _timed(plan: Plan) -> Iterator[Piece | None]:
    batches = _batches(plan)
    seconds = 0.0
    while True:
        started = time.perf_counter()
        try:
            batch = next(batches)
        except StopIteration:
            return
        seconds += time.perf_counter() - started
        yield None if batch is None else Piece(batch, seconds)


def _batches(plan: Plan) -> Iterator[Rows | None]:
    store: Store = kept_in(root, plan) if (root := kept_at()) else Memory()
    if address := os.environ.get(SCHEDULER):
        return sweep_on(plan, store, address)
    return sweep(plan, store)


def rows_of(found: Errand | None) -> Rows:
    """What is measured so far, by cell."""
    rows: Rows = {}
    for piece in found.pieces if found else ():
        rows |= piece.rows
    return rows


def left(found: Errand, size: int) -> float | None:
    """Seconds of work left, by the batches after the first, which waited for a compilation."""
    done = sum(len(piece.rows) for piece in found.pieces)
    if len(found.pieces) < 2 or done == size:
        return None
    first = found.pieces[0]
    fresh = done - len(first.rows)
    return (found.pieces[-1].seconds - first.seconds) / fresh * (size - done)


def words_of_time(seconds: float) -> str:
    """As in: 40 s; 12 min."""
    if seconds < 1:
        return f"{seconds:.1g} s"
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def cost(plan: Plan) -> Errand:
    """What the plan's first run costs, as an errand of one Cost."""
    first = plan.cells[0]
    return engine().errands.look(("cost", lanes.family(first)), lambda: _cost(plan))


def _cost(plan: Plan) -> Iterator[Cost | None]:
    took = []
    for _ in range(2):
        seconds = 0.0
        runs = measured(plan.cells[:1])
        while True:
            started = time.perf_counter()
            try:
                next(runs)
            except StopIteration:
                break
            seconds += time.perf_counter() - started
            yield None
        took.append(seconds)
    yield Cost(max(0.0, took[0] - took[1]), took[1] / plan.cells[0].steps)


def estimate(plan: Plan, found: Cost) -> tuple[int, int, float]:
    """Runs, programs to be compiled, and about how many seconds all would take."""
    groups = families(plan, {})
    runs = sum(map(len, groups))
    steps = sum(config.steps for group in groups for config in group)
    return runs, len(groups), found.step * steps + found.compiled * len(groups)


def kept_at() -> Path | None:
    """The folder that the host names for sweeps."""
    told = os.environ.get(FOLDER)
    return Path(told).expanduser() if told else None


def where() -> str:
    """Where sweeps run and are kept, for the page."""
    on = "on the Dask cluster that the host names" if os.environ.get(SCHEDULER) else "here"
    root = kept_at()
    if root is None:
        return f"Trained {on}, after everybody's own runs. It is kept in memory only: download it."
    taken = taken_in(root) / 1e6
    return f"Trained {on}. Kept in {root}: {taken:.1f} of at most {ROOM / 1e6:.0f} MB."
