"""The live engine: submit a RunConfig, get a Viewer of its run.

One worker thread advances all runs in turn, a chunk of about 50 ms each, so that no
visitor starves. Viewers of the same configuration share one run; finished runs are kept,
oldest out. A viewer that stops looking loses its lease, and a run that nobody looks at
pauses and is freed later. Nothing here knows about a screen.
"""

import atexit
import logging
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from enum import StrEnum
from functools import partial
from typing import NamedTuple
from weakref import WeakSet

from core import train
from core.config import RunConfig
from core.data import SOURCES, DataUnavailable, load
from core.snapshot import Snapshot

log = logging.getLogger("samenet.engine")

Report = Callable[["Status", float, str], None]  # status, fraction done, what is being done
Prepare = Callable[[RunConfig, Report], Iterator[Snapshot | None]]


class Status(StrEnum):
    """Where a run stands; the value is shown."""

    QUEUED = "queued"
    PREPARING = "preparing data"
    COMPILING = "compiling"
    RUNNING = "running"
    PAUSED = "paused"
    DONE = "done"
    FAILED = "failed"


class Abandoned(Exception):
    """Raised inside a preparation that nobody waits for any more."""


class View(NamedTuple):
    """What a viewer sees at one moment."""

    status: Status
    snapshots: list[Snapshot]
    steps: int  # in the whole run
    place: int = 0  # in the queue, from 1; 0 when not queued
    fraction: float = 0.0  # of the preparation
    message: str = ""  # what is being prepared, or what went wrong
    steps_per_second: float | None = None
    seconds_left: float | None = None


class _Job:
    """A run, shared by its viewers. Guarded by the engine's lock."""

    def __init__(self, config: RunConfig) -> None:
        self.config = config
        self.marks = train.snapshot_steps(config)
        self.status = Status.PREPARING
        self.fraction, self.message = 0.0, ""
        self.ticks: Iterator[Snapshot | None] | None = None
        self.snapshots: list[Snapshot] = []
        self.viewers: set[Viewer] = set()
        self.seen = 0.0  # when somebody last looked
        self.pace: deque[tuple[float, int]] = deque(maxlen=16)  # (time, step) of late snapshots

    @property
    def step(self) -> int:
        return self.snapshots[-1].step if self.snapshots else -1

    def ended(self) -> bool:
        return self.status in (Status.DONE, Status.FAILED)

    def wanted(self, now: float) -> bool:
        """Whether a viewer with a lease wants a step that is not there yet."""
        return any(viewer.limit > self.step and viewer.lease > now for viewer in self.viewers)


class Viewer:
    """One visitor's hold on a run: its own pause and step, though the run may be shared."""

    def __init__(self, engine: "Engine", job: _Job, lease: float) -> None:
        self._engine, self._job = engine, job
        self.lease = lease  # until when the visitor counts as looking
        self.limit: float = float("inf")  # the step this visitor wants to see, at most
        self.stopped = False

    @property
    def config(self) -> RunConfig:
        """What is being run."""
        return self._job.config

    def alive(self) -> bool:
        """Whether the run has ended or can go on; False once it was freed."""
        return self._job.ended() or self._engine._holds(self._job)

    def view(self) -> View:
        """What there is to see now. Renews the lease."""
        return self._engine._view(self, self._job)

    def resume(self) -> None:
        """Let the run go on to its end."""
        with self._engine._changed:
            self.limit = float("inf")
            self._engine._changed.notify_all()

    def pause(self) -> None:
        """Stay at the newest snapshot, whatever other viewers do."""
        with self._engine._changed:
            self.limit = min(self.limit, max(self._job.step, 0))

    def step(self) -> None:
        """Go on to the next snapshot and pause there."""
        with self._engine._changed:
            shown = min(self.limit, max(self._job.step, 0))
            self.limit = next((m for m in self._job.marks if m > shown), self._job.marks[-1])
            self._engine._changed.notify_all()

    def stop(self) -> None:
        """Let go of the run; a late look does not take hold of it again."""
        with self._engine._changed:
            self.stopped = True
            self._job.viewers.discard(self)


def prepare(config: RunConfig, report: Report) -> Iterator[Snapshot | None]:
    """Load the data, compile the program, and hand over a run that is ready to go.

    Raises:
      DataUnavailable: the data cannot be had; the message says what to do.
      MemoryError: the weights would not fit.
    """
    shape = train.shape(config)
    _check_memory(train.bytes_needed(shape))
    data = _device_data(config, partial(report, Status.PREPARING))
    report(Status.COMPILING, 0.0, "")
    return train.ticks(config, train.program(shape), data)


def _check_memory(needed: int) -> None:
    free = train.free_bytes()
    if needed > free:
        raise MemoryError(
            f"The weights of this network need {needed / 1e9:.1f} GB and "
            f"{free / 1e9:.1f} GB are free. Make the layers narrower."
        )


_loading = {source: threading.Lock() for source in SOURCES}
_loaded: OrderedDict[tuple[str, int, str], train.DeviceData] = OrderedDict()
DATA_SETS = 4  # kept on the device; the largest is 55 MB


def _device_data(config: RunConfig, report: Callable[[float, str], None]) -> train.DeviceData:
    """The data of a configuration on the device, one copy for everybody."""
    key = (config.source, config.train_size, config.task)
    with _loading[config.source]:
        if key not in _loaded:
            data = load(config.source, config.train_size, report)
            _loaded[key] = train.on_device(config.task, data)
            while len(_loaded) > DATA_SETS:
                _loaded.popitem(last=False)
        return _loaded[key]


class Engine:
    """Runs for many visitors on one device.

    Args:
      capacity: runs advanced in turn; further ones wait in a queue with a visible place.
      lease: seconds that one look keeps a run going.
      forget: seconds without a look after which an unfinished run is freed.
      keep: finished runs kept for the next visitor who asks for the same.
      prepare: makes a configuration ready to run.
    """

    def __init__(
        self,
        capacity: int = 32,
        lease: float = 20.0,
        forget: float = 60.0,
        keep: int = 64,
        prepare: Prepare = prepare,
    ) -> None:
        self._capacity, self._lease, self._forget, self._keep = capacity, lease, forget, keep
        self._prepare = prepare
        self._changed = threading.Condition(threading.RLock())
        self._jobs: OrderedDict[RunConfig, _Job] = OrderedDict()  # oldest use first
        self._line: deque[_Job] = deque()  # admitted runs, the next to advance first
        self._current: _Job | None = None
        self._worker: threading.Thread | None = None
        self._preparing: WeakSet[threading.Thread] = WeakSet()
        self._closed = False
        atexit.register(self.close)

    def submit(self, config: RunConfig, play: bool = True) -> Viewer:
        """Join the run of this configuration, or start it. With `play` False, stay at step 0."""
        with self._changed:
            job = self._jobs.get(config)
            if job is None or job.status is Status.FAILED:
                job = self._jobs[config] = _Job(config)
                log.info("run started: %s", config.differences())
                thread = threading.Thread(target=self._make_ready, args=(job,), daemon=True)
                self._preparing.add(thread)
                thread.start()
            self._jobs.move_to_end(config)
            viewer = Viewer(self, job, time.monotonic() + self._lease)
            viewer.limit = float("inf") if play else 0
            job.viewers.add(viewer)
            self._look(viewer, job)
            return viewer

    def wait(self, viewer: Viewer, snapshots: int, timeout: float) -> View:
        """The view as soon as it has that many snapshots or the run has ended, or at `timeout`."""
        deadline = time.monotonic() + timeout
        with self._changed:
            while True:
                view = viewer.view()
                left = deadline - time.monotonic()
                if len(view.snapshots) >= snapshots or viewer._job.ended() or left <= 0:
                    return view
                self._changed.wait(left)

    def viewers(self) -> int:
        """How many visitors are looking at a run that goes on."""
        with self._changed:
            return sum(len(job.viewers) for job in self._runnable())

    def running(self) -> int:
        """How many runs are going on for somebody."""
        with self._changed:
            return len(self._runnable())

    def _holds(self, job: _Job) -> bool:
        with self._changed:
            return self._jobs.get(job.config) is job

    def close(self) -> None:
        """Stop the worker, at the end of its chunk, and the preparations.

        A compilation cannot be interrupted, and a process that ends inside one crashes.
        """
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in [*self._preparing, self._worker]:
            if thread is not None:
                thread.join(timeout=60)

    # What follows is called with the lock held, but for the two threads' own functions.

    def _look(self, viewer: Viewer, job: _Job) -> None:
        job.seen = time.monotonic()
        viewer.lease = job.seen + self._lease
        self._changed.notify_all()
        if self._worker is None or not self._worker.is_alive():
            if self._current is not None:
                self._fail(self._current, "The worker stopped in this run; the next one works.")
                self._current = None
            self._worker = threading.Thread(target=self._work, daemon=True, name="samenet-worker")
            self._worker.start()

    def _view(self, viewer: Viewer, job: _Job) -> View:
        with self._changed:
            if not viewer.stopped:
                job.viewers.add(viewer)
                self._look(viewer, job)
            shown = [s for s in job.snapshots if s.step <= viewer.limit]
            place, status = 0, job.status
            if status is Status.RUNNING:
                if viewer.limit <= job.step:
                    status = Status.PAUSED
                elif place := self._place(job):
                    status = Status.QUEUED
            elif status is Status.DONE and len(shown) < len(job.snapshots):
                status = Status.PAUSED
            pace = self._pace(job)
            return View(
                status=status,
                snapshots=shown,
                steps=job.config.steps,
                place=place,
                fraction=job.fraction,
                message=job.message,
                steps_per_second=pace,
                seconds_left=(job.config.steps - job.step) / pace if pace else None,
            )

    @staticmethod
    def _pace(job: _Job) -> float | None:
        if len(job.pace) < 2 or job.ended():
            return None
        (start, first), (end, last) = job.pace[0], job.pace[-1]
        return (last - first) / max(end - start, 1e-9)

    def _runnable(self) -> list[_Job]:
        now = time.monotonic()
        return [job for job in self._line if job.wanted(now)]

    def _place(self, job: _Job) -> int:
        waiting = self._runnable()[self._capacity :]
        return waiting.index(job) + 1 if job in waiting else 0

    def _next(self) -> _Job | None:
        """The run to advance: one that has nothing to show yet, else the next in turn."""
        runnable = self._runnable()[: self._capacity]
        return next((job for job in runnable if not job.snapshots), next(iter(runnable), None))

    def _take_turns(self, job: _Job) -> None:
        """Move a run behind the others that are admitted, and before those who wait."""
        others = [other for other in self._runnable() if other is not job]
        admitted = others[: self._capacity - 1]
        self._line.remove(job)
        self._line.insert(self._line.index(admitted[-1]) + 1 if admitted else 0, job)

    def _sweep(self) -> None:
        """Free runs that nobody has looked at for long, and the oldest finished ones."""
        now = time.monotonic()
        for job in list(self._jobs.values()):
            looking = {viewer for viewer in job.viewers if viewer.lease > now}
            if job.viewers and not looking and not job.ended():
                log.info("run paused, nobody looks: %s", job.config.differences())
            job.viewers = looking
            if not job.ended() and now - job.seen > self._forget:
                self._drop(job)
        finished = [job for job in self._jobs.values() if job.ended()]
        for job in finished[: max(0, len(finished) - self._keep)]:
            self._drop(job)

    def _drop(self, job: _Job) -> None:
        log.info("run freed: %s", job.config.differences())
        if self._holds(job):
            del self._jobs[job.config]
        self._end(job, Status.PAUSED)

    def _end(self, job: _Job, status: Status, message: str = "") -> None:
        job.status, job.message, job.ticks = status, message, None
        if job in self._line:
            self._line.remove(job)

    def _fail(self, job: _Job, message: str) -> None:
        self._end(job, Status.FAILED, message)
        self._changed.notify_all()

    def _make_ready(self, job: _Job) -> None:
        """The preparing thread: one a run, so that nobody waits for another's download."""

        def report(status: Status, fraction: float, message: str) -> None:
            with self._changed:
                watched = any(viewer.lease > time.monotonic() for viewer in job.viewers)
                if self._closed or not watched:
                    self._drop(job)  # before it tidies up, so that a newcomer starts anew
                    raise Abandoned("Nobody waits for this run any more.")
                job.status, job.fraction, job.message = status, fraction, message

        try:
            ticks = self._prepare(job.config, report)
        except Abandoned:
            return
        except Exception as error:
            with self._changed:
                self._fail(job, explain(error))
            return
        with self._changed:
            if not self._holds(job):  # forgotten meanwhile
                return
            job.status, job.message, job.ticks = Status.RUNNING, "", ticks
            self._line.append(job)
            self._changed.notify_all()

    def _work(self) -> None:
        """The worker thread: advance one run by one chunk, for ever."""
        while True:
            with self._changed:
                self._current = None
                self._sweep()
                while not self._closed and (job := self._next()) is None:
                    self._changed.wait(timeout=1.0)
                    self._sweep()
                if self._closed or job is None:
                    return
                self._current, ticks = job, job.ticks
            assert ticks is not None  # a run in line is ready
            try:
                snapshot, over = next(ticks), False
            except StopIteration:
                snapshot, over = None, True
            except Exception as error:
                with self._changed:
                    self._fail(job, explain(error))
                continue
            with self._changed:
                if job.ticks is None:  # freed meanwhile
                    continue
                if snapshot is not None:
                    job.snapshots.append(snapshot)
                    job.pace.append((time.monotonic(), snapshot.step))
                    over = snapshot.step == job.config.steps
                if over:
                    self._end(job, Status.DONE)
                else:
                    self._take_turns(job)
                self._changed.notify_all()


def explain(error: Exception) -> str:
    """What went wrong, for the page."""
    text = str(error).strip() or type(error).__name__
    if isinstance(error, MemoryError | DataUnavailable):
        return text
    if "RESOURCE_EXHAUSTED" in text:
        return "The device ran out of memory. Make the layers or the batch smaller."
    return f"This run failed: {type(error).__name__}: {text}"
