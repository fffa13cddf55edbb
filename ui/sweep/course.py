"""A sweep on this server: what it would cost, how far it is, and how it starts, rests and ends.

Like every errand, it runs behind everybody's own runs.
"""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import streamlit as st

from core import config
from core.limits import limits
from core.run.errands import Errand
from core.study import lanes
from core.study.sweep import Memory, Plan, Rows, Store, sweep
from core.study.sweep.cluster import sweep_on
from core.study.sweep.run import families, measure_runs
from core.study.sweep.store import ROOM, forget, kept_in, taken_in
from ui.engine import engine

FOLDER = "SAMENET_SWEEPS"  # the folder in which sweeps are kept; if unset, in memory
SCHEDULER = "SAMENET_SCHEDULER"  # the Dask cluster that they run on; if unset, this machine
POLL_SECONDS = 1.0
WANTED = "sweeps_asked"  # the sweeps that this session wants to continue
STARTED = "sweeps_started"  # those that it began, and only it may forget


class Piece(NamedTuple):
    """A batch of cells, and the seconds of work on the sweep up to its end."""

    rows: Rows
    seconds: float


class Cost(NamedTuple):
    """The time that one run took here."""

    compiled: float  # seconds, before the first step
    step: float  # seconds, the mean over a run by itself


def wanted(plan: Plan) -> bool:
    """True if this session wants the sweep to continue."""
    return plan.key in st.session_state.get(WANTED, ())


def course(plan: Plan) -> Errand | None:
    """Return how far the sweep is; if this session wants it to continue, asking keeps it going."""
    if wanted(plan):
        return engine().errands.look(_key(plan), lambda: _timed(plan))
    return engine().errands.peek(_key(plan))


def start(plan: Plan) -> None:
    """Begin the sweep or continue it; one that failed begins again, from what is kept."""
    errand = engine().errands.peek(_key(plan))
    if errand is not None and errand.failure:
        engine().errands.forget(_key(plan))
    for mine in (WANTED,) if errand else (WANTED, STARTED):
        st.session_state[mine] = {*st.session_state.get(mine, ()), plan.key}


def started(plan: Plan) -> bool:
    """True if this session started the sweep, and so may end it."""
    return plan.key in st.session_state.get(STARTED, ())


def pause(plan: Plan) -> None:
    """Pause the sweep after the current batch, unless another session wants it to continue."""
    st.session_state[WANTED] = {*st.session_state.get(WANTED, ())} - {plan.key}
    engine().errands.rest(_key(plan))


def cancel(plan: Plan) -> None:
    """End the sweep and forget what was measured."""
    pause(plan)
    engine().errands.forget(_key(plan))
    if root := kept_at():
        forget(root, plan)


def _key(plan: Plan) -> tuple[str, str]:
    return ("sweep", plan.key)


def _timed(plan: Plan) -> Iterator[Piece | None]:
    batches = _batches(plan)
    seconds = 0.0
    while True:
        began = time.perf_counter()
        try:
            batch = next(batches)
        except StopIteration:
            return
        seconds += time.perf_counter() - began
        yield None if batch is None else Piece(batch, seconds)


def _batches(plan: Plan) -> Iterator[Rows | None]:
    store: Store = kept_in(root, plan) if (root := kept_at()) else Memory()
    if address := os.environ.get(SCHEDULER):
        return sweep_on(plan, store, address)
    return sweep(plan, store)


def rows_of(errand: Errand | None) -> Rows:
    """Return what is measured so far, by cell."""
    rows: Rows = {}
    for piece in errand.pieces if errand else ():
        rows |= piece.rows
    return rows


def left(errand: Errand, size: int) -> float | None:
    """Return the seconds of work left, at the pace after the first batch, which had to compile."""
    done = sum(len(piece.rows) for piece in errand.pieces)
    if len(errand.pieces) < 2 or done == size:
        return None
    first = errand.pieces[0]
    fresh = done - len(first.rows)
    return (errand.pieces[-1].seconds - first.seconds) / fresh * (size - done)


def rough_duration(seconds: float) -> str:
    """Return seconds in words, such as 40 s or 12 min."""
    if seconds < 1:
        return f"{seconds:.1g} s"
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def cost(plan: Plan) -> Errand:
    """Return an errand that measures the Cost of the plan's first run."""
    first = plan.cells[0]
    return engine().errands.look(("cost", lanes.family(first)), lambda: _cost(plan))


def _cost(plan: Plan) -> Iterator[Cost | None]:
    took = []
    for _ in range(2):
        seconds = 0.0
        runs = measure_runs(plan.cells[:1])
        while True:
            began = time.perf_counter()
            try:
                next(runs)
            except StopIteration:
                break
            seconds += time.perf_counter() - began
            yield None
        took.append(seconds)
    yield Cost(max(0.0, took[0] - took[1]), took[1] / plan.cells[0].steps)


def refusal(plan: Plan) -> str:
    """Say which of the host's limits the plan goes beyond, or "" if it keeps to all of them."""
    most = limits().sweep_cells
    if plan.size > most:
        return (
            f"{plan.size:,} runs: this page sweeps up to {most:,}. "
            "`python -m core.study.sweep plan.json` takes more."
        )
    return next(filter(None, map(config.refusal, plan.cells)), "")


def held_up(errand: Errand) -> bool:
    """True if the sweep has not begun because the server has no memory for it."""
    return not errand.pieces and engine().budget.full()


def estimate(plan: Plan, cost: Cost) -> tuple[int, int, float]:
    """Return the runs, the programs to compile, and about how many seconds all would take."""
    groups = families(plan, {})
    runs = sum(map(len, groups))
    steps = sum(config.steps for group in groups for config in group)
    return runs, len(groups), cost.step * steps + cost.compiled * len(groups)


def kept_at() -> Path | None:
    """Return the folder that the host names for sweeps, if it names one."""
    folder = os.environ.get(FOLDER)
    return Path(folder).expanduser() if folder else None


def where() -> str:
    """Return where sweeps run and are kept, in words for the page."""
    on = "on the Dask cluster that the host names" if os.environ.get(SCHEDULER) else "here"
    root = kept_at()
    if root is None:
        return f"Trained {on}, after everybody's own runs. It is kept in memory only: download it."
    taken = taken_in(root) / 1e6
    return f"Trained {on}. Kept in {root}: {taken:.1f} of at most {ROOM / 1e6:.0f} MB."
