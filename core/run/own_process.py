"""A run in a process of its own, where its long steps and its memory do not affect other runs.

The process is `core.run.child`. It is sent the RunConfig and then, before each tick, the step to
look at next. It answers in pickles: how far its preparation is, READY, then a Snapshot or None for
each tick; a Failed may come instead of any of these.
"""

import os
import pickle
import subprocess
import sys
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax

from core.config import RunConfig
from core.limits import VARIABLES
from core.run import memory
from core.run.budget import MB
from core.run.job import ReportStatus
from core.run.snapshot import Snapshot
from core.run.train import NextLook

ROOT = Path(__file__).parents[2]
READY = "ready"
DIED = "The process of this run has ended; it may have run out of memory. Make the batch smaller."


class Failed(Exception):
    """Something went wrong in the other process; the message is written for the page."""


_children: weakref.WeakSet["OwnProcess"] = weakref.WeakSet()


class OwnProcess(Iterator[Snapshot | None]):
    """The ticks of a run in another process, which ends with this object.

    Args:
      config: the run.
      report: is told how far its preparation is.
      next_look: says for each step at which step the next snapshot is made.
      room: the bytes that the process keeps itself to; by default, those of this server.

    Raises:
      Failed: the run cannot be prepared or has failed, or its process has ended.
    """

    def __init__(
        self,
        config: RunConfig,
        report: ReportStatus,
        next_look: NextLook,
        room: int | None = None,
    ) -> None:
        environment = dict(os.environ)
        if room is not None:
            environment[VARIABLES["memory_mb"].name] = str(room / MB)
        if folder := jax.config.jax_compilation_cache_dir:  # type: ignore[attr-defined]
            environment["JAX_COMPILATION_CACHE_DIR"] = folder
        self._steps, self._next_look, self._seen = config.steps, next_look, -1
        self._process = subprocess.Popen(
            [sys.executable, "-m", "core.run.child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            env=environment,
        )
        self.end = weakref.finalize(self, _end, self._process)
        _children.add(self)
        try:
            self._tell(config)
            while (heard := self._hear()) != READY:
                report(*heard)
        except BaseException:
            self.end()
            raise

    @property
    def pid(self) -> int:
        """The system's number of the process."""
        return self._process.pid

    def __next__(self) -> Snapshot | None:
        """The next tick."""
        if self._seen >= self._steps:
            raise StopIteration
        self._tell(0 if self._seen < 0 else self._next_look(self._seen))
        snapshot: Snapshot | None = self._hear()
        if snapshot is not None:
            self._seen = snapshot.step
        if self._seen >= self._steps:
            self.end()
        return snapshot

    def _tell(self, what: Any) -> None:
        assert self._process.stdin is not None
        try:
            pickle.dump(what, self._process.stdin)
            self._process.stdin.flush()
        except OSError as error:
            raise Failed(DIED) from error

    def _hear(self) -> Any:
        assert self._process.stdout is not None
        try:
            heard = pickle.load(self._process.stdout)
        except (OSError, EOFError, pickle.UnpicklingError, ValueError) as error:
            raise Failed(DIED) from error
        if isinstance(heard, Failed):
            raise heard
        return heard


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.kill()
    process.communicate()


def resident() -> int:
    """The bytes of these processes that are in memory."""
    running = [child for child in list(_children) if child.end.alive]
    return sum(memory.resident(child.pid) for child in running)


def end_all() -> None:
    """End every process; a thread that waits for one gets Failed."""
    for child in list(_children):
        child.end()
