"""Recordings in, a report out: one comparison at a time on the server, behind the runs.

A visitor's files are in his session only: the errand that compares them holds no more than a weak
reference, and its report moves to the session as soon as it is there.
"""

import threading
import time
import uuid
import weakref
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import streamlit as st

from core.study.compare.examples import OWN, PAIRS
from core.study.compare.recording import Recording, Unusable, read
from core.study.compare.report import Report
from core.study.compare.walk import compare, look
from ui.engine import engine
from ui.streamlit_privates import forget_files, session

HELD = "compare_held"  # what is compared, and what came of it
SIDES = ("a", "b")  # as the report calls them


class Walked(NamedTuple):
    """What came of a comparison."""

    recordings: tuple[Recording, ...]
    report: Report


class Given(NamedTuple):
    """A file that is to be compared."""

    key: str  # the same for the same file
    name: str
    read: Callable[[], bytes]


class Held:
    """The files of a session: their names and bytes, and what came of them, a Walked or a fault."""

    def __init__(self, given: Sequence[Given]) -> None:
        self.seen, self.gone, self.session = time.monotonic(), False, session()
        self.same = [each.key for each in given]
        self.names = [each.name for each in given]
        self.files = [each.read() for each in given]
        self.key = ("compare", uuid.uuid4().hex)
        self.result: Walked | str | None = None


def held(pair: str) -> Held | None:
    """Return what the visitor gave, or a pair of the project; None if there is nothing yet."""
    engine().budget.add(let_go)
    given = _uploads() if pair == OWN else _pair(pair)
    if getattr(st.session_state.get(HELD), "gone", False):
        st.info(GONE, icon=":material/memory:")
        del st.session_state[HELD]
    if not given:
        st.session_state.pop(HELD, None)
        return None
    known: Held | None = st.session_state.get(HELD)
    if known is None or known.same != [each.key for each in given]:
        known = st.session_state[HELD] = Held(given)
        with _joining:
            _kept.add(known)
    known.seen = time.monotonic()
    return known


GONE = (
    "This server needed the memory that your recordings took, and has let them go. Choose the "
    "files again to see what came of them."
)
AWAY = 300.0  # seconds after which a session's files may be let go
_kept: "weakref.WeakSet[Held]" = weakref.WeakSet()
_joining = threading.Lock()  # a session joins while the budget goes through all of them


def let_go() -> int | None:
    """Forget the recordings of the session seen longest ago, its uploads too; their bytes, or None.

    A session that was seen in the last AWAY seconds keeps its own.
    """
    old = time.monotonic() - AWAY
    with _joining:
        left = [each for each in _kept if each.seen < old]
    if (each := min(left, key=lambda each: each.seen, default=None)) is None:
        return None
    _kept.discard(each)
    size = sum(map(len, each.files))
    forget_files(each.session, each.same)
    each.files, each.result, each.gone = [], None, True
    return size


def _pair(pair: str) -> list[Given]:
    return [Given(str(path), path.name, path.read_bytes) for path in PAIRS[pair].paths]


def _uploads() -> list[Given]:
    halves = zip(st.columns(2, gap="medium"), SIDES, strict=True)
    uploads = [
        half.file_uploader(f"Recording {side}", "safetensors", key=f"compare_{side}")
        for half, side in halves
    ]
    return [Given(up.file_id, up.name, up.getvalue) for up in uploads if up is not None]


def walked(each: Held) -> bool:
    """Return whether the comparison is done, and have it go on if it is not."""
    if each.result is None:
        errand = engine().errands.look(each.key, partial(_walk, weakref.ref(each)))
        if errand.done:
            engine().errands.forget(each.key)
            each.result = errand.pieces[0] if errand.pieces else FAULT
    return each.result is not None


FAULT = "These recordings could not be compared; that is a fault of this project. Please report it."


def _walk(of: "weakref.ref[Held]") -> Iterator[Walked | str]:
    if (each := of()) is None:  # the visitor has left
        return
    recordings = []
    for name, data in zip(each.names, each.files, strict=True):
        try:
            recordings.append(read(data))
        except Unusable as fault:
            yield f"{name}: {fault}"
            return
    report = compare(*recordings) if len(recordings) > 1 else look(*recordings)
    yield Walked(tuple(recordings), report)
