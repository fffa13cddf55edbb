"""Cells: the text of functions in core, and the times that they measure on this machine."""

import time
from collections.abc import Callable, Iterator
from inspect import getsource
from textwrap import dedent

import streamlit as st

from core.run.errands import Errand
from ui.charts.palette import TRAIN
from ui.engine import engine
from ui.pieces.bars import Stack, stacks
from ui.pieces.draw import code
from ui.pieces.waiting import draw_until

LONGEST = {"of the longest": TRAIN}
Times = Callable[[], Iterator[tuple[str, float]]]  # gives what was timed, and its seconds


def source(*functions: Callable[..., object], mark: str | None = None) -> None:
    """Draw the text of these functions, and mark the lines that contain `mark`."""
    code("\n\n".join(dedent(getsource(function)).strip() for function in functions), mark)


def timed(times: Times, *before: Callable[..., object]) -> None:
    """Draw a cell that measures: the text of what it calls, its own, and its times here.

    It measures when no run is waiting: once for all visitors, and again for a visitor who asks.
    """
    source(*before, times)
    pressed = f"{times.__name__}_pressed"

    def errand() -> Errand:
        return _errand(times, st.session_state.get(pressed))

    done = draw_until(lambda: errand().done, lambda _: _timed(times, errand()))
    st.button(
        "Measure again",
        icon=":material/timer:",
        key=times.__name__,
        disabled=not done,
        on_click=_press,
        args=[pressed],
    )


def _press(pressed: str) -> None:
    st.session_state[pressed] = time.time_ns()


def _errand(times: Times, pressed: int | None) -> Errand:
    return engine().errands.look(("times", times.__name__, pressed), times)


def _timed(times: Times, errand: Errand) -> None:
    with st.container(key=f"times_{times.__name__}"):  # of fixed height, so nothing below moves
        if errand.failure:
            st.error(errand.failure, icon=":material/error:")
        if not errand.done:
            st.caption("Measuring on this machine. Runs go first.")
            return
        longest = max(seconds for _, seconds in errand.pieces)
        (part,) = LONGEST
        stacks(
            [Stack(what, {part: s / longest}, duration(s)) for what, s in errand.pieces], LONGEST
        )


def duration(seconds: float) -> str:
    """The duration in words: 0.0123 gives "12.3 ms"."""
    if seconds < 1e-3:
        return f"{1e6 * seconds:.3g} µs"
    return f"{1e3 * seconds:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"
