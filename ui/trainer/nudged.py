"""Is a run's result chance? Nudged copies start from its weights changed in the last digit.

Copies train when no visitor waits for a run: unasked if they cost little, otherwise when the
visitor asks for them.
"""

import numpy as np
import streamlit as st

from core.config import RunConfig
from core.run.errands import Errand
from core.run.job import Status, View
from core.run.prepare import device_data
from core.study import band
from ui.charts.frame import Ribbon
from ui.engine import engine
from ui.state import rerun

COPIES = 7
CHEAP = 20.0  # seconds: copies that cost less are trained unasked
STEADY = 0.01  # copies are called steady up to this spread of accuracies, or of relative errors


def copies(config: RunConfig, view: View) -> Errand | None:
    """Return the copies of a finished run, as far as they are; None if they are not asked for."""
    if view.status is not Status.DONE or view.long:
        return None
    if view.seconds * COPIES > CHEAP and config not in st.session_state.get("copies_asked", ()):
        return None
    return engine().errands.look(("copies", config), lambda: _run(config))


def waits(config: RunConfig, view: View) -> bool:
    """True if copies are still on their way."""
    errand = copies(config, view)
    return errand is not None and not errand.done


def _run(config: RunConfig) -> band.Copies:
    return band.copies(config, device_data(config), COPIES)


def ribbon(errand: Errand | None) -> Ribbon | None:
    """Return the range of the copies at each step, once they are all there."""
    if errand is None or not errand.done or not errand.pieces:
        return None
    scores = np.stack([piece.score for piece in errand.pieces])
    return Ribbon(errand.pieces[0].steps, scores.min(axis=0), scores.max(axis=0))


def sentence(view: View, errand: Errand | None) -> str:
    """Return what is known so far about chance in the result of a run."""
    if view.status is not Status.DONE:
        return ""
    if view.long:
        return "Chance is not measured for this run: its steps take too long."
    if errand is None:
        return "Chance has not been measured."
    if errand.failure:
        return f"Chance could not be measured: {errand.failure}"
    if not errand.done:
        return f"Measuring chance: nudged copy {len(errand.pieces) + 1} of {COPIES}."
    is_error = view.snapshots[-1].fit is not None
    return verdict([float(piece.score[-1]) for piece in errand.pieces], is_error)


def verdict(ends: list[float], is_error: bool = False) -> str:
    """Return what the copies' final accuracies (or errors) say: steady, chaotic, or NaN."""
    who = f"{len(ends)} nudged copies"
    low, high = min(ends), max(ends)
    if broken := int(np.isnan(ends).sum()):
        return f"{'All' if broken == len(ends) else f'{broken} of'} {who} end in NaN."
    if is_error and high - low <= STEADY * high:
        return f"Steady: {who} end at errors that differ by {(high - low) / high:.1%}."
    if is_error:
        return f"Chaotic: {who} end at errors from {low:.3g} to {high:.3g}."
    if high - low <= STEADY:
        return f"Steady: {who} end within {100 * (high - low):.1f} points of each other."
    return f"Chaotic: {who} end anywhere from {low:.1%} to {high:.1%}."


def ask(config: RunConfig, view: View, errand: Errand | None, key: str = "copies") -> None:
    """Draw a button that trains the copies, if they cost too much to be trained unasked."""
    if view.status is not Status.DONE or view.long or errand is not None:
        return
    label = f"Measure it: {COPIES} nudged copies, about {view.seconds * COPIES:.0f} s"
    later = "They train after everybody's runs."
    st.button(label, key=key, icon=":material/casino:", help=later, on_click=_asked, args=[config])


def _asked(config: RunConfig) -> None:
    st.session_state["copies_asked"] = (*st.session_state.get("copies_asked", ()), config)
    rerun()
