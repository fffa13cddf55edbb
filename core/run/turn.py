"""Whose turn it is to answer a click: side by side, all answers would end late."""

import threading
import time

TURN_SECONDS = 0.25  # longer than a page takes


class Turn:
    """One thread at a time answers a click."""

    def __init__(self) -> None:
        self._lock, self._taken = threading.Lock(), (0, 0.0)  # the thread that has it, since when

    def take(self) -> None:
        """Wait for a thread that is already answering a click.

        But do not wait for one that takes longer than a page, because it is compiling or waiting.
        """
        while not self._lock.acquire(timeout=TURN_SECONDS):
            if time.monotonic() - self._taken[1] > TURN_SECONDS:
                return
        self._taken = threading.get_ident(), time.monotonic()

    def end(self) -> bool:
        """End this thread's turn; return whether it had it."""
        mine = self._taken[0] == threading.get_ident()
        if mine:
            self._taken = 0, time.monotonic()
            self._lock.release()
        return mine
