"""Files in, a report out: one piece of work at a time on the server, behind the runs.

A visitor's files are in his session only: the errand that reads them holds no more than a weak
reference, and its report moves to the session as soon as it is there.
"""

import threading
import time
import uuid
import weakref
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

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
    """A file that is to be looked at."""

    key: str  # the same for the same file
    name: str
    read: Callable[[], bytes]


Work = Callable[[Sequence[str], Sequence[bytes]], Iterator[Any]]  # names, files -> pieces


class Held:
    """The files of a session: their names and bytes, and what came of them, or a fault as text."""

    def __init__(self, given: Sequence[Given], work: Work) -> None:
        self.seen, self.gone, self.session = time.monotonic(), False, session()
        self.same = [each.key for each in given]
        self.names = [each.name for each in given]
        self.files = [each.read() for each in given]
        self.work = work  # its last piece is the result, the others are how far it is, 0 to 1
        self.key = ("compare", uuid.uuid4().hex)
        self.result: Any = None
        self.done = 0.0


def held(given: Sequence[Given], work: Work, name: str = HELD) -> Held | None:
    """Return these files as the session holds them under `name`; None if there are none."""
    engine().budget.add(let_go)
    if getattr(st.session_state.get(name), "gone", False):
        st.info(GONE, icon=":material/memory:")
        st.session_state[name] = None
    if not given:
        st.session_state[name] = None
        return None
    known: Held | None = st.session_state.get(name)
    if known is None or known.same != [each.key for each in given]:
        known = st.session_state[name] = Held(given, work)
        with _joining:
            _kept.add(known)
    known.seen = time.monotonic()
    return known


GONE = (
    "This server needed the memory that your files took, and has let them go. Choose the files "
    "again to see what came of them."
)
AWAY = 300.0  # seconds after which a session's files may be let go
_kept: "weakref.WeakSet[Held]" = weakref.WeakSet()
_joining = threading.Lock()  # a session joins while the budget goes through all of them


def let_go() -> int | None:
    """Forget the files of the session seen longest ago, its uploads too; their bytes, or None.

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


def recordings(pair: str) -> Held | None:
    """Return the recordings that the visitor gave, or a pair of the project."""
    if pair != OWN:
        paths = PAIRS[pair].paths
        return held([Given(str(path), path.name, path.read_bytes) for path in paths], walk)
    halves = zip(st.columns(2, gap="medium"), SIDES, strict=True)
    uploads = [
        half.file_uploader(f"Recording {side}", "safetensors", key=f"compare_{side}")
        for half, side in halves
    ]
    return held([Given(up.file_id, up.name, up.getvalue) for up in uploads if up], walk)


def ready(each: Held) -> bool:
    """Return whether the work is done, and have it go on if it is not."""
    if each.result is None:
        errand = engine().errands.look(each.key, partial(_pieces, weakref.ref(each)))
        if errand.done:
            engine().errands.forget(each.key)
            each.result = FAULT if errand.failure or not errand.pieces else errand.pieces[-1]
        elif errand.pieces and isinstance(share := errand.pieces[-1], float):
            each.done = share  # the result may be there before the errand has ended
    return each.result is not None


FAULT = "These files could not be looked at; that is a fault of this project. Please report it."


def _pieces(of: "weakref.ref[Held]") -> Iterator[Any]:
    if (each := of()) is None:  # the visitor has left
        return
    pieces = each.work(each.names, each.files)
    del each
    for piece in pieces:
        yield piece
        if of() is None:
            return


def walk(names: Sequence[str], files: Sequence[bytes]) -> Iterator[Walked | str]:
    """Compare two recordings, or look at one; a file's fault is the result instead."""
    found = []
    for name, data in zip(names, files, strict=True):
        try:
            found.append(read(data))
        except Unusable as fault:
            yield f"{name}: {fault}"
            return
    report = compare(*found) if len(found) > 1 else look(*found)
    yield Walked(tuple(found), report)
