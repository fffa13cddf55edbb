"""Errands: work that is done a piece at a time, while nobody waits for a run.

An errand is a generator that yields None or a piece of its result. It goes on as long as somebody
looks at it now and then.
"""

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from itertools import chain
from typing import Any, NamedTuple

from core.data import DataUnavailable
from core.run.budget import bytes_in
from core.run.price import TooLong

log = logging.getLogger("samenet.errands")

LEASE = 20.0  # seconds for which one look keeps an errand going
END_SECONDS = 300.0  # how long a piece may take to end, for which a server that ends has to wait
LEFT = 120.0  # seconds without a look after which an errand that is not done may be forgotten
REFUSALS = (MemoryError, TooLong, DataUnavailable)  # they say why in words, and are no fault
KEEP = 64  # errands kept for the next visitor who asks for the same, and all that are looked at


class Errand(NamedTuple):
    """How far an errand is."""

    pieces: list[Any]
    done: bool
    failure: str  # what went wrong, or ""


class _Work:
    def __init__(self, make: Callable[[], Iterator[Any]]) -> None:
        self.make = make
        self.iterator: Iterator[Any] | None = None
        self.pieces: list[Any] = []
        self.done = False
        self.failure = ""
        self.lease = 0.0
        self.turn = 0.0  # when it was last advanced


class Errands:
    """One thread that advances the errands in turn, a piece each; new ones go first.

    Args:
      idle: waits at most so many seconds until nobody waits for a run; returns whether that is so.
      full: whether the server has no memory for anything new, so that no errand begins.
    """

    def __init__(
        self, idle: Callable[[float], bool], full: Callable[[], bool] = lambda: False
    ) -> None:
        self._idle, self._full = idle, full
        self._lock = threading.Lock()
        self._works: OrderedDict[Hashable, _Work] = OrderedDict()
        self._thread: threading.Thread | None = None
        self._closed = False
        self.beginning = False  # whether an errand is at its first piece, for which most compile

    def look(
        self, key: Hashable, make: Callable[[], Iterator[Any]], lease: float = LEASE
    ) -> Errand:
        """Return how far the errand `key` is; a new one is started with `make`.

        It goes on for `lease` seconds from now, or longer if somebody else wants it.
        """
        with self._lock:
            work = self._works.setdefault(key, _Work(make))
            self._works.move_to_end(key)
            now = time.monotonic()
            work.lease = max(work.lease, now + lease)
            left = [key for key, work in self._works.items() if work.lease < now]
            surplus = max(0, len(self._works) - KEEP)
            gone = [self._works.pop(key) for key in left[:surplus]]
            if not work.done and (self._thread is None or not self._thread.is_alive()):
                self._thread = threading.Thread(target=self._run, daemon=True, name="errands")
                self._thread.start()
            errand = Errand(list(work.pieces), work.done, work.failure)
        del gone  # closing what they have open may take a while
        return errand

    def wanted(self, key: Hashable) -> bool:
        """Whether somebody looks at an errand."""
        with self._lock:
            work = self._works.get(key)
            return work is not None and work.lease > time.monotonic()

    def peek(self, key: Hashable) -> Errand | None:
        """Return how far an errand is, without keeping it going; None if unknown."""
        with self._lock:
            work = self._works.get(key)
            return None if work is None else Errand(list(work.pieces), work.done, work.failure)

    def rest(self, key: Hashable) -> None:
        """Pause an errand after its current piece, until somebody looks again."""
        with self._lock:
            if work := self._works.get(key):
                work.lease = 0.0

    def forget(self, key: Hashable) -> None:
        """End an errand after its current piece; asked for again, it starts from the beginning."""
        with self._lock:
            gone = self._works.pop(key, None)
        del gone

    def waiting(self) -> bool:
        """Whether somebody looks at an errand that is not done."""
        return self._next() is not None

    def let_go(self) -> int | None:
        """Forget the oldest errand that nobody looks at; its bytes, or None if there is none.

        One that is not done goes after all that are, and not before it has been left for LEFT s.
        """
        now = time.monotonic()
        with self._lock:
            works = self._works.items()
            done = (key for key, work in works if work.done and work.lease < now)
            left = (key for key, work in works if not work.done and work.lease < now - LEFT)
            if (key := next(chain(done, left), None)) is None:
                return None
            work = self._works.pop(key)
        return bytes_in(work.pieces)

    def count(self) -> tuple[int, int]:
        """How many errands are kept, and how many of them go on for somebody."""
        now = time.monotonic()
        with self._lock:
            works = self._works.values()
            return len(works), sum(not work.done and work.lease > now for work in works)

    def close(self) -> None:
        """Stop after the current piece."""
        self._closed = True
        with self._lock:  # in which a look starts a thread
            thread = self._thread
        if thread is not None:
            thread.join(timeout=END_SECONDS)

    def _next(self) -> _Work | None:
        full = self._full()
        with self._lock:
            return self._first(full)

    def _take(self) -> _Work | None:
        """The errand to advance; without one this thread ends, and the next look starts another."""
        full = self._full()
        with self._lock:
            if (work := self._first(full)) is None:
                self._thread = None  # it is still alive, but looks no further
            return work

    def _first(self, full: bool) -> _Work | None:
        now = time.monotonic()
        waiting = [work for work in self._works.values() if not work.done and work.lease > now]
        if full:
            waiting = [work for work in waiting if work.iterator is not None]
        return min(waiting, key=lambda work: work.turn, default=None)

    def _run(self) -> None:
        """Advance one errand at a time, while nobody waits for a run, until none is left."""
        while not self._closed and (work := self._take()) is not None:
            if self._idle(1.0) and not self._closed:
                self._advance(work)

    def _advance(self, work: _Work) -> None:
        work.turn = time.monotonic()
        self.beginning = work.iterator is None
        try:
            work.iterator = work.iterator or work.make()
            piece = next(work.iterator)
        except StopIteration:
            work.done = True
        except Exception as error:
            if self._closed:  # it fails because the server is ending, which is no fault of it
                return
            if isinstance(error, REFUSALS):
                log.warning("an errand was refused: %s", error)
            else:
                log.exception("an errand failed")
            work.failure, work.done = f"{type(error).__name__}: {error}", True
        else:
            if piece is not None:
                work.pieces.append(piece)
        finally:
            self.beginning = False
