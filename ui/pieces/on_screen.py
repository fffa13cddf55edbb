"""The run that the trainer shows; other parts of the app look at it, too."""

import threading
from dataclasses import dataclass, field

import streamlit as st

from core.config import RunConfig
from core.run.job import Viewer
from core.run.snapshot import Snapshot


@dataclass
class OnScreen:
    """What the trainer shows to one session.

    One object, because the script's run may end at any access to the session's state: the visitor
    has changed something meanwhile. As three entries there, a run that had been left was still
    called the session's own until the next one was entered. Whoever went back to it in between saw
    it stand still (tests/pages/test_quick_visitor.py).
    """

    # Two runs of the script may overlap: a new one does not wait for the end of the old one.
    lock: threading.RLock = field(default_factory=threading.RLock)
    viewer: Viewer | None = None
    before: list[Snapshot] = field(default_factory=list)  # of the run before
    config: RunConfig | None = None  # the last settings that had something to show


def on_screen() -> OnScreen:
    """Return what the trainer shows to this session."""
    return st.session_state.setdefault("on_screen", OnScreen())
